"""`lagrangian`: every update ascends, every step is a bound."""

from __future__ import annotations

import numpy as np
import pytest

from framework.bounds import Reason
from framework.errors import UserError
from framework.model.pricing import price
from framework.model.problem import Problem
from framework.portfolio.context.local import run_entry
from framework.registry import load_plugins, registry
from framework.structure.primal.initial_interval import simple_bound
from framework.testbed.random_graphs import regal_graph
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_problem
from strategies.lagrangian import _project

load_plugins()
UPDATES = ("level", "subgradient", "multiplicative")


@pytest.mark.parametrize("over", ["nested-cuts", "stage-cover"])
@pytest.mark.parametrize("update", UPDATES)
def test_no_step_claims_more_than_the_optimum(update: str, over: str) -> None:
    for seed in range(70_000, 70_025):
        problem = random_problem(seed)
        outcome, board = run_entry(registry.create(f"lagrangian:over={over},update={update},max_steps=60"), problem)
        assert not board.contradictions
        optimum = brute_force_optimum(problem)
        assert board.interval.dual is not None
        assert board.interval.dual <= optimum, f"random_problem({seed})"
        assert board.interval.incumbent is not None
        assert board.interval.incumbent >= optimum
        if problem.useful_stages > 1 and outcome.termination.reason is not Reason.OPTIMAL:
            assert outcome.details["steps"] >= 1


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("stages", [2, 4])
def test_it_beats_the_simple_bound_on_a_wide_graph(update: str, stages: int) -> None:
    problem = Problem(instance=price(regal_graph("ws", 80, 2)), stages=stages)
    outcome, board = run_entry(registry.create(f"lagrangian:update={update}"), problem)
    assert outcome.dual is not None
    assert outcome.dual.value > simple_bound(problem)
    assert board.interval.incumbent is not None
    assert not board.contradictions


@pytest.mark.parametrize("update", UPDATES)
def test_windows_follow_what_is_proven(update: str) -> None:
    """Under the incumbent's windows cuts prove no more than the simple bound here, 1232; `lp` proves 1330."""
    problem = Problem(instance=price(regal_graph("sbm", 50, 7)), stages=2)
    outcome, board = run_entry(registry.create(f"lagrangian:update={update}"), problem)
    linear, _ = run_entry(registry.create("lp"), problem)
    assert outcome.dual is not None
    assert linear.dual is not None
    assert outcome.dual.value > 0.97 * linear.dual.value
    assert not board.contradictions


@pytest.mark.parametrize("update", UPDATES)
def test_prices_of_the_covering_program_beat_the_simple_bound(update: str) -> None:
    problem = Problem(instance=price(regal_graph("sbm", 60, 3)), stages=8)
    outcome, board = run_entry(registry.create(f"lagrangian:over=stage-cover,update={update},max_steps=60"), problem)
    assert outcome.dual is not None
    assert outcome.dual.value > simple_bound(problem)
    assert not board.contradictions


def test_a_formulation_without_relaxation_is_refused() -> None:
    problem = random_problem(3)
    with pytest.raises(UserError, match="simple has no Lagrangian relaxation"):
        run_entry(registry.create("lagrangian:over=simple"), problem)


def test_projection_on_the_simplex() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        point = rng.normal(0, 2, 5)
        projected = _project(point)
        assert projected.min() >= 0
        assert projected.sum() == pytest.approx(1)
        # Optimality: no vertex of the simplex lies in a direction that comes closer.
        assert max(float((point - projected) @ (vertex - projected)) for vertex in np.eye(5)) < 1e-9
