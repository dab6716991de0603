"""The decorators of kernels: called from Python and from kernels, constants are no types of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from framework.model.arrays import IntArray
from framework.structure.kernel import allocating_kernel, interpreted, kernel
from framework.structure.reduction.dominance import reduce_exact
from framework.testing.instances import random_problem, random_shared_problem, random_unequal_problem


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
    made: Any = _twice
    # One version, or none if the kernel that calls it was read from the cache.
    assert len(getattr(made.inner, "signatures", ())) <= 1


def test_small_work_is_done_in_python_without_compiling_anything() -> None:
    @kernel
    def kind_of(value: Any) -> str:
        return type(value).__name__

    with interpreted():
        assert kind_of(np.int64(1)) == "int64"
        assert _sum_of(np.arange(5, dtype=np.int64)) == 6 + 2 * 10
    untouched: Any = kind_of
    assert untouched._called is None


@pytest.mark.parametrize("seed", range(20))
def test_python_and_machine_code_reduce_alike(seed: int) -> None:
    for problem in (random_problem(seed), random_shared_problem(seed), random_unequal_problem(seed)):
        fast, slow = reduce_exact(problem.instance), reduce_exact(problem.instance, load_kernels=False)
        assert fast.sha256() == slow.sha256()
        assert fast.node_of_input.tolist() == slow.node_of_input.tolist()
