"""Record of a branch-and-bound tree of `nested-cuts`: branches, and bounds of leaves, for a checker to replay.

Rows in preorder. ``[v, j]`` branches: v is in group j or an earlier one, then v is in a later one. A row of as many
multipliers of loads and of overflow as there are groups is a leaf: the weighted sum of the costs of the groups exceeds
the threshold. ``[]`` is a leaf that windows refute.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from framework.structure.nested_cuts.costs import Multipliers

Leaf: TypeAlias = tuple[int, ...]
WINDOWS: Leaf = ()
"""What windows refute."""


def leaf_of(multipliers: Multipliers) -> Leaf:
    """Return the row of a leaf."""
    return (*multipliers.loads.tolist(), *multipliers.overflow.tolist())


@dataclass(slots=True, eq=False)
class NodeLog:
    """What became of a node: choices settled one after the other, then how it ended.

    Attributes
    ----------
    bound
        The leaf that shows the bound the node came with.
    settled
        Choices (v, j), whether v is beyond j, and the leaf that refutes the other side.
    end
        The leaf that refutes the node, or a choice and its two sides; None while the node is open.
    """

    bound: Leaf
    settled: list[tuple[int, int, bool, Leaf]] = field(default_factory=list)
    end: Leaf | tuple[tuple[int, int], NodeLog, NodeLog] | None = None


def rows_of(root: NodeLog, most: int) -> list[list[int]] | None:
    """Return the rows of a tree all of whose open nodes are refuted by their bounds; None if there are too many."""
    rows: list[list[int]] = []
    waiting: list[tuple[NodeLog, int] | Leaf] = [(root, 0)]
    while waiting:
        if len(rows) > most:
            return None
        item = waiting.pop()
        if not item or not isinstance(item[0], NodeLog):
            rows.append([int(x) for x in item])
            continue
        node, place = item
        if place < len(node.settled):
            v, j, later, leaf = node.settled[place]
            rows.append([v, j])
            sides: list[tuple[NodeLog, int] | Leaf] = [(node, place + 1), leaf]
            waiting += sides if later else reversed(sides)
        elif node.end is None:
            rows.append(list(node.bound))
        elif node.end and isinstance(node.end[0], tuple):
            choice, first, second = node.end
            rows.append(list(choice))
            waiting += [(second, 0), (first, 0)]
        else:
            rows.append(list(node.end))
    return rows
