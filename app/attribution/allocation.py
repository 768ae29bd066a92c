"""Exact division of many amounts at once: money.allocate on whole batches, bit for bit.

q_i = floor(|a| * w_i / W); what is left goes one unit each to the largest remainders, ties to the later
touch; the sign is put back. No overflow: |a| * w is never formed (ATTRIBUTION.md, "Allocation"). Pure.
"""

import numpy as np

from app.attribution.journeys import Ints
from app.money import allocate


def shares(amounts: Ints, weights: Ints, sizes: Ints) -> Ints:
    """Divide `amounts[s]` by the next `sizes[s]` (at least 1) weights, for every segment s.

    Returns one share per weight; those of a segment sum to its amount. Amounts up to 2^63 - 1 either way.
    A segment whose weights are all 0, or any negative: ValueError.
    """
    if not len(amounts):
        return np.zeros(0, dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    if len(weights) and int(weights.max()) > (2**62) // len(weights):  # their sum might not fit
        return _one_by_one(amounts, weights, starts, sizes)
    total = np.add.reduceat(weights, starts)
    if (total <= 0).any() or (weights < 0).any():
        raise ValueError("weights must be non-negative and not all zero")
    if int(total.max()) >= 3_037_000_499:  # its square would pass 2^63
        return _one_by_one(amounts, weights, starts, sizes)
    segment = np.repeat(np.arange(len(sizes)), sizes)
    sign, size = np.sign(amounts), np.abs(amounts)
    times, rest = np.divmod(size, total)
    parted, remainder = np.divmod(rest[segment] * weights, total[segment])
    found = times[segment] * weights + parted
    left = size - np.add.reduceat(found, starts)
    _hand_out(found, left, remainder, segment)
    return np.asarray(found * sign[segment])


def _hand_out(found: Ints, left: Ints, remainder: Ints, segment: Ints) -> None:
    """One unit each to the `left[s]` largest remainders of each segment, ties to the later position."""
    index = np.flatnonzero(left[segment] > 0)
    if not len(index):
        return
    # lexsort is stable: equal remainders stay oldest first, and the last of each segment are served.
    index = index[np.lexsort((remainder[index], segment[index]))]
    group = segment[index]
    ends = np.flatnonzero(np.r_[group[1:] != group[:-1], True])
    sizes = np.diff(np.r_[-1, ends])
    from_end = np.repeat(ends, sizes) - np.arange(len(index))
    found[index[from_end < left[group]]] += 1


def _one_by_one(amounts: Ints, weights: Ints, starts: Ints, sizes: Ints) -> Ints:
    parts = [
        allocate(amount, weights[start : start + size].tolist())
        for amount, start, size in zip(amounts.tolist(), starts.tolist(), sizes.tolist(), strict=True)
    ]
    return np.array([part for found in parts for part in found], dtype=np.int64)
