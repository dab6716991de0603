"""Exact cover against all ways to choose among the sets."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import OutOfTimeError
from framework.model.problem import Partition, Problem, stage_costs
from framework.structure.covering.exact_cover import cover_exactly
from framework.structure.poset.closure import closure
from framework.testing.instances import random_layered_instance, random_problem
from tests.structure.plain_definitions import convex_sets, nodes_of, worth


def _is_in_order(problem: Problem, sets: tuple[int, ...]) -> bool:
    """Whether some order of the sets is a partition that keeps precedence."""
    for order in itertools.permutations(sets):
        stage_of = np.zeros(problem.instance.n, np.int64)
        for position, members in enumerate(order):
            stage_of[nodes_of(members)] = position
        try:
            stage_costs(problem, Partition(stage_of=stage_of))
        except ValueError:
            continue
        return True
    return False


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=80, derandomize=True, deadline=None)
def test_a_cover_is_found_exactly_if_there_is_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = random_problem(seed, max_nodes=6)
    n, k = problem.instance.n, problem.useful_stages
    sets = [members for members in convex_sets(problem.instance) if members]
    sets = [sets[i] for i in rng.permutation(len(sets))[: int(rng.integers(1, 14))]]
    prices = rng.integers(1, 20, n)
    theta = max(worth(members, prices.tolist()) for members in sets)
    least = int(prices.sum()) - (k - 1) * theta
    sets = [members for members in sets if worth(members, prices.tolist()) >= least]
    whole = (1 << n) - 1
    covers = [
        chosen
        for size in range(1, k + 1)
        for chosen in itertools.combinations(sets, size)
        if sum(chosen) == whole and all(not a & b for a, b in itertools.combinations(chosen, 2))
    ]
    stages = np.array([[members >> v & 1 for v in range(n)] for members in sets], np.int8).reshape(-1, n)
    found = cover_exactly(stages, prices, theta, count=k, reach=closure(problem.instance))
    assert (found is not None) == any(_is_in_order(problem, chosen) for chosen in covers)
    if found is not None:
        stage_costs(problem, found)
        used = [tuple((found.stage_of == b).tolist()) for b in np.unique(found.stage_of)]
        assert all(row in {tuple((stage == 1).tolist()) for stage in stages} for row in used)


def test_it_looks_at_the_clock() -> None:
    problem = Problem(instance=random_layered_instance(2, 12), stages=4)
    reach, prices = closure(problem.instance), np.ones(12, np.int64)
    stages = np.array([[m >> v & 1 for v in range(12)] for m in convex_sets(problem.instance)], np.int8)
    stages = stages[stages.sum(axis=1) == 5]
    with pytest.raises(OutOfTimeError):
        cover_exactly(stages, prices, 5, count=4, reach=reach, steps_a_call=10, should_stop=lambda: True)
    assert cover_exactly(stages, prices, 5, count=4, reach=reach, steps_a_call=10) is None
