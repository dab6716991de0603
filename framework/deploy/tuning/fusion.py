"""Which nodes of a model stand behind each node of the graph that onnxruntime made of it.

onnxruntime runs a rewritten graph: operators fused, layouts changed, copies inserted. A rewritten node is *anchored* at
the original nodes that compute its outputs, or that its name was made from. From an anchor of another operator type
(a fusion) the group grows backwards over nodes without an anchor, up to one of the rewritten node's own type; what is
left was fused into something before it, and joins the group of its latest producer. A rewritten node without an anchor
(a change of layout) belongs to whoever uses its result. Nodes that no group takes cost nothing: they were folded, or
only relabel data. Every rewritten node has a group, so no measured time is lost.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import onnx

from framework.deploy.onnx_model import ModelFile
from framework.formats.onnx.wiring import used_values

_DECORATIONS = (
    r"^fused ",
    r"_nchwc$",
    r"_token_\d+$",
    r"/[A-Za-z]*Fusion[A-Za-z]*/?$",
    r"_(?:gemm|quant|transformed)$",
)


def groups(model: ModelFile, rewritten: onnx.GraphProto) -> list[list[int]]:
    """Return for each rewritten node the nodes of the model graph behind it (indices, ascending); no group is empty."""
    return _Grouping(model, rewritten).run()


def spread_times(
    seconds: Sequence[float], members: Sequence[Sequence[int]], weight: Sequence[float], n: int
) -> list[float]:
    """Divide the time of each rewritten node among the nodes behind it, in proportion to `weight`."""
    per_node = [0.0] * n
    for value, group in zip(seconds, members, strict=True):
        total = sum(weight[v] for v in group)
        for v in group:
            per_node[v] += value * (weight[v] / total if total else 1 / len(group))
    return per_node


class _Grouping:
    def __init__(self, model: ModelFile, rewritten: onnx.GraphProto) -> None:
        graph = model.proto.graph
        self._nodes = [graph.node[position] for position, _ in model.placed]
        self._label = {label: i for i, (_, label) in enumerate(model.placed)}
        self._maker = {name: i for i, node in enumerate(self._nodes) for name in node.output if name}
        self._rewritten = list(rewritten.node)
        self._group_of: dict[int, int] = {}

    def run(self) -> list[list[int]]:
        anchors = [self._anchors(node) for node in self._rewritten]
        for number, found in enumerate(anchors):
            for v in found:
                self._group_of.setdefault(v, number)
        for number, found in enumerate(anchors):
            for v in found:
                if self._nodes[v].op_type != self._rewritten[number].op_type:
                    self._grow(v, number)
        for v, node in enumerate(self._nodes):
            if v not in self._group_of:
                before = [self._maker[name] for name in used_values(node) if name in self._maker]
                numbers = [self._group_of[u] for u in before if u in self._group_of]
                if numbers:
                    self._group_of[v] = max(numbers)
        members: list[list[int]] = [[] for _ in self._rewritten]
        for v in sorted(self._group_of):
            members[self._group_of[v]].append(v)
        self._adopt(members)
        return members

    def _anchors(self, node: onnx.NodeProto) -> list[int]:
        """Return the original nodes that a rewritten node certainly stands for, from its name first."""
        name = node.name
        for _ in range(4):
            if name in self._label or name in self._maker:
                break
            name = next((re.sub(p, "", name) for p in _DECORATIONS if re.search(p, name)), "")
        found = [self._label.get(name, self._maker.get(name))]
        found += [self._maker.get(output) for output in node.output]
        return list(dict.fromkeys(v for v in found if v is not None))

    def _grow(self, v: int, number: int) -> None:
        """Take the nodes before `v` that nothing else stands for into its group."""
        todo = [v]
        while todo:
            node = self._nodes[todo.pop()]
            for name in used_values(node):
                u = self._maker.get(name)
                if u is None or u in self._group_of:
                    continue
                self._group_of[u] = number
                if self._nodes[u].op_type != self._rewritten[number].op_type:
                    todo.append(u)

    def _adopt(self, members: list[list[int]]) -> None:
        """Give rewritten nodes without a group that of a user of their result, else of a producer of their input."""
        users: dict[str, list[int]] = {}
        makers: dict[str, int] = {}
        for number, node in enumerate(self._rewritten):
            for name in used_values(node):
                users.setdefault(name, []).append(number)
            makers |= {name: number for name in node.output if name}
        for number in reversed(range(len(members))):
            if not members[number]:
                after = [u for name in self._rewritten[number].output for u in users.get(name, []) if members[u]]
                members[number] = list(members[after[0]]) if after else []
        for number, node in enumerate(self._rewritten):
            if not members[number]:
                before = [makers[name] for name in used_values(node) if name in makers and members[makers[name]]]
                members[number] = list(members[before[0]]) if before else list(range(len(self._nodes)))
