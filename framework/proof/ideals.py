"""Rule *ideal program*: k stages of cost at most T do not reach all nodes.

The stages of a partition, one after the other, make a chain of ideals: sets of nodes that hold the predecessors of
their nodes. The checker enumerates all ideals itself, and follows which of them 1, 2, ... stages of cost at most T
reach. docs/proofs.md proves that nothing is overlooked.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.proof.problem import Limit, PlainProblem, RefusedError, Shared
from framework.proof.reductions import on_each_kind, uniform
from framework.proof.walk import COLUMNS, Ideals, Nodes, Rules, Scratch, as_arrays, compiled, extend

MOST_IDEALS = 2_000_000
"""A proof that needs more ideals is refused: they take about a hundred bytes each."""
PLAIN_STEPS = 200_000
"""Steps after which compiling the loop pays: they take about as long as that."""
REFILL = 4
"""Steps for each edge after which the least values are found anew, without what has been reached."""
A_CALL, A_PLAIN_CALL = 64, 8
"""Ideals that one call of the loop starts from, so that Ctrl-C is heard, and that much is compiled in time."""
FAR = 1 << 61
"""Beyond all sums of costs."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Lattice:
    """All ideals, and where those of each size begin.

    `ideals` has them as each kind of device prices them, the last time as cheaply as any of these does, node by node.
    Of each ideal, `last_pin` is the latest stage that one of its nodes is pinned to, -1 for none, and `pinned` counts
    those that are pinned.
    """

    ideals: list[Ideals]
    size_ptr: list[int]
    last_pin: array[int]
    pinned: array[int]


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
    total = max(sum(k.work) + sum(t.cost for t in k.tensors) + k.held(range(k.n)) for k in problem.priced)
    if total >= FAR >> 8:
        raise RefusedError("the costs are too large for 64 bits")
    if threshold < 0:
        return threshold + 1, "no stage costs less than 0"
    lattice = enumerate_ideals(problem)
    count, (reached, steps) = len(lattice.pinned), _reach(problem, lattice, min(threshold, total), plain)
    if reached is not None:
        raise RefusedError(f"{reached} stages of cost at most {threshold} reach all nodes")
    return threshold + 1, f"{count} ideals of {problem.n} nodes, {steps} extensions"


def _numbered(problem: PlainProblem) -> PlainProblem:
    """Return the problem with its nodes in topological order; tensors without a cost stay, as an order."""
    order = problem.order
    name = {v: i for i, v in enumerate(order)}

    def of(costs: Sequence[int]) -> tuple[int, ...]:
        return tuple(costs[v] for v in order) if costs else ()

    def renamed(shared: Sequence[Shared]) -> tuple[Shared, ...]:
        return tuple(q._replace(users=frozenset(name[v] for v in q.users)) for q in shared)

    def numbered(kind: PlainProblem) -> PlainProblem:
        return replace(
            kind,
            work=of(kind.work),
            parameters=of(kind.parameters),
            working=of(kind.working),
            tensors=tuple(
                t._replace(producer=name[t.producer], consumers=frozenset(name[v] for v in t.consumers))
                for t in kind.tensors
            ),
            shared=renamed(kind.shared),
            capacity=min(kind.capacity, kind.held(range(kind.n))),
        )

    limit = problem.limit
    return replace(
        on_each_kind(problem, numbered),
        pins=of(problem.pins),
        windows=(),
        limit=limit
        and limit._replace(
            sizes=of(limit.sizes),
            shared=renamed(limit.shared),
            worksets=of(limit.worksets),
            kept=of(limit.kept),
            shared_kept=renamed(limit.shared_kept),
        ),
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
    pins = problem.pins or (-1,) * problem.n
    sums = [_Sums(kind) for kind in (*problem.kinds, uniform(problem))]
    ptr, nodes, leads_to = array("q", [0]), array("q"), array("q")
    last_pin, pinned = array("q", [-1]), array("q", [0])
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
                    at = index[bigger] = len(pinned)
                    if at >= MOST_IDEALS:
                        raise RefusedError(f"there are more than {MOST_IDEALS} ideals")
                    now = available ^ lowest
                    for w in after[v]:
                        if before[w] & ~bigger == 0:
                            now |= 1 << w
                    larger.append((bigger, now))
                    last_pin.append(max(last_pin[i], pins[v]))
                    pinned.append(pinned[i] + (pins[v] >= 0))
                    for row in sums:
                        row.add(i, members, v)
                nodes.append(v)
                leads_to.append(at)
            ptr.append(len(nodes))
        first, layer = first + len(layer), larger
        size_ptr.append(first + len(layer))
    ideals = [Ideals(ptr, nodes, leads_to, row.work, row.held, row.cut) for row in sums]
    return Lattice(ideals=ideals, size_ptr=size_ptr[:-1], last_pin=last_pin, pinned=pinned)


class _Sums:
    """Of each ideal work, parameters, and tensors that leave it, on one kind of device."""

    def __init__(self, problem: PlainProblem) -> None:
        self.problem = problem
        self.work, self.held, self.cut = array("q", [0]), array("q", [0]), array("q", [0])
        self.made = [sum(problem.tensors[t].cost for t in row) for row in problem.made_by]
        readers = [sum(1 << v for v in tensor.consumers) for tensor in problem.tensors]
        cost = [tensor.cost for tensor in problem.tensors]
        self.read = [[(readers[t], cost[t]) for t in row if cost[t]] for row in problem.read_by]
        users = [(sum(1 << u for u in q.users), q.cost) for q in problem.shared]
        self.uses = [[row for row in users if row[0] >> v & 1] for v in range(problem.n)]

    def add(self, i: int, members: int, v: int) -> None:
        """Add an ideal: the i-th, which has these members, and v."""
        self.work.append(self.work[i] + self.problem.work[v])
        own = sum(cost for users, cost in self.uses[v] if not users & members) if self.uses[v] else 0
        self.held.append(self.held[i] + self.problem.parameters[v] + own)
        outside = ~(members | 1 << v)
        done = sum(cost for readers, cost in self.read[v] if not readers & outside)
        self.cut.append(self.cut[i] + self.made[v] - done)


def _reach(problem: PlainProblem, lattice: Lattice, threshold: int, plain: bool) -> tuple[int | None, int]:
    """Return how many stages of cost at most the threshold reach all nodes, None if k do not; and the steps taken."""
    limit = problem.limit
    # The role of a stage: its kind of device, and how many microbatches it has in flight.
    role_of = list(zip(problem.kind_of or (0,) * problem.stages, _in_flight(problem), strict=True))
    roles = {
        (kind, times): _Kind(
            replace(problem.priced[kind], limit=limit and limit.times(times)), lattice.ideals[kind], plain
        )
        for kind, times in sorted(set(role_of))
    }
    cheapest = as_arrays(lattice.ideals[-1])
    last_pin, pinned = np.asarray(lattice.last_pin), np.asarray(lattice.pinned)
    rooms = (FAR,) * problem.stages if limit is None else limit.rooms
    # Where stages are alike, it suffices to go on from the fewest stages; and empty ones may come last.
    alike = not problem.kinds and not problem.pins and len({*zip(rooms, role_of, strict=True)}) == 1
    k = problem.filled if alike else problem.stages
    capacities = [roles[role].capacity for role in role_of[:k]]
    seen = np.zeros(len(pinned), np.bool_)
    seen[0] = True
    queue = np.zeros(1, np.int64)
    for level in range(1, k + 1):
        here = (last_pin < level) & (pinned == sum(0 <= pin < level for pin in problem.pins))
        wanted = here & _possible(cheapest, level, k, threshold, capacities)
        if alike:
            wanted &= ~seen
        marks = wanted.astype(np.int64)
        if not alike:
            # An empty stage.
            marks[queue] *= 2
        roles[role_of[level - 1]].extend(queue, lattice, marks, threshold, rooms[level - 1])
        queue = np.flatnonzero(marks == 2)
        seen[queue] = True
        if len(queue) and queue[-1] == len(seen) - 1:
            return level, sum(role.steps for role in roles.values())
    return None, sum(role.steps for role in roles.values())


def _in_flight(problem: PlainProblem) -> tuple[int, ...]:
    """Return how many microbatches each stage has in flight, 0 where nothing is kept for them."""
    return (problem.limit is not None and problem.limit.in_flight) or (0,) * problem.stages


def _possible(cheapest: Ideals, level: int, k: int, threshold: int, capacities: Sequence[int]) -> NDArray[np.bool_]:
    """Return which ideals so many stages of cost at most the threshold may reach, and the others go on from.

    `cheapest` has sums of what everything costs on the device where it is cheapest.
    """
    before, after = min(FAR, sum(capacities[:level])), min(FAR, sum(capacities[level:]))
    work, held, cut = (np.asarray(row, np.int64) for row in (cheapest.work, cheapest.held, cheapest.cut))
    past = work + cut + np.maximum(0, held - before)
    rest = work[-1] - work + cut + np.maximum(0, held[-1] - held - after)
    possible: NDArray[np.bool_] = (past <= min(FAR, level * threshold)) & (rest <= min(FAR, (k - level) * threshold))
    return possible


class _Kind:
    """Stages of one kind of device, with as much in flight: what the loop needs to know of them, and its steps there.

    The loop runs as it is, and is compiled where it has much to do.
    """

    def __init__(self, problem: PlainProblem, ideals: Ideals, plain: bool) -> None:
        self.capacity, self.overflows = problem.capacity, problem.can_overflow
        self.compiles, self.steps = not plain, 0
        self.records = ideals, _nodes(problem), _scratch(problem)
        self.arrays = as_arrays(ideals)

    def extend(
        self, queue: NDArray[np.int64], lattice: Lattice, marks: NDArray[np.int64], threshold: int, room: int
    ) -> None:
        """Mark with 2 what of the wanted ideals, marked with 1 or 2, one more stage reaches."""
        # What is likely to reach most comes first, and what has been reached need not be found again.
        queue = queue[np.argsort((self.arrays.cut - self.arrays.work)[queue], kind="stable")]
        wanted: Any = marks.tolist()
        tables: list[Any] = []
        filled, edges = 0, len(self.arrays.nodes)
        at = 0
        while at < len(queue):
            loop = compiled() if self.compiles and self.steps > PLAIN_STEPS else None
            some = queue[at : at + (A_PLAIN_CALL if loop is None else A_CALL)]
            at += len(some)
            switches = loop is not None and isinstance(wanted, list)
            if not tables or switches or self.steps - filled > REFILL * edges:
                wanted, filled = np.asarray(wanted), self.steps
                tables = [wanted, *self._least(lattice, wanted == 1)]
                if loop is None:
                    wanted, *_ = tables = [table.tolist() for table in tables]
            rules = Rules(threshold, self.capacity, room, *tables)
            if loop is None:
                self.steps += extend(some.tolist(), self.records[0], self.records[1], rules, self.records[2])
            else:
                ideals, nodes, scratch = self.compiled_records
                self.steps += loop(some, ideals, nodes, rules, scratch)
        marks[:] = wanted

    def _least(self, lattice: Lattice, wanted: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
        """Return the least work + cut of all wanted ideals above each, and the least work + cut + held."""
        edges = lattice.size_ptr, self.arrays.ptr, self.arrays.leads_to
        values = np.where(wanted, self.arrays.work + self.arrays.cut, FAR)
        least = least_above(*edges, values)
        if not self.overflows:
            return [least, np.full(len(values), -FAR)]
        return [least, least_above(*edges, np.where(wanted, values + self.arrays.held, FAR))]

    @cached_property
    def compiled_records(self) -> tuple[Any, ...]:
        """What the compiled loop is given."""
        return tuple(map(as_arrays, self.records))


def least_above(
    size_ptr: Sequence[int], ptr: NDArray[np.int64], leads_to: NDArray[np.int64], values: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the least value of each ideal and all above it, from the largest ideals down."""
    least = values.copy()
    for low, high in zip(size_ptr[-3::-1], size_ptr[-2:0:-1], strict=True):
        edges = slice(int(ptr[low]), int(ptr[high]))
        # Every ideal but the last has a larger one: no row of edges is empty.
        above = np.minimum.reduceat(least[leads_to[edges]], ptr[low:high] - edges.start)
        least[low:high] = np.minimum(least[low:high], above)
    return least


def _nodes(problem: PlainProblem) -> Nodes:
    paid = [t for t, tensor in enumerate(problem.tensors) if tensor.cost]
    place = {t: i for i, t in enumerate(paid)}
    reads = [[place[t] for t in row if t in place] for row in problem.read_by]
    makes = [[place[t] for t in row if t in place] for row in problem.made_by]
    limit = problem.limit or Limit((0,) * problem.n, (), (0,) * problem.n, ())
    once = [*problem.shared, *limit.shared]
    uses = [[q for q, shared in enumerate(once) if v in shared.users] for v in range(problem.n)]
    return Nodes(
        list(problem.work),
        list(problem.parameters),
        list(problem.working),
        *rows_of(reads),
        *rows_of(makes),
        *rows_of(uses),
        [problem.tensors[t].cost for t in paid],
        [problem.tensors[t].producer for t in paid],
        [len(problem.tensors[t].consumers) for t in paid],
        [q.cost for q in problem.shared] + [0] * len(limit.shared),
        list(limit.sizes),
        list(limit.worksets),
        [0] * len(problem.shared) + [q.cost for q in limit.shared],
    )


def rows_of(rows: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
    """Return where each row begins in all of them one after the other, and these."""
    ptr = [0]
    for row in rows:
        ptr.append(ptr[-1] + len(row))
    return ptr, [item for row in rows for item in row]


def _scratch(problem: PlainProblem) -> Scratch:
    n, m = problem.n, len(problem.tensors)
    path = [[0] * COLUMNS for _ in range(n + 1)]
    uses = len(problem.shared) + (0 if problem.limit is None else len(problem.limit.shared))
    return Scratch([0] * n, [0] * m, [0] * m, [0] * max(1, uses), path)
