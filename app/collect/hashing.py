"""E-mail addresses and phone numbers, hashed once per profile, and e-mail addresses taken out of URLs.

Destinations disagree on how an address is normalised before SHA-256, so one hash cannot serve them all
(the raw value is never written anywhere, so it cannot be hashed again later). `meta` is also the
profile by which people are joined. Pure.
"""

import hashlib
import re
import unicodedata

#: What each profile hashes, of the already trimmed and lower-cased address or of the digits.
EMAIL_PROFILES = ("meta", "google")
PHONE_PROFILES = ("meta", "e164")

_EMAIL = re.compile(r"[^@\s]{1,64}@(?:[^@\s.]+\.)+[^@\s.]{2,}")
_HASH = re.compile(r"[0-9a-f]{64}")
_PHONE_NOISE = re.compile(r"[\s\-().\u00a0\u200e\u200f\u202a-\u202e/]")
_DOTLESS = ("gmail.com", "googlemail.com")

#: What pages call an address or a number, in any case and with - or _ between the words.
_NAMED = {"email": "email", **dict.fromkeys(("phone", "mobile", "tel", "telephone", "phone_number"), "phone")}

#: user:password@ in front of a host.
_USERINFO = re.compile(r"(?<=//)[^/?#@]{0,500}@")

#: What looks like an address, however often encoded: the @ with its host, and, read backwards from there,
#: the name. In two steps, as a name looked for first is looked for again from each of its characters.
_AT_HOST = re.compile(r"(?:@|%(?:25){0,3}40)[\w.-]{1,250}\.\w{2,24}", re.IGNORECASE)
_EMAN = re.compile(r"(?:[be]2(?:52){0,3}%|[\w.!$'*+~-]){1,64}", re.IGNORECASE)
_FAR = 64 * len("%2525252e")


def named(name: str) -> str:
    """The field that a name stands for whose value is to be hashed, "email" or "phone"; "" for all others."""
    return _NAMED.get(name.replace("-", "_").lower(), "")


def emails(address: str) -> dict[str, str] | None:
    """{profile: hex SHA-256} of an address; None when it is none. A hash stays as it is."""
    plain = address.strip().lower()
    if _HASH.fullmatch(plain):
        return hashed(plain)
    if len(plain) > 254 or not _EMAIL.fullmatch(plain):
        return None
    user, _, host = plain.rpartition("@")
    google = f"{user.replace('.', '')}@{host}" if host in _DOTLESS else plain
    return {"meta": _sha256(plain), "google": _sha256(google)}


def phones(text: str) -> dict[str, str] | None:
    """{profile: hex SHA-256} of a number with its country code; None when it cannot be one."""
    plain = text.strip().lower()
    if _HASH.fullmatch(plain):
        return hashed(plain)
    plain = _PHONE_NOISE.sub("", plain)
    digits = plain.removeprefix("+")
    if not digits.isdecimal():
        return None
    digits = "".join(str(unicodedata.digit(digit)) for digit in digits)  # Persian and Arabic digits too
    if digits.startswith("00"):
        digits = digits[2:]
    elif digits.startswith("0"):
        digits = digits[1:]
    if digits.startswith("0") or not 7 <= len(digits) <= 15:
        return None
    return {"meta": _sha256(digits), "e164": _sha256(f"+{digits}")}


def hashed(digest: str) -> dict[str, str]:
    """What a sender's own hash is taken for: the most usual profile, by which people are joined."""
    return {"meta": digest.lower()}


def scrubbed(url: str) -> str:
    """The URL, or any text, without e-mail addresses and credentials."""
    if "@" not in url and "40" not in url:
        return url
    url = _USERINFO.sub("", url)
    kept, done = [], 0
    for found in _AT_HOST.finditer(url):
        at = found.start()
        name = _EMAN.match(url[max(done, at - _FAR) : at][::-1])
        if name is not None:
            kept += [url[done : at - name.end()], "(email)"]
            done = found.end()
    return "".join(kept) + url[done:]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
