"""The decorators of kernels: called from Python and from kernels, constants are no types of their own."""

from __future__ import annotations

from typing import Any

import numpy as np

from framework.model.arrays import IntArray
from framework.structure.kernel import allocating_kernel, kernel


@kernel
def _twice(value: int) -> int:
    return 2 * value


@kernel
def _sum_of(values: IntArray) -> int:
    total = _twice(1) + _twice(2)
    for value in values:
        total += _twice(value)
    return total


@allocating_kernel
def _doubled(values: IntArray) -> IntArray:
    result = np.zeros(len(values), np.int64)
    for i in range(len(values)):
        result[i] = _twice(values[i])
    return result


def test_kernels_call_kernels_and_may_return_arrays() -> None:
    values = np.arange(5, dtype=np.int64)
    assert _sum_of(values) == 6 + 2 * 10
    assert _doubled(values).tolist() == [0, 2, 4, 6, 8]
    assert _twice(21) == 42


def test_constants_make_no_versions_of_their_own() -> None:
    _sum_of(np.arange(3, dtype=np.int64))
    inner: Any = _twice
    overloads = getattr(inner, "get_overload", None)
    if overloads is None or not hasattr(inner, "signatures"):
        # NUMBA_DISABLE_JIT: there are no versions at all.
        return
    # None, if the kernel that calls it was read from the cache.
    assert len(overloads.__self__.signatures) <= 1
