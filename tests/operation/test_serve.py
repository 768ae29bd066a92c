"""The parent keeps its children alive and leaves nothing behind. How it rolls: test_rolling.py."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.parse import urlencode

import psutil
import pytest
from sqlalchemy import Engine, func, select, text

from app import db, tables
from app.serve import backoff
from tests import engines
from tests.conftest import Clicktrail, wait_until


def port_of(running: Clicktrail) -> int:
    return int(running.url.rpartition(":")[2])


def children(running: Clicktrail) -> list[psutil.Process]:
    assert running.process is not None
    return psutil.Process(running.process.pid).children(recursive=True)


def role(process: psutil.Process) -> str:
    return next((word for word in ("web", "worker") if word in process.cmdline()), "")


def answers(running: Clicktrail) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port_of(running)), timeout=5):
            return True
    except OSError:
        return False


def stored(data: Path) -> int:
    engine = db.connect(engines.url(data), pool=1)
    with closing_pool(engine), db.reading(engine) as connection:
        return int(connection.scalar(select(func.count()).select_from(tables.events)) or 0)


@contextmanager
def closing_pool(engine: Engine) -> Iterator[None]:
    """Leave no connection open: a server has only so many."""
    try:
        yield
    finally:
        engine.dispose()


@dataclass
class Load:
    """Pixels asked for as fast as they come, each with an id of its own; what was heard is counted."""

    running: Clicktrail
    heard: Counter[str] = field(default_factory=Counter)
    numbers: "count[int]" = field(default_factory=count)
    enough: threading.Event = field(default_factory=threading.Event)

    def target(self) -> str:
        said = {"k": self.running.keys["public"], "e": "impression", "id": f"load-{next(self.numbers)}"}
        return "/p.gif?" + urlencode(said)

    def fresh(self) -> None:
        """A connection for every request."""
        while not self.enough.wait(0.002):
            with closing(self.connection()) as connection:
                self.heard[self.one(connection)] += 1

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", port_of(self.running), timeout=20)

    def one(self, connection: http.client.HTTPConnection) -> str:
        close = connection.sock is None
        try:
            connection.request("GET", self.target(), headers={"User-Agent": "Mozilla/5.0 Firefox/140.0"})
            with connection.getresponse() as answer:
                answer.read()
                return answer.getheader("X-Clicktrail", "nothing")
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return f"{'fresh' if close else 'kept'} {type(error).__name__}"


def test_a_parent_killed_by_nine_leaves_no_process_and_no_port(fresh_clicktrail: Clicktrail) -> None:
    left = children(fresh_clicktrail)
    assert {role(process) for process in left} == {"web", "worker"}
    fresh_clicktrail.stop(signal.SIGKILL)
    wait_until(lambda: not any(process.is_running() for process in left))
    assert not answers(fresh_clicktrail)


@pytest.mark.parametrize("who", ["web", "worker"])
def test_a_child_that_dies_is_replaced(fresh_clicktrail: Clicktrail, who: str) -> None:
    victim = next(process for process in children(fresh_clicktrail) if role(process) == who)
    victim.kill()
    wait_until(lambda: who in {role(p) for p in children(fresh_clicktrail) if p.pid != victim.pid})
    with fresh_clicktrail.client() as client:  # connections wait at the parent's socket meanwhile
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_ends_every_process_and_is_a_success(fresh_clicktrail: Clicktrail, number: int) -> None:
    left = children(fresh_clicktrail)
    assert fresh_clicktrail.stop(number) == 0
    assert not any(process.is_running() for process in left)
    assert not answers(fresh_clicktrail)
    assert "Traceback" not in fresh_clicktrail.log()


def test_what_was_accepted_is_there_after_a_restart_and_no_key_is_shown_twice(
    fresh_clicktrail: Clicktrail,
) -> None:
    load = Load(fresh_clicktrail)
    with closing(load.connection()) as connection:
        assert load.one(connection) == "accepted"
    fresh_clicktrail.stop(signal.SIGKILL)
    keys = dict(fresh_clicktrail.keys)
    fresh_clicktrail.start()
    assert fresh_clicktrail.keys == keys and "shown this once" not in "".join(fresh_clicktrail.said)
    wait_until(lambda: stored(fresh_clicktrail.data) == 1)


def test_a_restart_onto_a_schema_too_new_is_refused_and_the_old_processes_serve_on(
    fresh_clicktrail: Clicktrail,
) -> None:
    engine = db.connect(engines.url(fresh_clicktrail.data), pool=1)
    with closing_pool(engine), db.begin(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    before = {process.pid for process in children(fresh_clicktrail)}
    assert fresh_clicktrail.process is not None
    fresh_clicktrail.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "prepare_failed" in fresh_clicktrail.log())
    assert {process.pid for process in children(fresh_clicktrail)} == before
    assert "newer version has written it" in fresh_clicktrail.log()
    fresh_clicktrail.stop()
    with pytest.raises(AssertionError, match="newer version has written it"):
        fresh_clicktrail.start()
    assert fresh_clicktrail.stop() == 1


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "app.cli", "serve", "--port", port, "--data", str(tmp_path / "data")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"Cannot listen on 127.0.0.1 port {port}: Address already in use" in done.stderr


def test_a_socket_handed_over_by_systemd_is_used(start_clicktrail: Callable[..., Clicktrail]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as handed:
        handing = (
            "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] = str(os.getpid()); "
            "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
        )
        running = start_clicktrail(
            before=["-c", handing, str(handed.fileno())], pass_fds=[handed.fileno()], LISTEN_FDS="1"
        )
        assert port_of(running) == handed.getsockname()[1]
        with running.client() as client:
            assert client.get("/healthz").status_code == 200


def test_closing_the_terminal_ends_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "app.cli", "serve", "--port", "0", "--data", str(tmp_path / "data")]
    attended = (
        "import fcntl, os, subprocess, sys, termios; os.setsid(); "
        "fcntl.ioctl(int(sys.argv[1]), termios.TIOCSCTTY, 0); os.execv(sys.argv[2], sys.argv[2:])"
    )
    master, slave = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", attended, str(slave), *command],
        pass_fds=[slave],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(slave)
        assert process.stdout is not None
        assert any(line.startswith("Clicktrail is serving") for line in process.stdout)
        left = psutil.Process(process.pid).children(recursive=True)
        os.close(master)
        assert process.wait(timeout=30) == 0
    assert len(left) == 2 and not any(child.is_running() for child in left)


def test_children_are_started_again_ever_more_slowly() -> None:
    waits = [backoff(failures) for failures in range(1, 12)]
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert waits == sorted(waits) and waits[-1] == 30


def test_a_folder_named_app_where_one_stands_is_not_taken_for_ours(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    script = Path(sys.executable).parent / "clicktrail"
    done = subprocess.run(
        [script, "migrate", "--data", "data"], cwd=tmp_path, capture_output=True, text=True, env=os.environ
    )
    assert (done.returncode, done.stderr) == (0, "")
