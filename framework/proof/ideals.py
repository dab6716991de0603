"""Rule *ideal program*: k stages of cost at most T do not reach all nodes.

The stages of a partition, one after the other, make a chain of ideals: sets of nodes that hold the predecessors of
their nodes. The checker enumerates all ideals itself, and follows which of them 1, 2, ... stages of cost at most T
reach. docs/proofs.md proves that nothing is overlooked.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from framework.proof.problem import PlainProblem, RefusedError
from framework.proof.walk import Ideals, Nodes, Rules, Scratch, as_arrays, compiled, extend

MOST_IDEALS = 2_000_000
"""A proof that needs more ideals is refused: they take about a hundred bytes each."""
COMPILED_FROM = 4_000
"""Ideals from which on compiling the loop pays."""
A_CALL = 512
"""Ideals that one call of the loop starts from, so that Ctrl-C is heard."""
FAR = 1 << 61
"""Beyond all sums of costs."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Lattice:
    """All ideals, and where those of each size begin."""

    ideals: Ideals
    size_ptr: list[int]


def ideal_program(problem: PlainProblem, threshold: int, *, plain: bool = False) -> tuple[int, str]:
    """Refute a threshold; return the bound, and what was done, in words.

    Parameters
    ----------
    plain
        Whether not to compile anything.

    Raises
    ------
    RefusedError
        If so many stages of that cost do reach all nodes, or there are too many ideals.
    """
    problem = _numbered(problem)
    total = sum(problem.work) + sum(t.cost for t in problem.tensors) + problem.held(range(problem.n))
    if total >= FAR >> 8:
        raise RefusedError("the costs are too large for 64 bits")
    if threshold < 0:
        return threshold + 1, "no stage costs less than 0"
    lattice = enumerate_ideals(problem)
    count, (reached, steps) = len(lattice.ideals.work), _reach(problem, lattice, min(threshold, total), plain)
    if reached is not None:
        raise RefusedError(f"{reached} stages of cost at most {threshold} reach all nodes")
    return threshold + 1, f"{count} ideals of {problem.n} nodes, {steps} extensions"


def _numbered(problem: PlainProblem) -> PlainProblem:
    """Return the problem with its nodes in topological order; tensors without a cost stay, as an order."""
    name = {v: i for i, v in enumerate(problem.order)}
    return PlainProblem(
        work=tuple(problem.work[v] for v in problem.order),
        parameters=tuple(problem.parameters[v] for v in problem.order),
        working=tuple(problem.working[v] for v in problem.order),
        tensors=tuple(
            t._replace(producer=name[t.producer], consumers=frozenset(name[v] for v in t.consumers))
            for t in problem.tensors
        ),
        shared=tuple(q._replace(users=frozenset(name[v] for v in q.users)) for q in problem.shared),
        capacity=min(problem.capacity, problem.held(range(problem.n))),
        stages=problem.stages,
        node_of=tuple(name[v] for v in problem.node_of),
    )


def enumerate_ideals(problem: PlainProblem) -> Lattice:
    """Find all ideals: those of each size are those one smaller, with one more node whose predecessors they hold.

    Raises
    ------
    RefusedError
        If there are more than `MOST_IDEALS`.
    """
    before = [sum(1 << u for u in row) for row in problem.predecessors]
    after = [sorted(row) for row in problem.successors]
    readers = [sum(1 << v for v in tensor.consumers) for tensor in problem.tensors]
    made = [sum(problem.tensors[t].cost for t in row) for row in problem.made_by]
    read = [[(readers[t], problem.tensors[t].cost) for t in row if problem.tensors[t].cost] for row in problem.read_by]
    uses = [[(sum(1 << u for u in q.users), q.cost) for q in problem.shared if v in q.users] for v in range(problem.n)]
    ptr, nodes, leads_to = array("q", [0]), array("q"), array("q")
    work, held, cut = array("q", [0]), array("q", [0]), array("q", [0])
    # Of each ideal of the present size: its members, and the nodes that can be added, as bit sets.
    layer = [(0, sum(1 << v for v in range(problem.n) if not before[v]))]
    first, size_ptr = 0, [0, 1]
    while layer:
        index: dict[int, int] = {}
        larger: list[tuple[int, int]] = []
        for i, (members, available) in enumerate(layer, first):
            rest = available
            while rest:
                lowest = rest & -rest
                rest ^= lowest
                v, bigger = lowest.bit_length() - 1, members | lowest
                at = index.get(bigger)
                if at is None:
                    at = index[bigger] = len(work)
                    if at >= MOST_IDEALS:
                        raise RefusedError(f"there are more than {MOST_IDEALS} ideals")
                    now = available ^ lowest
                    for w in after[v]:
                        if before[w] & ~bigger == 0:
                            now |= 1 << w
                    larger.append((bigger, now))
                    work.append(work[i] + problem.work[v])
                    own = sum(cost for users, cost in uses[v] if not users & members) if uses[v] else 0
                    held.append(held[i] + problem.parameters[v] + own)
                    done = sum(cost for consumers, cost in read[v] if not consumers & ~bigger)
                    cut.append(cut[i] + made[v] - done)
                nodes.append(v)
                leads_to.append(at)
            ptr.append(len(nodes))
        first, layer = first + len(layer), larger
        size_ptr.append(first + len(layer))
    return Lattice(ideals=Ideals(ptr, nodes, leads_to, work, held, cut), size_ptr=size_ptr[:-1])


def _reach(problem: PlainProblem, lattice: Lattice, threshold: int, plain: bool) -> tuple[int | None, int]:
    """Return how many stages of cost at most the threshold reach all nodes, None if k do not; and the steps taken."""
    ideals, nodes, scratch = lattice.ideals, _nodes(problem), _scratch(problem)
    loop = None if plain or len(ideals.work) < COMPILED_FROM else compiled()
    arrays = as_arrays(ideals)
    if loop is not None:
        ideals, nodes, scratch = arrays, as_arrays(nodes), as_arrays(scratch)
    work, held, cut = arrays.work, arrays.held, arrays.cut
    k, capacity = problem.filled, problem.capacity
    reached = np.zeros(len(work), np.bool_)
    reached[0] = True
    queue, steps = np.zeros(1, np.int64), 0
    for level in range(1, k + 1):
        first = work + cut + np.maximum(0, held - level * capacity) <= level * threshold
        rest = work[-1] - work + cut + np.maximum(0, held[-1] - held - (k - level) * capacity)
        wanted = first & (rest <= (k - level) * threshold) & ~reached
        least = _least_above(lattice, arrays, np.where(wanted, work + cut, FAR))
        least_held = np.full(len(work), -FAR)
        if problem.can_overflow:
            least_held = _least_above(lattice, arrays, np.where(wanted, work + cut + held, FAR))
        marks = wanted.astype(np.int64)
        rules = Rules(threshold, capacity, marks, least, least_held)
        if loop is None:
            marks = marks.tolist()
            rules = Rules(threshold, capacity, marks, least.tolist(), least_held.tolist())
        for at in range(0, len(queue), A_CALL):
            some = queue[at : at + A_CALL]
            steps += (
                extend(some.tolist(), ideals, nodes, rules, scratch)
                if loop is None
                else loop(some, ideals, nodes, rules, scratch)
            )
        queue = np.flatnonzero(np.asarray(marks) == 2)
        reached[queue] = True
        if reached[-1]:
            return level, steps
    return None, steps


def _least_above(lattice: Lattice, arrays: Ideals, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the least value of each ideal and all above it, from the largest ideals down."""
    least, sizes = values.copy(), lattice.size_ptr
    for low, high in zip(sizes[-3::-1], sizes[-2:0:-1], strict=True):
        edges = slice(int(arrays.ptr[low]), int(arrays.ptr[high]))
        # Every ideal but the last has a larger one: no row of edges is empty.
        above = np.minimum.reduceat(least[arrays.leads_to[edges]], np.asarray(arrays.ptr[low:high]) - edges.start)
        least[low:high] = np.minimum(least[low:high], above)
    return least


def _nodes(problem: PlainProblem) -> Nodes:
    paid = [t for t, tensor in enumerate(problem.tensors) if tensor.cost]
    place = {t: i for i, t in enumerate(paid)}
    reads = [[place[t] for t in row if t in place] for row in problem.read_by]
    makes = [[place[t] for t in row if t in place] for row in problem.made_by]
    uses = [[q for q, shared in enumerate(problem.shared) if v in shared.users] for v in range(problem.n)]
    return Nodes(
        list(problem.work),
        list(problem.parameters),
        list(problem.working),
        *_rows(reads),
        *_rows(makes),
        *_rows(uses),
        [problem.tensors[t].cost for t in paid],
        [problem.tensors[t].producer for t in paid],
        [len(problem.tensors[t].consumers) for t in paid],
        [q.cost for q in problem.shared],
    )


def _rows(rows: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
    """Return where each row begins in all of them one after the other, and these."""
    ptr = [0]
    for row in rows:
        ptr.append(ptr[-1] + len(row))
    return ptr, [item for row in rows for item in row]


def _scratch(problem: PlainProblem) -> Scratch:
    n, m = problem.n, len(problem.tensors)
    path = [[0] * 8 for _ in range(n + 1)]
    return Scratch([0] * n, [0] * m, [0] * m, [0] * max(1, len(problem.shared)), path)
