"""Instance: a graph to split into stages, with its costs in whole ticks (Max-Throughput Partitioning Problem).

All kernels, bounds, thresholds and comparisons work on these integers; there is no tolerance anywhere.
Magnitudes are bounded (`MAX_TOTAL`, `MAX_STAGES`) so that ``stages * bottleneck`` never leaves int64.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from framework.model.arrays import IntArray, merge_equal_tensors, prefix_sums, ranks, take_rows
from framework.model.shared import SharedParameters, rename_users, shared_by
from framework.model.stage_limit import StageLimit
from framework.model.topology import Topology, build_topology, stable_topological_order
from framework.model.unequal import UnequalStages

UNLIMITED = 1 << 60
"""Capacity of an instance without overflow: no sum of parameter costs reaches it."""

MAX_TOTAL = 1 << 46
"""Largest allowed sum of all costs an instance can ever charge (ticks)."""

MAX_STAGES = 1 << 16
"""Largest allowed number of stages."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Instance:
    """Nodes with work and parameter costs, tensors with transfer costs, a capacity per stage; all in ticks.

    Nodes are numbered topologically: a producer's index is below its consumers'. Tensors are distinct
    as (producer, consumers) and have at least one consumer; a pure dependency is a tensor of cost 0.

    Attributes
    ----------
    name
        For reports.
    unit, ticks_per_unit
        The unit of the input and how many ticks one unit has; ``value = ticks / ticks_per_unit``.
    work, parameter_cost
        ``[n]`` ticks; parameter costs are of what a node alone uses.
    tensor_cost
        ``[m]`` ticks.
    capacity
        Parameter cost a stage holds for free, in ticks; `UNLIMITED` when there is no overflow.
    topology
        Its structure.
    node_of_input
        ``[inputs]`` the node that stands for each node of the input this instance was made from (a file's
        nodes, or the nodes of the instance it was reduced from).
    stage_limit
        What a stage may hold at most; None where anything goes. Costs without it are a relaxation: they are right for
        the partitions that obey, whatever they say of others.
    shared, shared_cost
        The parameters that several nodes use, and their costs in ticks: a stage that holds a user pays each once.
    unequal
        What everything costs on each stage, where they run on different devices; None where all stages are the same.
        The costs above are then those of a relaxation in which they are (`framework.model.unequal`).
    working_cost
        ``[n]`` ticks: what the working set of each node takes of the capacity while it runs. Nodes of a stage run one
        after the other, so the largest counts among its parameters, not the sum. Empty where only parameters count;
        stages are equal otherwise.
    """

    name: str
    unit: str
    ticks_per_unit: float
    work: IntArray
    parameter_cost: IntArray
    tensor_cost: IntArray
    capacity: int
    topology: Topology
    node_of_input: IntArray
    stage_limit: StageLimit | None = None
    shared: SharedParameters = field(default_factory=SharedParameters)
    shared_cost: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    unequal: UnequalStages | None = None
    working_cost: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def n(self) -> int:
        """Number of nodes."""
        return self.topology.n

    @property
    def m(self) -> int:
        """Number of tensors."""
        return self.topology.m

    @property
    def total_work(self) -> int:
        """Sum of all work, in ticks."""
        return int(self.work.sum())

    @property
    def total_parameter_cost(self) -> int:
        """Sum of all parameter costs, in ticks, shared ones once."""
        return int(self.parameter_cost.sum()) + int(self.shared_cost.sum())

    @property
    def most_held(self) -> int:
        """What a stage of all nodes holds of what counts towards the capacity, in ticks."""
        return self.total_parameter_cost + int(self.working_cost.max(initial=0))

    @property
    def counts_worksets(self) -> bool:
        """Whether working sets count towards the capacity: of all stages, or on some kind of device."""
        return len(self.working_cost) > 0 or (self.unequal is not None and self.unequal.counts_worksets)

    @property
    def can_overflow(self) -> bool:
        """Whether some stage can hold more than the capacity."""
        return self.most_held > self.capacity

    @property
    def bounded_capacity(self) -> int:
        """The capacity, but no more than all nodes hold: as good, and its product with the stages stays in int64."""
        return min(self.capacity, self.most_held)

    @property
    def largest_cost(self) -> int:
        """What no stage can cost more than, in ticks: a dual bound above it says that no partition obeys the limit."""
        overflow = max(0, self.most_held - self.capacity)
        uniform = self.total_work + int(self.tensor_cost.sum()) + overflow
        # Where no partition obeys, an entry may claim the one, and one that is given the relaxation the other.
        return uniform if self.unequal is None else max(uniform, self.unequal.largest_cost)

    def without_limit(self) -> Instance:
        """Return the relaxation that forgets the limit; every partition that obeys is one of its, at the same cost."""
        limit = self.stage_limit
        if limit is None:
            return self
        unequal = self.unequal
        if unequal is not None and len(limit.in_flight):
            # Stages that only what they keep told apart are the same again.
            unequal = unequal.merged()
        return replace(self, stage_limit=None, unequal=unequal).without_idle_parameters()

    def without_idle_parameters(self) -> Instance:
        """Return the instance without the shared parameters that neither cost anything nor count towards its limit.

        These are all that count towards no limit where all nodes together fit into the capacity; nor do working sets
        cost anything there.
        """
        unequal, limit = self.unequal, self.stage_limit
        used = np.zeros(len(self.shared), np.bool_)
        if any(priced.can_overflow for priced in (self, *self.on_each_device())):
            used |= self.shared_cost > 0
            if unequal is not None:
                used |= unequal.shared_cost.any(0)
        elif self.counts_worksets:
            if unequal is not None:
                unequal = replace(unequal, working_cost=unequal.working_cost[:0, :0])
            return replace(self, working_cost=self.working_cost[:0], unequal=unequal).without_idle_parameters()
        if limit is not None:
            used |= (limit.shared_sizes > 0) | (limit.shared_kept > 0)
        if used.all():
            return self
        ptr, users = take_rows(self.shared.ptr, self.shared.users, np.flatnonzero(used))
        return replace(
            self,
            shared=SharedParameters(ptr=ptr, users=users),
            shared_cost=self.shared_cost[used],
            stage_limit=limit
            and replace(limit, shared_sizes=limit.shared_sizes[used], shared_kept=limit.shared_kept[used]),
            unequal=None if unequal is None else replace(unequal, shared_cost=unequal.shared_cost[:, used]),
        )

    def without_worksets(self) -> Instance:
        """Return the relaxation in which every node has the smallest working set of all.

        A stage has the largest of its nodes, which is no smaller. That of every stage with nodes is the same then, and
        makes the capacity smaller; below 0 the rest is forgotten, as stages may be empty.
        """
        if self.unequal is not None:
            return self if not self.counts_worksets else replace(self, unequal=self.unequal.without_worksets())
        if not len(self.working_cost):
            return self
        capacity = max(0, self.capacity - int(self.working_cost.min()))
        return replace(self, capacity=capacity, working_cost=self.working_cost[:0])

    def uniform(self) -> Instance:
        """Return the relaxation in which all stages are the same (`framework.model.unequal`)."""
        if self.is_uniform:
            return self
        return replace(self, unequal=None, stage_limit=self.stage_limit and self.stage_limit.same_for_all)

    @property
    def is_uniform(self) -> bool:
        """Whether all stages are the same: in what they cost, and in what they may hold."""
        return self.unequal is None and (self.stage_limit is None or not len(self.stage_limit.reserved))

    def on_each_device(self) -> Sequence[Instance]:
        """Return the instance as every kind of device prices it; itself where all stages are the same."""
        unequal, limit = self.unequal, self.stage_limit
        if unequal is None:
            return (self,)
        limits = [limit and limit.same_for_all] * unequal.kinds
        if limit is not None and len(limit.in_flight):
            # All stages of a kind have as many microbatches in flight.
            limits = [limit.times(int(limit.in_flight[b])).same_for_all for b in unequal.first_stages]
        nothing = [self.working_cost[:0]] * unequal.kinds
        rows = zip(
            unequal.work,
            unequal.parameter_cost,
            unequal.tensor_cost,
            unequal.shared_cost,
            unequal.capacity.tolist(),
            limits,
            unequal.working_cost if unequal.counts_worksets else nothing,
            strict=True,
        )
        return tuple(
            replace(
                self,
                work=work,
                parameter_cost=own,
                tensor_cost=sent,
                shared_cost=shared,
                capacity=capacity,
                stage_limit=own_limit,
                unequal=None,
                working_cost=working,
            )
            for work, own, sent, shared, capacity, own_limit, working in rows
        )

    def charged(self) -> Instance:
        """Return the relaxation in which one user of each shared parameter pays for it, whatever the others do.

        No partition costs more there, or holds more, than here: see `framework.model.shared`.
        """
        if not len(self.shared):
            return self
        payer = self.shared.payers(self.work + self.parameter_cost)
        parameter_cost, limit = self.parameter_cost.copy(), self.stage_limit
        np.add.at(parameter_cost, payer, self.shared_cost)
        if limit is not None:
            sizes, kept, none = limit.sizes.copy(), limit.kept.copy(), self.shared_cost[:0]
            np.add.at(sizes, payer, limit.shared_sizes)
            np.add.at(kept, payer, limit.shared_kept)
            limit = replace(limit, sizes=sizes, shared_sizes=none, kept=kept, shared_kept=none)
        return replace(
            self,
            unequal=None if self.unequal is None else self.unequal.charged(payer),
            parameter_cost=parameter_cost,
            stage_limit=limit,
            shared=SharedParameters(),
            shared_cost=self.shared_cost[:0],
        )

    def in_units(self, ticks: int) -> float:
        """Convert ticks to the input's unit."""
        return ticks / self.ticks_per_unit

    def sha256(self) -> str:
        """Digest of the structure and costs; equal digests mean equal problems node by node."""
        digest = hashlib.sha256(repr((self.n, self.m, self.capacity)).encode())
        top = self.topology
        for array in (self.work, self.parameter_cost, self.tensor_cost, top.producer, top.consumer_ptr, top.consumers):
            digest.update(array.tobytes())
        if self.stage_limit is not None:
            digest.update(repr(self.stage_limit.limit).encode())
            digest.update(self.stage_limit.sizes.tobytes() + self.stage_limit.anchors.tobytes())
            if self.stage_limit.worksets.any():
                digest.update(self.stage_limit.worksets.tobytes())
            digest.update(self.stage_limit.reserved.tobytes())
            if len(self.stage_limit.in_flight):
                for array in (self.stage_limit.in_flight, self.stage_limit.kept, self.stage_limit.shared_kept):
                    digest.update(array.tobytes())
        if len(self.shared):
            sizes = self.shared_cost[:0] if self.stage_limit is None else self.stage_limit.shared_sizes
            for array in (self.shared.ptr, self.shared.users, self.shared_cost, sizes):
                digest.update(array.tobytes())
        if self.unequal is not None:
            for array in self.unequal.arrays:
                digest.update(array.tobytes())
        if len(self.working_cost):
            digest.update(b"working" + self.working_cost.tobytes())
        return digest.hexdigest()


def build_instance(
    *,
    name: str,
    unit: str,
    ticks_per_unit: float,
    work: IntArray,
    parameter_cost: IntArray,
    tensor_cost: IntArray,
    capacity: int,
    producer: IntArray,
    consumer_ptr: IntArray,
    consumers: IntArray,
    shared: SharedParameters | None = None,
    shared_cost: IntArray | None = None,
    working_cost: IntArray | None = None,
) -> Instance:
    """Number nodes topologically, drop unconsumed tensors, merge equal ones, and check magnitudes.

    Rows of `consumers` must be distinct and free of their producer. None of the three steps changes the
    cost of any partition: an unconsumed tensor is never cut, and tensors with the same producer and the
    same consumers are cut by the same stages, so their costs add. Likewise a parameter with one user becomes that
    user's own, and parameters with the same users, which the same stages hold, become one.

    Raises
    ------
    OverflowError
        If the sum of all chargeable costs exceeds `MAX_TOTAL`.
    ValueError
        If a cost is negative or the graph has a cycle.
    """
    n = len(work)
    producer, consumer_ptr, consumers, tensor_cost = _drop_unconsumed(producer, consumer_ptr, consumers, tensor_cost)
    if shared is None or shared_cost is None:
        shared, shared_cost = SharedParameters(), np.zeros(0, np.int64)
    if working_cost is None:
        working_cost = np.zeros(0, np.int64)
    # A shared parameter is paid for at most once per user, a tensor once by its producer and by each consumer, a
    # working set once.
    paid = np.concatenate((tensor_cost, shared_cost, working_cost))
    times = np.concatenate((1 + np.diff(consumer_ptr), np.diff(shared.ptr), np.ones_like(working_cost)))
    _check_magnitudes(work, parameter_cost, paid, times, capacity)
    raw = build_topology(n, producer, consumer_ptr, consumers)
    order = stable_topological_order(raw)
    rank = ranks(order)
    renumbered = raw
    if not raw.is_topological:
        renumbered = build_topology(n, rank[raw.producer], raw.consumer_ptr, rank[raw.consumers])
    *tensors, merged_cost = merge_equal_tensors(
        renumbered.producer, renumbered.consumer_ptr, renumbered.consumers, np.asarray(tensor_cost, np.int64)
    )
    renamed = rename_users(shared, rank, n, np.asarray(shared_cost, np.int64))
    return Instance(
        name=name,
        unit=unit,
        ticks_per_unit=ticks_per_unit,
        work=np.ascontiguousarray(work[order], dtype=np.int64),
        parameter_cost=np.ascontiguousarray(parameter_cost[order], dtype=np.int64) + renamed.private[0],
        shared=renamed.shared,
        shared_cost=renamed.sizes[0],
        tensor_cost=merged_cost,
        capacity=min(int(capacity), UNLIMITED),
        topology=renumbered if _same_arrays(tensors, renumbered) else build_topology(n, *tensors),
        node_of_input=rank,
        working_cost=working_cost[order] if len(working_cost) else working_cost,
    )


def _same_arrays(tensors: Sequence[IntArray], topology: Topology) -> bool:
    arrays = (topology.producer, topology.consumer_ptr, topology.consumers)
    return all(np.array_equal(array, other) for array, other in zip(tensors, arrays, strict=True))


def instance_from_lists(
    work: Sequence[int],
    tensors: Sequence[tuple[int, int, Sequence[int]]],
    *,
    parameter_cost: Sequence[int] | None = None,
    capacity: int = UNLIMITED,
    shared: Sequence[tuple[int, Sequence[int]]] = (),
    working_cost: Sequence[int] = (),
    name: str = "instance",
) -> Instance:
    """Build an instance from plain lists; for tests and notebooks.

    `tensors` holds (producer, cost, consumers), `shared` (cost, users) of the parameters that several nodes use.
    """
    lengths = [len(set(consumers)) for _, _, consumers in tensors]
    return build_instance(
        name=name,
        unit="ticks",
        ticks_per_unit=1.0,
        work=np.array(work, np.int64),
        parameter_cost=np.array(parameter_cost if parameter_cost is not None else [0] * len(work), np.int64),
        tensor_cost=np.array([cost for _, cost, _ in tensors], np.int64),
        capacity=capacity,
        producer=np.array([producer for producer, _, _ in tensors], np.int64),
        consumer_ptr=prefix_sums(lengths),
        consumers=np.array([v for _, _, consumers in tensors for v in sorted(set(consumers))], np.int64),
        shared=shared_by([users for _, users in shared]),
        shared_cost=np.array([cost for cost, _ in shared], np.int64),
        working_cost=np.array(working_cost, np.int64),
    )


def _drop_unconsumed(
    producer: IntArray, consumer_ptr: IntArray, consumers: IntArray, tensor_cost: IntArray
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    counts = np.diff(consumer_ptr)
    keep = counts > 0
    return producer[keep], prefix_sums(counts[keep]), consumers, tensor_cost[keep]


def _check_magnitudes(work: IntArray, parameter_cost: IntArray, paid: IntArray, times: IntArray, capacity: int) -> None:
    """Refuse costs before anything adds them up in 64 bits; `paid` are those that are paid several times at most."""
    if any(len(a) and int(a.min()) < 0 for a in (work, parameter_cost, paid)) or capacity < 0:
        raise ValueError("costs must not be negative")
    rough = work.sum(dtype=np.float64) + parameter_cost.sum(dtype=np.float64) + (paid * times.astype(np.float64)).sum()
    if rough < MAX_TOTAL / 2:
        return
    # Python integers: the check itself must not overflow.
    total = sum(work.tolist()) + sum(parameter_cost.tolist())
    total += sum(cost * count for cost, count in zip(paid.tolist(), times.tolist(), strict=True))
    if total > MAX_TOTAL:
        raise OverflowError(f"the costs add up to {total} ticks, more than {MAX_TOTAL}")
