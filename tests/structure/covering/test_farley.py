"""Farley's bound against the fractional cover by all stages, and its proofs against all stages one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from framework.model.problem import Partition, Problem
from framework.structure.covering.farley import PRICE_TOTAL, CoverProof, StageCover, integer_prices, stages_of
from framework.structure.poset.closure import BoolArray
from framework.testing.brute_force import brute_force_optimum, stage_cost
from framework.testing.instances import random_problem
from tests.structure.plain_definitions import convex_sets, nodes_of, worth

SEEDS = st.integers(0, 2**32 - 1)


def _stages(problem: Problem, threshold: int, apart: BoolArray) -> list[int]:
    """Return the convex sets of cost at most a threshold that hold no pair known to be apart."""
    return [
        members
        for members in convex_sets(problem.instance)
        if stage_cost(problem.instance, members) <= threshold
        and not apart[np.ix_(nodes_of(members), nodes_of(members))].any()
    ]


def _fractional_cover(n: int, stages: list[int]) -> float:
    """Return how many stages cover all nodes, in fractions; infinite if some node is in none."""
    if not stages:
        return float("inf")
    matrix = np.array([[members >> v & 1 for members in stages] for v in range(n)], float)
    answer = optimize.linprog(np.ones(len(stages)), A_ub=-matrix, b_ub=-np.ones(n))
    return float(answer.fun) if answer.status == 0 else float("inf")


@given(SEEDS)
@settings(max_examples=30, derandomize=True, deadline=None)
def test_a_threshold_is_refuted_exactly_if_a_fractional_cover_needs_more_stages(seed: int) -> None:
    problem = random_problem(seed, max_nodes=6)
    n, k, optimum = problem.instance.n, problem.useful_stages, brute_force_optimum(problem)
    cover = StageCover(problem)
    for threshold in sorted({optimum // 2, optimum - 1, optimum} - {-1}):
        answer = cover.refute(threshold, effort=100_000)
        proof = answer if isinstance(answer, CoverProof) else None
        assert proof is None or threshold < optimum
        question = cover.question(threshold, np.zeros(n, np.int64), 0, np.arange(n))
        if question is None:
            assert proof is not None
            assert cover.verify(proof)
            continue
        stages = _stages(problem, threshold, question.apart)
        needed = _fractional_cover(n, stages)
        assert abs(needed - k) < 1e-6 or (proof is not None) == (needed > k)
        if proof is None:
            continue
        prices = proof.prices.tolist()
        dearest = max([worth(members, prices) for members in stages], default=0)
        assert dearest <= proof.theta
        assert k * proof.theta < sum(prices)
        assert cover.verify(proof)
        assert not dearest or not cover.verify(replace(proof, theta=dearest - 1))
        assert not cover.verify(replace(proof, theta=-(-sum(prices) // k)))
        assert not cover.verify(replace(proof, log=None))


@given(SEEDS)
@settings(max_examples=20, derandomize=True, deadline=None)
def test_columns_are_stages_that_keep_to_the_threshold(seed: int) -> None:
    problem = random_problem(seed, max_nodes=6)
    n, optimum = problem.instance.n, brute_force_optimum(problem)
    cover = StageCover(problem)
    cover.refute(max(0, optimum - 1), effort=10_000)
    rng = np.random.default_rng(seed)
    node_of = np.sort(rng.integers(0, n, n + 3))
    convex = convex_sets(problem.instance)
    for members in convex:
        split = np.array([members >> v & 1 for v in node_of.tolist()], np.int8)
        cover.take([split], node_of)
    for threshold in (0, optimum, problem.instance.largest_cost):
        for column in cover.columns(threshold):
            members = sum(1 << v for v in np.flatnonzero(column).tolist())
            assert stage_cost(problem.instance, members) <= threshold
    whole = {column.tobytes() for column in cover.columns(problem.instance.largest_cost)}
    hit = set(node_of.tolist())
    for members in convex:
        # Nodes that nothing was contracted to are in no column taken.
        column = np.array([members >> v & 1 and v in hit for v in range(n)], np.int8)
        assert column.tobytes() in whole
    separated = np.zeros(n + 3, np.int8)
    separated[0], node_of[:2] = 1, 0
    before = len(cover.columns(problem.instance.largest_cost))
    cover.take([separated], node_of)
    assert len(cover.columns(problem.instance.largest_cost)) == before


def test_prices_are_in_proportion_and_stages_are_rows() -> None:
    prices = integer_prices(np.array([0.0, 1.0, 3.0]))
    assert prices[0] == 0
    assert abs(prices.sum() - PRICE_TOTAL) <= 3
    assert abs(prices[2] - 3 * prices[1]) <= 3
    rows = stages_of(Partition(stage_of=np.array([0, 2, 2, 5])))
    assert [row.tolist() for row in rows] == [[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]]
