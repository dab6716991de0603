"""`stage-cover`: never above the optimum, close to it where stages are many, certificates that cannot be forged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from framework.bounds import Certificate, Reason, Soundness
from framework.contracts import Refuted, Undecided
from framework.model.problem import Problem
from framework.portfolio.context.board import Board
from framework.portfolio.context.local import LocalContext, run_entry
from framework.registry import load_plugins, registry
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_layered_instance, random_problem

load_plugins()


def _context(problem: Problem) -> LocalContext:
    return LocalContext(Board(problem, clock=lambda: 0.0), "test")


def _certificate() -> tuple[Problem, Certificate, int]:
    problem = Problem(instance=random_layered_instance(5, 14, width=6, capacity_share=0.2), stages=4)
    _, board = run_entry(registry.create("ideal-dp"), problem)
    optimum = board.interval.incumbent
    assert optimum is not None
    outcome, _ = run_entry(registry.create("stage-cover"), problem)
    assert outcome.dual is not None
    assert outcome.dual.certificate is not None
    assert outcome.dual.value <= optimum
    return problem, outcome.dual.certificate, outcome.dual.value


def test_it_never_exceeds_the_optimum_and_is_often_there() -> None:
    tight = total = 0
    for seed in range(50_000, 50_080):
        problem = random_problem(seed, max_nodes=8)
        outcome, board = run_entry(registry.create("stage-cover"), problem)
        optimum = brute_force_optimum(problem)
        if board.interval.dual is not None:
            assert board.interval.dual <= optimum, f"random_problem({seed})"
        if outcome.dual is not None:
            assert outcome.dual.soundness is Soundness.EXACT
            total += 1
            tight += outcome.dual.value == optimum
    assert total > 10
    assert tight > total // 3


def test_decisions() -> None:
    formulation = registry.create_decision("stage-cover")
    refuted = 0
    for seed in range(51_000, 51_060):
        problem = random_problem(seed, max_nodes=8)
        optimum = brute_force_optimum(problem)
        for threshold in (optimum, optimum + 1, 1 << 44, 1 << 62):
            assert isinstance(formulation.decide(problem, threshold, _context(problem)), Undecided)
        if optimum:
            refuted += isinstance(formulation.decide(problem, optimum - 1, _context(problem)), Refuted)
    assert refuted > 20


def test_a_certificate_is_checked_and_a_tampered_one_rejected() -> None:
    problem, certificate, value = _certificate()
    checker = registry.create("stage-cover")
    assert checker.check(problem, certificate) == value

    def rejected(**changes: Any) -> bool:
        data: dict[str, Any] = {**certificate.data, **changes}
        try:
            return bool(checker.check(problem, replace(certificate, data=data)) <= value)
        except ValueError:
            return True

    data = certificate.data
    assert rejected(threshold=data["threshold"] + 50)
    assert rejected(threshold=10 * data["threshold"])
    for exponent in range(30, 63):
        assert rejected(threshold=1 << exponent)
    with pytest.raises(ValueError, match="tree"):
        checker.check(problem, replace(certificate, data={**data, "threshold": 10 * data["threshold"]}))
    for theta in (data["theta"] * 2, data["theta"] // 2):
        with pytest.raises(ValueError, match="tree"):
            checker.check(problem, replace(certificate, data={**data, "theta": theta}))
    with pytest.raises(ValueError, match="tree"):
        checker.check(problem, replace(certificate, data={**data, "tree": data["tree"][:-3]}))
    with pytest.raises(ValueError, match="tree"):
        checker.check(problem, replace(certificate, data={**data, "prices": [p // 2 for p in data["prices"]]}))
    with pytest.raises(ValueError, match="another instance"):
        checker.check(problem, replace(certificate, data={**data, "prices": data["prices"][:-1]}))
    with pytest.raises(ValueError, match="tree"):
        checker.check(problem, replace(certificate, data={**data, "order": [0] * problem.instance.n}))


def test_a_large_instance_is_declined() -> None:
    problem = Problem(instance=random_layered_instance(1, 60), stages=3)
    outcome, _ = run_entry(registry.create("stage-cover:max_nodes=50"), problem)
    assert outcome.termination.reason is Reason.LIMIT
    answer = registry.create_decision("stage-cover:max_nodes=50").decide(problem, 10**6, _context(problem))
    assert isinstance(answer, Undecided)
    assert "max_nodes" in answer.reason


@pytest.mark.parametrize("spec", ["stage-cover:first_effort=0", "stage-cover:max_effort=1", "stage-cover:max_nodes=0"])
def test_nonsense_is_refused(spec: str) -> None:
    from framework.errors import UserError

    with pytest.raises(UserError):
        registry.create(spec)
