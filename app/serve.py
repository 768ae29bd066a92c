"""The parent process: binds the socket once, keeps web and worker processes alive, rolls them over.

    prepare   ends before anything is served, and again before every rolling restart (SIGHUP); what is
              started meanwhile may load its code, but opens nothing before it is let go
    web       any number; a new one accepts before its predecessor is told to leave
    worker    one at work: a new one waits for the lock of the one that leaves

One thread, one loop. It opens no database and imports nothing that its children run: it is what stays
while they change, and an upgraded package is taken up by the next SIGHUP.
"""

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.telemetry import logger

log = logger("serve")

#: Seconds a child may take: to get ready, and to leave beyond its drain time before it is killed.
READY_WITHIN = 60.0
LEAVE_WITHIN = 20.0
#: A child that dies is started again after 0.1 s, 0.2 s ... 30 s; a minute of life clears its record.
BACKOFF_FIRST, BACKOFF_LAST, GOOD_LIFE = 0.1, 30.0, 60.0

HEEDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


@dataclass(eq=False)
class Child:
    """One process and our end of the pair between us: it hears "go", says ready, and its end is ours too."""

    role: str
    process: subprocess.Popen[bytes]
    channel: socket.socket
    started: float
    ready: bool = False
    kill_at: float | None = None  # it was told to leave, and is killed then

    def deadline(self) -> float | None:
        """When it is killed unless it has left, or got ready."""
        if self.kill_at is not None:
            return self.kill_at
        return None if self.ready else self.started + READY_WITHIN


@dataclass(eq=False)
class Place:
    """What is to be kept alive: who holds the place, who is to follow, and when to try again."""

    role: str
    holder: Child | None = None
    successor: Child | None = None
    failures: int = 0
    start_at: float = 0.0


@dataclass(frozen=True)
class Plan:
    """What `serve` was asked for."""

    environment: Mapping[str, str]  # of the children: every setting, the command line's included
    web_processes: int = 1
    drain_seconds: float = 2.0
    workspace: str = ""  # handed to prepare


def backoff(failures: int) -> float:
    """Seconds until a child that died `failures` times in a row is started again."""
    return float(min(BACKOFF_LAST, BACKOFF_FIRST * 2 ** (failures - 1)))


def listener(host: str, port: int) -> socket.socket:
    """The socket all web processes share: systemd's (LISTEN_FDS), else a new one. OSError: taken."""
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS", "0") != "0":
        return socket.socket(fileno=3)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


def address(bound: socket.socket) -> str:
    """The URL at which a socket is reached from this machine."""
    if bound.family == socket.AF_UNIX:
        return f"unix:{bound.getsockname()}"
    host, port = bound.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def has_terminal() -> bool:
    """There is a person at a terminal that this process belongs to."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def command(environment: Mapping[str, str], *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    """Start `app.child` with these arguments."""
    # -P: a folder `app` where the operator happens to stand must not be taken for ours.
    # A process group of its own: Ctrl+C reaches the parent only, which then dismisses in order.
    words = [sys.executable, "-P", "-m", "app.child", *arguments]
    return subprocess.Popen(words, env=environment, process_group=0, **options)


@dataclass(eq=False)
class Parent:
    """Holds the listening socket and the children; `run` returns when all of them have left."""

    plan: Plan
    bound: socket.socket
    on_ready: Callable[[bytes], Sequence[subprocess.Popen[bytes]]]  # given what prepare answered
    places: list[Place] = field(default_factory=list)
    leavers: list[Child] = field(default_factory=list)
    errands: list[subprocess.Popen[bytes]] = field(default_factory=list)
    preparing: subprocess.Popen[bytes] | None = None
    prepared: bytes | None = None
    announced: bool = False
    stopping: bool = False
    status: int = 0

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; SIGHUP rolls. Returns the exit status."""
        self.selector = selectors.DefaultSelector()
        self.attended = has_terminal()
        signals, wake = socket.socketpair()
        for end in (signals, wake):
            end.setblocking(False)
        self.selector.register(signals, selectors.EVENT_READ)
        # Handlers do nothing: a signal's number is written to `wake`, and heeded between two steps.
        before = {number: signal.signal(number, lambda *_: None) for number in HEEDED}
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        try:
            self._prepare()
            self.places = [Place("web") for _ in range(self.plan.web_processes)] + [Place("worker")]
            self._look_after(time.monotonic())
            while self._alive():
                for chosen, _ in self.selector.select(self._patience()):
                    if chosen.fileobj is signals:
                        self._heed(signals.recv(4096))
                    else:
                        self._hear(chosen.data)
                self._look_after(time.monotonic())
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            for end in (signals, wake, self.bound):
                end.close()
            self.selector.close()
        return self.status

    # --- What signals ask ---------------------------------------------------------------------------

    def _heed(self, numbers: bytes) -> None:
        for number in numbers:
            hung_up = number == signal.SIGHUP and self.attended and not has_terminal()
            if hung_up or number in (signal.SIGTERM, signal.SIGINT):
                self._stop()  # a closed terminal says SIGHUP too, and means it
            elif number == signal.SIGHUP and self.announced and self.preparing is None:
                log.info("rolling")
                self._prepare()

    def _stop(self) -> None:
        """Drain and leave; asked again, leave at once."""
        for child in self._children():
            self._dismiss(child)
            if self.stopping:
                child.process.kill()
        for process in [*self.errands, *([self.preparing] if self.preparing else [])]:
            process.terminate()
        self.stopping = True

    # --- The children -------------------------------------------------------------------------------

    def _prepare(self) -> None:
        arguments = ("prepare", "--workspace", self.plan.workspace)
        self.preparing = command(self.plan.environment, *arguments, stdout=subprocess.PIPE)

    def _start(self, role: str) -> Child:
        ours, theirs = socket.socketpair()
        with theirs:
            arguments, fds = ["--parent", str(theirs.fileno())], [theirs.fileno()]
            if role == "web":
                arguments += ["--listen", str(self.bound.fileno())]
                fds.append(self.bound.fileno())
            options = {"pass_fds": fds, "stdin": subprocess.DEVNULL}
            process = command(self.plan.environment, role, *arguments, **options)
        child = Child(role, process, ours, time.monotonic())
        self.selector.register(ours, selectors.EVENT_READ, child)
        if self.prepared is not None:
            self._let_go(child)
        return child

    def _let_go(self, child: Child) -> None:
        child.started = time.monotonic()  # a long migration before is not its fault
        with contextlib.suppress(BrokenPipeError):  # it died, which is noticed elsewhere
            child.channel.send(b"g")

    def _dismiss(self, child: Child) -> None:
        if child.kill_at is None:
            child.kill_at = time.monotonic() + self.plan.drain_seconds + LEAVE_WITHIN
            child.process.terminate()

    def _hear(self, child: Child) -> None:
        try:
            said = child.channel.recv(1)
        except ConnectionError:  # killed
            said = b""
        if said:
            child.ready = True
        else:
            self.selector.unregister(child.channel)

    def _children(self) -> list[Child]:
        held = [child for place in self.places for child in (place.holder, place.successor) if child]
        return held + self.leavers

    def _alive(self) -> bool:
        return not self.stopping or bool(self._children() or self.preparing)

    def _patience(self) -> float | None:
        """Seconds until something is due although nobody says anything; None: wait for ever."""
        due = [deadline for child in self._children() if (deadline := child.deadline()) is not None]
        due += [place.start_at for place in self.places if place.holder is None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    # --- The loop's work ----------------------------------------------------------------------------

    def _look_after(self, now: float) -> None:
        """Whatever woke us: bring every place one step nearer to where it should be."""
        if self.preparing is not None and self.preparing.poll() is not None:
            self._prepared(self.preparing)
        for child in self._children():
            deadline = child.deadline()
            if deadline is not None and now > deadline and not _gone(child):
                child.process.kill()
                child.kill_at = now + 1
        for leaver in [one for one in self.leavers if _gone(one)]:
            self._bury(leaver)
            self.leavers.remove(leaver)
        for place in self.places:
            self._look_after_place(place, now)
        self.errands = [process for process in self.errands if process.poll() is None]
        if not self.announced and self.places and all(p.holder and p.holder.ready for p in self.places):
            self.announced = True
            self.errands += self.on_ready(self.prepared or b"{}")

    def _prepared(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout:
            answer = process.stdout.read()
        self.preparing = None
        if self.stopping:
            return
        if process.returncode != 0:
            log.error("prepare_failed", status=process.returncode, serving=self.announced)
            if self.prepared is None:
                self.status = 1
                self._stop()
        elif self.prepared is None:
            self.prepared = answer
            for child in self._children():
                self._let_go(child)
        else:
            for place in self.places:
                self._replace(place)

    def _replace(self, place: Place) -> None:
        if place.holder is None:
            place.start_at = 0.0
        elif place.successor is None:
            place.successor = self._start(place.role)

    def _look_after_place(self, place: Place, now: float) -> None:
        if place.successor is not None and _gone(place.successor):
            if not self.stopping:
                log.error("successor_failed", role=place.role, status=place.successor.process.returncode)
            self._bury(place.successor)
            place.successor = None
        if place.holder is not None and _gone(place.holder):
            self._mourn(place, place.holder, now)
        if place.successor is not None and (place.successor.ready or place.holder is None):
            if place.holder is not None:
                self._dismiss(place.holder)
                self.leavers.append(place.holder)
            place.holder, place.successor = place.successor, None
            log.info("took_over", role=place.role, pid=place.holder.process.pid)
        if place.holder is None and not self.stopping and now >= place.start_at:
            place.holder = self._start(place.role)

    def _mourn(self, place: Place, child: Child, now: float) -> None:
        """A holder is gone. Unless it was told to leave, another is to be started after a while."""
        self._bury(child)
        place.holder = None
        if child.kill_at is not None:
            return
        place.failures = 1 if now - child.started > GOOD_LIFE else place.failures + 1
        place.start_at = now + backoff(place.failures)
        status = child.process.returncode
        log.error("child_died", role=place.role, status=status, failures=place.failures)

    def _bury(self, child: Child) -> None:
        if child.channel in self.selector.get_map():
            self.selector.unregister(child.channel)
        child.channel.close()


def _gone(child: Child) -> bool:
    return child.process.poll() is not None
