"""Frames: facts as columns, and joining them on their keys. Pure.

A frame's rows need not be unique by key: whoever groups adds them up. Keys are integers (ids, days,
codes of texts); parts are sums.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from app.pricing.exact import Flags, Ints, Rows

DENSE = 1 << 22  # a table of this many places is quicker than sorting


@dataclass(frozen=True, slots=True)
class Frame:
    """Columns of one fact table: where each row belongs, and what it adds."""

    keys: Mapping[str, Rows]
    parts: Mapping[str, Ints]

    @property
    def size(self) -> int:
        column = next(iter((*self.keys.values(), *self.parts.values())), None)
        return 0 if column is None else len(column)


def distinct(columns: Sequence[Rows]) -> tuple[list[Rows], Rows]:
    """The distinct tuples of some columns, sorted, and for each row the position of its own.

    No columns: every row belongs to the one tuple ().
    """
    if not columns:
        return [], np.zeros(0, dtype=np.int64)
    if not len(columns[0]):
        return [column[:0] for column in columns], columns[0][:0]
    lows = [int(column.min()) for column in columns]
    spans = [int(column.max()) - low + 1 for column, low in zip(columns, lows, strict=True)]
    space = 1
    for span in spans:
        space *= span
    if space >= 2**62:  # hours and many ids: number each column's values first
        coded = [np.unique(column, return_inverse=True) for column in columns]
        found, where = distinct([inverse.astype(np.int64) for _, inverse in coded])
        return [values[codes] for (values, _), codes in zip(coded, found, strict=True)], where
    packed = np.zeros(len(columns[0]), dtype=np.int64)
    for column, low, span in zip(columns, lows, spans, strict=True):
        packed = packed * span + (column - low)
    values, where = _positions(packed, space)
    unpacked: list[Rows] = []
    for low, span in zip(reversed(lows), reversed(spans), strict=True):
        unpacked.append(values % span + low)
        values = values // span
    return unpacked[::-1], where


def _positions(packed: Rows, space: int) -> tuple[Rows, Rows]:
    if space > max(DENSE, 8 * len(packed)):
        values, where = np.unique(packed, return_inverse=True)
        return values, where.astype(np.int64)
    there = np.zeros(space, dtype=bool)
    there[packed] = True
    places = np.cumsum(there) - 1
    return np.flatnonzero(there), places[packed]


def merged(frames: Sequence[Frame], keys: Sequence[str]) -> tuple[dict[str, Rows], list[Rows], int]:
    """The cells that `frames` have together: their keys, the cell of each frame's rows, how many."""
    if not keys:
        return {}, [np.zeros(frame.size, dtype=np.int64) for frame in frames], 1
    stacked = [np.concatenate([frame.keys[key] for frame in frames] or [_none()]) for key in keys]
    values, where = distinct(stacked)
    ends = [int(end) for end in np.cumsum([frame.size for frame in frames])]
    parts = [where[end - frame.size : end] for frame, end in zip(frames, ends, strict=True)]
    return dict(zip(keys, values, strict=True)), parts, len(values[0])


def _none() -> Rows:
    return np.zeros(0, dtype=np.int64)


def member(columns: Sequence[Rows], of: Sequence[Rows]) -> Flags:
    """Which tuples of `columns` stand among the tuples `of`."""
    size = len(columns[0])
    _, where = distinct([np.concatenate(pair) for pair in zip(columns, of, strict=True)])
    there = np.zeros(int(where.max()) + 1 if len(where) else 0, dtype=bool)
    there[where[size:]] = True
    return there[where[:size]]
