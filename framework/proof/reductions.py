"""Steps that make a smaller problem: what no partition of it costs less than bounds the given problem, too.

*contract* moves one node at a time to the stage of a neighbour, by the dominance lemma. *charge* lets one user pay for
each shared parameter, *uniform* makes all stages alike, *narrow* replaces all working sets by the smallest. *hold* and
*anchor* make parameters of limits and pins. *merge* makes one stage of several.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

from framework.proof.problem import Limit, PlainProblem, RefusedError, Shared, Tensor

LARGEST = 1 << 52
"""Parameters that a step makes stay below in sum, as the costs of a priced graph do."""


def contract(problem: PlainProblem, moves: Sequence[int]) -> PlainProblem:
    """Move nodes to the stage of others, one after the other, and make each pair one node.

    Parameters
    ----------
    moves
        x, y, x', y', ...: the node that holds x moves to the stage of the one that holds y, then x' to y', and so on.

    Raises
    ------
    RefusedError
        If the lemma does not allow a move.
    """
    if len(moves) % 2:
        raise RefusedError("the moves are not pairs")
    merging = _Merging(problem)
    for x, y in zip(moves[::2], moves[1::2], strict=True):
        if not (0 <= x < problem.n and 0 <= y < problem.n):
            raise RefusedError(f"there is no node {x} or {y}")
        merging.move(merging.group_of(x), merging.group_of(y))
    return merging.result()


class _Merging:
    """A problem whose nodes are merged; a group of merged nodes goes by the name of one of them."""

    def __init__(self, problem: PlainProblem) -> None:
        self.problem, self.kinds = problem, problem.priced
        self.parent = list(range(problem.n))
        # Of each kind of device.
        self.overflows = [kind.can_overflow for kind in self.kinds]
        self.work = [list(kind.work) for kind in self.kinds]
        self.parameters = [list(kind.parameters) for kind in self.kinds]
        self.working = [list(kind.working) for kind in self.kinds]
        self.made = [set(row) for row in problem.made_by]
        self.read = [set(row) for row in problem.read_by]
        self.producer = [tensor.producer for tensor in problem.tensors]
        self.consumers = [set(tensor.consumers) for tensor in problem.tensors]
        self.uses = _users(problem.n, problem.shared)
        self.pins = list(problem.pins) or [-1] * problem.n
        limit = problem.limit or Limit((0,) * problem.n, (), (0,) * problem.n, ())
        self.sizes, self.worksets = list(limit.sizes), list(limit.worksets)
        self.kept = list(limit.kept) or [0] * problem.n
        self.holds = _users(problem.n, [q for q in (*limit.shared, *limit.shared_kept) if q.cost])

    def group_of(self, v: int) -> int:
        while self.parent[v] != v:
            self.parent[v] = self.parent[self.parent[v]]
            v = self.parent[v]
        return v

    def successors(self, u: int) -> set[int]:
        return set().union(*(self.consumers[t] for t in self.made[u]))

    def predecessors(self, v: int) -> set[int]:
        return {self.producer[t] for t in self.read[v]}

    def move(self, x: int, y: int) -> None:
        """Let x join y if one of the two inequalities allows it, on every kind of device."""
        kinds = range(len(self.kinds))
        if y in self.successors(x):
            allowed = max(self._excess_of_pull(x, y, kind) for kind in kinds) <= 0
            allowed = allowed and self._reach(y, self.successors(x) - {y}, down=True)
        else:
            allowed = y in self.predecessors(x) and max(self._excess_of_push(x, y, kind) for kind in kinds) <= 0
            allowed = allowed and self._reach(y, self.predecessors(x) - {y}, down=False)
        if not allowed or not self._is_free(x, y):
            raise RefusedError(f"nothing shows that node {x} may move to the stage of node {y}")
        self.join(x, y)

    def _is_free(self, x: int, y: int) -> bool:
        """Whether x is not pinned, and a stage with y holds no more of what is limited when x joins it."""
        return (
            self.pins[x] < 0
            and not self.sizes[x]
            and not self.kept[x]
            and self.holds[x] <= self.holds[y]
            and (self.worksets[x] <= self.worksets[y])
        )

    def _excess_of_pull(self, u: int, v: int, kind: int) -> int:
        """By how much the left side of (1) exceeds the right one."""
        cost = self.kinds[kind].tensors
        excess = self._load(u, v, kind) + sum(cost[t].cost for t in self.read[u] if v not in self.consumers[t])
        for t in self.made[u]:
            if v not in self.consumers[t]:
                excess += cost[t].cost
            elif len(self.consumers[t]) == 1:
                excess -= cost[t].cost
        return excess

    def _excess_of_push(self, v: int, u: int, kind: int) -> int:
        """By how much the left side of (2) exceeds the right one."""
        cost = self.kinds[kind].tensors
        excess = self._load(v, u, kind) + sum(cost[t].cost for t in self.made[v])
        for t in self.read[v]:
            if self.producer[t] != u:
                excess += 0 if u in self.consumers[t] else cost[t].cost
            elif len(self.consumers[t]) == 1:
                excess -= cost[t].cost
        return excess

    def _load(self, x: int, y: int, kind: int) -> int:
        """Return by how much work and overflow of a stage with y grow at most when x joins it."""
        work = self.work[kind][x]
        if not self.overflows[kind]:
            return work
        beside = sum(self.kinds[kind].shared[q].cost for q in self.uses[x] - self.uses[y])
        return work + self.parameters[kind][x] + beside + max(0, self.working[kind][x] - self.working[kind][y])

    def _reach(self, start: int, wanted: set[int], *, down: bool) -> bool:
        """Whether all wanted groups are descendants of a group, or ancestors."""
        return wanted <= self._reached(start, down=down, enough=wanted)

    def _reached(self, start: int, *, down: bool, enough: set[int] | None = None) -> set[int]:
        """Return the descendants of a group, or its ancestors, itself if it is on a cycle; or some, with all enough."""
        seen, waiting = set[int](), [start]
        while waiting and (enough is None or not enough <= seen):
            v = waiting.pop()
            fresh = (self.successors(v) if down else self.predecessors(v)) - seen
            seen |= fresh
            waiting += fresh
        return seen

    def close(self, v: int) -> None:
        """Let all that lies between members of a group join it."""
        v = self.group_of(v)
        for x in self._reached(v, down=True) & self._reached(v, down=False) - {v}:
            self.join(x, v)

    def join(self, x: int, y: int) -> None:
        """Make one group of two.

        Raises
        ------
        RefusedError
            If they are pinned to different stages.
        """
        if x == y:
            return
        if self.pins[x] != self.pins[y] and min(self.pins[x], self.pins[y]) >= 0:
            raise RefusedError("nodes of one stage are pinned to different stages")
        self.parent[x] = y
        for costs in (*self.work, *self.parameters, self.sizes, self.kept):
            costs[y] += costs[x]
        for highest in (*self.working, self.worksets, self.pins):
            highest[y] = max(highest[y], highest[x])
        self.uses[y] |= self.uses[x]
        self.holds[y] |= self.holds[x]
        for t in self.made[x]:
            self.producer[t] = y
        for t in self.read[x]:
            self.consumers[t].discard(x)
            self.consumers[t].add(y)
        self.made[y] |= self.made[x]
        self.read[y] |= self.read[x]
        # What one group makes and reads crosses no border there.
        for t in self.made[y] & self.read[y]:
            self.consumers[t].discard(y)
            self.read[y].discard(t)
            if not self.consumers[t]:
                self.made[y].discard(t)

    def result(self) -> PlainProblem:
        """Return the problem of the groups, numbered by their smallest members."""
        problem = self.problem
        name: dict[int, int] = {}
        group = [name.setdefault(self.group_of(v), len(name)) for v in range(problem.n)]
        tensors: dict[tuple[int, frozenset[int]], list[int]] = {}
        for t, consumers in enumerate(self.consumers):
            if consumers:
                tensors.setdefault((name[self.producer[t]], frozenset(name[v] for v in consumers)), []).append(t)

        def renamed(shared: Sequence[Shared]) -> tuple[Shared, ...]:
            return tuple(q._replace(users=frozenset(group[v] for v in q.users)) for q in shared)

        def of(costs: Sequence[int]) -> tuple[int, ...]:
            return tuple(costs[g] for g in name)

        kinds = tuple(
            replace(
                kind,
                work=of(work),
                parameters=of(parameters),
                working=of(working),
                tensors=tuple(Tensor(sum(kind.tensors[t].cost for t in row), *ends) for ends, row in tensors.items()),
                shared=renamed(kind.shared),
                node_of=tuple(group[v] for v in problem.node_of),
            )
            for kind, work, parameters, working in zip(
                self.kinds, self.work, self.parameters, self.working, strict=True
            )
        )
        limit = problem.limit
        return replace(
            kinds[0],
            kinds=kinds if problem.kinds else (),
            kind_of=problem.kind_of,
            pins=of(self.pins) if max(self.pins) >= 0 else (),
            windows=(),
            limit=limit
            and limit._replace(
                sizes=of(self.sizes),
                shared=renamed(limit.shared),
                worksets=of(self.worksets),
                kept=of(self.kept) if limit.kept else (),
                shared_kept=renamed(limit.shared_kept),
            ),
        )


def _users(n: int, shared: Sequence[Shared]) -> list[set[int]]:
    """Return which of the given parameters each node uses."""
    return [{q for q, row in enumerate(shared) if v in row.users} for v in range(n)]


def together(problem: PlainProblem, sets: Sequence[Sequence[int]]) -> PlainProblem:
    """Make one node of each set of nodes, and of all that lies between them: they share a stage."""
    merging = _Merging(problem)
    for nodes in sets:
        for v in nodes:
            merging.join(merging.group_of(v), merging.group_of(nodes[0]))
    for nodes in sets:
        merging.close(nodes[0])
    return merging.result()


def charge(problem: PlainProblem, payers: Sequence[int]) -> PlainProblem:
    """Charge each shared parameter to one of its users, whatever stage the others are in.

    Raises
    ------
    RefusedError
        If somebody is to pay for what it does not use.
    """
    if len(payers) != len(problem.shared):
        raise RefusedError(f"{len(payers)} payers for {len(problem.shared)} shared parameters")
    for payer, shared in zip(payers, problem.shared, strict=True):
        if payer not in shared.users:
            raise RefusedError(f"node {payer} pays for a parameter that it does not use")
    return on_each_kind(problem, lambda kind: _charged(kind, payers))


def _charged(problem: PlainProblem, payers: Sequence[int]) -> PlainProblem:
    parameters = list(problem.parameters)
    for payer, shared in zip(payers, problem.shared, strict=True):
        parameters[payer] += shared.cost
    return replace(problem, parameters=tuple(parameters), shared=())


def on_each_kind(problem: PlainProblem, change: Callable[[PlainProblem], PlainProblem]) -> PlainProblem:
    """Change the problem as every kind of device prices it."""
    return replace(change(problem), kinds=tuple(change(kind) for kind in problem.kinds))


def narrow(problem: PlainProblem) -> PlainProblem:
    """Let every node have the smallest working set of all, and make the capacity smaller by it; on each device."""
    if problem.kinds:
        kinds = tuple(map(narrow, problem.kinds))
        return replace(problem, capacity=kinds[0].capacity, working=kinds[0].working, kinds=kinds)
    capacity = max(0, problem.capacity - min(problem.working))
    return replace(problem, capacity=capacity, working=(0,) * problem.n)


def merge(problem: PlainProblem, factor: int) -> PlainProblem:
    """Make one stage of so many adjacent ones, with their capacities: it costs no more than these do together.

    Pins and limits are forgotten.

    Raises
    ------
    RefusedError
        If the factor is below 1, or stages differ.
    """
    problem.check_alike()
    if factor < 1:
        raise RefusedError("no stages cannot be merged")
    capacity = min(factor * problem.capacity, problem.held(range(problem.n)))
    stages = -(-problem.filled // factor)
    return replace(problem, stages=stages, capacity=capacity, pins=(), limit=None, windows=())


def uniform(problem: PlainProblem) -> PlainProblem:
    """Let everything cost what it costs on the device where it is cheapest, and stages hold what any of them holds.

    Working sets are the smallest of all.
    """
    if not problem.kinds:
        return problem
    kinds = tuple(map(narrow, problem.kinds))
    parameters = tuple(map(min, zip(*(kind.parameters for kind in kinds), strict=True)))
    shared = tuple(min(rows) for rows in zip(*(kind.shared for kind in kinds), strict=True))
    values = [*parameters, *(q.cost for q in shared)]
    return replace(
        problem,
        work=tuple(map(min, zip(*(kind.work for kind in kinds), strict=True))),
        parameters=parameters,
        tensors=tuple(min(rows) for rows in zip(*(kind.tensors for kind in kinds), strict=True)),
        shared=shared,
        working=(0,) * problem.n,
        capacity=max(_packed(values, kind) for kind in kinds),
        kinds=(),
        kind_of=(),
    )


def _packed(values: Sequence[int], kind: PlainProblem) -> int:
    """Return the value, rounded up, of the fractional knapsack that packs what a device holds into its capacity."""
    sizes, room, value = [*kind.parameters, *(q.cost for q in kind.shared)], kind.capacity, Fraction(0)
    filled = [i for i in range(len(sizes)) if sizes[i]]
    for i in sorted(filled, key=lambda i: Fraction(values[i], sizes[i]), reverse=True):
        part = min(sizes[i], room)
        room, value = room - part, value + Fraction(values[i] * part, sizes[i])
    return -(-value.numerator // value.denominator)


def hold(problem: PlainProblem, amount: int) -> PlainProblem:
    """Charge sizes, in proportion, as parameters: a stage that obeys its limit holds at most the given amount then.

    Of microbatches in flight, as many count as every stage has.
    """
    problem.check_alike()
    limit = problem.limit and problem.limit.times(min(problem.limit.in_flight, default=0))
    room = 0 if limit is None else max(limit.rooms) - min(limit.worksets)
    if limit is None or room <= 0 or amount < 0 or problem.can_overflow:
        raise RefusedError("sizes become parameters where there is a limit, and nothing overflows")
    parameters = tuple(size * amount // room for size in limit.sizes)
    shared = tuple(q._replace(cost=q.cost * amount // room) for q in limit.shared)
    _check_size(amount, *parameters, *(q.cost for q in shared))
    return replace(problem, parameters=parameters, working=(0,) * problem.n, shared=shared, capacity=amount)


def anchor(problem: PlainProblem, amount: int) -> PlainProblem:
    """Give each stage without pinned nodes a node of its own, and let what is pinned hold an amount, nothing else."""
    problem.check_alike()
    if not problem.pins or amount < 0 or (amount and problem.can_overflow):
        raise RefusedError("there are no pins, or parameters that overflow")
    missing = sorted(set(range(problem.stages)) - set(problem.pins))
    pins, none = (*problem.pins, *missing), (0,) * len(missing)
    place = {stage: v for v, stage in enumerate(pins)}
    arcs = [Tensor(0, place[b], frozenset({place[b + 1]})) for b in range(problem.stages - 1)]
    smallest = min(*problem.working, problem.capacity)
    problem = replace(
        problem,
        work=problem.work + none,
        parameters=problem.parameters + none,
        working=problem.working + (smallest,) * len(missing),
        tensors=(*problem.tensors, *arcs),
        pins=pins,
        limit=None,
        windows=(),
    )
    if not amount:
        return problem
    parameters = tuple(amount * (stage >= 0) for stage in pins)
    _check_size(*parameters)
    return replace(problem, parameters=parameters, working=(0,) * problem.n, shared=(), capacity=amount)


def _check_size(*amounts: int) -> None:
    """Refuse amounts that would leave 64 bits in the tables of other rules."""
    if sum(amounts) >= LARGEST:
        raise RefusedError("the amount is too large for 64 bits")
