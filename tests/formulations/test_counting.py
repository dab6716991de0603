"""`counting`: never above the optimum, often at it, and certificates that cannot be forged."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from framework.bounds import Certificate, Limit, Soundness
from framework.contracts import Refuted, Undecided
from framework.errors import OutOfTimeError, UserError
from framework.model.problem import Problem
from framework.portfolio.context.board import Board
from framework.portfolio.context.local import LocalContext, run_entry
from framework.registry import load_plugins, registry
from framework.structure.covering.share_bound import CountProof, CountRefuter
from framework.structure.primal.initial_interval import simple_bound
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_layered_instance, random_problem

load_plugins()


def _context(problem: Problem) -> LocalContext:
    return LocalContext(Board(problem, clock=lambda: 0.0), "test")


def _certificate(seed: int) -> tuple[Problem, Certificate, int, int]:
    problem = Problem(instance=random_layered_instance(seed, 14, width=6, capacity_share=0.2), stages=4)
    _, board = run_entry(registry.create("ideal-dp"), problem)
    assert board.incumbent is not None
    outcome, _ = run_entry(registry.create("counting"), problem)
    assert outcome.dual is not None
    assert outcome.dual.certificate is not None
    assert simple_bound(problem) < outcome.dual.value <= board.incumbent.value
    return problem, outcome.dual.certificate, outcome.dual.value, board.incumbent.value


def test_it_never_exceeds_the_optimum_and_is_often_there() -> None:
    tight = total = 0
    for seed in range(52_000, 52_080):
        problem = random_problem(seed, max_nodes=8)
        outcome, board = run_entry(registry.create("counting"), problem)
        optimum = brute_force_optimum(problem)
        if board.interval.dual is not None:
            assert board.interval.dual <= optimum, f"random_problem({seed})"
        if outcome.dual is not None:
            assert outcome.dual.soundness is Soundness.EXACT
            total += 1
            tight += outcome.dual.value == optimum
    assert total > 10
    assert tight > total // 3


def test_a_tree_proves_more_than_one_cut_a_node() -> None:
    more = 0
    for seed in range(6):
        problem = Problem(instance=random_layered_instance(seed, 16, width=8), stages=5)
        values = []
        for spec in ("counting:max_effort=0", "counting"):
            outcome, _ = run_entry(registry.create(spec), problem)
            assert outcome.dual is not None
            values.append(outcome.dual.value)
        assert values[1] >= values[0]
        more += values[1] > values[0]
    assert more > 2


def test_decisions() -> None:
    formulation = registry.create_decision("counting")
    refuted = 0
    for seed in range(53_000, 53_060):
        problem = random_problem(seed, max_nodes=8)
        optimum = brute_force_optimum(problem)
        for threshold in (optimum, optimum + 1, 1 << 44, 1 << 62):
            assert isinstance(formulation.decide(problem, threshold, _context(problem)), Undecided)
        if optimum:
            refuted += isinstance(formulation.decide(problem, optimum - 1, _context(problem)), Refuted)
    assert refuted > 20


def test_a_certificate_is_checked_and_a_tampered_one_proves_nothing_false() -> None:
    checker = registry.create("counting")
    rejected = 0
    for seed in (5, 6, 7):
        problem, certificate, value, optimum = _certificate(seed)
        assert checker.check(problem, certificate) == value
        rng = np.random.default_rng(seed)
        for _ in range(80):
            data: dict[str, Any] = copy.deepcopy(dict(certificate.data))
            v, kind = int(rng.integers(problem.instance.n)), int(rng.integers(6))
            if kind == 0:
                data["threshold"] = int(data["threshold"] * rng.choice([1.02, 1.2, 10.0])) + 1
            elif kind == 1:
                data["bounds"][v] = int(data["bounds"][v] * rng.choice([0.0, 0.3, 0.9]))
            elif kind == 2:
                data["weights"][v] = int(data["weights"][v] * rng.choice([-1.0, 0.0, 2.0, 1e6]))
            elif kind == 3:
                data["trees"][v] = data["trees"][v][:-3]
            elif kind == 4:
                data["trees"][v][int(rng.integers(len(data["trees"][v])))] = int(rng.integers(-2, 1 << 40))
            else:
                data["bounds"] = [bound // 2 for bound in data["bounds"]]
            try:
                proven = checker.check(problem, replace(certificate, data=data))
            except ValueError:
                rejected += 1
                continue
            assert proven <= optimum, data
        for exponent in range(int(value).bit_length(), 63):
            with pytest.raises(ValueError, match="trees"):
                checker.check(problem, replace(certificate, data={**certificate.data, "threshold": 1 << exponent}))
        short = {**certificate.data, "weights": certificate.data["weights"][:-1]}
        with pytest.raises(ValueError, match="another instance"):
            checker.check(problem, replace(certificate, data=short))
    assert rejected > 100


def test_thresholds_refuted_are_proofs_of_their_own() -> None:
    problem = Problem(instance=random_layered_instance(2, 40, width=20), stages=10)
    refuter = CountRefuter(problem)
    proven = 0
    for share in (1.0, 1.1, 1.3, 1.6):
        proof = refuter.refute(int(share * simple_bound(problem)), effort=64)
        if isinstance(proof, CountProof):
            proven += 1
            assert CountRefuter(problem).verify(proof)
    assert proven
    with pytest.raises(OutOfTimeError):
        refuter.refute(2 * simple_bound(problem), effort=64, should_stop=lambda: True)


def test_a_large_instance_is_declined_and_nonsense_refused() -> None:
    problem = Problem(instance=random_layered_instance(1, 60), stages=3)
    outcome, _ = run_entry(registry.create("counting:max_nodes=50"), problem)
    assert outcome.termination.limit is Limit.SIZE
    answer = registry.create_decision("counting:max_nodes=50").decide(problem, 10**6, _context(problem))
    assert isinstance(answer, Undecided)
    assert "max_nodes" in answer.reason
    for spec in ("counting:max_effort=-1", "counting:max_nodes=0"):
        with pytest.raises(UserError):
            registry.create(spec)
