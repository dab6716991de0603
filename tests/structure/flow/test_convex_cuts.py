"""Minimum cuts over node sets against enumeration of all sets."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.model.problem import Partition, Problem, stage_costs
from framework.structure.flow.convex_cuts import NodeCuts, costs_alone, is_convex, set_cost
from framework.structure.flow.max_flow import INFINITE
from framework.structure.poset.closure import closure
from framework.testing.instances import random_instance, random_layered_instance, random_shared_problem


def _all_sets(n: int) -> list[IntArray]:
    return [np.array(nodes, np.int64) for size in range(n + 1) for nodes in itertools.combinations(range(n), size)]


def _value(instance: Instance, nodes: IntArray, weight: IntArray, scale: int) -> int:
    without = instance.work[nodes].sum() + max(0, int(instance.parameter_cost[nodes].sum()) - instance.capacity)
    cut = set_cost(instance, nodes) - int(without)
    return int(weight[nodes].sum()) + scale * cut


def _plain_value(instance: Instance, nodes: IntArray, weight: IntArray, scale: int) -> int:
    return _value(instance.charged(), nodes, weight, scale)


def _paths_from(anchor: int, nodes: IntArray, instance: Instance) -> bool:
    """Whether the set holds every path between the anchor and its members."""
    reach = closure(instance)
    members = set(nodes.tolist())
    return all(
        x in members
        for u in members
        for x in range(instance.n)
        if (reach.is_ancestor(anchor, x) and reach.is_ancestor(x, u))
        or (reach.is_ancestor(u, x) and reach.is_ancestor(x, anchor))
    )


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=150, derandomize=True, deadline=None)
def test_minimum_over_all_sets(seed: int) -> None:
    instance = random_instance(seed, max_nodes=7)
    rng = np.random.default_rng([seed, 3])
    weight = rng.integers(-20, 30, instance.n)
    scale = int(rng.integers(0, 4))
    roles = rng.integers(0, 4, instance.n)
    inside, outside = np.flatnonzero(roles == 2), np.flatnonzero(roles == 3)
    cuts = NodeCuts(instance)
    for anchors in ((), inside[:1].tolist(), inside.tolist()):
        allowed = [
            nodes
            for nodes in _all_sets(instance.n)
            if np.isin(inside, nodes).all()
            and not np.isin(outside, nodes).any()
            and all(_paths_from(anchor, nodes, instance) for anchor in anchors)
        ]
        found = cuts.minimise(weight, scale=scale, inside=inside, outside=outside, anchors=anchors)
        if not allowed:
            assert found.value >= INFINITE // 2
            assert not found.complete
            continue
        best = min(_value(instance, nodes, weight, scale) for nodes in allowed)
        assert found.complete
        assert found.value == best == _value(instance, found.members, weight, scale)
        assert any(np.array_equal(found.members, nodes) for nodes in allowed)
        proved = cuts.flow_value(cuts.flow(), weight, scale=scale, inside=inside, outside=outside, anchors=anchors)
        assert proved == best
        limited = cuts.minimise(weight, scale=scale, inside=inside, outside=outside, anchors=anchors, limit=best)
        assert limited.value == best


def _shared_value(instance: Instance, nodes: IntArray, shared_weight: IntArray) -> int:
    rows = np.split(instance.shared.users, instance.shared.ptr[1:-1])
    pairs = zip(rows, shared_weight.tolist(), strict=True) if len(shared_weight) else ()
    return sum(weight for row, weight in pairs if set(row.tolist()) & set(nodes.tolist()))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=150, derandomize=True, deadline=None)
def test_shared_weights_count_once(seed: int) -> None:
    instance = random_shared_problem(seed).instance
    rng = np.random.default_rng([seed, 4])
    weight = rng.integers(-20, 10, instance.n)
    shared_weight = rng.integers(0, 30, len(instance.shared))
    scale = int(rng.integers(0, 3))
    inside = rng.permutation(instance.n)[:1]
    outside = np.setdiff1d(rng.permutation(instance.n)[:1], inside)
    cuts = NodeCuts(instance)
    found = cuts.minimise(weight, shared_weight, scale=scale, inside=inside, outside=outside, anchors=inside.tolist())

    def value(nodes: IntArray) -> int:
        return _plain_value(instance, nodes, weight, scale) + _shared_value(instance, nodes, shared_weight)

    allowed = [
        nodes
        for nodes in _all_sets(instance.n)
        if np.isin(inside, nodes).all()
        and not np.isin(outside, nodes).any()
        and _paths_from(int(inside[0]), nodes, instance)
    ]
    best = min(value(nodes) for nodes in allowed)
    assert found.value == best == value(found.members)
    arguments = {"scale": scale, "inside": inside, "outside": outside, "anchors": inside.tolist()}
    assert cuts.flow_value(cuts.flow(), weight, shared_weight, **arguments) == best


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=100, derandomize=True, deadline=None)
def test_costs_of_sets_are_those_of_stages(seed: int) -> None:
    instance = random_shared_problem(seed).instance.without_limit()
    reach = closure(instance)
    for nodes in _all_sets(instance.n)[1:]:
        if is_convex(nodes, reach):
            above = [v for v in range(instance.n) if any(reach.is_ancestor(v, u) for u in nodes.tolist())]
            stage_of = np.full(instance.n, 2, np.int64)
            stage_of[above] = 0
            stage_of[nodes] = 1
            costs = stage_costs(Problem(instance=instance, stages=3), Partition(stage_of=stage_of))
            assert set_cost(instance, nodes) == int(costs.total[1])
    assert costs_alone(instance).tolist() == [set_cost(instance, np.array([v])) for v in range(instance.n)]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=100, derandomize=True, deadline=None)
def test_convexity(seed: int) -> None:
    instance = random_instance(seed, max_nodes=6)
    reach = closure(instance)
    for nodes in _all_sets(instance.n):
        expected = all(_paths_from(v, nodes, instance) for v in nodes.tolist())
        assert is_convex(nodes, reach) == expected


def test_no_node_in_and_out() -> None:
    instance = random_layered_instance(1, 20)
    found = NodeCuts(instance).minimise(instance.work, inside=[3], outside=[3])
    assert not found.complete
    assert found.value >= INFINITE


def test_it_stops_when_told() -> None:
    instance = random_layered_instance(1, 3000, width=100)
    with pytest.raises(OutOfTimeError):
        NodeCuts(instance, should_stop=lambda: True).minimise(instance.work, inside=[1500], anchors=[1500])
