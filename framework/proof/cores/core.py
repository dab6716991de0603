"""A core: the nodes that do not become divisible, in the order that all nodes have."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from framework.proof.cuts import members
from framework.proof.problem import PlainProblem, RefusedError, Shared, Tensor
from framework.proof.reductions import on_each_kind, uniform

MOST_COSTS = 1 << 46
"""All costs together at most, on any kind of device, so that no sum of them over all stages leaves 64 bits."""


@dataclass(frozen=True, kw_only=True)
class Core:
    """A core, read in one direction. Its nodes are numbered so that all come after those before them.

    Attributes
    ----------
    nodes, fluid
        The nodes of the problem on either side.
    chained
        Nodes of the problem that are in chains.
    directly
        Of each core node the last ones of those that come before it, a bit set.
    readied_by, wanted_by
        Of each core node fluid nodes, numbered as in `fluid`, and bit sets of core nodes: what may be done once all of
        the set is, the node one of the last of them; and what must be done once any of it is, the node one of the
        first.
    """

    nodes: list[int]
    fluid: list[int]
    chained: list[int]
    directly: list[int]
    readied_by: list[list[tuple[int, int]]]
    wanted_by: list[list[tuple[int, int]]]
    always_ready: list[int]


def total_of(problem: PlainProblem) -> int:
    """Return what all costs come to, on the kind of device where that is most.

    Raises
    ------
    RefusedError
        If it is too large, or there is what cores do not count.
    """
    if any(problem.working):
        raise RefusedError("a core counts no working sets: narrow comes first")
    total = max(
        sum(kind.work) + sum(kind.parameters) + sum(t.cost for t in kind.tensors) + sum(q.cost for q in kind.shared)
        for kind in problem.priced
    )
    if total > MOST_COSTS or total * problem.filled >= 1 << 59:
        raise RefusedError("the costs are too large for 64 bits")
    return total


def held_by(
    problem: PlainProblem, nodes: Collection[int], order: Sequence[int], fluid: Collection[int]
) -> PlainProblem:
    """Let only some nodes hold shared parameters; what none of them uses is charged to one fluid node that does.

    Parameters
    ----------
    nodes
        Those that hold them: a stage holds a parameter once if one of them uses it.
    order
        All nodes: the payer is the first of the heaviest.
    """
    cheapest, rank = uniform(problem), {v: -i for i, v in enumerate(order)}
    rows = list[frozenset[int]]()
    for _, users in problem.shared:
        payers = sorted(users.intersection(fluid), key=lambda v: (cheapest.work[v] + cheapest.parameters[v], rank[v]))
        rows.append(users.intersection(nodes) or frozenset(payers[-1:]))

    def changed(kind: PlainProblem) -> PlainProblem:
        parameters = list(kind.parameters)
        for q, users in zip(kind.shared, rows, strict=True):
            if len(users) == 1:
                parameters[min(users)] += q.cost
        shared = tuple(Shared(q.cost, users) for q, users in zip(kind.shared, rows, strict=True) if len(users) > 1)
        return replace(kind, parameters=tuple(parameters), shared=shared)

    return on_each_kind(problem, changed)


def make_core(
    problem: PlainProblem,
    order: Sequence[int],
    fluid: Sequence[int],
    backwards: bool,
    chains: Sequence[Sequence[int]] = (),
) -> Core:
    """Return the core that is left when some nodes become fluid; paths through these keep its order.

    Parameters
    ----------
    chains
        Equal nodes that stand for the stages that they have, sorted, and have no tensors.

    Raises
    ------
    RefusedError
        If nothing is left, the order is none, or nodes of a chain differ; and as `total_of`.
    """
    total_of(problem)
    rank = {v: i for i, v in enumerate(order)}
    if sorted(order) != list(range(problem.n)) or any(
        rank[t.producer] >= rank[v] for t in problem.tensors for v in t.consumers
    ):
        raise RefusedError("the order does not have all nodes, each after its predecessors")
    soft, chained = set(fluid), [v for chain in chains for v in chain]
    if not soft < set(rank) or not set(chained) <= set(rank) - soft or len(set(chained)) < len(chained):
        raise RefusedError("fluid nodes, nodes of chains and other nodes are not told apart")
    if any(len({(kind.work[v], kind.parameters[v]) for v in chain}) > 1 for chain in chains for kind in problem.priced):
        raise RefusedError("nodes of a chain differ")
    number = {v: i for i, v in enumerate(v for v in order if v not in soft)}
    placed = {v: i for v, i in number.items() if v not in set(chained)}
    before = _core_nodes_next(order, problem.predecessors, placed)
    after = _core_nodes_next(order[::-1], problem.successors, placed)
    masks = [before[v] for v in number]
    arcs = [(u, i) for v, i in placed.items() for u in members(_ends(before[v], masks, last=True))]
    in_order = [sorted(chain, key=lambda v: rank[v]) for chain in chains]
    arcs += [(number[u], number[v]) for u, v in _arcs_of_chains(problem, in_order, placed)]
    if any(u >= v for u, v in arcs):
        raise RefusedError("the order is not one of the chains")
    nodes, fluid = list(number), [v for v in order if v in soft]
    if backwards:
        last = len(nodes) - 1
        arcs = [(last - v, last - u) for u, v in arcs]
        nodes.reverse()
        before, after = ({v: turned(row, len(nodes)) for v, row in rows.items()} for rows in (after, before))
    return _core_of(nodes, fluid, chained, arcs, before, after)


def _core_of(
    nodes: list[int],
    fluid: list[int],
    chained: list[int],
    arcs: Sequence[tuple[int, int]],
    before_fluid: Mapping[int, int],
    after_fluid: Mapping[int, int],
) -> Core:
    """Return a core in the order of some arcs, of which each goes to a larger number."""
    before, after = [0] * len(nodes), [0] * len(nodes)
    for u, v in sorted(arcs, key=lambda arc: arc[1]):
        before[v] |= before[u] | 1 << u
    for u, v in sorted(arcs, key=lambda arc: -arc[0]):
        after[u] |= after[v] | 1 << v
    readied_by: list[list[tuple[int, int]]] = [[] for _ in nodes]
    wanted_by: list[list[tuple[int, int]]] = [[] for _ in nodes]
    for f, v in enumerate(fluid):
        for u in members(_ends(before_fluid[v], before, last=True)):
            readied_by[u].append((f, before_fluid[v]))
        for u in members(_ends(after_fluid[v], after, last=False)):
            wanted_by[u].append((f, after_fluid[v]))
    return Core(
        nodes=nodes,
        fluid=fluid,
        chained=chained,
        directly=[_ends(row, before, last=True) for row in before],
        readied_by=readied_by,
        wanted_by=wanted_by,
        always_ready=[f for f, v in enumerate(fluid) if not before_fluid[v]],
    )


def _arcs_of_chains(
    problem: PlainProblem, chains: Sequence[Sequence[int]], placed: Collection[int]
) -> Iterator[tuple[int, int]]:
    """Yield pairs of nodes of the core of which the first is in no later stage, where one is of a chain at least."""
    for chain in chains:
        bits, m = sum(1 << v for v in chain), len(chain)
        yield from pairwise(chain)
        for v in placed:
            if later := (problem.below[v] & bits).bit_count():
                yield v, chain[m - later]
            if earlier := (problem.above[v] & bits).bit_count():
                yield chain[earlier - 1], v
        for other in chains:
            if other is chain:
                continue
            degrees = sorted((problem.above[v] & bits).bit_count() for v in other)
            others = sum(1 << v for v in other)
            most = max((problem.below[v] & others).bit_count() for v in chain)
            for v, degree, total in zip(other, degrees, accumulate(degrees), strict=True):
                if total:
                    yield chain[max(degree, -(-total // most)) - 1], v


def _core_nodes_next(along: Sequence[int], earlier: Sequence[set[int]], number: Mapping[int, int]) -> dict[int, int]:
    """Return of each node the core nodes from which a path leads to it, a bit set."""
    found: dict[int, int] = {}
    for v in along:
        found[v] = 0
        for u in earlier[v]:
            found[v] |= found[u] | (1 << number[u] if u in number else 0)
    return found


def turned(nodes: int, size: int) -> int:
    """Return a bit set with its bits in the opposite order."""
    return int(format(nodes, f"0{size}b")[::-1], 2)


def _ends(nodes: int, reach: Sequence[int], *, last: bool) -> int:
    """Return those of a bit set that no other comes after, or before; `reach` is what comes before, or after, each."""
    ends = 0
    while nodes:
        v = nodes.bit_length() - 1 if last else (nodes & -nodes).bit_length() - 1
        ends |= 1 << v
        nodes &= ~(reach[v] | 1 << v)
    return ends


def order_of(problem: PlainProblem, core: Core) -> PlainProblem:
    """Return the nodes of a core as a problem in which tensors are an order and nothing else."""
    none = (0,) * len(core.nodes)
    return PlainProblem(
        work=tuple(problem.work[v] for v in core.nodes),
        parameters=tuple(problem.parameters[v] for v in core.nodes),
        working=none,
        tensors=tuple(Tensor(0, u, frozenset((v,))) for v, row in enumerate(core.directly) for u in members(row)),
        shared=(),
        capacity=problem.capacity,
        stages=problem.stages,
        node_of=(),
    )
