"""Chains of devices: how they are named and kept, and what graphs cost on them."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framework.errors import UserError
from framework.fields import Fields
from framework.formats import read_graph
from framework.formats.native import native_text
from framework.model.device import Device, load_device
from framework.model.device_chain import DeviceChain, chain_of, load_devices, read_devices
from framework.model.exact import exact_stage_costs
from framework.model.graph import ModelGraph, PhysicalCosts, PricedCosts
from framework.model.instance import UNLIMITED
from framework.model.pricing import price, quantise
from framework.model.problem import Partition, Problem, stage_costs
from framework.model.topology import build_topology
from framework.registry import load_plugins
from framework.testing.wide_costs import assert_true_in_units

load_plugins()

FAST = Device(name="fast", peak_flops=8.0, memory_bandwidth=8.0, link_bandwidth=2.0)
SLOW = Device(name="slow", peak_flops=2.0, memory_bandwidth=8.0, link_bandwidth=1.0, link_latency=0.5, fast_memory=3.0)
CHAIN = DeviceChain(devices=(SLOW, FAST))


def chain_graph(**changes: Any) -> ModelGraph:
    """Two nodes of 16 and 32 FLOPs with 5 bytes of parameters each, and a tensor of 4 bytes between them."""
    costs = PhysicalCosts(
        flops=np.array([16.0, 32.0]),
        parameter_bytes=np.array([5.0, 5.0]),
        accessed_bytes=np.array([8.0, 8.0]),
        seconds=np.array([np.nan, np.nan]),
        tensor_bytes=np.array([4.0]),
    )
    return ModelGraph(
        name="pair",
        source="test",
        node_names=("a", "b"),
        ops=("", ""),
        topology=build_topology(2, np.array([0]), np.array([0, 1]), np.array([1])),
        costs=replace(costs, **changes),
    )


def test_devices_are_named_with_counts() -> None:
    edge, xeon = load_device("edge-tpu"), load_device("xeon-8380")
    assert load_devices("edge-tpu") == (edge, None)
    assert load_devices("4*edge-tpu") == (edge, 4)
    devices, count = load_devices("2*edge-tpu, xeon-8380")
    assert devices == DeviceChain(devices=(edge, edge, xeon))
    assert count == 3
    assert devices.name == "2*edge-tpu,xeon-8380"
    assert chain_of([edge, edge]) is edge


@pytest.mark.parametrize("text", ["0*edge-tpu", "x*edge-tpu", "edge-tpu,", "99999999*edge-tpu", "2*nothing"])
def test_what_names_no_devices_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        load_devices(text)


def test_a_file_may_list_devices(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text("peak_flops = 1e12\nmemory_bandwidth = 1e10\nlink_bandwidth = 1e9\nmemory_limit = 4e9\n")
    chain = tmp_path / "chain.toml"
    chain.write_text(f'devices = ["2*edge-tpu", "{own}"]\n')
    devices, count = load_devices(str(chain))
    assert count == 3
    assert isinstance(devices, DeviceChain)
    assert [device.name for device in devices.devices] == ["edge-tpu", "edge-tpu", "own"]
    assert devices.devices[2].memory_limit == 4e9


def test_different_devices_have_different_names() -> None:
    with pytest.raises(UserError, match="two different devices are called slow"):
        DeviceChain(devices=(SLOW, replace(SLOW, peak_flops=3.0)))


def test_documents_round_trip() -> None:
    for devices in (CHAIN, SLOW, replace(SLOW, memory_limit=7.0)):
        document = json.loads(json.dumps(devices.as_dict()))
        assert read_devices(Fields(document, "file", "device")) == devices
    forged = CHAIN.as_dict() | {"stages": [1, 0]}
    with pytest.raises(UserError, match="in their order"):
        read_devices(Fields(forged, "file", "device"))
    with pytest.raises(UserError):
        read_devices(Fields(CHAIN.as_dict() | {"stages": [0, 2]}, "file", "device"))


def test_stages_cost_what_their_devices_say() -> None:
    # On the slow device: 16 FLOPs at 2, the tensor 4 bytes and half a second, 2 bytes beyond the fast memory.
    first, second = exact_stage_costs(chain_graph(), CHAIN, np.array([0, 1]), 2)
    assert [part.binary for part in (first.work, first.outbound, first.overflow)] == [8, Fraction(9, 2), 2]
    assert [part.binary for part in (second.work, second.inbound, second.overflow)] == [4, 2, 0]
    quantised = quantise(chain_graph(), CHAIN)
    problem = Problem(instance=quantised.instance, stages=2)
    costs = stage_costs(problem, Partition(stage_of=np.array([0, 1])))
    scale = quantised.rounding.ticks_per_unit
    assert costs.total.tolist() == [round(14.5 * scale), round(6 * scale)]
    unequal = problem.instance.unequal
    assert unequal is not None
    assert unequal.capacity.tolist() == [round(3 * scale), UNLIMITED]


def test_measured_times_may_differ_by_device() -> None:
    graph = chain_graph(device_seconds={"slow": np.array([3.0, np.nan])})
    first, second = exact_stage_costs(graph, CHAIN, np.array([0, 0]), 2)
    assert [float(stage.work.binary) for stage in (first, second)] == [3 + 16, 0]
    alone = exact_stage_costs(graph, FAST, np.array([0, 0]), 1)[0]
    assert alone.work.binary == 6
    assert price(graph, SLOW).total_work == round(19 * quantise(graph, SLOW).rounding.ticks_per_unit)


def test_times_by_device_are_read_and_written(tmp_path: Path) -> None:
    graph = chain_graph(
        seconds=np.array([np.nan, 2.0]), device_seconds={"slow": np.array([3.0, 4.0]), "fast": np.array([np.nan, 1.0])}
    )
    path = tmp_path / "pair.graph.json"
    path.write_text(native_text(graph))
    again = read_graph(path)
    assert again.sha256() == graph.sha256()
    assert '"seconds":{"*":2.0,"slow":4.0,"fast":1.0}' in path.read_text()
    path.write_text(path.read_text().replace('"slow":4.0', '"slow":"x"'))
    with pytest.raises(UserError, match=r'seconds on .slow. is "x"'):
        read_graph(path)


def test_a_graph_with_prices_takes_no_devices() -> None:
    none = np.zeros(2, np.int64)
    priced = PricedCosts(unit="ms", work=none, parameter_cost=none, tensor_cost=np.zeros(1, np.int64), capacity=None)
    with pytest.raises(UserError, match="carries its own prices"):
        price(replace(chain_graph(), costs=priced), CHAIN)


@pytest.mark.parametrize("entry", ["simple", "tensor-count"])
def test_claims_are_true_in_rational_numbers(entry: str) -> None:
    accepted = sum(assert_true_in_units(entry, seed, kind="devices") for seed in range(120))
    assert accepted > 60
