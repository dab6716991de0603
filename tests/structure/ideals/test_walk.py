"""A walk meets every stage that begins with an ideal, and prices it as its definition does."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from framework.model.problem import Problem
from framework.structure.bit_sets import which_are_in
from framework.structure.ideals.held import unions
from framework.structure.ideals.lattice import enumerate_ideals
from framework.structure.ideals.promise import Limits, States, Sums
from framework.structure.ideals.walk import COUNTERS, LAST, LEVEL, QUEUED, extend, path_of, tensors_of
from framework.testing.brute_force import stage_cost
from framework.testing.instances import random_shared_problem, random_workset_problem


@pytest.mark.parametrize("draw", [random_shared_problem, random_workset_problem])
@pytest.mark.parametrize("seed", range(60))
def test_a_walk_reaches_what_is_one_stage_away(draw: Callable[[int], Problem], seed: int) -> None:
    instance = draw(seed).instance
    lattice = enumerate_ideals(instance, max_ideals=10_000)
    ideals, rng, tensors = len(lattice), np.random.default_rng(seed), tensors_of(instance)
    parameters = unions(lattice, tensors.shared, lattice.parameter_cost, instance.shared_cost)
    limit = instance.stage_limit
    sizes = np.zeros(0, np.int64) if limit is None else lattice.sums(limit.sizes)
    sums = Sums(lattice.work, lattice.parameter_cost, lattice.cut, sizes, *parameters, sizes, parameters.outside)
    start, threshold = int(rng.integers(ideals)), int(rng.integers(0, max(1, instance.largest_cost) + 1))
    stages_to, queue = np.full(ideals, 9), np.empty(ideals, np.int64)
    stages_to[start] = 1
    none = np.zeros(0, np.int64)
    # Nothing is known of what is ahead.
    states = States(stages_to, np.full(ideals, -1), queue, none, np.zeros((2, ideals), np.int64))
    counters = np.zeros(COUNTERS, np.int64)
    counters[LEVEL], counters[LAST] = 1, ideals - 1
    limits = Limits(9, threshold, instance.bounded_capacity, 0 if limit is None else limit.limit)
    extend(limits, lattice.arrays, sums, tensors, states, path_of(instance), counters, start)
    nodes, reached = np.arange(instance.n), set()
    for ideal in range(ideals):
        below, above = which_are_in(lattice.bits[start], nodes), which_are_in(lattice.bits[ideal], nodes)
        stage = above & ~below
        if ideal == start or (below & ~above).any():
            continue
        held = 0
        if limit is not None:
            users = [instance.shared.users[a:b] for a, b in pairwise(instance.shared.ptr)]
            held = int(limit.sizes[stage].sum() + limit.worksets[stage].max())
            held += sum(int(size) for size, row in zip(limit.shared_sizes, users, strict=True) if stage[row].any())
        mask = sum(1 << int(v) for v in np.flatnonzero(stage))
        if stage_cost(instance, mask) <= threshold and (limit is None or held <= limit.limit):
            reached.add(ideal)
    assert set(queue[: counters[QUEUED]].tolist()) == reached
    assert set(np.flatnonzero(stages_to == 2).tolist()) == reached
