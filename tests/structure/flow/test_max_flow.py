"""Maximum flows against OR-Tools, and everything a flow leaves behind."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ortools.graph.python.max_flow import SimpleMaxFlow

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.structure.flow.max_flow import INFINITE, FlowNetwork


def _random_network(seed: int) -> tuple[FlowNetwork, IntArray, IntArray, IntArray]:
    """Return a network, the tails and heads of its arcs, and capacities of arcs and reverses, ``[2, arcs]``."""
    rng = np.random.default_rng(seed)
    vertices = int(rng.integers(2, 12))
    arcs = int(rng.integers(0, 40))
    tails, heads = rng.integers(0, vertices, arcs), rng.integers(0, vertices, arcs)
    proper = tails != heads
    tails, heads = tails[proper], heads[proper]
    capacities = rng.integers(0, int(rng.choice([2, 10, 10**12])), (2, len(tails)))
    return FlowNetwork(vertices, tails, heads, 0, vertices - 1), tails, heads, capacities


def _laid_out(network: FlowNetwork, capacities: IntArray) -> IntArray:
    laid_out = np.zeros(len(network.residual), np.int64)
    laid_out[network.forward], laid_out[network.backward] = capacities
    return laid_out


def _reference(tails: IntArray, heads: IntArray, capacities: IntArray, sink: int) -> int:
    flow = SimpleMaxFlow()
    if not len(tails):
        return 0
    flow.add_arcs_with_capacity(
        np.concatenate((tails, heads)), np.concatenate((heads, tails)), np.concatenate(tuple(capacities))
    )
    if max(int(tails.max()), int(heads.max())) < sink:
        return 0
    assert flow.solve(0, sink) == flow.OPTIMAL
    return int(flow.optimal_flow())


def _cut(side: IntArray, tails: IntArray, heads: IntArray, capacities: IntArray) -> int:
    inside = np.zeros(64, np.bool_)
    inside[side] = True
    leaving = capacities[0][inside[tails] & ~inside[heads]].sum()
    return int(leaving + capacities[1][inside[heads] & ~inside[tails]].sum())


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=400, derandomize=True, deadline=None)
def test_value_cut_and_flow(seed: int) -> None:
    network, tails, heads, capacities = _random_network(seed)
    sink = len(network.reaching_sink()) - 1
    laid_out = _laid_out(network, capacities)
    network.reset(laid_out)
    value = network.augment()
    assert value == network.value == _reference(tails, heads, capacities, sink)
    smallest = network.reached()
    largest = np.flatnonzero(~network.reaching_sink())
    assert set(smallest.tolist()) <= set(largest.tolist())
    assert _cut(smallest, tails, heads, capacities) == value
    assert _cut(largest, tails, heads, capacities) == value
    flow = laid_out[network.forward] - network.residual[network.forward]
    assert network.flow_value(flow, laid_out) == value


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=200, derandomize=True, deadline=None)
def test_raised_capacities_are_a_warm_start(seed: int) -> None:
    network, tails, _, capacities = _random_network(seed)
    if not len(tails):
        return
    rng = np.random.default_rng([seed, 1])
    network.reset(_laid_out(network, capacities))
    network.augment()
    arc = int(rng.integers(0, len(tails)))
    raised = capacities.copy()
    raised[0, arc] += 7
    network.residual[network.forward[arc]] += 7
    warm = network.augment()
    network.reset(_laid_out(network, raised))
    assert warm == network.augment()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=200, derandomize=True, deadline=None)
def test_tampered_flows_are_refused(seed: int) -> None:
    network, tails, _, capacities = _random_network(seed)
    laid_out = _laid_out(network, capacities)
    network.reset(laid_out)
    network.augment()
    if not len(tails):
        return
    flow = laid_out[network.forward] - network.residual[network.forward]
    arc = int(np.random.default_rng([seed, 2]).integers(0, len(tails)))
    excessive = flow.copy()
    excessive[arc] = capacities[0, arc] + 1
    with pytest.raises(ValueError, match="capacity"):
        network.flow_value(excessive, laid_out)
    with pytest.raises(ValueError, match="a flow of"):
        network.flow_value(flow[1:], laid_out)


def test_a_flow_that_is_not_conserved_is_refused() -> None:
    network = FlowNetwork(3, np.array([0, 1]), np.array([1, 2]), 0, 2)
    capacities = np.zeros(4, np.int64)
    capacities[network.forward] = 5
    assert network.flow_value(np.array([3, 3]), capacities) == 3
    with pytest.raises(ValueError, match="conserved"):
        network.flow_value(np.array([3, 2]), capacities)


def test_a_limit_ends_it_early_and_the_flow_goes_on() -> None:
    tails, heads = np.array([0, 0, 1, 2]), np.array([1, 2, 3, 3])
    network = FlowNetwork(4, tails, heads, 0, 3)
    capacities = np.zeros(8, np.int64)
    capacities[network.forward] = [4, 9, 4, 9]
    network.reset(capacities)
    assert network.augment(limit=4) in (4, 9)
    assert network.augment() == 13


def test_infinite_arcs() -> None:
    network = FlowNetwork(3, np.array([0, 1]), np.array([1, 2]), 0, 2)
    capacities = np.zeros(4, np.int64)
    capacities[network.forward] = INFINITE
    network.reset(capacities)
    assert network.augment() >= INFINITE


def test_it_stops_when_told() -> None:
    side = 300
    rng = np.random.default_rng(5)
    cells = np.arange(side * side).reshape(side, side)
    tails = np.concatenate((cells[:, :-1].ravel(), cells[:-1].ravel()))
    heads = np.concatenate((cells[:, 1:].ravel(), cells[1:].ravel()))
    source, sink = side * side, side * side + 1
    tails = np.concatenate((tails, np.full(side, source), cells[:, -1]))
    heads = np.concatenate((heads, cells[:, 0], np.full(side, sink)))
    network = FlowNetwork(sink + 1, tails, heads, source, sink)
    capacities = np.zeros(len(network.residual), np.int64)
    capacities[network.forward] = rng.integers(1, 1000, len(tails))
    network.reset(capacities)
    with pytest.raises(OutOfTimeError):
        network.augment(should_stop=lambda: True)
    partial = network.value
    assert network.augment() >= partial
    assert network.flow_value(capacities[network.forward] - network.residual[network.forward], capacities) > 0
