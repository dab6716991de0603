"""The shape of a computation graph: tensors as hyperedges, in compressed sparse rows.

A *tensor* has one producer and a set of consumers; it is a hyperedge, paid once per stage that cuts it. A
dependency without data is a tensor of cost zero. Everything here is index arithmetic on int64 arrays; costs
live in `framework.model.instance`.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from framework.model.arrays import IntArray, distinct, row_pointers


class TopologyArrays(NamedTuple):
    """The arrays of a `Topology`, as kernels take them."""

    producer: IntArray
    consumer_ptr: IntArray
    consumers: IntArray
    in_ptr: IntArray
    in_tensors: IntArray
    out_ptr: IntArray
    out_tensors: IntArray
    succ_ptr: IntArray
    succs: IntArray
    pred_ptr: IntArray
    preds: IntArray


_ARRAYS = attrgetter(*TopologyArrays._fields)
"""Takes them from a `Topology`, quickly."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Topology:
    """Nodes 0..n-1 and tensors 0..m-1; row `v` of a pair (ptr, items) is ``items[ptr[v]:ptr[v + 1]]``.

    Attributes
    ----------
    n, m
        Number of nodes, of tensors.
    producer
        ``[m]`` the node that produces each tensor.
    consumer_ptr, consumers
        ``[m + 1]``, ``[pins]`` the consumers of each tensor, ascending, without the producer.
    in_ptr, in_tensors
        ``[n + 1]``, ``[pins]`` the tensors each node consumes, ascending.
    out_ptr, out_tensors
        ``[n + 1]``, ``[m]`` the tensors each node produces, ascending.
    succ_ptr, succs
        ``[n + 1]``, ``[edges]`` the distinct direct successors of each node, ascending.
    pred_ptr, preds
        ``[n + 1]``, ``[edges]`` the distinct direct predecessors of each node, ascending.
    """

    n: int
    m: int
    producer: IntArray
    consumer_ptr: IntArray
    consumers: IntArray
    in_ptr: IntArray
    in_tensors: IntArray
    out_ptr: IntArray
    out_tensors: IntArray
    succ_ptr: IntArray
    succs: IntArray
    pred_ptr: IntArray
    preds: IntArray

    @property
    def arrays(self) -> TopologyArrays:
        """What kernels take."""
        return TopologyArrays._make(_ARRAYS(self))

    @property
    def edges(self) -> int:
        """Number of distinct (producer, consumer) pairs of nodes."""
        return len(self.succs)

    @property
    def pins(self) -> int:
        """Number of (tensor, consumer) pairs."""
        return len(self.consumers)

    @property
    def is_topological(self) -> bool:
        """Whether every producer has a smaller index than its consumers."""
        return bool(np.all(np.repeat(self.producer, np.diff(self.consumer_ptr)) < self.consumers))


def build_topology(n: int, producer: IntArray, consumer_ptr: IntArray, consumers: IntArray) -> Topology:
    """Derive all adjacency of a hypergraph from its tensors.

    Parameters
    ----------
    n
        Number of nodes.
    producer
        ``[m]`` node index per tensor.
    consumer_ptr, consumers
        ``[m + 1]``, ``[pins]``; each row distinct and free of its producer (rows are sorted here).
    """
    producer = np.ascontiguousarray(producer, dtype=np.int64)
    consumer_ptr = np.ascontiguousarray(consumer_ptr, dtype=np.int64)
    m = len(producer)
    tensor_of_pin = np.repeat(np.arange(m, dtype=np.int64), np.diff(consumer_ptr))
    pins = np.asarray(consumers, dtype=np.int64)
    if bool(((pins[1:] < pins[:-1]) & (tensor_of_pin[1:] == tensor_of_pin[:-1])).any()):
        pins = pins[np.lexsort((pins, tensor_of_pin))]
    by_consumer = np.argsort(pins, kind="stable")
    by_producer = np.argsort(producer, kind="stable")
    edge = distinct(producer[tensor_of_pin] * n + pins)
    heads, tails = edge // max(n, 1), edge % max(n, 1)
    by_tail = np.argsort(tails, kind="stable")
    return Topology(
        n=n,
        m=m,
        producer=producer,
        consumer_ptr=consumer_ptr,
        consumers=pins,
        in_ptr=row_pointers(pins, n),
        in_tensors=tensor_of_pin[by_consumer],
        out_ptr=row_pointers(producer, n),
        out_tensors=by_producer.astype(np.int64),
        succ_ptr=row_pointers(heads, n),
        succs=tails,
        pred_ptr=row_pointers(tails, n),
        preds=heads[by_tail],
    )


def find_cycle(topology: Topology) -> list[int] | None:
    """Return the nodes of one directed cycle in order, or None if the graph is acyclic."""
    blocked = topology.n - len(_kahn(topology))
    if not blocked:
        return None
    alive = np.ones(topology.n, bool)
    alive[_kahn(topology)] = False
    # Every remaining node has a remaining predecessor: walking backwards must repeat one.
    node = int(np.flatnonzero(alive)[0])
    seen: dict[int, int] = {}
    walk: list[int] = []
    while node not in seen:
        seen[node] = len(walk)
        walk.append(node)
        row = topology.preds[topology.pred_ptr[node] : topology.pred_ptr[node + 1]]
        node = int(row[alive[row]][0])
    return walk[seen[node] :][::-1]


def stable_topological_order(topology: Topology) -> IntArray:
    """Return the topological order that always takes the smallest ready index; `[n]` node indices.

    It is the identity when the numbering is topological already.

    Raises
    ------
    ValueError
        If the graph has a cycle; see `find_cycle`.
    """
    if topology.is_topological:
        return np.arange(topology.n, dtype=np.int64)
    order = _kahn(topology)
    if len(order) < topology.n:
        raise ValueError("the graph has a cycle")
    return order


def _kahn(topology: Topology) -> IntArray:
    missing = np.diff(topology.pred_ptr).tolist()
    ready = [v for v in range(topology.n) if not missing[v]]
    succ_ptr, succs = topology.succ_ptr.tolist(), topology.succs.tolist()
    order: list[int] = []
    while ready:
        v = heapq.heappop(ready)
        order.append(v)
        for u in succs[succ_ptr[v] : succ_ptr[v + 1]]:
            missing[u] -= 1
            if not missing[u]:
                heapq.heappush(ready, u)
    return np.array(order, dtype=np.int64)
