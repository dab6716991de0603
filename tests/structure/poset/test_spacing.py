"""Selections of well separated nodes against the same rule over plain sets, and what cores are made of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.instance import Instance, instance_from_lists
from framework.structure.fluid.selection import FluidChoice
from framework.structure.poset.closure import closure
from framework.structure.poset.spacing import spacing_levels
from framework.testing.instances import random_layered_instance
from tests.structure.plain_definitions import descendants

LEVELS = 5


def _levels(instance: Instance) -> list[int]:
    """Return what `spacing_levels` should, over plain sets."""
    n, bits = instance.n, descendants(instance)
    after = [{v for v in range(n) if v != u and bits[u] >> v & 1} for u in range(n)]
    incomparable = [sum(v != u and v not in after[u] and u not in after[v] for v in range(n)) for u in range(n)]
    level, candidates = [0] * n, sorted(range(n), key=lambda v: incomparable[v])
    for exponent in range(LEVELS):
        kept: list[int] = []
        for x in candidates:
            pairs = [(x, y) if y in after[x] else (y, x) for y in kept if y in after[x] or x in after[y]]
            between = [sum(v in after[u] and w in after[v] for v in range(n)) for u, w in pairs]
            if not incomparable[x] or all(count >= 1 << exponent for count in between):
                kept.append(x)
                level[x] += 1
        candidates = kept
    return level


def _incomparable(instance: Instance) -> IntArray:
    reach = closure(instance)
    count: IntArray = instance.n - 1 - np.bitwise_count(reach.ancestors | reach.descendants).sum(axis=1, dtype=np.int64)
    return count


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, derandomize=True, deadline=None)
def test_selections_are_those_of_the_plain_rule(seed: int) -> None:
    rng = np.random.default_rng(seed)
    instance = random_layered_instance(seed, int(rng.integers(5, 90)), width=int(rng.integers(1, 7)))
    assert spacing_levels(closure(instance), _incomparable(instance), LEVELS).tolist() == _levels(instance)


def two_chains_of_cells(cells: int) -> tuple[Instance, list[int]]:
    """Return two chains of cells from one node to one, each of four gates between two nodes; and these gates."""
    tensors: list[tuple[int, int, list[int]]] = []
    gates: list[int] = []
    last = 1 + 2 * cells * 5
    for chain in range(2):
        before = 0
        for cell in range(cells):
            first = 1 + (chain * cells + cell) * 5
            inner, after = list(range(first, first + 4)), first + 4
            gates += inner
            tensors += [(before, 1, inner), *((v, 5, [after]) for v in inner)]
            before = after
        tensors.append((before, 1, [last]))
    return instance_from_lists([4] * (last + 1), tensors), gates


def test_a_spread_keeps_parts_of_all_chains() -> None:
    cells = 12
    instance, gates = two_chains_of_cells(cells)
    left = []
    for spread in (1.0, 4.0):
        mask, lattice = FluidChoice(instance, spread=spread).choose(100)
        assert len(lattice) <= 100
        ends = np.setdiff1d(np.flatnonzero(~mask), [*gates, 0, instance.n - 1])
        left.append(min(int((ends < instance.n // 2).sum()), int((ends >= instance.n // 2).sum())))
    # Of one chain nothing is left without a spread.
    assert left[0] == 0
    assert left[1] >= cells // 3


def test_stopping() -> None:
    instance = random_layered_instance(1, 40, width=4)
    with pytest.raises(OutOfTimeError):
        spacing_levels(closure(instance), _incomparable(instance), LEVELS, lambda: True)
