"""Writing what multipliers of linear programs prove, from certificates: a spreading metric, and the model of groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from framework.model.arrays import IntArray
from framework.proof import lp
from framework.proof.log import BOUNDS, Step, is_current


def metric_of(data: Mapping[str, Any], number: IntArray) -> Step | None:
    """Return the step that a certificate of `spreading-metric` is; None if its tensors have no names, or two the same.

    Parameters
    ----------
    number
        How a log numbers the nodes of the instance that the certificate is of.
    """
    if "tensors" not in data:
        return None
    names = dict[int, int]()

    def named(t: int) -> int:
        return t if t < 0 else names.setdefault(t, len(names))

    total, *multipliers = data["multipliers"]
    cliques = [[named(t), *number[nodes].tolist()] for t, nodes in zip(data["nets"], data["cliques"], strict=True)]
    rows = list[list[int]]()
    for multiplier, paths in zip(multipliers, data["rows"], strict=True):
        if not multiplier:
            continue
        steps, cuts, target = paths["steps"], paths["cuts"], paths["target"]
        row = [multiplier, int(number[paths["root"]]), max(0, paths["share"])]
        row += [-1 if target < 0 else int(number[target]), len(steps) // 3]
        for v, parent, t in zip(steps[::3], steps[1::3], steps[2::3], strict=True):
            row += [int(number[v]), int(number[parent]), named(t)]
        for t, v in zip(cuts[::2], cuts[1::2], strict=True):
            row += [named(t), int(number[v])]
        rows.append(row)
    tensors = [number[data["tensors"][t]].tolist() for t in names]
    if len({(producer, frozenset(consumers)) for producer, *consumers in tensors}) < len(tensors):
        # A log names tensors by their ends.
        return None
    return Step(
        rule="spreading-metric",
        data={
            "threshold": data["threshold"],
            "total": total,
            "tensors": tensors,
            "cliques": cliques,
            "rows": rows,
        },
    )


def lp_dual_of(data: Mapping[str, Any], number: IntArray) -> Step | None:
    """Return the step of the multipliers of `lp`; None if the certificate is of another version.

    Parameters
    ----------
    number
        How a log numbers the nodes of the instance that the certificate is of.
    """
    if not is_current("lp-dual", data.get("version")):
        return None
    node = number.tolist()
    tree = [[node[row[0]], row[1]] if len(row) == 2 else _renamed_leaf(row, node) for row in data["tree"]]
    return Step(
        rule="lp-dual",
        data={
            **{name: data[name] for name in BOUNDS["lp-dual"]},
            "tensors": [number[ends].tolist() for ends in data["tensors"]],
            "shared": [number[users].tolist() for users in data["shared"]],
            "tree": tree,
        },
    )


def _renamed_leaf(leaf: Sequence[int], node: Sequence[int]) -> list[int]:
    """Return the rows of a leaf with the nodes that they name as a log numbers them."""
    at, renamed = 0, list[int]()
    while at < len(leaf):
        kind = leaf[at + 1]
        end = at + 2 + lp.LENGTHS[kind]
        # What follows the group, or the boundary, is a node, a tensor, or a tensor or parameter and a node.
        first = at + (3 if kind in (lp.GROUPS, lp.EDGE) else 4)
        renamed += [*leaf[at : min(first, end)], *(node[v] for v in leaf[first:end])]
        at = end
    return renamed
