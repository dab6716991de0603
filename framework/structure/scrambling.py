"""The finaliser of splitmix64 for kernels; `framework.model.instance` has it for arrays, without numba."""

from __future__ import annotations

import numpy as np

from framework.structure.kernel import kernel

STEP = 0x9E3779B97F4A7C15
"""What splitmix64 adds from one number to the next."""


@kernel
def scrambled(value: np.uint64) -> np.uint64:
    """Return 64 well-mixed bits: sums of them tell sets apart, and those of multiples of `STEP` are random."""
    x = value + np.uint64(STEP)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.uint64(x ^ (x >> np.uint64(31)))
