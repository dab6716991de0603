"""A partition as a Graphviz file: a cluster for each stage, and at each tensor that is cut its size."""

from __future__ import annotations

from collections.abc import Sequence

from framework.model.graph import ModelGraph, PhysicalCosts


def dot_text(graph: ModelGraph, stage_of: Sequence[int], stages: int) -> str:
    """Return the text of a directed graph whose nodes are named ``n0``, ``n1``, ... and labelled as in the graph."""
    lines = [f"digraph {quoted(graph.name)} {{", "  rankdir=LR; node [shape=box, style=rounded];"]
    for b in range(stages):
        members = [v for v in range(graph.topology.n) if stage_of[v] == b]
        if not members:
            continue
        lines.append(f"  subgraph cluster_{b} {{ label={quoted(f'stage {b}')};")
        lines += [f"    n{v} [label={quoted(graph.node_names[v])}];" for v in members]
        lines.append("  }")
    top = graph.topology
    costs = graph.costs
    sizes, unit = (costs.tensor_bytes, "B") if isinstance(costs, PhysicalCosts) else (costs.tensor_cost, costs.unit)
    for t, u in enumerate(top.producer.tolist()):
        for v in top.consumers[top.consumer_ptr[t] : top.consumer_ptr[t + 1]].tolist():
            cut = stage_of[u] != stage_of[v]
            label = f" [label={quoted(f'{sizes[t]:g} {unit}')}, color=red]" if cut else ""
            lines.append(f"  n{u} -> n{v}{label};")
    return "\n".join([*lines, "}", ""])


def quoted(text: str) -> str:
    """Return text as a quoted string of the DOT language: backslashes and line breaks are shown as they are."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
