"""The background process: the pipeline, the leader, erasures, and a literal table of small recurring tasks.

Four threads, each with work of its own, so that a slow one cannot delay another. `run` returns when
`stop` is set and what was begun is finished; a kill at any moment loses nothing, since each transaction
moves its cursor with what it stored.
"""

import fcntl
import gc
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from app import db, disk, salt
from app.attribution.leader import NOTES, lead
from app.clock import now_us
from app.events import months, retention
from app.inbox.queue import Queue
from app.inbox.sweep import Sweep
from app.model import SECOND
from app.persons import keeping
from app.persons import tasks as persons
from app.pipeline import recount
from app.pipeline.run import Pipeline
from app.places import countries
from app.pulse import Pulse
from app.settings import Settings
from app.telemetry import logger
from app.workspaces import Snapshots

log = logger("worker")

#: Where freshness is kept: a cursor of no file. Its `sequence` is the instant up to which all of this
#: worker's inbox is in. Of several machines each adds its own name, kept in its lock file: what is in for
#: certain is the least of them.
FRESHNESS = b""

SILENCE = 30  # seconds that PostgreSQL may say nothing before what waits for it begins anew
IDLE_SECONDS = 0.03
ERASURES_SECONDS = 1.0
FULL = 1_000  # records of a batch after which more is taken at once
RETRY_SECONDS = (0.1, 0.3, 1.0, 2.0, 5.0)
MOST_LOG = 64 * 2**20  # bytes of SQLite's log after which it is begun anew
LOG_PATIENCE = 2.0  # seconds that writers wait for it at most


FOR_EVER = keeping.Limits(retention_months=0, rejected_days=0, audit_days=0)


@dataclass(frozen=True, slots=True)
class Context:
    """What the worker's tasks share."""

    engine: Engine
    pipeline: Pipeline
    queue: Queue
    snapshots: Snapshots
    stored: threading.Event  # set when the pipeline committed something
    freshness: bytes = FRESHNESS
    mark: Path | None = None  # where it is noted how far `freshness` was committed
    data: Path | None = None  # the data folder; None: there is none
    limits: keeping.Limits = FOR_EVER
    eraser: persons.Eraser | None = None
    pace: Callable[[], float] = time.monotonic  # seconds that no one sets: when a task is due again


def drain(context: Context, limit: int) -> int:
    """Take what the inbox holds, up to `limit` records; returns how many."""
    before = context.pipeline.clock()
    slices = context.queue.read(context.pipeline.cursors(), limit)
    if not slices:
        # Nothing was waiting at `before`, so everything accepted until then is in the numbers' facts. A
        # clock that was set back takes the mark back too: what comes next is older than it stood.
        stood = context.pipeline.cursors().get(context.freshness, 0)
        if abs(before - stood) > SECOND:
            if context.mark is not None:
                _look_back(context.mark, stood)
            context.pipeline.advance(context.freshness, before)
            if context.mark is not None:
                _note(context.mark, before)
        return 0
    context.pipeline.take(slices)
    for part in slices:
        context.queue.forget(part.file, part.sequences[-1])
    context.stored.set()
    return sum(len(part.sequences) for part in slices)


def _look_back(mark: Path, stands: int) -> None:
    """Tell of a database that is behind where it was: what it knew since, it knows no more."""
    stood = int.from_bytes(disk.noted(mark) or b"", "big")
    if stands < stood:
        log.error(
            "database_went_back",
            stood_at=stood,
            stands_at=stands,
            reason="its log (-wal) is damaged or gone, or an older copy was put in its place",
        )


def _note(mark: Path, instant: int) -> None:
    with suppress(OSError), mark.open("wb", buffering=0) as file:
        disk.note(file.fileno(), instant.to_bytes(8, "big"))


def refresh_snapshot(context: Context) -> None:
    """Confirm the doors' snapshot against the database: an old one tells them the database is gone."""
    context.snapshots.refresh(context.engine)


def replay(context: Context) -> None:
    """Quarantined records that an operator asked for; by a pipeline of its own, since each caches names."""
    Pipeline(context.engine, context.pipeline.clock, context.pipeline.country_of).replay()


def drop_aged(context: Context) -> None:
    """Receipts, rejected records and the audit log, each at its time."""
    dropped = keeping.drop_old(context.engine, context.pipeline.clock(), context.limits)
    if dropped:
        log.info("old_rows_deleted", count=dropped)


def make_months(context: Context) -> None:
    """The months of events to come (PostgreSQL)."""
    with db.begin(context.engine) as connection:
        if made := months.make_months(connection, context.pipeline.clock()):
            log.info("months_made", count=made)


def drop_old_events(context: Context) -> None:
    """Raw events whose time is over, some at each turn."""
    now, months_kept = context.pipeline.clock(), context.limits.retention_months
    dropped = retention.drop_old(context.engine, now, months_kept)
    keeping.ran(context.engine, "raw events", removed=dropped, now=now)
    if dropped:
        log.info("old_events_deleted", count=dropped)


def destroy_salts(context: Context) -> None:
    """What told the visitors of a day apart, once it is over; web processes may be long asleep by then."""
    if context.data is not None and (count := salt.destroy_past(context.data, context.pipeline.clock())):
        log.info("salts_destroyed", count=count)


def restart_log(context: Context) -> None:
    """Reports that overlap keep SQLite's log from ever beginning anew."""
    size = db.restart_log(context.engine, most=MOST_LOG, patience=LOG_PATIENCE)
    if size > 2 * MOST_LOG:
        log.warning("log_long", bytes=size)


@dataclass(frozen=True, slots=True)
class Task:
    every: float  # seconds
    act: Callable[[Context], None]


TASKS: tuple[Task, ...] = (
    Task(1, refresh_snapshot),
    Task(1, replay),
    Task(15, restart_log),
    Task(3600, drop_aged),
    Task(3600, make_months),
    Task(10, drop_old_events),
    Task(10, destroy_salts),
)


def run(settings: Settings, stop: threading.Event) -> None:
    """Work until `stop` is set. One worker per data folder: a second one waits for the first to end."""
    pulse = Pulse(SILENCE)
    engine = db.connect(settings.database, pulse=pulse)
    snapshots = Snapshots(settings.snapshot, clock=now_us)
    disk.make_folder(settings.inbox)
    with _alone(settings.data / "worker.lock", stop) as name:
        if not name:
            return
        context = Context(
            engine=engine,
            pipeline=Pipeline(engine, now_us, countries(settings.geoip)),
            queue=Queue(settings.inbox),
            snapshots=snapshots,
            stored=threading.Event(),
            limits=keeping.Limits(settings.retention_months, settings.rejected_days, settings.audit_days),
            freshness=FRESHNESS if engine.dialect.name == "sqlite" else FRESHNESS + name,
            mark=settings.data / "worker.mark",
            data=settings.data,
            eraser=persons.Eraser(
                engine=engine,
                sweep=Sweep(settings.inbox),
                name=name,
                clock=now_us,
                rebuild=recount.rebuild,
                fresh=lambda: secrets.randbits(63),
            ),
        )
        gc.collect()
        gc.freeze()
        db.watch(settings.database, pulse)
        threads = [
            threading.Thread(target=_pipeline, args=(context, settings.batch, stop), name="pipeline"),
            threading.Thread(target=_leader, args=(context, stop), name="leader"),
            threading.Thread(target=_tasks, args=(context, stop), name="tasks"),
            threading.Thread(target=_erasures, args=(context, stop), name="erasures"),
        ]
        for thread in threads:
            thread.start()
        log.info("started", database=engine.url.get_backend_name())
        for thread in threads:
            # Not for ever at a time: the kernel may hand a signal to another thread (it does when the process
            # stood still), which does not wake this one, and only this one runs its handler.
            while thread.is_alive():
                thread.join(0.2)
        context.queue.close()
    pulse.stop()
    engine.dispose()
    log.info("stopped")


def pipeline_turn(context: Context, limit: int) -> bool:
    """Drain once; whether more is to be taken at once."""
    # A batch costs some milliseconds whatever its size: a moment's wait makes it a fuller one.
    return drain(context, limit) >= min(FULL, limit)


def leader_turn(context: Context) -> bool:
    return lead(context.engine, context.pipeline.clock, recount.rebuild) >= NOTES


def tasks_turn(context: Context, due: dict[Task, float]) -> bool:
    """Do what is due. By the pace and not the clock: a clock set back would keep all of it waiting."""
    now = context.pace()
    for task in TASKS:
        if now >= due.get(task, now):
            due[task] = now + task.every
            task.act(context)
    return False


def erasures_turn(context: Context) -> bool:
    """Carry out what persons asked for. It may take long: nothing else waits for it."""
    if context.eraser is not None:
        persons.carry_on(context.eraser)
    return False


def turns(name: str, turn: Callable[[], bool]) -> Iterator[float | None]:
    """Take turns for ever. Between them, the seconds to wait: 0 after work, more after each failure, None
    when there was nothing to do."""
    failures = 0
    while True:
        try:
            busy = turn()
            failures = 0
        except Exception as error:
            busy, failures = False, failures + 1
            if db.passing(error):
                log.warning("database_in_trouble", turn=name, error=str(error)[:200])
            else:
                log.exception("turn_failed", turn=name)
        if failures:
            yield RETRY_SECONDS[min(failures, len(RETRY_SECONDS)) - 1]
        else:
            yield 0 if busy else None


def _pipeline(context: Context, limit: int, stop: threading.Event) -> None:
    _forever(lambda: pipeline_turn(context, limit), stop, pause=lambda: stop.wait(IDLE_SECONDS))


def _leader(context: Context, stop: threading.Event) -> None:
    def pause() -> None:
        stop.wait(IDLE_SECONDS)
        context.stored.wait(0.2)
        context.stored.clear()

    _forever(lambda: leader_turn(context), stop, pause=pause)


def _tasks(context: Context, stop: threading.Event) -> None:
    due: dict[Task, float] = {}
    _forever(lambda: tasks_turn(context, due), stop, pause=lambda: stop.wait(0.25))


def _erasures(context: Context, stop: threading.Event) -> None:
    _forever(lambda: erasures_turn(context), stop, pause=lambda: stop.wait(ERASURES_SECONDS))


def _forever(turn: Callable[[], bool], stop: threading.Event, *, pause: Callable[[], object]) -> None:
    """Take turns until `stop`."""
    taken = turns(threading.current_thread().name, turn)
    while not stop.is_set():
        wait = next(taken)
        if wait is None:
            pause()
        elif wait:
            stop.wait(wait)


@contextmanager
def _alone(path: Path, stop: threading.Event) -> Iterator[bytes]:
    """Hold the lock file, waiting for its holder, and say the name in it; b"" when `stop` came first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        while not stop.is_set():
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                stop.wait(0.1)
            else:
                file.seek(0)
                name = file.read(64)
                if not name:
                    name = b"worker " + secrets.token_hex(8).encode()
                    file.write(name)
                    file.flush()
                    os.fsync(file.fileno())  # a name that a power cut took would stand in `cursors` for ever
                    disk.sync(path.parent)
                yield name
                return
        yield b""
