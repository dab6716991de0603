"""Coarsening: the result is a contraction that keeps the partition, its cost and the limits asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import OutOfTimeError
from framework.model.instance import instance_from_lists
from framework.model.problem import Partition, Problem, bottleneck, stage_costs
from framework.structure.primal.initial_interval import balanced_partition
from framework.structure.reduction.coarsening import coarsen
from framework.structure.reduction.contraction import lift
from framework.testing.instances import random_layered_instance

SEEDS = st.integers(0, 2**32 - 1)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(SEEDS)
def test_the_partition_and_all_others_keep_their_cost(seed: int) -> None:
    rng = np.random.default_rng([seed, 8])
    instance = random_layered_instance(seed, int(rng.integers(2, 90)), width=int(rng.integers(1, 12)))
    problem = Problem(instance=instance, stages=int(rng.integers(1, 6)))
    start = balanced_partition(problem)
    nodes = int(rng.integers(1, instance.n + 1))
    coarse, kept = coarsen(instance, start, nodes=nodes, heaviest=1 << 60, random=rng)
    assert coarse.topology.is_topological
    stage_of = np.empty(coarse.n, np.int64)
    stage_of[coarse.node_of_input] = start.stage_of
    assert np.array_equal(stage_of[coarse.node_of_input], start.stage_of)
    assert np.array_equal(kept.stage_of, stage_of)
    smaller = Problem(instance=coarse, stages=problem.stages)
    assert bottleneck(smaller, Partition(stage_of=stage_of)) == bottleneck(problem, start)
    other = Partition(stage_of=np.sort(rng.integers(problem.stages, size=coarse.n)))
    expected = stage_costs(problem, lift(other, coarse)).total
    assert np.array_equal(stage_costs(smaller, other).total, expected)


def test_a_chain_shrinks_to_what_was_asked_for() -> None:
    n = 64
    instance = instance_from_lists(work=[1] * n, tensors=[(v, 1, [v + 1]) for v in range(n - 1)])
    together = Partition(stage_of=np.zeros(n, np.int64))
    for nodes in (50, 20, 1):
        coarse, _ = coarsen(instance, together, nodes=nodes, heaviest=n, random=np.random.default_rng(0))
        assert coarse.n == nodes
    halves = Partition(stage_of=np.repeat([0, 1], n // 2))
    assert coarsen(instance, halves, nodes=1, heaviest=n, random=np.random.default_rng(0))[0].n == 2
    light, _ = coarsen(instance, together, nodes=1, heaviest=4, random=np.random.default_rng(0))
    assert light.work.max() <= 4
    assert light.n < n / 2


def test_siblings_are_paired() -> None:
    instance = instance_from_lists(work=[9] + [1] * 8, tensors=[(0, 5, list(range(1, 9)))])
    together = Partition(stage_of=np.zeros(9, np.int64))
    coarse, _ = coarsen(instance, together, nodes=2, heaviest=8, random=np.random.default_rng(0))
    assert sorted(coarse.work.tolist()) == [8, 9]


def test_a_stop_is_obeyed() -> None:
    instance = random_layered_instance(1, 50)
    with pytest.raises(OutOfTimeError):
        coarsen(
            instance,
            Partition(stage_of=np.zeros(instance.n, np.int64)),
            nodes=10,
            heaviest=1 << 60,
            random=np.random.default_rng(0),
            should_stop=lambda: True,
        )
