"""`window-propagation` and `sweep`: limits that hold, contradictions that are true."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formulations.superblocks import Solver, shared_parts
from formulations.window_propagation import Propagation
from framework.bounds import Soundness
from framework.contracts import Refuted, Undecided
from framework.errors import UserError
from framework.model.problem import Partition, Problem, stage_costs
from framework.portfolio.context.board import Board
from framework.portfolio.context.local import LocalContext, run_entry
from framework.registry import load_plugins, registry
from framework.structure.poset.prefix_work import PrefixWork
from framework.structure.poset.stage_windows import StageWindows
from framework.structure.primal.initial_interval import simple_bound
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_layered_instance, random_problem

load_plugins()


def context(problem: Problem) -> LocalContext:
    return LocalContext(Board(problem, clock=lambda: 0.0), "test")


def optimal(problem: Problem) -> Partition:
    _, board = run_entry(registry.create("ideal-dp"), problem)
    assert board.interval.closed
    assert board.incumbent is not None
    return board.incumbent.partition


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), solver=st.sampled_from(["cp-sat", "cp-sat", "highs"]))
def test_no_limit_excludes_an_optimal_partition(seed: int, solver: Solver) -> None:
    """Including partitions with empty stages, in whatever place."""
    problem = random_problem(seed)
    optimum = brute_force_optimum(problem)
    partition = optimal(problem)
    parts = shared_parts(problem, context(problem))
    propagation = Propagation(parts, problem, optimum, context(problem), solver)
    assert isinstance(propagation.run(2), Undecided)
    costs = stage_costs(Problem(instance=problem.instance, stages=problem.useful_stages), partition)
    prefix = np.concatenate(([0], np.cumsum(costs.work)))
    assert (propagation.limits.least <= prefix).all()
    assert (prefix <= propagation.limits.most).all()
    assert (costs.work <= propagation.limits.stage).all()
    windows = StageWindows(problem.instance).between(propagation.limits.least, propagation.limits.most)
    assert windows is not None
    assert (windows.earliest <= partition.stage_of).all()
    assert (partition.stage_of <= windows.latest).all()


@pytest.mark.parametrize(
    "spec", ["window-propagation:solver=highs", "window-propagation", "sweep:solver=highs", "sweep:surroundings=false"]
)
def test_they_refute_beyond_simple_and_never_beyond_the_optimum(spec: str) -> None:
    decider = registry.create_decision(spec)
    beyond = 0
    for seed in range(4):
        problem = Problem(instance=random_layered_instance(seed, 14, width=3), stages=3)
        _, board = run_entry(registry.create("ideal-dp"), problem)
        assert board.incumbent is not None
        optimum, simple = board.incumbent.value, simple_bound(problem)
        assert isinstance(decider.decide(problem, optimum, context(problem)), Undecided)
        between = simple + (optimum - simple) // 3
        answer = decider.decide(problem, between, context(problem))
        beyond += isinstance(answer, Refuted)
        assert decider.decide(problem, simple - 1, context(problem)) == Refuted(soundness=Soundness.EXACT)
    assert beyond >= 2


def test_limits_carry_over_and_contradict_each_other() -> None:
    limits = PrefixWork(4, 100, 30)
    assert limits.most.tolist() == [0, 30, 60, 90, 100]
    assert limits.least.tolist() == [0, 10, 40, 70, 100]
    assert limits.possible
    limits.limit_stage(1, 15)
    assert limits.most.tolist() == [0, 30, 45, 75, 100]
    assert limits.least.tolist() == [0, 25, 40, 70, 100]
    limits.limit_prefix(3, most=72)
    assert limits.most.tolist() == [0, 30, 45, 72, 100]
    assert limits.stage.tolist() == [30, 15, 30, 30]
    assert limits.possible
    limits.limit_stage(2, 20)
    assert not limits.possible


def test_wrong_parameters_are_refused() -> None:
    with pytest.raises(UserError):
        registry.create("window-propagation:sweeps=-1")
    with pytest.raises(UserError):
        registry.create("sweep:max_size=0")
