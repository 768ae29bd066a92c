"""The web server: uvicorn, taught manners that it lacks. It knows nothing of what is served.

Leaving. Stock uvicorn closes idle connections the moment it is told to stop, and a client that had just
connected, or was about to reuse its connection, is reset (15 of 79,457 fresh requests and 96 kept-alive
ones in eight overlapping restarts). This one goes on answering what it has accepted for a while, with
`Connection: close` on every response.

Limits. uvicorn has none on the size of a head, on requests sent ahead of their answers, and on how long a
client may take to send a request or to read an answer; and it hands trailers to the application as if they
were headers, which a proxy in front never saw.
"""

import asyncio
import json
import re
import socket
import struct
from collections.abc import Callable
from typing import Any, Protocol

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MOST_ADDRESS = 32 * 1024  # bytes of a URL
MOST_HEAD = 64 * 1024  # bytes of a head: its URL and its headers
MOST_HEADERS = 100
PIECE = 32 * 1024  # bytes that are parsed at a time: what follows waits while a request waits for its turn
LEAST_READ = 64 * 1024  # bytes of an answer that a client must take in the time it may take for a request
AUTHORITY = re.compile(rb"https?://(?:[^/?#@]*@)?([^/?#@]+)", re.IGNORECASE)  # of an absolute address
SWEEPS = 15  # looks at all connections in that time

#: What the server itself refuses, before the application sees a request: status, code, message.
INVALID = (400, "http_invalid", "this is not a valid HTTP/1.1 request")
SLOW = (408, "request_slow", "the request took too long to arrive")
TOO_LONG = (414, "url_too_long", f"a URL may have at most {MOST_ADDRESS} bytes")
TOO_MUCH = (
    431,
    "headers_too_large",
    f"a request may have at most {MOST_HEADERS} headers and {MOST_HEAD} bytes before its body",
)


class Draining(Protocol):
    """The application: while `draining` is true it puts `Connection: close` on every response."""

    draining: bool


class Outgoing:
    """A connection's transport that sends a response's head together with its body: one system call, not
    two, which are a quarter of a pixel's time. What is held goes out when the response is complete."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._head = b""
        self._write = transport.write
        self._close = transport.close
        self._abort = transport.abort
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading
        self.get_extra_info = transport.get_extra_info
        self.get_write_buffer_size = transport.get_write_buffer_size

    def write(self, data: bytes) -> None:
        if self.is_closing():
            return  # uvicorn tells a request that waited behind another nothing of the client's leaving
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 1"):
            self._head = data
            return
        self._write(data)

    def flush(self) -> None:
        if self._head:
            self.write(b"")

    def close(self) -> None:
        self.flush()
        self._close()

    def abort(self) -> None:
        """A reset: what is unread is forgotten, by the kernel too, which would keep it for minutes."""
        self.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._abort()


class Connection(HttpToolsProtocol):
    """One client's connection, with limits."""

    transport: Any  # an Outgoing
    cycle: Any  # the latest request and its response; None before the first

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(Outgoing(transport))  # type: ignore[arg-type]
        self.url = b""
        self._unparsed = b""
        self._strays = 0  # bytes since the last that were part of a whole head, or of a body
        self._refusal: tuple[int, str, str] | None = None
        self._awaited: object = None
        self._awaited_since = 0.0

    # --- Reading ------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._unparsed or len(data) > PIECE:
            self._unparsed += data
            self._parse_on()
        else:
            self._parse(data)

    def _parse_on(self) -> None:
        """Parse what has been read, as long as no request has to wait for the answer to another: thousands
        fit into one packet, and each costs a hundred times its bytes."""
        while self._unparsed and not self.pipeline:
            piece, self._unparsed = self._unparsed[:PIECE], self._unparsed[PIECE:]
            self._parse(piece)
        if self._unparsed:
            self.flow.pause_reading()

    def _parse(self, data: bytes) -> None:
        if self._refusal is not None or self.transport.is_closing():
            self._unparsed = b""
            return
        self._strays += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.cycle.keep_alive = False  # it is answered as plain HTTP; what follows it was not parsed
        except httptools.HttpParserError:
            self._refuse(INVALID)
        else:
            if self._strays > MOST_HEAD:
                self._refuse(TOO_LONG if len(self.url) > MOST_ADDRESS else TOO_MUCH)

    def on_message_begin(self) -> None:
        self._strays = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._strays = 0
        if len(self.url) > MOST_ADDRESS:
            self._refusal = TOO_LONG
        elif (
            len(self.headers) > MOST_HEADERS
            or len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MOST_HEAD
        ):
            self._refusal = TOO_MUCH
        elif not self._one_host():
            self._refusal = INVALID
        if self._refusal is not None:
            raise ValueError("refused")  # ends the parsing; the parser makes an error of its own of it
        super().on_headers_complete()
        self.headers = []  # the application has the others: what comes now are trailers

    def _one_host(self) -> bool:
        """Whether it is clear which host is asked. An address that names one stands above the header."""
        hosts = [position for position, header in enumerate(self.headers) if header[0] == b"host"]
        if len(hosts) != 1:
            return not hosts and self.parser.get_http_version() == "1.0"
        if not self.url.startswith(b"/"):
            named = AUTHORITY.match(self.url)
            if named is None:
                return False
            self.headers[hosts[0]] = (b"host", named[1])
        return True

    def on_body(self, body: bytes) -> None:
        self._strays = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        self.transport.flush()  # the head of an answer without a body
        last = not self.pipeline
        super().on_response_complete()
        if self._refusal is not None and last:
            self._tell()
        elif self._unparsed:
            self._parse_on()

    # --- Refusing -----------------------------------------------------------------------------------

    def _refuse(self, refusal: tuple[int, str, str]) -> None:
        """Say why, after the answers to what came before, and hang up."""
        self._refusal = self._refusal or refusal
        self._unparsed = b""
        self.flow.pause_reading()
        if self.pipeline and self.cycle.more_body:
            self.pipeline.popleft()  # the request that is refused waits for its turn: it is not to have it
        elif self.cycle is None or self.cycle.response_complete or self.cycle.more_body:
            self._tell()

    def _tell(self) -> None:
        assert self._refusal is not None
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            if self.cycle.response_started:
                self.transport.close()
                return
            self.cycle.disconnected = True  # whoever reads its body need not go on, nor answer
            self.cycle.message_event.set()
        status, code, message = self._refusal
        body = json.dumps({"error": {"code": code, "message": message, "docs": f"docs/errors.md#{code}"}})
        head = [
            *self.server_state.default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        lines = b"".join(b"%s: %s\r\n" % header for header in head)
        self.transport.write(STATUS_LINE[status] + lines + b"\r\n" + body.encode())
        self.transport.close()

    # --- Patience -----------------------------------------------------------------------------------

    def looked_at(self, now: float, patience: float) -> None:
        """Hang up when the client has let us wait for `patience` seconds."""
        awaited = self._awaits()
        if awaited is None or awaited != self._awaited:
            self._awaited, self._awaited_since = awaited, now
        elif now - self._awaited_since >= patience:
            if isinstance(awaited, int):
                self.transport.abort()  # closing would wait until all is read
            elif self.cycle is not None and self.cycle.more_body and not self.cycle.response_started:
                self._refuse(SLOW)  # a proxy passes it on
            else:
                self.transport.close()

    def _awaits(self) -> object:
        """What the client owes us: to read on (a number that sinks as it does), the rest of its request
        (a token for the request), or nothing (None)."""
        unread = self.transport.get_write_buffer_size()
        if unread:
            return int(unread // LEAST_READ)
        if self.pipeline:
            return None  # it is we who are slow
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            # Between requests uvicorn has armed its own keep-alive timer, unless bytes have arrived since.
            return (cycle or self) if self.timeout_keep_alive_task is None else None
        return cycle if cycle.more_body else None


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
        patience = self.request_seconds * (1 - 2 / SWEEPS)
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
