"""Rows of the spreading program, kept as paths, and the bound that nonnegative multipliers on them prove.

All rows read  share T + sum of factor[t] d[t] >= least  in integers, and hold for every partition with a bottleneck T
of at most the threshold, if T is its bottleneck and d[t] says which tensors it cuts. With multipliers y >= 0,

    T  sum y share  >=  sum y least  -  sum over t of max over d[t] in [low[t], 1] of (sum y factor[t]) d[t],

weak duality, which holds for any y >= 0: inaccurate multipliers give a weak bound, never a wrong one. See
`framework.structure.spreading.paths`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from framework.model.arrays import IntArray
from framework.structure.bit_sets import contains
from framework.structure.pricing.network import Shape
from framework.structure.spreading.paths import ABSENT, FREE_STEP, Tree, weigh_tree

LARGEST = 1 << 15
"""Nodes for which the coefficients of any tree stay in 64 bits."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Paths:
    """What a row is made of: paths from a node, and the nets that are counted as cut.

    Attributes
    ----------
    root
        The node.
    share
        Whether parameters count (1) or not (0); `APART` for the row that `target` is at least 1 away.
    target
        The node that shares no stage with the root; `ABSENT` otherwise.
    steps
        ``[nodes, 3]`` node, parent, step, parents first; without the root.
    cuts
        ``[counted, 2]`` net, pin.
    """

    root: int
    share: int
    target: int
    steps: IntArray
    cuts: IntArray

    def data(self) -> dict[str, Any]:
        """Return JSON-compatible values."""
        return {
            "root": self.root,
            "share": self.share,
            "target": self.target,
            "steps": self.steps.ravel().tolist(),
            "cuts": self.cuts.ravel().tolist(),
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """``share T + factor d >= least``, `paths` is what it comes from (None for the total); all in ticks."""

    share: int
    factor: IntArray
    least: int
    paths: Paths | None


def paths_from(data: Mapping[str, Any]) -> Paths:
    """Return what `Paths.data` was made of."""
    return Paths(
        root=int(data["root"]),
        share=int(data["share"]),
        target=int(data["target"]),
        steps=np.array(data["steps"], np.int64).reshape(-1, 3),
        cuts=np.array(data["cuts"], np.int64).reshape(-1, 2),
    )


def paths_of(tree: Tree, count: int, root: int, share: int) -> Paths:
    """Return the paths of a tree of `count` nodes."""
    nodes = tree.order[1:count]
    nets = np.flatnonzero(tree.pin != ABSENT)
    return Paths(
        root=root,
        share=share,
        target=ABSENT,
        steps=np.stack((nodes, tree.parent[nodes], tree.step[nodes]), axis=1),
        cuts=np.stack((nets, tree.pin[nets]), axis=1),
    )


def path_to(tree: Tree, root: int, target: int) -> Paths:
    """Return the one path of a tree to a node apart from its root."""
    steps: list[tuple[int, int, int]] = []
    v = target
    while v != root:
        steps.append((v, int(tree.parent[v]), int(tree.step[v])))
        v = int(tree.parent[v])
    return Paths(
        root=root,
        share=0,
        target=target,
        steps=np.array(steps[::-1], np.int64).reshape(-1, 3),
        cuts=np.zeros((0, 2), np.int64),
    )


def total_row(shape: Shape, stages: int, cliques: Sequence[IntArray], nets: Sequence[int]) -> Row:
    """Return the row of all stages: a cut tensor is paid in its producer's stage and in one more, or in several.

    Parameters
    ----------
    cliques, nets
        Pins of each of these nets of which no two share a stage: so many stages pay, and the net is cut.
    """
    beyond = max(0, int(shape.parameters.sum()) - stages * shape.capacity)
    more = sum((len(clique) - 2) * int(shape.net_cost[t]) for clique, t in zip(cliques, nets, strict=True))
    return Row(
        share=stages, factor=-2 * shape.net_cost, least=int(shape.work.sum()) + beyond + max(0, more), paths=None
    )


def row_of(shape: Shape, paths: Paths) -> Row:
    """Return the row of checked or self-made paths."""
    n, nets = len(shape.work), len(shape.net_cost)
    parent, step, pin = np.full(n, ABSENT), np.full(n, FREE_STEP), np.full(nets, ABSENT)
    parent[paths.root] = paths.root
    parent[paths.steps[:, 0]] = paths.steps[:, 1]
    step[paths.steps[:, 0]] = paths.steps[:, 2]
    pin[paths.cuts[:, 0]] = paths.cuts[:, 1]
    factor = np.zeros(nets, np.int64)
    if paths.target != ABSENT:
        used = paths.steps[:, 2]
        np.add.at(factor, used[used != FREE_STEP], 1)
        return Row(share=0, factor=factor, least=1, paths=paths)
    order = np.concatenate((np.array([paths.root], np.int64), paths.steps[:, 0]))
    tree = Tree(parent=parent, step=step, pin=pin, order=order)
    constant = int(weigh_tree(shape, tree, paths.share, np.zeros(n, np.int64), factor))
    return Row(share=1, factor=-factor, least=constant - paths.share * shape.capacity, paths=paths)


def check_paths(shape: Shape, paths: Paths) -> None:
    """Check that every step may be taken.

    Raises
    ------
    ValueError
        If one may not, or something is out of range.
    """
    n, nets = len(shape.work), len(shape.net_cost)
    known = np.zeros(n, np.bool_)
    if not (0 <= paths.root < n and paths.share in (0, 1) and ABSENT <= paths.target < n <= LARGEST):
        raise ValueError("a row is out of range")
    known[paths.root] = True
    pins = [set(pins) for pins in _pins(shape)]
    last = paths.root
    for v, parent, step in paths.steps.tolist():
        if not (0 <= v < n and 0 <= parent < n and FREE_STEP <= step < nets) or known[v] or not known[parent]:
            raise ValueError("a path does not start at its root")
        if step == FREE_STEP and not _free(shape, paths.root, parent, v):
            raise ValueError("a step is not free")
        if step != FREE_STEP and not {v, parent} <= pins[step]:
            raise ValueError("a step is none along its tensor")
        if paths.target != ABSENT and parent != last:
            raise ValueError("a path is broken")
        known[v] = True
        last = v
    if paths.target != ABSENT and (paths.target != last or paths.target == paths.root or len(paths.cuts)):
        raise ValueError("a path ends elsewhere")
    counted = paths.cuts[:, 0].tolist()
    if len(set(counted)) != len(counted):
        raise ValueError("a tensor is counted twice")
    for t, pin in paths.cuts.tolist():
        if not 0 <= t < nets or pin not in pins[t] or not known[pin]:
            raise ValueError("a tensor is counted from outside the tree")


def proven_by(rows: Sequence[Row], multipliers: Sequence[int], low: IntArray) -> int:
    """Return the lower bound on T, rounded up, that multipliers prove.

    Raises
    ------
    ValueError
        If they prove none: a negative one, or no weight on T.
    """
    if len(rows) != len(multipliers) or any(multiplier < 0 for multiplier in multipliers):
        raise ValueError("every row needs a multiplier of at least 0")
    weight = least = 0
    factor = np.zeros(len(low), object)
    for row, multiplier in zip(rows, multipliers, strict=True):
        weight += multiplier * row.share
        least += multiplier * row.least
        used = np.flatnonzero(row.factor)
        factor[used] += multiplier * row.factor[used].astype(object)
    if weight <= 0:
        raise ValueError("the multipliers put no weight on the bottleneck")
    most = int(np.maximum(factor, factor * low.astype(object)).sum()) if len(low) else 0
    return -((most - least) // weight)


def _pins(shape: Shape) -> Iterator[list[int]]:
    for t in range(len(shape.net_cost)):
        yield shape.net_pins[shape.net_ptr[t] : shape.net_ptr[t + 1]].tolist()


def _free(shape: Shape, root: int, x: int, y: int) -> bool:
    """Whether a convex set with `root` and x holds y."""
    below = shape.descendants
    return (contains(below, root, y) and contains(below, y, x)) or (contains(below, x, y) and contains(below, y, root))
