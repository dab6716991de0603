"""What a user fixes of a partition beforehand.

Nodes that share a stage, nodes whose results must not be cut, and modules that stay whole: all say that certain nodes
are in one stage, so all are contractions of the instance, made before presolve. The partitions of the contracted
instance are exactly the ones that obey, at the same cost (`framework.structure.reduction.contraction`). Every
formulation therefore honours them without knowing of them, and every dual bound is one of the constrained problem.

Nodes pinned to stages, and a limit on the memory of a stage: hard limits of the instance
(`framework.structure.reduction.hard_limits`). Entries with `Feature.LIMITS` keep to them; the others bound a
relaxation. Memory counts what a stage must hold at once (`framework.model.memory`): the parameters of its nodes, each
once however many of them use it, their state, and the largest working set of one of them. Bytes are exact integers
(fractions are rounded up), never ticks.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from framework.errors import UserError
from framework.fields import Fields, shown
from framework.model.arrays import IntArray, find_root
from framework.model.device_chain import Devices, device_of_stage, kinds_of
from framework.model.graph import ModelGraph, PhysicalCosts
from framework.model.instance import Instance
from framework.model.memory import node_memory
from framework.model.module_paths import matching_modules, module_paths
from framework.model.problem import Problem
from framework.model.shared import SharedParameters, joined, rename_users
from framework.wording import counted

MOST_MEMORY = (1 << 60) - 1
"""The largest memory limit."""

RESIDENT: Literal["resident"] = "resident"
"""What a memory limit counts: parameters, state and working sets (`framework.model.memory`)."""

PARAMETERS: Literal["parameters"] = "parameters"
"""What memory limits counted in result files of earlier versions: parameters alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """Constraints by the names of nodes.

    Attributes
    ----------
    same_stage
        Sets of nodes that share a stage; nodes on paths between them are then in it too.
    whole_modules
        Patterns of module paths, ``layers.*``: the nodes that ran in one such module share a stage
        (`framework.model.module_paths`).
    no_cut
        Nodes that are in one stage with all users of their results.
    pins
        Nodes and the stages they are in, numbered from 0 as in result files and tables.
    memory_limit
        The most that a stage may hold, in bytes (for a priced graph: in the unit of its parameter costs, which must be
        integers); parameters are then never streamed. None for no limit.
    memory_counts
        What the limit counts: `RESIDENT`, or `PARAMETERS` alone. For a priced graph, which says nothing else, these are
        the same.
    """

    same_stage: tuple[tuple[str, ...], ...] = ()
    whole_modules: tuple[str, ...] = ()
    no_cut: tuple[str, ...] = ()
    pins: tuple[tuple[str, int], ...] = ()
    memory_limit: int | None = None
    memory_counts: Literal["resident", "parameters"] = RESIDENT

    def __bool__(self) -> bool:
        return bool(self.same_stage or self.whole_modules or self.no_cut or self.pins or self.memory_limit is not None)

    def as_dict(self) -> dict[str, Any]:
        """Return the constraints for a result file."""
        counts = {} if self.memory_limit is None else {"memory_counts": self.memory_counts}
        modules = {"whole_modules": list(self.whole_modules)} if self.whole_modules else {}
        return {
            "same_stage": [list(names) for names in self.same_stage],
            **modules,
            "no_cut": list(self.no_cut),
            "pins": [[name, stage] for name, stage in self.pins],
            "memory_limit": self.memory_limit,
            **counts,
        }

    def __str__(self) -> str:
        """Name what is given, for sentences such as "no partition obeys ..."; empty for nothing."""
        parts = []
        if self.pins:
            names = _some([f"{name}={stage}" for name, stage in self.pins])
            parts.append(f"the {'pin' if len(self.pins) == 1 else 'pins'} {names}")
        if len(self.same_stage) == 1:
            parts.append(f"the same stage for {_some(self.same_stage[0])}")
        elif self.same_stage:
            parts.append(f"the same stage for each of {len(self.same_stage)} sets of nodes")
        if self.whole_modules:
            parts.append(f"whole modules {_some(self.whole_modules)}")
        if self.no_cut:
            parts.append(f"no cut behind {_some(self.no_cut)}")
        if self.memory_limit is not None:
            parts.append(f"the memory limit of {self.memory_limit:,}")
        return " and ".join(parts)

    @staticmethod
    def from_dict(document: Mapping[str, Any] | None) -> Constraints:
        """Read what `as_dict` wrote, as `read_constraints` does; None is no constraints."""
        return Constraints() if document is None else read_constraints(Fields(document, "the constraints"))


def _some(names: Sequence[str]) -> str:
    """Return the first few of many names."""
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"


def read_constraints(fields: Fields) -> Constraints:
    """Read what `Constraints.as_dict` wrote.

    Raises
    ------
    UserError
        If it is something else: a constraint that is not understood must not be ignored.
    """
    groups = fields.entries("same_stage", ())
    pins = []
    for key, value in fields.entries("pins", ()):
        right = isinstance(value, list) and len(value) == 2
        if not right or not isinstance(value[0], str) or type(value[1]) is not int:
            raise fields.error(key, f"{shown(value)} is no pair of node and stage")
        pins.append((value[0], value[1]))
    if (counts := fields.text("memory_counts", PARAMETERS)) not in (RESIDENT, PARAMETERS):
        raise fields.error("memory_counts", f"{shown(counts)} is nothing that a memory limit counts")
    constraints = Constraints(
        same_stage=tuple(tuple(fields.inner(key, {"nodes": value}).texts("nodes")) for key, value in groups),
        whole_modules=tuple(fields.texts("whole_modules", ())),
        no_cut=tuple(fields.texts("no_cut", ())),
        pins=tuple(pins),
        memory_limit=None if fields.null("memory_limit") else fields.integer("memory_limit", least=0, most=MOST_MEMORY),
        # Absent in files of earlier versions; says nothing where there is no limit.
        memory_counts=PARAMETERS if counts == PARAMETERS and not fields.null("memory_limit") else RESIDENT,
    )
    fields.finish()
    return constraints


def constrain(
    instance: Instance, graph: ModelGraph, constraints: Constraints, stages: int, device: Devices | None = None
) -> Instance:
    """Contract and limit an instance of a graph so that its partitions into `stages` stages are those that obey.

    The devices that priced it may have memory limits of their own. These are kept besides; parameters beyond the fast
    memory of a device are streamed then as always, while `Constraints.memory_limit` takes the place of streaming.

    Returns
    -------
    The constrained instance; its `node_of_input` maps the nodes of the graph.

    Raises
    ------
    UserError
        If a node is not in the graph, or if pins contradict each other or anything else.
    """
    limits = memory_limits(constraints, device, stages)
    if not constraints and limits is None:
        return instance
    from framework.structure.reduction.contraction import compose, contract
    from framework.structure.reduction.hard_limits import Kept, limit_memory, pin

    label = instance.node_of_input[_groups(graph, constraints)]
    of_node = np.empty(instance.n, np.int64)
    of_node[instance.node_of_input] = label
    instance = compose(instance, contract(instance, of_node))
    if limits is not None:
        held = _held(graph, constraints)
        renamed = rename_users(held.rows, instance.node_of_input, instance.n, held.shared, held.kept)
        sizes = renamed.private[0]
        np.add.at(sizes, instance.node_of_input, held.own)
        kept = None
        if graph.step is not None:
            kept = Kept(renamed.private[1], renamed.sizes[1], graph.step.training.in_flight(stages))
        worksets = np.zeros(instance.n, np.int64)
        np.maximum.at(worksets, instance.node_of_input, held.worksets)
        instance = limit_memory(
            instance,
            sizes,
            limits,
            stages,
            renamed.sizes[0],
            worksets,
            renamed.shared,
            kept=kept,
            streams=constraints.memory_limit is None,
        )
    if constraints.pins:
        instance = pin(instance, _pinned(instance, graph, constraints, stages), stages)
    return instance


def memory_limits(constraints: Constraints, device: Devices | None, stages: int) -> list[int] | None:
    """Return the most that each stage may hold, ``[stages]``, in bytes; None where nothing limits it."""
    limits = []
    for b in range(stages):
        own = None if device is None else device_of_stage(device, b).memory_limit
        both = [limit for limit in (constraints.memory_limit, own) if limit is not None]
        limits.append(int(min(*both, MOST_MEMORY)) if both else MOST_MEMORY)
    return limits if any(limit < MOST_MEMORY for limit in limits) else None


def obeyed(constraints: Constraints, device: Devices | None) -> str:
    """Name what partitions have to obey, for sentences such as "no partition obeys ..."."""
    limited = device is not None and any(kind.memory_limit is not None for kind in kinds_of(device))
    of_devices = "the memory limits of the devices" if limited else ""
    return " and ".join(part for part in (str(constraints), of_devices) if part)


def on_instance(problem: Problem, of_input: IntArray) -> tuple[IntArray, int | None]:
    """Return the stage of each node of a constrained instance, given those of the graph's nodes, ``[n]``.

    The second value is a node of the graph whose stage differs from that of another one that must share it, or from the
    one it is pinned to; None if there is none.
    """
    instance = problem.instance
    stage = np.zeros(instance.n, np.int64)
    stage[instance.node_of_input] = of_input
    limit = instance.stage_limit
    if limit is not None and len(limit.anchors):
        stage[limit.anchors] = np.arange(problem.stages)
    apart = np.flatnonzero(stage[instance.node_of_input] != of_input)
    return stage, int(apart[0]) if len(apart) else None


def why_infeasible(graph: ModelGraph, constraints: Constraints, stages: int, device: Devices | None = None) -> str:
    """Say why no partition obeys, as far as single nodes and the total show it; empty if they do not."""
    limits = memory_limits(constraints, device, stages)
    if limits is None:
        return ""
    limit, held = max(limits), _held(graph, constraints)
    # Of microbatches, the last stage has no more than one in flight.
    rows, own, shared, worksets = held.rows, held.own, held.shared + held.kept, held.worksets
    unit = " bytes" if isinstance(graph.costs, PhysicalCosts) else ""
    n = graph.topology.n
    sizes = own + worksets + rows.sums(shared, np.arange(n), n)
    total, largest = int(own.sum() + shared.sum()), int(sizes.argmax())
    if sizes[largest] > limit:
        name = graph.node_names[largest]
        return f"node {name!r} holds {sizes[largest]:,}{unit}, more than the memory limit of {limit:,}"
    if total > sum(limits) - stages * int(worksets.min()):
        room = (
            f"{counted(stages, 'stage')} of {limit:,}" if min(limits) == limit else f"the {sum(limits):,} of all stages"
        )
        what = "all parameters" if graph.step is None else "what is held for all parameters and one microbatch"
        return f"{what} {'take' if graph.step is None else 'takes'} up {total:,}{unit}, more than {room}"
    root = _groups(graph, constraints)
    together = rows.sums(shared, root, n)
    np.add.at(together, root, own)
    working = np.zeros(n, np.int64)
    np.maximum.at(working, root, worksets)
    together += working
    fullest = int(together.argmax())
    if together[fullest] > limit:
        names = ", ".join(graph.node_names[v] for v in np.flatnonzero(root == fullest)[:3].tolist())
        return f"{names}, ... must share a stage and hold {together[fullest]:,}{unit}, more than the limit of {limit:,}"
    return ""


class _Held(NamedTuple):
    """What a memory limit counts: of each node alone, while it runs, and of what a stage holds once for several nodes.

    `rows` are shared parameters, and in training the tensors that gradients are computed from: `kept` is what each
    takes for a microbatch in flight, `shared` what it takes besides.
    """

    own: IntArray
    worksets: IntArray
    rows: SharedParameters
    shared: IntArray
    kept: IntArray


def _held(graph: ModelGraph, constraints: Constraints) -> _Held:
    memory = node_memory(graph)
    rows, shared, kept = graph.shared, memory.shared, np.zeros_like(memory.shared)
    if constraints.memory_counts == "parameters":
        return _Held(memory.parameters, np.zeros_like(memory.worksets), rows, shared, kept)
    if graph.step is not None:
        rows = joined(rows, graph.step.activations)
        shared = np.concatenate((shared, np.zeros_like(memory.activations)))
        kept = np.concatenate((kept, memory.activations))
    return _Held(memory.parameters + memory.state, memory.worksets, rows, shared, kept)


def _pinned(instance: Instance, graph: ModelGraph, constraints: Constraints, stages: int) -> dict[int, int]:
    """Return the stage of each pinned node of the instance, once no pin contradicts anything.

    Raises
    ------
    UserError
        For an unknown node, a stage out of range, or two nodes whose pins contradict each other.
    """
    from framework.structure.reduction.hard_limits import earliest_stages

    index = {name: v for v, name in enumerate(graph.node_names)}
    stage_of: dict[int, int] = {}
    name_of: dict[int, str] = {}
    for name, stage in constraints.pins:
        v = int(instance.node_of_input[_known(index, name, graph)])
        if not 0 <= stage < stages:
            raise UserError(f"node {name!r} is pinned to stage {stage}, outside 0..{stages - 1}", where=graph.source)
        if stage_of.setdefault(v, stage) != stage:
            other = name_of[v]
            told = (
                f"node {name!r} is pinned to stage {stage_of[v]} and to stage {stage}"
                if other == name
                else f"nodes {other!r} and {name!r} must share a stage, and are pinned to {stage_of[v]} and {stage}"
            )
            raise UserError(told, where=graph.source, hint="drop one of the two pins")
        name_of.setdefault(v, name)
    earliest, why = earliest_stages(instance, stage_of)
    for v, stage in stage_of.items():
        if earliest[v] > stage:
            before = int(why[v])
            raise UserError(
                f"node {name_of[v]!r} is pinned to stage {stage}, but comes after {name_of[before]!r}, which is pinned "
                f"to stage {stage_of[before]}",
                where=graph.source,
                hint="drop one of the two pins",
            )
    return stage_of


def _groups(graph: ModelGraph, constraints: Constraints) -> IntArray:
    """Return for each node of the graph the smallest node of its group."""
    index = {name: v for v, name in enumerate(graph.node_names)}
    root = list(range(len(index)))

    def join(nodes: Sequence[int]) -> None:
        roots = [find_root(root, v) for v in nodes]
        for r in roots:
            root[r] = min(roots)

    for names in constraints.same_stage:
        join([_known(index, name, graph) for name in names])
    if constraints.whole_modules:
        modules = matching_modules(module_paths(graph.node_names), constraints.whole_modules, graph.source)
        first = {module: v for v, module in reversed(list(enumerate(modules)))}
        for v, module in enumerate(modules):
            if module is not None:
                join([first[module], v])
    top = graph.topology
    for name in constraints.no_cut:
        v = _known(index, name, graph)
        join([v, *top.succs[top.succ_ptr[v] : top.succ_ptr[v + 1]].tolist()])
    return np.array([find_root(root, v) for v in range(len(root))], np.int64)


def _known(index: Mapping[str, int], name: str, graph: ModelGraph) -> int:
    if name not in index:
        near = difflib.get_close_matches(name, list(index), 3)
        raise UserError(
            f"there is no node {name!r}", where=graph.source, hint=f"did you mean {', '.join(near)}?" if near else ""
        )
    return index[name]
