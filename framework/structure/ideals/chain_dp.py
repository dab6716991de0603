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

*A search that proves nothing.* For partitions alone, `look_for` walks only from the best ideals of a level: an ideal is
skipped if some node can be added to it such that the larger ideal is reached with no more stages, and leaves no more to
pay for, W - w + cut. On interleavings of two chains this takes a tenth of the steps or less, and misses hardly any
partition: none of 55 that exact decisions found for `transformers-aria` in 32 stages.

Parameters that several nodes use count once per stage (`framework.structure.ideals.held`): p(J) - p(I) above is then
what the nodes of J - I use alone, plus the shared parameters with a user there, which grow along a walk as ``in`` does,
and P - p(I) and p(I) are what all nodes outside and inside of I hold, which no stages can hold less of together. Where
working sets count towards the capacity, p(J) - p(I) contains the largest of the nodes of J - I, which grows along a
walk, too; P - p(I) and p(I) do without.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.model.problem import Partition
from framework.structure.ideals.held import largest_outside, unions
from framework.structure.ideals.lattice import IdealLattice, Lattice
from framework.structure.ideals.promise import CLOSED, Limits, States, Sums, fill_least, sort_by_promise
from framework.structure.ideals.walk import (
    COUNTERS,
    FIRST,
    LAST,
    LEVEL,
    QUEUED,
    SINCE_FILLED,
    STEPS,
    TAKEN,
    Path,
    Tensors,
    extend,
    forget,
    path_of,
    tensors_of,
    trace,
)
from framework.structure.kernel import kernel

STEPS_A_CALL = 1_000_000
"""Extensions after which a kernel call returns to Python: some hundredths of a second."""
REFILL = 4
"""Extensions per edge of the lattice after which `least` is filled anew, without the ideals reached meanwhile."""
_REFUTED, _REACHED, _PAUSED = range(3)
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
        self._merged = np.empty(len(lattice), np.int64)
        limit = instance.stage_limit
        # Sizes held by each ideal; none where there is no hard limit.
        self._sizes = np.zeros(0, np.int64) if limit is None else lattice.sums(limit.sizes)
        self._size_limit = 0 if limit is None else limit.limit
        self._path = path_of(instance)
        self._tensors = tensors_of(instance)
        shared = self._tensors.shared
        self._parameters = unions(lattice, shared, lattice.parameter_cost, instance.shared_cost)
        self._alone = self._parameters.outside
        if len(instance.working_cost):
            self._alone = self._alone + largest_outside(lattice, instance.working_cost)
        self._sizes_needed = self._sizes
        if limit is not None:
            self._sizes_needed = unions(lattice, shared, self._sizes, limit.shared_sizes).outside
            self._sizes_needed = self._sizes_needed + largest_outside(lattice, limit.worksets)
        self._least = np.empty((2 if instance.can_overflow else 1, len(lattice)), np.int64)

    def decide(self, stages: int, threshold: int, should_stop: Callable[[], bool]) -> Partition | None:
        """Return a partition into at most `stages` stages of cost at most `threshold` each, or None if there is none.

        Raises
        ------
        OutOfTimeError
            If `should_stop` struck first; then nothing is known.
        """
        return self._walk(stages, threshold, False, should_stop)

    def look_for(self, stages: int, threshold: int, should_stop: Callable[[], bool]) -> Partition | None:
        """Return a partition as `decide` does, or None, which proves nothing: only the best ideals are walked from.

        Raises
        ------
        OutOfTimeError
            If `should_stop` struck first.
        """
        return self._walk(stages, threshold, True, should_stop)

    def _walk(self, stages: int, threshold: int, only_best: bool, should_stop: Callable[[], bool]) -> Partition | None:
        lattice = self.lattice
        self._stages_to.fill(stages + 1)
        self._stages_to[0] = 0
        self._queue[0] = 0
        counters = np.zeros(COUNTERS, np.int64)
        counters[QUEUED], counters[LEVEL] = 1, -1
        sums = Sums(
            lattice.work,
            lattice.parameter_cost,
            lattice.cut,
            self._sizes,
            *self._parameters,
            self._sizes_needed,
            self._alone,
        )
        limits = Limits(stages, threshold, self._capacity, self._size_limit)
        states = States(self._stages_to, self._origin, self._queue, self._merged, self._least)
        while True:
            outcome = _advance(limits, lattice.arrays, sums, self._tensors, states, self._path, counters, only_best)
            if outcome != _PAUSED:
                break
            if should_stop():
                raise OutOfTimeError("the decision was stopped")
        self.steps += int(counters[STEPS])
        return trace(lattice, states) if outcome == _REACHED else None


@kernel
def _advance(
    limits: Limits,
    lattice: Lattice,
    sums: Sums,
    tensors: Tensors,
    states: States,
    path: Path,
    counters: IntArray,
    only_best: bool,
) -> int:
    """Take ideals from the queue, fewest stages first, and walk everything one stage away from each."""
    work, parameters, cut, needed = sums.work, sums.parameters, sums.cut, sums.needed
    k, threshold, capacity = limits.stages, limits.threshold, limits.capacity
    edge_ptr, least = lattice.edge_ptr, states.least
    goal = len(work) - 1
    total = work[goal]
    overflows = len(least) > 1
    limited = len(sums.sizes) > 0
    forget(path)
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
            if only_best:
                _keep_best(lattice, sums, states, counters)
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
        last = total - work[start] + cut[start] + max(0, sums.alone[start] - capacity)
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
        taken = extend(limits, lattice, sums, tensors, states, path, counters, start)
        steps += taken
        counters[SINCE_FILLED] += taken
    counters[STEPS] += steps
    return _REFUTED


@kernel
def _keep_best(lattice: Lattice, sums: Sums, states: States, counters: IntArray) -> None:
    """Take ideals out of the queue to which a node can be added without more stages, or more left to pay for."""
    work, cut, edge_ptr, queue = sums.work, sums.cut, lattice.edge_ptr, states.queue
    stages, kept = counters[LEVEL], counters[TAKEN]
    for i in range(counters[TAKEN], counters[QUEUED]):
        ideal = queue[i]
        is_best = True
        for e in range(edge_ptr[ideal], edge_ptr[ideal + 1]):
            above = lattice.edge_ideal[e]
            if CLOSED < states.stages_to[above] <= stages and cut[above] - work[above] <= cut[ideal] - work[ideal]:
                is_best = False
                break
        if is_best:
            queue[kept] = ideal
            kept += 1
    counters[QUEUED] = kept
