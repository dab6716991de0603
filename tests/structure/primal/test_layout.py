"""Layouts along an order against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from framework.model.arrays import IntArray
from framework.structure.poset.topological_orders import OrderKind, topological_order
from framework.structure.primal.layout import (
    CLOSES,
    COST,
    FIRST,
    LAST,
    NEVER,
    NEXT,
    OUTS,
    PARAMETERS,
    PINS,
    PREVIOUS,
    PRODUCED,
    PRODUCER,
    REST,
    WORK,
    lay_out,
)
from framework.testing.instances import random_instance


@pytest.mark.parametrize("seed", range(40))
def test_every_row_is_what_its_definition_says(seed: int) -> None:
    instance, top = random_instance(seed), random_instance(seed).topology
    order = topological_order(instance, OrderKind.DFS, noise=1.0, seed=seed)
    place = {int(v): j for j, v in enumerate(order)}
    layout = lay_out(instance, order)
    # Positions of each tensor's producer and consumers, in order, and its cost.
    rows = [
        ([place[int(top.producer[t])], *sorted(place[int(v)] for v in _row(top.consumer_ptr, top.consumers, t))], cost)
        for t, cost in enumerate(instance.tensor_cost.tolist())
    ]
    for j in range(instance.n + 1):
        before = order[:j]
        crossing = sum(cost for row, cost in rows if row[0] < j <= row[-1])
        assert layout.prefix[WORK, j] == instance.work[before].sum()
        assert layout.prefix[PARAMETERS, j] == instance.parameter_cost[before].sum()
        assert layout.prefix[REST, j] == instance.work[order[j:]].sum() + crossing
    for j in range(instance.n):
        assert layout.prefix[PRODUCED, j] == sum(cost for row, cost in rows if row[0] == j)
        pins = [
            (cost, row[i - 1], row[i + 1] if i + 1 < len(row) else NEVER)
            for row, cost in rows
            for i in range(1, len(row))
            if row[i] == j
        ]
        outs = [(cost, row[1], row[-1]) for row, cost in rows if row[0] == j]
        closes = [(cost, row[0]) for row, cost in rows if row[-1] == j]
        assert _taken(layout.ptr[PINS], layout.pins[[COST, PREVIOUS, NEXT]], j) == sorted(pins)
        assert _taken(layout.ptr[OUTS], layout.outs[[COST, FIRST, LAST]], j) == sorted(outs)
        assert _taken(layout.ptr[CLOSES], layout.closes[[COST, PRODUCER]], j) == sorted(closes)
    assert layout.capacity == instance.bounded_capacity
    assert layout.reach.tolist() == [instance.n] * instance.n


def test_no_order_but_a_topological_one_is_laid_out() -> None:
    instance = next(one for one in map(random_instance, range(40)) if one.topology.edges and one.n > 2)
    for order in (np.arange(instance.n)[::-1].copy(), np.zeros(instance.n, np.int64), np.arange(instance.n - 1)):
        with pytest.raises(ValueError, match="topological"):
            lay_out(instance, order)


def _row(ptr: IntArray, items: IntArray, t: int) -> list[int]:
    found: list[int] = items[ptr[t] : ptr[t + 1]].tolist()
    return found


def _taken(ptr: IntArray, rows: IntArray, j: int) -> list[tuple[int, ...]]:
    return sorted(tuple(column) for column in rows[:, ptr[j] : ptr[j + 1]].T.tolist())
