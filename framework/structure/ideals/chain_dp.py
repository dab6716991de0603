"""Deciding a threshold T over the lattice of ideals: the fewest stages that reach each ideal.

For ideals I <= J the stage J - I costs

    f(J - I) = w(J) - w(I) + in + out + max(0, p(J) - p(I) - capacity),

where ``in`` sums the tensors produced in I with a consumer in J - I. The tensors that cross J are those the stage
sends, and those of I that are still wanted beyond J: out = cut(J) - (cut(I) - done), with ``done`` the tensors that
cross I and are wanted in J - I only.

From I, the ideals above it are walked by adding nodes in ascending number. Numbering is topological, so every ideal
above I is met exactly once, and its ascending prefixes are ideals too. Along such a walk work, ``in`` and overflow
only grow: once they exceed T, no ideal further on is one stage away from I. (f itself may fall, so it does not prune.)

An ideal I reached with b stages can be completed to k stages only if the remaining work and parameters, and its cut,
fit into k - b stages: W - w(I) + max(0, P - p(I) - (k-b) capacity) + cut(I) <= (k - b) T, since the remaining stages
pay for every tensor that crosses I at least once. The mirror image holds for the first b stages. It suffices to know
the fewest stages that reach an ideal, because possible completions depend only on the ideal and on the number of stages
left.

So an ideal J is worth reaching from level b only if it was not reached with b + 1 stages and passes the test for
b + 1. It is one stage away from I only if w(J) - w(I) + in + cut(J) - cut(I) + done <= T, and in + done only grows
along a walk:

    in + done  <=  T + w(I) + cut(I) - least{w(J') + cut(J'): J' worth reaching, J' above the ideal the walk is at},

else the walk turns back (likewise with w + p, and T + capacity, since overflow is at least p - capacity). The minima
are one sweep over the lattice, filled for each level and again as ideals are reached. On lattices of some ten thousand
ideals this leaves a tenth of the walks or less.

A hard limit on what a stage holds is one more sum that only grows along a walk, and so does the largest working set of
the nodes added: where both together are beyond the limit, the walk turns back.

Parameters that several nodes use count once per stage (`framework.structure.ideals.held`): p(J) - p(I) above is then
what the nodes of J - I use alone, plus the shared parameters with a user there, which grow along a walk as ``in`` does,
and P - p(I) and p(I) are what all nodes outside and inside of I hold, which no stages can hold less of together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.model.problem import Partition
from framework.structure.bit_sets import holds, which_are_in
from framework.structure.ideals.held import Shared, hold, largest_outside, release, shared_of, unions
from framework.structure.ideals.lattice import IdealLattice, Lattice
from framework.structure.ideals.promise import Limits, States, Sums, fill_least, sort_by_promise
from framework.structure.kernel import inlined_kernel, kernel

STEPS_A_CALL = 1_000_000
"""Extensions after which a kernel call returns to Python: some hundredths of a second."""
REFILL = 4
"""Extensions per edge of the lattice after which `least` is filled anew, without the ideals reached meanwhile."""
COUNTERS = 7
QUEUED, TAKEN, STEPS, SINCE_FILLED, LEVEL, FIRST, LAST = range(COUNTERS)
"""Counters of a decision: ideals in the queue, taken from it, extensions; and of what `fill_least` fills: extensions
since then, its level, the first ideal of that level, the last one worth reaching."""
_REFUTED, _REACHED, _PAUSED = range(3)
_NEVER = 1 << 62


class Tensors(NamedTuple):
    """What tensors cost, who makes and reads them, as in `framework.model.topology`; what each node needs to run."""

    cost: IntArray
    producer: IntArray
    consumer_ptr: IntArray
    consumers: IntArray
    in_ptr: IntArray
    in_tensors: IntArray
    shared: Shared
    worksets: IntArray


INSIDE, MISSING = range(2)
"""Columns of `Path.counts`."""
AT, EDGE, ADDED, INBOUND, DONE, HELD, HELD_SIZE, WORKING = range(8)
"""Columns of `Path.frames`."""


class Path(NamedTuple):
    """Memory of a walk; few arrays, so that the walk has registers for all of them.

    `counts` is ``[tensors, 2]``, for tensors that cross the start: consumers in the stage so far, consumers outside the
    start still missing. `frames` is ``[nodes + 1, 8]``, a row per node of the path: the ideal, its next edge, the node
    added last, what comes in and what ends there, cost and size of the shared parameters held, the largest working set.
    `users` is ``[shared parameters]``: users in the stage so far.
    """

    counts: IntArray
    frames: IntArray
    users: IntArray


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
        self._merged = np.empty(len(lattice), np.int64)
        limit = instance.stage_limit
        # Sizes held by each ideal; none where there is no hard limit.
        self._sizes = self._worksets = np.zeros(0, np.int64)
        self._size_limit = 0
        if limit is not None:
            self._sizes = lattice.sums(limit.sizes)
            self._size_limit, self._worksets = limit.limit, limit.worksets
        self._path = Path(
            np.zeros((instance.m, 2), np.int64),
            np.empty((instance.n + 1, 8), np.int64),
            np.zeros(len(instance.shared), np.int64),
        )
        self._shared = shared_of(instance)
        self._parameters = unions(lattice, self._shared, lattice.parameter_cost, instance.shared_cost)
        self._sizes_needed = self._sizes
        if limit is not None:
            self._sizes_needed = unions(lattice, self._shared, self._sizes, limit.shared_sizes).outside
            self._sizes_needed = self._sizes_needed + largest_outside(lattice, limit.worksets)
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
        counters = np.zeros(COUNTERS, np.int64)
        counters[QUEUED], counters[LEVEL] = 1, -1
        sums = Sums(
            lattice.work, lattice.parameter_cost, lattice.cut, self._sizes, *self._parameters, self._sizes_needed
        )
        tensors = Tensors(
            instance.tensor_cost,
            top.producer,
            top.consumer_ptr,
            top.consumers,
            top.in_ptr,
            top.in_tensors,
            self._shared,
            self._worksets,
        )
        limits = Limits(stages, threshold, self._capacity, self._size_limit)
        states = States(self._stages_to, self._origin, self._queue, self._merged, self._least)
        while True:
            outcome = _advance(limits, lattice.arrays, sums, tensors, states, self._path, counters)
            if outcome != _PAUSED:
                break
            if should_stop():
                raise OutOfTimeError("the decision was stopped")
        self.steps += int(counters[STEPS])
        return self._trace() if outcome == _REACHED else None

    def _trace(self) -> Partition:
        stage_of = np.empty(self.instance.n, np.int64)
        words = self.lattice.bits
        nodes = np.arange(self.instance.n)
        goal = len(words) - 1
        while goal:
            origin = int(self._origin[goal])
            stage = words[goal] & ~words[origin]
            stage_of[which_are_in(stage, nodes)] = self._stages_to[goal] - 1
            goal = origin
        return Partition(stage_of=stage_of)


@kernel
def _advance(
    limits: Limits,
    lattice: Lattice,
    sums: Sums,
    tensors: Tensors,
    states: States,
    path: Path,
    counters: IntArray,
) -> int:
    """Take ideals from the queue, fewest stages first, and walk everything one stage away from each."""
    work, parameters, cut, needed = sums.work, sums.parameters, sums.cut, sums.needed
    k, threshold, capacity = limits.stages, limits.threshold, limits.capacity
    edge_ptr, least = lattice.edge_ptr, states.least
    goal = len(work) - 1
    total = work[goal]
    overflows = len(least) > 1
    limited = len(sums.sizes) > 0
    for t in range(len(path.counts)):
        path.counts[t, INSIDE] = 0
    for q in range(len(path.users)):
        path.users[q] = 0
    steps = 0
    while counters[TAKEN] < counters[QUEUED]:
        if steps > STEPS_A_CALL:
            counters[STEPS] += steps
            return _PAUSED
        start = states.queue[counters[TAKEN]]
        b = states.stages_to[start]
        left = k - b
        if b > counters[LEVEL]:
            counters[LEVEL] = b
            counters[FIRST], counters[LAST] = goal, goal
            for i in range(counters[TAKEN], counters[QUEUED]):
                counters[FIRST] = min(counters[FIRST], states.queue[i])
            counters[SINCE_FILLED] = _NEVER
            sort_by_promise(sums, states, counters[TAKEN], counters[QUEUED])
            start = states.queue[counters[TAKEN]]
        refill = REFILL * (edge_ptr[counters[LAST] + 1] - edge_ptr[counters[FIRST]])
        if left > 1 and counters[SINCE_FILLED] > refill:
            counters[LAST] = fill_least(limits, lattice, sums, states, b + 1, counters[FIRST], counters[LAST])
            counters[SINCE_FILLED] = 0
        counters[TAKEN] += 1
        rest = total - work[start] + max(0, needed[start] - left * capacity)
        if rest + cut[start] > left * threshold:
            continue
        if work[start] + cut[start] + max(0, sums.held[start] - b * capacity) > b * threshold:
            continue
        last = total - work[start] + cut[start] + max(0, needed[start] - capacity)
        fits = not limited or sums.sizes_needed[start] <= limits.size
        if last <= threshold and fits:
            states.stages_to[goal] = b + 1
            states.origin[goal] = start
            counters[STEPS] += steps
            return _REACHED
        room = threshold + work[start] + cut[start]
        more_room = room + parameters[start] + capacity
        if left == 1 or start > counters[LAST] or least[0, start] > room:
            continue
        if overflows and least[1, start] > more_room:
            continue
        taken = _extend(limits, lattice, sums, tensors, states, path, counters, start)
        steps += taken
        counters[SINCE_FILLED] += taken
    counters[STEPS] += steps
    return _REFUTED


@inlined_kernel
def _extend(
    limits: Limits,
    lattice: Lattice,
    sums: Sums,
    tensors: Tensors,
    states: States,
    path: Path,
    counters: IntArray,
    start: int,
) -> int:
    """Walk all stages that begin with an ideal; return how many extensions that took."""
    work, parameters, cut, sizes = sums.work, sums.parameters, sums.cut, sums.sizes
    edge_ptr, edge_node, edge_ideal = lattice.edge_ptr, lattice.edge_node, lattice.edge_ideal
    frames = path.frames
    threshold, capacity, least = limits.threshold, limits.capacity, states.least
    goal = len(work) - 1
    overflows, limited, shares = len(least) > 1, len(sizes) > 0, len(path.users) > 0
    b, last_useful = states.stages_to[start], counters[LAST]
    left = limits.stages - b - 1
    # What follows an ideal fits into the stages left if what it costs, beyond all work, is at most `spare`.
    spare, room_left = left * threshold - work[goal], left * capacity
    room = threshold + work[start] + cut[start]
    more_room = room + parameters[start] + capacity
    steps = 0
    depth = 0
    frames[0, AT], frames[0, EDGE], frames[0, ADDED] = start, edge_ptr[start], -1
    frames[0, INBOUND] = frames[0, DONE] = frames[0, HELD] = frames[0, HELD_SIZE] = frames[0, WORKING] = 0
    while depth >= 0:
        if frames[depth, EDGE] == edge_ptr[frames[depth, AT] + 1]:
            if frames[depth, ADDED] >= 0:
                _take_back(tensors, path, frames[depth, ADDED])
                if shares:
                    release(tensors.shared, path.users, frames[depth, ADDED])
            depth -= 1
            continue
        e = frames[depth, EDGE]
        frames[depth, EDGE] += 1
        v = edge_node[e]
        if v < frames[depth, ADDED]:
            continue
        there = edge_ideal[e]
        steps += 1
        held, size = frames[depth, HELD] if shares else 0, 0
        if there > last_useful:
            continue
        if limited:
            held_size = frames[depth, HELD_SIZE] if shares else 0
            frames[depth + 1, WORKING] = max(frames[depth, WORKING], tensors.worksets[v])
            size = sizes[there] - sizes[start] + frames[depth + 1, WORKING]
            if size + held_size > limits.size:
                continue
        cuts = frames[depth, INBOUND] + frames[depth, DONE]
        if least[0, there] + cuts > room or (overflows and least[1, there] + cuts + held > more_room):
            continue
        own = work[there] - work[start] + max(0, parameters[there] - parameters[start] + held - capacity)
        if own + frames[depth, INBOUND] > threshold:
            continue
        if shares:
            more_held, more_size = hold(tensors.shared, path.users, v)
            held += more_held
            frames[depth + 1, HELD], frames[depth + 1, HELD_SIZE] = held, frames[depth, HELD_SIZE] + more_size
            own = work[there] - work[start] + max(0, parameters[there] - parameters[start] + held - capacity)
        more_inbound, more_done = _add(lattice, tensors, path, start, v)
        new_inbound, new_done = frames[depth, INBOUND] + more_inbound, frames[depth, DONE] + more_done
        cuts = new_inbound + new_done
        if (
            own + new_inbound > threshold
            or least[0, there] + cuts > room
            or (overflows and least[1, there] + cuts + held > more_room)
            or (shares and limited and size + frames[depth + 1, HELD_SIZE] > limits.size)
        ):
            _take_back(tensors, path, v)
            if shares:
                release(tensors.shared, path.users, v)
            continue
        if states.stages_to[there] > b + 1:
            cost = own + new_inbound + cut[there] - cut[start] + new_done
            after = cut[there] - work[there] + max(0, sums.needed[there] - room_left)
            if cost <= threshold and after <= spare:
                states.stages_to[there] = b + 1
                states.origin[there] = start
                states.queue[counters[QUEUED]] = there
                counters[QUEUED] += 1
        depth += 1
        frames[depth, AT], frames[depth, EDGE], frames[depth, ADDED] = there, edge_ptr[there], v
        frames[depth, INBOUND], frames[depth, DONE] = new_inbound, new_done
    return steps


@inlined_kernel
def _add(lattice: Lattice, tensors: Tensors, path: Path, start: int, v: int) -> tuple[int, int]:
    """Count a node as in the stage; return what the tensors that it brings in, and those that it ends, cost."""
    counts = path.counts
    inbound = done = 0
    for i in range(tensors.in_ptr[v], tensors.in_ptr[v + 1]):
        t = tensors.in_tensors[i]
        if holds(lattice.bits, start, tensors.producer[t]):
            if counts[t, INSIDE] == 0:
                inbound += tensors.cost[t]
                waiting = 0
                for x in range(tensors.consumer_ptr[t], tensors.consumer_ptr[t + 1]):
                    if not holds(lattice.bits, start, tensors.consumers[x]):
                        waiting += 1
                counts[t, MISSING] = waiting
            counts[t, INSIDE] += 1
            counts[t, MISSING] -= 1
            if counts[t, MISSING] == 0:
                done += tensors.cost[t]
    return inbound, done


@inlined_kernel
def _take_back(tensors: Tensors, path: Path, v: int) -> None:
    """Count a node as no longer in the stage."""
    for i in range(tensors.in_ptr[v], tensors.in_ptr[v + 1]):
        t = tensors.in_tensors[i]
        if path.counts[t, INSIDE] > 0:
            path.counts[t, INSIDE] -= 1
            path.counts[t, MISSING] += 1
