"""The least ahead of an ideal, and the order of a level, against plain definitions."""

from __future__ import annotations

import numpy as np
import pytest

from framework.structure.ideals.held import shared_of, unions
from framework.structure.ideals.lattice import enumerate_ideals
from framework.structure.ideals.promise import CLOSED, Limits, States, Sums, fill_least, sort_by_promise
from framework.testing.instances import random_shared_problem


@pytest.mark.parametrize("seed", range(40))
def test_the_least_ahead_is_that_of_all_larger_ideals_worth_reaching(seed: int) -> None:
    problem = random_shared_problem(seed)
    instance = problem.instance
    lattice = enumerate_ideals(instance, max_ideals=10_000)
    ideals = len(lattice)
    parameters = unions(lattice, shared_of(instance), lattice.parameter_cost, instance.shared_cost)
    none = np.zeros(0, np.int64)
    sums = Sums(lattice.work, lattice.parameter_cost, lattice.cut, none, *parameters, none, parameters.outside)
    rng = np.random.default_rng(seed)
    stages_to = rng.integers(1, 4, ideals)
    least = np.full((2, ideals), -1, np.int64)
    states = States(stages_to.copy(), none, none, none, least)
    threshold = int(rng.integers(0, max(2, instance.largest_cost)))
    limits = Limits(3, threshold, instance.bounded_capacity, 0)
    stages, left = 2, 1
    last = fill_least(limits, lattice.arrays, sums, states, stages, 0, ideals - 1)

    def worth(ideal: int) -> bool:
        after = lattice.work[-1] - lattice.work[ideal] + lattice.cut[ideal]
        after += max(0, parameters.outside[ideal] - left * instance.bounded_capacity)
        return bool(stages_to[ideal] > stages and after <= left * threshold)

    useful = [ideal for ideal in range(ideals) if worth(ideal)]
    assert last == max(useful, default=-1)
    closed = [ideal for ideal in range(ideals) if stages_to[ideal] > stages and not worth(ideal)]
    assert np.flatnonzero(states.stages_to == CLOSED).tolist() == closed
    members = [
        {v for v in range(instance.n) if lattice.bits[i, v >> 6] >> np.uint64(v & 63) & 1} for i in range(ideals)
    ]
    for ideal in range(last + 1):
        for row in range(2):
            ahead = [
                int(lattice.work[j] + lattice.cut[j] + row * lattice.parameter_cost[j])
                for j in useful
                if members[ideal] <= members[j]
            ]
            assert least[row, ideal] == min(ahead, default=1 << 62)


def test_a_level_is_sorted_by_work_and_cut() -> None:
    rng = np.random.default_rng(2)
    work, cut = rng.integers(0, 50, 40), rng.integers(0, 50, 40)
    none = np.zeros(0, np.int64)
    queue = rng.permutation(40)
    before = queue.copy()
    states = States(none, none, queue, np.zeros(40, np.int64), np.zeros((1, 40), np.int64))
    sort_by_promise(Sums(work, none, cut, none, none, none, none, none), states, 3, 31)
    promise = (work + cut)[queue]
    assert (np.diff(promise[3:31]) <= 0).all()
    assert sorted(queue[3:31]) == sorted(before[3:31])
    assert (queue[:3] == before[:3]).all()
    assert (queue[31:] == before[31:]).all()
