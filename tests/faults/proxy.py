"""A network that fails on command: a TCP proxy before PostgreSQL, or before Clicktrail.

It passes bytes on and understands none of them. All of it runs in a thread of its own; a test says what
the network shall do, at any time, to connections that are there and to those that come.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

CHUNK = 64 * 1024
UNDER_WAY = 64  # chunks in one direction of a connection: no network holds more for anybody
RESET = struct.pack("ii", 1, 0)  # of SO_LINGER: closing says RST


class Proxy:
    """A context manager; meanwhile it listens on `port` of 127.0.0.1."""

    def __init__(self, target: tuple[str, int] | Path) -> None:
        """`target`: host and port, or the path of a Unix socket."""
        self.target = target
        self.port = 0
        self.delay = 0.0  # seconds that what a client says is under way; answers take none
        self.lost = 0  # answers that were cut so far
        self._cut = 0  # answers that are to be cut
        self._refuses = False
        self._open = asyncio.Event()
        self._ends: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._listens = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy")

    # --- What the network does; from any thread -----------------------------------------------------

    def passes(self) -> None:
        """All is well (again): what was held goes on its way."""
        self._do(lambda: self._turn(refuses=False))

    def resets(self) -> None:
        """Every connection is reset, those that come at once."""
        self._do(lambda: self._turn(refuses=True))

    def holds(self) -> None:
        """Nothing gets through and nobody is told: connections stand, and new ones are accepted."""
        self._do(self._open.clear)

    def cuts(self, answers: int) -> None:
        """The next answers never arrive: their connections are reset instead."""
        self._do(lambda: setattr(self, "_cut", answers))

    def _turn(self, *, refuses: bool) -> None:
        self._refuses = refuses
        self._open.set()
        for end in list(self._ends) if refuses else ():
            _reset(end)

    def _do(self, act: Callable[[], object]) -> None:
        """Act in the proxy's thread; return when it is done."""
        done: Future[object] = Future()
        self._loop.call_soon_threadsafe(lambda: done.set_result(act()))
        done.result(10)

    # --- Its thread ---------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listens.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.resets()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        listening = asyncio.start_server(self._serve, "127.0.0.1", self.port)
        server = self._loop.run_until_complete(listening)
        self.port = server.sockets[0].getsockname()[1]
        self._open.set()
        self._listens.set()
        self._loop.run_forever()
        server.close()
        while tasks := asyncio.all_tasks(self._loop):
            self._loop.run_until_complete(asyncio.wait(tasks))
        self._loop.close()

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        ends = [to_client]
        self._ends.update(ends)
        try:
            await self._open.wait()
            if self._refuses:
                return
            from_server, to_server = await self._connect()
            ends.append(to_server)
            self._ends.update(ends)
            ways = [
                asyncio.create_task(self._carry(from_client, to_server, self._asking)),
                asyncio.create_task(self._carry(from_server, to_client, self._answering)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            if not any(isinstance(e, Exception) for e in await asyncio.gather(*ways, return_exceptions=True)):
                for end in ends:
                    end.close()  # it ended in good order
        except OSError:
            pass
        finally:
            for end in ends:
                _reset(end)
            self._ends.difference_update(ends)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.target, Path):
            return await asyncio.open_unix_connection(self.target)
        return await asyncio.open_connection(*self.target)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: Callable[[], float]
    ) -> None:
        """Pass on what comes, until its end; what is under way does not hold up what follows."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(UNDER_WAY)

        async def read() -> None:
            with suppress(OSError):
                while chunk := await reader.read(CHUNK):
                    await under_way.put((self._loop.time() + delay(), chunk))
            await under_way.put((0.0, b""))

        reading = asyncio.create_task(read())
        try:
            while True:
                due, chunk = await under_way.get()
                await asyncio.sleep(max(0.0, due - self._loop.time()))
                await self._open.wait()
                if not chunk:
                    return
                if delay == self._answering and self._cut:
                    self._cut, self.lost = self._cut - 1, self.lost + 1
                    raise ConnectionResetError
                writer.write(chunk)
                await writer.drain()
        finally:
            reading.cancel()

    def _asking(self) -> float:
        return self.delay

    def _answering(self) -> float:
        return 0.0


def _reset(end: asyncio.StreamWriter) -> None:
    """Say RST, unless it is closed or about to be."""
    if not end.is_closing():
        with suppress(OSError):
            end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        end.transport.abort()
