"""Bodies that are too large, too deep, or grow when unpacked: refused before they cost memory or time."""

import contextlib
import gzip
import os
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from app.collect import bodies
from app.errors import ClicktrailError
from tests.conftest import Clicktrail
from tests.hostile.wire import HOST, Address, Heard, exchange, parsed, request, web

MIB = 2**20
EVENT = b'{"kind": "pageview"}'
CHUNK = b"10000\r\n" + b" " * 65536 + b"\r\n"

DOORS = {"/v1/events": MIB, "/collect": 64 * 1024, "/postback": 64 * 1024, "/v1/campaigns": 2 * MIB}


@pytest.fixture(params=["direct", "nginx"])
def way_in(request: pytest.FixtureRequest, standing: Clicktrail) -> Address:
    found: Address = (
        Address.of(standing) if request.param == "direct" else request.getfixturevalue("in_front")
    )
    return found


@contextlib.contextmanager
def peak(process: psutil.Process) -> Iterator[Callable[[], float]]:
    """MiB by which the process has grown at most, since the block began."""
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # from here on the peak counts anew

    def high() -> int:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

    before = high()
    yield lambda: (high() - before) / 1024


def poured(address: Address, head: bytes, piece: bytes, total: int) -> tuple[Heard, int]:
    """Send `piece` again and again, up to `total` bytes; what came back, and how much was taken."""
    sent, data = 0, b""
    with socket.create_connection(address, timeout=10) as connection:
        try:
            connection.sendall(head)
            while sent < total:
                sent += connection.send(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        with contextlib.suppress(OSError):
            while chunk := connection.recv(65536):
                data += chunk
    return Heard(*parsed(data), hung_up=True), sent


@pytest.mark.parametrize("path", DOORS)
def test_a_gigabyte_is_refused_before_it_is_read(path: str, way_in: Address, standing: Clicktrail) -> None:
    head = f"POST {path} HTTP/1.1\r\n".encode() + HOST
    head += f"Authorization: Bearer {standing.keys['admin']}\r\nContent-Type: application/json\r\n".encode()
    with peak(web(standing)) as grown:
        for said in (b"Content-Length: 1073741824", b"Transfer-Encoding: chunked"):
            heard, taken = poured(way_in, head + said + b"\r\n\r\n", CHUNK, 2**30)
            # Whoever goes on sending may lose the answer to the reset that ends it.
            assert heard.statuses in ([413], []), (said, heard)
            # nginx reads on and throws away, for a while.
            assert taken < 32 * MIB or way_in != Address.of(standing), "it was read on"
            for answer in heard.answers:
                assert b"body_too_large" in answer.body
        assert grown() < 2 * DOORS[path] / MIB + 2


@pytest.mark.parametrize("path", DOORS)
def test_a_byte_more_than_allowed_is_413(path: str, way_in: Address, standing: Clicktrail) -> None:
    credential = f"Authorization: Bearer {standing.keys['admin']}"
    for size, refused in ((DOORS[path], False), (DOORS[path] + 1, True)):
        sent = request("POST", path, credential, "Content-Type: application/json", body=b"{}".ljust(size))
        (answer,) = exchange(way_in, sent, answers=1).answers
        assert (answer.status == 413) is refused, size
        assert not refused or b"body_too_large" in answer.body


def test_a_length_that_says_too_little_or_too_much_is_no_way_in(
    way_in: Address, standing: Clicktrail
) -> None:
    credential = f"Authorization: Bearer {standing.keys['server']}"
    short = request("POST", "/v1/events", credential, "Content-Length: 10") + EVENT + b" " * 10_000
    heard = exchange(way_in, short, patience=2)
    assert heard.statuses == [400, 400], "the body as far as it was said, and what follows as a request"
    long = request("POST", "/v1/events", credential, "Content-Length: 500") + EVENT
    assert exchange(way_in, long, patience=1).statuses == []


def deflated(body: bytes) -> bytes:
    packer = zlib.compressobj(9, wbits=-15)
    return packer.compress(body) + packer.flush()


BOMBS = {
    "gzip 1:1000": (gzip.compress(b" " * 1000 * MIB), "gzip", [413]),
    "deflate 1:1000": (deflated(b" " * 500 * MIB), "deflate", [413]),
    "not said to be one": (gzip.compress(b"[" * 500 * MIB), "", [413]),
    "nested": (gzip.compress(gzip.compress(b" " * 1000 * MIB)), "gzip", [400]),
    "two in a row": (gzip.compress(EVENT) + gzip.compress(b" " * 500 * MIB), "gzip", [400]),
    "truncated": (gzip.compress(os.urandom(1000))[:-4], "gzip", [400]),
    "with more behind": (gzip.compress(EVENT) + b" " * 1000, "gzip", [400]),
    "twice said": (gzip.compress(gzip.compress(EVENT)), "gzip, gzip", [415]),
    "brotli": (b"\x8b\x03\x80" * 1000, "br", [415]),
    "zstd": (b"\x28\xb5\x2f\xfd" * 1000, "zstd", [415]),
    "compress": (b"\x1f\x9d\x90" * 1000, "compress", [415]),
}


def test_a_bomb_is_refused_at_the_limit_it_would_pass(
    way_in: Address, standing: Clicktrail, report: Callable[[str], None]
) -> None:
    credential, grew = f"Authorization: Bearer {standing.keys['server']}", {}
    for name, (body, encoding, statuses) in BOMBS.items():
        if len(body) > MIB:
            body = body[: MIB - 1]  # too large as it is: let it be unpacked
        sent = request(
            "POST", "/v1/events", credential, f"Content-Encoding: {encoding or 'identity'}", body=body
        )
        exchange(way_in, sent, answers=1)
        with peak(web(standing)) as grown:
            heard = exchange(way_in, sent, answers=1)
            grew[name] = grown()
        assert heard.statuses == statuses, name
    report(f"bombs of 1:1000: the web process grew by {max(grew.values()):.1f} MiB at most")
    assert max(grew.values()) < 6, grew  # the body, twice for a moment, and what was unpacked of it


MANY = {
    "keys": b"{" + b",".join(b'"%x":1' % n for n in range(90_000)) + b"}",
    "keys, and one of them twice": b"{" + b",".join(b'"%x":1' % n for n in range(90_000)) + b',"1":1}',
    "one key again and again": b"{" + b",".join([b'"a":1'] * 170_000) + b"}",
    "depth 33": b"[" * 33 + b"]" * 33,
    "depth 1,000": b'{"a":' * 1000 + b"1" + b"}" * 1000,
    "depth 100,000": b"[" * 100_000 + b"]" * 100_000,
    "depth 500,000, unclosed": b"[" * 500_000,
    "depth 33, wide": b"[" * 33 + b"{}," * 300_000 + b"{}" + b"]" * 33,
    "lists": b"[" + b"[]," * 349_000 + b"[]]",
    "a number of a million digits": b"[" + b"9" * 1_000_000 + b"]",
    "numbers of 5,000 digits": b"[" + b",".join([b"9" * 5000] * 200) + b"]",
    "exponents": b"[" + b"1e99999999," * 90_000 + b"1]",
    "half surrogates": b'["' + b"\\ud800" * 170_000 + b'"]',
    "escapes": b'["' + b"\\n" * 500_000 + b'"]',
}


@pytest.mark.parametrize("name", MANY)
def test_no_body_takes_more_time_than_its_length_warrants(name: str) -> None:
    """A mebibyte of the worst there is: a tenth of a second; with one step too many for each, minutes."""
    began = time.process_time()
    with contextlib.suppress(ClicktrailError):
        bodies.decoded(MANY[name])
    assert time.process_time() - began < 2
