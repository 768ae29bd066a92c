"""The systemd units: a restart behind their socket refuses nobody, and what they forbid is not needed."""

import configparser
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.settings import Settings
from tests.conftest import Clicktrail, impossible, wait_until
from tests.operation.test_serve import Load

RESTARTS = 20 if os.environ.get("CLICKTRAIL_FAULTS") == "long" else 1

UNITS = Path(__file__).parent.parent.parent / "integrations" / "systemd"
VARIABLES = {f"CLICKTRAIL_{name.upper()}" for name in Settings.model_fields}


class Unit(configparser.RawConfigParser):
    """A unit file: names keep their case, and those that may stand twice keep their last value."""

    def __init__(self, name: str) -> None:
        super().__init__(strict=False, delimiters=("=",), comment_prefixes=("#",))
        self.read(UNITS / name)

    def optionxform(self, optionstr: str) -> str:
        return optionstr


#: Stands in for systemd: the socket as descriptor 3, LISTEN_PID and LISTEN_FDS, what the unit says, and then
#: the program. It refuses memory that is written and executed, as MemoryDenyWriteExecute does.
STAND_IN = """
import ctypes, os, sys
fd, mask, *words = sys.argv[1:]
os.dup2(int(fd), 3)
os.umask(int(mask, 8))
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "clicktrail.socket"}
PR_SET_NO_NEW_PRIVS, PR_SET_MDWE = 38, 65
libc = ctypes.CDLL(None)
libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
libc.prctl(PR_SET_MDWE, 1, 0, 0, 0)
os.execv(sys.executable, [sys.executable, *words])
"""


@pytest.fixture
def bound() -> Iterator[socket.socket]:
    """What systemd would hold, by the socket unit."""
    host, _ = Unit("clicktrail.socket")["Socket"]["ListenStream"].split(":")
    backlog = int(Unit("clicktrail.socket")["Socket"]["Backlog"])
    with socket.create_server((host, 0), backlog=backlog) as made:
        yield made


def started(data: Path, bound: socket.socket, keys: dict[str, str] | None = None) -> Clicktrail:
    """ExecStart by the service unit."""
    service = Unit("clicktrail.service")["Service"]
    program, command = service["ExecStart"].split()
    assert (program, command) == ("/opt/clicktrail/bin/clicktrail", "serve")
    handing = ["-c", STAND_IN, str(bound.fileno()), service["UMask"]]
    running = Clicktrail(data, keys=keys or {})
    return running.start(before=handing, pass_fds=[bound.fileno()])


class Patient(Load):
    """Asks as `Load` does, and waits as browsers do: a start may take long on a busy machine."""

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.running.url.rpartition("//")[2], timeout=120)


def test_a_full_restart_under_socket_activation_refuses_nobody(
    bound: socket.socket, tmp_path: Path, report: Callable[[str], None]
) -> None:
    running = started(tmp_path / "data", bound)
    load = Patient(running)
    with ThreadPoolExecutor() as pool:
        asking = [pool.submit(load.fresh) for _ in range(3)]
        try:
            for _ in range(RESTARTS):
                wanted = load.heard["accepted"] + 20
                wait_until(lambda wanted=wanted: load.heard["accepted"] >= wanted)
                assert running.stop(signal.SIGTERM) == 0
                running = load.running = started(tmp_path / "data", bound, running.keys)
            wanted = load.heard["accepted"] + 20
            wait_until(lambda: load.heard["accepted"] >= wanted)
        finally:
            load.enough.set()
            for one in asking:
                one.result()
            running.stop()
    assert set(load.heard) == {"accepted"}
    heard = load.heard["accepted"]
    report(f"{RESTARTS} full restarts behind systemd's socket: {heard} asked, 0 refused or reset")


def test_without_the_socket_a_full_restart_would_refuse(start_clicktrail: Callable[..., Clicktrail]) -> None:
    running = start_clicktrail()
    load = Load(running)
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(load.fresh)
        try:
            wait_until(lambda: load.heard["accepted"] > 5)
            running.stop(signal.SIGTERM)
            wait_until(lambda: load.heard["fresh ConnectionRefusedError"])
        finally:
            load.enough.set()
        asking.result()


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        impossible("systemd-analyze is needed")
    for unit in UNITS.iterdir():
        text = unit.read_text().replace("/opt/clicktrail/bin/clicktrail", sys.executable)
        (tmp_path / unit.name).write_text(text)
    words = ["systemd-analyze", "verify", "--man=no", "./clicktrail.socket", "./clicktrail.service"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "clicktrail" in done.stderr) == (0, False), done.stderr


def test_the_units_say_what_clicktrail_needs() -> None:
    service, parent = Unit("clicktrail.service")["Service"], Settings()
    told = dict(word.split("=") for word in service["Environment"].split())
    assert told.keys() <= VARIABLES
    assert told["CLICKTRAIL_DATA"] == f"/var/lib/{service['StateDirectory']}"
    assert int(service["TimeoutStopSec"]) > parent.drain_seconds + 20  # LEAVE_WITHIN of serve
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert service["KillMode"] == "mixed"
    for name in ("NoNewPrivileges", "PrivateTmp", "ProtectHome", "MemoryDenyWriteExecute"):
        assert service[name] == "yes"
    assert service["ProtectSystem"] == "strict"


def test_the_service_makes_no_system_call_that_the_unit_forbids(tmp_path: Path) -> None:
    """What it calls, seen by strace, is within @system-service without @privileged."""
    if shutil.which("strace") is None or shutil.which("systemd-analyze") is None:
        impossible("strace and systemd-analyze are needed")
    output = tmp_path / "calls"
    words = ["strace", "-f", "-c", "-U", "name", "-o", str(output), sys.executable, "-m", "app.cli", "serve"]
    command = [*words, "--port", "0", "--data", str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tracer:
        assert tracer.stdout is not None
        said = []
        for line in tracer.stdout:
            said.append(line)
            if line.startswith("Clicktrail is serving on "):
                break
        running = Clicktrail(tmp_path / "data", said[-1].split()[-1])
        running.keys = dict(line.split() for line in said if line.startswith("  "))
        with running.client("server") as client:
            sale = {"kind": "sale", "id": "s", "order_id": "o", "value": "1", "currency": "EUR"}
            assert client.post("/v1/events?wait=stored", json=sale).json()["outcomes"] == ["stored"]
        with running.client("read") as client:
            asked = {"metrics": ["revenue"], "date_range": "all"}
            assert client.post("/v1/metrics/query", json=asked).status_code == 200
        subprocess.run(["pkill", "--parent", str(tracer.pid)], check=True)  # its one child: the parent of all
        assert tracer.wait(timeout=60) == 0
    called = {line.split()[-1] for line in output.read_text().splitlines()[2:-2]}
    assert {"futex", "accept4"} <= called and {"fsync", "fdatasync"} & called, "this was not all of it"
    allowed = calls_of("@system-service") - calls_of("@privileged")
    assert called - allowed - {"fchown"} == set()  # fchown: SQLite, and only when it is root


def calls_of(group: str) -> set[str]:
    words = ["systemd-analyze", "syscall-filter", "--no-pager", group]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    found: set[str] = set()
    for word in (line.strip() for line in told.splitlines()[1:]):
        if word.startswith("@"):
            found |= calls_of(word)
        elif word and not word.startswith("#"):
            found.add(word)
    return found
