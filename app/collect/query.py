"""Query strings and their values, as text. Total: any bytes are some query. Pure."""

from urllib.parse import unquote_plus


def parsed(raw: bytes) -> dict[str, str]:
    """{name: value}; of a name given twice the last counts. Bytes that are not UTF-8 become lone
    surrogates, which every text field refuses by name."""
    found: dict[str, str] = {}
    for pair in raw.decode("utf-8", "surrogateescape").split("&"):
        name, _, value = pair.partition("=")
        if "%" in value or "+" in value:
            value = unquote_plus(value, errors="surrogateescape")
        if "%" in name or "+" in name:
            name = unquote_plus(name, errors="surrogateescape")
        found[name] = value
    return found


def clean(text: str) -> str:
    """Text that may be sent back: printable, nothing that is not Unicode."""
    return "".join(c for c in text if c.isprintable())
