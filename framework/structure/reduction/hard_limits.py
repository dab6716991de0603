"""Hard limits as parts of an instance: a limit on the memory of each stage, and nodes pinned to stages.

*A limit L on memory.* It replaces the capacity, so nothing streams in and no partition that obeys pays for overflow.
Each node has a size and a working set, each stage a limit, and all are exact integers (`StageLimit`): the sizes of a
stage sum to at most L less its largest working set, so to at most A, which is L less the smallest of all. Besides,
overflow is put to a new use: with parameter costs floor(F size / A) and the capacity F, for any F >= 0, a stage that
obeys overflows by nothing, since the sum of the floors is at most F. So the costs are right for all partitions that
obey and only ever higher than those of the bare instance for others: the optimum of the instance without its limit is a
dual bound of the one with it, and a better one than without the new overflow. That is what entries without
`Feature.LIMITS` are given.

*Microbatches in flight.* In training a stage keeps activations for each of the f_b microbatches that stage b has in
flight, so the sizes of nodes and shared parameters are s + f_b a. Stages with different f_b are of different kinds
(`framework.model.unequal`), at the same prices if they run on the same device. What is said of A above holds for the
relaxation in which all stages have the fewest microbatches of all in flight: no stage holds more there, so whoever
obeys the limit does there too, and every bound of that relaxation is one of the problem.

*Pins.* A chain of anchors a_0 -> ... -> a_{k-1} is added, nodes without work whose tensors cost nothing; anchor j
becomes one node with the nodes pinned to stage j. Each anchor has the size L + 1 and the limit grows to L + (L + 1)
(L = 0 where there is no limit on memory): a stage that holds one anchor may hold L besides, two anchors are 2L + 2 and
too many. So a partition that obeys has one anchor in each of k stages, and as the chain never goes back, anchor j is in
stage j, and so are the nodes pinned to it. Every partition of the given instance that keeps the pins arises so, at the
same cost. All k anchors are needed, also those of stages without pins: only a full chain leaves no stage free, so that
the stage of every anchor is its number. For entries without `Feature.LIMITS`, where nothing overflows, anchors have the
parameter cost H, all other nodes none, and the capacity is H: a stage with one anchor overflows by nothing, and a stage
with two by H, which with H above the optimum no good partition has. Where something overflows, sets without an anchor
would gain H of capacity, and bounds would lose more than they gain: overflow is left alone, and those entries bound the
problem without the pins (but for nodes pinned to the same stage, which are one node).

Anchors are numbered among the nodes where their stages may be expected, by work: slices of the order of the nodes have
one anchor each then. That is a choice of numbers, and no proof rests on it.

Source: this project.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from framework.model.arrays import IntArray, prefix_sums
from framework.model.instance import MAX_TOTAL, UNLIMITED, Instance
from framework.model.shared import SharedParameters
from framework.model.stage_limit import StageLimit
from framework.model.topology import build_topology
from framework.model.unequal import UnequalStages
from framework.structure.reduction.contraction import compose, contract

_OVERFLOW_FACTOR, _ANCHOR_FACTOR = 8, 4
"""F and H in units of the largest stage that cannot be avoided; larger ones coarsen what counts in few digits."""


class Kept(NamedTuple):
    """What stages keep for each microbatch in flight, of nodes and of shared parameters; how many each stage has."""

    own: IntArray
    shared: IntArray
    in_flight: Sequence[int]


def limit_memory(
    instance: Instance,
    sizes: IntArray,
    limit: int | Sequence[int],
    stages: int,
    shared_sizes: IntArray | None = None,
    worksets: IntArray | None = None,
    shared: SharedParameters | None = None,
    *,
    kept: Kept | None = None,
    streams: bool = False,
) -> Instance:
    """Limit what each stage holds; parameters that do not fit in are no longer streamed.

    Parameters
    ----------
    sizes
        ``[n]`` what each node holds alone, in any unit, with a sum below 2^44.
    limit
        The most that a stage may hold, in the same unit; one for all stages, or one for each.
    shared_sizes
        What each shared parameter takes up; None for nothing.
    worksets
        ``[n]`` what each node needs while it runs, in the same unit and each below 2^44; None for nothing.
    shared
        The users of each shared parameter; None where those of the instance are meant. The instance has none that
        cannot cost anything, and they may take up memory all the same.
    kept
        What is held besides for microbatches in flight; nothing counts towards the capacity by working sets then.
    streams
        Whether parameters beyond the capacity are streamed all the same; then no overflow is put to a new use.
    """
    if worksets is None:
        worksets = np.zeros(instance.n, np.int64)
    shared = instance.shared if shared is None else shared
    if shared_sizes is None:
        shared_sizes = np.zeros(len(shared), np.int64)
    limits = np.atleast_1d(np.asarray(limit, np.int64))
    if kept is None:
        kept = Kept(np.zeros_like(sizes), np.zeros_like(shared_sizes), ())
    # A limit above everything is as good as everything.
    most = sizes + max(kept.in_flight, default=0) * kept.own
    most_once = shared_sizes + max(kept.in_flight, default=0) * kept.shared
    limits = np.minimum(limits, sum(most.tolist()) + sum(most_once.tolist()) + int(worksets.max()))
    limit = int(limits.max())
    stage_limit = StageLimit(
        sizes=sizes,
        limit=limit,
        anchors=np.zeros(0, np.int64),
        shared_sizes=shared_sizes,
        worksets=worksets,
        reserved=limits[:0] if (limits == limit).all() else limit - limits,
        in_flight=np.array(kept.in_flight, np.int64),
        kept=kept.own,
        shared_kept=kept.shared,
    )
    if len(kept.in_flight):
        instance = _told_apart(instance, stage_limit.in_flight)
    least = stage_limit.same_for_all
    held, held_once = least.sizes.tolist(), least.shared_sizes.tolist()
    total = sum(held) + sum(held_once)
    if streams:
        whole = _with_rows(instance, shared)
        return replace(whole, stage_limit=stage_limit).without_idle_parameters()
    parameters, shared_cost, capacity = [0] * instance.n, [0] * len(held_once), UNLIMITED
    bare = replace(
        instance,
        parameter_cost=np.zeros(instance.n, np.int64),
        shared=shared,
        shared_cost=np.zeros(len(held_once), np.int64),
        working_cost=instance.working_cost[:0],
        capacity=UNLIMITED,
        unequal=None if instance.unequal is None else instance.unequal.without_overflow(UNLIMITED, len(shared)),
    )
    additive = least.additive
    # Where the limit leaves no partition, nothing need be bounded.
    if 0 < additive < total <= stages * additive:
        # Every user of a shared parameter may pay for it, each in a stage of its own.
        copies = max(1, int(np.diff(shared.ptr).max(initial=1)))
        capacity = min(_OVERFLOW_FACTOR * _unavoidable(bare, stages), _room(bare) // (stages * copies))
        # Python integers: bytes times ticks leave 64 bits.
        parameters = [size * capacity // additive for size in held]
        shared_cost = [size * capacity // additive for size in held_once]
    limited = replace(
        bare,
        parameter_cost=np.array(parameters, np.int64),
        shared_cost=np.array(shared_cost, np.int64),
        capacity=capacity,
        stage_limit=stage_limit,
    )
    return limited.without_idle_parameters()


def _told_apart(instance: Instance, in_flight: IntArray) -> Instance:
    """Return the instance with kinds of stages that tell those with different numbers of microbatches apart.

    Raises
    ------
    ValueError
        If working sets count towards the capacity.
    """
    if len(instance.working_cost):
        raise ValueError("working sets count where all stages are the same only")
    prices = instance.unequal or UnequalStages(
        device=np.zeros(len(in_flight), np.int64),
        work=instance.work[None],
        parameter_cost=instance.parameter_cost[None],
        tensor_cost=instance.tensor_cost[None],
        shared_cost=instance.shared_cost[None],
        capacity=np.array([instance.capacity], np.int64),
    )
    return replace(instance, unequal=prices.told_apart(in_flight))


def _with_rows(instance: Instance, shared: SharedParameters) -> Instance:
    """Return the instance with all these shared parameters; those that it lacks cost nothing."""
    place = {tuple(row): q for q, row in enumerate(np.split(instance.shared.users, instance.shared.ptr[1:-1]))}
    rows = np.split(shared.users, shared.ptr[1:-1]) if len(shared) else []
    found = np.array([place.get(tuple(row), -1) for row in rows], np.int64)
    known = np.flatnonzero(found >= 0)

    def spread(costs: IntArray) -> IntArray:
        wide = np.zeros(len(rows), np.int64)
        wide[known] = costs[found[known]]
        return wide

    unequal = instance.unequal
    if unequal is not None:
        unequal = replace(unequal, shared_cost=np.stack([spread(costs) for costs in unequal.shared_cost]))
    return replace(instance, shared=shared, shared_cost=spread(instance.shared_cost), unequal=unequal)


def pin(instance: Instance, stage_of: Mapping[int, int], stages: int) -> Instance:
    """Pin nodes to stages; they must allow a partition (see `earliest_stages`).

    Parameters
    ----------
    stage_of
        Stage of each pinned node, numbered from 0.

    Returns
    -------
    An instance with anchors; its `node_of_input` maps the same nodes as that of the given one.
    """
    n, top, limit = instance.n, instance.topology, instance.stage_limit
    most = 0 if limit is None else limit.limit
    parameters, capacity, cost = instance.parameter_cost, instance.capacity, 0
    shared_cost = instance.shared_cost
    if not instance.can_overflow:
        cost = min(_ANCHOR_FACTOR * _unavoidable(instance, stages), _room(instance) // stages)
        parameters, shared_cost, capacity = np.zeros(n, np.int64), np.zeros_like(shared_cost), cost
    before = _places(instance, stage_of, stages)
    anchors = before + np.arange(stages)
    nodes = np.setdiff1d(np.arange(n + stages), anchors)
    sizes, costs, work, worksets, kept = (np.zeros(n + stages, np.int64) for _ in range(5))
    work[nodes], costs[nodes], costs[anchors] = instance.work, parameters, cost
    working = instance.working_cost if instance.can_overflow else instance.working_cost[:0]
    if len(working):
        # An anchor has the smallest of all, so that its stage holds no more for it; alone, it must not overflow.
        working = np.full(n + stages, min(int(working.min()), capacity), np.int64)
        working[nodes] = instance.working_cost
    sizes[nodes], sizes[anchors] = 0 if limit is None else limit.sizes, most + 1
    worksets[nodes] = 0 if limit is None else limit.worksets
    kept[nodes] = 0 if limit is None else limit.kept
    chain = anchors[:-1]
    extended = replace(
        instance,
        work=work,
        parameter_cost=costs,
        tensor_cost=np.concatenate((instance.tensor_cost, np.zeros(len(chain), np.int64))),
        capacity=capacity,
        topology=build_topology(
            n + stages,
            np.concatenate((nodes[top.producer], chain)),
            np.concatenate((top.consumer_ptr, top.pins + np.arange(1, len(chain) + 1))),
            np.concatenate((nodes[top.consumers], anchors[1:])),
        ),
        node_of_input=nodes[instance.node_of_input],
        stage_limit=StageLimit(
            sizes=sizes,
            limit=2 * most + 1,
            anchors=anchors,
            shared_sizes=np.zeros(len(shared_cost), np.int64) if limit is None else limit.shared_sizes,
            worksets=worksets,
            reserved=sizes[:0] if limit is None else limit.reserved,
            in_flight=sizes[:0] if limit is None else limit.in_flight,
            kept=kept,
            shared_kept=np.zeros(len(shared_cost), np.int64) if limit is None else limit.shared_kept,
        ),
        unequal=None if instance.unequal is None else instance.unequal.with_free_nodes(nodes, n + stages, len(chain)),
        shared=replace(instance.shared, users=nodes[instance.shared.users]),
        shared_cost=shared_cost,
        working_cost=working,
    )
    group = np.arange(n + stages, dtype=np.int64)
    for v, b in stage_of.items():
        group[nodes[v]] = anchors[b]
    return compose(extended, contract(extended, group))


def _places(instance: Instance, stage_of: Mapping[int, int], stages: int) -> IntArray:
    """Return for each anchor the node to be numbered right after it, ``[stages]``, never falling.

    The anchor of a stage with pins goes to the first of its nodes, the others in between, by work.
    """
    done = prefix_sums(instance.work)
    first: dict[int, int] = {}
    for v in sorted(stage_of):
        first.setdefault(stage_of[v], v)
    pinned = sorted(first)
    known = [0, *(int(done[first[b]]) for b in pinned), instance.total_work]
    middles = [-0.5, *pinned, stages - 0.5]
    expected = np.interp(np.arange(stages), middles, np.maximum.accumulate(known))
    before = np.searchsorted(done[:-1], expected, side="left").astype(np.int64)
    before[pinned] = [first[b] for b in pinned]
    return np.maximum.accumulate(before)


def earliest_stages(instance: Instance, stage_of: Mapping[int, int]) -> tuple[IntArray, IntArray]:
    """Return the first stage that pins leave each node, and the pinned node that is why; both ``[n]``.

    A node can be no earlier than any pinned ancestor. Where no pinned node has one pinned to a later stage than its
    own, the first stages are a partition that keeps all pins. The node is -1 where there is no pin above.
    """
    top = instance.topology
    ptr, preds = top.pred_ptr.tolist(), top.preds.tolist()
    earliest, why = [0] * instance.n, [-1] * instance.n
    for v in range(instance.n):
        for u in preds[ptr[v] : ptr[v + 1]]:
            if why[u] >= 0 and (why[v] < 0 or earliest[u] > earliest[v]):
                earliest[v], why[v] = earliest[u], why[u]
        if v in stage_of and stage_of[v] >= earliest[v]:
            earliest[v], why[v] = stage_of[v], v
    return np.array(earliest, np.int64), np.array(why, np.int64)


def _unavoidable(instance: Instance, stages: int) -> int:
    return max(1, int(instance.work.max()), -(-instance.total_work // stages))


def _room(instance: Instance) -> int:
    """Return how much all parameter costs may grow by; half of what is left, as both kinds of limit may want some."""
    touches = 1 + np.diff(instance.topology.consumer_ptr)
    charged = instance.total_work + instance.total_parameter_cost + int((instance.tensor_cost * touches).sum())
    return max(0, MAX_TOTAL - charged) // 2
