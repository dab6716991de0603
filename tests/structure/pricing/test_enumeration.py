"""All stages worth an amount against all convex sets one by one, and the limits of the search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import OutOfTimeError
from framework.model.problem import Problem
from framework.structure.covering.farley import StageCover
from framework.structure.pricing.enumeration import enumerate_stages
from framework.testing.brute_force import stage_cost
from framework.testing.instances import random_layered_instance, random_problem
from tests.structure.plain_definitions import convex_sets, nodes_of, worth


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_it_finds_each_stage_worth_enough_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = random_problem(seed, max_nodes=7)
    n, cover = problem.instance.n, StageCover(problem)
    costs = {members: stage_cost(problem.instance, members) for members in convex_sets(problem.instance)}
    threshold = int(rng.choice(list(costs.values())))
    prices = rng.integers(0, 40, n)
    theta = int(rng.integers(0, 1 + int(prices.sum())))
    question = cover.question(threshold, prices, theta, rng.permutation(n))
    if question is None or threshold > cover.pricer.largest_cost:
        return
    found, vertices = enumerate_stages(cover.pricer, question, effort=10**6, max_stages=1 << n)
    assert found is not None
    assert vertices >= n
    sets = [sum(1 << v for v in np.flatnonzero(row).tolist()) for row in found]
    assert len(set(sets)) == len(sets)
    fitting = {x for x, cost in costs.items() if cost <= threshold and worth(x, prices.tolist()) > theta}
    assert set(sets) <= fitting
    for members in fitting - set(sets):
        # What is left out breaks a rule: it is a stage of no partition within the threshold.
        nodes = nodes_of(members)
        assert question.apart[np.ix_(nodes, nodes)].any()


def test_limits_are_met() -> None:
    problem = Problem(instance=random_layered_instance(3, 30, width=5), stages=3)
    cover = StageCover(problem)
    prices = np.ones(30, np.int64)
    question = cover.question(problem.instance.total_work // 2, prices, 0, cover.order)
    assert question is not None
    assert enumerate_stages(cover.pricer, question, effort=10**9, max_stages=5)[0] is None
    assert enumerate_stages(cover.pricer, question, effort=1, max_stages=10**5)[0] is None
    with pytest.raises(OutOfTimeError):
        enumerate_stages(cover.pricer, question, effort=10**9, max_stages=10**5, should_stop=lambda: True)
