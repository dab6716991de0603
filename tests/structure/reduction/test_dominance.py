"""Exact reductions keep the optimum, relaxing ones never raise it, and both bite where they should."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.formats import read_graph
from framework.model.instance import Instance, instance_from_lists
from framework.model.pricing import price
from framework.model.problem import Partition, Problem, bottleneck
from framework.model.shared import shared_by
from framework.structure.reduction.contraction import contract, lift
from framework.structure.reduction.dominance import reduce_exact, reduce_relaxing
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_instance, random_layered_instance, random_shared_problem

seeds = st.integers(0, 2**32 - 1)


def _clingy_instance(seed: int) -> Instance:
    """Return an instance whose tensors often outweigh its nodes, so that much of it is dominated."""
    rng = np.random.default_rng([seed, 7])
    n = int(rng.integers(4, 9))
    reach = int(rng.integers(1, 5))
    cheap = float(rng.choice([0.2, 0.5, 0.8]))

    def cost() -> int:
        return int(rng.integers(0, 4)) if rng.random() < cheap else int(rng.integers(0, 20))

    tensors = []
    for u in range(n - 1):
        for _ in range(int(rng.integers(1, 4))):
            size = int(rng.integers(1, 3))
            consumers = set(rng.integers(u + 1, min(n, u + 1 + reach), size).tolist())
            tensors.append((u, int(rng.integers(0, 25)), sorted(consumers)))
    parameters = [cost() for _ in range(n)]
    capacity = int(rng.integers(0, sum(parameters) + 2))
    return instance_from_lists([cost() for _ in range(n)], tensors, parameter_cost=parameters, capacity=capacity)


def _optima(instance: Instance) -> list[int]:
    return [brute_force_optimum(Problem(instance=instance, stages=k)) for k in range(1, 5)]


def _ideals(instance: Instance) -> int:
    top = instance.topology
    needs = [sum(1 << int(u) for u in top.preds[top.pred_ptr[v] : top.pred_ptr[v + 1]]) for v in range(instance.n)]
    found, last = {0}, {0}
    while last:
        last = {s | 1 << v for s in last for v in range(instance.n) if not s >> v & 1 and not needs[v] & ~s}
        found |= last
    return len(found)


@given(seeds)
@settings(max_examples=300, derandomize=True, deadline=None)
def test_the_optimum_stays(seed: int) -> None:
    instance = random_instance(seed, 8)
    assert _optima(reduce_exact(instance)) == _optima(instance)


@given(seeds)
@settings(max_examples=350, derandomize=True, deadline=None)
def test_the_optimum_stays_where_much_is_dominated(seed: int) -> None:
    instance = _clingy_instance(seed)
    assert _optima(reduce_exact(instance)) == _optima(instance)


def _sharing_instance(seed: int) -> Instance:
    """Return a clingy instance in which neighbours often use the same parameters."""
    rng = np.random.default_rng([seed, 8])
    instance = _clingy_instance(seed)
    n = instance.n
    rows = []
    for _ in range(int(rng.integers(1, 5))):
        first, size = int(rng.integers(0, n - 1)), int(rng.integers(2, 4))
        rows.append(list(range(first, min(n, first + size))) if rng.random() < 0.7 else rng.permutation(n)[:3].tolist())
    costs = rng.integers(0, 20, len(rows)).astype(np.int64)
    shared = replace(instance, shared=shared_by(rows), shared_cost=costs)
    capacity = int(rng.integers(0, shared.total_parameter_cost + 2))
    return contract(replace(shared, capacity=capacity), np.arange(n))


@given(seeds)
@settings(max_examples=500, derandomize=True, deadline=None)
def test_the_optimum_stays_where_parameters_are_shared(seed: int) -> None:
    problem = random_shared_problem(seed)
    reduced = problem.on(reduce_exact(problem.instance))
    optimum, remaining = brute_force_optimum(problem), brute_force_optimum(reduced)
    # Above the largest cost no partition obeys the limit.
    assert (
        remaining > reduced.instance.largest_cost if optimum > problem.instance.largest_cost else remaining == optimum
    )


@given(seeds)
@settings(max_examples=300, derandomize=True, deadline=None)
def test_the_optimum_stays_where_neighbours_share(seed: int) -> None:
    instance = _sharing_instance(seed)
    assert _optima(reduce_exact(instance)) == _optima(instance)


def test_a_node_pays_for_no_parameter_of_its_target() -> None:
    # 0 uses a parameter of 50 ticks, as 1 does; with 2 instead it costs more than its tensor.
    tensors = [(0, 3, [1]), (1, 2, [2])]
    for users, groups in (([0, 1], [0, 0, 1]), ([0, 2], [0, 1, 2])):
        instance = instance_from_lists([2, 9, 9], tensors, capacity=10, shared=[(50, users)])
        assert _groups(instance) == groups


def test_these_tests_reduce_and_overflow_a_lot() -> None:
    given_instances = [_clingy_instance(seed) for seed in range(200)]
    sizes = [(instance.n, reduce_exact(instance).n) for instance in given_instances]
    assert sum(after for _, after in sizes) < 0.75 * sum(before for before, _ in sizes)
    overflowing = [instance for instance in given_instances if instance.can_overflow]
    assert sum(reduce_exact(instance).n < instance.n for instance in overflowing) > 80


@given(seeds, st.sampled_from([0.0, 0.05, 0.3, 1.0]))
@settings(max_examples=150, derandomize=True, deadline=None)
def test_relaxing_gives_a_bound_and_a_partition(seed: int, share: float) -> None:
    instance = _clingy_instance(seed)
    relaxed = reduce_relaxing(instance, share)
    assert relaxed.instance.total_work == instance.total_work - relaxed.lowered
    assert relaxed.lowered <= share * instance.total_work
    for k, optimum in enumerate(_optima(instance), start=1):
        bound = brute_force_optimum(Problem(instance=relaxed.instance, stages=k))
        assert bound <= optimum
        assert bound == optimum or relaxed.lowered
        chain = Partition(stage_of=np.minimum(np.arange(relaxed.instance.n, dtype=np.int64), k - 1))
        lifted = lift(chain, relaxed.instance)
        assert bottleneck(Problem(instance=instance, stages=k), lifted) >= optimum


@given(seeds)
@settings(max_examples=50, derandomize=True, deadline=None)
def test_a_reduced_instance_reduces_no_further(seed: int) -> None:
    reduced = reduce_exact(_clingy_instance(seed))
    assert reduce_exact(reduced).sha256() == reduced.sha256()


def _groups(instance: Instance) -> list[int]:
    return [int(v) for v in reduce_exact(instance).node_of_input]


def test_pull_down() -> None:
    # 0 has work 2 and feeds 1 alone through 3 ticks; 1 outweighs what it could save.
    tensors = [(0, 3, [1]), (1, 2, [2])]
    assert _groups(instance_from_lists([2, 9, 9], tensors)) == [0, 0, 1]
    assert _groups(instance_from_lists([4, 9, 9], tensors)) == [0, 1, 2]


def test_pull_down_needs_all_other_successors_below() -> None:
    tensors = [(0, 9, [1]), (0, 1, [2]), (1, 1, [2])]
    assert _groups(instance_from_lists([2, 20, 20], tensors)) == [0, 0, 1]
    assert _groups(instance_from_lists([2, 20, 20], tensors[:2])) == [0, 1, 2]


def test_push_up() -> None:
    # 1 has work 2 and output 1, and gets 3 ticks or more from 0 alone.
    tensors = [(0, 3, [1]), (1, 1, [2])]
    assert _groups(instance_from_lists([9, 2, 9], tensors)) == [0, 0, 1]
    assert _groups(instance_from_lists([9, 3, 9], tensors)) == [0, 1, 2]


def test_push_up_counts_what_comes_from_further_up() -> None:
    shape = [(0, 1, [1]), (1, 6, [2]), (2, 1, [3])]
    assert _groups(instance_from_lists([9, 9, 2, 9], [*shape, (0, 3, [2])])) == [0, 1, 1, 2]
    assert _groups(instance_from_lists([9, 9, 2, 9], [*shape, (0, 4, [2])])) == [0, 1, 2, 3]
    # A tensor that 1 consumes as well is there already.
    assert _groups(instance_from_lists([9, 9, 2, 9], [*shape, (0, 4, [1, 2])])) == [0, 1, 1, 2]


def test_parameters_count_only_where_they_can_overflow() -> None:
    tensors = [(0, 3, [1]), (1, 2, [2])]
    for capacity, groups in ((10, [0, 0, 1]), (9, [0, 1, 2])):
        instance = instance_from_lists([2, 9, 9], tensors, parameter_cost=[2, 4, 4], capacity=capacity)
        assert _groups(instance) == groups


def test_zero_sinks() -> None:
    shared = [(0, 7, [1, 2]), (1, 1, [3])]
    assert _groups(instance_from_lists([9, 9, 0, 9], shared)) == [0, 1, 0, 2]
    assert _groups(instance_from_lists([9, 9, 1, 9], shared)) == [0, 1, 2, 3]


def test_a_chain_collapses_in_one_round() -> None:
    # Every node is pulled down by a tensor that outweighs it and the one before.
    chain = instance_from_lists([1] * 50, [(v, 5 + v, [v + 1]) for v in range(49)])
    answers = iter([False] * 2 + [True] * 10)
    assert reduce_exact(chain, should_stop=lambda: next(answers)).n == 1


def test_stopped_at_once_it_is_still_valid() -> None:
    instance = _clingy_instance(3)
    stopped = reduce_exact(instance, should_stop=lambda: True)
    assert stopped.n == instance.n
    assert _optima(stopped) == _optima(instance)


def test_negative_share_is_refused() -> None:
    with pytest.raises(ValueError, match="epsilon_share"):
        reduce_relaxing(random_instance(1), -0.1)


def test_large_graphs_keep_the_cost_of_lifted_partitions() -> None:
    instance = random_layered_instance(2, 3000, width=6, capacity_share=0.05)
    reduced = reduce_exact(instance)
    assert reduced.n < instance.n
    stages = np.arange(reduced.n, dtype=np.int64) * 8 // reduced.n
    here = bottleneck(Problem(instance=reduced, stages=8), Partition(stage_of=stages))
    there = bottleneck(Problem(instance=instance, stages=8), lift(Partition(stage_of=stages), reduced))
    assert here == there


@pytest.mark.parametrize(
    ("file", "nodes", "ideals"),
    [
        ("LayerGraphs/bert24", (32, 27), 28),
        ("LayerGraphs/gnmt", (96, 54), 79),
        ("OperatorGraphs/resnet50", (604, 82), 95),
        ("OperatorGraphs/bert_l-12", (783, 242), 3558),
    ],
)
def test_published_graphs(shared_data: Path, file: str, nodes: tuple[int, int], ideals: int) -> None:
    instance = price(read_graph(shared_data / "dnn-partitioning" / f"{file}_inference.json"))
    reduced = reduce_exact(instance)
    assert (instance.n, reduced.n) == nodes
    assert _ideals(reduced) == ideals
