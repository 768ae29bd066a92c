"""Robots and devices: what a browser's name for itself says. Pure."""

import re
from functools import lru_cache

from crawleruseragents import is_crawler

from app.model import DEVICES

#: What crawler-user-agents misses: no user agent at all, and HTTP libraries that give a bare name.
BARE_AGENTS = frozenset({"", "-", "node", "axios", "okhttp", "java", "ruby", "undici", "got", "null"})

TABLET = re.compile(r"ipad|tablet|kindle|silk/|playbook|android(?!.*mobile)", re.IGNORECASE)
MOBILE = re.compile(r"mobi|iphone|ipod|android|windows phone|opera mini", re.IGNORECASE)
DESKTOP = re.compile(r"windows nt|macintosh|x11|cros |linux x86_64|linux i686", re.IGNORECASE)
SCREENLESS = re.compile(r"smart-?tv|smarttv|appletv|googletv|hbbtv|roku|playstation|xbox", re.IGNORECASE)

#: Names that stand for all others of their device, where no name may be kept: each is judged as those are.
STAND_INS: dict[int, str] = {
    DEVICES["desktop"]: "(X11)", DEVICES["mobile"]: "(Mobile)", DEVICES["tablet"]: "(Tablet)",
    DEVICES["other"]: "(other)",
}  # fmt: skip
ROBOT = "Googlebot/2.1 "


@lru_cache(maxsize=20_000)
def is_bot(user_agent: str) -> bool:
    """True for a declared robot, or for what no browser sends."""
    plain = user_agent.strip()
    return plain.casefold() in BARE_AGENTS or bool(is_crawler(plain))


@lru_cache(maxsize=20_000)
def device(user_agent: str) -> int:
    """model.DEVICES of a user agent; 0 when there is none."""
    if not user_agent:
        return 0
    if SCREENLESS.search(user_agent):
        return DEVICES["other"]
    if TABLET.search(user_agent):
        return DEVICES["tablet"]
    if MOBILE.search(user_agent):
        return DEVICES["mobile"]
    return DEVICES["desktop"] if DESKTOP.search(user_agent) else DEVICES["other"]


def stand_in(user_agent: str) -> str:
    """A name that tells nobody from anybody, and is judged as this one: the same device, a robot or none."""
    if user_agent.strip().casefold() in BARE_AGENTS:
        return user_agent
    return (ROBOT if is_bot(user_agent) else "") + STAND_INS[device(user_agent)]
