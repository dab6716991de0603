"""weave improves what it is given, the same way for the same seed, keeps hard limits, and ends when told."""

from __future__ import annotations

import numpy as np
import pytest

from framework.bounds import Limit, Reason
from framework.errors import UserError
from framework.model.instance import Instance, instance_from_lists
from framework.model.problem import Problem, obeys
from framework.portfolio.context.local import run_entry
from framework.registry import load_plugins, registry
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import (
    random_layered_instance,
    random_limited_problem,
    random_problem,
    random_unequal_problem,
)
from strategies.weave import Weave, WeaveTuning

load_plugins()


def test_it_finds_the_optimum_of_small_problems() -> None:
    optimal = 0
    for seed in range(40_000, 40_060):
        problem = random_problem(seed)
        optimum = brute_force_optimum(problem)
        _, board = run_entry(registry.create("weave:patience=20"), problem)
        assert board.interval.incumbent is not None
        assert board.interval.incumbent >= optimum
        optimal += board.interval.incumbent == optimum
    assert optimal >= 58


def test_it_finds_the_optimum_on_unequal_stages() -> None:
    optimal = known = 0
    for seed in range(60):
        problem = random_unequal_problem(seed)
        optimum = brute_force_optimum(problem)
        _, board = run_entry(registry.create("weave:patience=20"), problem)
        assert not board.over_limit
        if board.interval.incumbent is not None:
            assert board.interval.incumbent >= optimum
            known += 1
            optimal += board.interval.incumbent == optimum
    assert known >= 40
    assert optimal >= known - 3


def test_the_least_patience_weaves_once() -> None:
    problem = Problem(instance=random_layered_instance(9, 40), stages=4)
    outcome, _ = run_entry(registry.create("weave:patience=1"), problem)
    assert outcome.details["woven"] >= 1


def test_it_keeps_hard_limits() -> None:
    found = 0
    for seed in range(41_000, 41_060):
        problem = random_limited_problem(seed)
        outcome, board = run_entry(registry.create("weave:patience=10"), problem)
        assert not board.over_limit
        if outcome.incumbent is not None:
            assert obeys(problem, outcome.incumbent.partition)
            found += 1
    assert found > 20


def two_chains(height: int) -> Instance:
    """Return two chains of unequal nodes between a source and a sink."""
    rng = np.random.default_rng(8)
    first, second = list(range(1, height + 1)), list(range(height + 1, 2 * height + 1))
    tensors = [(0, 5, [first[0], second[0]]), (first[-1], 30, [2 * height + 1]), (second[-1], 30, [2 * height + 1])]
    for hierarchy in (first, second):
        tensors += [
            (u, int(cost), [u + 1]) for u, cost in zip(hierarchy, rng.integers(5, 60, height - 1), strict=False)
        ]
    work = rng.integers(1, 100, 2 * height + 2).tolist()
    return instance_from_lists(work, tensors)


def test_of_two_chains_it_finds_what_no_slicing_has() -> None:
    problem = Problem(instance=two_chains(80), stages=9)
    _, board = run_entry(registry.create("slice-graph"), problem)
    sliced = board.interval.incumbent
    outcome, board = run_entry(registry.create("weave:patience=40"), problem, board=board)
    _, exact = run_entry(registry.create("ideal-dp"), problem)
    assert sliced is not None
    assert exact.interval.incumbent is not None
    assert board.interval.incumbent == exact.interval.incumbent < sliced
    assert outcome.termination.reason is Reason.FINISHED
    assert not board.contradictions


def test_the_same_seed_gives_the_same_partition() -> None:
    problem = Problem(instance=random_layered_instance(5, 300, width=5), stages=8)
    entry = registry.create("weave:patience=8,max_ideals=5000")
    first, second = (run_entry(entry, problem, seed=7)[0] for _ in range(2))
    assert first.incumbent is not None
    assert second.incumbent is not None
    assert np.array_equal(first.incumbent.partition.stage_of, second.incumbent.partition.stage_of)
    assert first.details == second.details


def test_large_graphs_are_coarsened_in_two_steps() -> None:
    tuning = WeaveTuning(redrawn_from=150, drawings=3, sizes=(40, 80))
    problem = Problem(instance=random_layered_instance(11, 500, width=7), stages=8)
    _, board = run_entry(registry.create("slice-graph"), problem)
    sliced = board.interval.incumbent
    _, board = run_entry(Weave(patience=10, max_ideals=4000, tuning=tuning), problem, board=board)
    assert sliced is not None
    assert board.interval.incumbent is not None
    assert board.interval.incumbent <= sliced
    assert not board.rejected


def test_it_says_when_time_was_up() -> None:
    problem = Problem(instance=random_layered_instance(5, 300, width=5), stages=8)
    outcome, _ = run_entry(registry.create("weave"), problem, seconds=0)
    assert outcome.termination.reason is Reason.LIMIT
    assert outcome.termination.limit is Limit.TIME


def test_parameters_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="max_ideals"):
        Weave(max_ideals=1)
    with pytest.raises(UserError):
        registry.create("weave:patience=0")
