"""What runs in the processes that `serve` starts: the web server, the worker, and `prepare`.

    python -m app.child web --listen FD --parent FD
    python -m app.child worker --parent FD
    python -m app.child prepare [--workspace SLUG]        answers with JSON
    python -m app.child demo --url URL                   keys as JSON on standard input

The parent holds the other end of a socket pair: it writes one byte when all is prepared, the child one
when it is ready, and the child ends when the parent's end closes, so a parent killed by -9 leaves nothing
behind. No supervision here, and nothing about what is served.
"""

import argparse
import os
import resource
import signal
import socket
import sys
import threading
from typing import Any

import msgspec

from app import telemetry
from app.clock import now_us
from app.settings import Settings


def web(settings: Settings, arguments: argparse.Namespace) -> None:
    """Serve on the inherited socket until SIGTERM or until the parent is gone; then drain."""
    import httptools  # noqa: F401 (loaded now, used by uvicorn later)
    import uvicorn
    import uvloop  # noqa: F401

    from app.connection import Connection
    from app.main import create_app
    from app.web import Server

    _as_many_files_as_allowed()
    parent = socket.socket(fileno=arguments.parent)
    _wait_for_go(parent)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=Connection,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # the doors read X-Forwarded-For themselves, from trusted networks only
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=10,
    )
    server = Server(
        config,
        app=app,
        drain_seconds=settings.drain_seconds,
        request_seconds=settings.request_seconds,
        parent=parent,
    )
    server.run(sockets=[socket.socket(fileno=arguments.listen)])


def _as_many_files_as_allowed() -> None:
    """Each visitor's connection is one, and many systems give a process a thousand unless it asks."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def worker(settings: Settings, arguments: argparse.Namespace) -> None:
    """Run the background tasks until SIGTERM or until the parent is gone."""
    from app.worker import run

    parent = None if arguments.parent is None else socket.socket(fileno=arguments.parent)
    if parent is not None:
        _wait_for_go(parent)
    stop = threading.Event()

    def leave(_signal: int, _frame: Any) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    if parent is not None:
        parent.send(b"r")
        threading.Thread(target=_follow, args=(parent, stop), name="parent", daemon=True).start()
    run(settings, stop)


def _wait_for_go(parent: socket.socket) -> None:
    """Everything is loaded, nothing is open: go on when the parent says that all is prepared."""
    if parent.recv(1) != b"g":
        sys.exit("the parent is gone")


def _follow(parent: socket.socket, stop: threading.Event) -> None:
    parent.recv(1)  # the parent says nothing more: this returns when its end closes
    stop.set()


def prepare(settings: Settings, arguments: argparse.Namespace) -> None:
    """Bring the data folder up to date and say what was made."""
    from app.doctor import ON_START
    from app.prepare import prepare as bring_up_to_date

    for finding in (found for check in ON_START for found in check(settings, now_us())):
        if finding.level != "good":
            telemetry.logger("child").warning("unsafe", subject=finding.subject, reason=finding.message)
    done = bring_up_to_date(settings, clock=now_us, workspace=arguments.workspace)
    sys.stdout.buffer.write(msgspec.json.encode(done))


def demo(settings: Settings, arguments: argparse.Namespace) -> None:
    """Fill the demo workspace through the doors, and show it."""
    from app.demo.load import show

    show(arguments.url, msgspec.json.decode(sys.stdin.buffer.read(), type=dict[str, str]))


def main() -> int:
    parser = argparse.ArgumentParser(prog="clicktrail-child")
    roles = parser.add_subparsers(required=True)
    for role in (web, worker, prepare, demo):
        one = roles.add_parser(role.__name__)
        one.set_defaults(role=role)
        one.add_argument("--listen", type=int)
        one.add_argument("--parent", type=int)
        one.add_argument("--workspace", default="")
        one.add_argument("--url", default="")
    arguments = parser.parse_args()
    os.umask(0o077)  # what is written is the operator's alone
    settings = Settings()
    telemetry.set_up(level=settings.log_level, pretty=settings.log_pretty)
    try:
        arguments.role(settings, arguments)
    except RuntimeError as error:  # SchemaTooNew, an unsafe SQLite: an operator's matter, not a traceback
        telemetry.logger("child").error("cannot_start", role=arguments.role.__name__, reason=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
