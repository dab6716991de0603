"""The loop of the ideal program, which may be compiled: which ideals are one more stage away from given ones.

It is plain Python on lists. Where numba is at hand and there is much to do, the same code runs compiled on arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

Numbers = Sequence[int]
COLUMNS = 10
"""Of `Scratch.path`."""


class Ideals(NamedTuple):
    """All ideals, smaller ones first.

    From ideal i, adding node ``nodes[e]`` leads to ideal ``leads_to[e]``, for e from ``ptr[i]`` up to ``ptr[i + 1]``,
    nodes ascending. `work`, `held` and `cut` are sums over an ideal: work; parameters, shared ones once; the tensors
    that are made in it and read outside.
    """

    ptr: Numbers
    nodes: Numbers
    leads_to: Numbers
    work: Numbers
    held: Numbers
    cut: Numbers


class Nodes(NamedTuple):
    """The nodes, numbered so that tensors go to larger numbers, and the tensors with a cost.

    Node v reads the tensors ``reads[read_ptr[v]:read_ptr[v + 1]]``; likewise what it makes and uses. Shared parameters
    cost something, or have a size, as nodes do, which counts towards a limit; so does the largest workset.
    """

    work: Numbers
    parameters: Numbers
    working: Numbers
    read_ptr: Numbers
    reads: Numbers
    make_ptr: Numbers
    makes: Numbers
    use_ptr: Numbers
    uses: Numbers
    tensor_cost: Numbers
    producer: Numbers
    consumers: Numbers
    shared_cost: Numbers
    sizes: Numbers
    worksets: Numbers
    shared_size: Numbers


class Scratch(NamedTuple):
    """Memory of a walk: which nodes are added; per tensor consumers added and still outside; holders of parameters.

    `path` has a row for each node added: the ideal, the next edge, the node, work, in, out, parameters, largest
    working set, size, largest workset.
    """

    added: Any
    read: Any
    left: Any
    holders: Any
    path: Any


class Rules(NamedTuple):
    """Threshold, capacity, room for sizes; what is wanted of ideals, and its least values above each, for `extend`.

    `wanted` is 1 for an ideal worth reaching. `least` is the least work + cut of all wanted ideals above, and
    `least_held` the least work + cut + held; far above any sum where there is none.
    """

    threshold: int
    capacity: int
    room: int
    wanted: Any
    least: Any
    least_held: Any


def extend(queue: Numbers, ideals: Ideals, nodes: Nodes, rules: Rules, scratch: Scratch) -> int:
    """Set `wanted` to 2 for the wanted ideals that one stage of cost at most the threshold leads to.

    From each ideal of the queue, nodes are added in ascending number, depth first. Return how many were added.
    """
    added, read, left, holders, path = scratch
    steps = 0
    for start in queue:
        depth = 0
        path[0][0], path[0][1], path[0][2] = start, ideals.ptr[start], -1
        for column in range(3, COLUMNS):
            path[0][column] = 0
        while depth >= 0:
            at, edge, last = path[depth][0], path[depth][1], path[depth][2]
            leaving = -1
            if edge == ideals.ptr[at + 1]:
                leaving = last
                depth -= 1
            else:
                path[depth][1] = edge + 1
                v = ideals.nodes[edge]
                if v < last:
                    continue
                steps += 1
                to = ideals.leads_to[edge]
                work, own = path[depth][3] + nodes.work[v], path[depth][6] + nodes.parameters[v]
                inside, outside = path[depth][4], path[depth][5]
                largest = max(path[depth][7], nodes.working[v])
                size, workset = path[depth][8] + nodes.sizes[v], max(path[depth][9], nodes.worksets[v])
                for i in range(nodes.read_ptr[v], nodes.read_ptr[v + 1]):
                    t = nodes.reads[i]
                    if added[nodes.producer[t]]:
                        left[t] -= 1
                        if left[t] == 0:
                            outside -= nodes.tensor_cost[t]
                    else:
                        read[t] += 1
                        if read[t] == 1:
                            inside += nodes.tensor_cost[t]
                for i in range(nodes.make_ptr[v], nodes.make_ptr[v + 1]):
                    left[nodes.makes[i]] = nodes.consumers[nodes.makes[i]]
                    outside += nodes.tensor_cost[nodes.makes[i]]
                for i in range(nodes.use_ptr[v], nodes.use_ptr[v + 1]):
                    holders[nodes.uses[i]] += 1
                    if holders[nodes.uses[i]] == 1:
                        own += nodes.shared_cost[nodes.uses[i]]
                        size += nodes.shared_size[nodes.uses[i]]
                added[v] = 1
                growing = work + inside + max(0, own + largest - rules.capacity)
                fits = size + workset <= rules.room
                if fits and growing + outside <= rules.threshold and rules.wanted[to] == 1:
                    rules.wanted[to] = 2
                # What a stage that goes on from here costs at least, if it ends at an ideal worth reaching.
                rest = inside + outside - ideals.cut[to] - ideals.work[start]
                if (
                    not fits
                    or growing > rules.threshold
                    or rules.least[to] + rest > rules.threshold
                    or rules.least_held[to] + rest - ideals.held[start] > rules.threshold + rules.capacity
                ):
                    leaving = v
                else:
                    depth += 1
                    row = path[depth]
                    row[0], row[1], row[2], row[3] = to, ideals.ptr[to], v, work
                    row[4], row[5], row[6], row[7] = inside, outside, own, largest
                    row[8], row[9] = size, workset
            if leaving >= 0:
                added[leaving] = 0
                for i in range(nodes.read_ptr[leaving], nodes.read_ptr[leaving + 1]):
                    t = nodes.reads[i]
                    if added[nodes.producer[t]]:
                        left[t] += 1
                    else:
                        read[t] -= 1
                for i in range(nodes.use_ptr[leaving], nodes.use_ptr[leaving + 1]):
                    holders[nodes.uses[i]] -= 1
    return steps


@cache
def compiled() -> Callable[..., int] | None:
    """Return `extend` compiled by numba; None where numba is missing."""
    return compile_last(extend)


def compile_last(*functions: Callable[..., Any]) -> Callable[..., int] | None:
    """Return the last of some functions of one module compiled by numba, with those before it that it calls."""
    try:
        from numba import njit
    except ImportError:
        return None
    names, last = dict(functions[-1].__globals__), functions[-1].__name__
    for function in functions:
        names[function.__name__] = njit()(FunctionType(function.__code__, names))
    compiled_last: Callable[..., int] = names[last]
    return compiled_last


def as_arrays(record: Any) -> Any:
    """Return a record of lists as one of arrays, for the compiled loop."""
    return type(record)(*(np.asarray(value, np.int64) if not isinstance(value, int) else value for value in record))
