"""Many connections at once: some that never finish what they began, some that never read, some that are
idle, and good ones among them."""

import asyncio
import contextlib
import math
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from tests.hostile.wire import Address, request


@dataclass(frozen=True)
class Slow:
    """A client that sends the beginning of a request, and then a drip every now and then."""

    name: str
    begins: bytes
    drip: bytes


@dataclass
class Held:
    """What a bad client's connection came to: seconds until it was hung up on; infinite: it was not."""

    name: str
    seconds: float = math.inf


@dataclass
class Served:
    """What good clients heard: how long each right answer took, and what was not right."""

    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def quantile(self, part: float) -> float:
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(part * len(self.seconds)))]


def slow_clients(public: str, server: str) -> Sequence[Slow]:
    """One of each kind; the keys are good ones."""
    credential = f"Authorization: Bearer {server}"
    beginning = f"GET /p.gif?k={public}&e=impression HTTP/1.1\r\nHost: localhost\r\n".encode()
    whole = request("GET", f"/p.gif?k={public}&e=impression")
    return (
        Slow("says nothing", b"", b""),
        Slow("a byte of its address at a time", b"GET /p.gif?x=", b"x"),
        Slow("a byte of a header at a time", beginning + b"X-Slow: ", b"x"),
        Slow("a header at a time", beginning, b"X-Slow: x\r\n"),
        Slow(
            "a byte of its body at a time",
            request("POST", "/v1/events", credential, "Content-Length: 1000") + b'{"kind": "',
            b"x",
        ),
        Slow(
            "a chunk of a byte at a time",
            request("POST", "/collect", "Transfer-Encoding: chunked"),
            b"1\r\nx\r\n",
        ),
        Slow("half of its second request", whole + b"GET /p.gif", b"x"),
        Slow("a body for who reads none", request("GET", "/healthz", "Content-Length: 100000"), b"x"),
    )


async def drips(address: Address, slow: Slow, every: float, held: Held, give_up: float) -> None:
    """Be slow until hung up on."""
    reader, writer = await asyncio.open_connection(*address)
    began = time.monotonic()
    try:
        writer.write(slow.begins)
        while (left := began + give_up - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(every, left)):
                    await reader.read()  # to the end
                    held.seconds = time.monotonic() - began
                    return
            writer.write(slow.drip)
    except ConnectionError:
        held.seconds = time.monotonic() - began
    finally:
        await closed(writer)


async def never_reads(address: Address, asked: bytes, held: Held, give_up: float) -> None:
    """Ask for more than fits into buffers, and read none of it."""
    loop = asyncio.get_running_loop()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        await loop.sock_connect(connection, address)
        began = time.monotonic()
        waiting = memoryview(asked)
        while time.monotonic() - began < give_up:
            try:
                if waiting:
                    waiting = waiting[connection.send(waiting) :]
                elif connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    raise ConnectionResetError
            except BlockingIOError:
                pass
            except ConnectionError:
                held.seconds = time.monotonic() - began
                return
            await asyncio.sleep(0.05)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: bytes) -> tuple[int, bytes]:
    """One request on a connection that is kept: (status, head)."""
    writer.write(asked)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
    )
    await reader.readexactly(length)
    return int(head.split()[1]), head


async def good_client(
    address: Address,
    requests: Sequence[tuple[bytes, int]],
    served: Served,
    done: Callable[[], bool],
    rest: Callable[[], Awaitable[object]] | None = None,
) -> None:
    """Ask in turn for these (request, status of the right answer) until `done`; `rest` after each turn."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        while not done():
            for asked, right in requests:
                began = time.monotonic()
                status, head = await ask(reader, writer, asked)
                served.seconds.append(time.monotonic() - began)
                if status != right or b"unavailable" in head:
                    served.wrong.append(head.decode("latin-1"))
                if b"connection: close" in head.lower():  # nginx says so to every thousandth
                    await closed(writer)
                    reader, writer = await asyncio.open_connection(*address)
            if rest is not None:
                await rest()
    except (OSError, asyncio.IncompleteReadError) as error:
        served.wrong.append(repr(error))
    finally:
        await closed(writer)


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
