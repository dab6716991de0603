"""Moves keep costs as the evaluator has them, and can be taken back."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from itertools import count

import numpy as np
import pytest

from framework.model.problem import Partition, Problem, obeys, stage_costs
from framework.structure.primal.initial_interval import balanced_partition
from framework.structure.primal.moves import Walk, move_node, nodes_of, obeys_limit, span, stand_at, walk_of
from framework.testing.instances import (
    random_in_flight_problem,
    random_memory_problem,
    random_shared_problem,
    random_unequal_problem,
    random_workset_problem,
)

DRAWS = [
    random_shared_problem,
    random_memory_problem,
    random_workset_problem,
    random_unequal_problem,
    random_in_flight_problem,
]
SEEDS = 60


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_move_and_its_reverse(draw: Callable[[int], Problem], seed: int) -> None:
    # On unequal devices a start may use a stage that a walk does not have, where there are fewer nodes than stages.
    problem = next(filter(starts_within_useful_stages, map(draw, count(seed, SEEDS))))
    rng = np.random.default_rng(seed)
    nodes = nodes_of(problem)
    walk = walk_of(problem, nodes)
    start = balanced_partition(problem)
    stand_at(start, problem, nodes, walk)
    for _ in range(20):
        v = int(rng.integers(problem.instance.n))
        low, high = span(v, nodes, walk)
        before, home = deepcopy(walk), int(walk.stage[v])
        there = int(rng.integers(low, high + 1))
        if there == home:
            continue
        move_node(v, there, nodes, walk)
        partition = Partition(stage_of=walk.stage.copy())
        assert np.array_equal(walk.cost, stage_costs(problem, partition).total[: len(walk.cost)])
        again = walk_of(problem, nodes)
        stand_at(partition, problem, nodes, again)
        assert same(walk, again)
        if problem.instance.stage_limit is not None:
            fits = all(obeys_limit(b, nodes, walk) for b in np.unique(walk.stage).tolist())
            assert fits == obeys(problem, partition)
        move_node(v, home, nodes, walk)
        assert same(walk, before)
        move_node(v, there, nodes, walk)


def starts_within_useful_stages(problem: Problem) -> bool:
    return int(balanced_partition(problem).stage_of.max()) < problem.useful_stages


def same(one: Walk, other: Walk) -> bool:
    """Whether two walks stand at the same partition with the same costs."""
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in Walk._fields)
