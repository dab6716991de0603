"""Training from a graph to a verified result: what stages hold for microbatches in flight, and bounds that hold."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from framework.errors import UserError
from framework.formats import read_graph
from framework.formats.native import write_native
from framework.formats.training import training_graph
from framework.model.device import Device, load_device
from framework.model.device_chain import DeviceChain
from framework.model.exact import exact_bottleneck, exact_stage_costs
from framework.model.graph import ModelGraph
from framework.model.memory import stage_memory
from framework.model.pricing import quantise
from framework.model.problem import Partition, Problem, obeys
from framework.model.training import Training
from framework.portfolio.constraints import Constraints, constrain, on_instance, why_infeasible
from framework.portfolio.records import GraphInput
from framework.portfolio.result import Result
from framework.portfolio.settings import Session, Settings
from framework.portfolio.solve import solve
from framework.portfolio.verification import verify_document
from framework.registry import load_plugins
from framework.testing.brute_force import brute_force_optimum
from framework.testing.conformance import assert_bounds_hold
from framework.testing.instances import random_in_flight_problem
from tests.model.test_memory import graph_of

load_plugins()
DEVICE = replace(load_device("reference"), fast_memory=8.0, link_bandwidth=4.0, link_latency=0.5)
OPS = ("Conv", "Relu", "Add", "Reshape", "MatMul")


def random_step(seed: int) -> ModelGraph:
    """Return a small graph of a training step, with seconds, shared parameters, state and workspace."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 6))
    tensors = [(u, float(rng.integers(1, 9)), [v for v in range(u + 1, n) if rng.random() < 0.6]) for u in range(n - 1)]
    shares = [(float(rng.integers(9, 20)), sorted(rng.permutation(n)[:2].tolist()))]
    columns = [rng.integers(0, 20, n).astype(float).tolist() for _ in range(3)]
    graph = graph_of(n, tensors, parameters=columns[0], state=columns[1], workspace=columns[2], shared=shares)
    ops = tuple(OPS[i] for i in rng.integers(0, len(OPS), n))
    microbatches = None if rng.random() < 0.5 else int(rng.integers(1, 4))
    training = Training(microbatches=microbatches, optimizer_states=int(rng.integers(0, 3)))
    return training_graph(replace(graph, ops=ops), training)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("k", [1, 2, 3])
def test_what_obeys_is_what_stages_hold(seed: int, k: int) -> None:
    graph = random_step(seed)
    assert graph.step is not None
    instance, n = quantise(graph, DEVICE).instance, graph.topology.n
    all_held = [row.resident for row in stage_memory(graph, np.zeros(n, np.int64), 1)]
    for limit in np.linspace(0.2 * all_held[0], 2.0 * all_held[0], 7).astype(int).tolist():
        constraints = Constraints(memory_limit=limit)
        problem = Problem(instance=constrain(instance, graph, constraints, k, DEVICE), stages=k)
        fits, costs = [], []
        for stages in itertools.product(range(k), repeat=n):
            stage_of = np.array(stages, np.int64)
            stage, apart = on_instance(problem, stage_of)
            assert apart is None
            if (
                stage_of[graph.topology.consumers]
                < np.repeat(stage_of[graph.topology.producer], np.diff(graph.topology.consumer_ptr))
            ).any():
                continue
            held = stage_memory(graph, stage_of, k)
            obeyed = max(row.resident for row in held) <= limit
            assert obeys(problem, Partition(stage_of=stage)) == obeyed
            fits.append(obeyed)
            if obeyed:
                costs.append(exact_bottleneck(exact_stage_costs(graph, DEVICE, stage_of, k, streamed=False)).binary)
        optimum = brute_force_optimum(problem)
        if any(fits):
            assert not why_infeasible(graph, constraints, k)
            in_unit = Fraction(optimum) / Fraction(problem.instance.ticks_per_unit)
            assert float(in_unit) == pytest.approx(float(min(costs)), rel=1e-9)
        else:
            assert optimum > problem.instance.largest_cost


def test_a_stage_keeps_activations_for_its_microbatches_in_flight() -> None:
    graph = graph_of(3, [(0, 8.0, [1]), (1, 4.0, [2])], parameters=[100.0] * 3)
    graph = replace(graph, ops=("Conv", "Conv", "Conv"))
    step = training_graph(graph, Training(microbatches=2, optimizer_states=1))
    first, second, third = stage_memory(step, np.array([0, 1, 2]), 3)
    assert (first.parameters, second.parameters, third.parameters) == (300, 300, 300)
    # The first layer reads nothing that a node makes; its gradient is as large as what it hands over.
    assert (first.activations, second.activations, third.activations) == (0, 2 * 8, 1 * 4)
    assert (first.workset, second.workset, third.workset) == (8, 8 + 4, 4)
    assert second.resident == second.peak == 300 + 16 + 12
    assert second.as_dict()["activations"] == 16


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
@example(39225)
def test_bounds_hold_with_microbatches_in_flight(seed: int) -> None:
    problem = random_in_flight_problem(seed, 6, 4)
    for entry in ("simple", "anchored-cut", "ideal-dp", "slice-graph"):
        assert_bounds_hold(entry, problem, label=f"random_in_flight_problem({seed})", seconds=60.0)


@pytest.mark.parametrize(
    "entry", ["ideal-dp", "cp-sat", "slice-graph", "annealing", "multilevel", "core-fluid", "weave"]
)
def test_entries_hold_with_microbatches_in_flight(entry: str) -> None:
    for seed in range(12):
        assert_bounds_hold(entry, random_in_flight_problem(seed), label=f"seed {seed}", seconds=10.0)


def result_of(graph: ModelGraph, k: int, source: GraphInput | None = None, **fixed: object) -> Result:
    return solve(
        graph,
        k,
        settings=Settings(
            device=replace(DEVICE, fast_memory=None), budget=60.0, workers=1, entry="ideal-dp,slice-graph"
        ),
        constraints=Constraints(**fixed),  # type: ignore[arg-type]
        session=Session(graph_input=source),
    )


def test_a_result_is_verified_and_read_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    graph = graph_of(
        8,
        [(v, float(rng.integers(4, 9)), [v + 1]) for v in range(7)],
        parameters=rng.integers(20, 60, 8).astype(float).tolist(),
    )
    graph = replace(graph, ops=("Conv", "Relu") * 4)
    write_native(graph, tmp_path / "chain.graph.json")
    training = Training(microbatches=2)
    step = read_graph(tmp_path / "chain.graph.json", training=training)
    source = GraphInput(path=str(tmp_path / "chain.graph.json"), training=training)
    free = result_of(step, 3, source)
    assert free.status == "optimal"
    limit = max(row.resident for row in free.stage_memory)
    result = result_of(step, 3, source, memory_limit=limit)
    assert result.status == "optimal"
    assert result.incumbent is not None
    assert free.incumbent is not None
    assert result.incumbent >= free.incumbent
    assert max(row.resident for row in result.stage_memory) <= limit
    document = json.loads(result.to_json())
    assert document["graph"]["training"] is True
    assert document["graph"]["microbatches"] == 2
    again = Result.from_json(result.to_json())
    assert again == result
    assert again.graph.input is not None
    assert again.graph.input.training == training
    assert verify_document(document, step).verdict in ("proven", "unproven")
    document["stage_memory"][0]["activations"] = 1
    assert verify_document(document, step).verdict == "false"


def test_devices_with_limits_of_their_own() -> None:
    small = Device(name="small", peak_flops=1.0, memory_bandwidth=1.0, link_bandwidth=4.0, memory_limit=420.0)
    large = replace(small, name="large", memory_limit=900.0)
    graph = graph_of(4, [(v, 8.0, [v + 1]) for v in range(3)], parameters=[30.0] * 4)
    step = training_graph(replace(graph, ops=("Conv",) * 4), Training())
    for devices in ((small, large), (large, small), (small, small)):
        chain = DeviceChain(devices=devices)
        problem = Problem(instance=constrain(quantise(step, chain).instance, step, Constraints(), 2, chain), stages=2)
        for stages in itertools.combinations_with_replacement(range(2), 4):
            stage_of = np.array(stages, np.int64)
            held = stage_memory(step, stage_of, 2)
            fits = all(row.resident <= (device.memory_limit or 0) for row, device in zip(held, devices, strict=True))
            stage, _ = on_instance(problem, stage_of)
            assert obeys(problem, Partition(stage_of=stage)) == fits


def test_what_training_refuses() -> None:
    step = training_graph(graph_of(1, [], parameters=[100.0]), Training())
    with pytest.raises(UserError, match="give a memory limit, which counts activations in training"):
        quantise(step, replace(DEVICE, activations=True))
    infeasible = result_of(step, 2, memory_limit=399)
    assert infeasible.status == "infeasible"
    assert "holds 400 bytes, more than the memory limit of 399" in infeasible.termination.detail
