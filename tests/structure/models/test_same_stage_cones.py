"""Rows found by conic programs: they refute what the linear model does not, and never more than is true."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from framework.model.instance import Instance, instance_from_lists
from framework.model.problem import Problem
from framework.structure.models.same_stage_cones import (
    LARGEST_ENTRY,
    LARGEST_WEIGHT,
    Cones,
    first_cones,
    largest_needed,
    refine,
)
from framework.structure.models.same_stage_model import SameStageModel
from framework.structure.models.same_stage_socp import penalty_at
from framework.structure.poset.closure import BoolArray
from framework.testing.brute_force import brute_force_optimum
from framework.testing.hypothesis import problems
from tests.structure.models.linear import least
from tests.structure.models.test_same_stage_socp import pairs_apart
from tests.structure.plain_definitions import tensor_rows

SMALL = problems(max_nodes=6, max_cost=20, max_stages=3)


def _value(
    cones: Cones, instance: Instance, stages: int, threshold: int, *, vectors: bool = True, tangents: bool = True
) -> float:
    """Return what the linear model with some of the rows proves."""
    model = SameStageModel(
        instance,
        stages,
        cones.vectors if vectors else [],
        counts=cones.tangents if tangents else [],
        apart=pairs_apart(instance, threshold),
        penalty=penalty_at(threshold, instance.n),
    )
    return least(model.model)


def _refine(cones: Cones, problem: Problem, threshold: int, apart: BoolArray, *, rounds: int) -> None:
    base = max(1, threshold)
    refine(cones, problem.instance, problem.useful_stages, apart, base=base, rounds=rounds, remaining=lambda: math.inf)


@given(SMALL)
@settings(max_examples=8, derandomize=True, deadline=None)
def test_rows_exclude_no_partition(problem: Problem) -> None:
    instance, k, optimum = problem.instance, problem.useful_stages, brute_force_optimum(problem)
    cones = first_cones(instance)
    before = _value(cones, instance, k, optimum)
    _refine(cones, problem, optimum, pairs_apart(instance, optimum), rounds=2)
    after = _value(cones, instance, k, optimum)
    assert before - 1e-4 < after < optimum + 1e-4
    assert all(0 < abs(vector).max() <= LARGEST_ENTRY for vector in cones.vectors)
    assert all(0 < weights.max() <= LARGEST_WEIGHT and weights.min() >= 0 for weights in cones.weights)
    assert len(cones.tangents) in (0, len(cones.weights))


@given(SMALL)
@settings(max_examples=8, derandomize=True, deadline=None)
def test_no_program_fails_however_small_costs_are(problem: Problem) -> None:
    # Bounds of 2^46 ticks beside a base of a few ticks made Clarabel fail on most of these.
    cones, optimum = first_cones(problem.instance), brute_force_optimum(problem)
    if problem.instance.n == 1 or not optimum:
        return
    _refine(cones, problem, optimum, pairs_apart(problem.instance, optimum), rounds=1)
    assert cones.tangents


@given(SMALL)
@settings(max_examples=30, derandomize=True, deadline=None)
def test_costs_above_what_is_needed_are_no_use(problem: Problem) -> None:
    instance, optimum = problem.instance, brute_force_optimum(problem)
    penalty = penalty_at(optimum, instance.n)
    # Nodes that are all apart contradict the count of stages, and only the excess explains them.
    for apart in (pairs_apart(instance, optimum), ~np.eye(instance.n, dtype=np.bool_)):
        vectors = [np.ones(instance.n, np.int64)]
        model = SameStageModel(instance, problem.useful_stages, vectors, apart=apart, penalty=penalty).model
        most = largest_needed(instance, penalty)
        capped = replace(model, upper=np.where(model.weighed, np.minimum(model.upper, most), model.upper))
        assert least(capped) == pytest.approx(least(model), rel=1e-6, abs=1e-4)


def test_either_kind_of_row_refutes_nodes_that_are_all_apart() -> None:
    # Four nodes, each too heavy to share a stage, in three stages; their work would fit.
    instance, stages, threshold = instance_from_lists([4] * 4, []), 3, 7
    cones = first_cones(instance)
    assert _value(cones, instance, stages, threshold) <= threshold
    problem = Problem(instance=instance, stages=stages)
    _refine(cones, problem, threshold, pairs_apart(instance, threshold), rounds=2)
    assert _value(cones, instance, stages, threshold, vectors=False) > threshold
    assert _value(cones, instance, stages, threshold, tangents=False) > threshold


def test_weights_move_to_the_nodes_that_no_stage_shares() -> None:
    # Four nodes that share no stage, and three light ones that go with any of them.
    problem = Problem(instance=instance_from_lists([9, 10, 11, 12, 1, 2, 3], []), stages=3)
    heavy_ones = np.arange(7) < 4
    apart = np.outer(heavy_ones, heavy_ones) & ~np.eye(7, dtype=np.bool_)
    cones = first_cones(problem.instance)
    given_weights = len(cones.weights)
    _refine(cones, problem, 90, apart, rounds=3)
    assert len(cones.weights) > given_weights
    heavy = [weights[:4].sum() / weights.sum() for weights in cones.weights]
    assert max(heavy[given_weights:]) > max(heavy[:given_weights])


def test_the_search_starts_from_nodes_work_and_work_with_transfers() -> None:
    instance = instance_from_lists([10, 0, 40, 20], [(0, 8, [1, 2]), (2, 4, [3])])
    paid = instance.work + np.zeros(4)
    for (u, consumers), cost in zip(tensor_rows(instance), instance.tensor_cost.tolist(), strict=True):
        for v in (u, *consumers):
            paid[v] += cost / 2
    found = first_cones(instance)
    wanted = [np.ones(4), instance.work, paid]
    assert not found.vectors
    assert not found.tangents
    for weights, by in zip(found.weights, wanted, strict=True):
        assert weights.tolist() == np.rint(by * LARGEST_WEIGHT / by.max()).tolist()
    assert len(first_cones(instance_from_lists([0, 0], [])).weights) == 1
