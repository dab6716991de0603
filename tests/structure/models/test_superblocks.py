"""Superblock models: exact with single stages, relaxations otherwise, and the same in assignment variables."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import OutOfTimeError
from framework.model.problem import Partition, Problem, bottleneck
from framework.structure.models.superblocks import SuperblockModel, SuperblockParts
from framework.structure.models.superblocks_assignment import AssignmentModel
from framework.structure.models.superblocks_layout import Layout, bottleneck_layout, even_layout, guess_layout
from framework.structure.models.superblocks_solve import Answer, Effort, Question, Solver, ask, partition_of_groups
from framework.structure.primal.initial_interval import simple_bound
from framework.structure.solvers.linear_model import ONE, ZERO, ModelBuilder
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_layered_instance, random_problem, random_unequal_problem

EFFORT = Effort(remaining=lambda: 60.0, should_stop=lambda: False)


def solve(
    problem: Problem,
    layout: Layout,
    upper: int,
    *,
    solver: Solver = "cp-sat",
    minimise: bool = True,
    windows: bool = False,
) -> Answer:
    parts = SuperblockParts(problem.instance)
    fixed = parts.windows.at(problem.useful_stages, upper) if windows else None
    return ask(parts, layout, Question(upper=upper, minimise=minimise, windows=fixed), solver=solver, effort=EFFORT)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), windows=st.booleans())
def test_single_stages_are_exact_and_merging_them_only_relaxes(seed: int, windows: bool) -> None:
    problem = random_problem(seed)
    optimum, k = brute_force_optimum(problem), problem.useful_stages
    bounds = []
    for groups in range(1, k + 1):
        bound = solve(problem, even_layout(k, groups), optimum, windows=windows).solution.bound
        assert bound is not None
        assert bound <= optimum
        bounds.append(bound)
    for layout in (bottleneck_layout(k), *(guess_layout(k, b) for b in range(k))):
        bound = solve(problem, layout, optimum).solution.bound
        assert bound is not None
        assert bound <= optimum
    if optimum < 1 << 20:
        # Fine ticks: nothing was coarsened.
        assert bounds[-1] == optimum
        assert bounds[-1] >= max(bounds)
        if k > 1:
            finer = Layout(sizes=(1,) * (k - 2) + (2,))
            assert bounds[0] <= (solve(problem, finer, optimum, windows=windows).solution.bound or 0) <= optimum


@settings(derandomize=True, deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), windows=st.booleans())
def test_unequal_stages_are_priced_each(seed: int, windows: bool) -> None:
    problem = random_unequal_problem(seed)
    if problem.instance.stage_limit is not None:
        return
    optimum, k = brute_force_optimum(problem), problem.stages
    answer = solve(problem, even_layout(k, k), optimum, windows=windows)
    assert answer.groups is not None
    assert answer.solution.bound is not None
    assert answer.solution.bound <= optimum
    if optimum < 1 << 20:
        assert answer.solution.bound == optimum
        assert bottleneck(problem, Partition(stage_of=answer.groups)) == optimum
    if k > 1:
        with pytest.raises(ValueError, match="a group each"):
            solve(problem, even_layout(k, k - 1), optimum)


def test_the_work_of_unequal_stages_is_not_minimised() -> None:
    problem = next(p for p in map(random_unequal_problem, range(99)) if p.stages == 3)
    with pytest.raises(ValueError, match="no common work"):
        SuperblockModel(
            SuperblockParts(problem.instance), even_layout(3, 3), upper=99, minimise=False, least_work_of=(0,)
        )


@settings(derandomize=True, deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6))
def test_a_threshold_below_the_optimum_has_no_solution_and_the_optimum_has_one(seed: int) -> None:
    problem = random_problem(seed)
    optimum, k = brute_force_optimum(problem), problem.useful_stages
    layout = even_layout(k, k)
    answer = solve(problem, layout, optimum, minimise=False, windows=True)
    assert answer.groups is not None
    if optimum < 1 << 20:
        assert bottleneck(problem, Partition(stage_of=answer.groups)) == optimum
        if optimum > simple_bound(problem):
            assert solve(problem, layout, optimum - 1, minimise=False).solution.status == "infeasible"


@pytest.mark.parametrize("solver", ["highs", "scip"])
def test_floating_solvers_agree_with_the_exact_one_within_their_discount(solver: Solver) -> None:
    for seed in range(2):
        problem = Problem(instance=random_layered_instance(seed, 14, capacity_share=0.3), stages=4)
        upper = bottleneck(problem, Partition(stage_of=np.zeros(14, np.int64)))
        for layout in (even_layout(4, 2), even_layout(4, 4), guess_layout(4, 1), bottleneck_layout(4)):
            exact = solve(problem, layout, upper).solution.bound
            floating = solve(problem, layout, upper, solver=solver).solution.bound
            assert exact is not None
            assert floating is not None
            assert exact - 1 <= floating <= exact


def test_assignment_variables_have_the_same_solutions() -> None:
    for seed in range(6):
        problem = Problem(instance=random_layered_instance(seed, 12), stages=3)
        upper = bottleneck(problem, Partition(stage_of=np.zeros(12, np.int64)))
        parts = SuperblockParts(problem.instance)
        windows = parts.windows.at(3, upper // 2)
        question = Question(upper=upper // 2, minimise=True, windows=windows)
        plain, rewritten = (
            ask(parts, even_layout(3, 3), question, solver="highs", effort=EFFORT, assignment=assignment)
            for assignment in (False, True)
        )
        assert plain.solution.status == rewritten.solution.status
        assert plain.solution.bound == rewritten.solution.bound
        if rewritten.groups is not None:
            assert bottleneck(problem, Partition(stage_of=rewritten.groups)) <= upper // 2


def test_rewriting_a_model_ends_with_the_time() -> None:
    problem = Problem(instance=random_layered_instance(1, 12), stages=3)
    upper = simple_bound(problem) * 3
    model = SuperblockModel(SuperblockParts(problem.instance), even_layout(3, 3), upper=upper, minimise=True)
    looks = 0

    def stops(last: int) -> bool:
        nonlocal looks
        looks += 1
        return looks == last

    AssignmentModel(model, should_stop=lambda: stops(0))
    most, looks = looks, 0
    assert most > 2
    for last in range(1, most + 1):
        looks = 0
        with pytest.raises(OutOfTimeError):
            AssignmentModel(model, should_stop=partial(stops, last))


def test_a_coarse_model_never_claims_more() -> None:
    for seed in range(20):
        problem = random_problem(seed)
        optimum, k = brute_force_optimum(problem), problem.useful_stages
        parts = SuperblockParts(problem.instance)
        for unit in (1, 3, 17):
            model = SuperblockModel(parts, even_layout(k, k), upper=optimum, minimise=True, unit=unit)
            assert not model.model.infeasible
            from framework.structure.solvers.cp_sat import solve_cp

            bound = solve_cp(model.model, seconds=20.0).bound
            assert bound is not None
            assert bound * unit <= optimum


def test_limits_on_prefixes_cut_off_only_what_breaks_them() -> None:
    problem = Problem(instance=random_layered_instance(2, 12), stages=2)
    work = problem.instance.work
    upper, total = bottleneck(problem, Partition(stage_of=np.zeros(12, np.int64))), int(work.sum())
    parts = SuperblockParts(problem.instance)
    for least, most in ((0, total), (total // 3, total // 2), (total, total)):
        limits = np.array([0, least, total]), np.array([0, most, total])
        question = Question(upper=upper, minimise=True, prefix_work=limits)
        answer = ask(parts, even_layout(2, 2), question, solver="cp-sat", effort=EFFORT)
        assert answer.groups is not None
        assert least <= int(work[answer.groups == 0].sum()) <= most


def test_layouts() -> None:
    assert even_layout(7, 3).sizes == (2, 3, 2)
    assert even_layout(3, 9).sizes == (1, 1, 1)
    assert guess_layout(5, 0).sizes == (1, 4)
    assert guess_layout(5, 2).sizes == (2, 1, 2)
    assert guess_layout(1, 0).sizes == (1,)
    problem = Problem(instance=random_layered_instance(0, 8), stages=3)
    parts = SuperblockParts(problem.instance)
    windows = parts.windows.at(3, int(problem.instance.work.sum()))
    with pytest.raises(ValueError, match="no windows"):
        SuperblockModel(parts, bottleneck_layout(3), upper=100, minimise=True, windows=windows)


def test_groups_become_partitions() -> None:
    problem = Problem(instance=random_layered_instance(5, 16), stages=4)
    one = np.zeros(16, np.int64)
    upper = bottleneck(problem, Partition(stage_of=one))
    groups = (np.arange(16) >= 8).astype(np.int64)
    found = partition_of_groups(problem, groups, upper=upper)
    assert found is not None
    assert bottleneck(problem, found) < upper
    assert partition_of_groups(problem, groups[::-1].copy(), upper=upper) is None


def test_a_row_may_name_constants() -> None:
    builder = ModelBuilder()
    x, y = builder.add_columns(2).tolist()
    terms = [(np.array([x, ONE, ZERO]), 1), (np.array([ONE, ZERO, y]), 2), (np.array([x, x, y]), 3)]
    builder.add_rows(terms, upper=4)
    model = builder.build()
    # x + 2 + 3x <= 4 stays, 1 + 3x <= 4 and 5y <= 4: the second cannot be broken.
    assert model.rows == 2
    assert model.factor.tolist() == [4, 5]
    assert model.row_upper.tolist() == [2, 4]
    assert not model.infeasible
    builder.add_rows([(np.array([ONE]), 1)], upper=0)
    assert builder.build().infeasible
