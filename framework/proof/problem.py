"""The problem as the checker sees it, and what a stage of it costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from framework.model.instance import Instance


class RefusedError(ValueError):
    """A proof, or one step of it, does not show what it says; the text says why."""


class Tensor(NamedTuple):
    """A tensor: what crossing a border costs, who makes it, and who reads it."""

    cost: int
    producer: int
    consumers: frozenset[int]


class Shared(NamedTuple):
    """A parameter that several nodes use: its cost, and its users."""

    cost: int
    users: frozenset[int]


class Limit(NamedTuple):
    """What stages may hold, whatever it costs: a size for each node, for shared parameters once, the largest workset.

    `rooms` has the most for each stage. A stage with several microbatches in flight, as `in_flight` says, holds `kept`
    of each node, and the rows of `shared_kept` once, for each of them. All three are empty where nothing is kept.
    """

    sizes: tuple[int, ...]
    shared: tuple[Shared, ...]
    worksets: tuple[int, ...]
    rooms: tuple[int, ...]
    kept: tuple[int, ...] = ()
    shared_kept: tuple[Shared, ...] = ()
    in_flight: tuple[int, ...] = ()

    def times(self, in_flight: int) -> Limit:
        """Return the limit of stages with so many microbatches in flight, as one of sizes alone."""
        kept = self.kept or (0,) * len(self.sizes)
        return Limit(
            sizes=tuple(size + in_flight * more for size, more in zip(self.sizes, kept, strict=True)),
            shared=(*self.shared, *(Shared(in_flight * cost, users) for cost, users in self.shared_kept)),
            worksets=self.worksets,
            rooms=self.rooms,
        )

    def at(self, stage: int) -> Limit:
        """Return the limit of a stage, as one of sizes alone."""
        return self.times(self.in_flight[stage]) if self.in_flight else self


@dataclass(frozen=True, kw_only=True, eq=False)
class PlainProblem:
    """Nodes 0..n-1 in at most `stages` stages, so that the most expensive stage is cheapest; costs in ticks.

    A partition gives every node a stage, and no tensor goes to an earlier stage. A stage S costs

        work(S) + in(S) + out(S) + max(0, held(S) - capacity).

    work(S) sums the work of its nodes. in(S) sums the tensors that are made outside of S and read in S, out(S) those
    made in S and read outside, each once. held(S) sums the parameters of its nodes, each shared parameter with a user
    in S once, and the largest of `working` of its nodes. An empty stage costs nothing.

    Attributes
    ----------
    work, parameters, working
        Of each node, ticks.
    tensors
        What nodes hand on; one of cost 0 is an order and nothing else.
    shared
        Parameters of several nodes.
    capacity
        What a stage holds for free.
    node_of
        The node that holds each node of the problem that this one was made from by reductions.
    kinds, kind_of
        Where stages run on different kinds of devices: the problem as each kind prices it, and the kind of each stage.
        The costs above are those of the first kind then. Empty where all stages are alike.
    pins
        The stage that each node must be in, -1 for any; empty where none is pinned.
    limit
        What stages may hold; None for anything.
    windows
        The first and the last of the stages 1, ..., `filled` of each node in the partitions that matter, empty stages
        left out; empty where they may be anywhere. A bound may forget them.
    """

    work: tuple[int, ...]
    parameters: tuple[int, ...]
    working: tuple[int, ...]
    tensors: tuple[Tensor, ...]
    shared: tuple[Shared, ...]
    capacity: int
    stages: int
    node_of: tuple[int, ...]
    kinds: tuple[PlainProblem, ...] = ()
    kind_of: tuple[int, ...] = ()
    pins: tuple[int, ...] = ()
    limit: Limit | None = None
    windows: tuple[tuple[int, int], ...] = ()

    @property
    def n(self) -> int:
        """Number of nodes."""
        return len(self.work)

    @property
    def filled(self) -> int:
        """How many stages matter: where all are alike, so many as can hold nodes."""
        return self.stages if self.kinds else min(self.stages, self.n)

    @property
    def priced(self) -> tuple[PlainProblem, ...]:
        """The problem as each kind of device prices it."""
        return self.kinds or (self,)

    def at(self, stage: int) -> PlainProblem:
        """Return the problem as the device of a stage prices it."""
        return self.kinds[self.kind_of[stage]] if self.kinds else self

    def check_alike(self) -> None:
        """Refuse a problem whose stages run on different kinds of devices; limits and pins may be forgotten."""
        if self.kinds:
            raise RefusedError("the stages run on different devices; `uniform` comes first")

    @property
    def can_overflow(self) -> bool:
        """Whether a stage of all nodes holds more than the capacity; no stage does otherwise."""
        return self.held(range(self.n)) > self.capacity

    @cached_property
    def made_by(self) -> list[list[int]]:
        """The tensors that each node makes."""
        rows: list[list[int]] = [[] for _ in self.work]
        for t, tensor in enumerate(self.tensors):
            rows[tensor.producer].append(t)
        return rows

    @cached_property
    def read_by(self) -> list[list[int]]:
        """The tensors that each node reads."""
        rows: list[list[int]] = [[] for _ in self.work]
        for t, tensor in enumerate(self.tensors):
            for v in tensor.consumers:
                rows[v].append(t)
        return rows

    @cached_property
    def successors(self) -> list[set[int]]:
        """The nodes that read something of each node."""
        return [{v for t in row for v in self.tensors[t].consumers} for row in self.made_by]

    @cached_property
    def predecessors(self) -> list[set[int]]:
        """The nodes that each node reads something of."""
        return [{self.tensors[t].producer for t in row} for row in self.read_by]

    @cached_property
    def order(self) -> list[int]:
        """The nodes, each after its predecessors.

        Raises
        ------
        RefusedError
            If there is a cycle.
        """
        waiting = [len(row) for row in self.predecessors]
        order = [v for v in range(self.n) if not waiting[v]]
        for u in order:
            for v in sorted(self.successors[u]):
                waiting[v] -= 1
                if not waiting[v]:
                    order.append(v)
        if len(order) < self.n:
            raise RefusedError("the nodes are on a cycle")
        return order

    @cached_property
    def below(self) -> list[int]:
        """Of each node a bit set: itself and all that can be reached from it."""
        sets = [1 << v for v in range(self.n)]
        for u in reversed(self.order):
            for v in self.successors[u]:
                sets[u] |= sets[v]
        return sets

    @cached_property
    def above(self) -> list[int]:
        """Of each node a bit set: itself and all that it can be reached from."""
        sets = [1 << v for v in range(self.n)]
        for v in self.order:
            for u in self.predecessors[v]:
                sets[v] |= sets[u]
        return sets

    def held(self, nodes: Iterable[int]) -> int:
        """Return what a stage of the given nodes holds."""
        stage = set(nodes)
        own = sum(self.parameters[v] for v in stage) + max((self.working[v] for v in stage), default=0)
        return own + sum(q.cost for q in self.shared if not stage.isdisjoint(q.users))

    def cost(self, nodes: Iterable[int]) -> int:
        """Return what a stage of the given nodes costs."""
        stage = set(nodes)
        if not stage:
            return 0
        total = sum(self.work[v] for v in stage) + max(0, self.held(stage) - self.capacity)
        for tensor in self.tensors:
            if (tensor.producer in stage and not tensor.consumers <= stage) or (
                tensor.producer not in stage and not stage.isdisjoint(tensor.consumers)
            ):
                total += tensor.cost
        return total

    def bottleneck(self, stage_of: Sequence[int]) -> int:
        """Return what the most expensive stage of a partition costs; `stage_of` is the stage of each node.

        Raises
        ------
        RefusedError
            If it is no partition into so many stages.
        """
        if len(stage_of) != self.n or not all(0 <= s < self.stages for s in stage_of):
            raise RefusedError("the partition does not give each node one of the stages")
        if any(stage_of[v] < stage_of[t.producer] for t in self.tensors for v in t.consumers):
            raise RefusedError("in the partition a tensor goes to an earlier stage")
        if any(pin not in (-1, s) for pin, s in zip(self.pins, stage_of, strict=False)):
            raise RefusedError("in the partition a node is not where it is pinned to")
        stages: list[list[int]] = [[] for _ in range(self.stages)]
        for v, s in enumerate(stage_of):
            stages[s].append(v)
        limit = self.limit
        if limit is not None and any(_size(limit.at(s), nodes) > limit.rooms[s] for s, nodes in enumerate(stages)):
            raise RefusedError("in the partition a stage holds more than it may")
        return max(self.at(s).cost(nodes) for s, nodes in enumerate(stages))


def _size(limit: Limit, nodes: Sequence[int]) -> int:
    """Return what a stage of some nodes holds of what is limited."""
    once = sum(q.cost for q in limit.shared if not q.users.isdisjoint(nodes))
    return sum(limit.sizes[v] for v in nodes) + once + max((limit.worksets[v] for v in nodes), default=0)


def plain_problem(instance: Instance, stages: int) -> PlainProblem:
    """Return the problem of a priced graph.

    Raises
    ------
    RefusedError
        If it has limits already: those come from what is fixed beforehand (`framework.proof.given`).
    """
    if instance.stage_limit is not None:
        raise RefusedError("the priced graph has limits")
    if instance.unequal is None:
        return _of_one_kind(instance, stages)
    kinds = tuple(_of_one_kind(kind, stages) for kind in instance.on_each_device())
    return replace(kinds[0], kinds=kinds, kind_of=tuple(instance.unequal.device.tolist()))


def _of_one_kind(instance: Instance, stages: int) -> PlainProblem:
    top, shared = instance.topology, instance.shared
    tensors = tuple(
        Tensor(cost, producer, frozenset(top.consumers[start:end].tolist()))
        for cost, producer, start, end in zip(
            instance.tensor_cost.tolist(),
            top.producer.tolist(),
            top.consumer_ptr[:-1].tolist(),
            top.consumer_ptr[1:].tolist(),
            strict=True,
        )
    )
    users = [frozenset(shared.users[shared.ptr[q] : shared.ptr[q + 1]].tolist()) for q in range(len(shared))]
    return PlainProblem(
        work=tuple(instance.work.tolist()),
        parameters=tuple(instance.parameter_cost.tolist()),
        working=tuple(instance.working_cost.tolist()) or (0,) * instance.n,
        tensors=tensors,
        shared=tuple(Shared(cost, row) for cost, row in zip(instance.shared_cost.tolist(), users, strict=True)),
        capacity=instance.capacity,
        stages=stages,
        node_of=tuple(range(instance.n)),
    )
