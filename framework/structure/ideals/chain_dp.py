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

So an ideal J is worth reaching from level b only if it was not reached with b + 1 stages and passes the test for
b + 1. It is one stage away from I only if w(J) - w(I) + in + cut(J) - cut(I) + done <= T, and in + done only grows
along a walk:

    in + done  <=  T + w(I) + cut(I) - least{w(J') + cut(J'): J' worth reaching, J' above the ideal the walk is at},

else the walk turns back (likewise with w + p, and T + capacity, since overflow is at least p - capacity). The minima
are one sweep over the lattice, filled for each level and again as ideals are reached. On lattices of some ten thousand
ideals this leaves a tenth of the walks or less.

A hard limit on what a stage holds is one more sum that only grows along a walk: beyond it the walk turns back.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.instance import Instance
from framework.model.problem import Partition
from framework.model.topology import IntArray
from framework.structure.ideals.lattice import BitArray, IdealLattice, SmallArray
from framework.structure.kernel import allocating_kernel, kernel

STEPS_A_CALL = 1_000_000
"""Extensions after which a kernel call returns to Python: some hundredths of a second."""
REFILL = 4
"""Extensions per edge of the lattice after which `least` is filled anew, without the ideals reached meanwhile."""
_REFUTED, _REACHED, _PAUSED = 0, 1, 2
_NEVER = 1 << 62


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
        limit = instance.stage_limit
        # Sizes held by each ideal; none where there is no hard limit.
        self._sizes = np.zeros(0, np.int64)
        self._size_limit = 0
        if limit is not None:
            self._sizes = lattice.sums(limit.sizes)
            self._size_limit = min(limit.limit, int(limit.sizes.sum()))
        self._least = np.empty((2 if instance.can_overflow else 1, len(lattice)), np.int64)

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
        # Counters: ideals in the queue, taken from it, extensions; and of `least`: extensions since it was filled,
        # its level, the first ideal of that level and the last one worth reaching.
        counters = np.array([1, 0, 0, 0, -1, 0, 0], np.int64)
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
                self._sizes,
                self._size_limit,
                stages,
                threshold,
                self._stages_to,
                self._origin,
                self._queue,
                self._least,
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


@allocating_kernel
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
    sizes: IntArray,
    size_limit: int,
    k: int,
    threshold: int,
    stages_to: IntArray,
    origin: IntArray,
    queue: IntArray,
    least: IntArray,
    counters: IntArray,
    limit: int,
) -> int:
    """Take ideals from the queue, fewest stages first, and walk everything one stage away from each."""
    one = np.uint64(1)
    goal = len(work) - 1
    total, all_parameters = work[goal], parameters[goal]
    m = len(tensor_cost)
    overflows = len(least) > 1
    limited = len(sizes) > 0
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
        b = stages_to[start]
        left = k - b
        if b > counters[4]:
            counters[5] = queue[counters[1] : counters[0]].min()
            counters[6] = goal
            _sort_by_promise(work, cut, queue, counters[1], counters[0])
            start = queue[counters[1]]
        if left > 1 and (b > counters[4] or counters[3] > REFILL * (edge_ptr[counters[6] + 1] - edge_ptr[counters[5]])):
            counters[6] = _fill_least(
                work,
                parameters,
                cut,
                edge_ptr,
                edge_ideal,
                capacity,
                threshold,
                b + 1,
                left - 1,
                stages_to,
                counters[5],
                counters[6],
                least,
            )
            counters[3] = 0
        counters[4] = b
        last_useful = counters[6]
        counters[1] += 1
        rest = total - work[start] + max(0, all_parameters - parameters[start] - left * capacity)
        if rest + cut[start] > left * threshold:
            continue
        if work[start] + cut[start] + max(0, parameters[start] - b * capacity) > b * threshold:
            continue
        last = total - work[start] + cut[start] + max(0, all_parameters - parameters[start] - capacity)
        fits = not limited or sizes[goal] - sizes[start] <= size_limit
        if last <= threshold and fits:
            stages_to[goal] = b + 1
            origin[goal] = start
            counters[2] += steps
            return _REACHED
        room = threshold + work[start] + cut[start]
        more_room = room + parameters[start] + capacity
        if left == 1 or start > last_useful or least[0, start] > room or (overflows and least[1, start] > more_room):
            continue
        before = steps
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
            if there > last_useful or (limited and sizes[there] - sizes[start] > size_limit):
                continue
            cuts = inbound[depth] + done[depth]
            if least[0, there] + cuts > room or (overflows and least[1, there] + cuts > more_room):
                continue
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
            cuts = new_inbound + new_done
            if (
                own + new_inbound > threshold
                or least[0, there] + cuts > room
                or (overflows and least[1, there] + cuts > more_room)
            ):
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
        counters[3] += steps - before
    counters[2] += steps
    return _REFUTED


@allocating_kernel
def _sort_by_promise(work: IntArray, cut: IntArray, queue: IntArray, low: int, high: int) -> None:
    """Sort a level so that what is likely to reach most comes first."""
    level = queue[low:high].copy()
    queue[low:high] = level[np.argsort(-(work[level] + cut[level]), kind="mergesort")]


@kernel
def _fill_least(
    work: IntArray,
    parameters: IntArray,
    cut: IntArray,
    edge_ptr: IntArray,
    edge_ideal: SmallArray,
    capacity: int,
    threshold: int,
    stages: int,
    left: int,
    stages_to: IntArray,
    first: int,
    final: int,
    least: IntArray,
) -> int:
    """Fill `least` from ideal `first` to the last ideal worth reaching with so many stages, and return that.

    `left` stages follow. No ideal after `final` is worth reaching. Above an ideal there are only ideals with larger
    numbers.
    """
    goal = len(work) - 1
    total, all_parameters = work[goal], parameters[goal]
    last = first - 1
    for ideal in range(final, first - 1, -1):
        useful = False
        if stages_to[ideal] > stages:
            after = total - work[ideal] + cut[ideal]
            after += max(0, all_parameters - parameters[ideal] - left * capacity)
            useful = after <= left * threshold
        if last < first:
            if not useful:
                continue
            last = ideal
        for row in range(len(least)):
            value = work[ideal] + cut[ideal] + row * parameters[ideal] if useful else _NEVER
            for e in range(edge_ptr[ideal], edge_ptr[ideal + 1]):
                if edge_ideal[e] <= last:
                    value = min(value, least[row, edge_ideal[e]])
            least[row, ideal] = value
    return last
