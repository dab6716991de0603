"""Random small graphs whose costs span up to 24 orders of magnitude, and a check of claims in rational numbers."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Literal, TypeAlias

import numpy as np

from framework.errors import UserError
from framework.model.arrays import IntArray, prefix_sums
from framework.model.device import Device
from framework.model.device_chain import Devices, chain_of, kinds_of
from framework.model.exact import exact_bottleneck, exact_stage_costs
from framework.model.graph import FloatArray, ModelGraph, PhysicalCosts, PricedCosts
from framework.model.pricing import quantise
from framework.model.problem import Problem, cut_tensors
from framework.model.shared import shared_by
from framework.model.topology import build_topology
from framework.portfolio.context.local import run_entry
from framework.registry import registry
from framework.testing.brute_force import fraction_optimum, rational_costs

Kind: TypeAlias = Literal["priced", "physical", "devices"]

ORDERS = 24
"""Orders of magnitude that costs span at most."""


def random_wide_graph(seed: int, max_nodes: int = 7) -> tuple[ModelGraph, int]:
    """Return a graph drawn from `seed`, and a number of stages.

    Costs of each kind are zeros, short decimals, or spread evenly over up to 24 orders of magnitude, around a size of
    their own; some graphs are whole numbers of up to 18 digits. A quarter have parameters that several nodes use.
    """
    rng = np.random.default_rng([seed, 11])
    n = int(rng.integers(1, max_nodes + 1))
    density = float(rng.choice([0.2, 0.5]))
    rows: list[tuple[int, list[int]]] = []
    for u in range(n):
        consumers = [v for v in range(u + 1, n) if rng.random() < density]
        if consumers:
            rows.append((u, consumers))
    whole = rng.random() < 0.25
    work, parameters, sent = (_costs(rng, count, whole) for count in (n, n, len(rows)))
    capacity: int | float | None = None
    if rng.random() < 0.6:
        capacity = float(parameters.sum()) * float(rng.choice([0.0, 0.3, 0.7, 0.999, 1.0, 3.0]))
        capacity = int(capacity) if whole else capacity
    lengths = [len(consumers) for _, consumers in rows]
    more = np.random.default_rng([seed, 12])
    users = []
    if n > 1 and more.random() < 0.25:
        users = [more.permutation(n)[: int(more.integers(2, n + 1))].tolist() for _ in range(int(more.integers(1, 4)))]
    graph = ModelGraph(
        name=f"wide-{seed}",
        source=f"wide-{seed}",
        node_names=tuple(f"v{v}" for v in range(n)),
        ops=("",) * n,
        topology=build_topology(
            n,
            np.array([u for u, _ in rows], np.int64),
            prefix_sums(lengths),
            np.array([v for _, consumers in rows for v in consumers], np.int64),
        ),
        costs=PricedCosts(
            unit="ms",
            work=work,
            parameter_cost=parameters,
            tensor_cost=sent,
            capacity=capacity,
            shared_cost=_costs(more, len(users), whole),
        ),
        shared=shared_by(users),
    )
    return graph, int(rng.integers(1, 5))


def random_physical_graph(seed: int) -> tuple[ModelGraph, Device, int]:
    """Return the graph of `random_wide_graph` with FLOPs, seconds and bytes, a device, and a number of stages.

    Half of the devices have a latency, of up to all work together; a third count activations. Some tensors have no
    bytes, and some nodes a measured time, state and workspace.
    """
    graph, stages = random_wide_graph(seed)
    rng = np.random.default_rng([seed, 13])
    n, m = graph.topology.n, len(graph.topology.producer)
    speed = float(f"{10 ** rng.uniform(3, 12):.3g}")
    flops, moved, parameters, shared = (
        _costs(rng, count, whole=True).astype(np.float64) for count in (n, n, n, len(graph.shared))
    )
    sent = (_costs(rng, m, whole=True) // 10 ** int(rng.integers(0, 6))).astype(np.float64)
    seconds = np.where(rng.random(n) < 0.5, _costs(rng, n, whole=False) * 1e-6, np.nan)
    work = (flops.sum() + moved.sum()) / speed + float(np.nansum(seconds)) + 1e-9
    link = float(f"{(sent.sum() + 1) / work * 10 ** rng.uniform(-1, 4):.3g}")
    latency = float(f"{work * 10 ** rng.uniform(-5, 0):.3g}") if rng.random() < 0.5 else 0.0
    more = np.random.default_rng([seed, 14])
    held, needed = (_costs(more, n, whole=True) * (more.random() < 0.5) / 2 for _ in range(2))
    costs = PhysicalCosts(
        flops=flops,
        parameter_bytes=parameters,
        accessed_bytes=moved,
        seconds=seconds,
        tensor_bytes=sent,
        shared_bytes=shared,
        state_bytes=held,
        workspace_bytes=needed,
    )
    device = Device(
        name=f"wide-{seed}",
        peak_flops=speed,
        memory_bandwidth=speed / 3,
        link_bandwidth=link,
        link_latency=latency,
        fast_memory=float(parameters.sum()) * float(rng.choice([0.0, 0.3, 0.999])) if rng.random() < 0.6 else None,
        activations=more.random() < 0.35,
    )
    return replace(graph, costs=costs), device, stages


def random_device_chain(seed: int) -> tuple[ModelGraph, Devices, int]:
    """Return the graph of `random_physical_graph`, devices that differ by up to 1,000 times, and their number.

    Some have no fast memory, some count activations, and for some devices nodes have measured times of their own.
    """
    graph, base, stages = random_physical_graph(seed)
    rng, more = np.random.default_rng([seed, 14]), np.random.default_rng([seed, 15])
    costs = graph.costs
    assert isinstance(costs, PhysicalCosts)
    assert base.peak_flops is not None
    assert base.memory_bandwidth is not None
    assert base.link_bandwidth is not None
    kinds, device_seconds = [], {}
    for i in range(int(rng.integers(1, 4))):
        faster, wider = (float(f"{10 ** rng.uniform(0, 3):.3g}") if rng.random() < 0.8 else 1.0 for _ in range(2))
        name = f"kind-{i}"
        kinds.append(
            Device(
                name=name,
                peak_flops=base.peak_flops * faster,
                memory_bandwidth=base.memory_bandwidth * faster,
                link_bandwidth=base.link_bandwidth * wider,
                link_latency=base.link_latency * float(rng.integers(0, 3)),
                fast_memory=base.fast_memory if rng.random() < 0.8 else None,
                activations=more.random() < 0.35,
            )
        )
        if rng.random() < 0.4:
            measured = _costs(rng, graph.topology.n, whole=False) * 1e-6
            device_seconds[name] = np.where(rng.random(graph.topology.n) < 0.5, measured, np.nan)
    graph = replace(graph, costs=replace(costs, device_seconds=device_seconds))
    return graph, chain_of([kinds[int(i)] for i in rng.integers(0, len(kinds), stages)]), stages


def decimal(value: float) -> Fraction:
    """Read a cost as the decimal that stands for it in a file."""
    return Fraction(repr(value))


def assert_true_in_units(entry: str, seed: int, *, kind: Kind = "priced") -> bool:
    """Hold what an entry claims about `random_wide_graph` against brute force in rational numbers.

    Parameters
    ----------
    kind
        What to take in its place: ``physical`` for `random_physical_graph`, ``devices`` for `random_device_chain`.

    Returns
    -------
    Whether the graph was accepted; costs may span too much to be priced.

    Raises
    ------
    AssertionError
        If a dual bound is above the optimum, or a partition costs less than it or than its own nodes do, in the unit of
        the graph, with its floats read as binary fractions or as decimals.
    """
    graph, device, stages = _drawn(seed, kind)
    label = f"{entry}, {graph.name}, {kind}, k = {stages}"
    try:
        quantised = quantise(graph, device)
    except UserError:
        return False
    problem = Problem(instance=quantised.instance, stages=stages)
    outcome, board = run_entry(registry.create(entry), problem, name=entry, seed=seed)
    optimum, in_decimals = _optima(seed, kind)
    duals = [bound.value for bound in board.bounds] + ([] if outcome.dual is None else [outcome.dual.value])
    for dual in duals:
        value = quantised.rounding.lower(dual)
        assert Fraction(value) <= optimum, f"{label}: {value!r} is above the optimum {float(optimum)!r}"
        assert decimal(value) <= in_decimals, f"{label}: {value!r} is above the optimum {float(in_decimals)!r}"
    if board.incumbent is not None:
        stage_of = board.incumbent.partition.stage_of[problem.instance.node_of_input]
        exact = exact_bottleneck(exact_stage_costs(graph, device, stage_of, stages))
        value = exact.rounded_up()
        assert Fraction(value) >= exact.binary >= optimum, f"{label}: a partition of {value!r}, below the optimum"
        assert decimal(value) >= exact.decimal >= in_decimals, f"{label}: a partition of {value!r}, below the optimum"
        assert max(exact) <= quantised.rounding.upper_fraction(board.incumbent.value) or _cuts_a_dear_tensor(
            graph, device, stage_of
        ), f"{label}: rounding loses more than it says"
    return True


@cache
def _optima(seed: int, kind: Kind) -> tuple[Fraction, Fraction]:
    """Return the optimum of a drawn graph, its floats read as binary fractions and as decimals.

    All entries ask for the same ones, and exhaustion in rational numbers takes longer than most of them.
    """
    graph, device, stages = _drawn(seed, kind)
    return fraction_optimum(graph, stages, Fraction, device), fraction_optimum(graph, stages, decimal, device)


def _drawn(seed: int, kind: Kind) -> tuple[ModelGraph, Devices | None, int]:
    if kind == "physical":
        return random_physical_graph(seed)
    if kind == "devices":
        return random_device_chain(seed)
    graph, stages = random_wide_graph(seed)
    return graph, None, stages


def _cuts_a_dear_tensor(graph: ModelGraph, device: Devices | None, stage_of: IntArray) -> bool:
    """Whether a partition cuts a tensor that costs more than all work and parameters, on some device."""
    cut = cut_tensors(graph.topology, stage_of, int(stage_of.max()) + 1)
    for kind in (None,) if device is None else kinds_of(device):
        costs = rational_costs(graph, Fraction, kind)
        everything = sum([*costs.work, *costs.parameters, *costs.shared, *costs.working], Fraction(0))
        if any(costs.sent[t] > everything / 2 for t in cut.leaving.tolist()):
            return True
    return False


def _costs(rng: np.random.Generator, count: int, whole: bool) -> IntArray | FloatArray:
    """Return costs of one kind."""
    spread = float(rng.choice([0, 2, 6, ORDERS]))
    middle = float(rng.uniform(-6, 6))
    values = 10.0 ** (middle + rng.uniform(-spread / 2, spread / 2, count))
    values[rng.random(count) < 0.15] = 0.0
    if whole:
        return np.minimum(values * 10.0 ** rng.integers(0, 7), 9e17).astype(np.int64)
    if rng.random() < 0.4:
        values = np.array([float(f"{value:.3g}") for value in values.tolist()], np.float64)
    return values
