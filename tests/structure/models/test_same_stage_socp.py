"""The joined model: exact in integers, at least as strong as either part, and its links fix who shares a stage."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.model.arrays import IntArray
from framework.model.instance import MAX_TOTAL, Instance
from framework.model.problem import Problem
from framework.structure.models.same_stage_model import SLOPE_SCALE, CountTangent, SameStageModel
from framework.structure.models.same_stage_socp import joined_model, penalty_at
from framework.structure.models.superblocks import SuperblockModel, SuperblockParts
from framework.structure.models.superblocks_layout import even_layout
from framework.structure.poset.closure import BoolArray
from framework.testing.brute_force import brute_force_optimum, stage_cost
from framework.testing.hypothesis import problems
from tests.structure.models.linear import least
from tests.structure.plain_definitions import convex_sets, nodes_of, stage_vectors

SEEDS = st.integers(0, 2**32 - 1)
SMALL = problems(max_nodes=5, max_cost=20, max_stages=3)


def pairs_apart(instance: Instance, threshold: int) -> BoolArray:
    """Return the pairs that no convex set of cost at most a threshold holds."""
    apart = ~np.eye(instance.n, dtype=np.bool_)
    for members in convex_sets(instance):
        if stage_cost(instance, members) <= threshold:
            apart[np.ix_(nodes_of(members), nodes_of(members))] = False
    return apart


def _random_rows(n: int, seed: int) -> tuple[list[IntArray], list[CountTangent]]:
    rng = np.random.default_rng(seed)
    vectors = [rng.integers(-9, 10, n) for _ in range(3)]
    slopes = [rng.integers(0, SLOPE_SCALE, n) // rng.integers(1, 1000) for _ in range(3)]
    return vectors, [CountTangent(weights=rng.integers(0, 10, n), slopes=row) for row in slopes]


@given(SMALL, SEEDS)
@settings(max_examples=30, derandomize=True, deadline=None)
def test_in_integers_the_best_partition_is_left_and_nothing_better(problem: Problem, seed: int) -> None:
    instance, k, optimum = problem.instance, problem.useful_stages, brute_force_optimum(problem)
    vectors, counts = _random_rows(instance.n, seed)
    threshold = optimum + seed % 5
    apart = pairs_apart(instance, threshold)
    model = joined_model(SuperblockParts(instance), k, threshold, apart, vectors, counts)
    assert model is not None
    assert abs(least(model, integer=True) - optimum) < 1e-4
    # Relaxed it is as strong as the assignment model, and as the same-stage model.
    relaxed = least(model)
    assert relaxed < optimum + 1e-4
    penalty = penalty_at(threshold, instance.n)
    second = SameStageModel(instance, k, vectors, counts=counts, apart=apart, penalty=penalty)
    assert relaxed > least(second.model) - 1e-4
    windows = SuperblockParts(instance).windows.at(k, threshold)
    first = SuperblockModel(
        SuperblockParts(instance), even_layout(k, k), upper=MAX_TOTAL, minimise=True, windows=windows
    )
    assert relaxed > least(first.model) - 1e-4


@given(SMALL, SEEDS)
@settings(max_examples=15, derandomize=True, deadline=None)
def test_stages_say_who_shares_one(problem: Problem, seed: int) -> None:
    instance, k = problem.instance, problem.useful_stages
    every = stage_vectors(instance, k)
    parts, nothing = SuperblockParts(instance), np.zeros((instance.n, instance.n), np.bool_)
    # From here on no window excludes anything.
    threshold = instance.largest_cost * k
    windows = parts.windows.at(k, threshold)
    first = SuperblockModel(parts, even_layout(k, k), upper=MAX_TOTAL, minimise=True, windows=windows)
    pairs = SameStageModel(instance, k, apart=nothing, penalty=penalty_at(threshold, instance.n)).pairs
    model = joined_model(parts, k, threshold, nothing, [], [])
    assert model is not None
    free = first.before >= 0
    upper = np.triu(pairs >= 0, 1)
    for place in np.random.default_rng(seed).integers(len(every), size=4).tolist():
        stage_of = np.array(every[place], np.int64)
        done = stage_of[None, :] < np.arange(k + 1)[:, None]
        same = np.equal.outer(stage_of, stage_of)
        costs = np.zeros(model.columns, np.int64)
        costs[pairs[upper] + first.model.columns] = np.where(same[upper], 1, -1)
        found = least(model, costs, fixed=(first.before[free], done[free].astype(np.int64)))
        # As little as possible of what is shared, as much as possible of what is not.
        assert abs(found - int(same[upper].sum())) < 1e-6


@given(SMALL)
@settings(max_examples=30, derandomize=True, deadline=None)
def test_no_model_only_where_there_is_no_partition(problem: Problem) -> None:
    instance, optimum = problem.instance, brute_force_optimum(problem)
    for threshold in range(optimum):
        model = joined_model(
            SuperblockParts(instance), problem.useful_stages, threshold, pairs_apart(instance, threshold), [], []
        )
        if model is not None:
            break
    else:
        threshold = optimum
    assert threshold <= optimum


def test_the_penalty_is_far_above_the_threshold_and_n_of_them_fit() -> None:
    for threshold, n in ((0, 1), (10**6, 400), (1 << 30, 12)):
        penalty = penalty_at(threshold, n)
        assert 100 * threshold < penalty
        assert penalty * n <= MAX_TOTAL
    assert penalty_at(MAX_TOTAL, 400) == MAX_TOTAL // 400
