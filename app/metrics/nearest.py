"""What a mistyped name was probably meant to be. Pure."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(what: str, given: object, choices: Iterable[str]) -> str:
    """A sentence that names the nearest valid names, or all of them when few."""
    known = list(choices)
    shown = str(given)[:80]
    spelled = {name.lower(): name for name in known}
    close = [spelled[name] for name in get_close_matches(shown.lower(), spelled, n=3, cutoff=0.5)]
    if close:
        return f"unknown {what} {shown!r}; did you mean {' or '.join(close)}?"
    if len(known) <= 12:
        return f"unknown {what} {shown!r}; one of {', '.join(known)}"
    return f"unknown {what} {shown!r}; GET /v1/metrics/meta lists them"
