"""Which addresses a check may ask: those of the public internet, and what an operator lists. Pure.

Whoever names a URL to be fetched could otherwise look around in the network that we stand in. So a name is
resolved once, every address it has is judged here, and the connection goes to the very address that was
judged (app/check/fetch.py). All refusals of a place sound alike: they tell nothing of what is there.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import quote, urljoin, urlsplit

from app.model import Rejected
from app.workspaces import ascii_host

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

PORTS = {"http": 80, "https": 443}
LONGEST = 2000  # characters of a URL

#: Not of the public internet, or nobody's website: IANA's registries of special addresses, and what clouds
#: answer their own machines at. Of IPv6 only 2000::/3 is given out at all.
SPECIAL = tuple(
    map(
        ip_network,
        """
        0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 168.63.129.16/32 169.254.0.0/16 172.16.0.0/12
        192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24
        203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
        ::/3 2001::/23 2001:db8::/32 2002::/16 3fff::/20 4000::/2 8000::/1
        """.split(),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")

_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

#: What stands in a path and query as it is; the rest is percent-encoded.
_IN_PATHS = "/?%:@!$&'()*+,;=-._~[]|^{}"

#: One answer for what does not resolve and for what is internal: which names there are inside is told nobody.
NOT_PUBLIC = Rejected(
    "url_not_public", "leads to no address of the public internet: it does not resolve, or is internal", "url"
)


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be asked although it is internal, and the ports that may be asked anywhere."""

    names: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()
    ports: frozenset[int] = frozenset(PORTS.values())
    everything: bool = False  # the operator at the command line


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be asked, if the addresses of its host may be. `host` is as certificates name it."""

    scheme: str
    host: str
    port: int
    path: str  # with its query

    @property
    def authority(self) -> str:
        """As the Host header says it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.authority}"

    @property
    def url(self) -> str:
        return self.origin + self.path


def allowed(listed: str, public_url: str = "", *, everything: bool = False) -> Allowed:
    """What the setting lists: host names and networks, by commas. Errors: ValueError for what is neither."""
    names: set[str] = set()
    networks: list[Network] = []
    for said in filter(None, (part.strip() for part in listed.split(","))):
        try:
            networks.append(ip_network(said))
        except ValueError:
            name = ascii_host(said)
            if "/" in said or ":" in said or _NAME.fullmatch(name) is None or _is_numeric(name):
                raise ValueError(f"{said!r} is neither a host name nor a network") from None
            names.add(name)
    ours = target(public_url, Allowed(everything=True)) if public_url else None
    ports = {*PORTS.values(), *([ours.port] if isinstance(ours, Target) else [])}
    return Allowed(frozenset(names), tuple(networks), frozenset(ports), everything)


def target(url: str, allowed: Allowed, *, base: str = "") -> Target | Rejected:
    """The place that a URL names (seen from `base`), as far as the URL alone can tell."""
    try:
        whole = urljoin(base, url) if base else url
        parts = urlsplit(whole)
        port = parts.port
    except ValueError:
        return Rejected("url_invalid", "must be an address such as https://shop.example/", "url")
    if len(whole) > LONGEST or re.search(r"[\x00-\x20\x7f\\]", whole):
        told = f"must have at most {LONGEST} characters, without spaces, backslashes or control characters"
        return Rejected("url_invalid", told, "url")
    if parts.scheme not in PORTS or not parts.hostname:
        return Rejected("url_invalid", "must begin with http:// or https:// and name a host", "url")
    if "@" in parts.netloc:
        return Rejected("url_invalid", "must not hold a user name or password", "url")
    host = _host(parts.hostname)
    if not host:
        told = "must name its host by a name, or by an address in its usual spelling"
        return Rejected("url_invalid", told, "url")
    port = port or PORTS[parts.scheme]
    if port not in allowed.ports and not _is_listed(host, allowed):
        known = ", ".join(map(str, sorted(allowed.ports)))
        return Rejected("url_port", f"must be at port {known}, not {port}", "url")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port, quote(path, safe=_IN_PATHS, errors="replace"))


def pinned(host: str, found: Sequence[str], allowed: Allowed) -> str | Rejected:
    """The address to connect to. One that may not be asked among them refuses the name altogether."""
    addresses = [ip_address(one) for one in found]
    if not addresses:
        return NOT_PUBLIC
    if not (allowed.everything or host in allowed.names):
        for address in addresses:
            if not (is_public(address) or _is_in(address, allowed.networks)):
                return NOT_PUBLIC
    return str(addresses[0])


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet; one that wraps an IPv4 address, by that."""
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return False
        inner = address.ipv4_mapped
        if inner is None and address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return not _is_in(address, SPECIAL)


def literal(host: str) -> str:
    """The host if it is an IP address, else ""."""
    try:
        return str(ip_address(host))
    except ValueError:
        return ""


def _host(said: str) -> str:
    """A host name in ASCII and lower case, or an IP address in its one spelling; "" for anything else."""
    if "%" in said:
        return ""
    if found := literal(said):
        return found
    name = ascii_host(said).removesuffix(".")
    return name if len(name) <= 253 and _NAME.fullmatch(name) and not _is_numeric(name) else ""


def _is_numeric(name: str) -> bool:
    """Whether browsers, and some resolvers, would read this name as an IPv4 address (127.1, 0x7f000001)."""
    return _NUMBER.fullmatch(name.rpartition(".")[2]) is not None


def _is_listed(host: str, allowed: Allowed) -> bool:
    if allowed.everything or host in allowed.names:
        return True
    found = literal(host)
    return bool(found) and _is_in(ip_address(found), allowed.networks)


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    """As itself, or by the IPv4 address that it wraps."""
    inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return any(one in network for one in (address, inner) if one is not None for network in networks)
