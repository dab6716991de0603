"""Writing what multipliers of linear programs prove, from certificates: a spreading metric, and the model of groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

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
    rows = list[list[int]]()
    for multiplier, kind, *which in data["rows"]:
        # What follows the group, or the boundary, is a node, a tensor, or a tensor or parameter and a node.
        nodes = {lp.GROUPS: which[1:], lp.EDGE: which[1:]}.get(kind, which[2:])
        before = which[: len(which) - len(nodes)]
        rows.append([multiplier, kind, *before, *number[np.array(nodes, np.int64)].tolist()])
    return Step(
        rule="lp-dual",
        data={
            **{name: data[name] for name in BOUNDS["lp-dual"]},
            "tensors": [number[ends].tolist() for ends in data["tensors"]],
            "shared": [number[users].tolist() for users in data["shared"]],
            "rows": rows,
        },
    )
