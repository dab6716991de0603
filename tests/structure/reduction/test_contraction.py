"""Contraction keeps the cost of every partition that keeps the groups together, and forgets none of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.model import arrays as arrays_module
from framework.model.arrays import IntArray, ranks, row_pointers
from framework.model.instance import Instance, instance_from_lists
from framework.model.problem import Partition, Problem, stage_costs
from framework.model.topology import build_topology, stable_topological_order
from framework.structure.reduction.contraction import _smallest_first, compose, contract, lift
from framework.testing.brute_force import brute_force_optimum, stage_cost
from framework.testing.instances import random_instance, random_layered_instance

seeds = st.integers(0, 2**32 - 1)


def _random_partition(rng: np.random.Generator, instance: Instance, stages: int) -> Partition:
    top = instance.topology
    stage_of = np.zeros(instance.n, np.int64)
    for v in range(instance.n):
        preds = top.preds[top.pred_ptr[v] : top.pred_ptr[v + 1]]
        first = int(stage_of[preds].max()) if len(preds) else 0
        stage_of[v] = rng.integers(first, stages) if rng.random() < 0.5 else first
    return Partition(stage_of=stage_of)


def _tensors(instance: Instance) -> list[tuple[int, int, tuple[int, ...]]]:
    top = instance.topology
    return [
        (int(top.producer[t]), int(instance.tensor_cost[t]), tuple(top.consumers[a:b].tolist()))
        for t, (a, b) in enumerate(zip(top.consumer_ptr[:-1], top.consumer_ptr[1:], strict=True))
    ]


def _optimum_with_groups(instance: Instance, group: IntArray, stages: int) -> int:
    """The optimum over the chains of ideals that contain each group whole or not at all."""
    n = instance.n
    arcs = [(u, v) for u, _, consumers in _tensors(instance) for v in consumers]
    whole = [sum(1 << v for v in range(n) if group[v] == label) for label in set(group.tolist())]
    ideals = [
        s
        for s in range(1 << n)
        if all(s & g in (0, g) for g in whole) and all(s >> u & 1 or not s >> v & 1 for u, v in arcs)
    ]
    best = {0: 0}
    for _ in range(stages):
        reached = dict(best)
        for low, value in best.items():
            for high in ideals:
                if high & low == low and high != low:
                    cost = max(value, stage_cost(instance, high ^ low))
                    reached[high] = min(cost, reached.get(high, cost))
        best = reached
    return best[(1 << n) - 1]


def _check_form(result: Instance) -> None:
    rows = [(u, consumers) for u, _, consumers in _tensors(result)]
    assert result.topology.is_topological
    assert len(set(rows)) == len(rows)
    assert all(consumers and u not in consumers and list(consumers) == sorted(set(consumers)) for u, consumers in rows)


@given(seeds)
@settings(max_examples=400, derandomize=True, deadline=None)
def test_lifted_partitions_cost_the_same_stage_by_stage(seed: int) -> None:
    rng = np.random.default_rng(seed)
    instance = random_instance(seed, 12)
    reduced = contract(instance, rng.integers(-3, max(1, int(rng.integers(0, instance.n + 1))), instance.n))
    _check_form(reduced)
    stages = int(rng.integers(1, 6))
    partition = _random_partition(rng, reduced, stages)
    there = stage_costs(Problem(instance=reduced, stages=stages), partition)
    here = stage_costs(Problem(instance=instance, stages=stages), lift(partition, reduced))
    for part in ("work", "inbound", "outbound", "overflow"):
        assert getattr(there, part).tolist() == getattr(here, part).tolist()


@given(seeds)
@settings(max_examples=120, derandomize=True, deadline=None)
def test_no_partition_with_whole_groups_is_lost(seed: int) -> None:
    rng = np.random.default_rng(seed)
    instance = random_instance(seed, 8)
    group = rng.integers(0, instance.n, instance.n)
    reduced = contract(instance, group)
    for stages in (1, 2, 3):
        expected = _optimum_with_groups(instance, group, stages)
        assert brute_force_optimum(Problem(instance=reduced, stages=stages)) == expected


def test_large_groups_of_a_large_graph() -> None:
    rng = np.random.default_rng(5)
    instance = random_layered_instance(5, 2000, width=30, capacity_share=0.1)
    reduced = contract(instance, np.arange(2000) // 7)
    assert reduced.n == 286
    _check_form(reduced)
    problem, small = Problem(instance=instance, stages=9), Problem(instance=reduced, stages=9)
    partition = _random_partition(rng, reduced, 9)
    assert stage_costs(small, partition).total.tolist() == stage_costs(problem, lift(partition, reduced)).total.tolist()


def test_groups_on_a_cycle_are_condensed() -> None:
    chain = instance_from_lists([1, 2, 4, 8], [(0, 3, [1]), (1, 5, [2]), (2, 7, [3])])
    reduced = contract(chain, np.array([5, 9, 5, 4]))
    assert reduced.node_of_input.tolist() == [0, 0, 0, 1]
    assert reduced.work.tolist() == [7, 8]
    assert _tensors(reduced) == [(0, 7, (1,))]


def test_numbering_follows_labels_where_it_can_and_members_where_it_cannot() -> None:
    loose = instance_from_lists([1, 1, 1], [(0, 1, [2])])
    assert contract(loose, np.array([7, 2, 9])).node_of_input.tolist() == [1, 0, 2]
    assert contract(loose, np.array([9, 2, 7])).node_of_input.tolist() == [0, 1, 2]


def test_equal_tensors_merge_and_inner_ones_vanish() -> None:
    instance = instance_from_lists([1] * 4, [(0, 2, [1]), (0, 3, [2, 3]), (1, 10, [2]), (1, 20, [3])])
    reduced = contract(instance, np.array([0, 0, 2, 2]))
    assert _tensors(reduced) == [(0, 33, (1,))]


def test_free_dependencies_are_kept_only_where_nothing_implies_them() -> None:
    instance = instance_from_lists(
        [1] * 4,
        [(0, 5, [1]), (0, 0, [1, 2, 3]), (0, 0, [3]), (1, 0, [2]), (2, 0, [3]), (2, 4, [3])],
    )
    reduced = contract(instance, np.arange(4))
    # 0 -> 1 and 2 -> 3 are paid for, 0 -> 2 and 0 -> 3 have a longer path: only 1 -> 2 is left.
    assert sorted(_tensors(reduced)) == [(0, 5, (1,)), (1, 0, (2,)), (2, 4, (3,))]


def test_maps_compose() -> None:
    chain = instance_from_lists([1, 2, 4, 8], [(0, 3, [1]), (1, 5, [2]), (2, 7, [3])])
    first = contract(chain, np.array([0, 0, 1, 2]))
    both = compose(first, contract(first, np.array([0, 1, 1])))
    assert both.node_of_input.tolist() == [0, 0, 1, 1]
    assert both.work.tolist() == [3, 12]


def test_everything_in_one_group() -> None:
    instance = random_layered_instance(6, 40)
    reduced = contract(instance, np.full(40, -1))
    assert (reduced.n, reduced.m) == (1, 0)
    assert reduced.total_work == instance.total_work


def test_a_digest_collision_merges_nothing_that_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays_module, "scrambled", np.zeros_like)
    instance = instance_from_lists([1] * 4, [(0, 2, [1, 2]), (0, 3, [1, 3]), (0, 5, [1, 2]), (1, 1, [2]), (1, 1, [2])])
    costs: dict[tuple[int, tuple[int, ...]], int] = {}
    for u, cost, consumers in _tensors(instance):
        costs[u, consumers] = costs.get((u, consumers), 0) + cost
    assert costs == {(0, (1, 2)): 7, (0, (1, 3)): 3, (1, (2,)): 2}


@given(seeds)
@settings(deadline=None)
def test_groups_are_numbered_by_the_smallest_that_is_ready(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 30))
    arcs = sorted({(int(u), int(v)) for u, v in rng.integers(0, n, (2 * n, 2)) if u < v})
    name = rng.permutation(n)
    named = sorted((int(name[u]), int(name[v])) for u, v in arcs)
    tails, heads = np.array(named, np.int64).reshape(-1, 2).T
    order = stable_topological_order(build_topology(n, tails, np.arange(len(tails) + 1, dtype=np.int64), heads))
    assert _smallest_first(row_pointers(tails, n), heads).tolist() == ranks(order).tolist()
