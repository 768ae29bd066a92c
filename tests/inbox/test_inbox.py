"""The inbox: what was acknowledged is read back once, in order, whatever happens to the files."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from pysqlite3 import dbapi2 as sqlite

from app.errors import Unavailable
from app.inbox.room import NEEDED
from app.inbox.segment import Segment
from app.inbox.sqlite import Inbox, Queue

Make = Callable[..., Any]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """`await make(...)` opens an inbox in `tmp_path / "inbox"`; it is closed after the test."""
    opened: list[Inbox] = []

    async def started(folder: Path = tmp_path / "inbox", **bounds: int) -> Inbox:
        inbox = Inbox(
            folder,
            **{"segment_bytes": 2**20, "limit_bytes": 2**30, "reserve_bytes": 0, **bounds},
            clock=lambda: time.time_ns() // 1000,
        )
        await inbox.start()
        opened.append(inbox)
        return inbox

    yield started
    for inbox in opened:
        if not inbox._stopping:
            await inbox.stop()


@pytest.fixture
def queue(tmp_path: Path) -> Any:
    found = Queue(tmp_path / "inbox")
    yield found
    found.close()


def drain(queue: Queue, cursors: dict[bytes, int], limit: int = 100) -> list[bytes]:
    """Read all there is, committing the cursor after each batch, as the pipeline does."""
    found: list[bytes] = []
    while slices := queue.read(cursors, limit):
        assert sum(len(one.sequences) for one in slices) <= limit
        for one in slices:
            assert one.sequences == sorted(one.sequences) and one.sequences[0] > cursors.get(one.file, 0)
            found += one.payloads
            cursors[one.file] = one.sequences[-1]
            queue.forget(one.file, one.sequences[-1])
    return found


def files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "inbox").glob("*.db"))


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.02)


async def test_records_of_one_request_have_consecutive_sequences(make: Make, queue: Queue) -> None:
    inbox = await make()
    requests = [[b"%d-%d" % (n, i) for i in range(n % 7 + 1)] for n in range(50)]
    positions = await asyncio.gather(*(inbox.append(request) for request in requests))
    (held,) = queue.read({}, 10_000)
    by_sequence = dict(zip(held.sequences, held.payloads, strict=True))
    for request, position in zip(requests, positions, strict=True):
        assert position.file == held.file
        assert [by_sequence[position.first + i] for i in range(position.count)] == request


async def test_a_request_of_a_thousand_records_is_one_run(make: Make, queue: Queue) -> None:
    inbox = await make()
    records = [b"%d" % n for n in range(1000)]
    position = await inbox.append(records)
    (held,) = queue.read({}, 10_000)
    assert (position.first, position.count, held.payloads) == (1, 1000, records)


async def test_the_reader_reads_while_the_writer_writes(make: Make, queue: Queue) -> None:
    inbox = await make()
    cursors: dict[bytes, int] = {}
    for n in range(5):
        await inbox.append([b"%d" % n])
        assert drain(queue, cursors) == [b"%d" % n]


async def test_full_files_are_rotated_and_drained_ones_unlinked(
    make: Make, queue: Queue, tmp_path: Path
) -> None:
    inbox = await make(segment_bytes=2**16)
    records = [b"%06d" % n + b"x" * 5000 for n in range(60)]
    for record in records:
        await inbox.append([record])
    assert len(files(tmp_path)) > 2
    cursors: dict[bytes, int] = {}
    assert drain(queue, cursors, limit=7) == records
    await inbox.stop()
    queue.read(cursors, 1)
    assert files(tmp_path) == []
    assert list((tmp_path / "inbox").iterdir()) == []


async def test_a_file_is_kept_until_the_cursor_is_committed(make: Make, queue: Queue, tmp_path: Path) -> None:
    inbox = await make()
    await inbox.append([b"1", b"2"])
    await inbox.stop()
    (held,) = queue.read({}, 10)
    assert queue.read({held.file: 2}, 10) == []  # read ahead, nothing committed yet
    assert len(files(tmp_path)) == 1
    queue.forget(held.file, 1)
    assert len(files(tmp_path)) == 1
    queue.forget(held.file, 2)
    assert files(tmp_path) == []


async def test_a_new_reader_unlinks_what_its_predecessor_had_committed(
    make: Make, queue: Queue, tmp_path: Path
) -> None:
    inbox = await make()
    position = await inbox.append([b"1"])
    await inbox.stop()
    assert queue.read({position.file: 1}, 10) == []
    assert files(tmp_path) == []


async def test_an_emptied_file_hides_no_record_below_the_cursor(
    make: Make, queue: Queue, tmp_path: Path
) -> None:
    inbox = await make()
    await inbox.append([b"1", b"2", b"3"])
    cursors: dict[bytes, int] = {}
    drain(queue, cursors)
    with sqlite.connect(str(files(tmp_path)[0])) as other:
        other.execute("DELETE FROM records")
    other.close()
    await inbox.append([b"4"])
    assert drain(queue, cursors) == [b"4"]


async def test_a_recreated_file_of_the_same_name_is_another_file(
    make: Make, queue: Queue, tmp_path: Path
) -> None:
    segment = Segment.create(_folder(tmp_path), clock=lambda: 1)
    segment.write([b"1", b"2", b"3"])
    segment.close()
    (held,) = queue.read({}, 10)
    path = segment.path
    for name in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        name.unlink(missing_ok=True)
    other = Segment.create(_folder(tmp_path), clock=lambda: 2)
    other.write([b"new"])
    other.close()
    other.path.rename(path)
    (again,) = queue.read({held.file: 3}, 10)
    assert (again.payloads, again.sequences) == ([b"new"], [1])
    assert again.file != held.file


def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir(exist_ok=True)
    return folder


async def test_a_record_that_was_changed_on_disk_is_handed_over_empty(
    make: Make, queue: Queue, tmp_path: Path
) -> None:
    inbox = await make()
    await inbox.append([b"good", b"bad", b"good"])
    with sqlite.connect(str(files(tmp_path)[0])) as other:
        other.execute("UPDATE records SET record = ? WHERE sequence = 2", (b"bat",))
    other.close()
    assert drain(queue, {}) == [b"good", b"", b"good"]


async def test_a_file_that_is_no_database_does_not_block_the_others(
    make: Make, queue: Queue, tmp_path: Path
) -> None:
    (_folder(tmp_path) / "0000.db").write_bytes(b"nonsense" * 1000)
    inbox = await make()
    await inbox.append([b"1"])
    assert drain(queue, {}) == [b"1"]


async def test_two_processes_files_are_both_drained(make: Make, queue: Queue) -> None:
    one, two = await make(), await make()
    await asyncio.gather(one.append([b"1"]), two.append([b"2"]))
    assert sorted(drain(queue, {})) == [b"1", b"2"]


async def test_over_its_limit_it_refuses_until_it_is_drained(make: Make, queue: Queue) -> None:
    inbox = await make(limit_bytes=2**20, segment_bytes=2**18)

    async def fill() -> None:
        async with asyncio.timeout(20):
            while True:
                await inbox.append([b"x" * 20_000])

    with pytest.raises(Unavailable, match="holds more than"):
        await fill()
    assert inbox.ready() is not None
    stored = len(drain(queue, {}))
    assert stored * 20_000 < 2**20  # pages and the log take their part
    await eventually(lambda: inbox.ready() is None)
    await inbox.append([b"again"])


async def test_into_the_reserve_of_free_disk_it_takes_only_what_matters_most(
    make: Make, queue: Queue
) -> None:
    inbox = await make(reserve_bytes=2**62)
    with pytest.raises(Unavailable, match="bytes are free"):
        await inbox.add(b"1", "impression")
    inbox.append_nowait(b"refusal")
    assert inbox.ready() is None
    await inbox.add(b"2", "sale")
    assert drain(queue, {}) == [b"2"]


async def test_towards_its_limit_it_takes_only_what_matters_most(make: Make, queue: Queue) -> None:
    inbox = await make(limit_bytes=2**22, segment_bytes=2**18)
    taken: Counter[str] = Counter()
    async with asyncio.timeout(60):
        while inbox.ready() is None:
            for kind in NEEDED:
                with contextlib.suppress(Unavailable):
                    await inbox.add(b"x" * 5_000, kind)
                    taken[kind] += 1
    counts = [taken[kind] for kind in ("impression", "open", "pageview", "visit", "click", "sale")]
    assert counts == sorted(counts) and counts[0] < counts[-1]
    drain(queue, {})
    await eventually(lambda: not inbox.room.refused)
    await inbox.add(b"again", "impression")


async def test_it_starts_and_recovers_without_a_usable_folder(
    make: Make, tmp_path: Path, queue: Queue
) -> None:
    (tmp_path / "inbox").write_text("a file where the folder should be")
    inbox = await make()
    assert inbox.ready() is not None
    with pytest.raises(Unavailable):
        await inbox.append([b"1"])
    (tmp_path / "inbox").unlink()
    await eventually(lambda: inbox.ready() is None)
    await inbox.append([b"2"])
    assert drain(queue, {}) == [b"2"]


async def test_stopping_writes_what_was_taken(make: Make, queue: Queue) -> None:
    inbox = await make()
    waiting = [asyncio.ensure_future(inbox.append([b"%d" % n])) for n in range(20)]
    await asyncio.sleep(0)
    await inbox.stop()
    assert all(not isinstance(one, BaseException) for one in await asyncio.gather(*waiting))
    assert len(drain(queue, {})) == 20
    with pytest.raises(Unavailable):
        await inbox.append([b"late"])


async def test_a_refusal_is_written_though_nobody_waits(make: Make, queue: Queue) -> None:
    inbox = await make()
    inbox.append_nowait(b"refusal")
    await inbox.stop()
    assert drain(queue, {}) == [b"refusal"]
