"""The nouns. What an event, a touch, a conversion and a credit are; no I/O, no clock, no framework.

Times are integer microseconds since 1970 in UTC (`at`, `..._at`), money integer micro-units. Wherever
a table keeps a small integer for a word, the word's number stands here, in one literal table.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

import msgspec

Door = Literal["pixel", "redirect", "beacon", "api", "postback", "import", "landing"]
Scope = Literal["public", "server", "read", "admin"]

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
QUARTER = 15 * 60 * SECOND  # the grain of time rollups: every zone's offset is a multiple of it
HALF_HOUR = 30 * 60 * SECOND  # the fixed UTC bucket of landing clicks and possible duplicates

KINDS: dict[str, int] = {
    "impression": 1, "click": 2, "visit": 3, "pageview": 4, "open": 5,
    "lead": 6, "sale": 7, "refund": 8, "status": 9, "engagement": 10,
}  # fmt: skip
KIND_NAMES = {number: name for name, number in KINDS.items()}
TRAFFIC = frozenset({"impression", "click", "visit", "pageview", "open", "engagement"})
RESULTS = frozenset({"lead", "sale"})
ADJUSTMENTS = frozenset({"refund", "status"})
PUBLIC_KINDS = TRAFFIC | RESULTS

STATES: dict[str, int] = {"pending": 1, "approved": 2, "rejected": 3}
STATE_NAMES = {number: name for name, number in STATES.items()}

DEVICES: dict[str, int] = {"": 0, "desktop": 1, "mobile": 2, "tablet": 3, "other": 4}
DEVICE_NAMES = {number: name for name, number in DEVICES.items()}

DOORS: dict[str, int] = {
    "pixel": 1, "redirect": 2, "beacon": 3, "api": 4, "postback": 5, "import": 6, "landing": 7,
}  # fmt: skip
DOOR_NAMES = {number: name for name, number in DOORS.items()}

#: Who is believed when two doors tell one order differently (METRICS.md, "Sales"): the smallest.
TRUST: dict[str, int] = {"api": 1, "postback": 2, "import": 3, "beacon": 4, "pixel": 4, "redirect": 4}

#: Why an event is kept but not counted. A set of bits; 0 is valid.
FLAGS: dict[str, int] = {
    "bot": 1,  # a declared robot, or no browser at all
    "duplicate": 2,  # the same thing, told twice under two ids
    "prefetch": 4,  # HEAD, prefetch or link preview: nobody looked (lifts when the click id comes back)
    "void": 8,  # taken back by the operator
    "test": 16,  # sent as a test: shown, counted nowhere, not even gross
    "unseen": 32,  # an impression known not to have been viewable: counted, but earns no credit
    "caused": 64,  # a visit that a recorded click led to: counted, but the click earns the credit
    "ignored": 128,  # a visit back from a payment provider's page: counted, but nobody sent it
}
INVALID = FLAGS["bot"] | FLAGS["duplicate"] | FLAGS["prefetch"] | FLAGS["void"]
TEST = FLAGS["test"]
UNSEEN = FLAGS["unseen"]
CAUSED = FLAGS["caused"]

#: Why a conversion is kept but not counted. Bits; 0 counts.
SETBACKS: dict[str, int] = {"possible_duplicate": 1, "repeated": 2, "test": 4, "bot": 8}

MODELS: dict[str, int] = {
    "first_touch": 1, "last_touch": 2, "last_click": 3, "linear": 4,
    "position_based": 5, "time_decay": 6, "billing": 7,
}  # fmt: skip

BASES: dict[str, int] = {"conversion": 1, "touch": 2, "booking": 3}

#: What an unattributed credit says about itself.
REASONS: dict[str, int] = {
    "no_identifier": 1, "consent_denied": 2, "outside_window": 3, "direct": 4, "no_touch": 5,
    "not_eligible": 6,
}  # fmt: skip

#: What is known of a visit: "" nobody tells, bounced (so far), engaged in. Of other events always "".
QUALITY: dict[str, int] = {"": 0, "bounced": 1, "engaged": 2}

#: Who sends (tables.source_hours): a site by its host, a server by its key, a network by its partner.
SOURCES: dict[str, int] = {"site": 1, "key": 2, "partner": 3}
SOURCE_NAMES = {number: name for name, number in SOURCES.items()}

#: Node kinds of the identity graph.
NODES: dict[str, int] = {"visitor": 1, "user": 2, "email": 3, "phone": 4}


class Event(msgspec.Struct, frozen=True, array_like=True, tag="e", kw_only=True):
    """One normalised record of the inbox. Fields are stored by position: append, never reorder."""

    workspace: int
    door: str
    kind: str
    received_at: int
    occurred_at: int
    no: int  # the event's number: 63 bits of its id, the last word in every order of events
    stated_at: int | None = None  # what the sender said, before clocks were corrected
    id: str = ""  # the sender's; "" when it sent none
    goal: str = ""
    campaign: str = ""
    ad_group: str = ""
    ad: str = ""
    partner: str = ""
    channel: str = ""
    creative: str = ""
    placement: str = ""
    keyword: str = ""
    click_id: str = ""
    click_ids: dict[str, str] = {}
    visitor_id: str = ""
    cookie_id: str = ""
    user_id: str = ""
    email: dict[str, str] = {}  # hashing profile -> hex SHA-256; never the address
    phone: dict[str, str] = {}
    order_id: str = ""
    store: str = ""
    conversion_id: str = ""
    lead_id: str = ""
    value: int | None = None
    currency: str = ""
    tax: int | None = None
    shipping: int | None = None
    cost_of_goods: int | None = None
    payout: int | None = None  # the commission a network claims; never revenue
    status: str = ""
    url: str = ""
    referrer: str = ""
    title: str = ""
    utm: dict[str, str] = {}
    subs: dict[str, str] = {}
    ip: str = ""  # truncated (/24, /48) before this record existed
    user_agent: str | None = None  # None: not known, so not judged; "": the browser sent none
    country: str = ""
    viewable: bool | None = None
    consent: dict[str, object] = {}
    segment: dict[str, str] = {}
    new_customer: bool | None = None
    test: bool = False
    properties: dict[str, object] = {}
    hints: tuple[str, ...] = ()  # what the door noticed: head, prefetch, preview, paused, clock
    key_digest: str = ""  # of a public key not in a stale snapshot: the pipeline judges it
    engaged: bool | None = None  # of a visit; None: its sender does not tell
    visit_id: str = ""  # of an engagement: the id of its visit
    key: int = 0  # the id of the server's key that sent it


class Refusal(msgspec.Struct, frozen=True, array_like=True, tag="r", kw_only=True):
    """Something a door refused, kept so that nothing refused is silent."""

    workspace: int
    door: str
    received_at: int
    code: str
    message: str
    field: str = ""
    id: str = ""
    body: str = ""  # scrubbed, at most 2 KiB


Record = Event | Refusal


@dataclass(frozen=True, slots=True)
class Rejected:
    """A step's or door's expected "no": a value, not an exception. `code` is for machines."""

    code: str
    message: str = ""
    field: str = ""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking: a key resolved to its workspace and scope."""

    workspace: int
    scope: Scope
    key: int


def number(*parts: str | int) -> int:
    """63 bits of a digest of `parts`: the identity of things that have no small integer of their own.

    Intrinsic, so it does not depend on order of arrival. Among ten million things the chance that any
    two share a number is 5e-6.
    """
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def node(workspace: int, kind: str, value: str) -> int:
    """The number of an identifier (a visitor id, user id, hashed e-mail or phone) in the identity graph."""
    return number(workspace, NODES[kind], value)


def slug_key(slug: str) -> str:
    """How slugs are compared: NFC is the door's duty, case is not told apart (Unicode case folding)."""
    return slug.casefold()


def country_number(code: str) -> int:
    """ISO 3166 alpha-2 as a small integer (0: unknown), so that rollups key integers only."""
    if len(code) != 2 or not (code.isascii() and code.isalpha()):
        return 0
    upper = code.upper()
    return (ord(upper[0]) - 64) * 32 + ord(upper[1]) - 64


def country_code(value: int) -> str:
    """The alpha-2 code of `country_number`; "" for 0."""
    return chr((value >> 5) + 64) + chr((value & 31) + 64) if value else ""
