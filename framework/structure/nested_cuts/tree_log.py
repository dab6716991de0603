"""Record of a branch-and-bound tree of `nested-cuts`: branches, and bounds of leaves, for a checker to replay.

Rows in preorder. ``[v, j]`` branches: v is in group j or an earlier one, then v is in a later one. A row of as many
multipliers of loads and of overflow as there are groups is a leaf: the weighted sum of the costs of the groups exceeds
the threshold. With three groups or more, the number of the shares follows by which tensors are charged at boundaries.
``[]`` is a leaf that windows refute.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from framework.structure.nested_cuts.costs import Multipliers


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """What refutes a leaf: multipliers, and ``[tensors, boundaries]`` of shares; None where two groups need none."""

    row: tuple[int, ...]
    shares: NDArray[np.int16] | None = None


WINDOWS = Leaf(())
"""What windows refute."""


def leaf_of(multipliers: Multipliers, shares: NDArray[np.int16] | None = None) -> Leaf:
    """Return the leaf that some multipliers refute."""
    return Leaf((*multipliers.loads.tolist(), *multipliers.overflow.tolist()), shares)


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


def rows_of(root: NodeLog, most: int) -> tuple[list[list[int]], list[NDArray[np.int16]]] | None:
    """Return the rows of a tree all of whose open nodes are refuted by their bounds, and the shares that they number.

    None if they take more than so many numbers.
    """
    rows, shares = list[list[int]](), list[NDArray[np.int16]]()
    place, size = dict[int, int](), 0
    waiting: list[tuple[NodeLog, int] | Leaf] = [(root, 0)]
    while waiting:
        if size > most:
            return None
        item = waiting.pop()
        if isinstance(item, Leaf):
            rows.append(list(item.row))
            if item.shares is not None:
                if id(item.shares) not in place:
                    place[id(item.shares)] = len(shares)
                    shares.append(item.shares)
                    size += item.shares.size
                rows[-1].append(place[id(item.shares)])
            size += len(rows[-1])
            continue
        node, at = item
        if at < len(node.settled):
            v, j, later, leaf = node.settled[at]
            rows.append([v, j])
            size += 2
            sides: list[tuple[NodeLog, int] | Leaf] = [(node, at + 1), leaf]
            waiting += sides if later else reversed(sides)
        elif node.end is None:
            waiting.append(node.bound)
        elif isinstance(node.end, Leaf):
            waiting.append(node.end)
        else:
            choice, first, second = node.end
            rows.append(list(choice))
            size += 2
            waiting += [(second, 0), (first, 0)]
    return rows, shares
