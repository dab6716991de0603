"""Nets: what is left of tensors without the divisible (*fluid*) nodes; a stage pays at most as much as for the tensors.

*Nets only lower cuts.* What a stage S pays for a tensor is its cost if S holds some but not all of {producer} +
consumers, whichever side the producer is on: ``cut(S)`` is the cut of a hypergraph. Fluid nodes are taken out of it
one by one. Let f be in the nets a and b, and m <= min(cost(a), cost(b)). Then for every S

    cost(a) [S cuts a] + cost(b) [S cuts b]
        >=  m [S cuts (a + b) - f]  +  (cost(a) - m) [S cuts a - f]  +  (cost(b) - m) [S cuts b - f].

For f is on one side of S: if neither a nor b is cut, all of a + b is on that side, and the right side is 0. If only
a is cut, b - f is not, and the right side is at most m + cost(a) - m; likewise if only b is cut. If both are, it is
at most cost(a) + cost(b) - m. Taking f out of a net without merging is the case m = 0. So at the end
``cut(S) >= sum of costs of the nets that the core nodes of S cut``, for every node set S at once. Merging is worth
it where a has but one other node: alone, a - f is never cut. (If f lies between u and v on a path, the stages
of u and v each pay for one of its two tensors, wherever f is.)

*What was taken out.* Each part of the cost of a net also stands for that much of the costs of some tensors, and nothing
else stands for that: at first for the tensor that the net is; a merged net for m of those of both; and what is left of
a and b for the rest of theirs. These tensors connect its pins and all nodes that were taken out of it, or of the nets
that it was merged of: taking one out leaves this set as it is, and the tensors of a and of b hang together at f. So a
stage that has some of them, but not all, pays the cost of that part (`framework.structure.fluid.tolls.ties`).

On different devices, each net has a cost on each of them, and m is the least on each: the argument holds for a stage S
in the prices of the device that S runs on.

Source: this project.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.model.topology import Topology
from framework.structure.fluid.nets.growth import grown, parts_of, pins_of
from framework.structure.fluid.nets.kernels import add_tensors, take_out
from framework.structure.fluid.nets.naming import name_taken
from framework.structure.fluid.nets.table import (
    MOST_PARTS,
    NETS,
    PLACED,
    SINGLE,
    make_hypergraph,
)
from framework.structure.poset.closure import BoolArray

STEPS_A_CALL = 500_000
"""Nets looked at, and pins and parts made, in one kernel call: some hundredths of a second."""


class NetRows(NamedTuple):
    """The nets that are left.

    Attributes
    ----------
    ptr, pins
        ``[nets + 1]``, ``[pins]`` their nodes as rows, ascending.
    cost
        ``[kinds, nets]``
    headed
        ``[nets]`` whether the first pin is an ancestor of all others.
    """

    ptr: IntArray
    pins: IntArray
    cost: IntArray
    headed: BoolArray


class TakenOut(NamedTuple):
    """Parts of the costs of nets that nodes were taken out of.

    Attributes
    ----------
    cost
        ``[parts]``
    taken_ptr, taken
        ``[parts + 1]``, ``[taken]`` some of the nodes taken out of each part, as rows, ascending.
    pin_ptr, pins
        ``[parts + 1]``, ``[pins]`` the nodes of the net that it is a part of, as rows, ascending.
    """

    cost: IntArray
    taken_ptr: IntArray
    taken: IntArray
    pin_ptr: IntArray
    pins: IntArray


class Nets:
    """Nets of which equal ones, with the same pins and the same head, add up.

    Parameters
    ----------
    tensor_cost
        ``[kinds, tensors]``
    placeless
        ``[n]`` the nodes that will be taken out.
    remember
        Whether nets keep what was taken out of them; only for one kind of devices.
    """

    def __init__(
        self, instance: Instance, tensor_cost: IntArray, placeless: BoolArray, *, remember: bool = False
    ) -> None:
        top = instance.topology
        hashes = np.random.default_rng(1).integers(1 << 62, size=instance.n)
        # For tensors alone: the first node that needs more makes room. So small examples compile what makes room, too.
        room = np.array([top.m, top.m + top.pins, top.m * remember, 0], np.int64)
        self._graph = make_hypergraph(hashes, placeless, len(tensor_cost), room)
        costs = np.ascontiguousarray(tensor_cost, np.int64)
        add_tensors(
            self._graph, _order(top, costs), top.producer, top.consumer_ptr, top.consumers, costs, bool(remember)
        )

    def eliminate(self, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Take all nodes without a place out of their nets, in ascending order.

        Raises
        ------
        OutOfTimeError
            If `should_stop` struck first.
        """
        nodes = np.flatnonzero(self._graph.placeless)
        given, done = np.empty((2, 2, MOST_PARTS), np.int64), 0
        while done < len(nodes):
            if should_stop():
                raise OutOfTimeError("stopped while nets were being merged")
            done = take_out(self._graph, nodes, done, STEPS_A_CALL, given)
            if self._graph.need.any():
                self._graph = grown(self._graph)

    def rows(self) -> NetRows:
        """Return the nets in a fixed order: by pins, then by cost as they are taken, but cheap ones first."""
        nets = self._nets(PLACED)
        ptr, pins = pins_of(self._graph, nets)
        cost, headed = self._graph.nets.cost[nets], self._graph.nets.head[nets] >= 0
        order = _ascending(ptr, pins, np.column_stack((cost[:, ::-1], headed)))
        return NetRows(*pins_of(self._graph, nets[order]), np.ascontiguousarray(cost[order].T), headed[order])

    def taken_out(self, should_stop: Callable[[], bool] = lambda: False) -> TakenOut:
        """Return what was taken out of each part of each net, and of nets that have one node left.

        Raises
        ------
        OutOfTimeError
            If `should_stop` struck first.
        """
        nets, known = np.concatenate((self._nets(PLACED), self._nets(SINGLE))), self._graph.parts
        net, part = parts_of(self._graph, nets)
        some = known.taken[part] >= 0
        net, part = net[some], part[some]
        return TakenOut(
            known.cost[part], *name_taken(self._graph, known.taken[part], should_stop), *pins_of(self._graph, nets[net])
        )

    def _nets(self, state: int) -> IntArray:
        """Return the nets in a state, in the order in which they came there."""
        records = self._graph.nets
        nets = np.flatnonzero(records.state[: self._graph.counts[NETS]] == state)
        return nets[np.argsort(records.stamp[nets])]


def _order(top: Topology, cost: IntArray) -> IntArray:
    """Return tensors in an order that depends on nothing but nodes and costs, as whoever checks a proof.

    That is, by producer, by consumers, and by cost on the last kind of device, on the one before it, and so on.
    """
    order = _ascending(top.consumer_ptr, top.consumers, cost[::-1].T)
    return order[np.argsort(top.producer[order], kind="stable")]


def _ascending(ptr: IntArray, items: IntArray, more: IntArray) -> IntArray:
    """Return an order in which rows of items ascend, as lists do, and where these are equal, rows of `more`."""
    rows, width = len(ptr) - 1, more.shape[1]
    # Bytes compare as the numbers that they are, highest first; 0 ends a row of items. Lists would be slower by far.
    ends = ptr + (width + 1) * np.arange(rows + 1)
    words = np.zeros(ends[-1], ">i8")
    words[np.arange(len(items)) + (width + 1) * np.repeat(np.arange(rows), np.diff(ptr))] = items + 1
    words[ends[1:, None] + np.arange(-width, 0)] = more
    data = words.tobytes()
    keys = [data[a:b] for a, b in pairwise((8 * ends).tolist())]
    return np.array(sorted(range(rows), key=keys.__getitem__), np.int64)
