"""Shortest paths in the spreading metric, and the valid inequalities that shortest-path trees give.

Take a partition and let d[t] be 1 for each tensor that it cuts, else 0. For a node r with stage S, let len(v) be the
length of a shortest path from r, where a step between two pins of t costs d[t], and a step is free from x to a
predecessor y of x if both are descendants of r, or to a successor if both are ancestors of r: since S is convex, y is
in S whenever x is. So len(v) = 0 only for nodes of S, and otherwise len(v) >= 1. Hence 1 - len(v) <= [v in S], and
d[t] - len(u) <= [t is cut and touches S] for a pin u of t. With f(S) <= T and any share theta in [0, 1] of overflow,

    T + theta capacity  >=  sum over v of (w + theta p)_v (1 - len(v))  +  sum over t of c_t (d[t] - len(u_t))

for any choice of nodes v, tensors t and pins u_t, and for any paths instead of shortest ones: those only lower the
right side, which is linear in d for given paths. If r and v share no stage at a threshold, len(v) >= 1.

A parameter that several nodes use is in S as soon as one of them is: each row may charge it to whichever user it likes.
Where r is one, that is r: as len(r) = 0, no other choice gives more. Otherwise it is one user for all rows.

A *tree* holds the paths: each node in it but r has a parent and a step, the net that both are pins of, or `FREE_STEP`.
Kernels here look for the trees with the largest violation (in floating numbers) and price them (in integers).

Source: spreading metrics (Even, Naor, Rao, Schieber 1999); steps by convexity and the transfers of S: this project.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numpy as np

from framework.model.arrays import IntArray
from framework.model.graph import FloatArray
from framework.structure.flow.max_flow import INFINITE
from framework.structure.kernel import allocating_kernel, kernel
from framework.structure.poset.closure import BoolArray
from framework.structure.pricing.network import (
    FREE,
    IN,
    Incidence,
    Network,
    Shape,
    build_network,
    has,
    solve_network,
)
from framework.structure.pricing.propagation import Rules, close_roles

FREE_STEP = -1
"""The step of a node that convexity puts into every stage of its parent."""
ABSENT = -1
"""The parent of a node that is not in a tree; the pin of a net that is not counted."""
_ROUGH = 1e-7
"""Lengths below this are no lengths."""


class Tree(NamedTuple):
    """Paths from one node.

    Attributes
    ----------
    parent
        ``[n]`` the node before, `ABSENT` outside the tree; the root is its own parent.
    step
        ``[n]`` the net of the last step, or `FREE_STEP`.
    pin
        ``[nets]`` the pin from which a net is counted as cut, or `ABSENT`.
    order
        ``[nodes in it]`` parents before children, the root first.
    """

    parent: IntArray
    step: IntArray
    pin: IntArray
    order: IntArray


class Survey(NamedTuple):
    """What the trees of some roots show.

    Attributes
    ----------
    demand
        ``[roots, shares]`` the right side less theta times the capacity, in ticks.
    partner, nearness
        ``[roots]`` the nearest node apart from the root, or `ABSENT`, and its distance.
    """

    demand: FloatArray
    partner: IntArray
    nearness: FloatArray


@allocating_kernel
def grow_tree(
    shape: Shape, incidence: Incidence, lengths: FloatArray, root: int, tree: Tree, distance: FloatArray
) -> int:
    """Fill a tree with the nodes nearer than 1 and the nets longer than they are far; return its number of nodes."""
    parent, step, pin, order = tree
    for v in range(len(parent)):
        parent[v], step[v], distance[v] = ABSENT, FREE_STEP, np.inf
    for t in range(len(pin)):
        pin[t] = ABSENT
    distance[root] = 0.0
    parent[root] = root
    heap = [(0.0, root)]
    count = 0
    done = np.zeros(len(parent), np.bool_)
    below, above = shape.descendants[root], shape.ancestors[root]
    while heap:
        far, x = heapq.heappop(heap)
        if far >= 1.0 - _ROUGH:
            break
        if done[x]:
            continue
        done[x] = True
        order[count] = x
        count += 1
        for e in range(incidence.ptr[x], incidence.ptr[x + 1]):
            t = incidence.nets[e]
            if pin[t] != ABSENT:
                continue
            pin[t] = x
            reached = far + lengths[t]
            if reached >= 1.0:
                continue
            for i in range(shape.net_ptr[t], shape.net_ptr[t + 1]):
                y = shape.net_pins[i]
                if reached < distance[y]:
                    distance[y], parent[y], step[y] = reached, x, t
                    heapq.heappush(heap, (reached, y))
        if has(below, x):
            for e in range(shape.pred_ptr[x], shape.pred_ptr[x + 1]):
                y = shape.preds[e]
                if has(below, y) and far < distance[y]:
                    distance[y], parent[y], step[y] = far, x, FREE_STEP
                    heapq.heappush(heap, (far, y))
        elif has(above, x):
            for e in range(shape.succ_ptr[x], shape.succ_ptr[x + 1]):
                y = shape.succs[e]
                if has(above, y) and far < distance[y]:
                    distance[y], parent[y], step[y] = far, x, FREE_STEP
                    heapq.heappush(heap, (far, y))
    for v in range(len(parent)):
        if not done[v]:
            parent[v] = ABSENT
    for t in range(len(pin)):
        if pin[t] != ABSENT and lengths[t] - distance[pin[t]] <= _ROUGH:
            pin[t] = ABSENT
    return count


@kernel
def weigh_tree(shape: Shape, tree: Tree, share: int, weight: IntArray, row: IntArray) -> int:
    """Return the constant of the right side above, and fill `row` with its coefficients, ``[nets]``.

    `weight` is memory, ``[n]``. All in ticks; no sum leaves 64 bits, since each counts every cost once for each node.
    """
    parent, step, pin, order = tree
    for t in range(len(row)):
        row[t] = 0
    for v in range(len(weight)):
        weight[v] = 0
    constant = 0
    for v in order:
        weight[v] = shape.work[v] + share * shape.parameters[v]
        constant += weight[v]
    for t in range(len(pin)):
        if pin[t] != ABSENT:
            row[t] += shape.net_cost[t]
            weight[pin[t]] += shape.net_cost[t]
    for i in range(len(order) - 1, 0, -1):
        v = order[i]
        if step[v] != FREE_STEP:
            row[step[v]] -= weight[v]
        weight[parent[v]] += weight[v]
    return int(constant)


@kernel
def survey(
    shape: Shape,
    incidence: Incidence,
    lengths: FloatArray,
    apart: BoolArray,
    roots: IntArray,
    tree: Tree,
    distance: FloatArray,
    found: Survey,
) -> None:
    """Fill in what the tree of each root shows; `tree` and `distance` are memory."""
    demand, partner, nearness = found
    nets = len(lengths)
    for at in range(len(roots)):
        root = roots[at]
        count = grow_tree(shape, incidence, lengths, root, tree, distance)
        partner[at] = ABSENT
        for i in range(count):
            v = tree.order[i]
            if len(apart) and apart[root, v]:
                partner[at] = v
                nearness[at] = distance[v]
                break
        cut = 0.0
        for t in range(nets):
            if tree.pin[t] != ABSENT:
                cut += shape.net_cost[t] * (lengths[t] - distance[tree.pin[t]])
        for share in range(demand.shape[1]):
            total = cut - (share * shape.capacity if share else 0)
            for i in range(count):
                v = tree.order[i]
                total += (shape.work[v] + share * shape.parameters[v]) * (1.0 - distance[v])
            demand[at, share] = total


@allocating_kernel
def pair_cost(shape: Shape, rules: Rules, network: Network, u: int, v: int, shares: int) -> int:
    """Return a lower bound on the cost of every convex set that holds both nodes, in ticks: one cut a share."""
    roles = np.zeros(len(shape.work), np.int8)
    for x in range(len(roles)):
        roles[x] = FREE
    roles[u] = IN
    roles[v] = IN
    prices = np.zeros(len(roles), np.int64)
    close_roles(shape, rules, roles, network)
    best = 0
    for share in range(shares):
        build_network(shape, share, network)
        cost = -solve_network(network, prices, 1, 0, -INFINITE) - (shape.capacity if share else 0)
        best = max(best, cost)
    return best


@allocating_kernel
def price_row(
    shape: Shape,
    rules: Rules,
    incidence: Incidence,
    network: Network,
    u: int,
    shares: int,
    all_nodes: bool,
    costs: IntArray,
) -> None:
    """Fill in `pair_cost` of u and later nodes, ``costs[n, n]``: of all of them, or of those in a net of u."""
    wanted = np.full(len(costs), all_nodes)
    for e in range(incidence.ptr[u], incidence.ptr[u + 1]):
        t = incidence.nets[e]
        for i in range(shape.net_ptr[t], shape.net_ptr[t + 1]):
            wanted[shape.net_pins[i]] = True
    for v in range(u + 1, len(costs)):
        if wanted[v]:
            costs[u, v] = costs[v, u] = pair_cost(shape, rules, network, u, v, shares)
