"""The web server: uvicorn, taught to leave without refusing a connection, and not to wait for ever.

Stock uvicorn closes idle connections the moment it is told to stop, and a client that had just
connected, or was about to reuse its connection, is reset (15 of 79,457 fresh requests and 96 kept-alive
ones in eight overlapping restarts). This one goes on answering what it has accepted for a while, with
`Connection: close` on every response. It knows nothing of what is served.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Protocol

import uvicorn

SWEEPS = 15  # looks at all connections in the time that a client may take for a request


class Draining(Protocol):
    """The application: while `draining` is true it puts `Connection: close` on every response."""

    draining: bool


class Server(uvicorn.Server):
    """One web process's server. `parent` is the pair's end that tells when the parent is gone."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        app: Draining,
        drain_seconds: float,
        request_seconds: float,
        parent: socket.socket | None,
    ) -> None:
        super().__init__(config)
        self.app = app
        self.drain_seconds = drain_seconds
        self.request_seconds = request_seconds
        self.parent = parent
        self._next_sweep = 0.0

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
        now = asyncio.get_running_loop().time()
        if now >= self._next_sweep:
            self._next_sweep = now + self.request_seconds / SWEEPS
            self.sweep(now)
        return await super().on_tick(counter)

    def sweep(self, now: float) -> None:
        """Close the connections of those who let us wait: a client sending a byte now and then would be
        kept for ever. A wait is seen a look after it began, and its end a look late."""
        soon = self.request_seconds * (1 - 2 / SWEEPS)
        patience = {"reading": soon, "rest": soon, "next": self.config.timeout_keep_alive}
        for connection in list(self.server_state.connections):
            connection.looked_at(now, patience)  # type: ignore[union-attr]

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


async def _until(done: Callable[[], bool], seconds: float) -> None:
    """Wait until `done`, at most `seconds`; at least two turns, so that what was accepted is seen."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    await asyncio.sleep(min(0.1, seconds))
    while loop.time() < deadline and not done():  # noqa: ASYNC110 - uvicorn's sets tell nobody
        await asyncio.sleep(0.02)
