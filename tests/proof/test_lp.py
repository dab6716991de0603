"""The linear model of groups: every partition keeps to every row, and rows that are none are refused."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import pytest

from framework.model.instance import instance_from_lists
from framework.model.problem import Problem
from framework.proof.check import proven_by
from framework.proof.lp import lp_dual
from framework.proof.problem import PlainProblem, RefusedError, plain_problem
from framework.proof.stages import stage_windows
from framework.testing.brute_force import brute_force_optimum
from framework.testing.linear import all_rows, lp_step
from tests.proof.cases import DRAWN, drawn_problems


def partitions(problem: PlainProblem, most: int) -> Iterator[tuple[list[int], int]]:
    """Yield all partitions of a bottleneck within a threshold, without empty stages in between, and what they cost."""
    for stage_of in product(range(problem.filled), repeat=problem.n):
        if set(stage_of) == set(range(max(stage_of) + 1)):
            try:
                cost = problem.bottleneck(stage_of)
            except RefusedError:
                continue
            if cost <= most:
                yield list(stage_of), cost


def value(problem: PlainProblem, data: Mapping[str, Any], column: tuple[str, int, int], stage_of: list[int]) -> int:
    """Return what a column is for a partition, by its meaning."""
    what, j, i = column
    sizes: list[int] = data["sizes"]
    group_of = [g for g, size in enumerate(sizes) for _ in range(size)]
    group = [group_of[s] for s in stage_of]
    if what == "node":
        return int(group[i] < j)
    if what == "over":
        held = sum(p for v, p in enumerate(problem.parameters) if group[v] == j)
        held += sum(q.cost for q in problem.shared if any(group[v] == j for v in q.users))
        return max(0, held - sizes[j] * problem.capacity)
    if what == "held":
        return int(any(group[v] == j for v in data["shared"][i]))
    producer, *readers = data["tensors"][i]
    if what == "done":
        return int(all(group[v] < j for v in readers))
    here = any(group[v] == j for v in readers)
    return int(
        group[producer] == j and max(group[v] for v in readers) > j if what == "out" else here and group[producer] != j
    )


def test_every_partition_within_the_threshold_keeps_to_every_row() -> None:
    rng, checked, kinds = random.Random(1), 0, set[int]()
    for seed in range(60):
        drawn = DRAWN[seed % len(DRAWN)](seed, 5)
        if drawn.stages > 3 or drawn.instance.stage_limit is not None:
            continue
        problem, optimum = plain_problem(drawn.instance, drawn.stages), brute_force_optimum(drawn)
        step = lp_step(problem, threshold := optimum + rng.randrange(1 + optimum // 2), rng)
        assert step is not None
        points = list(partitions(problem, threshold))
        for added in all_rows(problem, step.data, stage_windows(problem, threshold)):
            for stage_of, cost in points:
                left = sum(f * value(problem, step.data, column, stage_of) for column, f in added.factor.items())
                assert left + added.constant <= added.weight * cost, (problem, step.data, added.row, stage_of)
                checked += 1
            kinds.add(added.row[0])
    assert checked > 1000
    assert kinds == set(range(8))


def test_multipliers_prove_no_more_than_the_optimum_and_often_that() -> None:
    rng, tight = random.Random(2), 0
    for _, problem, optimum in drawn_problems(30, first=800):
        step = lp_step(problem, optimum - 1, rng)
        if step is None:
            continue
        proven = proven_by(problem, [step])
        assert proven <= optimum
        tight += proven == optimum
    assert tight > 8


CHAIN = plain_problem(
    Problem(instance=instance_from_lists([5, 4, 4, 5], [(0, 3, [1, 2]), (1, 1, [3]), (2, 1, [3])]), stages=3).instance,
    3,
)
DATA: dict[str, Any] = {"sizes": [1, 1, 1], "tensors": [[0, 1, 2], [1, 3], [2, 3]], "shared": []}
COSTS = [1, 0, 0, 1, 0, 1, 1, 0, 2]


def test_costs_of_all_groups_add_up_to_the_average() -> None:
    without = DATA | {"tensors": []}
    assert lp_dual(CHAIN, 17, **without, tree=[COSTS]) == (6, "1 vertices")
    # Windows hold up to the threshold alone.
    assert lp_dual(CHAIN, 5, **without, tree=[COSTS])[0] == 6
    # What goes from one group to the next is between 0 and 1 only with the rows that say so.
    assert lp_dual(CHAIN, 17, **DATA, tree=[COSTS])[0] < 6


def test_a_branch_narrows_windows_before_and_after() -> None:
    without = DATA | {"tensors": []}
    # With node 1 in the first group node 0 is; if it is in the last one, so is node 3, with a work of 9.
    first, last = [1, 0, 0], [1, 0, 2]
    assert lp_dual(CHAIN, 17, **without, tree=[[1, 1], first, [1, 2], COSTS, last])[0] == 6
    assert lp_dual(CHAIN, 17, **without, tree=[[1, 1], first, [1, 1], [], COSTS])[0] == 6


@pytest.mark.parametrize(
    "row",
    [
        [1],
        [-1, 0, 0],
        [1, 8, 0],
        [1, -1, 0],
        [1, 0, 3],
        [1, 0],
        [1, 3, 1, 1, 2],
        [1, 4, 1, 0, 3],
        [1, 6, 1, 1, 2],
        [1, 7, 0, 0, 0],
    ],
)
def test_rows_that_are_none_are_refused(row: list[int]) -> None:
    with pytest.raises(RefusedError):
        lp_dual(CHAIN, 17, **DATA, tree=[[*COSTS, *row]])


@pytest.mark.parametrize(
    "change",
    [
        {"sizes": [1, 1]},
        {"sizes": [3, 0]},
        {"sizes": []},
        {"tensors": [[0, 1]]},
        {"tensors": [[1, 3], [1, 3]]},
        {"tensors": [[]]},
        {"shared": [[0, 1]]},
        {"tree": []},
        {"tree": [[]]},
        {"tree": [COSTS, COSTS]},
        {"tree": [[0, 1], COSTS]},
        {"tree": [[4, 1], COSTS, COSTS]},
        {"tree": [[0, 4], COSTS, COSTS]},
        {"threshold": -1},
    ],
)
def test_a_model_of_something_else_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(RefusedError):
        lp_dual(CHAIN, **(DATA | {"threshold": 17, "tree": [COSTS]} | change))
