"""What a user fixes of a partition beforehand: nodes that share a stage, and nodes whose results must not be cut.

Both say that certain nodes are in one stage, so both are contractions of the instance, made before presolve: the
partitions of the contracted instance are exactly the ones that obey, at the same cost (`structure.contraction`). Every
formulation therefore honours them without knowing of them, and every dual bound is one of the constrained problem.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from framework.errors import UserError
from framework.model.graph import ModelGraph
from framework.model.instance import Instance
from framework.model.problem import Partition, Problem, stage_costs
from framework.model.topology import IntArray
from framework.portfolio.result import Result, stages_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """Constraints by the names of nodes.

    Attributes
    ----------
    same_stage
        Sets of nodes that share a stage; nodes on paths between them are then in it too.
    no_cut
        Nodes that are in one stage with all users of their results.
    """

    same_stage: tuple[tuple[str, ...], ...] = ()
    no_cut: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.same_stage or self.no_cut)

    def as_dict(self) -> dict[str, Any]:
        """Return the constraints for a result file."""
        return {"same_stage": [list(names) for names in self.same_stage], "no_cut": list(self.no_cut)}

    @staticmethod
    def from_dict(document: Mapping[str, Any] | None) -> Constraints:
        """Read what `as_dict` wrote; None is no constraints.

        Raises
        ------
        UserError
            If it is something else: a constraint that is not understood must not be ignored.
        """
        if document is None:
            return Constraints()
        groups, nodes = document.get("same_stage", []), document.get("no_cut", [])
        if set(document) - {"same_stage", "no_cut"}:
            raise UserError(f"the constraint {sorted(set(document) - {'same_stage', 'no_cut'})[0]!r} is not known")
        return Constraints(
            same_stage=tuple(tuple(str(name) for name in group) for group in groups),
            no_cut=tuple(str(name) for name in nodes),
        )


def constrain(instance: Instance, graph: ModelGraph, constraints: Constraints) -> Instance:
    """Contract an instance of a graph so that its partitions are those that obey.

    Returns
    -------
    The contracted instance; its `node_of_input` maps the nodes of the graph.

    Raises
    ------
    UserError
        If a node is not in the graph.
    """
    if not constraints:
        return instance
    from framework.structure.contraction import compose, contract

    label = instance.node_of_input[_groups(graph, constraints)]
    of_node = np.empty(instance.n, np.int64)
    of_node[instance.node_of_input] = label
    return compose(instance, contract(instance, of_node))


def starting_partition(problem: Problem, graph: ModelGraph, start: Result, where: str = "") -> Partition:
    """Return the partition of an earlier result as one of this problem.

    The result may be of another device, bandwidth, profile or number of stages, but must be of a graph with as many
    nodes; it has to obey the constraints of this problem.

    Raises
    ------
    UserError
        If it holds no partition, or one that this problem does not allow.
    """
    if start.document["stage_of"] is None:
        raise UserError("the result to start from holds no partition", where=where)
    of_input = stages_of(start, graph.topology.n)
    stage = np.empty(problem.instance.n, np.int64)
    stage[problem.instance.node_of_input] = of_input
    apart = np.flatnonzero(stage[problem.instance.node_of_input] != of_input)
    if len(apart):
        raise UserError(
            f"the partition to start from separates {graph.node_names[int(apart[0])]!r} from one that must share its "
            "stage",
            where=where,
            mend="drop --start, or the constraint",
        )
    if of_input.min() < 0 or of_input.max() >= problem.stages:
        raise UserError(
            f"the partition to start from has {int(of_input.max()) + 1} stages, not {problem.stages}",
            where=where,
            mend="start from one with no more stages",
        )
    partition = Partition(stage_of=stage)
    try:
        stage_costs(problem, partition)
    except ValueError as error:
        raise UserError(f"the partition to start from is not of this graph: {error}", where=where) from None
    return partition


def _groups(graph: ModelGraph, constraints: Constraints) -> IntArray:
    """Return for each node of the graph the smallest node of its group."""
    index = {name: v for v, name in enumerate(graph.node_names)}
    root = list(range(len(index)))

    def find(v: int) -> int:
        while root[v] != v:
            root[v] = root[root[v]]
            v = root[v]
        return v

    def join(nodes: Sequence[int]) -> None:
        roots = [find(v) for v in nodes]
        for r in roots:
            root[r] = min(roots)

    for names in constraints.same_stage:
        join([_known(index, name, graph) for name in names])
    top = graph.topology
    for name in constraints.no_cut:
        v = _known(index, name, graph)
        join([v, *top.succs[top.succ_ptr[v] : top.succ_ptr[v + 1]].tolist()])
    return np.array([find(v) for v in range(len(root))], np.int64)


def _known(index: Mapping[str, int], name: str, graph: ModelGraph) -> int:
    if name not in index:
        near = difflib.get_close_matches(name, list(index), 3)
        raise UserError(
            f"there is no node {name!r}", where=graph.source, mend=f"did you mean {', '.join(near)}?" if near else ""
        )
    return index[name]
