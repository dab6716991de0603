"""Queries of the pricing search (prices and a threshold) and their answers.

`framework.structure.pricing.branch_and_bound` answers them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from framework.model.arrays import IntArray
from framework.structure.poset.closure import BoolArray
from framework.structure.pricing.network import RoleArray


class Verdict(Enum):
    """How a search ended."""

    PROVEN = "proven"
    """No stage is worth more than theta."""
    EXCEEDED = "exceeded"
    """Some stages are; they are among the columns."""
    EXHAUSTED = "exhausted"
    """The limit on the size of the trees struck, and no column was found."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ForcedCosts:
    """What a stage costs at least, whatever T is, if it holds certain nodes; both in ticks.

    Attributes
    ----------
    pairs
        ``[n, n]`` the cheapest convex set that holds both nodes.
    nets
        ``[n, nets]`` the cheapest convex set that holds the node and all pins of the net.
    """

    pairs: IntArray
    nets: IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """Whether prices(S) <= theta for every convex S with f(S) <= threshold.

    Attributes
    ----------
    prices
        ``[n]`` integers of either sign, in absolute value at most 2^48 together.
    threshold
        Ticks.
    theta
        At least 0, since the empty stage is worth nothing.
    order
        ``[n]`` permutation of the nodes: each S belongs to its first member.
    apart
        ``[n, n]`` pairs that never share a stage at this threshold; ``[0, 0]`` if none are known.
    uncovered
        ``[n, nets]`` nets that no stage of the node covers at this threshold; ``[0, 0]`` if none are known.
    """

    prices: IntArray
    threshold: int
    theta: int
    order: IntArray
    apart: BoolArray
    uncovered: BoolArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pricing:
    """The answer.

    Attributes
    ----------
    verdict
        How it ended.
    columns
        ``[columns, n]`` convex sets of cost at most T worth more than theta, one row each, 1 for members.
    log
        ``[entries, 3]`` the trees in preorder if the verdict is PROVEN and the log did not overflow, else None: a row
        is ``(node, -1, 0)`` for a vertex that branches, or ``(num, den, share)`` for a leaf.
    vertices
        Vertices of all trees.
    """

    verdict: Verdict
    columns: RoleArray
    log: IntArray | None
    vertices: int
