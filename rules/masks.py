"""Masks: sets of small numbers as the bits of an int."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def repeated(mask: int, width: int, times: int) -> int:
    """`mask`, of `width` bits, `times` over, one after another.

    By shifts: a multiplication says the same, but costs far more at ten thousand bits.
    """
    filled = 0
    for _ in range(times):
        filled = filled << width | mask
    return filled


def folded(mask: int, width: int) -> int:
    """The parts of `width` bits of `mask`, ORed into one."""
    full = (1 << width) - 1
    union = 0
    while mask:
        union |= mask & full
        mask >>= width
    return union


def positions(mask: int) -> NDArray[np.intp]:
    """The numbers in `mask`, ascending, for many at a time."""
    packed = np.frombuffer(mask.to_bytes((mask.bit_length() + 7) // 8, "little"), dtype=np.uint8)
    return np.unpackbits(packed, bitorder="little").nonzero()[0]


def bits(mask: int) -> Iterable[int]:
    """The numbers in `mask`, ascending."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
