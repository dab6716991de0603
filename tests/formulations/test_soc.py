"""`soc`: tangents that hold for every partition, bounds that are exact, certificates that cannot be bent."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import product
from math import isqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.bounds import Certificate, Limit, Soundness
from framework.contracts import Refuted, Undecided
from framework.errors import UserError
from framework.model.problem import Problem, bottleneck
from framework.portfolio.context.board import Board
from framework.portfolio.context.local import LocalContext, run_entry
from framework.registry import load_plugins, registry
from framework.structure.models.same_stage_model import SLOPE_SCALE, CountTangent, SameStageModel
from framework.structure.primal.initial_interval import simple_bound
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_layered_instance, random_problem

load_plugins()


def _context(problem: Problem) -> LocalContext:
    return LocalContext(Board(problem, clock=lambda: 0.0), "test")


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_every_partition_satisfies_every_tangent(seed: int) -> None:
    problem = random_problem(seed, max_nodes=6, max_stages=3)
    n, k = problem.instance.n, problem.useful_stages
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 101, n)
    slopes = rng.integers(0, SLOPE_SCALE, n) // rng.integers(1, 10_000)
    plain = SameStageModel(problem.instance, k)
    model = SameStageModel(problem.instance, k, counts=[CountTangent(weights=weights, slopes=slopes)]).model
    assert model.rows <= plain.model.rows + 1
    if model.rows == plain.model.rows:
        return
    entries = model.row_of == model.rows - 1
    for stage_of in product(range(k), repeat=n):
        same = np.equal.outer(np.array(stage_of), np.array(stage_of))
        values = np.zeros(model.columns, np.int64)
        values[plain.pairs[plain.pairs >= 0]] = same[plain.pairs >= 0]
        left = int(model.factor[entries] @ values[model.column_of[entries]])
        assert left <= model.row_upper[-1]


def test_a_tangent_at_the_loads_of_a_partition_is_tight() -> None:
    instance = random_layered_instance(0, 8)
    weights, stage_of = np.full(8, 10), np.array([0, 0, 0, 0, 1, 1, 1, 1])
    slopes = np.full(8, SLOPE_SCALE // 1600)
    plain = SameStageModel(instance, 2)
    model = SameStageModel(instance, 2, counts=[CountTangent(weights=weights, slopes=slopes)]).model
    values = np.zeros(model.columns, np.int64)
    values[plain.pairs[plain.pairs >= 0]] = np.equal.outer(stage_of, stage_of)[plain.pairs >= 0]
    entries = model.row_of == model.rows - 1
    slack = int(model.row_upper[-1]) - int(model.factor[entries] @ values[model.column_of[entries]])
    assert 0 <= slack <= SLOPE_SCALE // 1000
    assert isqrt(4 * int(slopes[0]) * SLOPE_SCALE) > 0


def test_it_is_never_above_the_optimum_and_decides_truly() -> None:
    formulation = registry.create_decision("soc")
    tight = refuted = 0
    for seed in range(70_000, 70_040):
        problem = random_problem(seed, max_nodes=8)
        optimum = brute_force_optimum(problem)
        outcome, _ = run_entry(registry.create("soc"), problem)
        assert outcome.dual is not None
        assert simple_bound(problem) <= outcome.dual.value <= optimum, f"random_problem({seed})"
        tight += outcome.dual.value == optimum
        assert isinstance(formulation.decide(problem, optimum, _context(problem)), Undecided)
        if optimum:
            refuted += isinstance(formulation.decide(problem, optimum - 1, _context(problem)), Refuted)
    assert tight > 25
    assert refuted > 20


def test_it_refutes_what_lp_refutes() -> None:
    better = 0
    for seed in range(8):
        problem = Problem(instance=random_layered_instance(seed, 12, width=6, capacity_share=0.4), stages=2 + seed % 3)
        values = []
        for name in ("lp", "soc"):
            _, board = run_entry(registry.create(name), problem, name=name)
            assert board.dual is not None
            values.append(board.dual.value)
        answer = registry.create_decision("soc").decide(problem, values[0] - 1, _context(problem))
        assert isinstance(answer, Refuted), f"seed {seed}: {values}"
        better += values[1] > values[0]
    assert better > 4


def _certificate(seed: int) -> tuple[Problem, Certificate, int, int]:
    problem = Problem(instance=random_layered_instance(seed, 12, width=6, capacity_share=0.3), stages=3)
    _, exact = run_entry(registry.create("ideal-dp"), problem)
    assert exact.incumbent is not None
    _, board = run_entry(registry.create("soc"), problem, name="soc")
    assert board.dual is not None
    assert board.dual.certificate is not None
    assert board.dual.soundness is Soundness.CERTIFIED
    return problem, board.dual.certificate, board.dual.value, exact.incumbent.value


def test_a_certificate_is_checked_and_a_tampered_one_proves_nothing_false() -> None:
    checker = registry.create("soc")
    rejected = tangents = 0
    for seed in range(3):
        problem, certificate, value, optimum = _certificate(seed)
        assert checker.check(problem, certificate) == value
        tangents += len(certificate.data["slopes"])
        rng = np.random.default_rng(seed)
        for _ in range(40):
            data: dict[str, Any] = copy.deepcopy(dict(certificate.data))
            kind = int(rng.integers(6))
            if kind == 0:
                data["threshold"] = int(data["threshold"] * rng.choice([0.5, 1.05, 3.0]))
            elif kind == 1:
                data["multipliers"] = [m * int(rng.choice([-1, 1, 2])) for m in data["multipliers"]]
            elif kind == 2:
                data["rows"] = data["rows"][:-1]
            elif kind == 3:
                data["slopes"] = [[int(b * rng.choice([0.5, 1, 4])) for b in row] for row in data["slopes"]]
            elif kind == 4:
                data["weights"] = [rng.integers(0, 120, len(row)).tolist() for row in data["weights"]]
            else:
                data["vectors"] = [rng.integers(-1100, 1100, problem.instance.n).tolist()]
            try:
                proven = checker.check(problem, replace(certificate, data=data))
            except ValueError:
                rejected += 1
                continue
            assert proven <= optimum, data
    assert tangents
    assert rejected > 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": -1}, "negative"),
        ({"weights": []}, "incomplete"),
        ({"vectors": [[1]]}, "wrong length"),
        ({"vectors": [[5000] * 12]}, "out of range"),
    ],
)
def test_what_a_certificate_may_not_say(change: dict[str, Any], message: str) -> None:
    problem, certificate, _, _ = _certificate(0)
    with pytest.raises(ValueError, match=message):
        registry.create("soc").check(problem, replace(certificate, data={**certificate.data, **change}))


def test_limits_and_nonsense() -> None:
    problem = Problem(instance=random_layered_instance(0, 60), stages=3)
    outcome, _ = run_entry(registry.create("soc"), problem)
    assert outcome.termination.limit is Limit.SIZE
    answer = registry.create_decision("soc").decide(problem, bottleneck_of(problem), _context(problem))
    assert isinstance(answer, Undecided)
    for spec in ("soc:rounds=-1", "soc:max_nodes=0", "soc:thresholds=0"):
        with pytest.raises(UserError):
            registry.create(spec)


def bottleneck_of(problem: Problem) -> int:
    from framework.structure.primal.initial_interval import balanced_partition

    return bottleneck(problem, balanced_partition(problem))
