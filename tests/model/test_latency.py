"""Seconds that handing over a tensor takes beside its bytes: from the device to ticks and to rational numbers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.model.device import Device
from framework.model.exact import Exact, exact_stage_costs
from framework.model.graph import ModelGraph, PhysicalCosts
from framework.model.pricing import price
from framework.model.topology import build_topology
from framework.registry import load_plugins
from framework.testing.brute_force import fraction_optimum
from framework.testing.wide_costs import assert_true_in_units, decimal, random_physical_graph
from tests.model.test_pricing import chain, priced

load_plugins()

SLOW = Device(name="slow", link_bandwidth=1e6, link_latency=0.1)


def fork(tensor_bytes: list[float]) -> ModelGraph:
    """Node 0 sends tensors 0 and 1 to nodes 1 and 2, tensor 2 to both, and tensor 3 only orders 0 before 1."""
    consumers = [[1, 2], [1, 2], [2], [1]]
    costs = PhysicalCosts(
        flops=np.zeros(3),
        parameter_bytes=np.zeros(3),
        accessed_bytes=np.zeros(3),
        seconds=np.array([1.0, 2.0, 4.0]),
        tensor_bytes=np.array(tensor_bytes),
    )
    pointers = np.concatenate(([0], np.cumsum([len(row) for row in consumers])))
    topology = build_topology(3, np.zeros(4, np.int64), pointers, np.array([v for row in consumers for v in row]))
    return ModelGraph(
        name="fork", source="here", node_names=("a", "b", "c"), ops=("",) * 3, topology=topology, costs=costs
    )


def test_each_tensor_that_a_stage_cuts_costs_the_latency_once() -> None:
    graph = fork([1e6, 2e6, 3e6, 0.0])
    first, second, third = exact_stage_costs(graph, SLOW, np.array([0, 1, 2]), 3)
    tenth = Fraction(1, 10)
    # Three tensors leave node 0, each once however many stages read it; the dependency is no tensor.
    assert first.outbound.decimal == 6 + 3 * tenth
    assert second.inbound.decimal == 3 + 2 * tenth
    assert third.inbound.decimal == 6 + 3 * tenth
    assert third.inbound.binary == 6 + 3 * Fraction(0.1)
    assert first.total.decimal == 1 + 6 + 3 * tenth
    together = exact_stage_costs(graph, SLOW, np.array([0, 1, 1]), 2)
    assert together[1].inbound.decimal == 6 + 3 * tenth
    assert together[1].outbound == Exact(Fraction(0), Fraction(0))
    alone = exact_stage_costs(graph, SLOW, np.array([0, 0, 0]), 1)
    assert alone[0].total.decimal == 7


def test_ticks_are_those_of_the_definition() -> None:
    instance = price(fork([1e6, 2e6, 3e6, 0.0]), SLOW)
    # Tensors 0 and 1 have the same ends and are merged: two are handed over.
    costs = sorted(instance.in_units(cost) for cost in instance.tensor_cost.tolist())
    assert costs == pytest.approx([0.0, 3.1, 3.2])
    assert price(fork([0.0] * 4), SLOW).tensor_cost.tolist() == [0, 0, 0]


def test_without_latency_nothing_changes() -> None:
    graph = fork([1e6, 2e6, 3e6, 0.0])
    plain = SLOW.override(link_latency=0)
    assert price(graph, plain).sha256() == price(graph, Device(name="d", link_bandwidth=1e6)).sha256()
    assert price(graph, plain).sha256() != price(graph, SLOW).sha256()


def test_a_graph_with_its_own_prices_has_no_latency() -> None:
    graph = priced([3, 4], [5])
    assert price(graph, SLOW).sha256() == price(graph).sha256()
    stages = exact_stage_costs(graph, SLOW, np.array([0, 1]), 2)
    assert stages[0].outbound.binary == 5


SIZES = st.one_of(st.just(0.0), st.floats(min_value=1e-3, max_value=1e12))
FIGURES = st.floats(min_value=1e-9, max_value=1e12)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    seconds=st.lists(st.floats(min_value=0, max_value=1e3), min_size=2, max_size=5),
    sizes=st.lists(SIZES, min_size=4, max_size=4),
    bandwidth=FIGURES,
    latency=st.one_of(st.just(0.0), st.floats(min_value=1e-12, max_value=10.0)),
    cuts=st.integers(min_value=0, max_value=15),
)
def test_costs_are_sums_of_rational_numbers(
    seconds: list[float], sizes: list[float], bandwidth: float, latency: float, cuts: int
) -> None:
    n = len(seconds)
    stage_of = np.concatenate(([0], np.cumsum([cuts >> v & 1 for v in range(n - 1)])))
    nothing = np.zeros(n)
    costs = PhysicalCosts(
        flops=nothing,
        parameter_bytes=nothing,
        accessed_bytes=nothing,
        seconds=np.array(seconds),
        tensor_bytes=np.array(sizes[: n - 1]),
    )
    graph = chain(costs, n)
    device = Device(name="d", link_bandwidth=bandwidth, link_latency=latency)
    stages = exact_stage_costs(graph, device, stage_of, int(stage_of[-1]) + 1)
    for reading, read in ((0, Fraction), (1, decimal)):
        link, delay = read(bandwidth), read(latency)
        sent = [(read(size) + delay * link) / link if size else Fraction(0) for size in sizes[: n - 1]]
        for b, stage in enumerate(stages):
            crossing = [e for e in range(n - 1) if stage_of[e] != stage_of[e + 1]]
            arrives = [sent[e] for e in crossing if stage_of[e + 1] == b]
            leaves = [sent[e] for e in crossing if stage_of[e] == b]
            work = [read(seconds[v]) for v in range(n) if stage_of[v] == b]
            assert stage.inbound[reading] == sum(arrives)
            assert stage.outbound[reading] == sum(leaves)
            assert stage.total[reading] == sum(arrives) + sum(leaves) + sum(work)


def test_drawn_devices_have_latencies_that_matter() -> None:
    changed = 0
    for seed in range(300):
        graph, device, stages = random_physical_graph(seed)
        with_latency, without = (
            fraction_optimum(graph, stages, Fraction, item) for item in (device, device.override(link_latency=0))
        )
        assert with_latency >= without
        changed += with_latency > without
    assert changed > 10


@pytest.mark.parametrize("entry", ["simple", "ideal-dp", "anchored-cut", "slice-graph", "nested-cuts", "cp-sat"])
def test_bounds_and_partitions_are_true_in_seconds(entry: str) -> None:
    accepted = sum(assert_true_in_units(entry, seed, kind="physical") for seed in range(250))
    assert accepted > 150
