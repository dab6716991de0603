"""The constraint model with a hard limit: it has a solution exactly where a partition obeys and keeps to T."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.model.instance import instance_from_lists
from framework.model.problem import Partition, Problem, bottleneck, obeys
from framework.model.stage_limit import StageLimit
from framework.structure.models import limited_stage_model
from framework.structure.models.limited_stage_model import LimitedStageModel
from framework.structure.models.stages_cp import SAFE_RESOLUTION, ModelParts
from framework.structure.reduction.hard_limits import limit_memory
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_limited_problem, random_problem, random_unequal_problem
from tests.structure.models.test_stages_cp import is_partition, never, solve
from tests.structure.plain_definitions import stage_vectors

SEEDS = st.integers(0, 2**32 - 1)


def _decide(problem: Problem, threshold: int) -> Partition | None:
    return solve(
        LimitedStageModel(
            problem,
            ModelParts(problem, never),
            threshold=threshold,
            resolution=SAFE_RESOLUTION,
            exact=True,
            should_stop=never,
        )
    )[0]


def _check(problem: Problem) -> None:
    optimum = brute_force_optimum(problem)
    limit = problem.instance.stage_limit
    found = _decide(problem, optimum)
    if optimum > problem.instance.largest_cost:
        # Nothing obeys.
        assert found is None
        return
    assert found is not None
    assert is_partition(problem, found)
    assert bottleneck(problem, found) == optimum
    if limit is not None:
        assert obeys(problem, found)
    assert optimum == 0 or _decide(problem, optimum - 1) is None


@given(SEEDS)
@settings(max_examples=30, derandomize=True, deadline=None)
def test_limits_and_pins_are_obeyed(seed: int) -> None:
    _check(random_limited_problem(seed, max_nodes=6))


@given(SEEDS)
@settings(max_examples=60, derandomize=True, deadline=None)
def test_each_of_unequal_stages_has_its_own_limit(seed: int) -> None:
    problem = random_unequal_problem(seed, max_nodes=6)
    if problem.instance.stage_limit is not None:
        _check(problem)


def test_a_stage_that_no_node_fits_into_stays_empty() -> None:
    instance = instance_from_lists([3, 4], [(0, 1, [1])])
    worksets = np.array([2, 5])
    for limits, optimum in (([1, 9, 1], 7), ([1, 9, 5], 5), ([4, 1, 5], 5)):
        limited = limit_memory(instance, np.zeros(2, np.int64), limits, 3, worksets=worksets)
        problem = Problem(instance=limited, stages=3)
        assert brute_force_optimum(problem) == optimum
        _check(problem)


@given(SEEDS, st.booleans())
@settings(max_examples=30, derandomize=True, deadline=None)
def test_sizes_with_a_common_divisor_and_of_two_digits(seed: int, digits: bool) -> None:
    problem = random_problem(seed, max_nodes=5, max_stages=3)
    rng = np.random.default_rng([seed, 4])
    sizes = rng.integers(1, 9, problem.instance.n)
    divisor = int(rng.integers(1, 4))
    needed = min(
        int(np.bincount(stage_of, weights=sizes).max())
        for stage_of in stage_vectors(problem.instance, problem.useful_stages)
    )
    # Just enough for some partition, just too little, and more.
    least, rest = needed * divisor, int(rng.integers(divisor))
    with pytest.MonkeyPatch.context() as patch:
        if digits:
            patch.setattr(limited_stage_model, "SAFE_RESOLUTION", int(rng.integers(1, 4)))
        for most in (least + rest, least - 1, least + int(rng.integers(0, 4))):
            limit = StageLimit(sizes=sizes * divisor, limit=most, anchors=np.zeros(0, np.int64))
            limited = Problem(instance=replace(problem.instance, stage_limit=limit), stages=problem.stages)
            obeyed = brute_force_optimum(limited) <= limited.instance.largest_cost
            assert obeyed == (most >= least)
            _check(limited)


def test_without_a_limit_it_is_the_same_model() -> None:
    _check(random_problem(7, max_nodes=6))
