"""What is fixed beforehand: nodes of one stage, nodes pinned to stages, and what stages may hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from framework.errors import UserError
from framework.fields import Fields
from framework.model.arrays import IntArray
from framework.model.device_chain import Devices, device_of_stage
from framework.model.graph import ModelGraph
from framework.model.memory import node_memory
from framework.model.shared import SharedParameters
from framework.proof.problem import Limit, PlainProblem, RefusedError, Shared, Tensor
from framework.proof.reductions import on_each_kind, together

RESIDENT, PARAMETERS = "resident", "parameters"
"""What a memory limit counts: parameters, state and working sets, or parameters alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a log says of its problem besides graph, device and stages; nodes go by their names.

    Attributes
    ----------
    same_stage
        Sets of nodes that share a stage.
    no_cut
        Nodes that share a stage with all readers of what they make.
    pins
        Nodes and the stages that they are in.
    memory_limit
        What a stage may hold at most, in bytes; parameters are not streamed then.
    memory_counts
        What counts: `RESIDENT` or `PARAMETERS`.
    """

    same_stage: tuple[tuple[str, ...], ...] = ()
    no_cut: tuple[str, ...] = ()
    pins: tuple[tuple[str, int], ...] = ()
    memory_limit: int | None = None
    memory_counts: str = RESIDENT

    def as_dict(self) -> dict[str, Any]:
        """Return what `read_given` reads."""
        return {
            "same_stage": [list(names) for names in self.same_stage],
            "no_cut": list(self.no_cut),
            "pins": [[name, stage] for name, stage in self.pins],
            "memory_limit": self.memory_limit,
            "memory_counts": self.memory_counts,
        }


def read_given(fields: Fields) -> Given:
    """Read what is fixed beforehand.

    Raises
    ------
    UserError
        If it is anything else.
    """
    groups = fields.entries("same_stage", ())
    pins = []
    for key, value in fields.entries("pins", ()):
        if not (isinstance(value, list) and [type(item) for item in value] == [str, int]):
            raise fields.error(key, "it is no pair of node and stage")
        pins.append((value[0], value[1]))
    given = Given(
        same_stage=tuple(tuple(fields.inner(key, {"nodes": value}).texts("nodes")) for key, value in groups),
        no_cut=tuple(fields.texts("no_cut", ())),
        pins=tuple(pins),
        memory_limit=None if fields.null("memory_limit") else fields.integer("memory_limit", least=0),
        memory_counts=fields.choice("memory_counts", [RESIDENT, PARAMETERS]),
    )
    fields.finish()
    return given


def constrained(
    problem: PlainProblem, graph: ModelGraph, node_of: Sequence[int], given: Given, device: Devices | None
) -> PlainProblem:
    """Return the problem with what is fixed beforehand, and with the memory limits of devices.

    Parameters
    ----------
    problem
        Of the graph, as the device prices it.
    node_of
        The node of the problem that each node of the graph is.

    Raises
    ------
    UserError
        If the graph has no node of a name.
    RefusedError
        If pins contradict each other.
    """
    problem = _limited(problem, graph, node_of, given, device)
    place = dict(zip(graph.node_names, node_of, strict=True))
    try:
        sets = [[place[name] for name in names] for names in given.same_stage]
        sets += [[place[name], *problem.successors[place[name]]] for name in given.no_cut]
        pinned: dict[int, list[int]] = {}
        for name, stage in given.pins:
            pinned.setdefault(stage, []).append(place[name])
    except KeyError as error:
        raise UserError(f"the graph has no node {error}", where=graph.source) from None
    return pin(problem, pinned, sets)


def pin(problem: PlainProblem, pinned: Mapping[int, Sequence[int]], sets: Sequence[Sequence[int]]) -> PlainProblem:
    """Return the problem in which the nodes of each set share a stage, and the pinned ones are in theirs.

    Raises
    ------
    RefusedError
        If no partition keeps the pins, or a stage does not exist.
    """
    stages, stage_of = sorted(pinned), [-1] * problem.n
    for stage in stages:
        for v in pinned[stage]:
            if not 0 <= stage < problem.stages or stage_of[v] not in (-1, stage):
                raise RefusedError(f"node {v} cannot be in stage {stage}")
            stage_of[v] = stage
    # An order that pins make certain: all nodes of an earlier stage come before those of a later one.
    arcs = tuple(Tensor(0, pinned[one][0], frozenset({pinned[other][0]})) for one, other in pairwise(stages))
    problem = on_each_kind(problem, lambda kind: replace(kind, tensors=(*kind.tensors, *arcs)))
    if pinned:
        problem = replace(problem, pins=tuple(stage_of))
    sets = [nodes for nodes in (*sets, *pinned.values()) if nodes]
    return together(problem, sets) if sets else problem


def _limited(
    problem: PlainProblem, graph: ModelGraph, node_of: Sequence[int], given: Given, device: Devices | None
) -> PlainProblem:
    """Return the problem with limits on what its stages hold."""
    rooms = list[int | None]()
    for stage in range(problem.stages):
        own = None if device is None else device_of_stage(device, stage).memory_limit
        limits = [int(limit) for limit in (given.memory_limit, own) if limit is not None]
        rooms.append(min(limits, default=None))
    if given.memory_limit is not None:
        # What does not fit is forbidden, and nothing is streamed.
        problem = on_each_kind(problem, lambda kind: replace(kind, capacity=kind.held(range(kind.n))))
    if all(room is None for room in rooms):
        return problem
    memory, resident = node_memory(graph), given.memory_counts == RESIDENT
    sizes, worksets = [0] * problem.n, [0] * problem.n
    for v, own, state, workset in zip(
        node_of, memory.parameters.tolist(), memory.state.tolist(), memory.worksets.tolist(), strict=True
    ):
        sizes[v], worksets[v] = own + state * resident, workset * resident
    shared = _once(memory.shared, graph.shared, node_of)
    limit = Limit(tuple(sizes), shared, tuple(worksets), (0,) * problem.stages)
    if resident and graph.step is not None:
        # Activations of the microbatches in flight.
        limit = limit._replace(
            shared_kept=_once(memory.activations, graph.step.activations, node_of),
            in_flight=tuple(graph.step.training.in_flight(problem.stages)),
        )
    most = limit.times(max(limit.in_flight, default=0))
    total = sum(most.sizes) + sum(q.cost for q in most.shared) + max(worksets)
    return replace(problem, limit=limit._replace(rooms=tuple(total if r is None else min(r, total) for r in rooms)))


def _once(sizes: IntArray, rows: SharedParameters, node_of: Sequence[int]) -> tuple[Shared, ...]:
    """Return what counts once in each stage that holds a user, with the nodes of the problem."""
    ptr, users = rows.ptr.tolist(), rows.users.tolist()
    return tuple(
        Shared(size, frozenset(node_of[v] for v in users[start:end]))
        for size, start, end in zip(sizes.tolist(), ptr[:-1], ptr[1:], strict=True)
    )
