"""Asks the addresses that a caller named: the one file of this room that speaks HTTP.

Like a careful stranger: every hop is judged (app/check/address.py), a name is resolved once and the
connection goes to the address that was judged, with certificate and Host by name. Little time, few bytes,
no proxy of the environment, no cookies, no credentials. What goes wrong is a value that says why.
"""

import asyncio
import socket
import ssl
import zlib
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from time import monotonic
from typing import NamedTuple

import httpx

from app import __version__
from app.check import address
from app.check.address import Allowed, Target
from app.model import Rejected

STEP = 3.0  # seconds for a name, a connection, and between two parts of an answer
MOST_HOPS = 5
MOST_BYTES = 512 * 1024  # of a body, after decompression
USER_AGENT = f"Clicktrail-check/{__version__} (asked by the site's owner)"
_UNUSED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # for http
CODINGS = ("", "identity", "gzip", "x-gzip")

#: All addresses of a host name; [] when it has none. Errors: OSError, UnicodeError.
Resolve = Callable[[str, int], Awaitable[list[str]]]


@dataclass(frozen=True, slots=True)
class Way:
    """How addresses are asked: what may be, who resolves names, whose certificates are trusted."""

    allowed: Allowed
    resolve: Resolve
    trusted: Callable[[], ssl.SSLContext]


class Leg(NamedTuple):
    """A step of the way and how long it took: a fact, not a judgement."""

    what: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """The last answer of a chain of redirects. `urls` are all that were asked, in order."""

    urls: tuple[str, ...]
    status: int
    headers: tuple[tuple[str, str], ...]  # lower-case names
    body: bytes
    cut: bool = False  # there was more than MOST_BYTES
    legs: tuple[Leg, ...] = ()

    @property
    def url(self) -> str:
        return self.urls[-1]

    def header(self, name: str) -> str:
        """The values of a header, joined by commas; "" when there is none."""
        return ", ".join(value for given, value in self.headers if given == name)


class Names:
    """Resolves host names in a few threads of its own: a dead name server holds nobody else up."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="names")

    async def __call__(self, host: str, port: int) -> list[str]:
        asked = asyncio.get_running_loop().run_in_executor(
            self._threads, socket.getaddrinfo, host, port, socket.AF_UNSPEC, socket.SOCK_STREAM
        )
        return list(dict.fromkeys(str(found[4][0]) for found in await asked))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


@cache
def trusted() -> ssl.SSLContext:
    """The certificates that programs trust, and those that this machine does."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context


async def fetch(way: Way, url: str, *, base: str = "") -> Answer | Rejected:
    """GET a URL, following at most MOST_HOPS redirects, each judged like the first."""
    urls: list[str] = []
    legs: list[Leg] = []
    while True:
        place = address.target(url, way.allowed, base=base)
        if isinstance(place, Rejected):
            return place
        urls.append(place.url)
        found = await _ask(way, _Request("GET", place), legs)
        if isinstance(found, Rejected):
            return found
        base, url = place.url, found.header("location")
        if found.status not in (301, 302, 303, 307, 308) or not url:
            return Answer(tuple(urls), found.status, found.headers, found.body, found.cut, tuple(legs))
        if len(urls) > MOST_HOPS:
            return Rejected("url_redirects", f"redirects more than {MOST_HOPS} times", "url")


async def post(way: Way, url: str, body: bytes, headers: Mapping[str, str]) -> Answer | Rejected:
    """POST once; an answer that redirects is an answer."""
    place = address.target(url, way.allowed)
    if isinstance(place, Rejected):
        return place
    return await _ask(way, _Request("POST", place, body, headers), [])


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    place: Target
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


async def _ask(way: Way, said: _Request, legs: list[Leg]) -> Answer | Rejected:
    """One request, and its legs; the name is resolved here and nowhere else."""
    place = said.place
    started = monotonic()
    found = await _addresses(way, place)
    if not address.literal(place.host):
        legs.append(Leg(f"resolved {place.host}", monotonic() - started))
    pinned = address.pinned(place.host, found, way.allowed)
    if isinstance(pinned, Rejected):
        return pinned
    # Reading the certificates takes a while, once: not of this loop's time.
    context = await asyncio.to_thread(way.trusted) if place.scheme == "https" else _UNUSED
    started = monotonic()
    try:
        answer = await _exchange(said, pinned, context)
    except (httpx.HTTPError, zlib.error) as error:
        return _failed(error)
    legs.append(Leg(f"{said.method} {place.url}", monotonic() - started))
    return answer


async def _addresses(way: Way, place: Target) -> list[str]:
    if address.literal(place.host):
        return [place.host]
    try:
        return await asyncio.wait_for(way.resolve(place.host, place.port), STEP)
    except (OSError, UnicodeError, TimeoutError):
        return []


async def _exchange(said: _Request, pinned: str, context: ssl.SSLContext) -> Answer:
    """One request to the address `pinned`. Errors: httpx.HTTPError, zlib.error."""
    place = said.place
    headers = {
        "host": place.authority,
        "user-agent": USER_AGENT,
        "accept-encoding": "gzip",
        "accept": "text/html,*/*;q=0.8",
        **said.headers,
    }
    at = httpx.URL(scheme=place.scheme, host=pinned, port=place.port, raw_path=place.path.encode("ascii"))
    # The transport alone: a client of httpx's would look at cookies, and at where a redirect leads.
    request = httpx.Request(
        said.method,
        at,
        content=said.body,
        headers=headers,
        extensions={"sni_hostname": place.host, "timeout": httpx.Timeout(STEP).as_dict()},
    )
    async with httpx.AsyncHTTPTransport(verify=context, trust_env=False) as transport:
        response = await transport.handle_async_request(request)
        try:
            told = tuple((name.lower(), value) for name, value in response.headers.multi_items())
            content, cut = await _body(response)
            return Answer((place.url,), response.status_code, told, content, cut)
        finally:
            await response.aclose()


async def _body(response: httpx.Response) -> tuple[bytes, bool]:
    """At most MOST_BYTES of the body, decompressed, and whether there was more."""
    coding = response.headers.get("content-encoding", "").strip().lower()
    if coding not in CODINGS:
        raise zlib.error(coding)
    unpack = zlib.decompressobj(31) if "gzip" in coding else None
    taken = bytearray()
    raw = 0
    async for part in response.aiter_raw():
        raw += len(part)
        taken += unpack.decompress(part, MOST_BYTES + 1 - len(taken)) if unpack else part
        if max(raw, len(taken)) > MOST_BYTES:
            return bytes(taken[:MOST_BYTES]), True
    return bytes(taken), False


def _failed(error: Exception) -> Rejected:
    """What a failure says to a person; of the network between only what its name servers say anyway."""
    if isinstance(error, httpx.TimeoutException):
        return Rejected("url_slow", f"did not answer within {STEP:.0f} s", "url")
    if isinstance(error, zlib.error):
        return Rejected("url_encoding", "answered in a compression that was not asked for, or damaged", "url")
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            told = getattr(cause, "verify_message", "") or "the connection could not be secured"
            return Rejected("url_certificate", f"has a certificate that browsers refuse: {told}", "url")
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ConnectError):
        return Rejected("url_unreachable", "cannot be reached: nothing answers there", "url")
    return Rejected("url_not_http", "answered something that is not HTTP, or hung up", "url")
