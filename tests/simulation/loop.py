"""Time and chance of a simulation: an asyncio loop whose clock jumps to whatever is due next.

Nothing waits and nothing happens at the same time: one thread, and every delay drawn from one seed. So a
run is a function of its seed.
"""

import asyncio
import hashlib
import random
import selectors
from collections import deque
from collections.abc import Coroutine
from typing import Any

START = 1_790_000_000_000_000  # true time at the beginning, us: 2026-09-21 13:33:20 UTC
KEPT = 60  # lines of the trace that a failure shows


class _Idle(selectors.SelectSelector):
    """Nothing is ever ready: waiting for it is what moves the time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everything waits for something that will never happen")
        self.now += max(timeout, 0.0)
        return []


class Loop(asyncio.SelectorEventLoop):
    """Seconds since the beginning are its time."""

    def __init__(self) -> None:
        self._idle = _Idle()
        super().__init__(self._idle)

    def time(self) -> float:
        return self._idle.now


class World:
    """What everything in a simulation shares: the loop, chance, whether there are faults, the trace."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.loop = Loop()
        self.faults = True
        self.last: deque[str] = deque(maxlen=KEPT)
        self.steps = 0
        self._digest = hashlib.blake2b(digest_size=16)

    @property
    def now(self) -> int:
        """True time, us."""
        return START + round(self.loop.time() * 1e6)

    def happens(self, probability: float) -> bool:
        """A fault of this probability; never when the faults are over."""
        return self.chance.random() < probability and self.faults

    async def sleep(self, least: float, most: float) -> None:
        await asyncio.sleep(self.chance.uniform(least, most))

    def note(self, who: str, what: str) -> None:
        """A line of the trace."""
        line = f"{self.loop.time():9.4f} {who:8} {what}"
        self.steps += 1
        self.last.append(line)
        self._digest.update(line.encode() + b"\n")

    def digest(self) -> str:
        return self._digest.hexdigest()

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        try:
            self.loop.run_until_complete(main)
        finally:
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self.loop.close()
