"""Separation costs (*tolls*): lower bounds on transfers of divisible nodes apart from the core nodes they feed.

*Units.* A unit U is a tree of fluid nodes. Every node of U but the last sends all its tensors to one other node of U.
The tensors of the last node go to core nodes only, the set D, which is not empty and contains no node of a chain
(`framework.structure.fluid.interchangeable`). Let c be the lowest cost of a tensor that a node of U makes. The tensors
connect U and D, so a stage that contains some nodes of U + D but not all cuts one of them and pays at least c. This c
is subtracted from every tensor that a node of U makes before the nets of the core are made of the rest
(`framework.structure.fluid.core`), and no tensor is in two units. Hence a stage pays at least its nets and the c of all
units that it cuts.

*Tolls.* A unit is *owned* by the first stage b that holds some of D. Let move(b, U) be the weight of its nodes which b
owns and does not run, or runs and does not own: one of the two is 0, as U comes before D. Where move(b, U) > 0, stage
b cuts U + D. Take some units, the *tolled* ones, let w be the most weight of one, and c < w at most the least toll of
one (any smaller c is valid). Then as many of them are cut as it takes to move that much, and stage b pays at least

    c ceil(sum of move(b, U) / w)  >=  c ceil(|run - owned| / w),

where `run` and `owned` are the weights of tolled nodes that b runs and that it owns. Let R be the room of a stage for
fluid and tolls, and phi the most it may run of fluid that is free of tolls. If R >= owned, it runs most by running
what is owned, then what is free, then others, with a toll for each w or part of it. If R < owned, some y > 0 of what
is owned is left, and with f >= 0 of free fluid beside the rest, owned - y + f + c ceil(y / w) <= R. So n = ceil(y / w)
has n (w - c) >= owned - R + f >= owned - R, and all that the stage runs is R - c n at most, with the least such n.

*The common tensor.* Let its producer e have a place in the core, its cost be f, and let it be in no net. A stage b
after that of e cuts it if it has a core node that takes it, or runs any node that takes it: then b pays f, and R - f
is its room. If b runs none of them, it cuts all the units it owns that they are in, which are at least (weight owned)
/ w, and pays c for each. The better of the two bounds what b runs. Likewise for the stage of e: it pays f if a later
stage has a core node that takes the tensor; and as for units that later stages own, if it runs all nodes of theirs
that take it, it cuts all these units, and if not, it cuts the common tensor.

*Different devices.* A tensor has a cost on each device, and so have a unit and the common tensor: c is the lowest on
each. A stage pays in the prices of its own device, and the argument is about one stage at a time. Fluid weighs the same
on all of them (`framework.structure.fluid.unequal_chain_dp`), and w is the same: only c, f and R are those of the
device, times its weight of work. Shared parameters are in no tensor.

A unit that is the only consumer of some tensor, or its first one, is left to the nets instead, because merging nets
gives more for a node on a path. This choice is tuned by measurements; every choice is valid. Source: this project.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from framework.model.arrays import IntArray, take_rows
from framework.model.instance import MAX_TOTAL, Instance
from framework.structure.poset.closure import BoolArray

HIGHEST_RATE = 0.5
"""A toll is counted as at most so much of the weight of a unit: leaving one has to make room."""
JOINING_RATE = 0.02
"""A node may lower the toll of the unit that it joins to so much per tick of their weight."""
COMMON_SHARE, LEAST_SHARE = 0.1, 0.5
"""Share of the fluid, by weight, that has to have tolls, with a common tensor and without.

Below it all tensors go to the nets, as tolls take time in every step.
"""
LEAST_FED = 3
"""Nodes that a common tensor feeds at least."""
LEAST_RATE = 1e-4
"""Tolls of less per tick are left to the nets."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tolls:
    """The units of some fluid.

    Attributes
    ----------
    unit
        ``[n]`` the unit of each node, -1 for none.
    cost
        ``[kinds, units]`` what a stage on each kind of device pays that cuts a unit, in ticks.
    tensor_cost
        ``[kinds, tensors]`` what is left for the nets.
    common
        The common tensor, or none.
    feeder, takers
        Its producer and its placed consumers.
    feeding_cost
        ``[kinds]`` what it costs; nothing of that is left.
    fed
        ``[n]`` which nodes are in units that take it.
    """

    unit: IntArray
    cost: IntArray
    tensor_cost: IntArray
    common: IntArray
    feeder: IntArray
    takers: IntArray
    feeding_cost: IntArray
    fed: BoolArray


def find_tolls(instance: Instance, fluid: BoolArray, placed: BoolArray) -> Tolls:
    """Return the units of the fluid nodes.

    Parameters
    ----------
    fluid
        ``[n]`` which nodes are fluid.
    placed
        ``[n]`` which nodes have a place of their own in the core; chained ones have not.
    """
    top, weight_of = instance.topology, instance.work + instance.parameter_cost
    unit, cost, weight, least_shared = _grow(instance, fluid, placed, weight_of)
    cost[(cost < LEAST_RATE * weight) | (weight == 0)] = 0
    _leave_out(unit, cost)
    common = _common_tensor(instance, placed, unit >= 0, weight_of)
    cost[_better_in_nets(instance, unit, least_shared, common)] = 0
    _leave_out(unit, cost)
    share = COMMON_SHARE if len(common) else LEAST_SHARE
    if weight_of[unit >= 0].sum() < share * weight_of[fluid].sum():
        unit[:], cost[:] = -1, 0
    readers = take_rows(top.consumer_ptr, top.consumers, common)[1]
    if not (unit[readers] >= 0).any():
        common, readers = common[:0], readers[:0]
    prices = instance.tensor_cost[None] if instance.unequal is None else instance.unequal.tensor_cost
    tensors, units = _made_by_units(instance, unit)
    lowest = np.full((len(prices), len(cost)), MAX_TOTAL, np.int64)
    for least, price in zip(lowest, prices, strict=True):
        np.minimum.at(least, units, price[tensors])
    lowest[:, np.bincount(units, minlength=len(cost)) == 0] = 0
    left = prices.copy()
    left[:, tensors] -= lowest[:, units]
    feeding_cost = prices[:, common].sum(1)
    left[:, common] = 0
    return Tolls(
        unit=unit,
        cost=lowest,
        tensor_cost=left,
        common=common,
        feeder=top.producer[common],
        takers=readers[placed[readers]],
        feeding_cost=feeding_cost,
        fed=(unit >= 0) & np.isin(unit, unit[readers]),
    )


def _made_by_units(instance: Instance, unit: IntArray) -> tuple[IntArray, IntArray]:
    """Return the tensors that nodes of units make, and the unit of each."""
    top = instance.topology
    nodes = np.flatnonzero(unit >= 0)
    count, tensors = take_rows(top.out_ptr, top.out_tensors, nodes)
    return tensors, np.repeat(unit[nodes], np.diff(count))


def _leave_out(unit: IntArray, cost: IntArray) -> None:
    """Take the nodes of units that cost nothing out of them."""
    member = unit >= 0
    unit[member] = np.where(cost[unit[member]] > 0, unit[member], -1)


def _grow(
    instance: Instance, fluid: BoolArray, placed: BoolArray, weight_of: IntArray
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Return ``[n]`` units, and ``[units]`` costs, weights and how many nodes have to share what they take in."""
    top = instance.topology
    costs: list[int] = []
    weights: list[int] = []
    # What several nodes take is a net of theirs without its producer: dear to give up where nothing else is shared.
    shared: list[int] = []
    # Lists: single elements of arrays are read at a tenth of their speed.
    (out_ptr, out_tensors), (consumer_ptr, consumers) = (
        (rows.tolist(), items.tolist())
        for rows, items in ((top.out_ptr, top.out_tensors), (top.consumer_ptr, top.consumers))
    )
    tensor_cost, weight, in_core = instance.tensor_cost.tolist(), weight_of.tolist(), placed.tolist()
    unit = [-1] * instance.n
    for v in np.flatnonzero(fluid)[::-1].tolist():
        tensors = out_tensors[out_ptr[v] : out_ptr[v + 1]]
        takers = [u for t in tensors for u in consumers[consumer_ptr[t] : consumer_ptr[t + 1]]]
        if not takers:
            continue
        cost = min(tensor_cost[t] for t in tensors)
        if all(in_core[u] for u in takers):
            unit[v] = len(costs)
            costs.append(cost)
            weights.append(weight[v])
            shared.append(1 if len(takers) == 1 else LEAST_FED)
        elif len(takers) == 1 and (there := unit[takers[0]]) >= 0:
            together = weights[there] + weight[v]
            if cost >= min(costs[there], JOINING_RATE * together):
                unit[v] = there
                costs[there], weights[there] = min(costs[there], cost), together
    return np.array(unit, np.int64), np.array(costs, np.int64), np.array(weights, np.int64), np.array(shared, np.int64)


def _better_in_nets(instance: Instance, unit: IntArray, least_shared: IntArray, common: IntArray) -> BoolArray:
    """Return ``[units]`` which take a tensor in alone, or as the first ones, or share too little."""
    top = instance.topology
    taken, exempt = np.zeros(len(top.producer), np.bool_), common.tolist()
    most = np.ones(len(least_shared), np.int64)
    better = np.zeros(len(least_shared), np.bool_)
    for v in np.flatnonzero(unit >= 0).tolist():
        for t in top.in_tensors[top.in_ptr[v] : top.in_ptr[v + 1]].tolist():
            if unit[top.producer[t]] == unit[v]:
                continue
            readers = int(top.consumer_ptr[t + 1] - top.consumer_ptr[t])
            most[unit[v]] = max(most[unit[v]], readers)
            if t not in exempt and not (taken[t] and readers > 1):
                taken[t] = True
                better[unit[v]] = True
    better |= least_shared > most
    return better


def _common_tensor(instance: Instance, placed: BoolArray, tolled: BoolArray, weight_of: IntArray) -> IntArray:
    """Return the tensor of a placed node that feeds most weight of tolled nodes, some at least; or no tensor."""
    top = instance.topology
    tensors = np.repeat(np.arange(len(top.producer)), np.diff(top.consumer_ptr))
    feeds = tolled[top.consumers] & placed[top.producer[tensors]] & (instance.tensor_cost[tensors] > 0)
    count = np.bincount(tensors[feeds], minlength=len(top.producer))
    weight = np.zeros(len(top.producer), np.int64)
    np.add.at(weight, tensors[feeds], weight_of[top.consumers[feeds]])
    weight[count < LEAST_FED] = -1
    best = np.argsort(-weight, kind="stable")[:1]
    return best[weight[best] >= 0]


class Tolled(NamedTuple):
    """Which fluid nodes have a toll, the least toll of their units on each kind of device, and the most weight of one.

    Tolls and weight are 0 if none have one.
    """

    mask: BoolArray
    toll: list[int]
    weight: int


def choose_tolled(unit: IntArray, cost: IntArray, weight: IntArray) -> Tolled:
    """Return which fluid nodes to toll.

    Those whose tolls come to most if all of them move, of the units that cost most for their weight.

    Parameters
    ----------
    unit
        ``[fluid]`` the unit of each fluid node, -1 for none.
    cost
        ``[kinds, units]`` what cutting a unit costs a stage, in the unit of the weights.
    weight
        ``[fluid]`` what each weighs.
    """
    nodes, lowest, none = np.flatnonzero(unit >= 0), cost.min(0), np.zeros(len(unit), np.bool_)
    total = np.zeros(len(lowest), np.int64)
    np.add.at(total, unit[nodes], weight[nodes])
    heavy = np.flatnonzero((lowest > 0) & (total > 0))
    if not len(heavy):
        return Tolled(none, [0] * len(cost), 0)
    order = heavy[np.argsort(-(lowest[heavy] / total[heavy]), kind="stable")]
    most = np.maximum.accumulate(total[order])
    least = np.minimum(np.minimum.accumulate(lowest[order]), (HIGHEST_RATE * most).astype(np.int64))
    best = int(np.argmax(least / most * np.cumsum(total[order])))
    if not least[best]:
        return Tolled(none, [0] * len(cost), 0)
    mask = none
    mask[nodes] = np.isin(unit[nodes], order[: best + 1])
    tolls = np.minimum(cost[:, order[: best + 1]].min(1), int(HIGHEST_RATE * int(most[best])))
    return Tolled(mask, tolls.tolist(), int(most[best]))
