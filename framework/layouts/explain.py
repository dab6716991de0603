"""Why a partition costs what it costs, and why none costs less: what binds the slowest stage, and what would help.

Shares of a stage are given in the unit of the result, each priced on its own; the stage itself is priced exactly. A
what-if row is a problem of its own, solved and bounded like any other: twice the bandwidth of the links, twice the
memory, one device more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from framework.bounds import Certificate
from framework.errors import UserError
from framework.layouts.what_if import WhatIf
from framework.model.arrays import IntArray
from framework.model.device_chain import device_of_stage
from framework.model.graph import FloatArray, ModelGraph, PhysicalCosts
from framework.model.memory import stage_memory
from framework.model.pricing import price, quantise
from framework.model.problem import Problem
from framework.portfolio.constraints import constrain
from framework.portfolio.proofs import relaxations
from framework.portfolio.reading import stages_of
from framework.portfolio.records import StageCost
from framework.portfolio.result import Result
from framework.shown import Shown

MOST_PARTS = 5
"""Nodes and tensors that are named of each kind; the others are added up."""

_VALUES = {"stage-cover": "prices", "counting": "weights"}
"""Certificates that value nodes, and the field with the values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A node or a tensor, and what it costs.

    Attributes
    ----------
    name
        Of the node; of the producer, for a tensor.
    cost
        In the unit of the result.
    other
        For a tensor, the stages at its other ends.
    size
        Bytes of a tensor or of parameters; None where the graph states none.
    """

    name: str
    cost: float
    other: tuple[int, ...] = ()
    size: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-compatible data."""
        return {"name": self.name, "cost": self.cost, "stages": list(self.other), "bytes": self.size}


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """What the dual bound rests on.

    Attributes
    ----------
    source
        Who proved it.
    nodes
        The nodes that its certificate speaks of, those that count most first; empty where it speaks of all.
    words
        What it says of them.
    """

    source: str
    nodes: tuple[str, ...]
    words: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-compatible data."""
        return {"source": self.source, "nodes": list(self.nodes), "words": self.words}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Explanation(Shown):
    """What binds the slowest stage of a result, what its bound rests on, and what would help.

    Attributes
    ----------
    result
        What is explained.
    stage, cost
        The slowest stage, and what it costs.
    work, inbound, outbound, parameters
        Its nodes, the tensors that it receives and sends, and the nodes whose parameters fill it, dearest first.
    held, fast_memory
        Bytes of parameters that the stage holds, and that fit without streaming; None where the graph states no bytes,
        or nothing limits them.
    support
        What the dual bound rests on; None without one.
    what_if
        Other problems, if they were asked for.
    """

    result: Result
    stage: int
    cost: StageCost
    work: tuple[Part, ...]
    inbound: tuple[Part, ...]
    outbound: tuple[Part, ...]
    parameters: tuple[Part, ...]
    held: int | None
    fast_memory: float | None
    support: Support | None
    what_if: tuple[WhatIf, ...] = ()

    def __repr__(self) -> str:
        return f"<Explanation {self.result.graph.name}, k = {self.result.stages}: stage {self.stage} is the slowest>"

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-compatible data."""
        parts = {"work": self.work, "in": self.inbound, "out": self.outbound, "parameters": self.parameters}
        return {
            "stage": self.stage,
            "cost": self.cost.as_dict(),
            **{name: [part.as_dict() for part in rows] for name, rows in parts.items()},
            "held_bytes": self.held,
            "fast_memory_bytes": self.fast_memory,
            "support": None if self.support is None else self.support.as_dict(),
            "what_if": [row.as_dict() for row in self.what_if],
        }


def explain(result: Result, graph: ModelGraph) -> Explanation:
    """Say what binds the slowest stage of a result, and what its bound rests on; `what_if` is left empty.

    Raises
    ------
    UserError
        If the result holds no partition, or is of another graph.
    """
    if result.stage_of is None or not result.stage_costs:
        raise UserError("the result holds no partition to explain", where=result.graph.name)
    if not graph.is_called(result.graph.sha256):
        raise UserError("this is not the graph that was solved", where=graph.source, hint="give the one that was")
    stage_of = stages_of(result, graph.topology.n)
    stage = max(range(result.stages), key=lambda b: result.stage_costs[b].total)
    members = np.flatnonzero(stage_of == stage)
    prices = _Prices(result, graph, stage, members)
    top = graph.topology
    inbound, outbound = [], []
    for t, u in enumerate(top.producer.tolist()):
        home = int(stage_of[u])
        readers = set(stage_of[top.consumers[top.consumer_ptr[t] : top.consumer_ptr[t + 1]]].tolist()) - {home}
        if home == stage and readers:
            outbound.append(prices.tensor(t, sorted(readers)))
        elif stage in readers:
            inbound.append(prices.tensor(t, [home]))
    held = None
    if prices.physical is not None:
        # Only the values of parameters count towards the fast memory, not their gradients and what optimizers keep.
        copies = 1 if graph.step is None else graph.step.training.copies
        held = stage_memory(graph, stage_of, result.stages)[stage].parameters // copies
    return Explanation(
        result=result,
        stage=stage,
        cost=result.stage_costs[stage],
        work=_dearest([prices.node(v) for v in members.tolist()]),
        inbound=_dearest(inbound),
        outbound=_dearest(outbound),
        parameters=_dearest([prices.parameters(v) for v in members.tolist()]),
        held=held,
        fast_memory=prices.fast_memory,
        support=_support(result, graph),
    )


class _Prices:
    """What nodes and tensors cost on the device of one stage, in the unit of the result."""

    def __init__(self, result: Result, graph: ModelGraph, stage: int, members: IntArray) -> None:
        self.graph = graph
        self.physical = graph.costs if isinstance(graph.costs, PhysicalCosts) else None
        self.device = None if result.device is None else device_of_stage(result.device, stage)
        instance = price(graph, self.device)
        ticks = instance.work[instance.node_of_input]
        self.work = [instance.in_units(int(value)) for value in ticks]
        self.held = _held(graph, members)

    @property
    def fast_memory(self) -> float | None:
        """Bytes that the stage holds without streaming."""
        memory = None if self.device is None else self.device.fast_memory
        return None if memory is None or np.isinf(memory) else memory

    def node(self, v: int) -> Part:
        """Return a node and its work."""
        return Part(name=self.graph.node_names[v], cost=self.work[v])

    def tensor(self, t: int, other: Sequence[int]) -> Part:
        """Return a tensor and what handing it over once costs."""
        name = self.graph.node_names[int(self.graph.topology.producer[t])]
        if self.graph.step is not None and t >= self.graph.step.gradients:
            name = f"gradient of {name}"
        if self.physical is None:
            costs = self.graph.costs
            assert not isinstance(costs, PhysicalCosts)
            return Part(name=name, cost=float(costs.tensor_cost[t]), other=tuple(other))
        size = float(self.physical.tensor_bytes[t])
        return Part(name=name, cost=self._seconds(size, self._latency if size else 0.0), other=tuple(other), size=size)

    def parameters(self, v: int) -> Part:
        """Return a node and what streaming its parameters would cost."""
        size = float(self.held[v])
        if self.physical is None:
            return Part(name=self.graph.node_names[v], cost=size)
        return Part(name=self.graph.node_names[v], cost=self.physical.streams * self._seconds(size, 0.0), size=size)

    @property
    def _latency(self) -> float:
        return 0.0 if self.device is None else self.device.link_latency

    def _seconds(self, size: float, latency: float) -> float:
        bandwidth = None if self.device is None else self.device.link_bandwidth
        return latency + (size / bandwidth if bandwidth else 0.0)


def _held(graph: ModelGraph, members: IntArray) -> FloatArray:
    """Return the parameters of each node, ``[n]``, what nodes of a stage share with any at the first of them."""
    costs, shared = graph.costs, graph.shared
    if isinstance(costs, PhysicalCosts):
        own, sizes = costs.parameter_bytes.astype(np.float64), costs.shared_bytes.astype(np.float64)
    else:
        own, sizes = costs.parameter_cost.astype(np.float64), costs.shared_cost.astype(np.float64)
    inside = set(members.tolist())
    for q in range(len(shared)):
        users = [v for v in shared.users[shared.ptr[q] : shared.ptr[q + 1]].tolist() if v in inside]
        if users:
            own[min(users)] += float(sizes[q])
    return own


def _dearest(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Return the parts that cost anything, dearest first."""
    return tuple(sorted((part for part in parts if part.cost > 0), key=lambda part: -part.cost))


def _support(result: Result, graph: ModelGraph) -> Support | None:
    if not result.bounds:
        return None
    best = result.bounds[0]
    certificate = best.certificate
    if certificate is None:
        return Support(source=best.source, nodes=(), words="it has no certificate, and speaks of the whole graph")
    named = _node_names(result, graph, certificate)
    if certificate.kind == "simple":
        return _simple_support(result, graph, best.source)
    if certificate.kind == "anchored-cut" and named is not None:
        nodes = named(int(certificate.data["anchor"]))
        return Support(source=best.source, nodes=nodes, words="any stage that holds them costs as much as the bound")
    if certificate.kind in _VALUES and named is not None:
        values = np.array(certificate.data[_VALUES[certificate.kind]], np.float64).reshape(-1)
        order = np.argsort(-values, kind="stable")
        worth = [int(v) for v in order if values[v] > 0]
        nodes = tuple(name for v in worth for name in named(v))
        words = "no stage below the bound holds as much of their value as a stage has to on average"
        return Support(source=best.source, nodes=nodes, words=words)
    return Support(
        source=best.source, nodes=(), words=f"its certificate ({certificate.kind}) speaks of the whole graph"
    )


def _simple_support(result: Result, graph: ModelGraph, source: str) -> Support:
    instance = _problem(result, graph).instance
    heaviest = int(instance.work.argmax())
    if result.dual_ticks is not None and int(instance.work[heaviest]) >= result.dual_ticks:
        names = [name for v, name in enumerate(graph.node_names) if instance.node_of_input[v] == heaviest]
        return Support(source=source, nodes=tuple(names), words="some stage does their work")
    words = "some stage costs at least the average: all work, and the parameters that cannot fit, over all stages"
    return Support(source=source, nodes=(), words=words)


def _problem(result: Result, graph: ModelGraph) -> Problem:
    priced = quantise(graph, result.device)
    instance = constrain(priced.instance, graph, result.constraints, result.stages, result.device)
    return Problem(instance=instance, stages=result.stages)


def _node_names(result: Result, graph: ModelGraph, certificate: Certificate) -> Callable[[int], tuple[str, ...]] | None:
    """Return what names the nodes of the instance that a certificate speaks of; None if that is not known here."""
    problem = _problem(result, graph)
    of_input: IntArray = problem.instance.node_of_input
    if certificate.instance not in relaxations(problem):
        from framework.structure.reduction.dominance import reduce_exact

        reduced = replace(problem, instance=reduce_exact(problem.instance, load_kernels=False))
        if certificate.instance not in relaxations(reduced):
            return None
        of_input = reduced.instance.node_of_input[of_input]
    members: dict[int, list[str]] = {}
    for name, v in zip(graph.node_names, of_input.tolist(), strict=True):
        members.setdefault(v, []).append(name)
    return lambda v: tuple(members.get(v, ()))
