"""The server leaves without refusing or resetting anybody, and does not wait for ever for a request."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from app.connection import Connection
from app.web import SWEEPS, Server

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
PATIENCE = 20.0


class Hello:
    """An application that says hello, and goodbye while it is draining."""

    draining = False

    async def __call__(self, scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        headers = [(b"content-length", b"5")] + ([(b"connection", b"close")] if self.draining else [])
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"hello"})


@asynccontextmanager
async def serving(
    drain_seconds: float, parent: socket.socket | None = None
) -> AsyncIterator[tuple[Server, int]]:
    app = Hello()
    config = uvicorn.Config(
        app, http=Connection, lifespan="off", log_config=None, access_log=False, timeout_keep_alive=60
    )
    server = Server(config, app=app, drain_seconds=drain_seconds, request_seconds=PATIENCE, parent=parent)
    bound = socket.create_server(("127.0.0.1", 0))
    port = bound.getsockname()[1]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        server.parent = server.parent or theirs
        task = asyncio.create_task(server._serve([bound]))
        await asyncio.to_thread(ours.recv, 1) if parent is None else None
        try:
            yield server, port
        finally:
            server.should_exit = True
            await task


async def ask(reader: Reader, writer: Writer) -> bytes:
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(5) == b"hello"
    return head


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - uvicorn tells nobody when these change
        await asyncio.sleep(0)


def paths(server: Server) -> list[bytes]:
    """Of each connection, what its latest request asks for."""
    return [connection.url for connection in server.server_state.connections]  # type: ignore[union-attr]


async def closed(*writers: Writer) -> None:
    for writer in writers:
        writer.close()
        await writer.wait_closed()


async def test_a_draining_server_answers_old_and_just_made_connections_and_says_close() -> None:
    async with serving(30) as (server, port):
        kept = await asyncio.open_connection("127.0.0.1", port)
        assert b"connection: close" not in await ask(*kept)
        silent = await asyncio.open_connection("127.0.0.1", port)  # connected, nothing sent yet
        await until(lambda: len(server.server_state.connections) == 2)
        server.should_exit = True
        await until(lambda: server.app.draining)
        for reader, writer in (kept, silent):
            assert b"connection: close" in await ask(reader, writer)
            assert await reader.read() == b""  # an orderly end, no reset
        await closed(kept[1], silent[1])


async def test_a_draining_server_accepts_nobody_new() -> None:
    async with serving(30) as (server, port):
        kept = await asyncio.open_connection("127.0.0.1", port)
        await ask(*kept)
        server.should_exit = True
        await until(lambda: server.app.draining)
        refused = await asyncio.gather(asyncio.open_connection("127.0.0.1", port), return_exceptions=True)
        assert isinstance(refused[0], ConnectionRefusedError)
        await ask(*kept)
        await closed(kept[1])


async def test_a_silent_connection_ends_with_the_drain_time() -> None:
    async with serving(0.2) as (server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await ask(reader, writer)
        server.should_exit = True
        assert await reader.read() == b""
        await closed(writer)


async def test_a_request_that_is_never_finished_is_given_up() -> None:
    async with serving(0) as (server, port):
        idle = await asyncio.open_connection("127.0.0.1", port)
        await ask(*idle)
        half = await asyncio.open_connection("127.0.0.1", port)
        half[1].write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Le")
        await until(lambda: paths(server) == [b"/", b"/"])  # what comes after a look puts its end off
        now = asyncio.get_running_loop().time()
        server.sweep(now)
        server.sweep(now + PATIENCE * (1 - 3 / SWEEPS))
        await ask(*idle)
        server.sweep(now + PATIENCE)
        assert await asyncio.wait_for(half[0].read(), PATIENCE / 2) == b""  # by that look, no later one
        await ask(*idle)
        await closed(idle[1], half[1])


async def test_an_answer_leaves_in_one_piece() -> None:
    async with serving(0) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(100):
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await reader.read(65536)).endswith(b"\r\n\r\nhello")
        await closed(writer)


async def test_the_server_leaves_when_its_parent_is_gone() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        async with serving(0, parent=theirs) as (server, _):
            assert await asyncio.to_thread(ours.recv, 1) == b"r"
            ours.close()
            await until(lambda: server.should_exit)
