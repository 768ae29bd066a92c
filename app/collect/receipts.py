"""Receipts: what became of accepted records.

A receipt is self-describing (workspace, inbox file, first sequence, count, time, MAC), so nothing is
stored when it is given: a record is `stored` once the pipeline's cursor has passed it, unless the pipeline
noted an exception. These are the only reads of the database that a door ever makes, at the sender's own
wish, in threads of their own; while the database is in trouble the answer is `queued`.
"""

import asyncio
import binascii
import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic

from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from app import db, telemetry
from app.inbox.records import Position
from app.model import DAY
from app.tables import cursors
from app.tables import outcomes as exceptions

KEPT = 7 * DAY
WAIT = 5.0  # seconds that `?wait=stored` takes at most
POLL = (0.02, 0.3)  # seconds between looks: first, and at most
_PAYLOAD = struct.Struct(">I16sQHQ")
_MAC = 8

log = telemetry.logger("receipts")


@dataclass(frozen=True, slots=True)
class Receipt:
    workspace: int
    position: Position
    issued_at: int


def make_receipt(receipt: Receipt, secret: bytes) -> str:
    place = receipt.position
    payload = _PAYLOAD.pack(receipt.workspace, place.file, place.first, place.count, receipt.issued_at)
    return urlsafe_b64encode(payload + _sign(payload, secret)).rstrip(b"=").decode()


def read_receipt(text: str, secret: bytes) -> Receipt | None:
    """The receipt, if it was made with this secret."""
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None
    payload, mac = data[: _PAYLOAD.size], data[_PAYLOAD.size :]
    if len(payload) != _PAYLOAD.size or not hmac.compare_digest(mac, _sign(payload, secret)):
        return None
    workspace, file, first, count, issued_at = _PAYLOAD.unpack(payload)
    return Receipt(workspace, Position(file, first, count), issued_at)


def _sign(payload: bytes, secret: bytes) -> bytes:
    # The prefix keeps a receipt's MAC from being taken for that of a click id or a URL.
    return hmac.digest(secret, b"receipt\0" + payload, "sha256")[:_MAC]


class Outcomes:
    """Reads outcomes from the database, in a few threads and connections that nothing else depends on."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="receipts")

    async def now(self, position: Position, *, within: float = WAIT) -> list[str]:
        """What is known of each record of `position`, in order; `queued` where nothing is."""
        loop = asyncio.get_running_loop()
        try:
            asked = loop.run_in_executor(self._threads, self._read, position)
            return await asyncio.wait_for(asked, within)
        except (SQLAlchemyError, TimeoutError) as error:
            log.warning("outcomes_unreadable", error=type(error).__name__)
            return ["queued"] * position.count

    async def stored(self, position: Position) -> list[str]:
        """The outcomes once none is queued any more, or as they are after 5 seconds."""
        deadline = monotonic() + WAIT
        pause, longest = POLL
        while True:
            left = deadline - monotonic()
            found = await self.now(position, within=max(left, 0.05))
            if "queued" not in found or left <= pause:
                return found
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)

    def _read(self, position: Position) -> list[str]:
        last = position.first + position.count - 1
        e = exceptions.c
        with db.reading(self._engine) as connection:
            reached = (
                connection.scalar(select(cursors.c.sequence).where(cursors.c.file == position.file)) or 0
            )
            noted = {
                row.sequence: row.outcome
                for row in connection.execute(
                    select(e.sequence, e.outcome).where(
                        e.file == position.file, e.sequence.between(position.first, last)
                    )
                )
            }
        return [
            noted.get(sequence, "stored") if sequence <= reached else "queued"
            for sequence in range(position.first, last + 1)
        ]

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._engine.dispose()
