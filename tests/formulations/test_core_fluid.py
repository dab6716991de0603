"""`core-fluid`: bounds that hold, that are exact without fluid, and that beat counting on wide graphs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from formulations import core_fluid
from formulations.core_fluid import CoreFluid
from framework.bounds import Limit, Reason
from framework.contracts import Refuted, Satisfied, Undecided
from framework.errors import UserError
from framework.model.instance import instance_from_lists
from framework.model.problem import Problem, bottleneck
from framework.portfolio.context.board import Board
from framework.portfolio.context.local import LocalContext, run_entry
from framework.registry import load_plugins, registry
from framework.structure.fluid.selection import PREFERENCES
from framework.structure.fluid.tuning import HierarchyTuning
from framework.structure.primal.initial_interval import simple_bound
from framework.structure.reduction.dominance import reduce_exact
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_layered_instance, random_problem

load_plugins()


@pytest.mark.parametrize("ideals", ["first_ideals=3,max_ideals=8", "first_ideals=8,max_ideals=40"])
def test_small_cores_never_exceed_the_optimum(ideals: str) -> None:
    raised = 0
    for seed in range(30_000, 30_250):
        problem = random_problem(seed)
        optimum = brute_force_optimum(problem)
        outcome, board = run_entry(registry.create(f"core-fluid:{ideals}"), problem)
        assert not board.contradictions
        assert outcome.dual is None or outcome.dual.value <= optimum, f"random_problem({seed})"
        assert board.interval.incumbent is None or board.interval.incumbent >= optimum
        raised += outcome.dual is not None
    assert raised > 20


def test_cores_that_are_kept_serve_an_equal_instance_as_well() -> None:
    problem = Problem(instance=reduce_exact(random_layered_instance(3, 40, width=6)), stages=4)
    again = replace(problem, instance=replace(problem.instance))
    assert len(problem.instance.node_of_input) > problem.instance.n
    bounds = []
    for posed in (problem, again):
        _, board = run_entry(registry.create("core-fluid:first_ideals=50"), posed)
        bounds.append(board.interval.dual)
    assert bounds[0] == bounds[1]


def test_chained_cores_never_exceed_the_optimum(monkeypatch: pytest.MonkeyPatch) -> None:
    tuning = HierarchyTuning(chained_ideals=2, room=2, least_chained=0.0, growth=2)
    entry = CoreFluid(first_ideals=4, max_ideals=64, tuning=tuning)
    chained: list[int] = []
    raise_with = core_fluid._Search.raise_with

    def noted(*arguments: Any) -> int:
        reached = raise_with(*arguments)
        if arguments[1].way.chains:
            chained.append(reached)
        return reached

    monkeypatch.setattr(core_fluid._Search, "raise_with", noted)
    for seed in range(33_000, 33_120):
        rng = np.random.default_rng(seed)
        instance = random_layered_instance(seed, 16, width=8)
        kind = rng.integers(2, size=instance.n)
        equal = replace(instance, work=instance.work[kind], parameter_cost=instance.parameter_cost[kind])
        problem = Problem(instance=equal, stages=int(rng.integers(2, 5)))
        _, exact = run_entry(registry.create("ideal-dp"), problem)
        outcome, board = run_entry(entry, problem)
        optimum = exact.interval.incumbent
        assert optimum is not None
        assert exact.interval.dual == optimum
        assert not board.contradictions
        assert outcome.dual is None or outcome.dual.value <= optimum, f"seed {seed}"
        assert board.interval.incumbent is None or board.interval.incumbent >= optimum
    assert len(chained) > 20
    assert sum(reached > 0 for reached in chained) > 5


@pytest.mark.parametrize(("stuck", "cores"), [(1e9, 8), (-1.0, 5)])
def test_other_ways_are_tried_where_a_larger_core_gains_little(stuck: float, cores: int) -> None:
    # Cores are kept, but for other tunings others.
    entry = CoreFluid(first_ideals=50, max_ideals=200, tuning=HierarchyTuning(stuck=stuck))
    problem = Problem(instance=random_layered_instance(0, 120, width=9), stages=8)
    outcome, board = run_entry(entry, problem)
    assert outcome.details["cores"] == cores
    assert not board.contradictions


def test_without_fluid_it_equals_the_exact_program() -> None:
    for seed in range(31_000, 31_150):
        problem = random_problem(seed)
        optimum = brute_force_optimum(problem)
        outcome, board = run_entry(registry.create("core-fluid:first_ideals=600,max_ideals=600"), problem)
        assert outcome.details["fluid"] == 0
        if simple_bound(problem) < optimum:
            assert board.interval.dual == optimum, f"random_problem({seed})"


def test_it_raises_the_bound_on_a_wide_graph() -> None:
    problem = Problem(instance=random_layered_instance(0, 120, width=9), stages=8)
    outcome, board = run_entry(registry.create("core-fluid:first_ideals=500,max_ideals=500"), problem)
    assert outcome.termination.reason is Reason.FINISHED
    assert board.interval.dual is not None
    assert board.interval.incumbent is not None
    assert 1.03 * simple_bound(problem) < board.interval.dual <= board.interval.incumbent
    assert outcome.details["cores"] == len(PREFERENCES)


def test_it_decides_thresholds() -> None:
    problem = Problem(instance=random_layered_instance(0, 120, width=9), stages=8)
    decider = registry.create_decision("core-fluid:first_ideals=300,max_ideals=300")
    context = LocalContext(Board(problem, clock=lambda: 0.0), "test")
    simple = simple_bound(problem)
    assert isinstance(decider.decide(problem, simple, context), Refuted)
    generous = decider.decide(problem, 2 * simple, context)
    assert isinstance(generous, Satisfied)
    assert bottleneck(problem, generous.partition) <= 2 * simple
    answers = [decider.decide(problem, int(simple * (1 + share / 100)), context) for share in range(1, 14, 3)]
    assert any(isinstance(answer, Undecided) for answer in answers)


def test_bisection_lifts_it() -> None:
    problem = Problem(instance=random_layered_instance(2, 60, width=9), stages=4)
    _, board = run_entry(registry.create("bisection:over=core-fluid"), problem, seconds=20)
    _, direct = run_entry(registry.create("core-fluid"), problem, seconds=20)
    assert board.interval.dual is not None
    assert direct.interval.dual is not None
    assert direct.interval.incumbent is not None
    assert board.interval.dual <= direct.interval.incumbent


def test_a_relaxing_reduction_keeps_the_bound_valid() -> None:
    for seed in range(32_000, 32_100):
        problem = random_problem(seed)
        optimum = brute_force_optimum(problem)
        outcome, board = run_entry(registry.create("core-fluid:epsilon=0.3"), problem)
        assert outcome.dual is None or outcome.dual.value <= optimum
        assert board.interval.incumbent is None or board.interval.incumbent >= optimum


def test_out_of_time_is_a_time_limit() -> None:
    problem = Problem(instance=random_layered_instance(3, 160, width=60), stages=6)
    outcome, _ = run_entry(registry.create("core-fluid"), problem, seconds=0.0)
    assert outcome.termination.limit is Limit.TIME


@pytest.mark.parametrize("bad", ["first_ideals=1", "max_ideals=100", "tolerance=1", "epsilon=-0.1"])
def test_parameters_are_checked(bad: str) -> None:
    with pytest.raises(UserError):
        registry.create(f"core-fluid:{bad}")


def test_a_core_met_again_is_not_tried_again() -> None:
    # Seven equal nodes: whatever the weight_bias, one of them is the core.
    problem = Problem(instance=instance_from_lists([2] * 7, []), stages=3)
    outcome, _ = run_entry(registry.create("core-fluid:first_ideals=2,max_ideals=2"), problem)
    assert outcome.details["cores"] == 1
    assert outcome.dual is None or outcome.dual.value <= 6
