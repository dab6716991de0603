"""What nodes and stages hold in memory, in whole bytes: parameters, state, working sets, and tensors that are live.

A stage holds the parameters of its nodes, shared ones once, and their state. While a node runs, its inputs, outputs and
workspace are there besides: its *working set*. Nodes of a stage run one after the other, so what must be there at once
is at least parameters, state and the largest working set of its nodes; that is what a memory limit counts. It grows
with the nodes of a stage, whatever order they run in.

In training (`framework.model.training`) a stage holds its parameters several times, its activations for each microbatch
in flight, and while a node runs backwards the gradients of its inputs and outputs, and its workspace.

The *peak* of a partition is larger, as tensors wait for their readers: it is exact for stages that run their nodes in
the order of the file (or the nearest one in which producers come first). A tensor is live from the moment it is
produced, or from the start if it comes from an earlier stage, until its last reader of the stage has run, or to the end
if a later stage reads it or nobody does. In training nothing is known of it: it is what the stage holds at least.

Fractions of bytes are rounded up, for each node and tensor.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np

from framework.errors import UserError
from framework.model.arrays import IntArray
from framework.model.graph import FloatArray, ModelGraph, PhysicalCosts
from framework.model.topology import Topology, stable_topological_order

LARGEST_SIZE = 1 << 44
"""Sums of bytes stay below this, so that the sizes of an anchor for each of 2^16 stages add up in 64 bits."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NodeMemory:
    """What each node holds, in bytes (for a priced graph: in the unit of its parameter costs, and parameters only).

    Attributes
    ----------
    parameters, state, worksets
        ``[n]`` parameters that the node alone uses, what it keeps from one inference to the next, its working set.
    shared
        Size of each shared parameter.
    activations
        In training the size of each tensor that gradients are computed from (`TrainingStep.activations`); else none.
    """

    parameters: IntArray
    state: IntArray
    worksets: IntArray
    shared: IntArray
    activations: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(frozen=True, slots=True, kw_only=True)
class StageMemory:
    """What a stage holds, in bytes.

    Attributes
    ----------
    parameters, state
        Of its nodes, shared parameters once.
    workset
        The largest working set of its nodes.
    peak_live
        The most that is live at once of tensors and workspace when nodes run in the order of the file.
    activations
        In training, what the stage keeps for all of its microbatches in flight.
    """

    parameters: int
    state: int
    workset: int
    peak_live: int
    activations: int = 0

    @property
    def resident(self) -> int:
        """What the stage needs at least: what a memory limit counts."""
        return self.parameters + self.state + self.activations + self.workset

    @property
    def peak(self) -> int:
        """What it needs when nodes run in the order of the file."""
        return self.parameters + self.state + self.activations + self.peak_live

    def as_dict(self) -> dict[str, int]:
        """Return it for a file; activations where there are some."""
        row = asdict(self)
        return row if self.activations else {name: value for name, value in row.items() if name != "activations"}


def node_memory(graph: ModelGraph) -> NodeMemory:
    """Return what each node of a graph holds, as exact integers.

    Raises
    ------
    UserError
        If it adds up to too much, or the graph carries prices that are no integers.
    """
    costs, none = graph.costs, np.zeros(graph.topology.n, np.int64)
    parts: list[IntArray | FloatArray]
    if isinstance(costs, PhysicalCosts):
        working = _working_bytes(graph.topology, costs, 0 if graph.step is None else graph.step.gradients)
        parts = [costs.parameter_bytes, costs.state_bytes, working, costs.shared_bytes]
    elif np.issubdtype(costs.parameter_cost.dtype, np.integer) and np.issubdtype(costs.shared_cost.dtype, np.integer):
        parts = [costs.parameter_cost, none, none, costs.shared_cost]
    else:
        raise UserError(
            "this graph carries prices instead of bytes, and its parameter costs are no integers",
            where=graph.source,
            hint="drop the memory limit",
        )
    parameters, state, worksets, shared = (np.ceil(part) for part in parts)
    activations = np.zeros(0)
    if graph.step is not None:
        copies, activations = graph.step.training.copies, np.ceil(graph.step.activation_bytes)
        parameters, shared = copies * parameters, copies * shared
    total = float(sum(part.sum(dtype=np.float64) for part in (parameters, state, shared, activations)) + worksets.max())
    if total >= LARGEST_SIZE:
        raise UserError(
            f"what nodes hold adds up to {total:.3g}, too much for a memory limit",
            where=graph.source,
            hint=f"at most {LARGEST_SIZE} can be counted",
        )
    return NodeMemory(
        parameters=parameters.astype(np.int64),
        state=state.astype(np.int64),
        worksets=worksets.astype(np.int64),
        shared=shared.astype(np.int64),
        activations=activations.astype(np.int64),
    )


def working_sets(graph: ModelGraph) -> IntArray:
    """Return what each node of a graph with bytes needs while it runs, as exact integers, ``[n]``.

    Raises
    ------
    UserError
        If one is too much to be counted.
    """
    assert isinstance(graph.costs, PhysicalCosts)
    sizes = _working_bytes(graph.topology, graph.costs)
    if sizes.max() >= LARGEST_SIZE:
        node = graph.node_names[int(sizes.argmax())]
        raise UserError(
            f"the tensors of node {node!r} add up to {sizes.max():.3g} bytes, too much to be counted",
            where=graph.source,
            hint="check the sizes of its tensors, or do not count activations",
        )
    return sizes.astype(np.int64)


def _working_bytes(top: Topology, costs: PhysicalCosts, first: int = 0) -> FloatArray:
    """Return the workspace of each node, and its tensors from the given one on, ``[n]``."""
    working = np.ceil(costs.workspace_bytes)
    sizes = np.ceil(costs.tensor_bytes)
    sizes[:first] = 0
    np.add.at(working, top.producer, sizes)
    np.add.at(working, top.consumers, np.repeat(sizes, np.diff(top.consumer_ptr)))
    return working


def stage_memory(graph: ModelGraph, stage_of: IntArray, stages: int) -> tuple[StageMemory, ...]:
    """Return what each stage of a partition holds; nothing for a graph without bytes, or with too many to count.

    Parameters
    ----------
    stage_of
        ``[n]`` the stage of each node of the graph.
    """
    costs = graph.costs
    if not isinstance(costs, PhysicalCosts):
        return ()
    try:
        memory = node_memory(graph)
    except UserError:
        return ()
    parameters = graph.shared.sums(memory.shared, stage_of, stages)
    state, workset = np.zeros(stages, np.int64), np.zeros(stages, np.int64)
    np.add.at(parameters, stage_of, memory.parameters)
    np.add.at(state, stage_of, memory.state)
    np.maximum.at(workset, stage_of, memory.worksets)
    activations, peak = np.zeros(stages, np.int64), workset
    if graph.step is None:
        peak = _peak_live(graph.topology, costs, stage_of, stages)
    else:
        in_flight = np.array(graph.step.training.in_flight(stages), np.int64)
        activations = in_flight * graph.step.activations.sums(memory.activations, stage_of, stages)
    columns = (array.tolist() for array in (parameters, state, workset, peak, activations))
    return tuple(
        StageMemory(parameters=p, state=s, workset=w, peak_live=live, activations=kept)
        for p, s, w, live, kept in zip(*columns, strict=True)
    )


def memory_rows(graph: ModelGraph, stage_of: IntArray, stages: int) -> list[dict[str, int]]:
    """Return what `stage_memory` does, for a file."""
    return [row.as_dict() for row in stage_memory(graph, stage_of, stages)]


def _peak_live(top: Topology, costs: PhysicalCosts, stage_of: IntArray, stages: int) -> IntArray:
    """Return the peak of live tensors and workspace of each stage, ``[stages]``."""
    n = top.n
    # Nodes by stage, in the order of the file within each: the moments of a stage are a range of places.
    order = np.arange(n, dtype=np.int64) if top.is_topological else stable_topological_order(top)
    order = order[np.argsort(stage_of[order], kind="stable")]
    place = np.empty(n, np.int64)
    place[order] = np.arange(n)
    first = np.searchsorted(stage_of[order], np.arange(stages + 1))
    sizes = np.ceil(costs.tensor_bytes).astype(np.int64)
    change = np.zeros(n + 1, np.int64)
    home, tensor = stage_of[top.producer], np.repeat(np.arange(top.m), np.diff(top.consumer_ptr))
    # At home a tensor is live from its producer on, to its last reader there or to the end of the stage.
    last = place[top.producer].copy()
    here = stage_of[top.consumers] == home[tensor]
    np.maximum.at(last, tensor[here], place[top.consumers[here]])
    kept = np.diff(top.consumer_ptr) == 0
    kept[tensor[~here]] = True
    last[kept] = first[home[kept] + 1] - 1
    np.add.at(change, place[top.producer], sizes)
    np.add.at(change, last + 1, -sizes)
    # In each other stage that reads it, it is live from the start to its last reader there.
    pairs, index = np.unique(tensor[~here] * stages + stage_of[top.consumers[~here]], return_inverse=True)
    last = np.zeros(len(pairs), np.int64)
    np.maximum.at(last, index, place[top.consumers[~here]])
    np.add.at(change, first[pairs % stages], sizes[pairs // stages])
    np.add.at(change, last + 1, -sizes[pairs // stages])
    live = np.cumsum(change)[:n] + np.ceil(costs.workspace_bytes).astype(np.int64)[order]
    peak = np.zeros(stages, np.int64)
    np.maximum.at(peak, stage_of[order], live)
    return peak
