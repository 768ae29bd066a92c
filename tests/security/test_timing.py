"""S8, S14, S17: how long an answer takes tells nothing of a secret, and nobody can make it take long.

Times are only compared with one another, taken in turns in one process; a difference must show three times
over fresh samples before it is believed.
"""

import random
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from functools import partial
from statistics import fmean, variance
from time import perf_counter_ns, process_time_ns
from typing import Any

import pytest

from app import agents
from app.campaigns.clickid import ClickId, make_click_id, read_click_id
from app.collect import fields, hashing, visitor
from app.collect.destinations import allowed, signed
from app.collect.receipts import Receipt, make_receipt, read_receipt
from app.inbox.records import Position
from app.pipeline import rules
from tests.security import inventory
from tests.security.tenants import Request, Town

SECRET_BYTES = bytes(range(32))
BATCHES, CALLS = 1500, 12
SIGNIFICANT = 4.5  # Welch's t; the bar of those who test cryptographic libraries

MANY = 300  # texts of a kind: one text's place in memory is not what is measured

Check = Callable[[str], object]
Texts = Callable[[int], list[str]]  # of a seed


def compared(check: Check, one: Sequence[str], other: Sequence[str]) -> tuple[float, float]:
    """(Welch's t, difference as a share of the time) of two kinds of text; the slowest third left out."""
    dice = random.Random(1)
    # Made anew in mixed order: where in memory a text lies is not what is measured.
    kinds = [[f"{a}\n"[:-1], f"{b}\n"[:-1]] for a, b in zip(one, other, strict=True)]
    times: tuple[list[int], list[int]] = ([], [])
    for _ in range(BATCHES):
        for kind in dice.sample((0, 1), 2):
            said = [pair[kind] for pair in dice.choices(kinds, k=CALLS)]
            started = perf_counter_ns()
            for text in said:
                check(text)
            times[kind].append(perf_counter_ns() - started)
    a, b = (sorted(kind)[: BATCHES * 2 // 3] for kind in times)
    apart = fmean(a) - fmean(b)
    return apart / ((variance(a) / len(a) + variance(b) / len(b)) ** 0.5 or 1), abs(apart) / fmean(a)


def differs(check: Check, one: Texts, other: Texts) -> tuple[bool, float]:
    """Whether a difference of one sign shows three times over fresh texts; the smallest |t| that was seen.

    On a machine that others use, what is below a hundredth of the time is no evidence of anything.
    """
    found: list[float] = []
    for seed in range(3):
        t, share = compared(check, one(seed), other(seed))
        found.append(t)
        if abs(t) < SIGNIFICANT or share < 0.01 or t * found[0] < 0:
            return False, min(map(abs, found))
    return True, min(map(abs, found))


def forged(mac: bytes, share: int, seed: int) -> list[bytes]:
    """MACs that are right in their first `share` bytes and wrong in the next."""
    dice = random.Random(share * 100 + seed)
    return [mac[:share] + bytes([mac[share] ^ dice.randrange(1, 256)]) + dice.randbytes(len(mac) - share - 1)
            for _ in range(MANY)]  # fmt: skip


def _encoded(payload: bytes, macs: Sequence[bytes]) -> list[str]:
    return [urlsafe_b64encode(payload + mac).rstrip(b"=").decode() for mac in macs]


def _click(share: int, seed: int) -> list[str]:
    data = urlsafe_b64decode(make_click_id(ClickId(1, 2, 3, 4, 5, 6), SECRET_BYTES) + "=")
    return _encoded(data[:-16], forged(data[-16:], share, seed))


def _receipt(share: int, seed: int) -> list[str]:
    text = make_receipt(Receipt(1, Position(bytes(16), 1, 1), 1), SECRET_BYTES)
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return _encoded(data[:-8], forged(data[-8:], share, seed))


URL = "https://elsewhere.example/"


def _link(share: int, seed: int) -> list[str]:
    return [mac.hex() for mac in forged(bytes.fromhex(signed(URL, SECRET_BYTES)), share, seed)]


#: What is signed: how it is read, how it is forged, and how many bytes its MAC has.
SIGNED: dict[str, tuple[Check, Callable[[int, int], list[str]], int]] = {
    "click id": (lambda text: read_click_id(text, SECRET_BYTES), _click, 16),
    "receipt": (lambda text: read_receipt(text, SECRET_BYTES), _receipt, 8),
    "signed link": (lambda text: allowed(URL, [], text, SECRET_BYTES), _link, 32),
}


@pytest.mark.parametrize("what", SIGNED)
def test_a_forged_signature_is_refused_as_fast_however_much_of_it_is_right(
    what: str, report: Callable[[str], None]
) -> None:
    check, forge, length = SIGNED[what]
    seen = []
    for share in sorted({1, length // 2, length - 1}):
        assert not any(check(text) for text in forge(share, 0))
        told, t = differs(check, partial(forge, 0), partial(forge, share))
        assert not told, f"{what}: {share} right bytes take another time, t = {t:.1f}"
        seen.append(t)
    report(f"S17 {what}: |t| at most {max(seen):.1f} (bar {SIGNIFICANT}) for 0 to {length - 1} right bytes")


def test_a_comparison_byte_by_byte_is_found(report: Callable[[str], None]) -> None:
    """Planted: what == would be, were it written by hand; longer, as a comparison in C takes nanoseconds."""
    right = signed(URL, SECRET_BYTES)

    def naive(text: str) -> bool:
        return all(a == b for a, b in zip(text, right, strict=True))

    told, t = differs(naive, partial(_link, 0), partial(_link, 31))
    assert told
    report(f"S17 planted comparison byte by byte: |t| = {t:.0f}")


# --- Keys (S8) ------------------------------------------------------------------------------------------


def test_a_guess_at_a_key_takes_as_long_however_near_it_is(town: Town, report: Callable[[str], None]) -> None:
    """Keys are looked up by their SHA-256: a guess that is nearly right is as far off as any other."""
    right = town.tenants[0].keys["admin"]

    def guesses(share: int, seed: int) -> list[str]:
        dice = random.Random(seed)
        return [right[:share] + "".join(dice.choices("#$%&", k=len(right) - share)) for _ in range(MANY)]

    told, t = differs(town.app.doors.key, partial(guesses, 0), partial(guesses, len(right) - 2))
    assert not told, t
    report(f"S8 keys: |t| = {t:.1f} between guesses that share nothing and all but two characters")


def test_ten_thousand_guesses_open_nothing_and_leave_nothing(town: Town) -> None:
    """192 random bits are out of reach of guessing, so guessing costs us only its digest: nothing is kept."""
    dice = random.Random(8)
    first = town.tenants[0]
    guesses = ["ct_adm_" + "".join(dice.choices("abcdefgh0123", k=32)) for _ in range(9_990)]
    long = [letter * 60_000 for letter in "abcdefghij"]
    bodies = (b'{"k": "%s", "events": []}' % key.encode() for key in (*guesses, *long))
    answers = town.ask_all([Request("POST", "/collect", [], body) for body in bodies])
    assert {answer.status for answer in answers} == {401}
    assert len(town.app.doors._keys) <= sum(len(tenant.keys) for tenant in town.tenants)
    asked = [Request("GET", "/v1/workspace", [inventory.HEADERS["bearer"](key)]) for key in guesses[:200]]
    assert {answer.status for answer in town.ask_all(asked)} == {401}
    assert len({answer.body for answer in answers}) == 1
    assert len(first.keys["admin"]) == len("ct_adm_") + 32  # 24 random bytes


# --- What reading costs (S14) ---------------------------------------------------------------------------

#: What has driven parsers of user agents and addresses to their knees, repeated to any length.
PATTERNS = {
    "spaces": " ", "a": "a", "at": "@", "a@": "a@", "a@b.": "a@b.", "%40": "%40", "%2540": "a%25254",
    "dots": ".", "%2e": "%2e", "slashes": "/", "//a:": "//a:", "brackets": "(", "semicolons": "; ",
    "android": "android ", "mozilla": "Mozilla/5.0 (", "digits": "1", "1.": "1.", "ampersands": "&a=",
    "utm": "&utm_source=a", "bot": "bo t", "braces": "{a}", "percent": "%", "NUL": "%00", "å": "å",
    "combining": "e\u0301", "dashes": "a-", "http": "http", "crawl": "crawl er", "x.y": "x.y.z", "hex": "0f",
    "tabs": "\t", "plus": "+", "quotes": "'\"", "colons": ":", "@a.": "@a.", "%40a": "%40a",
}  # fmt: skip

#: What reads them, without its memory of what it has read before; and the most it is ever given.
READERS: dict[str, tuple[Callable[[str], Any], int]] = {
    "user agent at the door": (lambda said: visitor._agent.__wrapped__(said.encode()[:400]), 400),
    "user agent, robot?": (agents.is_bot.__wrapped__, 1000),
    "user agent, device": (agents.device.__wrapped__, 1000),
    "address of a page": (lambda said: _or_bad(fields.link, "https://a.example/?" + said), 2048),
    "address, scrubbed": (lambda said: hashing.scrubbed("https://a.example/40@" + said), 4096),
    "host of a referrer": (lambda said: rules.host.__wrapped__("https://a" + said), 2048),
    "e-mail": (hashing.emails, 2048),
    "phone": (hashing.phones, 2048),
    "macro": (fields.unexpanded, 2048),
    "time": (lambda said: _or_bad(lambda text: fields.moment(text, 0), said), 2048),
}


def _or_bad(read: Callable[[str], Any], said: str) -> None:
    try:
        read(said)
    except fields.Bad:
        return


def cost(read: Callable[[str], Any], said: str) -> float:
    """Milliseconds of this process, the least of some tries."""
    tries = []
    for _ in range(5):
        started = process_time_ns()
        read(said)
        tries.append(process_time_ns() - started)
    return min(tries) / 1e6


@pytest.mark.parametrize("reader", READERS)
def test_nothing_that_is_sent_takes_long_to_read(reader: str, report: Callable[[str], None]) -> None:
    read, most = READERS[reader]
    costs = {name: cost(read, (pattern * most)[:most]) for name, pattern in PATTERNS.items()}
    worst = max(costs, key=lambda name: costs[name])
    report(f"S14 {reader}: at most {costs[worst]:.3f} ms for {most} characters ({worst})")
    for name, pattern in PATTERNS.items():
        if costs[name] > 0.1:  # eight times as much may take eight times as long, not sixty-four times
            assert cost(read, (pattern * 8 * most)[: 8 * most]) < 24 * costs[name], name
    assert costs[worst] < 5
