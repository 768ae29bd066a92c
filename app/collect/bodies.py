"""Request bodies: read no further than the limit, decompressed within it, decoded as JSON without loss.

JSON is decoded by the standard library and not by msgspec, because of what senders send: it alone can be
told to keep NaN, 5,000-digit integers, half surrogate pairs and names given twice as values, so that one
such value costs its own event (named by field) and not the 999 beside it. It costs 4 us an event more.
"""

import json
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from decimal import Decimal, InvalidOperation
from typing import Any

from app.collect.fields import Impossible
from app.errors import InvalidInput, TooLarge, Unsupported

DEPTH = 32
GZIP = b"\x1f\x8b"
_AUTO = 32 + zlib.MAX_WBITS  # zlib finds out whether it is gzip or zlib


async def read(
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]], headers: Mapping[bytes, bytes], limit: int
) -> bytes:
    """The body, decompressed: at most `limit` bytes before and after. TooLarge, InvalidInput, Unsupported."""
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length) > limit:
        raise _too_large(limit)
    chunks = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidInput("body_incomplete", "the connection ended before the body did")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body"):
            break
    body = b"".join(chunks)
    chunks.clear()  # or it is held twice while it is unpacked
    return _decompressed(body, headers.get(b"content-encoding", b"").strip().lower(), limit)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        "body_too_large", f"a body may have at most {limit} bytes, before and after decompression"
    )


def _decompressed(body: bytes, encoding: bytes, limit: int) -> bytes:
    """Some senders compress without saying so: the bytes 1f 8b begin no JSON text."""
    if encoding in (b"", b"identity") and not body.startswith(GZIP):
        return body
    if encoding not in (b"", b"identity", b"gzip", b"x-gzip", b"deflate"):
        shown = encoding[:20].decode("latin-1")
        raise Unsupported("encoding_unknown", f"Content-Encoding may be gzip or deflate, not {shown}")
    # "deflate" is sent both with zlib's header and without.
    raw = encoding == b"deflate" and not body.startswith(GZIP) and (body[:1] or b"\0")[0] & 15 != 8
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS if raw else _AUTO)
    try:
        found = unpacker.decompress(body, limit + 1)
    except zlib.error:
        raise InvalidInput("body_not_decompressible", "the compressed body is damaged") from None
    if len(found) > limit:
        raise _too_large(limit)
    if not unpacker.eof or unpacker.unused_data:
        raise InvalidInput("body_not_decompressible", "the compressed body ends too early or too late")
    return found


def decoded(body: bytes) -> object:
    """The JSON value of a body: decimals as Decimal, what no field can hold as Impossible. InvalidInput."""
    text = body.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    try:
        found: object = _DECODER.decode(text)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        where = f" (at character {error.pos})" if isinstance(error, json.JSONDecodeError) else ""
        raise InvalidInput("not_json", f"the body is not JSON{where}") from None
    if body.count(b"{") + body.count(b"[") > DEPTH and _deeper(found, DEPTH):
        raise _too_deep()
    return found


def _too_deep() -> InvalidInput:
    return InvalidInput("too_deep", f"the body nests deeper than {DEPTH} levels")


def _deeper(value: object, limit: int) -> bool:
    """Whether containers lie in one another more than `limit` times."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(limit):
        inside = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
        level = [inner for inner in inside if isinstance(inner, dict | list)]
    return bool(level)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                found[name] = Impossible("given twice")
            seen.add(name)
    return found


def _integer(text: str) -> object:
    return int(text) if len(text) <= 20 else Impossible(text[:40])


def _decimal(text: str) -> object:
    try:
        return Decimal(text) if len(text) <= 60 else Impossible(text[:40])
    except InvalidOperation:
        return Impossible(text)


_DECODER = json.JSONDecoder(
    strict=False,  # control characters are refused by the field they stand in
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_decimal,
    parse_constant=Impossible,
)
