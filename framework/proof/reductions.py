"""Steps that make a smaller problem: what no partition of it costs less than bounds the given problem, too.

*contract* moves one node at a time to the stage of a neighbour, by the dominance lemma. *charge* lets one user pay for
each shared parameter, *narrow* replaces all working sets by the smallest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from framework.proof.problem import PlainProblem, RefusedError, Tensor


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
        self.problem = problem
        self.overflows = problem.can_overflow
        self.parent = list(range(problem.n))
        self.work, self.parameters = list(problem.work), list(problem.parameters)
        self.working = list(problem.working)
        self.made = [set(row) for row in problem.made_by]
        self.read = [set(row) for row in problem.read_by]
        self.producer = [tensor.producer for tensor in problem.tensors]
        self.consumers = [set(tensor.consumers) for tensor in problem.tensors]
        self.uses: list[set[int]] = [set() for _ in problem.work]
        for q, shared in enumerate(problem.shared):
            for v in shared.users:
                self.uses[v].add(q)

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
        """Let x join y if one of the two inequalities allows it."""
        if y in self.successors(x):
            allowed = self._excess_of_pull(x, y) <= 0 and self._all_reached(y, self.successors(x) - {y}, down=True)
        else:
            allowed = (
                y in self.predecessors(x)
                and self._excess_of_push(x, y) <= 0
                and self._all_reached(y, self.predecessors(x) - {y}, down=False)
            )
        if not allowed:
            raise RefusedError(f"nothing shows that node {x} may move to the stage of node {y}")
        self._join(x, y)

    def _excess_of_pull(self, u: int, v: int) -> int:
        """By how much the left side of (1) exceeds the right one."""
        excess = self._load(u, v) + sum(self._cost(t) for t in self.read[u] if v not in self.consumers[t])
        for t in self.made[u]:
            if v not in self.consumers[t]:
                excess += self._cost(t)
            elif len(self.consumers[t]) == 1:
                excess -= self._cost(t)
        return excess

    def _excess_of_push(self, v: int, u: int) -> int:
        """By how much the left side of (2) exceeds the right one."""
        excess = self._load(v, u) + sum(self._cost(t) for t in self.made[v])
        for t in self.read[v]:
            if self.producer[t] != u:
                excess += 0 if u in self.consumers[t] else self._cost(t)
            elif len(self.consumers[t]) == 1:
                excess -= self._cost(t)
        return excess

    def _load(self, x: int, y: int) -> int:
        """Return by how much work and overflow of a stage with y grow at most when x joins it."""
        if not self.overflows:
            return self.work[x]
        beside = sum(self.problem.shared[q].cost for q in self.uses[x] - self.uses[y])
        return self.work[x] + self.parameters[x] + beside + max(0, self.working[x] - self.working[y])

    def _cost(self, t: int) -> int:
        return self.problem.tensors[t].cost

    def _all_reached(self, start: int, wanted: set[int], *, down: bool) -> bool:
        """Whether all wanted nodes are descendants of a node, or ancestors."""
        missing, seen, waiting = set(wanted), {start}, [start]
        while missing and waiting:
            v = waiting.pop()
            for w in self.successors(v) if down else self.predecessors(v):
                if w not in seen:
                    seen.add(w)
                    missing.discard(w)
                    waiting.append(w)
        return not missing

    def _join(self, x: int, y: int) -> None:
        self.parent[x] = y
        self.work[y] += self.work[x]
        self.parameters[y] += self.parameters[x]
        self.working[y] = max(self.working[y], self.working[x])
        self.uses[y] |= self.uses[x]
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
        group = [self.group_of(v) for v in range(problem.n)]
        name: dict[int, int] = {}
        for g in group:
            name.setdefault(g, len(name))
        paid: dict[tuple[int, frozenset[int]], int] = {}
        for t, consumers in enumerate(self.consumers):
            if consumers:
                ends = name[self.producer[t]], frozenset(name[v] for v in consumers)
                paid[ends] = paid.get(ends, 0) + self._cost(t)
        return replace(
            problem,
            work=tuple(self.work[g] for g in name),
            parameters=tuple(self.parameters[g] for g in name),
            working=tuple(self.working[g] for g in name),
            tensors=tuple(Tensor(cost, *ends) for ends, cost in paid.items()),
            shared=tuple(q._replace(users=frozenset(name[group[v]] for v in q.users)) for q in problem.shared),
            node_of=tuple(name[group[v]] for v in problem.node_of),
        )


def charge(problem: PlainProblem, payers: Sequence[int]) -> PlainProblem:
    """Charge each shared parameter to one of its users, whatever stage the others are in.

    Raises
    ------
    RefusedError
        If somebody is to pay for what it does not use.
    """
    if len(payers) != len(problem.shared):
        raise RefusedError(f"{len(payers)} payers for {len(problem.shared)} shared parameters")
    parameters = list(problem.parameters)
    for payer, shared in zip(payers, problem.shared, strict=True):
        if payer not in shared.users:
            raise RefusedError(f"node {payer} pays for a parameter that it does not use")
        parameters[payer] += shared.cost
    return replace(problem, parameters=tuple(parameters), shared=())


def narrow(problem: PlainProblem) -> PlainProblem:
    """Let every node have the smallest working set of all, and make the capacity smaller by it."""
    capacity = max(0, problem.capacity - min(problem.working))
    return replace(problem, capacity=capacity, working=(0,) * problem.n)
