"""`brkga`: what it decodes, what survives, what it finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.bounds import Reason
from framework.errors import UserError
from framework.model.problem import Problem, bottleneck
from framework.portfolio.context.local import run_entry
from framework.registry import load_plugins, registry
from framework.structure.poset.topological_orders import is_topological_order, orders_of_keys
from framework.structure.primal.slicing import Slicer
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import (
    random_instance,
    random_layered_instance,
    random_problem,
    random_unequal_problem,
)

load_plugins()


@settings(derandomize=True, deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6))
def test_keys_decode_to_orders_and_every_order_has_keys(seed: int) -> None:
    instance = random_instance(seed)
    rng = np.random.default_rng(seed)
    order = orders_of_keys(instance, rng.random((3, instance.n)))[1]
    assert is_topological_order(instance, order)
    position = np.empty(instance.n)
    position[order] = np.arange(instance.n)
    assert orders_of_keys(instance, position[None, :])[0].tolist() == order.tolist()


def test_the_ready_node_with_the_smallest_key_is_next() -> None:
    instance = random_layered_instance(3, 40, width=12)
    keys = np.random.default_rng(0).random(40)
    top, placed = instance.topology, set[int]()
    for v in orders_of_keys(instance, keys[None, :])[0].tolist():
        ready = [
            u
            for u in range(40)
            if u not in placed and set(top.preds[top.pred_ptr[u] : top.pred_ptr[u + 1]].tolist()) <= placed
        ]
        assert v == min(ready, key=lambda u: float(keys[u]))
        placed.add(v)
    with pytest.raises(ValueError, match="no rows for 40 nodes"):
        orders_of_keys(instance, keys)


def test_it_finds_the_optimum_of_most_small_problems() -> None:
    found = 0
    for seed in range(40):
        problem = random_problem(seed)
        outcome, board = run_entry(registry.create("brkga:population=20,generations=10"), problem)
        assert outcome.termination.reason in (Reason.FINISHED, Reason.OPTIMAL)
        assert board.incumbent is not None
        found += board.incumbent.value == brute_force_optimum(problem)
    assert found >= 38


def test_it_finds_the_optimum_on_most_unequal_stages() -> None:
    found = known = 0
    for seed in range(40):
        problem = random_unequal_problem(seed)
        _, board = run_entry(registry.create("brkga:population=10,generations=5"), problem)
        assert not board.over_limit
        assert not board.rejected
        if board.incumbent is not None:
            assert board.incumbent.value >= brute_force_optimum(problem)
            known += 1
            found += board.incumbent.value == brute_force_optimum(problem)
    assert known >= 25
    assert found >= known - 3


def test_evolution_beats_as_many_random_orders() -> None:
    problem = Problem(instance=random_layered_instance(8, 60, width=25), stages=5)
    outcome, _ = run_entry(registry.create("brkga:population=30,generations=20"), problem)
    assert outcome.incumbent is not None
    rng = np.random.default_rng(0)
    best = None
    for _ in range(outcome.details["evaluations"]):
        sliced = Slicer(problem.instance, orders_of_keys(problem.instance, rng.random((1, 60)))[0]).solve(5, upper=best)
        best = best if sliced is None else sliced.value
    assert best is not None
    assert outcome.incumbent.value < best
    assert outcome.incumbent.value == bottleneck(problem, outcome.incumbent.partition)


def test_the_papers_two_sizes() -> None:
    problem = Problem(instance=random_layered_instance(8, 20), stages=3)
    small, _ = run_entry(registry.create("brkga-100"), problem)
    # The elite of each generation is not evaluated again.
    assert (small.details["generations"], small.details["evaluations"]) == (10, 10 + 9 * 8)
    large = registry.create("brkga-10000")
    assert (large.population, large.generations) == (100, 100)
    assert small.incumbent is not None
    assert small.incumbent.source == "brkga-100"


@pytest.mark.parametrize("wrong", ["population=1", "elite=0", "elite=0.6,fresh=0.5", "bias=0.4", "generations=0"])
def test_wrong_parameters_are_refused(wrong: str) -> None:
    with pytest.raises(UserError):
        registry.create(f"brkga:{wrong}")
