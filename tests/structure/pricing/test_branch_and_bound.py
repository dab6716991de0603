"""What stages can be worth, against enumeration of all convex sets; records of proofs, true and tampered."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.instance import Instance, instance_from_lists
from framework.structure.flow.convex_cuts import NodeCuts, is_convex, set_cost
from framework.structure.poset.closure import closure
from framework.structure.pricing.branch_and_bound import StagePricer
from framework.structure.pricing.greedy import StageGrower
from framework.structure.pricing.query import Question, Verdict
from framework.testing.instances import random_layered_instance
from tests.structure.plain_definitions import mixed_instance

NONE = np.zeros((0, 0), np.bool_)
UNLIMITED = 1 << 40


def _convex_sets(instance: Instance) -> list[tuple[IntArray, int]]:
    reach = closure(instance)
    sets = (
        np.array(nodes, np.int64)
        for size in range(1, instance.n + 1)
        for nodes in itertools.combinations(range(instance.n), size)
    )
    return [(nodes, set_cost(instance, nodes)) for nodes in sets if is_convex(nodes, reach)]


def _question(seed: int, *, ruled_out: bool) -> tuple[StagePricer, Question, int, list[tuple[IntArray, int]]]:
    """Return a question at the edge: theta is the true maximum."""
    rng = np.random.default_rng([seed, 5])
    instance = mixed_instance(seed, max_nodes=7)
    sets = _convex_sets(instance)
    threshold = max(0, int(rng.choice([cost for _, cost in sets])) - int(rng.integers(0, 2)))
    prices = rng.integers(-5, 40, instance.n)
    best = max([int(prices[nodes].sum()) for nodes, cost in sets if cost <= threshold] + [0])
    pricer = StagePricer(instance, closure(instance))
    apart, uncovered = NONE, NONE
    if ruled_out:
        forced = pricer.forced_costs()
        apart, uncovered = forced.pairs > threshold, forced.nets > threshold
    question = Question(
        prices=prices,
        threshold=threshold,
        theta=best,
        order=rng.permutation(instance.n),
        apart=apart,
        uncovered=uncovered,
    )
    return pricer, question, best, sets


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=200, derandomize=True, deadline=None)
def test_the_maximum_is_found(seed: int, ruled_out: bool) -> None:
    pricer, question, best, sets = _question(seed, ruled_out=ruled_out)
    for theta in {best, best + 3, best - 1, best // 2}:
        if theta < 0:
            continue
        answer = pricer.decide(replace(question, theta=theta), effort=UNLIMITED)
        assert (answer.verdict is Verdict.PROVEN) == (theta >= best)
        assert (answer.verdict is Verdict.EXCEEDED) == (theta < best)
        for column in answer.columns:
            nodes = np.flatnonzero(column)
            assert is_convex(nodes, closure(pricer.instance))
            assert set_cost(pricer.instance, nodes) <= question.threshold
            assert int(question.prices[nodes].sum()) > theta
    assert sets


def test_a_shared_parameter_counts_once_for_all_its_users() -> None:
    # Two users of a parameter of 8 ticks: both together cost 1 + 1 + 8, as no other pair does.
    instance = instance_from_lists([1, 1, 1, 1], [], capacity=0, shared=[(8, [0, 1]), (8, [2, 3])])
    pricer = StagePricer(instance, closure(instance))
    prices = np.ones(4, np.int64)
    question = Question(prices=prices, threshold=10, theta=2, order=np.arange(4), apart=NONE, uncovered=NONE)
    assert pricer.decide(question, effort=UNLIMITED).verdict is Verdict.PROVEN
    assert pricer.decide(replace(question, theta=1), effort=UNLIMITED).verdict is Verdict.EXCEEDED
    assert pricer.decide(replace(question, theta=1, threshold=9), effort=UNLIMITED).verdict is Verdict.PROVEN
    grown = StageGrower(pricer.shape).grow(prices, 10, 1, np.arange(4), 1)
    assert sorted(np.flatnonzero(column).tolist() for column in grown) == [[0, 1], [2, 3]]


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=150, derandomize=True, deadline=None)
def test_a_record_is_accepted_and_proves_no_more_than_is_true(seed: int, ruled_out: bool) -> None:
    pricer, question, best, sets = _question(seed, ruled_out=ruled_out)
    log = pricer.decide(question, effort=UNLIMITED).log
    assert log is not None
    assert pricer.verify(question, log)
    if best:
        assert not pricer.verify(replace(question, theta=best - 1), log)
    higher = min([cost for nodes, cost in sets if question.prices[nodes].sum() > best], default=None)
    if higher is not None and not ruled_out:
        # What is ruled out holds for one threshold only.
        assert not pricer.verify(replace(question, threshold=higher), log)
    rng = np.random.default_rng(seed)
    for _ in range(5):
        # A changed record may still be a proof, but never of something false.
        forged = log.copy()
        forged[rng.integers(len(forged)), rng.integers(3)] += int(rng.integers(-3, 4))
        assert not (best and pricer.verify(replace(question, theta=best - 1), forged))
    assert not pricer.verify(question, log[:-1])
    assert not pricer.verify(question, np.vstack((log, log[-1:])))
    assert not pricer.verify(replace(question, order=np.zeros(len(question.order), np.int64)), log) or len(log) == 1


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_forced_costs(seed: int) -> None:
    instance = mixed_instance(seed, max_nodes=6)
    forced = StagePricer(instance, closure(instance)).forced_costs()
    ceiling = int(np.median(forced.pairs))
    rough = StagePricer(instance, closure(instance)).forced_costs(ceiling)
    assert bool((rough.nets <= forced.nets).all())
    assert np.array_equal(np.minimum(rough.nets, ceiling), np.minimum(forced.nets, ceiling))
    cuts = NodeCuts(instance)
    for u in range(instance.n):
        for v in range(instance.n):
            found = cuts.minimise(instance.work, inside=[u, v], anchors=[u, v])
            assert forced.pairs[u, v] == found.value
    for nodes, cost in _convex_sets(instance):
        assert cost >= forced.pairs[np.ix_(nodes, nodes)].max()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_grown_stages_keep_the_rules(seed: int) -> None:
    instance = mixed_instance(seed, max_nodes=9)
    reach = closure(instance)
    pricer = StagePricer(instance, reach)
    threshold = int(instance.total_work) // 2 + 20
    prices = np.arange(1, instance.n + 1)
    starts = np.arange(instance.n)
    grown = StageGrower(pricer.shape).grow(prices, threshold, 0, starts, 1)
    for column in grown:
        nodes = np.flatnonzero(column)
        assert is_convex(nodes, reach)
        assert set_cost(instance, nodes) <= threshold


def test_limits_are_obeyed() -> None:
    instance = random_layered_instance(1, 120, width=40)
    pricer = StagePricer(instance, closure(instance))
    prices = instance.work << 10
    question = Question(
        prices=prices,
        threshold=instance.total_work // 4,
        theta=int(prices.sum()) // 9,
        order=np.arange(instance.n),
        apart=NONE,
        uncovered=NONE,
    )
    answer = pricer.decide(question, effort=50)
    assert answer.verdict is not Verdict.PROVEN
    assert answer.vertices <= 50 + 33 * instance.n
    pricer.steps_a_call = 1000
    with pytest.raises(OutOfTimeError):
        pricer.decide(question, effort=UNLIMITED, should_stop=lambda: True)
