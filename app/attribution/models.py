"""The models: how much weight each kept touch of a conversion has, in integers.

MODELS is the list; a model is a function from the kept touches of a whole batch to one weight each. What
a weight earns is `allocation`'s. `billing` is not here: it is a rule of eligibility (rules.BILLING),
since its winner need not be among the touches that reports keep.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import gcd

import numpy as np

from app.attribution.journeys import CLICK, Bits, Ints, first_of, last_of
from app.model import HOUR

DECAY_ONE = 2**20


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a workspace may set about its models."""

    position_shares: tuple[int, int, int] = (40, 20, 40)
    half_life_hours: int = 168


@dataclass(frozen=True, slots=True)
class Paths:
    """Kept touches, by conversion and oldest first; each with its place in its path."""

    ask: Ints
    kind: Ints
    age: Ints  # microseconds before the conversion
    place: Ints  # 0, 1, ... size - 1
    size: Ints


def paths(ask: Ints, kind: Ints, age: Ints) -> Paths:
    """Paths of the touches given in order, sorted by `ask`."""
    starts = np.flatnonzero(np.r_[True, ask[1:] != ask[:-1]]) if len(ask) else np.zeros(0, dtype=np.int64)
    sizes = np.diff(np.r_[starts, len(ask)])
    return Paths(ask, kind, age, np.arange(len(ask)) - np.repeat(starts, sizes), np.repeat(sizes, sizes))


def first_touch(path: Paths, _: Parameters) -> Ints:
    return np.asarray(path.place == 0, dtype=np.int64)


def last_touch(path: Paths, _: Parameters) -> Ints:
    return np.asarray(path.place == path.size - 1, dtype=np.int64)


def last_click(path: Paths, _: Parameters) -> Ints:
    """The last click; a path without one falls back to its last touch."""
    clicks: Bits = path.kind == CLICK
    first = first_of(path.ask, np.ones(len(path.ask), dtype=np.bool_))
    path_no = np.cumsum(first) - 1
    clicked = np.zeros(int(first.sum()), dtype=np.bool_)
    clicked[path_no[clicks]] = True
    fallen = ~clicked[path_no] & (path.place == path.size - 1)
    return np.asarray(last_of(path.ask, clicks) | fallen, dtype=np.int64)


def linear(path: Paths, _: Parameters) -> Ints:
    return np.ones(len(path.ask), dtype=np.int64)


def position_based(path: Paths, parameters: Parameters) -> Ints:
    """The first and last touch have their share each, the middle ones divide theirs; one or two are equal.

    For shares 40/20/40 and n touches: 2(n - 2), 1, ..., 1, 2(n - 2).
    """
    first, middle, last = _reduced(parameters.position_shares)
    weights = np.full(len(path.ask), middle, dtype=np.int64)
    for share, end in ((first, path.place == 0), (last, path.place == path.size - 1)):
        weights[end] = share * (path.size[end] - 2)
    weights[path.size <= 2] = 1
    return weights


def _reduced(shares: tuple[int, int, int]) -> tuple[int, int, int]:
    divisor = gcd(*shares)
    first, middle, last = (share // divisor for share in shares)
    return first, middle, last


def time_decay(path: Paths, parameters: Parameters) -> Ints:
    """Half the weight for each half-life of age in whole hours; never less than 1."""
    table = decay_table(parameters.half_life_hours)
    return table[np.minimum(path.age // HOUR, len(table) - 1)]


@lru_cache(maxsize=16)
def decay_table(half_life: int) -> Ints:
    """max(1, floor(2^20 * 2^(-h / half_life))) for h = 0, 1, ... until it stays 1.

    Exact: a power of two that is nearly whole is decided in integers, so no platform's exp() matters.
    """
    found = [_decayed(hours, half_life) for hours in range(20 * half_life + 1)]
    return np.array(found, dtype=np.int64)


def _decayed(hours: int, half_life: int) -> int:
    value: float = 2.0 ** (20 - hours / half_life)
    near = round(value)
    if abs(value - near) > 1e-6:
        return max(1, int(value))
    power: int = near**half_life
    reached = power << hours <= 1 << 20 * half_life  # near <= 2^(20 - hours / half_life), in integers
    return max(1, near if reached else near - 1)


Model = Callable[[Paths, Parameters], Ints]

MODELS: dict[str, Model] = {
    "first_touch": first_touch,
    "last_touch": last_touch,
    "last_click": last_click,
    "linear": linear,
    "position_based": position_based,
    "time_decay": time_decay,
}
