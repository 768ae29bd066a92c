"""Our click ids: a click's whole touch, signed, in 67 url-safe characters.

    version, key number | workspace, campaign, ad, partner | occurred_at (us) | 63 random bits | HMAC

The redirect makes them, conversions bring them back, and the touch can be rebuilt from the id alone even
if its record was lost: the random bits are the event's `no`, so the late record is the same touch. Whoever
lacks the workspace's secret can neither make one nor move one to another campaign. Pure: no clock, no
randomness, no I/O. Lives with campaigns because doors and pipeline both read it and are strangers.
"""

import binascii
import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass

VERSION = 1
MAC_BYTES = 16
LENGTH = 67  # of the text: 34 + 16 bytes in unpadded base64
_PAYLOAD = struct.Struct(">BBIIIIQQ")


@dataclass(frozen=True, slots=True)
class ClickId:
    """What a click id says. Ids are rows of this workspace (0: none); `no` is the event's number."""

    workspace: int
    campaign_id: int
    ad_id: int
    partner_id: int
    occurred_at: int
    no: int


def make_click_id(click: ClickId, secret: bytes, *, key: int = 1) -> str:
    """The signed text of a click. `key` numbers the secret, so that one can be replaced by another."""
    payload = _PAYLOAD.pack(
        VERSION,
        key,
        click.workspace,
        click.campaign_id,
        click.ad_id,
        click.partner_id,
        click.occurred_at,
        click.no,
    )
    return urlsafe_b64encode(payload + _mac(payload, secret)).rstrip(b"=").decode()


def read_click_id(text: str, secret: bytes) -> ClickId | None:
    """The click of a text signed with `secret`; None for anything else whatever.

    Of the texts that decode to the same bytes only the canonical one is valid: an id is also a key.
    """
    if len(text) != LENGTH or not text.isascii():
        return None
    try:
        data = urlsafe_b64decode(text + "=")
    except (binascii.Error, ValueError):
        return None
    payload, mac = data[: _PAYLOAD.size], data[_PAYLOAD.size :]
    if not hmac.compare_digest(mac, _mac(payload, secret)):
        return None
    if urlsafe_b64encode(data).rstrip(b"=").decode() != text:
        return None
    version, _key, *numbers = _PAYLOAD.unpack(payload)
    return ClickId(*numbers) if version == VERSION else None


def _mac(payload: bytes, secret: bytes) -> bytes:
    # The prefix keeps a click id's MAC from being taken for that of a receipt or a URL.
    return hmac.digest(secret, b"click\0" + payload, "sha256")[:MAC_BYTES]
