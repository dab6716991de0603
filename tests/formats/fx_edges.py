"""Nodes and edges of a torch module by another way than the reader's: a functional graph from ``make_fx``.

In-place writes are removed by functionalisation and views are told by the operators' schemas, where the reader counts
versions of storages and compares their addresses.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.fx.experimental.proxy_tensor import make_fx

_ALIASES = {"_native_batch_norm_legit_no_training": "native_batch_norm", "_softmax": "_softmax"}
_PASSED_ON = ("detach", "alias", "lift_fresh", "_unsafe_view", "_reshape_alias")

Edge = tuple[int, int]


def derive(
    model: torch.nn.Module,
    inputs: Sequence[torch.Tensor],
    keywords: Mapping[str, Any] | None = None,
    *,
    functional: bool = True,
) -> tuple[list[str], set[Edge]]:
    """Return the operators in order, and the pairs (producer, consumer) of their positions.

    Functionalisation splits some matrix products; without it (`functional`) only writes to whole tensors are followed.
    """

    def run(*tensors: torch.Tensor) -> list[torch.Tensor]:
        leaves = torch.utils._pytree.tree_leaves(model(*tensors, **(keywords or {})))
        return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]

    with torch.no_grad():
        traced = make_fx(torch.func.functionalize(run) if functional else run)(*inputs)
    return _operators_and_edges(traced.graph)


def _operators_and_edges(graph: torch.fx.Graph) -> tuple[list[str], set[Edge]]:
    origins: dict[torch.fx.Node, set[torch.fx.Node]] = {}
    live: set[torch.fx.Node] = set()
    results: set[torch.fx.Node] = set()
    for node in graph.nodes:
        sources = [source for source in node.all_input_nodes if source in live]
        if node.op == "placeholder":
            live.add(node)
            origins[node] = set()
        elif node.op == "output":
            results = set().union(*(origins[source] for source in sources))
        elif sources and not _only_shaped_like(node):
            live.add(node)
            before = set[torch.fx.Node]().union(*(origins[source] for source in sources))
            if node.target is operator.getitem or _is_whole_view(node):
                origins[node] = before
            else:
                node.meta["before"] = before
                origins[node] = {node}
    needed: set[torch.fx.Node] = set()
    pending = list(results)
    while pending:
        node = pending.pop()
        if node not in needed:
            needed.add(node)
            pending += node.meta["before"]
    ordered = [node for node in graph.nodes if node in needed]
    index = {node: i for i, node in enumerate(ordered)}
    edges = {(index[source], index[node]) for node in ordered for source in node.meta["before"]}
    return [_name(node) for node in ordered], edges


def _only_shaped_like(node: torch.fx.Node) -> bool:
    """Return whether a node takes no values from its input."""
    if node.target is operator.getitem:
        return False
    name = _name(node)
    return name.startswith("new_") or (name.endswith("_like") and not name.startswith("rand"))


def _is_whole_view(node: torch.fx.Node) -> bool:
    """Return whether a node only shows all elements of its input in another arrangement."""
    schema = node.target._schema
    aliases = (
        any(result.alias_info is not None and not result.alias_info.is_write for result in schema.returns)
        or _name(node) in _PASSED_ON
    )
    value, source = node.meta["val"], node.all_input_nodes[0].meta["val"]
    if not aliases or not isinstance(value, torch.Tensor):
        return False
    source_size = source.numel() if isinstance(source, torch.Tensor) else value.numel()
    return bool(value.numel() >= source_size)


def _name(node: torch.fx.Node) -> str:
    name = str(node.target._overloadpacket.__name__)
    name = name.rstrip("_") or name
    return _ALIASES.get(name, name)
