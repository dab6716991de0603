"""Nested minimum cuts: a weighted sum of stage costs, bounded over all partitions by one minimum cut.

Group the k stages into m groups of r_1, ..., r_m consecutive ones. A partition is a chain of m - 1 nested ideals, the
boundaries: x[v, j] = 1 if v lies in group j or an earlier one. Let f_g be the cost of all nodes of group g as one
stage of capacity r_g * capacity. Merging stages never adds a cut, and max(0, sum p_i - r c) <= sum max(0, p_i - c),
so a partition of bottleneck T has f_g <= r_g T for every g. For multipliers lambda >= 0 and 0 <= mu <= lambda,

    T sum_g lambda_g r_g  >=  sum_g lambda_g f_g  >=  sum_g lambda_g (w + cut)(g) + mu_g (p(g) - r_g c),

and what follows is a lower bound of the right side that one minimum cut minimises over all partitions. Work and
parameters are linear in x. Let a tensor be produced in group p and consumed last in group q.

* It costs lambda_p + lambda_q if p < q. For any beta >= 0 with sum_{p<=j<q} beta_j <= lambda_p + lambda_q for all p <
  q that the windows allow, it costs at least the sum of beta_j over the boundaries j that it crosses: arcs from
  (producer, j) to the last consumers at j, infinite behind a vertex of its own if there are several. With m = 2 this
  is exact.
* If the windows say p < q for certain, lambda_p is linear in the producer's x. So is lambda_q in the consumer's if
  there is one last consumer; of several, the largest increasing function below lambda_q is taken.
* A consumer fixed in a group b < q adds lambda_b if the producer is in an earlier group.

Where stages are unequal, w, p, c and what a tensor costs are those of the group (`framework.structure.nested_cuts
.prices`): lambda_g stands for lambda_g times the tensor's cost in g above, and f_g <= r_g T holds since no stage pays
less than the group's prices say.

Infinite arcs run from (v, j) to (v, j + 1), since ideals are nested, and from (v, j) to (u, j) for each edge u -> v of
the transitive reduction. Windows fix vertices by infinite arcs from the source or to the sink.

Multipliers are integers, so values are exact. Source: this project.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from framework.model.arrays import IntArray
from framework.model.graph import FloatArray
from framework.model.instance import Instance
from framework.structure.flow.max_flow import BASE, INFINITE, FlowNetwork
from framework.structure.nested_cuts.costs import (
    Arcs,
    Multipliers,
    Windows,
    group_costs,
    groups_of,
    set_capacities,
    tensors_that_cost,
)
from framework.structure.nested_cuts.prices import most_charged, prices_of_groups
from framework.structure.poset.closure import Closure, closure, transitive_reduction

FINEST = 64
"""Multipliers are counted in this part of the average one, or coarser where the costs are huge."""
MOST_GROUPS = 64
SMOOTHING = 0.15
"""Weight of the latest cut in the running share of cuts in which a tensor crosses a boundary."""
_LARGEST_CUT = 1 << 58


def finest_multiplier(instance: Instance, groups: int) -> int:
    """Return the largest average multiplier with which no cut leaves 64 bits; 0 where none is safe."""
    return _LARGEST_CUT // (max(1, most_charged(instance)) * groups * (2 * groups - 1))


class NestedNetwork:
    """The network of one instance and one grouping of the stages; capacities change from cut to cut.

    Parameters
    ----------
    sizes
        Number of stages in each group, at least two groups, each at least 1.
    should_stop
        Asked while it is built and during flows.

    Attributes
    ----------
    network
        The flow network. Vertex ``j * n + v`` stands for x[v, j].
    arcs
        Its arcs whose capacities change.
    resolution
        What the multipliers of the loads should add up to, to be fine and yet safe.
    prices
        What groups pay.

    Raises
    ------
    OutOfTimeError
        If `should_stop` returns true.
    """

    def __init__(
        self,
        instance: Instance,
        sizes: Sequence[int],
        *,
        reach: Closure | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        if not 2 <= len(sizes) <= MOST_GROUPS or min(sizes) < 1:
            raise ValueError(f"2 to {MOST_GROUPS} groups of at least one stage are needed, not {list(sizes)}")
        self.instance = instance
        self.sizes = np.array(sizes, np.int64)
        self.groups, self.boundaries = len(sizes), len(sizes) - 1
        self.reach = closure(instance, should_stop=should_stop) if reach is None else reach
        self._should_stop = should_stop
        self.prices = prices = prices_of_groups(instance, sizes)
        self.tensors = tensors_that_cost(instance, self.reach, prices.tensor_cost)
        self.resolution = self.groups * max(1, min(FINEST, finest_multiplier(instance, self.groups)))
        self._build()

    @property
    def capacities(self) -> IntArray:
        """``[groups]`` parameters that each group holds for free, in ticks."""
        return self.prices.capacities

    @property
    def overflows(self) -> bool:
        """Whether some group can hold more than that."""
        return bool((self.prices.capacities < self.prices.held).any())

    @property
    def free(self) -> tuple[IntArray, IntArray]:
        """The windows that exclude nothing: earliest and latest group of each node."""
        n = self.instance.n
        return np.zeros(n, np.int64), np.full(n, self.boundaries, np.int64)

    def multipliers(self, loads: FloatArray, shares: FloatArray) -> Multipliers:
        """Round multipliers: `loads` to any scale, `shares` as mu / lambda in 0..1; ``[groups]`` each."""
        rounded = np.rint(loads * (self.resolution / loads.sum())).astype(np.int64)
        if not rounded.any():
            rounded[:] = 1
        overflow = np.minimum(np.rint(shares * rounded).astype(np.int64), rounded)
        return Multipliers(loads=rounded, overflow=overflow)

    def even_priority(self) -> FloatArray:
        """Return the ``[tensors, boundaries]`` order in which beta is spent before anything is known: middle first."""
        middle = np.abs(np.arange(self.boundaries) - (self.boundaries - 1) / 2)
        return np.tile(0.5 - 0.1 * middle / self.groups, (len(self.tensors.producer), 1))

    def prepare(self, multipliers: Multipliers, earliest: IntArray, latest: IntArray, priority: FloatArray) -> int:
        """Set the capacities for some multipliers and windows; return what is to be added to the value of a cut.

        Parameters
        ----------
        earliest, latest
            ``[n]`` windows, closed under precedence: no predecessor begins or ends later.
        priority
            ``[tensors, boundaries]`` the larger, the earlier beta is given to a boundary; any numbers are valid.
        """
        self.network.reset(self._template)
        base = set_capacities(
            multipliers,
            self.prices.work,
            self.prices.parameters,
            self.tensors,
            Windows(earliest, latest),
            priority,
            self.arcs,
            self.network.residual,
        )
        return int(base) - sum(int(mu) * int(c) for mu, c in zip(multipliers.overflow, self.capacities, strict=True))

    @property
    def shares_size(self) -> int:
        """How many numbers `shares` returns; 0 where two groups need none, and where stages are unequal."""
        if self.groups == 2 or self.instance.unequal is not None:
            return 0
        return len(self.tensors.producer) * self.boundaries

    def shares(self) -> NDArray[np.int16] | None:
        """Return what crossing each boundary is charged for each tensor, in its costs, right after `prepare`.

        ``[tensors, boundaries]``: beta above; None where the size is 0.
        """
        if not self.shares_size:
            return None
        charged = self.network.residual[self.arcs.tensors] // self.tensors.cost
        return charged.T.astype(np.int16)

    def charged_by(self, tables: Sequence[NDArray[np.int16]]) -> tuple[list[list[int]], list[list[int]]]:
        """Return producer and consumers of tensors that some shares charge, and of each table what it says of them."""
        charged: list[int] = np.flatnonzero(np.any(tables, axis=(0, 2))).tolist() if tables else []
        producer, ptr, consumers = self.tensors.producer, self.tensors.ptr, self.tensors.consumers
        ends = [[int(producer[t]), *consumers[ptr[t] : ptr[t + 1]].tolist()] for t in charged]
        return ends, [table[charged].ravel().tolist() for table in tables]

    def weight(self, multipliers: Multipliers) -> int:
        """Return what a value is divided by to bound the bottleneck: the sum of lambda times group sizes."""
        return sum(int(x) * int(r) for x, r in zip(multipliers.loads, self.sizes, strict=True))

    def smallest(self) -> IntArray:
        """Return the ``[n]`` groups of the minimum cut with the smallest ideals, after a maximal flow."""
        arrays = self.network.arrays
        return groups_of(arrays.level >= arrays.counters[BASE], self.instance.n, self.boundaries)

    def largest(self) -> IntArray:
        """Return the ``[n]`` groups of the minimum cut with the largest ideals, after a maximal flow."""
        return groups_of(~self.network.reaching_sink(), self.instance.n, self.boundaries)

    def costs(self, group_of: IntArray) -> tuple[IntArray, IntArray]:
        """Return f_g and p(g) of all groups, ``[groups]`` each, in ticks."""
        costs, parameters = group_costs(
            group_of, self.prices.work, self.prices.parameters, self.tensors, self.capacities
        )
        return costs, parameters

    def crossings(self, group_of: IntArray) -> NDArray[np.bool_]:
        """Return which tensors cross which boundary, ``[tensors, boundaries]``."""
        if not len(self.tensors.producer):
            return np.zeros((0, self.boundaries), np.bool_)
        ends = np.maximum.reduceat(group_of[self.tensors.last], self.tensors.last_ptr[:-1])
        boundary = np.arange(self.boundaries)
        crossed: NDArray[np.bool_] = (group_of[self.tensors.producer][:, None] <= boundary) & (boundary < ends[:, None])
        return crossed

    def _build(self) -> None:
        n, copies, tensors = self.instance.n, self.boundaries, self.tensors
        m = len(tensors.producer)
        fan = np.diff(tensors.last_ptr)
        several = np.flatnonzero(fan > 1)
        hub = np.full(m, -1, np.int64)
        hub[several] = np.arange(len(several))
        pins = np.repeat(fan > 1, fan)
        pin_hub, pin_node = np.repeat(hub, fan)[pins], tensors.last[pins]
        first_hub = copies * n
        source = first_hub + copies * len(several)
        sink = source + 1
        tails, heads = transitive_reduction(self.instance)
        nodes = np.arange(copies * n, dtype=np.int64)
        shift = np.repeat(np.arange(copies, dtype=np.int64), m) * n
        hub_shift = first_hub + np.repeat(np.arange(copies, dtype=np.int64), m) * len(several)
        target = np.where(
            np.tile(hub, copies) >= 0,
            hub_shift + np.tile(hub, copies),
            shift + np.tile(tensors.last[tensors.last_ptr[:-1]] if m else hub, copies),
        )
        layer = np.arange(copies, dtype=np.int64)[:, None]
        infinite_tails = (
            (layer * n + heads).ravel(),
            (first_hub + layer * len(several) + pin_hub).ravel(),
            nodes[: (copies - 1) * n],
        )
        infinite_heads = ((layer * n + tails).ravel(), (layer * n + pin_node).ravel(), nodes[n:])
        self.network = FlowNetwork(
            sink + 1,
            np.concatenate(
                (np.full(len(nodes), source), nodes, shift + np.tile(tensors.producer, copies), *infinite_tails)
            ),
            np.concatenate((nodes, np.full(len(nodes), sink), target, *infinite_heads)),
            source,
            sink,
        )
        forward = self.network.forward
        end = 2 * len(nodes) + copies * m
        self.arcs = Arcs(
            from_source=forward[: len(nodes)].reshape(copies, n),
            to_sink=forward[len(nodes) : 2 * len(nodes)].reshape(copies, n),
            tensors=forward[2 * len(nodes) : end].reshape(copies, m),
        )
        self._template = np.zeros(len(self.network.residual), np.int64)
        self._template[forward[end:]] = INFINITE
