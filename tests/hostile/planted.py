"""Clicktrail with one bug planted in its web server: negative controls for the tests beside this file.

    python planted.py BUG -m MODULE [ARGUMENTS]

as tests/faults/planted.py, whose bugs are of other rooms.
"""

from collections.abc import Callable
from typing import Any

import uvicorn

from app import connection, web
from tests.faults import planting


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


if __name__ == "__main__":
    planting.run(BUGS, __file__)
