"""A client's connection: uvicorn's, with the limits that it lacks. It knows nothing of what is served.

uvicorn limits neither the size of a head, nor the requests sent ahead of their answers, nor the time that a
client takes to send a request or to read an answer. It hands trailers to the application as if they were
headers, which a proxy in front never saw. And it writes the head and the body of an answer one by one.
"""

import asyncio
import json
import re
import resource
import socket
import struct
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MOST_ADDRESS = 32 * 1024  # bytes of a URL
MOST_HEAD = 64 * 1024  # bytes of a head: its URL and its headers
MOST_HEADERS = 100
MOST_IGNORED = 2 * 2**20  # bytes that are thrown away of a body that was refused
PIECE = 8 * 1024  # bytes that are parsed at a time: what follows waits while a request waits for its turn
LEAST_READ = 64 * 1024  # bytes of an answer that a client must take in the time it may take for a request
AUTHORITY = re.compile(rb"https?://(?:[^/?#@]*@)?([^/?#@]+)", re.IGNORECASE)  # of an absolute address
SPARE = 64  # descriptors that connections leave to files; a quarter where few are allowed
#: Stands where the latest request stood once it is answered: idle connections are many, and keep little.
ANSWERED = SimpleNamespace(
    response_complete=True, response_started=True, more_body=False, message_event=asyncio.Event()
)
NOTHING = memoryview(b"")

#: What the server itself refuses, before the application sees a request: status, code, message.
INVALID = (400, "http_invalid", "this is not a valid HTTP/1.1 request")
SLOW = (408, "request_slow", "the request took too long to arrive")
TOO_LONG = (414, "url_too_long", f"a URL may have at most {MOST_ADDRESS} bytes")
TOO_MUCH = (
    431,
    "headers_too_large",
    f"a request may have at most {MOST_HEADERS} headers and {MOST_HEAD} bytes before its body",
)


def _leaves_enough(descriptor: int) -> bool:
    """Whether a connection leaves descriptors to the inbox and the database, which open files now and then.
    The kernel gives the lowest number that is free, so a number says how many are in use."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return descriptor < most - min(SPARE, most // 4)


class Outgoing:
    """A connection's transport that sends a response's head together with its body: one system call, not
    two, which are a quarter of a pixel's time. What is held goes out when the response is complete.

    Closing while the client still sends would reset the connection, and the answer might be lost with it:
    then only our side ends, and what comes is thrown away for a while."""

    __slots__ = (
        "_abort",
        "_close",
        "_end",
        "_head",
        "_unfinished",
        "_write",
        "get_extra_info",
        "get_write_buffer_size",
        "is_closing",
        "pause_reading",
        "resume_reading",
    )

    def __init__(self, transport: asyncio.Transport, unfinished: Callable[[], bool]) -> None:
        self._head = b""
        self._unfinished = unfinished
        self._write = transport.write
        self._close = transport.close
        self._end = transport.write_eof
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
        """Hang up; the second time at once."""
        self.flush()
        if self._unfinished() and not self.is_closing():
            self.is_closing = _yes
            self._end()
        else:
            self._close()

    def abort(self) -> None:
        """A reset: what is unread is forgotten, by the kernel too, which would keep it for minutes."""
        self.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._abort()


def _yes() -> bool:
    return True


class Connection(HttpToolsProtocol):
    """One client's connection, with limits."""

    transport: Any  # an Outgoing
    scope: Any
    cycle: Any  # the latest request and its response; None before the first

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(Outgoing(transport, self._unfinished))  # type: ignore[arg-type]
        self.url = b""
        self._unparsed = NOTHING
        self._strays = 0  # bytes since the last that were part of a whole head, or of a body
        self._refusal: tuple[int, str, str] | None = None
        self._idle = False  # whether all that was asked is answered
        self._answered_early = False  # whether a body is still to come of a request that has its answer
        self._requests = 0
        self._awaited: tuple[str, int] | None = None
        self._awaited_since = 0.0
        if not _leaves_enough(transport.get_extra_info("socket").fileno()):
            self.transport.close()

    # --- Reading ------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._idle = False
        if self._refusal is not None or self.transport.is_closing():
            self._strays += len(data)
            if self._strays > MOST_IGNORED:
                self.transport.close()
        elif self._unparsed or len(data) > PIECE:
            self._unparsed = memoryview(bytes(self._unparsed) + data)
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

    def _parse(self, data: bytes | memoryview) -> None:
        self._strays += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.cycle.keep_alive = False  # it is answered as plain HTTP; what follows it was not parsed
        except httptools.HttpParserError:
            self._refuse(INVALID)
        else:
            if self._strays > MOST_HEAD and self._answered_early:
                self._unparsed = NOTHING
                self.transport.close()
            elif self._strays > MOST_HEAD:
                self._refuse(TOO_LONG if len(self.url) > MOST_ADDRESS else TOO_MUCH)

    def on_message_begin(self) -> None:
        self._strays = 0
        self._requests += 1
        self._answered_early = False
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
        if not self.cycle.response_complete:
            self._strays = 0
            super().on_body(body)

    def _unfinished(self) -> bool:
        """Whether the client is still sending what it has got its answer to."""
        if self._refusal is not None:
            return self._refusal is not SLOW
        return self.cycle is not None and self.cycle.response_complete and self.cycle.more_body

    def on_response_complete(self) -> None:
        """As uvicorn's, but that no timer is set for each request: the server looks at all connections."""
        self.transport.flush()  # the head of an answer without a body
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            if self._unfinished():
                self.flow.resume_reading()  # to throw it away
            return
        self._answered_early = self.cycle.response_complete and self.cycle.more_body
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._refusal is not None:
            return self._tell()
        elif self.cycle.response_complete:
            self._idle = True
            self.cycle, self.scope, self.headers = ANSWERED, {}, []
        if self._unparsed:
            self._parse_on()

    # --- Refusing -----------------------------------------------------------------------------------

    def _refuse(self, refusal: tuple[int, str, str]) -> None:
        """Say why, after the answers to what came before, and hang up."""
        self._refusal = self._refusal or refusal
        self._unparsed = NOTHING
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
        if self._unfinished():
            self.flow.resume_reading()  # to throw away what comes

    # --- Patience -----------------------------------------------------------------------------------

    def looked_at(self, now: float, patience: Mapping[str, float]) -> None:
        """Hang up when the client has let us wait for too long."""
        awaited = self._awaits()
        if awaited is None or awaited != self._awaited:
            self._awaited, self._awaited_since = awaited, now
        elif now - self._awaited_since < patience[awaited[0]]:
            return
        elif awaited[0] == "reading":
            self.transport.abort()  # closing would wait until all is read
        elif self.cycle is not None and self.cycle.more_body and not self.cycle.response_started:
            self._refuse(SLOW)  # a proxy passes it on
        else:
            self.transport.close()

    def _awaits(self) -> tuple[str, int] | None:
        """What the client owes us, and a number that changes when it does something for it: to read on, the
        rest of its request, its next one. None: it is we who are slow."""
        unread = self.transport.get_write_buffer_size()
        if unread:
            return "reading", unread // LEAST_READ
        if self._idle:
            return "next", self._requests
        cycle = self.cycle
        busy = self.pipeline or (cycle is not None and not cycle.response_complete and not cycle.more_body)
        return None if busy else ("rest", self._requests)
