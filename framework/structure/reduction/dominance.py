"""Dominance: contracts nodes that some optimal partition keeps together.

Notation: w, p, c are work, parameter cost and tensor cost; a tensor t has one producer and a set of consumers;
in(v), out(v) are the tensors that v consumes, produces. p counts only where the instance can overflow at
all. "Cost" is the cost of a stage. A *direct* edge is one of the transitive reduction.

**Pull u down to v** (edge u -> v, every other successor of u is a descendant of v) if

    w(u) + p(u) + c{t in in(u): v does not consume t} + c{t in out(u): v does not consume t}
        <= c{t in out(u): v is the only consumer}.                                                      (1)

Take any partition with u in stage a and v in stage b > a, and move u to b. Predecessors of u are in stages up to
a, its successors in stages from b on (v, and descendants of v), so the partition stays feasible.

* Stage b: work and overflow grow by at most w(u) + p(u). A tensor in in(u) is new in b only if v does not consume
  it. A tensor in out(u): if only v consumes it, b paid it and does not any more; if v and others do, b paid it and
  pays at most once now; if v does not, b pays at most c more. The sum is at most 0 by (1).
* Stage a: work and overflow do not grow. No consumer of out(u) is in a, so a paid all of c(out(u)) and pays none of
  it now. A tensor in in(u) produced outside a can only vanish; one produced in a is newly cut only if v does
  not consume it (v is outside a). By (1) those cost at most c(out(u)).
* Any other stage: it pays for a tensor in in(u) exactly as before (if it produces it, u is still outside; if it
  consumes it, the producer did not move), and for one in out(u) as well (its consumers still lack the producer).

**Push v up to u** (edge u -> v, every other predecessor of v is an ancestor of u) if

    w(v) + p(v) + c(out(v)) + c{t in in(v): produced by another node than u, and u does not consume t}
        <= c{t in out(u): v is the only consumer}.                                                      (2)

Take any partition with u in a and v in b > a, and move v to a: feasible, as the predecessors of v are in stages up to
a and its successors in stages from b on.

* Stage a: work and overflow grow by at most w(v) + p(v), out(v) is new. A tensor in in(v) from u was cut (v outside
  a) and vanishes if only v consumes it. One from another producer y: if y is in a it was cut already; otherwise
  it is new in a only if u does not consume it. The sum is at most 0 by (2).
* Stage b: work and overflow do not grow. No producer of in(v) is in b, so those tensors can only vanish, and the
  ones with v as the only consumer do; a tensor in out(v) may now come in from outside, and by (2) all of out(v)
  costs at most what vanished.
* Any other stage: as for pulling.

**Zero sinks** (no work, no parameters, no output, one predecessor) are the case of (2) whose left side is 0.

*Shared parameters.* p(u) in (1) is what u alone uses, and the shared parameters that u uses and v does not, in full:
stage b holds those of v already, so its parameters grow by at most p(u); stage a never holds more than before. p(v) in
(2) likewise, without what u uses.

*Working sets.* Where the largest working set of a stage counts among its parameters, p(u) also contains what the
working set of u exceeds that of v by, as v is in stage b; p(v) in (2) likewise.

*Unequal stages.* Where stages run on different devices, (1) and (2) must hold in the costs of every kind: what is said
of stage a and stage b is then said in the costs of the device that each of them runs on.

*Hard limits.* A stage that takes in a node without size holds what it held, so a partition that obeys a limit on what
stages hold still does after the move. So it does if the node also has a working set, but the node that it moves to one
at least as large. Only such nodes move; those with a size may be moved to. The size of a shared parameter that the
target uses is in its stage already, so it is none of the node that moves.

*Who can be v, who can be u.* Successors have larger indices than the node, and descendants of v larger ones than v:
so in a pull, v is the first successor of u and the only direct one; in a push, u is the last predecessor
of v and the only direct one. The flags of `redundant_edges` tell both.

*Many at once.* (1) and (2) hold for every partition of the same instance. Let each node move at most once, to the
stage of its target, and let no chain of targets return: process targets before the nodes that move to them;
no move separates a pair made before, and no stage ever grows. So some optimal partition keeps all pairs together,
and contracting a whole forest of pairs keeps the optimum. Applied to the partition with one node per stage in
topological order, the same moves show that no cycle arises and that the trees, numbered like the roots that
no node of them leaves, are in topological order.

Source: the dominance rules and their relaxation are this project's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.instance import MAX_TOTAL, Instance
from framework.model.topology import TopologyArrays
from framework.structure.kernel import allocating_kernel, inlined_kernel, interpreted, kernel
from framework.structure.poset.closure import BoolArray, redundant_edges
from framework.structure.reduction.contraction import compose, contract
from framework.structure.union_find import find_root

SMALL_NODES = 300
"""Up to so many, Python reduces an instance in some 10 ms, less time than it takes to load the kernels."""
_IMMOVABLE = 2 * MAX_TOTAL
"""A load that no tensors can make up for: a node that has it stays where it is."""


class _Uses(NamedTuple):
    """The shared parameters of each node, ``parameters[ptr[v]:ptr[v + 1]]`` ascending, and the loads of each."""

    ptr: IntArray
    parameters: IntArray
    load: IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reduction:
    """A reduced instance, and what it gave up.

    Attributes
    ----------
    instance
        Its optimum is at most that of the given instance; any partition of it can be lifted.
    lowered
        Work in ticks that was taken away altogether; 0 means that the optimum is the same.
    """

    instance: Instance
    lowered: int


def reduce_exact(
    instance: Instance, *, should_stop: Callable[[], bool] | None = None, load_kernels: bool = True
) -> Instance:
    """Contract dominated nodes to a fixed point; the optimum for any number of stages stays the same.

    Parameters
    ----------
    should_stop
        Asked between rounds; what has been contracted by then is returned, and is valid.
    load_kernels
        Whether to use machine code also where the instance is so small that Python takes less time than loading it.

    Returns
    -------
    The reduced instance; its `node_of_input` maps the nodes of the given one to its own.
    """
    if not load_kernels and instance.n <= SMALL_NODES:
        with interpreted():
            return _reduce(instance, 0, should_stop).instance
    return _reduce(instance, 0, should_stop).instance


def reduce_relaxing(
    instance: Instance, epsilon_share: float, *, should_stop: Callable[[], bool] | None = None
) -> Reduction:
    """Contract also nodes that are almost dominated, after lowering their work until they are.

    Lowering work lowers no optimum but to a smaller one, and the contraction is exact on the lowered instance: so the
    optimum of the result is a dual bound of the given instance. One contraction lowers the work of a node by
    at most ``epsilon_share * total work / n`` ticks, all together at most ``epsilon_share`` of the total work.

    Where stages are unequal, this is said of the relaxation in which they are not (`Instance.uniform`).

    Parameters
    ----------
    epsilon_share
        At least 0; with 0 it is `reduce_exact`.
    """
    if not epsilon_share >= 0:
        raise ValueError(f"epsilon_share must be at least 0, not {epsilon_share}")
    instance = instance.uniform()
    return _reduce(instance, int(epsilon_share * instance.total_work / instance.n), should_stop)


def moves_of_reduction(
    instance: Instance, *, should_stop: Callable[[], bool] | None = None
) -> tuple[Instance, list[tuple[int, int]]]:
    """Return what `reduce_exact` returns, and what it moves where, one node after the other.

    The moves are pairs of nodes of the given instance: the node that holds the first moves to the stage of the one that
    holds the second. In this order every single move obeys (1) or (2) in the instance that the moves before it lead to:
    its target moved before, and what the target has gained makes the inequality no tighter.
    """
    moves: list[tuple[int, int]] = []
    return _reduce(instance, 0, should_stop, moves).instance, moves


def _ordered_moves(target: IntArray, node_of_input: IntArray) -> list[tuple[int, int]]:
    """Return the moves of a round, targets before the nodes that move to them; a node goes by its first input."""
    first = np.full(len(target), len(node_of_input), np.int64)
    np.minimum.at(first, node_of_input, np.arange(len(node_of_input), dtype=np.int64))
    depth, last = np.zeros(len(target), np.int64), np.arange(len(target))
    while (moved := target[last] >= 0).any():
        last = np.where(moved, target[last], last)
        depth += moved
    order = np.argsort(depth, kind="stable")
    movers = order[target[order] >= 0]
    return list(zip(first[movers].tolist(), first[target[movers]].tolist(), strict=True))


def _reduce(
    instance: Instance,
    tolerance: int,
    should_stop: Callable[[], bool] | None,
    moves: list[tuple[int, int]] | None = None,
) -> Reduction:
    reduced = contract(instance, np.arange(instance.n, dtype=np.int64))
    lowered = 0
    while should_stop is None or not should_stop():
        try:
            redundant = redundant_edges(reduced, should_stop=should_stop)
        except OutOfTimeError:
            break
        root, less, target = _dominated(reduced, redundant, tolerance)
        if np.array_equal(root, np.arange(reduced.n)):
            break
        if moves is not None:
            moves += _ordered_moves(target, reduced.node_of_input)
        lowered += int(less.sum())
        relaxed = replace(reduced, work=reduced.work - less) if tolerance else reduced
        reduced = compose(reduced, contract(relaxed, root))
    return Reduction(instance=reduced, lowered=lowered)


def _dominated(instance: Instance, redundant: BoolArray, tolerance: int) -> tuple[IntArray, IntArray, IntArray]:
    """Return the root each node ends at, the work to take away first, and where it moves (-1: it stays); ``[n]``."""
    devices = instance.on_each_device()
    rows = [
        (row.work + row.parameter_cost, row.shared_cost)
        if row.can_overflow
        else (row.work, np.zeros_like(row.shared_cost))
        for row in devices
    ]
    load, shared_load = (np.stack(column) for column in zip(*rows, strict=True))
    if instance.stage_limit is not None:
        held = instance.stage_limit.times(1)
        load = load + np.where(held.sizes > 0, _IMMOVABLE, 0)
        shared_load = shared_load + np.where(held.shared_sizes > 0, _IMMOVABLE, 0)
    uses = _Uses(*instance.shared.of_nodes(instance.n), load=shared_load)
    root = np.arange(instance.n, dtype=np.int64)
    lowered = np.zeros(instance.n, np.int64)
    slack = np.minimum(instance.work, tolerance)
    worksets = root * 0 if instance.stage_limit is None else instance.stage_limit.worksets
    working = np.stack(
        [row.working_cost if row.can_overflow and len(row.working_cost) else root * 0 for row in devices]
    )
    nodes = _Nodes(load, slack, worksets, working, uses)
    cost = np.stack([row.tensor_cost for row in devices])
    target = np.full(instance.n, -1, np.int64)
    _find_dominated(nodes, cost, instance.topology.arrays, redundant, root, lowered, target)
    return root, lowered, target


class _Nodes(NamedTuple):
    """What each node adds to a stage (a row a device), what its work may lose, its working set, and what it uses.

    `worksets` count towards a limit, `working` (a row a device, too) towards the capacity.
    """

    load: IntArray
    slack: IntArray
    worksets: IntArray
    working: IntArray
    uses: _Uses


@allocating_kernel
def _find_dominated(
    nodes: _Nodes,
    cost: IntArray,
    top: TopologyArrays,
    redundant: BoolArray,
    root: IntArray,
    lowered: IntArray,
    moved_to: IntArray,
) -> None:
    """Fill `root` with the root of the tree each node is in, and `lowered` with the excess of (1) or (2) over 0.

    `moved_to` keeps the target of each node that has one.

    Loads and costs have a row for each kind of device; what counts is the largest excess.

    While it is built, `root` is a union-find whose links are the moves: a node without a target is the root of
    its tree, and it may move to any node of another tree without closing a chain.
    """
    load, slack, worksets, working, uses = nodes.load, nodes.slack, nodes.worksets, nodes.working, nodes.uses
    n = len(root)
    direct_in = np.zeros(n, np.int64)
    direct_out = np.zeros(n, np.int64)
    for u in range(n):
        for e in range(top.succ_ptr[u], top.succ_ptr[u + 1]):
            if not redundant[e]:
                direct_out[u] += 1
                direct_in[top.succs[e]] += 1
    for x in range(n):
        target = -1
        least = slack[x] + 1
        if direct_out[x] == 1:
            v = top.succs[top.succ_ptr[x]]
            beside = _load_beside(uses, 0, x, v) + max(0, working[0, x] - working[0, v])
            excess = _excess_of_pull(x, v, load[0, x] + beside, least, cost[0], top)
            for d in range(1, len(load)):
                beside = _load_beside(uses, d, x, v) + max(0, working[d, x] - working[d, v])
                excess = max(excess, _excess_of_pull(x, v, load[d, x] + beside, least, cost[d], top))
            if excess < least and worksets[x] <= worksets[v] and find_root(root, v) != x:
                target, least = v, excess
        if direct_in[x] == 1:
            u = top.preds[top.pred_ptr[x + 1] - 1]
            beside = _load_beside(uses, 0, x, u) + max(0, working[0, x] - working[0, u])
            excess = _excess_of_push(x, u, load[0, x] + beside, cost[0], top)
            for d in range(1, len(load)):
                beside = _load_beside(uses, d, x, u) + max(0, working[d, x] - working[d, u])
                excess = max(excess, _excess_of_push(x, u, load[d, x] + beside, cost[d], top))
            if excess < least and worksets[x] <= worksets[u] and find_root(root, u) != x:
                target, least = u, excess
        if target >= 0:
            root[x] = moved_to[x] = target
            lowered[x] = max(0, least)
    for x in range(n):
        root[x] = find_root(root, x)


@inlined_kernel
def _load_beside(uses: _Uses, device: int, x: int, target: int) -> int:
    """Return the load of the shared parameters that a node uses and its target does not, or enough to keep it."""
    load = 0
    if not uses.load.size:
        return load
    i, last = uses.ptr[target], uses.ptr[target + 1]
    for j in range(uses.ptr[x], uses.ptr[x + 1]):
        q = uses.parameters[j]
        while i < last and uses.parameters[i] < q:
            i += 1
        if i == last or uses.parameters[i] != q:
            load = min(load + uses.load[device, q], _IMMOVABLE)
    return load


@inlined_kernel
def _excess_of_pull(u: int, v: int, load: int, enough: int, cost: IntArray, top: TopologyArrays) -> int:
    """Return by how much the left side of (1) exceeds the right one, or a value from `enough` on if that does."""
    excess = load
    for i in range(top.out_ptr[u], top.out_ptr[u + 1]):
        t = top.out_tensors[i]
        if not _consumes(t, v, top):
            excess += cost[t]
        elif top.consumer_ptr[t + 1] - top.consumer_ptr[t] == 1:
            excess -= cost[t]
    for i in range(top.in_ptr[u], top.in_ptr[u + 1]):
        if excess >= enough:
            break
        if not _consumes(top.in_tensors[i], v, top):
            excess += cost[top.in_tensors[i]]
    return excess


@inlined_kernel
def _excess_of_push(v: int, u: int, load: int, cost: IntArray, top: TopologyArrays) -> int:
    """Return by how much the left side of (2) exceeds the right one."""
    excess = load
    for i in range(top.out_ptr[v], top.out_ptr[v + 1]):
        excess += cost[top.out_tensors[i]]
    for i in range(top.in_ptr[v], top.in_ptr[v + 1]):
        t = top.in_tensors[i]
        if top.producer[t] == u:
            if top.consumer_ptr[t + 1] - top.consumer_ptr[t] == 1:
                excess -= cost[t]
        elif not _consumes(t, u, top):
            excess += cost[t]
    return excess


@kernel
def _consumes(t: int, v: int, top: TopologyArrays) -> bool:
    """Whether a node is among the consumers of a tensor, by bisection."""
    consumers = top.consumers
    low, high = top.consumer_ptr[t], top.consumer_ptr[t + 1]
    while low < high:
        middle = (low + high) >> 1
        if consumers[middle] < v:
            low = middle + 1
        else:
            high = middle
    return bool(low < top.consumer_ptr[t + 1] and consumers[low] == v)
