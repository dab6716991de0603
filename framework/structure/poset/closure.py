"""Reachability: strict ancestors and descendants as bit sets, and the transitive reduction.

Rows are filled in (reverse) topological order by OR-ing the rows of the direct neighbours, one word of 64 nodes
at a time. An edge (u, v) is *redundant* when v is a descendant of another successor of u; that shows while u's
row is being filled, so the transitive reduction costs nothing extra. It is done in blocks of columns, so
that neither a kernel call nor (where only the edges matter) the memory grows with the square of the nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.structure.bit_sets import BitArray, contains, holds
from framework.structure.kernel import kernel

BoolArray: TypeAlias = NDArray[np.bool_]

_WORD_OPERATIONS = 10_000_000
"""Words that one kernel call may combine: well below 0.1 s."""

_EDGE_BLOCK_WORDS = 1 << 22
"""Words of reachability held at once when only redundant edges are wanted (32 MiB)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Closure:
    """Strict reachability between all pairs of nodes.

    Attributes
    ----------
    ancestors, descendants
        ``[n, words]`` bit sets without the node itself: bit ``v % 64`` of word ``v // 64`` stands for node v.
    """

    ancestors: BitArray
    descendants: BitArray

    def is_ancestor(self, u: int, v: int) -> bool:
        """Whether a path leads from `u` to `v`; no node is its own ancestor."""
        return contains(self.descendants, u, v)

    def ancestors_of(self, v: int) -> IntArray:
        """Return the ancestors of `v`, ascending."""
        return indices(self.ancestors[v])

    def descendants_of(self, v: int) -> IntArray:
        """Return the descendants of `v`, ascending."""
        return indices(self.descendants[v])


def closure(instance: Instance, *, should_stop: Callable[[], bool] | None = None) -> Closure:
    """Compute all ancestors and descendants; two bit matrices of n²/8 bytes each.

    Raises
    ------
    OutOfTimeError
        If `should_stop` said so before both were complete.
    """
    n, top = instance.n, instance.topology
    rows = [np.zeros((n, word_count(n)), np.uint64) for _ in range(2)]
    forward = np.arange(n, dtype=np.int64)
    step = max(1, _WORD_OPERATIONS // (n + top.edges))
    unused = np.zeros(top.edges, np.bool_)
    for bits, order, ptr, items in (
        (rows[0], forward, top.pred_ptr, top.preds),
        (rows[1], forward[::-1].copy(), top.succ_ptr, top.succs),
    ):
        for low in range(0, bits.shape[1], step):
            _check(should_stop)
            _propagate(order, ptr, items, 0, low, min(low + step, bits.shape[1]), bits, unused)
    return Closure(ancestors=rows[0], descendants=rows[1])


def redundant_edges(instance: Instance, *, should_stop: Callable[[], bool] | None = None) -> BoolArray:
    """Return which edges a longer path makes redundant: ``[edges]``, aligned with ``topology.succs``.

    Raises
    ------
    OutOfTimeError
        If `should_stop` said so before all were known.
    """
    top = instance.topology
    return redundant_arcs(top.n, top.succ_ptr, top.succs, should_stop=should_stop)


def redundant_arcs(
    n: int, succ_ptr: IntArray, succs: IntArray, *, should_stop: Callable[[], bool] | None = None
) -> BoolArray:
    """As `redundant_edges`, for the arcs of any graph numbered topologically."""
    redundant = np.zeros(len(succs), np.bool_)
    if not _may_be_redundant(n, succ_ptr, succs).any():
        return redundant
    words = word_count(n)
    step = max(1, min(words, _EDGE_BLOCK_WORDS // n, _WORD_OPERATIONS // (n + len(succs))))
    for low in range(0, words, step):
        _check(should_stop)
        width = min(step, words - low)
        # No node reaches a smaller index: rows at or beyond the block's end are empty.
        order = np.arange(min(n, (low + width) * 64), dtype=np.int64)[::-1].copy()
        _propagate(order, succ_ptr, succs, low, 0, width, np.zeros((n, width), np.uint64), redundant)
    return redundant


def transitive_reduction(instance: Instance) -> tuple[IntArray, IntArray]:
    """Return tails u and heads v of the edges u -> v that no longer path replaces, ascending by (u, v)."""
    top = instance.topology
    keep = ~redundant_edges(instance)
    tails = np.repeat(np.arange(top.n, dtype=np.int64), np.diff(top.succ_ptr))
    return tails[keep], top.succs[keep]


def indices(row: BitArray) -> IntArray:
    """Return the members of one bit set, ascending."""
    return np.flatnonzero(unpack_sets(row[None, :], 64 * len(row))[0]).astype(np.int64)


def pack_sets(flags: BoolArray) -> BitArray:
    """Return rows of flags as bit sets, ``[sets, n]`` as ``[sets, words]``."""
    octets = np.zeros((len(flags), 8 * word_count(flags.shape[1])), np.uint8)
    packed = np.packbits(flags, axis=1, bitorder="little")
    octets[:, : packed.shape[1]] = packed
    words: BitArray = octets.view("<u8").astype(np.uint64, copy=False)
    return words


def unpack_sets(sets: BitArray, n: int) -> BoolArray:
    """Return bit sets as rows of flags, ``[sets, words]`` as ``[sets, n]``."""
    octets = np.ascontiguousarray(sets).astype("<u8", copy=False).view(np.uint8)
    return np.unpackbits(octets, axis=1, bitorder="little", count=n).view(np.bool_)


def word_count(n: int) -> int:
    """Return the number of 64-bit words that hold n bits."""
    return (n + 63) // 64


def _may_be_redundant(n: int, succ_ptr: IntArray, succs: IntArray) -> BoolArray:
    """Which arcs leave a node with several successors and enter one with several predecessors."""
    branching = np.repeat(np.diff(succ_ptr) > 1, np.diff(succ_ptr))
    joining: BoolArray = (np.bincount(succs, minlength=n) > 1)[succs]
    return branching & joining


def _check(should_stop: Callable[[], bool] | None) -> None:
    if should_stop is not None and should_stop():
        raise OutOfTimeError("stopped while reachability was being computed")


@kernel
def _propagate(
    order: IntArray,
    ptr: IntArray,
    items: IntArray,
    first_word: int,
    low: int,
    high: int,
    bits: BitArray,
    redundant: BoolArray,
) -> None:
    """Fill columns low..high of `bits`, column c standing for word ``first_word + c``, in the given order."""
    for v in order:
        for e in range(ptr[v], ptr[v + 1]):
            u = items[e]
            for c in range(low, high):
                bits[v, c] |= bits[u, c]
        for e in range(ptr[v], ptr[v + 1]):
            u = items[e]
            c = (u >> 6) - first_word
            if low <= c < high and holds(bits, v, u - 64 * first_word):
                redundant[e] = True
        for e in range(ptr[v], ptr[v + 1]):
            u = items[e]
            c = (u >> 6) - first_word
            if low <= c < high:
                bits[v, c] |= np.uint64(1) << np.uint64(u & 63)
