"""A process that appends numbered records and says which were acknowledged; run by the fault tests.

python writer.py FOLDER SEGMENT_BYTES [COUNT]
"""

import asyncio
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from app.errors import Unavailable
from app.inbox.sqlite import Inbox


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main(folder: Path, segment_bytes: int, count: int) -> None:
    inbox = Inbox(
        folder,
        segment_bytes=segment_bytes,
        limit_bytes=2**30,
        reserve_bytes=0,
        clock=lambda: time.time_ns() // 1000,
    )
    await inbox.start()
    numbers = iter(range(count))

    async def client() -> None:
        for number in numbers:
            try:
                await inbox.append([b"%d" % number])
            except Unavailable:
                say(f"refused {number}")
            else:
                say(f"stored {number}")
            await asyncio.sleep(0)

    await asyncio.gather(*(client() for _ in range(8)))
    await inbox.stop()


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 10**9))
