"""What ideals hold of shared parameters, and what the rest needs, against their definitions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from framework.model.problem import Problem, bottleneck
from framework.structure.ideals.chain_dp import ChainSearch
from framework.structure.ideals.held import largest_outside, shared_of, unions
from framework.structure.ideals.lattice import enumerate_ideals
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_memory_problem, random_shared_problem


@pytest.mark.parametrize("seed", range(40))
def test_unions_are_what_their_definition_says(seed: int) -> None:
    instance = random_shared_problem(seed).instance
    lattice = enumerate_ideals(instance, max_ideals=10_000)
    shared = instance.shared
    found = unions(lattice, shared_of(instance), lattice.parameter_cost, instance.shared_cost)
    for ideal in range(len(lattice)):
        inside = [bool(lattice.bits[ideal, v >> 6] >> np.uint64(v & 63) & np.uint64(1)) for v in range(instance.n)]
        for side, got in ((True, found.inside[ideal]), (False, found.outside[ideal])):
            nodes = np.flatnonzero(np.array(inside) == side)
            once = sum(
                int(instance.shared_cost[q])
                for q in range(len(shared))
                if np.isin(shared.users[shared.ptr[q] : shared.ptr[q + 1]], nodes).any()
            )
            assert got == instance.parameter_cost[nodes].sum() + once


@pytest.mark.parametrize("seed", range(40))
def test_the_largest_working_set_outside(seed: int) -> None:
    instance = random_memory_problem(seed).instance
    limit = instance.stage_limit
    assert limit is not None
    lattice = enumerate_ideals(instance, max_ideals=10_000)
    found = largest_outside(lattice, limit.worksets)
    for ideal in range(len(lattice)):
        outside = [
            int(limit.worksets[v])
            for v in range(instance.n)
            if not lattice.bits[ideal, v >> 6] >> np.uint64(v & 63) & np.uint64(1)
        ]
        assert found[ideal] == max(outside, default=0)


@pytest.mark.parametrize("draw", [random_shared_problem, random_memory_problem])
@pytest.mark.parametrize("seed", range(60))
def test_thresholds_are_decided_as_exhaustion_does(draw: Callable[[int], Problem], seed: int) -> None:
    problem = draw(seed)
    optimum = brute_force_optimum(problem)
    chains = ChainSearch(problem.instance, enumerate_ideals(problem.instance, max_ideals=10_000))
    assert chains.decide(problem.useful_stages, optimum - 1, lambda: False) is None
    if optimum > problem.instance.largest_cost:
        return
    found = chains.decide(problem.useful_stages, optimum, lambda: False)
    if optimum <= problem.instance.largest_cost:
        assert found is not None
        assert bottleneck(problem, found) == optimum
