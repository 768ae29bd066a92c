"""Where an IP address is: the country, by the operator's own .mmdb file; none is shipped."""

from collections.abc import Callable
from pathlib import Path

import maxminddb

from app.telemetry import logger

log = logger("places")


def countries(path: Path | None) -> Callable[[str], str]:
    """A look-up from IP address to country in an operator's .mmdb; without one it always answers ""."""
    if path is None:
        return lambda ip: ""
    reader = maxminddb.open_database(path)

    def country_of(ip: str) -> str:
        try:
            found = reader.get(ip)
        except ValueError:
            return ""
        country = found.get("country") if isinstance(found, dict) else None
        code = country.get("iso_code") if isinstance(country, dict) else None
        return code if isinstance(code, str) else ""

    return country_of


def countries_if_readable(path: Path | None) -> Callable[[str], str]:
    """The same for the doors, which a file that is gone or damaged must not keep from opening."""
    try:
        return countries(path)
    except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
        log.warning("geoip_unreadable", error=type(error).__name__)
        return countries(None)
