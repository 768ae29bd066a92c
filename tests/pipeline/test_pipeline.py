"""What the pipeline makes of records: each fact once, whatever is wrong with its neighbours."""

import msgspec
import pytest
from sqlalchemy import update

from app import db, tables
from app.campaigns.clickid import ClickId, make_click_id
from app.model import FLAGS, HALF_HOUR, KINDS, Event, Refusal, number
from app.pipeline import run, store
from app.pipeline.recount import ROLLUPS, counted
from app.workspaces import add_key, add_workspace, digest
from tests.house import NOON, House, event

BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"


def outcomes(house: House) -> list[str]:
    return [row.outcome for row in house.rows(tables.outcomes)]


def clicks(house: House) -> list[tuple[str, int]]:
    """(door, campaign) of every click that stands."""
    return [(row.door, row.campaign_id) for row in house.rows(tables.events) if row.kind == KINDS["click"]]


def signed(house: House, campaign: int, *, at: int = NOON, no: int = 77) -> str:
    secret = house.one(tables.workspaces).secret
    return make_click_id(ClickId(1, campaign, 0, 0, at, no), secret)


def test_an_id_counts_once_however_often_it_is_sent(house: House) -> None:
    same = event("impression", id="a", campaign="spring")
    house.send(same, same)
    house.send(same)
    assert len(house.rows(tables.events)) == 1
    assert outcomes(house) == ["duplicate", "duplicate"]
    assert house.one(tables.traffic_days).impressions == 1


def test_the_same_id_with_other_content_is_kept_aside_and_the_first_stands(house: House) -> None:
    house.send(event("impression", id="a", campaign="spring"))
    house.send(event("impression", id="a", campaign="autumn"))
    assert [row.slug for row in house.rows(tables.campaigns)] == ["spring"]
    assert outcomes(house) == ["id_conflict"]
    row = house.one(tables.rejected)
    assert (row.code, row.kind, row.event_id) == ("id_conflict", "quarantined", "a")


def test_ids_of_two_workspaces_never_meet(house: House) -> None:
    with db.begin(house.engine) as connection:
        add_workspace(connection, "other", now=NOON)
    house.send(event("impression", id="a"), event("impression", id="a", workspace=2))
    assert len(house.rows(tables.events)) == 2


def test_events_without_an_id_are_never_taken_for_repeats(house: House) -> None:
    house.send(event("impression", no=1), event("impression", no=2))
    assert len(house.rows(tables.events)) == 2
    assert house.rows(tables.seen) == []


def test_unknown_slugs_are_kept_and_marked(house: House) -> None:
    house.send(event("click", id="a", campaign="vår", ad="stor", partner="Đại lý", channel="زمستان"))
    for table in (tables.campaigns, tables.ads, tables.partners, tables.channels):
        assert house.one(table).known == 0
    assert house.one(tables.events).campaign_id == house.one(tables.campaigns).id


def test_a_slug_is_the_same_whatever_its_case(house: House) -> None:
    spring = house.campaign("Vår")
    house.send(event("click", id="a", campaign="VÅR"), event("click", id="b", campaign="vår"))
    assert {row.campaign_id for row in house.rows(tables.events)} == {spring}


@pytest.mark.parametrize(
    ("user_agent", "flag"),
    [(BROWSER, 0), ("", 1), ("node", 1), ("curl/8.1", 1), ("Googlebot/2.1", 1), (None, 0)],
)
def test_robots_are_flagged_and_the_unknown_are_not_judged(
    house: House, user_agent: str | None, flag: int
) -> None:
    house.send(event("click", id="a", user_agent=user_agent))
    assert house.one(tables.events).flags == flag
    cell = house.one(tables.traffic_days)
    assert (cell.clicks, cell.clicks_flagged) == (1 - flag, flag)


def test_the_device_follows_from_the_user_agent(house: House) -> None:
    house.send(event("click", id="a", user_agent=BROWSER), event("click", id="b", user_agent=PHONE))
    assert [row.device for row in house.rows(tables.events)] == [1, 2]


def test_a_test_event_is_stored_and_counts_nowhere(house: House) -> None:
    house.send(event("click", id="a", test=True), event("impression", id="b", test=True))
    assert len(house.rows(tables.events)) == 2
    assert house.rows(tables.traffic_days) == []


def test_only_clicks_of_our_redirect_and_of_servers_are_billable(house: House) -> None:
    doors = ("redirect", "api", "beacon", "pixel")
    house.send(*(event("click", id=door, door=door) for door in doors))
    house.send(event("click", id="paused", door="redirect", hints=("paused",)))
    assert [row.billable for row in house.rows(tables.events)] == [1, 1, 0, 0, 0]
    assert house.one(tables.traffic_days).clicks_billable == 2


def test_a_prefetched_click_counts_once_a_visit_brings_its_id_back(house: House) -> None:
    campaign = house.campaign("spring")
    click_id = signed(house, campaign, no=77)
    click = event("click", door="redirect", no=77, campaign="spring", hints=("head",), visitor_id="v")
    visit = event("visit", NOON + 5, id="v1", click_id=click_id, visitor_id="v")
    house.send(click)
    assert house.one(tables.traffic_days).clicks_flagged == 1
    house.send(visit)
    cell = house.one(tables.traffic_days)
    assert (cell.clicks, cell.clicks_flagged, cell.clicks_billable, cell.visits) == (1, 0, 1, 1)


def test_a_prefetched_click_counts_when_its_visit_came_first(house: House) -> None:
    campaign = house.campaign("spring")
    house.send(event("visit", NOON + 5, id="v1", click_id=signed(house, campaign, no=77), visitor_id="v"))
    house.send(event("click", door="redirect", no=77, campaign="spring", hints=("head",), visitor_id="v"))
    cell = house.one(tables.traffic_days)
    assert (cell.clicks, cell.clicks_flagged, cell.clicks_billable) == (1, 0, 1)


def test_a_forged_click_id_names_no_campaign(house: House) -> None:
    campaign = house.campaign("spring")
    forged = make_click_id(ClickId(1, campaign, 0, 0, NOON, 5), b"x" * 32)
    house.send(event("visit", id="v1", click_id=forged, visitor_id="v"))
    assert house.one(tables.events).campaign_id == 0


def landing(id_: str, at: int, **fields: object) -> Event:
    return event(
        "visit", at, id=id_, visitor_id="v", url="https://shop.example/",
        utm={"campaign": "spring", "source": "google", "medium": "cpc"}, **fields,
    )  # fmt: skip


START = NOON - NOON % HALF_HOUR


def test_landings_of_one_half_hour_are_one_click_and_the_earliest_stands(house: House) -> None:
    spring = house.campaign("spring")
    house.send(landing("b", START + 200))
    house.send(landing("a", START + 100), landing("c", START + 300))
    assert clicks(house) == [(7, spring)]
    found = [row.occurred_at for row in house.rows(tables.events) if row.kind == KINDS["click"]]
    assert found == [START + 100]
    cell = house.one(tables.traffic_days)
    assert (cell.clicks, cell.clicks_billable, cell.visits) == (1, 0, 3)


def test_one_foreign_click_id_is_one_click_for_ever(house: House) -> None:
    house.campaign("spring")
    house.send(landing("a", START, click_ids={"gclid": "X"}))
    house.send(landing("b", START + 10 * HALF_HOUR, click_ids={"gclid": "X"}))
    assert len(clicks(house)) == 1


@pytest.mark.parametrize("kind", ["mc_cid", "gad_source", "gad_campaignid", "gclsrc", "_kx"])
def test_what_many_links_have_in_common_is_no_id_of_a_click(house: House, kind: str) -> None:
    house.campaign("spring")
    house.send(landing("a", START, click_ids={kind: "1"}))
    house.send(landing("b", START + 1, click_ids={kind: "1"}))
    assert len(clicks(house)) == 1  # of one visitor in one half-hour
    house.send(landing("c", START + HALF_HOUR, click_ids={kind: "1"}))
    house.send(landing("d", START, click_ids={kind: "1", "zanpid": "z"}))
    assert len(clicks(house)) == 3


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_redirect_click_explains_the_landing_it_led_to(house: House, order: tuple[int, int]) -> None:
    spring = house.campaign("spring")
    records = (
        event("click", START + 5, door="redirect", no=9, campaign="spring", visitor_id="v"),
        landing("a", START + 10),
    )
    for position in order:
        house.send(records[position])
    assert clicks(house) == [(2, spring)]


def test_a_visit_from_our_own_pages_is_no_landing(house: House) -> None:
    house.campaign("spring")
    house.send(landing("a", START, referrer="https://www.shop.example/cart"))
    assert clicks(house) == []


@pytest.mark.parametrize(
    ("referrer", "utm", "source", "medium", "channel"),
    [
        ("", {}, "", "", ""),
        ("https://www.google.com/", {}, "google.com", "organic", "organic_search"),
        ("https://l.facebook.com/x", {}, "l.facebook.com", "social", "organic_social"),
        ("https://blog.example.org/post", {}, "blog.example.org", "referral", "referral"),
        ("", {"source": "nyhetsbrev", "medium": "email"}, "nyhetsbrev", "email", "email"),
        ("", {"source": "facebook", "medium": "cpc"}, "facebook", "cpc", "paid_social"),
        ("", {"source": "google", "medium": "cpc"}, "google", "cpc", "paid_search"),
    ],
)
def test_the_channel_follows_from_source_and_medium(
    house: House, referrer: str, utm: dict[str, str], source: str, medium: str, channel: str
) -> None:
    house.send(event("visit", id="a", url="https://shop.example/", referrer=referrer, utm=utm))
    row = house.one(tables.events)
    slugs = {r.id: r.slug for r in house.rows(tables.channels)}
    assert (row.source, row.medium, slugs.get(row.channel_id, "")) == (source, medium, channel)
    assert row.direct == int(not source)


@pytest.mark.parametrize(
    ("click_ids", "utm", "channel"),
    [
        (["gclid"], {}, "paid_search"),
        (["gad_source"], {}, "paid_search"),
        (["gad_source", "dclid"], {}, "display"),
        (["gclid"], {"source": "nyhetsbrev"}, "paid_search"),
        (["gclid"], {"source": "nyhetsbrev", "medium": "email"}, "email"),
        (["srsltid"], {}, "organic_search"),
    ],
)
def test_an_ads_click_id_tells_more_than_the_page_before(
    house: House, click_ids: list[str], utm: dict[str, str], channel: str
) -> None:
    ids = dict.fromkeys(click_ids, "X")
    house.send(event("visit", id="a", referrer="https://www.google.com/", utm=utm, click_ids=ids))
    slugs = {r.id: r.slug for r in house.rows(tables.channels)}
    assert {slugs[row.channel_id] for row in house.rows(tables.events)} == {channel}


def test_a_payment_provider_sends_nobody(house: House) -> None:
    house.send(event("visit", id="a", url="https://shop.example/", referrer="https://checkout.stripe.com/"))
    assert house.one(tables.events).flags == FLAGS["ignored"]


def test_match_rules_name_the_campaign(house: House) -> None:
    spring = house.campaign("spring", match='[{"source": "google", "campaign": "sp-2026"}]')
    house.send(
        event(
            "visit", id="a", utm={"source": "Google", "medium": "cpc", "campaign": "SP-2026"}, visitor_id="v"
        )
    )
    assert {row.campaign_id for row in house.rows(tables.events)} == {spring}


def test_nothing_personal_is_kept_where_consent_was_denied(house: House) -> None:
    house.send(
        event(
            "visit", id="a", visitor_id="v", cookie_id="c", user_id="u", email={"meta": "0" * 64},
            click_ids={"gclid": "G"}, ip="10.0.0.0", user_agent=BROWSER, consent={"measure": False},
        )
    )  # fmt: skip
    row = next(r for r in house.rows(tables.events) if r.kind == KINDS["visit"])
    assert (row.visitor, row.visitor_id, row.user_id) == (0, "", "")
    assert house.rows(tables.edges) == []
    assert "G" not in row.details.replace("GB", "")


def test_refusals_of_the_doors_are_kept_with_their_reasons(house: House) -> None:
    house.send(
        Refusal(
            workspace=1, door="api", received_at=NOON, code="currency_unknown", field="currency",
            message="XYZ is not an ISO 4217 currency", id="e2",
        )
    )  # fmt: skip
    row = house.one(tables.rejected)
    assert (row.kind, row.code, row.field, row.event_id) == ("refused", "currency_unknown", "currency", "e2")


def test_what_is_refused_beyond_the_cap_is_only_counted(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "KEPT_PER_DAY", 2)
    refusal = Refusal(workspace=1, door="api", received_at=NOON, code="x", message="")
    house.send(*[refusal] * 3)
    house.send(refusal)
    assert len(house.rows(tables.rejected)) == 2
    assert house.one(tables.rejected_counts).count == 4


def test_what_was_refused_is_kept_whatever_it_holds(house: House) -> None:
    """NUL is no text to PostgreSQL; a refusal that could not be kept would hold up everything behind it."""
    refusal = Refusal(workspace=1, door="pixel", received_at=NOON, code="x", message="", id="a\0b", body="\0")
    house.send(refusal, event("impression", id="e"))
    assert (house.one(tables.rejected).event_id, house.one(tables.rejected).body) == ("a\ufffdb", "\ufffd")
    assert len(house.rows(tables.events)) == 1


def test_an_unreadable_record_costs_only_itself(house: House) -> None:
    good = msgspec.msgpack.encode(event("impression", id="a"))
    house.take([b"", good, b"\xc1"])
    assert len(house.rows(tables.events)) == 1
    assert [row.code for row in house.rows(tables.rejected)] == ["unreadable", "unreadable"]
    assert outcomes(house) == ["quarantined", "quarantined"]


def test_a_poison_record_costs_only_itself_wherever_it_stands(house: House) -> None:
    # 2**63 + 5 passes every door's checks only if a door is broken; the database refuses it.
    poison = event("sale", id="bad", order_id="o", value=2**63 + 5, currency="EUR")
    good = [event("impression", id=f"e{i}") for i in range(20)]
    for position in (0, 7, 20):
        batch = [*good[:position], poison, *good[position:]]
        house.send(*batch)
        good = [event("impression", id=f"{position}-{i}") for i in range(20)]
    assert len(house.rows(tables.events)) == 60
    assert [row.code for row in house.rows(tables.rejected)] == ["poison"] * 3
    assert {row.sequence for row in house.rows(tables.cursors)} == {63}


def test_a_quarantined_record_is_replayed_when_the_operator_asks(house: House) -> None:
    house.send(event("click", id="a", workspace=2, campaign="spring"))
    assert house.one(tables.rejected).code == "workspace_unknown"
    with db.begin(house.engine) as connection:
        add_workspace(connection, "second", now=NOON)
        connection.execute(update(tables.rejected).values(replayed_at=run.WANTED))
    assert house.pipeline.replay() == 1
    assert house.one(tables.events).workspace == 2
    assert house.one(tables.rejected).replayed_at == NOON
    assert house.pipeline.replay() == 0


def test_the_rollups_equal_a_recount(house: House) -> None:
    campaign = house.campaign("spring")
    house.send(
        *(event("impression", NOON + i * HALF_HOUR, id=f"i{i}", campaign="spring") for i in range(9)),
        event("click", door="redirect", no=77, campaign="spring", hints=("head",), visitor_id="v"),
        landing("a", START), landing("b", START + 1), landing("c", START + HALF_HOUR),
        event("pageview", id="p"), event("open", id="o"),
    )  # fmt: skip
    house.send(event("visit", id="x", click_id=signed(house, campaign, no=77), visitor_id="v"))
    with db.reading(house.engine) as connection:
        expected = counted(connection, 1, "UTC")
    for table, cells in zip(ROLLUPS, expected, strict=True):
        kept = {tuple(row) for row in house.rows(table) if any(row[len(table.primary_key) :])}
        assert kept == {(*key, *cell) for key, cell in cells.items() if any(cell)}


def test_an_event_of_an_unconfirmed_key_is_judged_here(house: House) -> None:
    with db.begin(house.engine) as connection:
        add_key(connection, 1, "public", name="", now=NOON, key="ct_pub_good")
        add_key(connection, 1, "read", name="", now=NOON, key="ct_read_other")
    for key in ("ct_pub_good", "ct_read_other", "ct_pub_bad"):
        house.send(event("click", id="a", workspace=0, key_digest=digest(key)))
    row = house.one(tables.events)
    assert (row.workspace, row.no) == (1, number(1, "id", "a"))
    assert [row.code for row in house.rows(tables.rejected)] == ["key_unknown", "key_unknown"]
    house.send(event("click", id="a"))
    assert len(house.rows(tables.events)) == 1
