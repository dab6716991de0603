"""The constraint model of a partition: it has a solution exactly from the optimum on, unless ticks are coarse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ortools.sat.python import cp_model

from framework.errors import OutOfTimeError
from framework.model.instance import instance_from_lists
from framework.model.problem import Partition, Problem, bottleneck
from framework.model.unequal import make_unequal
from framework.structure.models.stages_cp import SAFE_RESOLUTION, ModelParts, StageModel, estimated_size
from framework.structure.solvers.cp_sat import solve_translated
from framework.testing.brute_force import brute_force_optimum, stage_cost
from framework.testing.instances import random_layered_instance, random_problem, random_unequal_problem
from tests.structure.plain_definitions import stage_vectors

CP: Any = cp_model
"""Only partly typed."""
SEEDS = st.integers(0, 2**32 - 1)


def never() -> bool:
    """Stop never."""
    return False


def solve(model: StageModel) -> tuple[Partition | None, int]:
    """Return a partition that CP-SAT found, and its proven bound; None if the model has no solution."""
    if model.trivially_infeasible:
        return None, 0
    solver: Any
    solver, status = solve_translated(model.model, seconds=float("inf"), threads=1, seed=0, should_stop=never)
    assert status in ("OPTIMAL", "FEASIBLE", "INFEASIBLE")
    if status == "INFEASIBLE":
        return None, 0
    return model.partition(solver.boolean_value), int(solver.best_objective_bound)


def decide(problem: Problem, threshold: int, *, resolution: int, exact: bool = False) -> Partition | None:
    """Return a solution of the model at a threshold."""
    model = StageModel(
        problem,
        ModelParts(problem, never),
        threshold=threshold,
        resolution=resolution,
        exact=exact,
        should_stop=never,
    )
    return solve(model)[0]


def is_partition(problem: Problem, partition: Partition) -> bool:
    """Whether no edge leads back."""
    return tuple(partition.stage_of.tolist()) in stage_vectors(problem.instance, problem.useful_stages)


@given(SEEDS)
@settings(max_examples=30, derandomize=True, deadline=None)
def test_a_threshold_has_a_solution_exactly_if_the_optimum_is_at_most_that(seed: int) -> None:
    problem = random_problem(seed, max_nodes=6)
    optimum = brute_force_optimum(problem)
    # Two digits of a large base, and one digit where costs are small.
    for resolution in (3, SAFE_RESOLUTION):
        found = decide(problem, optimum, resolution=resolution, exact=True)
        assert found is not None
        assert is_partition(problem, found)
        assert bottleneck(problem, found) == optimum
        if optimum:
            assert decide(problem, optimum - 1, resolution=resolution, exact=True) is None


@given(SEEDS)
@settings(max_examples=30, derandomize=True, deadline=None)
def test_coarse_ticks_refute_no_more_than_is_true(seed: int) -> None:
    problem = random_problem(seed, max_nodes=6)
    optimum, parts = brute_force_optimum(problem), ModelParts(problem, never)
    for resolution in (2, 7, 40):
        assert decide(problem, optimum, resolution=resolution) is not None
        model = StageModel(problem, parts, threshold=optimum, resolution=resolution, minimise=True, should_stop=never)
        found, bound = solve(model)
        assert found is not None
        assert is_partition(problem, found)
        assert bound * model.unit <= optimum
        assert bound * model.unit == optimum or model.unit > 1


@given(SEEDS)
@settings(max_examples=60, derandomize=True, deadline=None)
def test_unequal_stages_have_rows_of_their_own(seed: int) -> None:
    problem = random_unequal_problem(seed, max_nodes=6)
    if problem.instance.stage_limit is not None:
        return
    optimum, parts = brute_force_optimum(problem), ModelParts(problem, never)
    for resolution in (3, SAFE_RESOLUTION):
        found = decide(problem, optimum, resolution=resolution, exact=True)
        assert found is not None
        assert bottleneck(problem, found) == optimum
        assert not optimum or decide(problem, optimum - 1, resolution=resolution, exact=True) is None
    for resolution in (2, 40):
        model = StageModel(problem, parts, threshold=optimum, resolution=resolution, minimise=True, should_stop=never)
        found, bound = solve(model)
        assert found is not None
        assert bound * model.unit <= optimum
        assert bound * model.unit == optimum or model.unit > 1


def test_a_slow_device_makes_ticks_coarse() -> None:
    fast = instance_from_lists([1 << 20] * 64, [])
    slow = replace(fast, work=fast.work << 10)
    for second, most in ((fast, SAFE_RESOLUTION), (slow, SAFE_RESOLUTION >> 3)):
        problem = Problem(instance=make_unequal(fast, [fast, second], np.array([0, 1])), stages=2)
        model = StageModel(
            problem, ModelParts(problem, never), threshold=1 << 31, resolution=SAFE_RESOLUTION, should_stop=never
        )
        assert most // 4 <= (1 << 31) // model.unit <= most


def test_a_coarse_capacity_is_rounded_up() -> None:
    # One tick of overflow; with a unit of 2, the capacity of 1 is half of one.
    problem = Problem(instance=instance_from_lists([0], [], parameter_cost=[2], capacity=1), stages=1)
    parts = ModelParts(problem, never)
    for minimise in (False, True):
        model = StageModel(problem, parts, threshold=1, resolution=1, minimise=minimise, should_stop=never)
        assert model.unit == 2
        assert solve(model)[0] is not None


@given(SEEDS)
@settings(max_examples=20, derandomize=True, deadline=None)
def test_the_solutions_of_a_model_are_the_partitions_that_keep_to_the_threshold(seed: int) -> None:
    problem = random_problem(seed, max_nodes=4)
    instance, k = problem.instance, problem.useful_stages
    every = stage_vectors(instance, k)
    costs = [max(_costs(problem, stage_of)) for stage_of in every]
    rng = np.random.default_rng([seed, 3])
    threshold = int(rng.choice(costs))
    model = StageModel(
        problem,
        ModelParts(problem, never),
        threshold=threshold,
        resolution=SAFE_RESOLUTION,
        exact=True,
        should_stop=never,
    )
    assert not model.trivially_infeasible
    solver = CP.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.fix_variables_to_their_hinted_value = True
    for place in rng.permutation(len(every))[:4].tolist():
        model.hint(Partition(stage_of=np.array(every[place], np.int64)))
        windows = zip(every[place], model.earliest, model.latest, strict=True)
        if all(low <= b <= high for b, low, high in windows):
            status = solver.solve(model.model)
            assert (status == CP.OPTIMAL) == (costs[place] <= threshold)
        else:
            assert costs[place] > threshold


def _costs(problem: Problem, stage_of: tuple[int, ...]) -> list[int]:
    stages = [sum(1 << v for v, b in enumerate(stage_of) if b == stage) for stage in range(problem.useful_stages)]
    return [stage_cost(problem.instance, stage) for stage in stages]


def test_windows_alone_can_refute() -> None:
    problem = Problem(instance=instance_from_lists([5, 5, 5], [(0, 1, [1]), (1, 1, [2])]), stages=2)
    model = StageModel(problem, ModelParts(problem, never), threshold=7, resolution=1 << 20, should_stop=never)
    assert model.trivially_infeasible


def test_what_it_refuses_and_where_it_stops() -> None:
    problem = Problem(instance=random_layered_instance(1, 40), stages=8)
    parts = ModelParts(problem, never)
    with pytest.raises(ValueError, match="exact ticks are for decisions"):
        StageModel(problem, parts, threshold=9, resolution=2, minimise=True, exact=True, should_stop=never)
    threshold = problem.instance.total_work
    with pytest.raises(OutOfTimeError):
        StageModel(problem, parts, threshold=threshold, resolution=1 << 20, should_stop=lambda: True)
    model = StageModel(problem, parts, threshold=threshold, resolution=1 << 20, should_stop=never)
    built: Any = model.model
    proto = built.proto
    assert len(proto.variables) + len(proto.constraints) < 2 * estimated_size(problem)
