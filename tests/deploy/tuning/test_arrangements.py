"""Arrangements of devices: every order once, and a bound over all of them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest

from framework.deploy.tuning.arrangements import MOST_DEVICES, Arrangements, choices_of, orders_of, search
from framework.errors import UserError
from framework.model.device import Device
from framework.model.device_chain import chain_of
from framework.model.graph import ModelGraph, PhysicalCosts
from framework.model.topology import build_topology
from framework.portfolio.constraints import Constraints
from framework.portfolio.context.board import Board
from framework.portfolio.settings import Session, Settings
from framework.testing.brute_force import fraction_optimum

FAST = Device(name="fast", peak_flops=8.0, memory_bandwidth=80.0, link_bandwidth=2.0)
SLOW = Device(name="slow", peak_flops=2.0, memory_bandwidth=80.0, link_bandwidth=1.0, fast_memory=12.0)
THIN = Device(name="thin", peak_flops=6.0, memory_bandwidth=80.0, link_bandwidth=0.5, link_latency=0.25)


class Silent:
    on_compile = None

    def __call__(self, board: Board, label: str, words: str) -> None:
        pass


def watch(title: str, k: int) -> AbstractContextManager[Silent]:
    return nullcontext(Silent())


def chain_graph(flops: list[float], sent: list[float]) -> ModelGraph:
    n = len(flops)
    return ModelGraph(
        name="chain",
        source="test",
        node_names=tuple(f"v{v}" for v in range(n)),
        ops=("",) * n,
        topology=build_topology(n, np.arange(n - 1), np.arange(n), np.arange(1, n)),
        costs=PhysicalCosts(
            flops=np.array(flops),
            parameter_bytes=np.full(n, 5.0),
            accessed_bytes=np.full(n, 8.0),
            seconds=np.full(n, np.nan),
            tensor_bytes=np.array(sent),
        ),
    )


def run(graph: ModelGraph, ways: list[tuple[Device, ...]], entry: str) -> Arrangements:
    return search(
        graph,
        ways,
        settings=Settings(entry=entry, budget=60.0, workers=1),
        constraints=Constraints(),
        session=Session(on_compile=None),
        watch=watch,
    )


def test_orders_come_once_each() -> None:
    devices = (FAST, SLOW, FAST, THIN)
    orders = orders_of(devices)
    assert orders[0] == devices
    assert set(orders) == set(permutations(devices))
    assert len(orders) == 12


def test_choices_come_once_each() -> None:
    devices = (FAST, SLOW, FAST)
    assert choices_of(devices, 2, any_order=False) == [(FAST, SLOW), (FAST, FAST), (SLOW, FAST)]
    assert set(choices_of(devices, 2, any_order=True)) == {(FAST, SLOW), (SLOW, FAST), (FAST, FAST)}
    assert choices_of([FAST] * 60 + [SLOW] * 3, 61, any_order=False) == [
        (FAST,) * fast + (SLOW,) * (61 - fast) for fast in (60, 59, 58)
    ]


def test_too_many_are_refused() -> None:
    kinds = [Device(name=f"kind-{i}", link_bandwidth=1.0 + i) for i in range(7)]
    with pytest.raises(UserError, match="more than 1,000 arrangements"):
        orders_of(kinds)
    with pytest.raises(UserError, match="too many to arrange"):
        choices_of([FAST] * (MOST_DEVICES + 1), 2, any_order=False)


@pytest.mark.parametrize("entry", ["simple", "annealing"])
def test_the_bound_holds_for_every_order(entry: str) -> None:
    graph = chain_graph([16.0, 40.0, 8.0, 24.0, 32.0], [4.0, 1.0, 6.0, 2.0])
    orders = orders_of((SLOW, FAST, THIN))
    found = run(graph, orders, entry)
    optima = {order: fraction_optimum(graph, 3, Fraction, chain_of(order)) for order in orders}
    assert {row.devices for row in found.rows} == set(orders)
    for row in found.rows:
        assert Fraction(row.bound) <= optima[row.devices]
        if row.result is not None and row.result.incumbent is not None:
            assert Fraction(row.result.incumbent) >= optima[row.devices]
    assert Fraction(found.lowest.bound) <= min(optima.values())
    assert not found.contradicted
    assert found.best is not None
    assert found.best.incumbent == min(
        row.result.incumbent for row in found.rows if row.result is not None and row.result.incumbent is not None
    )


def test_an_order_that_cannot_be_better_is_not_solved() -> None:
    # One node: the slow device alone is four times as slow, and a stage may stay empty.
    graph = chain_graph([16.0], [])
    found = run(graph, [(FAST,), (SLOW,)], "simple")
    assert [row.result is not None for row in found.rows] == [True, False]
    assert found.proven
    assert found.rows[0].devices == (FAST,)
