"""`lp`: exact certificates, which nobody can make say more than is true."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from framework.bounds import Certificate, Soundness
from framework.contracts import Refuted, Undecided
from framework.errors import UserError
from framework.model.problem import Problem
from framework.portfolio.context.board import Board
from framework.portfolio.context.local import LocalContext, run_entry
from framework.proof import lp
from framework.registry import load_plugins, registry
from framework.structure.primal.initial_interval import simple_bound
from framework.structure.solvers.linear_model import LinearModel, ModelBuilder
from framework.structure.solvers.mathopt import solve_relaxation
from framework.structure.solvers.safe_dual_bound import dual_value, round_duals
from framework.testing.instances import random_layered_instance

load_plugins()


def problem_and_optimum(seed: int) -> tuple[Problem, int]:
    problem = Problem(instance=random_layered_instance(seed, 16, width=3, capacity_share=0.4), stages=4)
    _, board = run_entry(registry.create("ideal-dp"), problem)
    assert board.interval.closed
    assert board.incumbent is not None
    return problem, board.incumbent.value


def small_model() -> LinearModel:
    """Minimise T subject to 3 x <= 2 T and 5 (1 - x) <= T with x in [0, 1]."""
    builder = ModelBuilder()
    x = builder.add_columns(1, integer=True)
    t = builder.add_columns(1, upper=100, weighed=True)
    for columns, factors, upper in (([x, t], [3, -2], 0), ([x, t], [-5, -1], -5)):
        builder.add_sparse_rows(
            np.zeros(2, np.int64),
            np.concatenate(columns),
            np.array(factors),
            lower=np.array([-(1 << 62)]),
            upper=np.array([upper]),
            weighed=True,
        )
    return builder.build(int(t[0]))


def test_multipliers_are_evaluated_exactly() -> None:
    model = small_model()
    solved = solve_relaxation(model, base=10, seconds=10.0)
    assert solved is not None
    rows, multipliers = round_duals(model, solved.duals, 10)
    # 3x/2 = 5 - 5x at x = 10/13: T = 15/13, rounded up.
    assert dual_value(model, rows, multipliers) == 2
    assert dual_value(model, [0, 1], [5, 3]) == 2
    assert dual_value(model, [1], [1]) == 0
    assert dual_value(model, [0], [7]) == 0
    for wrong_rows, wrong in (([0], [-1]), ([2], [1]), ([0, 0], [1, 1]), ([0], [1, 1]), ([], []), ([0], [0])):
        with pytest.raises(ValueError, match=r"sign|range|one multiplier|no weight"):
            dual_value(model, wrong_rows, wrong)


def test_a_refutation_is_certified_and_its_certificate_survives_no_tampering() -> None:
    rng = np.random.default_rng(0)
    certified = rejected = 0
    for seed in range(4):
        problem, optimum = problem_and_optimum(seed)
        _, board = run_entry(registry.create("lp"), problem, name="lp")
        assert board.dual is not None
        assert simple_bound(problem) <= board.dual.value <= optimum
        if board.dual.certificate is None:
            continue
        certified += 1
        assert board.dual.soundness is Soundness.CERTIFIED
        checker, certificate = registry.create("lp"), board.dual.certificate
        assert checker.check(problem, certificate) == board.dual.value
        for mutant in mutants(certificate, optimum, rng):
            try:
                proven = checker.check(problem, mutant)
            except (ValueError, UserError):
                rejected += 1
                continue
            assert proven <= optimum
    assert certified >= 3
    assert rejected >= 20


def mutants(certificate: Certificate, optimum: int, rng: np.random.Generator) -> list[Certificate]:
    data = dict(certificate.data)
    (leaf,) = data["tree"]
    rows = list[list[int]]()
    while leaf:
        end = 2 + lp.LENGTHS[leaf[1]]
        rows, leaf = [*rows, leaf[:end]], leaf[end:]

    def tree_of(rows: list[list[int]]) -> dict[str, Any]:
        return {"tree": [[number for row in rows for number in row]]}

    changes: list[dict[str, Any]] = [
        {"threshold": optimum},
        {"threshold": optimum + 1},
        {"threshold": -1},
        {"sizes": data["sizes"][:-1]},
        {"sizes": []},
        {"tensors": data["tensors"][:-1]},
        {"version": 3},
        {"tree": []},
        tree_of([[-row[0], *row[1:]] for row in rows]),
        tree_of([row[1:] for row in rows]),
        tree_of([[*row[:2], row[2] + 10**6, *row[3:]] for row in rows]),
        tree_of([]),
    ]
    most = max(row[0] for row in rows)
    for _ in range(10):
        spoiled = [list(row) for row in rows]
        for i in rng.integers(0, len(rows), max(1, len(rows) // 3)):
            spoiled[int(i)][0] = int(rng.integers(0, 2 * most))
        changes.append(tree_of(spoiled))
    return [replace(certificate, data={**data, **change}) for change in changes]


def test_fewer_groups_prove_no_more() -> None:
    for seed in range(3):
        problem, optimum = problem_and_optimum(seed)
        context = LocalContext(Board(problem, clock=lambda: 0.0), "test")
        for share in (0.3, 0.6, 0.9):
            simple = simple_bound(problem)
            threshold = simple + int(share * (optimum - simple))
            fine, coarse = (
                registry.create_decision(f"lp:groups={groups}").decide(problem, threshold, context) for groups in (0, 2)
            )
            assert isinstance(fine, Refuted) or isinstance(coarse, Undecided)


def test_limits() -> None:
    problem, optimum = problem_and_optimum(0)
    context = LocalContext(Board(problem, clock=lambda: 0.0), "test")
    assert isinstance(registry.create_decision("lp:max_size=10").decide(problem, optimum - 1, context), Undecided)
    with pytest.raises(UserError):
        registry.create("lp:groups=-1")
