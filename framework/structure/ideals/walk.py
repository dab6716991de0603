"""All stages that begin with an ideal: the ideals above it, walked by adding nodes, and what each stage costs.

See `framework.structure.ideals.chain_dp` for the order of a walk and for what turns it back.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.model.problem import Partition
from framework.structure.bit_sets import holds, which_are_in
from framework.structure.ideals.held import Shared, hold, release, shared_of
from framework.structure.ideals.lattice import IdealLattice, Lattice
from framework.structure.ideals.promise import Limits, States, Sums
from framework.structure.kernel import inlined_kernel

COUNTERS = 7
QUEUED, TAKEN, STEPS, SINCE_FILLED, LEVEL, FIRST, LAST = range(COUNTERS)
"""Counters of a decision: ideals in the queue, taken from it, extensions; and of what `fill_least` fills: extensions
since then, its level, the first ideal of that level, the last one worth reaching."""


class Tensors(NamedTuple):
    """What tensors cost, who makes and reads them, as in `framework.model.topology`; what each node needs to run.

    `worksets` are in the unit of a hard limit, `working_cost` is what they take of the capacity.
    """

    cost: IntArray
    producer: IntArray
    consumer_ptr: IntArray
    consumers: IntArray
    in_ptr: IntArray
    in_tensors: IntArray
    shared: Shared
    worksets: IntArray
    working_cost: IntArray


INSIDE, MISSING = range(2)
"""Columns of `Path.counts`."""
COLUMNS = 9
AT, EDGE, ADDED, INBOUND, DONE, HELD, HELD_SIZE, WORKING, WORKING_COST = range(COLUMNS)
"""Columns of `Path.frames`."""


class Path(NamedTuple):
    """Memory of a walk; few arrays, so that the walk has registers for all of them.

    `counts` is ``[tensors, 2]``, for tensors that cross the start: consumers in the stage so far, consumers outside the
    start still missing. `frames` is ``[nodes + 1, COLUMNS]``, a row per node of the path: the ideal, its next edge, the
    node added last, what comes in and what ends there, cost and size of the shared parameters held, the largest working
    set, and what it takes of the capacity.
    `users` is ``[shared parameters]``: users in the stage so far.
    """

    counts: IntArray
    frames: IntArray
    users: IntArray


def tensors_of(instance: Instance) -> Tensors:
    """Return the tensors of an instance for kernels; no working sets where they do not count."""
    top, limit = instance.topology, instance.stage_limit
    return Tensors(
        instance.tensor_cost,
        top.producer,
        top.consumer_ptr,
        top.consumers,
        top.in_ptr,
        top.in_tensors,
        shared_of(instance),
        np.zeros(0, np.int64) if limit is None else limit.worksets,
        instance.working_cost,
    )


def path_of(instance: Instance) -> Path:
    """Return memory for walks over the lattice of an instance."""
    return Path(
        np.zeros((instance.m, 2), np.int64),
        np.empty((instance.n + 1, COLUMNS), np.int64),
        np.zeros(len(instance.shared), np.int64),
    )


def trace(lattice: IdealLattice, states: States) -> Partition:
    """Return the partition by which all nodes were reached."""
    words, stages_to, origins = lattice.bits, states.stages_to, states.origin
    nodes = np.arange(int(np.bitwise_count(words[-1]).sum()))
    stage_of = np.empty(len(nodes), np.int64)
    goal = len(words) - 1
    while goal:
        origin = int(origins[goal])
        stage_of[which_are_in(words[goal] & ~words[origin], nodes)] = stages_to[goal] - 1
        goal = origin
    return Partition(stage_of=stage_of)


@inlined_kernel
def forget(path: Path) -> None:
    """Leave whatever stage a walk that was broken off was at."""
    for t in range(len(path.counts)):
        path.counts[t, INSIDE] = 0
    for q in range(len(path.users)):
        path.users[q] = 0


@inlined_kernel
def extend(
    limits: Limits,
    lattice: Lattice,
    sums: Sums,
    tensors: Tensors,
    states: States,
    path: Path,
    counters: IntArray,
    start: int,
) -> int:
    """Walk all stages that begin with an ideal; return how many extensions that took.

    Ideals still to be reached have more stages in `states` than one more than the level: those that are reached get
    that many, and join the queue.
    """
    work, parameters, cut, sizes = sums.work, sums.parameters, sums.cut, sums.sizes
    edge_ptr, edge_node, edge_ideal = lattice.edge_ptr, lattice.edge_node, lattice.edge_ideal
    frames = path.frames
    threshold, capacity, least = limits.threshold, limits.capacity, states.least
    overflows, limited, shares = len(least) > 1, len(sizes) > 0, len(path.users) > 0
    works = len(tensors.working_cost) > 0
    after, last_useful = counters[LEVEL] + 1, counters[LAST]
    room = threshold + work[start] + cut[start]
    more_room = room + parameters[start] + capacity
    steps = 0
    depth = 0
    frames[0, AT], frames[0, EDGE], frames[0, ADDED] = start, edge_ptr[start], -1
    frames[0, INBOUND] = frames[0, DONE] = frames[0, HELD] = frames[0, HELD_SIZE] = 0
    frames[0, WORKING] = frames[0, WORKING_COST] = 0
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
        if works:
            frames[depth + 1, WORKING_COST] = max(frames[depth, WORKING_COST], tensors.working_cost[v])
            held += frames[depth + 1, WORKING_COST]
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
            frames[depth + 1, HELD] = frames[depth, HELD] + more_held
            frames[depth + 1, HELD_SIZE] = frames[depth, HELD_SIZE] + more_size
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
        if states.stages_to[there] > after and own + cuts + cut[there] - cut[start] <= threshold:
            states.stages_to[there] = after
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
