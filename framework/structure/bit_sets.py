"""Sets of nodes as bits: node v is bit ``v % 64`` of word ``v // 64``; a matrix of words holds a set in each row."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from framework.model.arrays import IntArray
from framework.structure.kernel import inlined_kernel

BitArray: TypeAlias = NDArray[np.uint64]


def contains(bits: BitArray, row: int, v: int) -> bool:
    """Whether a node is in a set, a row of `bits`."""
    return bool(bits[row, v >> 6] >> np.uint64(v & 63) & np.uint64(1))


holds = inlined_kernel(contains)
"""`contains` for kernels."""


@inlined_kernel
def has(row: BitArray, v: int) -> bool:
    """Whether a node is in one set, ``[words]``."""
    return bool(row[v >> 6] >> np.uint64(v & 63) & np.uint64(1))


def which_are_in(row: BitArray, nodes: IntArray) -> NDArray[np.bool_]:
    """Return which of some nodes are in one set."""
    found: NDArray[np.bool_] = (row[nodes >> 6] >> (nodes & 63).astype(np.uint64) & np.uint64(1)).astype(np.bool_)
    return found
