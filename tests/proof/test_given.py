"""Pins, limits and stages that differ: the checker prices, refuses and proves as brute force does."""

from __future__ import annotations

import itertools
from contextlib import nullcontext

import numpy as np
import pytest

from framework.model.problem import Partition, bottleneck, obeys
from framework.proof.ideals import ideal_program
from framework.proof.problem import PlainProblem, RefusedError
from framework.proof.reductions import charge, contract, narrow, uniform
from framework.proof.sums import simple
from framework.structure.reduction.dominance import moves_of_reduction
from tests.proof.cases import limited_problems, moves


def refutes(problem: PlainProblem, threshold: int) -> bool:
    try:
        return ideal_program(problem, threshold)[0] == threshold + 1
    except RefusedError:
        return False


def test_partitions_cost_what_the_model_says_and_are_refused_where_they_break_a_limit() -> None:
    rng, refused, priced = np.random.default_rng(3), 0, 0
    for problem, seen, _ in limited_problems(100):
        stage = np.sort(rng.integers(0, problem.stages, problem.instance.n))
        limit = problem.instance.stage_limit
        if limit is not None and len(limit.anchors) and rng.random() < 0.7:
            stage[limit.anchors] = np.arange(problem.stages)
        partition = Partition(stage_of=stage)
        try:
            cost = bottleneck(problem, partition)
        except ValueError:
            cost = -1
        if cost >= 0 and obeys(problem, partition):
            assert seen.bottleneck(stage.tolist()) == cost
            priced += 1
        else:
            with pytest.raises(RefusedError):
                seen.bottleneck(stage.tolist())
            refused += 1
    assert min(priced, refused) > 15


def test_the_ideal_program_refutes_just_below_the_optimum_and_nothing_above() -> None:
    feasible = 0
    for problem, seen, optimum in limited_problems(150):
        assert refutes(seen, optimum - 1)
        if optimum <= problem.instance.largest_cost:
            assert not any(refutes(seen, optimum + more) for more in (0, 1, 10))
            feasible += 1
    assert feasible > 60


def test_the_compiled_loop_finds_what_the_plain_one_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("framework.proof.ideals.PLAIN_STEPS", -1)
    for _, seen, optimum in limited_problems(40, first=900):
        assert ideal_program(seen, optimum - 1) == ideal_program(seen, optimum - 1, plain=True)


def test_no_move_that_is_allowed_changes_the_optimum() -> None:
    allowed = made = 0
    for problem, seen, optimum in limited_problems(120, first=500):
        reduced, pairs = moves_of_reduction(problem.instance)
        feasible = optimum <= problem.instance.largest_cost
        smaller = contract(seen, moves(pairs).data["moves"])
        made += len(pairs)
        assert smaller.n == reduced.n
        assert refutes(smaller, optimum - 1)
        assert not (feasible and refutes(smaller, optimum))
        for x, y in itertools.permutations(range(seen.n), 2):
            try:
                smaller = contract(seen, [x, y])
            except RefusedError:
                continue
            allowed += 1
            assert refutes(smaller, optimum - 1)
            assert not (feasible and refutes(smaller, optimum))
    assert min(allowed, made) > 20


def test_relaxing_steps_raise_no_optimum() -> None:
    differing = 0
    for problem, seen, optimum in limited_problems(120, first=700):
        if optimum > problem.instance.largest_cost:
            continue
        differing += bool(seen.kinds)
        alike = uniform(seen)
        charged = charge(seen, [min(q.users) for q in seen.shared])
        for relaxed in (alike, charged, uniform(charged), narrow(alike), narrow(uniform(charged))):
            assert not refutes(relaxed, optimum)
        assert simple(alike) <= optimum
        with pytest.raises(RefusedError, match="different devices") if seen.kinds else nullcontext():
            narrow(seen)
    assert differing > 15
