"""Greedy pricing: convex sets of cost at most T with large total price, quickly and without proof.

The set starts with a single node and grows by one node at a time such that it stays convex. The node with the largest
gain in price per cost is taken, with some random noise. The cost of a set is not monotone, so it may exceed T for a
while; the result is the set of largest price within T.
"""

from __future__ import annotations

import numpy as np

from framework.model.arrays import IntArray
from framework.structure.bit_sets import BitArray
from framework.structure.kernel import allocating_kernel, kernel
from framework.structure.pricing.network import Incidence, RoleArray, Shape, has, incidence_of

OVERSHOOT = 1.25
"""How far above T, as a factor, a set may grow on its way."""
NOISE = 0.3


class StageGrower:
    """Grows stages of the instance of a shape."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._incidence = incidence_of(shape)

    def grow(self, prices: IntArray, threshold: int, theta: int, starts: IntArray, seed: int) -> RoleArray:
        """Return the sets worth more than theta, ``[found, n]``, that were grown from the given nodes."""
        found = np.zeros((len(starts), len(prices)), np.int8)
        count = _grow_all(self._shape, self._incidence, prices, threshold, theta, starts, seed, found)
        return np.unique(found[:count], axis=0)


@allocating_kernel
def _grow_all(
    shape: Shape,
    incidence: Incidence,
    prices: IntArray,
    threshold: int,
    theta: int,
    starts: IntArray,
    seed: int,
    found: RoleArray,
) -> int:
    """Fill rows of `found`, ``[starts, n]``, with sets worth more than theta; return how many there are."""
    np.random.seed(seed)  # noqa: NPY002  (numba supports no generator as an argument of cached kernels)
    count = 0
    for start in starts:
        if _grow(shape, incidence, prices, threshold, start, found[count]) > theta:
            count += 1
    return count


@allocating_kernel
def _grow(shape: Shape, incidence: Incidence, prices: IntArray, threshold: int, start: int, best: RoleArray) -> int:
    """Fill `best` with the most valuable set met and return its worth, -1 if none costs at most the threshold."""
    n, words = len(prices), shape.ancestors.shape[1]
    ptr, nets = incidence.ptr, incidence.nets
    inside = np.zeros(n, np.int8)
    pins = np.zeros(len(shape.net_cost), np.int64)
    below = np.zeros(words, np.uint64)
    above = np.zeros(words, np.uint64)
    own = np.zeros(words, np.uint64)
    score = np.zeros(n)
    # By how much the cut grows when a node joins; kept up to date net by net.
    cut = np.zeros(n, np.int64)
    for v in range(n):
        for i in range(ptr[v], ptr[v + 1]):
            cut[v] += shape.net_cost[nets[i]]
    # The parameters that a node brings: its own, and shared ones that the set does not hold yet.
    brings = shape.parameters.copy()
    held = np.zeros(len(shape.shared_cost), np.bool_)
    for q in range(len(held)):
        _bring(shape, q, 1, brings)
    ceiling = int(threshold * OVERSHOOT)
    worth = cost = parameters = 0
    best_worth = -1
    node = start
    while node >= 0:
        cost += _added(shape, parameters, brings[node], node) + cut[node]
        if cost > ceiling:
            break
        inside[node] = 1
        own[node >> 6] |= np.uint64(1) << np.uint64(node & 63)
        parameters += brings[node]
        for q in range(len(held)):
            if not held[q] and node in shape.users[shape.user_ptr[q] : shape.user_ptr[q + 1]]:
                held[q] = True
                _bring(shape, q, -1, brings)
        worth += prices[node]
        for i in range(ptr[node], ptr[node + 1]):
            _cover(shape, nets[i], pins, cut)
        for word in range(words):
            below[word] |= shape.descendants[node, word]
            above[word] |= shape.ancestors[node, word]
        if cost <= threshold and worth > best_worth:
            best_worth = worth
            for i in range(len(best)):
                best[i] = inside[i]
        for v in range(n):
            score[v] = 0.0
            if inside[v]:
                continue
            added = _added(shape, parameters, brings[v], v) + cut[v]
            if cost + added > ceiling or (prices[v] <= 0 and added >= 0):
                continue
            score[v] = 1e18 - added if added <= 0 else prices[v] / added * (1.0 + NOISE * np.random.random())  # noqa: NPY002
        # Few candidates are tested for convexity, the best first.
        node = -1
        while node < 0:
            v = int(np.argmax(score))
            if score[v] <= 0.0:
                break
            if _stays_convex(shape, below, above, own, v):
                node = v
            score[v] = 0.0
    return best_worth


@kernel
def _cover(shape: Shape, net: int, pins: IntArray, cut: IntArray) -> None:
    """Count one more pin of a net as inside."""
    first, last = shape.net_ptr[net], shape.net_ptr[net + 1]
    size = last - first
    before = pins[net]
    pins[net] += 1
    change = _pays(pins[net], size) - _pays(before, size)
    if change:
        for i in range(first, last):
            cut[shape.net_pins[i]] += change * shape.net_cost[net]


@kernel
def _pays(inside: int, size: int) -> int:
    """Return 1 if one more pin makes a net pay, -1 if it makes it stop paying, else 0."""
    if inside == 0:
        return 1
    return -1 if inside == size - 1 else 0


@kernel
def _bring(shape: Shape, q: int, times: int, brings: IntArray) -> None:
    """Add a multiple of the cost of a shared parameter to what its users bring."""
    for i in range(shape.user_ptr[q], shape.user_ptr[q + 1]):
        brings[shape.users[i]] += times * shape.shared_cost[q]


@kernel
def _added(shape: Shape, parameters: int, brought: int, v: int) -> int:
    """Return by how much work and overflow grow when a node joins."""
    more = parameters + brought
    return int(shape.work[v] + max(0, more - shape.capacity) - max(0, parameters - shape.capacity))


@kernel
def _stays_convex(shape: Shape, below: BitArray, above: BitArray, own: BitArray, v: int) -> bool:
    if has(below, v):
        for word in range(len(own)):
            if below[word] & shape.ancestors[v, word] & ~own[word]:
                return False
    if has(above, v):
        for word in range(len(own)):
            if above[word] & shape.descendants[v, word] & ~own[word]:
                return False
    return True
