"""`column-generation`: bounds that hold, partitions put together from stages, refusals in plain words."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.bounds import Limit, Reason
from framework.errors import UserError
from framework.model.problem import Problem, bottleneck
from framework.portfolio.context.local import run_entry
from framework.registry import load_plugins, registry
from framework.structure.flow.convex_cuts import is_convex, set_cost
from framework.structure.models.set_partitioning import partition_of_stages
from framework.structure.poset.closure import BoolArray, closure
from framework.structure.primal.initial_interval import simple_bound
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_layered_instance, random_problem

load_plugins()


def all_stages(problem: Problem, threshold: int) -> BoolArray:
    """Return every convex set of cost at most a threshold."""
    instance, reach = problem.instance, closure(problem.instance)
    rows = []
    for size in range(1, instance.n + 1):
        for nodes in itertools.combinations(range(instance.n), size):
            chosen = np.array(nodes)
            if is_convex(chosen, reach) and set_cost(instance, chosen) <= threshold:
                rows.append(np.isin(np.arange(instance.n), chosen))
    return np.array(rows, np.bool_).reshape(len(rows), instance.n)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6))
def test_stages_are_put_together_exactly_where_that_is_possible(seed: int) -> None:
    problem = random_problem(seed, max_nodes=7)
    optimum = brute_force_optimum(problem)
    partition = partition_of_stages(problem, all_stages(problem, optimum), seconds=30)
    assert partition is not None
    assert bottleneck(problem, partition) == optimum
    if optimum:
        assert partition_of_stages(problem, all_stages(problem, optimum - 1), seconds=30) is None


@settings(derandomize=True, deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6))
def test_the_interval_holds_the_optimum(seed: int) -> None:
    problem = random_problem(seed)
    optimum = brute_force_optimum(problem)
    outcome = run_entry(registry.create("column-generation"), problem)[0]
    assert outcome.dual is not None
    assert outcome.incumbent is not None
    assert outcome.dual.value <= optimum <= outcome.incumbent.value
    assert bottleneck(problem, outcome.incumbent.partition) == outcome.incumbent.value


def test_it_lifts_the_simple_bound_and_improves_the_start() -> None:
    problem = Problem(instance=random_layered_instance(3, 40, width=8), stages=6)
    entry = registry.create("column-generation:max_effort=8000")
    result, board = run_entry(entry, problem)
    assert result.dual is not None
    assert result.incumbent is not None
    assert simple_bound(problem) < result.dual.value <= result.incumbent.value
    assert board.dual is not None
    assert board.dual.value == result.dual.value
    assert result.details["thresholds"] > 0


def test_what_it_cannot_drive_is_refused() -> None:
    problem = random_problem(1)
    with pytest.raises(UserError, match="generates no columns"):
        run_entry(registry.create("column-generation:over=simple"), problem)
    with pytest.raises(UserError, match="first_effort"):
        registry.create("column-generation:first_effort=0")


def test_too_large_is_said() -> None:
    problem = Problem(instance=random_layered_instance(1, 60, width=8), stages=4)
    outcome, _ = run_entry(registry.create("column-generation:over=[stage-cover:max_nodes=50]"), problem)
    assert (outcome.termination.reason, outcome.termination.limit) == (Reason.LIMIT, Limit.SIZE)
