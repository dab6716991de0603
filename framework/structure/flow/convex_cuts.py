"""Minimum cuts over node sets of an instance: the cheapest set that holds some nodes and avoids others.

For weights a(v) of either sign and a scale q >= 0, the function ``a(S) + q * cut(S)`` with cut(S) = in(S) + out(S) is
submodular: cut(S) is the cut of a hypergraph whose nets are {producer} + consumers. Its minimum over all S with some
nodes in and some out is a minimum cut. S is the source side; a net t with pins x has vertices p_t, q_t and arcs

    x -> p_t infinite,   p_t -> q_t of capacity q c(t),   q_t -> x infinite.

If any pin is in S then p_t is, and if any pin is not, q_t is not: the middle arc is cut exactly if the net is. A
net with two pins is one arc in both directions. A positive weight is an arc x -> sink; a negative one is paid in
advance and refunded by an arc source -> x.

*Anchors.* Stages are convex: a stage that holds v and a descendant u of v holds every path between them. So for
an anchor v in S, an arc from each descendant of v to each of its predecessors that descends from v as well may be
infinite; ancestors likewise, with successors. Arcs of the transitive reduction suffice, since the nodes of a path that
replaces an arc descend from v too. The minimum over sets closed in this way is a lower bound for stages that hold the
anchors.

*Shared parameters.* Let each parameter q that several nodes use have a weight h(q) >= 0, charged once if S holds a user
of it. That is a coverage function, so the sum stays submodular. In the network q is a vertex with arcs x -> q infinite
for its users x and q -> sink of capacity h(q). A finite cut with a user of q in S has q on the source side and pays
h(q); otherwise a minimum cut leaves q on the sink side and pays nothing. So every S costs what it should.

Source: the hypergraph network is Lawler's (1973); convexity from an anchor is this project's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from framework.model.arrays import IntArray, row_pointers, take_rows
from framework.model.instance import Instance
from framework.structure.bit_sets import BitArray, has
from framework.structure.flow.max_flow import INFINITE, FlowNetwork
from framework.structure.kernel import kernel
from framework.structure.poset.closure import Closure, closure, transitive_reduction

_NOTHING = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NodeCut:
    """The minimum of ``weight(S) + shared_weight(S) + scale * cut(S)``.

    Attributes
    ----------
    value
        The minimum; a lower bound on it if `complete` is False.
    members
        ``[size]`` nodes of the smallest S that attains it, ascending; empty if not `complete`.
    complete
        Whether the minimum was found rather than a limit reached.
    """

    value: int
    members: IntArray
    complete: bool


class NodeCuts:
    """Minimum cuts over node sets of one instance; the network is built once and its capacities change.

    Parameters
    ----------
    reach
        Closure of the instance, if it is known already; it is computed at the first anchor otherwise.
    should_stop
        Asked while the network and the closure are built, and during flows.

    Attributes
    ----------
    network
        The flow network; arcs are source -> nodes, nodes -> sink, transitive reduction (head -> tail), two-pin nets,
        the arcs of larger nets, then users -> shared parameters and shared parameters -> sink.

    Raises
    ------
    OutOfTimeError
        From any method, if `should_stop` returns true.
    """

    def __init__(
        self,
        instance: Instance,
        *,
        reach: Closure | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.instance = instance
        self._should_stop = should_stop
        self._reach = reach
        n, top = instance.n, instance.topology
        tails, heads = transitive_reduction(instance)
        pins = np.diff(top.consumer_ptr)
        paid = instance.tensor_cost > 0
        pairs = np.flatnonzero(paid & (pins == 1))
        nets = np.flatnonzero(paid & (pins > 1))
        near = n + 2 * np.arange(len(nets), dtype=np.int64)
        shared = instance.shared
        first_shared = n + 2 * len(nets)
        parameters = first_shared + np.arange(len(shared), dtype=np.int64)
        source = first_shared + len(shared)
        sink = source + 1
        nodes = np.arange(n, dtype=np.int64)
        consumers = take_rows(top.consumer_ptr, top.consumers, nets)[1]
        net_pins = np.concatenate((top.producer[nets], consumers))
        near_pin = np.concatenate((near, np.repeat(near, pins[nets])))
        arcs = (
            (np.full(n, source), nodes),
            (nodes, np.full(n, sink)),
            (heads, tails),
            (top.producer[pairs], top.consumers[top.consumer_ptr[pairs]]),
            (net_pins, near_pin),
            (near_pin + 1, net_pins),
            (near, near + 1),
            (shared.users, first_shared + shared.pins),
            (parameters, np.full(len(shared), sink)),
        )
        ends = tuple(np.concatenate(side) for side in zip(*arcs, strict=True))
        self.network = FlowNetwork(sink + 1, ends[0], ends[1], source, sink)
        forward, backward = self.network.forward, self.network.backward
        self._from_source, self._to_sink = forward[:n], forward[n : 2 * n]
        start = 2 * n
        # From an edge's head back to its tail, and from its tail to its head.
        self._to_tail, self._to_head = (side[start : start + len(tails)] for side in (forward, backward))
        start += len(tails)
        self._pair_arcs = np.concatenate((forward[start : start + len(pairs)], backward[start : start + len(pairs)]))
        start += len(pairs)
        self._pin_arcs = forward[start : start + 2 * len(net_pins)]
        start += 2 * len(net_pins)
        self._net_arcs = forward[start : start + len(nets)]
        start += len(nets)
        self._user_arcs = forward[start : start + len(shared.users)]
        self._shared_to_sink = forward[start + len(shared.users) :]
        self._pair_cost = np.tile(instance.tensor_cost[pairs], 2)
        self._net_cost = instance.tensor_cost[nets]
        self._tails, self._heads = tails, heads
        self._in_edges, self._in_ptr = np.argsort(heads, kind="stable"), row_pointers(heads, n)
        self._out_edges, self._out_ptr = np.arange(len(tails), dtype=np.int64), row_pointers(tails, n)
        self._base = np.zeros(len(self.network.residual), np.int64)
        self._base_scale = -1
        self._capacities_used = self._base

    @property
    def reach(self) -> Closure:
        """The closure of the instance."""
        if self._reach is None:
            self._reach = closure(self.instance, should_stop=self._should_stop)
        return self._reach

    def minimise(
        self,
        weight: IntArray,
        shared_weight: IntArray = _NOTHING,
        *,
        scale: int = 1,
        inside: Sequence[int] | IntArray = _NOTHING,
        outside: Sequence[int] | IntArray = _NOTHING,
        anchors: Sequence[int] = (),
        limit: int | None = None,
    ) -> NodeCut:
        """Minimise ``weight(S) + shared_weight(S) + scale * cut(S)`` over the S with `inside` in and `outside` out.

        Parameters
        ----------
        weight
            ``[n]`` of either sign. All absolute values and scaled costs together must stay below 2^59.
        shared_weight
            ``[parameters]`` at least 0, once for each shared parameter with a user in S; none where it is empty.
        scale
            Factor of the cut, at least 0.
        inside, outside
            Node indices; a node in both makes the minimum infinite.
        anchors
            Nodes of `inside` whose convexity is imposed.
        limit
            Stop once the minimum is known to be at least this.
        """
        capacities = self._capacities(weight, shared_weight, scale, inside, outside, anchors)
        total = int(np.minimum(weight, 0).sum())
        network = self.network
        network.reset(capacities)
        self._capacities_used = capacities
        bound = INFINITE if limit is None else max(0, limit - total)
        value = network.augment(limit=bound, should_stop=self._should_stop)
        if value >= bound:
            return NodeCut(value=value + total, members=_NOTHING, complete=False)
        reached = network.reached()
        return NodeCut(value=value + total, members=np.sort(reached[reached < self.instance.n]), complete=True)

    def capacities(self) -> IntArray:
        """Return the capacities of the last `minimise`, ``[2 * arcs]``, laid out like the residual."""
        return self._capacities_used.copy()

    def flow(self) -> IntArray:
        """Return the flow of the last `minimise`, ``[arcs]``; `flow_value` checks it against the same arguments."""
        return self._capacities_used[self.network.forward] - self.network.residual[self.network.forward]

    def flow_value(
        self,
        flow: IntArray,
        weight: IntArray,
        shared_weight: IntArray = _NOTHING,
        *,
        scale: int = 1,
        inside: Sequence[int] | IntArray = _NOTHING,
        outside: Sequence[int] | IntArray = _NOTHING,
        anchors: Sequence[int] = (),
    ) -> int:
        """Return the lower bound on the minimum that a flow proves: no cut is below the value of any flow.

        Raises
        ------
        ValueError
            If it is no flow of this network: a capacity exceeded, or a vertex that keeps or makes flow.
        """
        capacities = self._capacities(weight, shared_weight, scale, inside, outside, anchors)
        return self.network.flow_value(flow, capacities) + int(np.minimum(weight, 0).sum())

    def _capacities(
        self,
        weight: IntArray,
        shared_weight: IntArray,
        scale: int,
        inside: Sequence[int] | IntArray,
        outside: Sequence[int] | IntArray,
        anchors: Sequence[int],
    ) -> IntArray:
        """Return the capacity of every arc and of its reverse, ``[2 * arcs]``, laid out like the residual."""
        if scale != self._base_scale:
            self._base[self._pair_arcs] = scale * self._pair_cost
            self._base[self._net_arcs] = scale * self._net_cost
            self._base[self._pin_arcs] = INFINITE
            self._base_scale = scale
        capacities = self._base.copy()
        capacities[self._to_sink] = np.maximum(weight, 0)
        capacities[self._from_source] = np.maximum(-weight, 0)
        if shared_weight.any():
            capacities[self._user_arcs] = INFINITE
            capacities[self._shared_to_sink] = shared_weight
        capacities[self._from_source[np.asarray(inside, np.int64)]] = INFINITE
        capacities[self._to_sink[np.asarray(outside, np.int64)]] = INFINITE
        for anchor in anchors:
            self._impose_convexity(anchor, capacities)
        return capacities

    def _impose_convexity(self, anchor: int, capacities: IntArray) -> None:
        reach = self.reach
        _open_arcs(
            reach.descendants[anchor], self._in_ptr, self._in_edges, self._tails, self._to_tail, INFINITE, capacities
        )
        _open_arcs(
            reach.ancestors[anchor],
            self._out_ptr,
            self._out_edges,
            self._heads,
            self._to_head,
            INFINITE,
            capacities,
        )


def is_convex(members: IntArray, reach: Closure) -> bool:
    """Whether no node outside a set lies on a path between two nodes of it."""
    own = np.zeros(reach.ancestors.shape[1], np.uint64)
    np.bitwise_or.at(own, members >> 6, np.uint64(1) << (members & 63).astype(np.uint64))
    between = np.bitwise_or.reduce(reach.ancestors[members], axis=0) & np.bitwise_or.reduce(
        reach.descendants[members], axis=0
    )
    return not bool((between & ~own).any())


def set_cost(instance: Instance, members: IntArray) -> int:
    """Return f(S), the cost of a stage that holds exactly the given nodes, in ticks."""
    top = instance.topology
    inside = np.zeros(instance.n, np.bool_)
    inside[members] = True
    tensor = np.repeat(np.arange(top.m), np.diff(top.consumer_ptr))
    away = np.unique(tensor[inside[top.consumers] != inside[top.producer[tensor]]])
    parameters = held_parameters(instance, members)
    cut = int(instance.tensor_cost[away].sum())
    return int(instance.work[members].sum()) + cut + max(0, parameters - instance.capacity)


def held_parameters(instance: Instance, members: IntArray) -> int:
    """Return the parameter cost of the given nodes as one stage, each shared parameter once, in ticks."""
    private = int(instance.parameter_cost[members].sum())
    shared = instance.shared
    if not len(shared):
        return private
    inside = np.zeros(instance.n, np.bool_)
    inside[members] = True
    return private + int(instance.shared_cost[np.unique(shared.pins[inside[shared.users]])].sum())


def costs_alone(instance: Instance) -> IntArray:
    """Return f({v}), the cost of each node as a stage of its own, ``[n]`` ticks."""
    top = instance.topology
    nodes = np.arange(instance.n, dtype=np.int64)
    parameters = instance.parameter_cost + instance.shared.sums(instance.shared_cost, nodes, instance.n)
    if len(instance.working_cost):
        parameters = parameters + instance.working_cost
    cost: IntArray = instance.work + np.maximum(parameters - instance.bounded_capacity, 0)
    np.add.at(cost, top.producer, instance.tensor_cost)
    np.add.at(cost, top.consumers, np.repeat(instance.tensor_cost, np.diff(top.consumer_ptr)))
    return cost


@kernel
def _open_arcs(
    row: BitArray,
    ptr: IntArray,
    edges: IntArray,
    other: IntArray,
    arc: IntArray,
    infinite: int,
    capacities: IntArray,
) -> None:
    """Make infinite the arcs from every member of a bit set to its neighbours in the same set."""
    one = np.uint64(1)
    for word in range(len(row)):
        bits = row[word]
        v = word << 6
        while bits:
            if bits & one:
                for i in range(ptr[v], ptr[v + 1]):
                    u = other[edges[i]]
                    if has(row, u):
                        capacities[arc[edges[i]]] = infinite
            bits >>= one
            v += 1
