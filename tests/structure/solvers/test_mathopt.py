"""MathOpt in a process of its own: bounds discounted, solvers stopped, deaths survived."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import numpy as np
import pytest

from framework.model.problem import Partition, Problem, bottleneck
from framework.portfolio.context.local import run_entry
from framework.registry import load_plugins, registry
from framework.structure.models.superblocks import SuperblockModel, SuperblockParts
from framework.structure.models.superblocks_layout import even_layout
from framework.structure.solvers import mathopt as mip
from framework.structure.solvers.linear_model import ModelBuilder, Status
from framework.structure.solvers.mathopt import DISCOUNT, MAGNITUDE, MipSolver, mip_unit, solve_mip
from framework.structure.solvers.mathopt_worker import MipReport
from framework.testing.brute_force import brute_force_optimum
from framework.testing.conformance import hard_problem
from framework.testing.instances import random_layered_instance, random_limited_problem, random_problem

load_plugins()


def hard_model() -> SuperblockModel:
    problem = hard_problem()
    k = problem.useful_stages
    upper = bottleneck(problem, Partition(stage_of=np.zeros(problem.instance.n, np.int64)))
    return SuperblockModel(SuperblockParts(problem.instance), even_layout(k, k), upper=upper, minimise=True)


def easy_model() -> SuperblockModel:
    problem = Problem(instance=random_layered_instance(1, 10), stages=2)
    upper = bottleneck(problem, Partition(stage_of=np.zeros(10, np.int64)))
    return SuperblockModel(SuperblockParts(problem.instance), even_layout(2, 2), upper=upper, minimise=True)


@pytest.mark.parametrize("solver", ["highs", "scip"])
def test_a_solver_without_a_time_limit_is_stopped(solver: MipSolver) -> None:
    model = hard_model()
    started = time.monotonic()
    solution = solve_mip(
        model.model,
        solver=solver,
        base=model.upper,
        seconds=float("inf"),
        should_stop=lambda: time.monotonic() > started + 1.0,
    )
    assert solution.status is Status.STOPPED
    assert solution.bound is None


def test_a_solver_that_dies_proves_nothing_and_the_next_one_starts() -> None:
    easy = easy_model()
    assert solve_mip(easy.model, solver="highs", base=easy.upper, seconds=10.0).status is Status.OPTIMAL
    worker = mip._Worker.get()
    hard = hard_model()

    def kill() -> bool:
        os.kill(worker._process.pid, signal.SIGKILL)
        return False

    solution = solve_mip(hard.model, solver="highs", base=hard.upper, seconds=30.0, should_stop=kill)
    assert solution.status is Status.FAILED
    assert solution.bound is None
    assert solve_mip(easy.model, solver="highs", base=easy.upper, seconds=10.0).status is Status.OPTIMAL


def test_only_orderly_ends_give_bounds_and_these_are_discounted() -> None:
    model = easy_model().model
    values = np.zeros(model.columns)
    for status in ("NUMERICAL_ERROR", "IMPRECISE", "OTHER_ERROR", "FAILED", "UNBOUNDED"):
        said = mip._solution(MipReport(status=status, bound=0.9 * MAGNITUDE, values=values), model, 1000)
        assert said.status is Status.FAILED
        assert said.bound is None
    for status in ("OPTIMAL", "FEASIBLE", "NO_SOLUTION_FOUND"):
        said = mip._solution(MipReport(status=status, bound=(0.5 + DISCOUNT) * MAGNITUDE, values=values), model, 10**9)
        assert said.bound == 500_000_000
    # 2.0000001 of 5 is 10.0000005: not 11.
    assert mip._solution(MipReport(status="OPTIMAL", bound=2.0000001 * MAGNITUDE, values=values), model, 5).bound == 10


def test_a_model_that_fits_to_the_last_digit_is_not_infeasible() -> None:
    builder = ModelBuilder()
    x = builder.add_columns(3, integer=True)
    builder.add_rows([(x[:1], 1), (x[1:2], 1), (x[2:], 1)], lower=3)
    builder.add_sparse_rows(
        np.zeros(3, np.int64),
        x,
        np.array([333_333_333, 333_333_333, 333_333_334]),
        lower=np.array([0]),
        upper=np.array([1_000_000_000]),
        weighed=True,
    )
    for solver in ("highs", "scip"):
        solution = solve_mip(builder.build(), solver=solver, base=10**9, seconds=10.0)
        assert solution.status is Status.OPTIMAL
        assert solution.values is not None
        assert solution.values.round().tolist() == [1, 1, 1]


def test_the_unit_keeps_entries_above_what_highs_drops() -> None:
    for upper in (0, 1, 1 << 29, (1 << 29) + 1, 1 << 46):
        assert upper // mip_unit(upper) <= 1 << 29
    assert mip_unit(1 << 29) == 1


@pytest.mark.parametrize(
    ("entry", "drawn", "number"),
    [
        ("benders-mip:max_rounds=1", random_problem, 739),
        ("exact-mip", random_problem, 502718),
        ("exact-mip", random_limited_problem, 503541),
        ("benders-mip:max_rounds=1,solver=highs", random_problem, 739),
        ("exact-mip:solver=highs", random_problem, 502718),
        ("exact-mip:solver=highs", random_limited_problem, 503541),
        ("guess-bottleneck:solver=highs", random_limited_problem, 503541),
    ],
)
def test_the_optimum_is_kept_whatever_the_seed(entry: str, drawn: Callable[[int], Problem], number: int) -> None:
    # With its pool of cuts HiGHS calls these programs optimal at up to 1.29 times their optimum, or infeasible: with
    # bottlenecks of about 1 the first two for every fifth seed and three of four; with those of about 1,024 the
    # third for two of five.
    problem = drawn(number)
    optimum = brute_force_optimum(problem)
    for seed in (number, *range(20)):
        outcome, board = run_entry(registry.create(entry), problem, seed=seed)
        assert not board.contradictions, f"seed {seed}"
        assert outcome.dual is not None
        assert 0.99 * optimum * entry.startswith("exact-mip") <= outcome.dual.value <= optimum, f"seed {seed}"
