"""Deciding a threshold T over the lattice of ideals: the fewest stages that reach each ideal.

For ideals I <= J the stage J - I costs

    f(J - I) = w(J) - w(I) + in + out + max(0, p(J) - p(I) - capacity),

where ``in`` sums the tensors produced in I with a consumer in J - I. The tensors that cross J are those the stage
sends, and those of I that are still wanted beyond J: out = cut(J) - (cut(I) - done), with ``done`` the tensors that
cross I and are wanted in J - I only.

From I, the ideals above it are walked by adding nodes in ascending number. Numbering is topological, so every ideal
above I is met exactly once, and its ascending prefixes are ideals too. Along such a walk work, ``in`` and overflow
only grow: once they exceed T, no ideal further on is one stage away from I. (f itself may fall, so it does not prune.)

An ideal I reached with b stages leads to the end within k only if the work and parameters left, and its cut, fit into
k - b stages: W - w(I) + max(0, P - p(I) - (k-b) capacity) + cut(I) <= (k - b) T, since the stages left pay for every
tensor that crosses I at least once; the mirror image holds for the b stages before. Reaching an ideal with fewest
stages is all that matters, as what can follow depends on the ideal and the number of stages left alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit

from framework.errors import OutOfTimeError
from framework.model.instance import Instance
from framework.model.problem import Partition
from framework.model.topology import IntArray
from framework.structure.ideals import BitArray, IdealLattice, SmallArray

STEPS_A_CALL = 1_000_000
"""Extensions after which a kernel call returns to Python: some hundredths of a second."""
_REFUTED, _REACHED, _PAUSED = 0, 1, 2


class ChainSearch:
    """Decides thresholds on one complete lattice; keeps its arrays between decisions.

    Attributes
    ----------
    steps
        Extensions walked so far, over all decisions.
    """

    def __init__(self, instance: Instance, lattice: IdealLattice) -> None:
        if not lattice.complete:
            raise ValueError("only a complete lattice can decide anything")
        self.instance = instance
        self.lattice = lattice
        self.steps = 0
        self._capacity = instance.bounded_capacity
        self._stages_to = np.empty(len(lattice), np.int64)
        self._origin = np.empty(len(lattice), np.int64)
        self._queue = np.empty(len(lattice), np.int64)

    def decide(self, stages: int, threshold: int, should_stop: Callable[[], bool]) -> Partition | None:
        """Return a partition into at most `stages` stages of cost at most `threshold` each, or None if there is none.

        Raises
        ------
        OutOfTimeError
            If `should_stop` struck first; then nothing is known.
        """
        lattice, instance, top = self.lattice, self.instance, self.instance.topology
        self._stages_to.fill(stages + 1)
        self._stages_to[0] = 0
        self._queue[0] = 0
        # Counters: ideals in the queue, ideals taken from it, extensions.
        counters = np.array([1, 0, 0], np.int64)
        while True:
            outcome = _advance(
                lattice.work,
                lattice.parameter_cost,
                lattice.cut,
                lattice.bits,
                lattice.edge_ptr,
                lattice.edge_node,
                lattice.edge_ideal,
                instance.tensor_cost,
                top.producer,
                top.consumer_ptr,
                top.consumers,
                top.in_ptr,
                top.in_tensors,
                self._capacity,
                stages,
                threshold,
                self._stages_to,
                self._origin,
                self._queue,
                counters,
                STEPS_A_CALL,
            )
            if outcome != _PAUSED:
                break
            if should_stop():
                raise OutOfTimeError("the decision was stopped")
        self.steps += int(counters[2])
        return self._trace() if outcome == _REACHED else None

    def _trace(self) -> Partition:
        stage_of = np.empty(self.instance.n, np.int64)
        words = self.lattice.bits
        nodes = np.arange(self.instance.n)
        goal = len(words) - 1
        while goal:
            origin = int(self._origin[goal])
            stage = words[goal] & ~words[origin]
            member = (stage[nodes >> 6] >> (nodes & 63).astype(np.uint64)) & np.uint64(1)
            stage_of[member.astype(bool)] = self._stages_to[goal] - 1
            goal = origin
        return Partition(stage_of=stage_of)


@njit(cache=True)
def _advance(
    work: IntArray,
    parameters: IntArray,
    cut: IntArray,
    bits: BitArray,
    edge_ptr: IntArray,
    edge_node: SmallArray,
    edge_ideal: SmallArray,
    tensor_cost: IntArray,
    producer: IntArray,
    consumer_ptr: IntArray,
    consumers: IntArray,
    in_ptr: IntArray,
    in_tensors: IntArray,
    capacity: int,
    k: int,
    threshold: int,
    stages_to: IntArray,
    origin: IntArray,
    queue: IntArray,
    counters: IntArray,
    limit: int,
) -> int:
    """Take ideals from the queue, fewest stages first, and walk everything one stage away from each."""
    one = np.uint64(1)
    goal = len(work) - 1
    total, all_parameters = work[goal], parameters[goal]
    m = len(tensor_cost)
    # Per tensor that crosses the ideal: consumers inside the stage so far, consumers outside the ideal still missing.
    inside = np.zeros(m, np.int64)
    missing = np.zeros(m, np.int64)
    depth_most = len(in_ptr)
    at = np.empty(depth_most, np.int64)
    edge = np.empty(depth_most, np.int64)
    added = np.empty(depth_most, np.int64)
    inbound = np.empty(depth_most, np.int64)
    done = np.empty(depth_most, np.int64)
    steps = 0
    while counters[1] < counters[0]:
        if steps > limit:
            counters[2] += steps
            return _PAUSED
        start = queue[counters[1]]
        counters[1] += 1
        b = stages_to[start]
        left = k - b
        rest = total - work[start] + max(0, all_parameters - parameters[start] - left * capacity)
        if rest + cut[start] > left * threshold:
            continue
        if work[start] + cut[start] + max(0, parameters[start] - b * capacity) > b * threshold:
            continue
        last = total - work[start] + cut[start] + max(0, all_parameters - parameters[start] - capacity)
        if last <= threshold:
            stages_to[goal] = b + 1
            origin[goal] = start
            counters[2] += steps
            return _REACHED
        if left == 1:
            continue
        depth = 0
        at[0] = start
        edge[0] = edge_ptr[start]
        added[0] = -1
        inbound[0] = 0
        done[0] = 0
        while depth >= 0:
            here = at[depth]
            if edge[depth] == edge_ptr[here + 1]:
                # Take back the node that led here.
                v = added[depth]
                if v >= 0:
                    for i in range(in_ptr[v], in_ptr[v + 1]):
                        t = in_tensors[i]
                        if inside[t] > 0:
                            inside[t] -= 1
                            missing[t] += 1
                depth -= 1
                continue
            e = edge[depth]
            edge[depth] += 1
            v = edge_node[e]
            if v < added[depth]:
                continue
            there = edge_ideal[e]
            steps += 1
            own = work[there] - work[start] + max(0, parameters[there] - parameters[start] - capacity)
            if own + inbound[depth] > threshold:
                continue
            new_inbound, new_done = inbound[depth], done[depth]
            for i in range(in_ptr[v], in_ptr[v + 1]):
                t = in_tensors[i]
                u = producer[t]
                if (bits[start, u >> 6] >> np.uint64(u & 63)) & one:
                    if inside[t] == 0:
                        new_inbound += tensor_cost[t]
                        waiting = 0
                        for x in range(consumer_ptr[t], consumer_ptr[t + 1]):
                            y = consumers[x]
                            if not (bits[start, y >> 6] >> np.uint64(y & 63)) & one:
                                waiting += 1
                        missing[t] = waiting
                    inside[t] += 1
                    missing[t] -= 1
                    if missing[t] == 0:
                        new_done += tensor_cost[t]
            if own + new_inbound > threshold:
                for i in range(in_ptr[v], in_ptr[v + 1]):
                    t = in_tensors[i]
                    if inside[t] > 0:
                        inside[t] -= 1
                        missing[t] += 1
                continue
            if stages_to[there] > b + 1:
                cost = own + new_inbound + cut[there] - cut[start] + new_done
                after = total - work[there] + cut[there]
                after += max(0, all_parameters - parameters[there] - (left - 1) * capacity)
                if cost <= threshold and after <= (left - 1) * threshold:
                    stages_to[there] = b + 1
                    origin[there] = start
                    queue[counters[0]] = there
                    counters[0] += 1
            depth += 1
            at[depth] = there
            edge[depth] = edge_ptr[there]
            added[depth] = v
            inbound[depth] = new_inbound
            done[depth] = new_done
    counters[2] += steps
    return _REFUTED
