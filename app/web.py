"""The web server: uvicorn, taught to leave without refusing or resetting a connection.

Stock uvicorn closes idle connections the moment it is told to stop, and a client that had just
connected, or was about to reuse its connection, is reset (15 of 79,457 fresh requests and 96 kept-alive
ones in eight overlapping restarts). This one goes on answering what it has accepted for a while, with
`Connection: close` on every response. It also closes connections whose request never gets finished.
It knows nothing of what is served.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Protocol

import uvicorn

STUCK_AFTER = 20.0  # seconds a client may take to send one request
SWEEP_EVERY = 50  # ticks of 0.1 s


class Draining(Protocol):
    """The application: while `draining` is true it puts `Connection: close` on every response."""

    draining: bool


class Server(uvicorn.Server):
    """One web process's server. `parent` is the pair's end that tells when the parent is gone."""

    def __init__(
        self, config: uvicorn.Config, *, app: Draining, drain_seconds: float, parent: socket.socket | None
    ) -> None:
        super().__init__(config)
        self.app = app
        self.drain_seconds = drain_seconds
        self.parent = parent
        self._unfinished: dict[Any, tuple[object, float]] = {}

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.parent is not None:
            asyncio.get_running_loop().add_reader(self.parent, self._parent_gone, self.parent)
            self.parent.send(b"r")

    def _parent_gone(self, parent: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(parent)
        self.should_exit = True

    def handle_exit(self, sig: int, frame: Any) -> None:
        """A first signal drains, a second one does not wait. Not raised again: leaving is a success."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        if counter % SWEEP_EVERY == 0:
            self.close_stuck(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    def close_stuck(self, now: float) -> None:
        """Close connections that have been in the midst of sending one request for too long.

        uvicorn has no limit for this: a client sending a byte now and then would be kept for ever.
        """
        waiting = {c: _unfinished_request(c) for c in self.server_state.connections}
        kept: dict[Any, tuple[object, float]] = {}
        for connection, request in waiting.items():
            if request is None:
                continue
            known, since = self._unfinished.get(connection, (request, now))
            since = since if known is request else now
            if now - since >= STUCK_AFTER:
                connection.transport.close()
            else:
                kept[connection] = (request, since)
        self._unfinished = kept

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, serve on for `drain_seconds` (or until nobody is connected), then close."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        self.app.draining = True
        await _until(lambda: self.force_exit or not self._busy(), self.drain_seconds)
        await super().shutdown(sockets)

    def _busy(self) -> bool:
        return bool(self.server_state.connections or self.server_state.tasks)


def _unfinished_request(connection: Any) -> object | None:
    """A token for the request this connection is sending, None when it is not sending one."""
    cycle = connection.cycle
    if cycle is None or cycle.response_complete:
        # Between requests uvicorn has armed its own keep-alive timer, unless bytes have arrived since.
        return (cycle or connection) if connection.timeout_keep_alive_task is None else None
    return cycle if cycle.more_body else None


async def _until(done: Callable[[], bool], seconds: float) -> None:
    """Wait until `done`, at most `seconds`; at least two turns, so that what was accepted is seen."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    await asyncio.sleep(min(0.1, seconds))
    while loop.time() < deadline and not done():  # noqa: ASYNC110 - uvicorn's sets tell nobody
        await asyncio.sleep(0.02)
