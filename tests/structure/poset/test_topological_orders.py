"""Orders are topological, reproducible, and what their definition says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.model.instance import Instance, instance_from_lists
from framework.model.problem import Partition
from framework.structure.poset.closure import closure
from framework.structure.poset.topological_orders import (
    OrderKind,
    is_topological_order,
    order_around,
    order_of_partition,
    topological_order,
)
from framework.testing.instances import random_instance, random_layered_instance, random_problem

seeds = st.integers(0, 2**32 - 1)


def _arcs(instance: Instance) -> set[tuple[int, int]]:
    top = instance.topology
    tails = np.repeat(np.arange(instance.n), np.diff(top.succ_ptr))
    return set(zip(tails.tolist(), top.succs.tolist(), strict=True))


def _cut(instance: Instance, placed: set[int]) -> int:
    """Cost of the tensors that cross between `placed` and the rest."""
    top = instance.topology
    total = 0
    for t in range(instance.m):
        pins = {int(top.producer[t]), *top.consumers[top.consumer_ptr[t] : top.consumer_ptr[t + 1]].tolist()}
        total += int(instance.tensor_cost[t]) if pins & placed and pins - placed else 0
    return total


def _by_definition(instance: Instance, kind: OrderKind, reverse: bool) -> list[int]:
    """The same orders in the plainest way: rank all ready nodes anew in every step."""
    arcs = {(v, u) for u, v in _arcs(instance)} if reverse else _arcs(instance)
    sign = -1 if reverse else 1
    placed: list[int] = []
    ready_since = {v: 0 for v in range(instance.n) if not any(head == v for _, head in arcs)}
    while ready_since:

        def rank(v: int) -> tuple[int, ...]:
            since = ready_since[v]
            if kind is OrderKind.BFS:
                return since, sign * v
            if kind is OrderKind.DFS:
                return -since, sign * v
            return _cut(instance, {*placed, v}), -since, sign * v

        chosen = min(ready_since, key=rank)
        del ready_since[chosen]
        placed.append(chosen)
        for tail, v in arcs:
            if tail == chosen and all(u in placed for u, head in arcs if head == v):
                ready_since[v] = len(placed)
    return placed[::-1] if reverse else placed


@given(seeds, st.sampled_from(OrderKind), st.booleans(), st.sampled_from([0.0, 0.5, 3.0]))
@settings(max_examples=300, derandomize=True, deadline=None)
def test_all_are_topological(seed: int, kind: OrderKind, reverse: bool, noise: float) -> None:
    instance = random_instance(seed, 14)
    order = topological_order(instance, kind, reverse=reverse, noise=noise, seed=seed)
    assert is_topological_order(instance, order)
    assert np.array_equal(order, topological_order(instance, kind, reverse=reverse, noise=noise, seed=seed))


@given(seeds, st.sampled_from([OrderKind.DFS, OrderKind.BFS, OrderKind.GREEDY_MIN_CUT]), st.booleans())
@settings(max_examples=300, derandomize=True, deadline=None)
def test_orders_follow_their_definition(seed: int, kind: OrderKind, reverse: bool) -> None:
    instance = random_instance(seed, 12)
    expected = _by_definition(instance, kind, reverse)
    assert topological_order(instance, kind, reverse=reverse).tolist() == expected


@pytest.mark.parametrize("kind", [OrderKind.DFS, OrderKind.GREEDY_MIN_CUT])
def test_noise_gives_many_orders(kind: OrderKind) -> None:
    instance = random_layered_instance(3, 60, width=12)
    found = {topological_order(instance, kind, noise=1.0, seed=seed).tobytes() for seed in range(10)}
    assert len(found) == 10


def test_greedy_min_cut_of_a_wide_graph_in_both_directions() -> None:
    n = 2000
    fan = [(0, 5, range(1, n - 1)), *((v, 1 + v % 7, [n - 1]) for v in range(1, n - 1))]
    instance = instance_from_lists([1] * n, fan)
    for reverse in (False, True):
        order = topological_order(instance, OrderKind.GREEDY_MIN_CUT, reverse=reverse)
        assert is_topological_order(instance, order)
        costs = [v % 7 for v in order[1:-1].tolist()]
        # Forwards the smallest tensors open first; backwards the largest are met first, hence come last.
        assert costs == sorted(costs)


def test_given_is_the_numbering() -> None:
    instance = random_layered_instance(4, 30)
    assert topological_order(instance, OrderKind.GIVEN, reverse=True, noise=2.0).tolist() == list(range(30))


def test_order_of_a_partition_goes_stage_by_stage() -> None:
    instance = instance_from_lists([1] * 4, [(0, 1, [2]), (1, 1, [3])])
    order = order_of_partition(instance, Partition(stage_of=np.array([1, 0, 1, 1], np.int64)))
    assert order.tolist() == [1, 0, 2, 3]
    with pytest.raises(ValueError, match="4 nodes"):
        order_of_partition(instance, Partition(stage_of=np.zeros(3, np.int64)))


@given(seeds)
@settings(max_examples=100, derandomize=True, deadline=None)
def test_an_order_around_a_convex_set_holds_it_in_one_piece(seed: int) -> None:
    instance = random_problem(seed).instance
    reach = closure(instance)
    rng = np.random.default_rng(seed)
    low, high = np.sort(rng.integers(0, instance.n, 2)).tolist()
    # All nodes between two nodes, both included, are convex; so is one node.
    from_low, to_high = {low, *reach.descendants_of(low).tolist()}, {high, *reach.ancestors_of(high).tolist()}
    members = np.array(sorted(from_low & to_high) or [low], np.int64)
    for late in (False, True):
        order = order_around(instance, members, reach, late=late)
        assert is_topological_order(instance, order)
        places = np.flatnonzero(np.isin(order, members))
        assert places[-1] - places[0] == len(members) - 1


@pytest.mark.parametrize("order", [[0, 2, 1], [0, 1], [0, 1, 1], [0, 1, 3]])
def test_what_is_no_topological_order(order: list[int]) -> None:
    instance = instance_from_lists([1] * 3, [(0, 1, [1]), (1, 1, [2])])
    assert is_topological_order(instance, np.arange(3))
    assert not is_topological_order(instance, np.array(order, np.int64))


def test_negative_noise_is_refused() -> None:
    with pytest.raises(ValueError, match="noise"):
        topological_order(random_instance(1), OrderKind.DFS, noise=-0.5)
