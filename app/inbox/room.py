"""How much room is left, and for which kinds it is enough. Pure: sizes in, a verdict out.

What is worth least is refused first: a disk that fills up, or an inbox that nobody drains, costs
impressions long before it costs a sale. The last thing left is room for what money depends on.
"""

from dataclasses import dataclass

from app.errors import Unavailable

#: A kind is taken while more than this part of the reserve is left.
NEEDED: dict[str, float] = {
    "impression": 1, "open": 7 / 8, "pageview": 3 / 4, "visit": 1 / 2, "engagement": 1 / 2,
    "click": 1 / 4, "lead": 0, "sale": 0, "refund": 0, "status": 0,
}  # fmt: skip

#: What an event is told that finds no room. Both pass: the same event may come back later.
DISK, INBOX = "disk_full", "inbox_full"
SHORT = frozenset((DISK, INBOX))


@dataclass(frozen=True, slots=True)
class Room:
    """The kinds that find no room, and what is short (a code of SHORT, and words)."""

    refused: frozenset[str] = frozenset()
    code: str = ""
    message: str = ""

    @property
    def gone(self) -> bool:
        """There is none for anything."""
        return len(self.refused) == len(NEEDED)

    def error(self) -> Unavailable:
        return Unavailable(self.code, self.message)


def judged(*, free: int, reserve: int, held: int, limit: int) -> Room:
    """What fits on a disk with `free` bytes and a `reserve`, into an inbox that holds `held` of `limit`.

    The reserve of the inbox is the last quarter of its limit.
    """
    quarter = limit // 4
    bound = limit if held >= limit else limit - quarter
    disk = Room(_unfit(free, reserve), DISK, f"less than {reserve} bytes are free on the inbox's disk")
    inbox = Room(
        _unfit(limit - held, quarter), INBOX, f"the inbox holds more than {bound} bytes not processed yet"
    )
    shorter = max(disk, inbox, key=lambda room: len(room.refused))
    return shorter if shorter.refused else Room()


def _unfit(left: int, reserve: int) -> frozenset[str]:
    return frozenset(kind for kind, part in NEEDED.items() if reserve and left <= part * reserve)
