"""Bytes to and from a server, as they are: what no HTTP client would send, and what it gets for it."""

import socket
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

import psutil

from tests.conftest import Clicktrail

HOST = b"Host: localhost\r\n"


class Address(NamedTuple):
    host: str
    port: int

    @classmethod
    def of(cls, service: Clicktrail) -> "Address":
        found = urlsplit(service.url)
        assert found.hostname is not None
        assert found.port is not None
        return cls(found.hostname, found.port)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)  # names in lower case
    body: bytes = b""


@dataclass(frozen=True)
class Heard:
    """All that came back: the answers in order, and how it ended."""

    answers: list[Answer]
    rest: bytes  # what came and is no whole answer
    hung_up: bool  # whether the server ended it, rather than our patience

    @property
    def statuses(self) -> list[int]:
        return [answer.status for answer in self.answers]


def web(service: Clicktrail) -> psutil.Process:
    assert service.process is not None
    children = psutil.Process(service.process.pid).children()
    return next(child for child in children if "web" in child.cmdline())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def listens(address: Address) -> bool:
    try:
        socket.create_connection(address, timeout=5).close()
    except OSError:
        return False
    return True


def request(method: str, target: str, *lines: str, body: bytes = b"", version: str = "1.1") -> bytes:
    """A request with one Host, and the length of its body when it has one."""
    told = [f"Content-Length: {len(body)}"] if body else []
    head = "\r\n".join([f"{method} {target} HTTP/{version}", "Host: localhost", *told, *lines, "", ""])
    return head.encode("latin-1") + body


def exchange(address: Address, *sent: bytes, patience: float = 10, answers: int = 0) -> Heard:
    """Send these, and listen until the server hangs up, for `patience` seconds, or for so many `answers`."""
    data, hung_up = b"", False
    with socket.create_connection(address, timeout=patience) as connection:
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # what it said before may still be read
                for piece in sent:
                    connection.sendall(piece)
            while not answers or len(parsed(data).answers) < answers:
                chunk = connection.recv(1 << 20)
                if not chunk:
                    hung_up = True
                    break
                data += chunk
        except TimeoutError:
            pass
        except ConnectionResetError:
            hung_up = True
    return Heard(*parsed(data)[:2], hung_up)


class Parsed(NamedTuple):
    answers: list[Answer]
    rest: bytes


def parsed(data: bytes) -> Parsed:
    """The whole answers in `data`; none of ours but reports comes in chunks."""
    answers = []
    while b"\r\n\r\n" in data:
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        assert first.startswith("HTTP/1.1 "), first[:80]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            break
        if int(first.split()[1]) != 100:
            answers.append(Answer(int(first.split()[1]), headers, rest[:length]))
        data = rest[length:]
    return Parsed(answers, data)
