"""The problem as the checker sees it, and what a stage of it costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
    """

    work: tuple[int, ...]
    parameters: tuple[int, ...]
    working: tuple[int, ...]
    tensors: tuple[Tensor, ...]
    shared: tuple[Shared, ...]
    capacity: int
    stages: int
    node_of: tuple[int, ...]

    @property
    def n(self) -> int:
        """Number of nodes."""
        return len(self.work)

    @property
    def filled(self) -> int:
        """How many stages can hold nodes."""
        return min(self.stages, self.n)

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
        stages: list[list[int]] = [[] for _ in range(self.stages)]
        for v, s in enumerate(stage_of):
            stages[s].append(v)
        return max(self.cost(stage) for stage in stages)


def plain_problem(instance: Instance, stages: int) -> PlainProblem:
    """Return the problem of an instance without constraints on equal devices.

    Raises
    ------
    RefusedError
        For any other instance.
    """
    if instance.unequal is not None or instance.stage_limit is not None:
        raise RefusedError("stages on different devices, pins and memory limits are not covered by proofs yet")
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
