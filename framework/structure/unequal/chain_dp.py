"""Decides a threshold T where stages are unequal: a dynamic program for the first stage by which each ideal is done.

Stage b = 0, 1, .. runs on device d(b), and costs f_d(J - I) if it holds what ideal J has more than I, with f_d as in
`framework.structure.ideals.chain_dp` in the prices of d. Let the ideal I be *reached by b* if the first b stages can
hold exactly I at a cost of at most T each. A stage may stay empty, so what is reached by b is reached by b + 1, and
fewest[I], the least such b, is all that has to be known of I:

    fewest[J]  =  min {b + 1: fewest[I] <= b for an ideal I below J with f_d(b)(J - I) <= T}.

Stages are taken in their order. By stage b every ideal with fewest[I] <= b is known, and from each of them all ideals J
one stage away are walked (`framework.structure.ideals.walk`). That was done already if an earlier stage was of the same
kind, or of one that holds as much or more on the same device, and I was reached by it: then J is reached. So ideals
queue in the order in which they are reached, each kind remembers how far it has come, and no ideal is walked more than
once for each kind.

All nodes are held if f_d(b)(V - I) <= T for some such I. Otherwise T is refuted after the last stage: nothing but
repetitions and what follows was left out.

*Closed ideals.* An ideal that cannot be completed by the stages after b (`framework.structure.unequal.stage_kinds`) can
not be by fewer: once it was found so it is closed, and neither reached nor walked from any more.

*What is ahead.* In the prices of d(b), J is one stage away from I only if w(J) - w(I) + in + cut(J) - cut(I) + done <=
T, so a walk turns back where no ideal above is neither reached nor closed and has w(J) + cut(J) that low, as in the
uniform program; the minima are filled for each stage, and again as ideals are reached.

Source: this project; walks as in `framework.structure.ideals.chain_dp`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.model.problem import Partition
from framework.structure.ideals.chain_dp import REFILL, STEPS_A_CALL, ChainSearch
from framework.structure.ideals.held import largest_outside, unions
from framework.structure.ideals.lattice import IdealLattice, Lattice
from framework.structure.ideals.promise import CLOSED, Limits, States, Sums
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
from framework.structure.unequal.ideal_sums import cuts_of
from framework.structure.unequal.stage_kinds import completion_tests, stage_kinds

_DONE, _PAUSED = range(2)
_NEVER = 1 << 62


class Task(NamedTuple):
    """The ideals to walk from, and what the stages after have to hold of each ideal, and can: a row for each test."""

    todo: IntArray
    after: IntArray
    affordable: IntArray


class UnequalChainSearch:
    """Decides thresholds on one complete lattice; keeps its arrays between decisions.

    Attributes
    ----------
    steps
        Extensions walked so far, over all decisions.
    """

    def __init__(self, instance: Instance, lattice: IdealLattice) -> None:
        if not lattice.complete:
            raise ValueError("only a complete lattice can decide anything")
        devices = instance.on_each_device()
        self.lattice = lattice
        self.steps = 0
        self._kinds = stage_kinds(instance)
        self._tests = tests = completion_tests(instance)
        self._capacity = [device.bounded_capacity for device in devices]
        self._tensors = [tensors_of(device) for device in devices]
        self._path = path_of(instance)
        costs = np.concatenate((np.stack([device.tensor_cost for device in devices]), tests.tensor))
        cuts = cuts_of(lattice, instance.topology, costs)
        shared = self._tensors[0].shared
        self._after = np.stack(
            [
                unions(lattice, shared, lattice.sums(node), more).outside + cut
                for node, more, cut in zip(tests.node, tests.shared, cuts[len(devices) :], strict=True)
            ]
        )
        none, whole = np.zeros(0, np.int64), instance.stage_limit
        sizes = sizes_needed = none
        self._sums = []
        for i, (device, tensors, cut) in enumerate(zip(devices, self._tensors, cuts, strict=False)):
            limit = device.stage_limit
            if limit is not None and (i == 0 or (whole is not None and len(whole.in_flight))):
                sizes = lattice.sums(limit.sizes)
                sizes_needed = unions(lattice, shared, sizes, limit.shared_sizes).outside
                sizes_needed = sizes_needed + largest_outside(lattice, limit.worksets)
            parameters = lattice.sums(device.parameter_cost)
            needed = unions(lattice, tensors.shared, parameters, device.shared_cost).outside
            needed = needed + largest_outside(lattice, device.working_cost)
            self._sums.append(
                Sums(lattice.sums(device.work), parameters, cut, sizes, none, needed, sizes_needed, needed)
            )
        ideals, overflows = len(lattice), any(device.can_overflow for device in devices)
        self._states = States(
            np.empty(ideals, np.int64),
            np.empty(ideals, np.int64),
            np.empty(ideals, np.int64),
            none,
            np.empty((2 if overflows else 1, ideals), np.int64),
        )

    def look_for(self, stages: int, threshold: int, should_stop: Callable[[], bool]) -> Partition | None:
        """Do as `decide`: which ideals to leave out where stages are unequal was not tried."""
        return self.decide(stages, threshold, should_stop)

    def decide(self, stages: int, threshold: int, should_stop: Callable[[], bool]) -> Partition | None:
        """Return a partition into stages of cost at most `threshold` each, or None if there is none.

        Parameters
        ----------
        stages
            Number of stages: that of the devices.

        Raises
        ------
        OutOfTimeError
            If `should_stop` struck first; then nothing is known.
        """
        kinds, states = self._kinds, self._states
        if stages != len(kinds.of_stage):
            raise ValueError(f"{stages} stages on {len(kinds.of_stage)} devices")
        goal = len(self.lattice) - 1
        states.stages_to.fill(stages + 1)
        # That all nodes are held is seen at once, and no walk has to go so far.
        states.stages_to[goal] = CLOSED
        states.stages_to[0], states.queue[0] = 0, 0
        counters = np.zeros(COUNTERS, np.int64)
        counters[QUEUED] = 1
        walked, affordable = [0] * len(kinds.room), self._tests.affordable(threshold)
        for stage, kind in enumerate(kinds.of_stage):
            sums = self._sums[kinds.device[kind]]
            known = max(walked[one] for one in kinds.covered_by[kind])
            walked[kind] = int(counters[QUEUED])
            todo = states.queue[known : walked[kind]]
            rows = slice(*self._tests.rows[stage])
            todo = todo[(self._after[rows][:, todo] <= affordable[rows, stage, None]).all(0)]
            if not len(todo):
                continue
            limits = Limits(stage + 1, threshold, self._capacity[kinds.device[kind]], kinds.room[kind])
            last = _which_hold_the_rest(sums, limits, todo)
            if len(last):
                states.stages_to[goal], states.origin[goal] = stage + 1, last[0]
                return trace(self.lattice, states)
            if stage + 1 < stages:
                todo = todo[np.argsort(-(sums.work + sums.cut)[todo], kind="stable")]
                rows = slice(*self._tests.rows[stage + 1])
                task = Task(todo, self._after[rows], affordable[rows, stage + 1].copy())
                self._walk(limits, kinds.device[kind], task, counters, should_stop)
        return None

    def _walk(
        self, limits: Limits, device: int, task: Task, counters: IntArray, should_stop: Callable[[], bool]
    ) -> None:
        """Walk everything one stage away from some ideals."""
        counters[TAKEN], counters[SINCE_FILLED], counters[STEPS] = 0, _NEVER, 0
        counters[FIRST], counters[LAST], counters[LEVEL] = task.todo.min(), len(self.lattice) - 1, limits.stages - 1
        arguments = self._sums[device], self._tensors[device], self._states, self._path, counters, task
        while True:
            if should_stop():
                raise OutOfTimeError("the decision was stopped")
            if _advance(limits, self.lattice.arrays, *arguments) == _DONE:
                break
        self.steps += int(counters[STEPS])


def chain_search(instance: Instance, lattice: IdealLattice) -> ChainSearch | UnequalChainSearch:
    """Return what decides thresholds on a complete lattice, whether stages are equal or not."""
    return (ChainSearch if instance.unequal is None else UnequalChainSearch)(instance, lattice)


def bytes_of_search(instance: Instance, ideals: int) -> int:
    """Return how much memory a search takes besides the lattice, about, where stages are unequal."""
    if instance.unequal is None:
        return 0
    limit = instance.stage_limit
    sizes = 0 if limit is None else 2 * (instance.unequal.kinds if len(limit.in_flight) else 1)
    return 8 * ideals * (6 + 6 * instance.unequal.kinds + sizes)


def _which_hold_the_rest(sums: Sums, limits: Limits, todo: IntArray) -> IntArray:
    """Return the ideals after which one stage holds all that is left."""
    cost = sums.work[-1] - sums.work[todo] + sums.cut[todo] + np.maximum(0, sums.needed[todo] - limits.capacity)
    fit = cost <= limits.threshold
    if len(sums.sizes):
        fit &= sums.sizes_needed[todo] <= limits.size
    held: IntArray = todo[fit]
    return held


@kernel
def _advance(
    limits: Limits,
    lattice: Lattice,
    sums: Sums,
    tensors: Tensors,
    states: States,
    path: Path,
    counters: IntArray,
    task: Task,
) -> int:
    """Walk from one ideal after the other; pick up where the last call left off."""
    work, cut, parameters, least = sums.work, sums.cut, sums.parameters, states.least
    edge_ptr, overflows = lattice.edge_ptr, len(states.least) > 1
    forget(path)
    steps = 0
    while counters[TAKEN] < len(task.todo):
        if steps > STEPS_A_CALL:
            counters[STEPS] += steps
            return _PAUSED
        start = task.todo[counters[TAKEN]]
        counters[TAKEN] += 1
        if counters[SINCE_FILLED] > REFILL * (edge_ptr[counters[LAST] + 1] - edge_ptr[counters[FIRST]]):
            counters[LAST] = _fill_least(lattice, sums, states, task, counters)
            counters[SINCE_FILLED] = 0
        room = limits.threshold + work[start] + cut[start]
        if start > counters[LAST] or least[0, start] > room:
            continue
        if overflows and least[1, start] > room + parameters[start] + limits.capacity:
            continue
        taken = extend(limits, lattice, sums, tensors, states, path, counters, start)
        steps += taken
        counters[SINCE_FILLED] += taken
    counters[STEPS] += steps
    return _DONE


@kernel
def _fill_least(lattice: Lattice, sums: Sums, states: States, task: Task, counters: IntArray) -> int:
    """Close what cannot be completed, fill `least` up to the last ideal that is open, and return that.

    No ideal after the last one so far is open. Above an ideal there are only ideals with larger numbers.
    """
    work, parameters, cut = sums.work, sums.parameters, sums.cut
    edge_ptr, edge_ideal, least = lattice.edge_ptr, lattice.edge_ideal, states.least
    first, stages = counters[FIRST], counters[LEVEL] + 1
    last = first - 1
    for ideal in range(counters[LAST], first - 1, -1):
        is_open = states.stages_to[ideal] > stages
        if is_open:
            for row in range(len(task.after)):
                if task.after[row, ideal] > task.affordable[row]:
                    is_open = False
                    states.stages_to[ideal] = CLOSED
                    break
        if last < first:
            if not is_open:
                continue
            last = ideal
        for row in range(len(least)):
            value = work[ideal] + cut[ideal] + row * parameters[ideal] if is_open else _NEVER
            for e in range(edge_ptr[ideal], edge_ptr[ideal + 1]):
                if edge_ideal[e] <= last:
                    value = min(value, least[row, edge_ideal[e]])
            least[row, ideal] = value
    return int(last)
