"""Clicktrail with one bug planted in its web server: negative controls for the tests beside this file.

    python planted.py BUG -m MODULE [ARGUMENTS]

as tests/faults/planted.py, whose bugs are of other rooms.
"""

import runpy
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import uvicorn

from app import connection, serve, web


def patience_without_end() -> None:
    """Nobody looks whether a client goes on: stock uvicorn."""
    web.Server.sweep = lambda self, now: None


def idle_ones_counted() -> None:
    """A limit of concurrent requests that counts connections on which nothing is asked: stock uvicorn's."""
    configured = uvicorn.Config.__init__

    def limited(self: uvicorn.Config, *arguments: Any, **options: Any) -> None:
        configured(self, *arguments, **options, limit_concurrency=200)

    uvicorn.Config.__init__ = limited


def trailers_taken_for_headers() -> None:
    """What follows a body is added to the headers before it: stock uvicorn."""
    complete = connection.Connection.on_headers_complete

    def forgiving(self: connection.Connection) -> None:
        headers = self.headers
        complete(self)
        self.headers = headers

    connection.Connection.on_headers_complete = forgiving


def all_parsed_at_once() -> None:
    """Every request of a packet is made ready before the first is answered: stock uvicorn."""
    connection.PIECE = 2**30


BUGS: dict[str, Callable[[], None]] = {
    plant.__name__: plant
    for plant in (patience_without_end, idle_ones_counted, trailers_taken_for_headers, all_parsed_at_once)
}


def main() -> None:
    bug, _, module, *arguments = sys.argv[1:]

    def command(environment: Mapping[str, str], *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-P", __file__, bug, "-m", "app.child", *arguments]
        return subprocess.Popen(words, env=environment, process_group=0, **options)

    serve.command = command
    BUGS[bug]()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
