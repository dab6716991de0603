"""Minimum cuts over sets of nodes: a library finds a flow, and the flow is checked here, arc by arc."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from framework.proof.problem import PlainProblem, RefusedError, Shared

SOURCE, SINK = 0, 1
LARGEST = 1 << 61
"""Capacities of a network stay below in sum, so that the library does not leave 64 bits."""


def members(bits: int) -> Iterable[int]:
    """Yield the nodes of a bit set, ascending."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def closed(problem: PlainProblem, inside: int, outside: int) -> tuple[int, int] | None:
    """Add to two bit sets what every convex set that holds the one and avoids the other holds, and avoids.

    Between two nodes of a convex set all nodes are in it; so what a node outside separates from one inside is outside.
    None if no convex set is left.
    """
    below, above = _reachable(problem, inside)
    inside |= below & above
    for v in members(outside & (below | above)):
        outside |= problem.below[v] if below >> v & 1 else problem.above[v]
    return None if inside & outside else (inside, outside)


def least_cut(
    problem: PlainProblem,
    weights: Sequence[int],
    shared: Sequence[Shared],
    *,
    scale: int,
    inside: int,
    outside: int = 0,
    opened: Iterable[int] = (),
) -> int:
    """Bound from below what convex sets S with some nodes inside and some outside are worth.

    S is worth the sum of its weights, the cost of each of `shared` with a user in S, and `scale` times the tensors that
    are made or read in S but not only there; of the tensors `opened`, `scale` times each that is made or read in S.

    Parameters
    ----------
    weights
        Of each node, of either sign.
    inside, outside
        Bit sets.

    Raises
    ------
    RefusedError
        If the library returns no flow, or numbers leave 64 bits.
    """
    network = Network(problem.n, inside, outside)
    base = network.weigh(weights)
    free = set(opened)
    for t, tensor in enumerate(problem.tensors):
        if tensor.cost and t not in free:
            base += network.add_net({tensor.producer, *tensor.consumers}, scale * tensor.cost)
    for t in free:
        tensor = problem.tensors[t]
        base += network.add_user({tensor.producer, *tensor.consumers}, scale * tensor.cost)
    for q in shared:
        base += network.add_user(q.users, q.cost)
    below, above = _reachable(problem, inside)
    for u in members(below):
        for v in problem.successors[u]:
            network.bind(v, u)
    for v in members(above):
        for u in problem.predecessors[v]:
            network.bind(u, v)
    return base + network.checked_flow()


def _reachable(problem: PlainProblem, inside: int) -> tuple[int, int]:
    below = above = 0
    for v in members(inside):
        below |= problem.below[v]
        above |= problem.above[v]
    return below, above


class Network:
    """A flow network; nodes inside are its source, nodes outside its sink."""

    def __init__(self, n: int, inside: int, outside: int) -> None:
        self.place = [SOURCE if inside >> v & 1 else SINK if outside >> v & 1 else 2 + v for v in range(n)]
        self.vertices = 2 + n
        self.arcs: list[tuple[int, int, int | None]] = []
        """From, to, capacity; None where it is endless."""

    def weigh(self, weights: Sequence[int]) -> int:
        """Charge nodes inside their weights; return what is paid whatever the set is."""
        base = 0
        for place, weight in zip(self.place, weights, strict=True):
            if place == SOURCE:
                base += weight
            elif place != SINK and weight > 0:
                self.arcs.append((place, SINK, weight))
            elif place != SINK and weight < 0:
                # Paid in advance, and paid back where the node is not inside.
                base += weight
                self.arcs.append((SOURCE, place, -weight))
        return base

    def add_net(self, pins: Iterable[int], cost: int) -> int:
        """Charge a tensor if some pins are inside and some are not; return what is certain."""
        places = {self.place[v] for v in pins}
        if len(places) < 2 or {SOURCE, SINK} <= places:
            return cost if len(places) > 1 else 0
        if len(places) == 2:
            a, b = places
            self.arcs += [(a, b, cost), (b, a, cost)]
            return 0
        near, far = self.vertices, self.vertices + 1
        self.vertices += 2
        self.arcs.append((near, far, cost))
        for place in places:
            self.arcs += [(place, near, None), (far, place, None)]
        return 0

    def add_user(self, users: Iterable[int], cost: int) -> int:
        """Charge something once if any of its users is inside; return what is certain."""
        places = {self.place[v] for v in users} - {SINK}
        if SOURCE in places:
            return cost
        if places:
            self.arcs += [(place, self.vertices, None) for place in places]
            self.arcs.append((self.vertices, SINK, cost))
            self.vertices += 1
        return 0

    def bind(self, v: int, u: int) -> None:
        """Let u be inside whenever v is."""
        if self.place[v] != self.place[u]:
            self.arcs.append((self.place[v], self.place[u], None))

    def checked_flow(self) -> int:
        """Return the value of a flow, which no cut is below."""
        import numpy as np
        from ortools.graph.python.max_flow import SimpleMaxFlow

        total = sum(cost for _, _, cost in self.arcs if cost is not None)
        if total >= LARGEST:
            raise RefusedError("the numbers of a cut are too large for 64 bits")
        # A last arc, of capacity 0, so that the library knows source and sink.
        arcs = [*self.arcs, (SOURCE, SINK, 0)]
        tails, heads = (np.array([arc[end] for arc in arcs], np.int64) for end in (0, 1))
        most = np.array([total + 1 if cost is None else cost for _, _, cost in arcs], np.int64)
        solver = SimpleMaxFlow()
        added = solver.add_arcs_with_capacity(tails, heads, most)
        solver.solve(SOURCE, SINK)
        return self._value_of(solver.flows(added).tolist()[:-1])

    def _value_of(self, flow: Sequence[int]) -> int:
        """Check that no capacity is exceeded and no vertex keeps or makes flow; return what arrives at the sink."""
        kept = [0] * self.vertices
        for (start, end, cost), sent in zip(self.arcs, flow, strict=True):
            if sent < 0 or (cost is not None and sent > cost):
                raise RefusedError("the library's flow exceeds a capacity")
            kept[start] -= sent
            kept[end] += sent
        if any(kept[SINK + 1 :]):
            raise RefusedError("the library's flow gets lost")
        return kept[SINK]
