"""The pixel is a GIF for any query string whatsoever, and says what became of the event."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.collect.pixel import GIF
from app.workspaces import STALE_AFTER, digest
from tests.collect.conftest import NOW, PUBLIC, Front

SEEN = "6500abcd." + "0" * 32


async def test_an_impression_is_stored_before_the_gif_is_sent(front: Front) -> None:
    answer = await front.ask("GET", f"/p.gif?k={PUBLIC}&e=impression&c=spring&a=banner&p=anna&id=i1&cb=9")
    assert (answer.status, answer.body, answer.verdict) == (200, GIF, "accepted")
    assert answer.headers["cache-control"] == "no-store"
    (event,) = await front.events()
    assert (event.kind, event.campaign, event.ad, event.partner, event.id) == (
        "impression", "spring", "banner", "anna", "i1",
    )  # fmt: skip
    assert (event.door, event.workspace, event.ip) == ("pixel", 1, "203.0.113.0")


raw_queries = st.one_of(
    st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=0xDCFF), max_size=60),
    st.lists(
        st.tuples(
            st.sampled_from("k id e c a p ct_click g tx v cur u vid url r t consent gdpr gpp x".split()),
            st.sampled_from(
                [PUBLIC, "sale", "impression", "%00", "%ff%fe", "NaN", "1e309", "9" * 5000, "%ud800",
                 "%ED%A0%80", "12.5", "EUR", "1", "0", "+", "%", "a" * 300, "{macro}"]
            ),
        ),
        max_size=12,
    ).map(lambda pairs: f"k={PUBLIC}&" + "&".join(f"{name}={value}" for name, value in pairs)),
)  # fmt: skip


@given(raw_queries)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
async def test_any_query_string_whatsoever_gives_the_gif(front: Front, query: str) -> None:
    answer = await front.ask("GET", f"/p.gif?{query}")
    assert (answer.status, answer.body) == (200, GIF)
    assert answer.verdict == "accepted" or answer.verdict.startswith("rejected; reason=")


async def test_a_refused_event_is_named_and_kept_without_what_it_must_not_show(front: Front) -> None:
    answer = await front.ask("GET", f"/p.gif?k={PUBLIC}&e=sale&v=1,5&cur=EUR&id=s1&url=x?m=jo@mail.example")
    assert answer.verdict == "rejected; reason=amount_invalid"
    (refusal,) = await front.refusals()
    assert (refusal.workspace, refusal.code, refusal.field, refusal.id) == (
        1,
        "amount_invalid",
        "value",
        "s1",
    )
    assert "mail.example" not in refusal.body and PUBLIC not in refusal.body


@pytest.mark.parametrize(
    "key, reason", [("", "key_missing"), ("ct_pub_none", "key_unknown"), ("ct_srv_one", "scope_missing")]
)
async def test_only_a_public_key_opens_it(front: Front, key: str, reason: str) -> None:
    answer = await front.ask("GET", f"/p.gif?k={key}&e=impression")
    assert (answer.status, answer.verdict) == (200, f"rejected; reason={reason}")


async def test_an_unknown_key_is_left_to_the_pipeline_while_the_snapshot_is_stale(front: Front) -> None:
    front.clock.now += STALE_AFTER + 1
    answer = await front.ask("GET", "/p.gif?k=ct_pub_new&e=impression")
    assert answer.verdict == "accepted"
    (event,) = await front.events()
    assert (event.workspace, event.key_digest) == (0, digest("ct_pub_new"))


async def test_a_goal_may_stand_for_the_kind(front: Front) -> None:
    await front.ask("GET", f"/p.gif?k={PUBLIC}&e=order&tx=1&v=12.50&cur=EUR")
    await front.ask("GET", f"/p.gif?k={PUBLIC}&e=unheard")
    sale, lead = await front.events()
    assert (sale.kind, sale.goal, sale.value) == ("sale", "order", 12_500_000)
    assert (lead.kind, lead.goal) == ("lead", "unheard")


async def test_the_cookie_is_set_once_and_then_believed(front: Front) -> None:
    first = await front.ask("GET", f"/p.gif?k={PUBLIC}&e=open")
    cookie = first.headers["set-cookie"]
    assert (
        "HttpOnly" in cookie
        and "SameSite=Lax" in cookie
        and "Secure" in cookie
        and "Max-Age=34128000" in cookie
    )
    again = await front.ask("GET", f"/p.gif?k={PUBLIC}&e=open", cookie="a=b; " + cookie.partition(";")[0])
    assert "set-cookie" not in again.headers
    one, two = await front.events()
    assert one.cookie_id == two.cookie_id != ""


async def test_a_cookie_older_than_13_months_is_replaced(front: Front) -> None:
    old = f"{NOW // 1_000_000 - 396 * 86400:08x}.{'0' * 32}"
    answer = await front.ask("GET", f"/p.gif?k={PUBLIC}&e=open", cookie=f"ct_id={old}")
    assert old not in answer.headers["set-cookie"]


async def test_in_a_third_partys_page_the_cookie_is_neither_set_nor_believed(front: Front) -> None:
    answer = await front.ask(
        "GET", f"/p.gif?k={PUBLIC}&e=open&vid=v1", cookie=f"ct_id={SEEN}", sec_fetch_site="cross-site"
    )
    assert "set-cookie" not in answer.headers
    (event,) = await front.events()
    assert (event.cookie_id, event.visitor_id) == ("", "v1")


async def test_denied_consent_expires_the_cookie_and_keeps_no_identifier(front: Front) -> None:
    answer = await front.ask("GET", f"/p.gif?k={PUBLIC}&e=open&vid=v1&consent=0", cookie=f"ct_id={SEEN}")
    assert "ct_id=; Max-Age=0" in answer.headers["set-cookie"]
    (event,) = await front.events()
    assert (event.cookie_id, event.visitor_id, event.consent["measure"]) == ("", "", False)


async def test_where_consent_is_denied_by_default_silence_denies(front: Front) -> None:
    front.settings(consent_default="denied")
    answer = await front.ask("GET", f"/p.gif?k={PUBLIC}&e=open&vid=v1")
    assert "set-cookie" not in answer.headers
    await front.ask("GET", f"/p.gif?k={PUBLIC}&e=open&vid=v1&consent=1")
    silent, agreed = await front.events()
    assert (silent.visitor_id, agreed.visitor_id) == ("", "v1")


async def test_gdpr_without_a_readable_string_is_no_consent(front: Front) -> None:
    await front.ask("GET", f"/p.gif?k={PUBLIC}&e=open&vid=v1&gdpr=1")
    (event,) = await front.events()
    assert event.consent == {"measure": False, "ads": False, "source": "tcf"}
    assert event.visitor_id == ""


async def test_a_flood_of_refusals_is_capped(front: Front) -> None:
    for _ in range(700):
        await front.ask("GET", f"/p.gif?k={PUBLIC}&e=sale&v=x")
    assert len(await front.refusals()) == 600


async def test_while_nothing_can_be_stored_it_says_so(front: Front) -> None:
    front.doors.inbox._trouble = ("disk_full", "no space")
    answer = await front.ask("GET", f"/p.gif?k={PUBLIC}&e=open")
    assert (answer.status, answer.body, answer.verdict) == (200, GIF, "unavailable")
