"""What a visitor allowed and who said so: decided once for all doors, and what may be kept then."""

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import consent
from app.agents import BARE_AGENTS, device, is_bot, stand_in
from app.campaigns.clickid import ClickId, make_click_id
from app.collect.consent import Said, of_parameters, stated
from app.model import Event
from app.workspaces import STALE_AFTER, WorkspaceSettings
from tests.collect.conftest import NOW, PUBLIC, SERVER, Front, workspace

CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0"
COOKIE = f"ct_id={NOW // 1_000_000 - 60:08x}." + "c" * 32

GRANTED, DENIED = WorkspaceSettings(), WorkspaceSettings(consent_default="denied")
HEEDING = WorkspaceSettings(dnt="deny")

#: What an event without consent may hold: what happened, when, for which campaign, for how much.
KEPT = frozenset(
    """workspace door kind received_at occurred_at no stated_at id goal campaign ad_group ad partner channel
    creative placement keyword order_id store conversion_id lead_id value currency tax shipping cost_of_goods
    payout status url referrer utm user_agent country viewable consent new_customer test hints key_digest
    engaged visit_id key""".split()
)


def tcf(*purposes: int) -> str:
    """A TCF 2 core string in which the visitor allows these purposes."""
    bits = 2 << (213 - 6) | sum(1 << (213 - 152 - purpose) for purpose in purposes)
    return base64.urlsafe_b64encode((bits << 3).to_bytes(27, "big")).decode().rstrip("=")


BOTH, STORAGE, NONE = tcf(1, 7), tcf(1), tcf(7, 9)


@pytest.mark.parametrize(
    "said, policy, signals, recorded",
    [
        (None, GRANTED, (), {}),
        ({}, GRANTED, (), {}),
        (None, DENIED, (), {"measure": False, "ads": False, "source": "default"}),
        ({"measure": True}, DENIED, (), {"measure": True, "source": "tag"}),
        ({"measure": True, "source": "tcf"}, DENIED, (), {"measure": True, "source": "tcf"}),
        ({"ads": True}, DENIED, (), {"measure": False, "ads": False, "source": "default"}),
        ({"measure": False, "ads": True}, GRANTED, (), {"measure": False, "ads": False, "source": "tag"}),
        ({"measure": False, "raw": "CP", "sections": "2"}, GRANTED, (), {
            "measure": False, "ads": False, "source": "tag",
        }),
        (None, GRANTED, ("gpc",), {"ads": False, "gpc": True, "source": "gpc"}),
        (
            {"measure": True, "ads": True, "source": "tcf", "raw": "CP"},
            GRANTED,
            ("gpc",),
            {"measure": True, "ads": False, "gpc": True, "source": "tcf", "raw": "CP"},
        ),
        (None, DENIED, ("gpc",), {"measure": False, "ads": False, "gpc": True, "source": "default"}),
        (None, GRANTED, ("dnt",), {}),
        (None, HEEDING, ("dnt",), {"measure": False, "ads": False, "source": "dnt"}),
        ({"measure": True}, HEEDING, ("dnt",), {"measure": False, "ads": False, "source": "dnt"}),
        ({"measure": False}, HEEDING, ("dnt",), {"measure": False, "ads": False, "source": "tag"}),
        (None, HEEDING, ("gpc", "dnt"), {"measure": False, "ads": False, "gpc": True, "source": "dnt"}),
        (None, None, ("dnt",), {"dnt": True}),
        ({"measure": True}, None, ("gpc", "dnt"), {
            "measure": True, "source": "tag", "ads": False, "gpc": True, "dnt": True,
        }),
    ],
)  # fmt: skip
def test_what_is_recorded_says_who_decided(
    said: dict[str, object] | None,
    policy: WorkspaceSettings | None,
    signals: tuple[str, ...],
    recorded: dict[str, object],
) -> None:
    assert consent.resolved(said, policy, signals=signals, speaker="tag") == recorded


choices = st.dictionaries(st.sampled_from(("measure", "ads")), st.booleans())
policies = st.builds(
    WorkspaceSettings,
    consent_default=st.sampled_from(("granted", "denied")),
    dnt=st.sampled_from(("ignore", "deny")),
    visitors=st.sampled_from(("cookies", "daily")),
)
headers = st.lists(st.sampled_from(("gpc", "dnt")), unique=True)


@given(choices, policies, headers)
def test_the_pipeline_decides_as_a_door_that_knew_the_workspace(
    said: dict[str, object], policy: WorkspaceSettings, signals: list[str]
) -> None:
    known = consent.resolved(said, policy, signals=signals, speaker="tag")
    stale = consent.resolved(said, None, signals=signals, speaker="tag")
    assert consent.resolved(stale, policy, speaker="tag") == known
    assert consent.resolved(known, policy, speaker="tag") == known


@given(choices, policies, headers)
def test_a_no_stands_against_every_yes(
    said: dict[str, object], policy: WorkspaceSettings, signals: list[str]
) -> None:
    agreed = consent.resolved(said, policy, signals=signals)
    refused = said.get("measure") is False or ("dnt" in signals and policy.dnt == "deny")
    silent = "measure" not in said and policy.consent_default == "denied"
    assert consent.denied(agreed) == (refused or silent)
    assert agreed.get("ads", True) == (
        said.get("ads", True) and "gpc" not in signals and not consent.denied(agreed)
    )


@pytest.mark.parametrize(
    "said, recorded",
    [
        ({}, None),
        ({"consent": "1"}, {"measure": True, "ads": True, "source": "parameter"}),
        ({"consent": "0"}, {"measure": False, "ads": False, "source": "parameter"}),
        ({"consent": "yes"}, None),
        ({"gdpr": "0"}, None),
        ({"gdpr": "1"}, {"measure": False, "ads": False, "source": "tcf"}),
        ({"gdpr": "1", "consent": "1"}, {"measure": False, "ads": False, "source": "tcf"}),
        (
            {"gdpr": "1", "gdpr_consent": BOTH},
            {"measure": True, "ads": True, "source": "tcf", "raw": BOTH},
        ),
        (
            {"gdpr": "1", "gdpr_consent": STORAGE},
            {"measure": True, "ads": False, "source": "tcf", "raw": STORAGE},
        ),
        (
            {"gdpr": "1", "gdpr_consent": NONE, "consent": "1"},
            {"measure": False, "ads": False, "source": "tcf", "raw": NONE},
        ),
        (
            {"gdpr": "1", "gdpr_consent": BOTH, "consent": "0"},
            {"measure": False, "ads": False, "source": "parameter", "raw": BOTH},
        ),
        ({"gpp": "DBABLA~BVQqAAAAAgA.QA", "gpp_sid": "7"}, {
            "source": "gpp", "raw": "DBABLA~BVQqAAAAAgA.QA", "sections": "7",
        }),
        ({"gpp": f"DBABMA~{BOTH}.f~1YNN", "gpp_sid": "2,6"}, {
            "measure": True, "ads": True, "source": "gpp", "raw": f"DBABMA~{BOTH}.f~1YNN", "sections": "2,6",
        }),
        ({"gpp": f"DBABMA~{NONE}", "gpp_sid": "2"}, {
            "measure": False, "ads": False, "source": "gpp", "raw": f"DBABMA~{NONE}", "sections": "2",
        }),
        ({"gpp": "DBAA", "gpp_sid": "2"}, {
            "measure": False, "ads": False, "source": "gpp", "raw": "DBAA", "sections": "2",
        }),
        ({"us_privacy": "1YNN"}, {"source": "us_privacy", "raw": "1YNN"}),
        ({"us_privacy": "1YYN"}, {"source": "us_privacy", "raw": "1YYN", "ads": False}),
        ({"us_privacy": "1YYN", "consent": "1"}, {
            "source": "parameter", "raw": "1YYN", "measure": True, "ads": False,
        }),
        ({"us_privacy": "maybe"}, {"source": "us_privacy", "raw": "maybe"}),
        ({"gpp": "a@b.example"}, {"source": "gpp", "raw": "(email)"}),
    ],
)  # fmt: skip
def test_consent_as_query_strings_carry_it(said: dict[str, str], recorded: dict[str, object] | None) -> None:
    assert of_parameters(said) == recorded


def test_what_a_sender_says_of_its_source_holds_no_address() -> None:
    found = stated({"measure": True, "source": "jo@mail.example", "raw": "x?m=jo@mail.example"})
    assert found == {"measure": True, "source": "(email)", "raw": "x?m=(email)"}


def test_every_field_of_an_event_is_either_kept_or_forgotten() -> None:
    """A new field must be looked at before an event without consent may hold it."""
    assert set(Event.__struct_fields__) == KEPT | consent.FORGOTTEN.keys()
    assert KEPT.isdisjoint(consent.FORGOTTEN)


@pytest.mark.parametrize(
    "url, left",
    [
        ("https://shop.example/a/b?uid=7#me", "https://shop.example/a/b"),
        ("https://shop.example/a;jsessionid=7F", "https://shop.example/a"),
        ("https://shop.example/#?x=1", "https://shop.example/"),
        ("", ""),
    ],
)
def test_an_address_is_bare_without_query_fragment_and_parameters(url: str, left: str) -> None:
    assert consent.bare(url) == left


agents = st.one_of(
    st.sampled_from(
        (CHROME, "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Mobile/15E148", "", " ", "curl/8.5",
         "Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X)", "Roku/DVP-9.10", "Googlebot-Mobile/2.1 Mobile",
         "Mozilla/5.0 (Linux; Android 14; Pixel 8) Mobile Safari", "python-requests/2.32", "Kindle/3.0")
    ),
    st.sampled_from(sorted(BARE_AGENTS)),
    st.text(max_size=60),
)  # fmt: skip


@given(agents)
def test_a_stand_in_is_judged_as_the_browser_it_stands_for(agent: str) -> None:
    instead = stand_in(agent)
    assert (is_bot(instead), device(instead)) == (is_bot(agent), device(agent))
    assert stand_in(instead) == instead


# --- At the doors ---------------------------------------------------------------------------------------


async def everywhere(front: Front, *, said: Any = None, **headers: str) -> list[Event]:
    """One event at each door of browsers: pixel, redirect, beacon."""
    parameters = "" if said is None else f"&consent={said}"
    asked = {"cookie": COOKIE, "user_agent": CHROME, **headers}
    await front.ask("GET", f"/p.gif?k={PUBLIC}&e=open&vid=v-planted{parameters}", **asked)
    await front.ask("GET", f"/c/spring?sub1=s-planted&gclid=g-planted{parameters}", **asked)
    told = {"kind": "visit", "visitor_id": "v-planted", **({} if said is None else {"consent": said})}
    await front.post("/collect", {"k": PUBLIC, "events": [told]}, **asked)
    found = await front.events()
    assert [event.door for event in found] == ["pixel", "redirect", "beacon"]
    return found


@pytest.mark.parametrize(
    "settings, said, headers, sources",
    [
        ({"consent_default": "denied"}, None, {}, ["default"] * 3),
        ({"dnt": "deny"}, None, {"dnt": "1"}, ["dnt"] * 3),
        ({"dnt": "deny"}, 1, {"dnt": "1"}, ["dnt"] * 3),
        ({}, 0, {}, ["parameter", "parameter", "tag"]),
        ({}, 0, {"sec_gpc": "1"}, ["parameter", "parameter", "tag"]),
        ({"visitors": "daily"}, 0, {}, ["parameter", "parameter", "tag"]),
    ],
)
async def test_whoever_says_no_nothing_of_the_visitor_is_written(
    front: Front, settings: dict[str, str], said: Any, headers: dict[str, str], sources: list[str]
) -> None:
    front.settings(**settings)
    for event, source in zip(await everywhere(front, said=said, **headers), sources, strict=True):
        assert (event.consent["measure"], event.consent["ads"]) == (False, False)
        assert event.consent["source"] == source
        assert {name: getattr(event, name) for name in consent.FORGOTTEN} == consent.FORGOTTEN
        written = msgspec.msgpack.encode(event)
        assert not any(one in written for one in (b"planted", b"203.0.113", b"Chrome", b"ccccc"))


@pytest.mark.parametrize("headers", [{}, {"dnt": "0"}, {"dnt": "1"}, {"sec_gpc": "0"}])
async def test_where_nobody_says_anything_nothing_is_recorded_of_it(
    front: Front, headers: dict[str, str]
) -> None:
    for event in await everywhere(front, **headers):
        assert event.consent == {}
        assert event.cookie_id == COOKIE.removeprefix("ct_id=")


async def test_global_privacy_control_is_measured_and_marked(front: Front) -> None:
    for event in await everywhere(front, sec_gpc="1"):
        assert event.consent == {"ads": False, "gpc": True, "source": "gpc"}
        assert event.cookie_id == COOKIE.removeprefix("ct_id=")


async def test_the_country_is_told_before_the_address_is_forgotten(front: Front) -> None:
    front.doors.country_of = {"203.0.113.0": "NO"}.get  # type: ignore[assignment]
    for event in await everywhere(front, said=0):
        assert (event.ip, event.country) == ("", "NO")
    told = {"kind": "visit", "consent": 0, "ip": "203.0.113.9", "user_agent": CHROME}
    await front.tell(told)
    event = (await front.events())[-1]
    assert (event.ip, event.country, device(event.user_agent or "")) == ("", "NO", device(CHROME))
    assert event.consent == {"measure": False, "ads": False, "source": "api"}


async def test_a_refused_event_without_consent_shows_nothing_of_its_visitor(front: Front) -> None:
    """At each door; what is refused with consent shows what was sent, so that it can be mended."""
    front.settings(consent_default="denied")
    planted = {
        "visitor_id": "v-planted",
        "user_id": "u-planted",
        "title": "t-planted",
        "subs": {"sub1": "planted"},
    }
    bad = {"kind": "sale", "value": "x", "campaign": "spring", **planted}
    query = "e=sale&v=x&c=spring&vid=v-planted&u=u-planted&url=https://a.example/?planted"
    await front.ask("GET", f"/p.gif?k={PUBLIC}&{query}")
    await front.ask("GET", f"/p.gif?k=ct_pub_none&{query}")
    await front.post("/collect", {"k": PUBLIC, "events": [bad]})
    await front.post("/collect", {"k": PUBLIC, "events": [{**bad, "consent": "perhaps"}]})
    await front.tell(bad)
    await front.ask("GET", f"/postback?key={SERVER}&txid=1&value=x&goal=sale&sub1=planted")
    denied = await front.refusals()
    assert len(denied) == 6
    for refusal in denied:
        assert "planted" not in msgspec.json.encode(refusal).decode()
        assert json.loads(refusal.body).keys() & {"value", "v"}
    await front.tell({**bad, "consent": 1})
    await front.ask("GET", f"/p.gif?k={PUBLIC}&{query}&consent=1")
    for refusal in (await front.refusals())[6:]:
        assert "v-planted" in refusal.body and "u-planted" in refusal.body


async def test_a_postback_says_by_itself_that_its_click_may_be_kept(front: Front) -> None:
    front.settings(consent_default="denied")
    click = make_click_id(ClickId(1, 7, 0, 0, NOW, 5), workspace(1).secret)
    target = f"/postback?key={SERVER}&txid=1&value=5&currency=EUR&click_id="
    assert (await front.ask("GET", target + click)).status == 200
    assert (await front.ask("GET", f"{target}{click}&consent=1")).status == 200
    assert (await front.ask("GET", target + "c" * len(click))).status == 400
    silent, agreed = await front.events()
    assert (silent.click_id, silent.value, silent.consent["source"]) == ("", 5_000_000, "default")
    assert agreed.click_id == click


async def test_while_nobody_knows_whose_an_event_is_no_cookie_is_set(front: Front) -> None:
    """It may be a workspace's that sets none; what the headers said is left to the pipeline."""
    front.clock.now += STALE_AFTER + 1
    target = "/p.gif?k=ct_pub_new&e=open&vid=v1"
    fresh = await front.ask("GET", target, dnt="1", sec_gpc="1")
    known = await front.ask("GET", target, cookie=COOKIE)
    denied = await front.ask("GET", f"{target}&consent=0", cookie=COOKIE)
    assert "set-cookie" not in fresh.headers | known.headers
    assert "ct_id=; Max-Age=0" in denied.headers["set-cookie"]
    first, second, third = await front.events()
    assert first.consent == {"gpc": True, "dnt": True, "ads": False, "source": "gpc"}
    assert (first.cookie_id, second.cookie_id) == ("", COOKIE.removeprefix("ct_id="))
    assert (first.visitor_id, third.visitor_id, third.cookie_id) == ("v1", "", "")


def test_consent_that_cannot_be_read_is_a_no_until_it_can_be() -> None:
    assert Said({"measure": "perhaps"}).denied(GRANTED)
    assert not Said({"measure": "1"}).denied(GRANTED)
