"""Affiliate networks report what our clicks earned."""

import pytest

from tests.collect.conftest import SERVER, Front


async def clicked(front: Front, host: str = "t.example") -> str:
    await front.ask("GET", "/c/spring", host=host)
    return (await front.events())[-1].click_id


async def test_a_postback_is_stored_and_answered_with_ok(front: Front) -> None:
    click = await clicked(front)
    answer = await front.ask(
        "GET", f"/postback?key={SERVER}&click_id={click}&txid=T1&value=10&payout=2.50&currency=EUR&sub3=x"
    )
    assert (answer.status, answer.body) == (200, b"OK")
    event = (await front.events())[-1]
    assert (event.kind, event.order_id, event.value, event.payout) == ("sale", "T1", 10_000_000, 2_500_000)
    assert (event.click_id, event.door, event.subs) == (click, "postback", {"sub3": "x"})


async def test_a_form_and_json_work_like_a_query(front: Front) -> None:
    click = await clicked(front)
    form = f"click_id={click}&goal=signup&return=thanks+a+lot".encode()
    answer = await front.ask("POST", f"/postback?key={SERVER}", form)
    assert (answer.status, answer.body) == (200, b"thanks a lot")
    await front.post("/postback", {"key": SERVER, "click_id": click, "goal": "signup"})
    assert [(event.kind, event.goal) for event in (await front.events())[1:]] == [("lead", "signup")] * 2


async def test_a_status_is_also_a_change_of_state(front: Front) -> None:
    click = await clicked(front)
    await front.ask("GET", f"/postback?key={SERVER}&click_id={click}&txid=T1&status=rejected")
    sale, change = (await front.events())[1:]
    assert (sale.kind, change.kind, change.order_id, change.status) == ("sale", "status", "T1", "rejected")
    assert sale.no != change.no


@pytest.mark.parametrize(
    "query, reason",
    [
        ("click_id={click_id}", "macro_unexpanded: click_id"),
        ("click_id=CLICK&payout=%7Bpayout%7D", "macro_unexpanded: payout"),
        ("click_id=forged", "click_id_unknown: click_id"),
        ("click_id=FOREIGN", "click_id_unknown: click_id"),
        ("", "click_id_missing: click_id"),
        ("txid=1&payout=1", "currency_missing: currency"),
        ("txid=1&payout=x&currency=EUR", "amount_invalid: payout"),
        ("txid=1&status=perhaps", "not_one_of: status"),
        ("txid=%00", "not_text: txid"),
    ],
)
async def test_a_bad_postback_says_why(front: Front, query: str, reason: str) -> None:
    query = query.replace("CLICK", await clicked(front)).replace(
        "FOREIGN", await clicked(front, "two.example")
    )
    answer = await front.ask("GET", f"/postback?key={SERVER}&{query}")
    assert answer.status == 400 and answer.body.decode().startswith(reason)
    assert len(await front.events()) == (2 if "CLICK" else 0)
    assert SERVER not in (await front.refusals())[-1].body


@pytest.mark.parametrize("key, status", [("", 401), ("ct_srv_none", 401), ("ct_pub_one", 403)])
async def test_it_wants_a_server_key(front: Front, key: str, status: int) -> None:
    assert (await front.ask("GET", f"/postback?key={key}&txid=1")).status == status


async def test_the_echo_cannot_carry_headers_or_markup(front: Front) -> None:
    answer = await front.ask("GET", f"/postback?key={SERVER}&txid=1&return=%3Cb%3E%0d%0aX:1")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.body == b"<b>X:1"
