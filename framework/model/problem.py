"""Problem and Partition, and what each stage of a partition costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from framework.errors import UserError
from framework.model.arrays import IntArray, distinct, largest_by, sum_by
from framework.model.instance import MAX_STAGES, Instance
from framework.model.topology import Topology
from framework.model.unequal import UnequalStages


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Windows:
    """The stages each node may be in, numbered from 0.

    Attributes
    ----------
    earliest, latest
        ``[n]`` first and last possible stage.
    """

    earliest: IntArray
    latest: IntArray

    @staticmethod
    def unless_empty(earliest: IntArray, latest: IntArray) -> Windows | None:
        """Return windows, or None if some are empty."""
        return None if bool((earliest > latest).any()) else Windows(earliest=earliest, latest=latest)

    def within(self, other: Windows) -> Windows | None:
        """Return what both windows of each node have in common; None if some have nothing."""
        return Windows.unless_empty(np.maximum(self.earliest, other.earliest), np.minimum(self.latest, other.latest))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """Partition `instance` into at most `stages` stages so that the most expensive one is cheapest.

    Attributes
    ----------
    windows
        Where nodes are in all partitions that matter to the decision the problem is given for, out of `useful_stages`;
        whoever decides may leave it aside. Never there where the optimum is asked for.
    """

    instance: Instance
    stages: int
    windows: Windows | None = None

    def __post_init__(self) -> None:
        if self.windows is not None and len(self.windows.earliest) != self.instance.n:
            raise ValueError(f"windows of {len(self.windows.earliest)} nodes for an instance of {self.instance.n}")
        if not 1 <= self.stages <= MAX_STAGES:
            raise UserError(f"the number of stages is {self.stages}", hint=f"choose 1 to {MAX_STAGES}")
        unequal = self.instance.unequal
        if unequal is not None and unequal.stages != self.stages:
            raise UserError(
                f"there are {unequal.stages} devices for {self.stages} stages", hint="give as many devices as stages"
            )

    def without_limit(self) -> Problem:
        """Return the relaxation that forgets hard limits: its dual bounds are ones of this problem."""
        if self.instance.stage_limit is None:
            return self
        return self.on(self.instance.without_limit())

    def charged(self) -> Problem:
        """Return the relaxation in which one user pays for each shared parameter (`Instance.charged`)."""
        return self if not len(self.instance.shared) else self.on(self.instance.charged(), self.windows)

    def without_worksets(self) -> Problem:
        """Return the relaxation in which all working sets are the smallest (`Instance.without_worksets`)."""
        return self if not self.instance.counts_worksets else self.on(self.instance.without_worksets(), self.windows)

    def uniform(self) -> Problem:
        """Return the relaxation in which all stages are the same (`Instance.uniform`)."""
        instance = self.instance.uniform()
        return self if instance is self.instance else self.on(instance, self.windows)

    def on(self, instance: Instance, windows: Windows | None = None) -> Problem:
        """Return the problem on another instance; windows of this one say nothing of its nodes."""
        return Problem(instance=instance, stages=self.stages, windows=windows)

    @property
    def useful_stages(self) -> int:
        """``min(stages, n)``: more stages than nodes cannot lower the bottleneck, since stages may be empty.

        All stages where they are unequal, or their limits: which of them stay empty matters then.
        """
        limit = self.instance.stage_limit
        same = self.instance.unequal is None and (limit is None or not len(limit.reserved))
        return min(self.stages, self.instance.n) if same else self.stages

    @property
    def prices(self) -> UnequalStages:
        """What everything costs on each of the useful stages: those of one kind of device where all are the same."""
        instance = self.instance
        if instance.unequal is not None:
            return instance.unequal
        return UnequalStages(
            device=np.zeros(self.useful_stages, np.int64),
            work=instance.work[None],
            parameter_cost=instance.parameter_cost[None],
            tensor_cost=instance.tensor_cost[None],
            shared_cost=instance.shared_cost[None],
            capacity=np.array([instance.bounded_capacity], np.int64),
            working_cost=instance.working_cost[None] if len(instance.working_cost) else np.zeros((0, 0), np.int64),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Partition:
    """An assignment of nodes to stages.

    Attributes
    ----------
    stage_of
        ``[n]`` stage of each node, numbered from 0.
    """

    stage_of: IntArray


def project(partition: Partition, reduced: Instance) -> Partition | None:
    """Express a partition on an instance that is a reduction of its own.

    None if it separates nodes that are one there, or goes against an order that was added.
    """
    stage_of = np.zeros(reduced.n, np.int64)
    stage_of[reduced.node_of_input] = partition.stage_of
    top = reduced.topology
    backwards = stage_of[top.consumers] < np.repeat(stage_of[top.producer], np.diff(top.consumer_ptr))
    if backwards.any() or not np.array_equal(stage_of[reduced.node_of_input], partition.stage_of):
        return None
    return Partition(stage_of=stage_of)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StageCosts:
    """Cost of every stage of a partition; five arrays of shape ``[stages]`` in ticks."""

    work: IntArray
    inbound: IntArray
    outbound: IntArray
    overflow: IntArray

    @property
    def total(self) -> IntArray:
        """``[stages]`` sum of the four parts."""
        return self.work + self.inbound + self.outbound + self.overflow

    @property
    def bottleneck(self) -> int:
        """Largest stage cost, in ticks."""
        return int(self.total.max())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CutTensors:
    """The tensors that a partition cuts.

    Attributes
    ----------
    tensor, stage
        ``[transfers]`` a tensor and a stage that reads it without producing it; one entry for each such pair.
    leaving, home
        ``[cut tensors]`` a tensor that is cut, and the stage that produces it.
    """

    tensor: IntArray
    stage: IntArray
    leaving: IntArray
    home: IntArray


def cut_tensors(topology: Topology, stage: IntArray, stages: int) -> CutTensors:
    """Return what a partition cuts; `stage` is the stage of each node, ``[n]``.

    Raises
    ------
    ValueError
        If an edge goes to an earlier stage.
    """
    tensor_of_pin = np.repeat(np.arange(topology.m), np.diff(topology.consumer_ptr))
    home = stage[topology.producer]
    pin_stage = stage[topology.consumers]
    backward = np.flatnonzero(pin_stage < home[tensor_of_pin])
    if len(backward):
        pin = int(backward[0])
        u, v = int(topology.producer[tensor_of_pin[pin]]), int(topology.consumers[pin])
        raise ValueError(f"the edge {u} -> {v} goes from stage {stage[u]} back to stage {stage[v]}")
    away = pin_stage != home[tensor_of_pin]
    # One entry per (tensor, foreign stage that consumes it): a transfer is paid once per stage.
    cut = distinct(tensor_of_pin[away] * stages + pin_stage[away])
    leaving = distinct(cut // stages)
    return CutTensors(tensor=cut // stages, stage=cut % stages, leaving=leaving, home=home[leaving])


def stage_costs(problem: Problem, partition: Partition) -> StageCosts:
    """Price a partition exactly, from its definition alone; the one evaluator everything is verified with.

    Raises
    ------
    ValueError
        If the assignment has the wrong length, a stage out of range, or an edge to an earlier stage.
    """
    instance, k = problem.instance, problem.stages
    topology = instance.topology
    stage = np.asarray(partition.stage_of, dtype=np.int64)
    if stage.shape != (instance.n,):
        raise ValueError(f"a partition of {instance.n} nodes has {stage.size} entries")
    if stage.min() < 0 or stage.max() >= k:
        raise ValueError(f"a stage is outside 0..{k - 1}")
    cut = cut_tensors(topology, stage, k)
    if instance.unequal is not None:
        return _unequal_costs(instance, instance.unequal, stage, cut)
    held = sum_by(stage, instance.parameter_cost, k) + instance.shared.sums(instance.shared_cost, stage, k)
    if len(instance.working_cost):
        held += largest_by(stage, instance.working_cost, k)
    return StageCosts(
        work=sum_by(stage, instance.work, k),
        inbound=sum_by(cut.stage, instance.tensor_cost[cut.tensor], k),
        outbound=sum_by(cut.home, instance.tensor_cost[cut.leaving], k),
        overflow=np.maximum(held - instance.capacity, 0),
    )


def _unequal_costs(instance: Instance, unequal: UnequalStages, stage: IntArray, cut: CutTensors) -> StageCosts:
    """Price every stage on its own device."""
    k, kind = unequal.stages, unequal.device
    nodes = np.arange(instance.n)
    parameter, holder = instance.shared.held(stage)
    parameters = sum_by(stage, unequal.parameter_cost[kind[stage], nodes], k)
    parameters += sum_by(holder, unequal.shared_cost[kind[holder], parameter], k)
    if unequal.counts_worksets:
        parameters += largest_by(stage, unequal.working_cost[kind[stage], nodes], k)
    return StageCosts(
        work=sum_by(stage, unequal.work[kind[stage], nodes], k),
        inbound=sum_by(cut.stage, unequal.tensor_cost[kind[cut.stage], cut.tensor], k),
        outbound=sum_by(cut.home, unequal.tensor_cost[kind[cut.home], cut.leaving], k),
        overflow=np.maximum(parameters - unequal.capacity[kind], 0),
    )


def bottleneck(problem: Problem, partition: Partition) -> int:
    """Return the largest stage cost of a partition, in ticks; raises as `stage_costs` does."""
    return stage_costs(problem, partition).bottleneck


def check_limit(problem: Problem, partition: Partition) -> None:
    """Check the hard limit of the stages of a partition that `stage_costs` accepts, in exact integers.

    Raises
    ------
    ValueError
        If a stage holds more than it may.
    """
    limit = problem.instance.stage_limit
    if limit is None:
        return
    stage = np.asarray(partition.stage_of, np.int64)
    held, shared = sum_by(stage, limit.sizes, problem.stages), problem.instance.shared
    held += shared.sums(limit.shared_sizes, stage, problem.stages)
    if len(limit.in_flight):
        kept = sum_by(stage, limit.kept, problem.stages) + shared.sums(limit.shared_kept, stage, problem.stages)
        held += limit.in_flight * kept
    held += largest_by(stage, limit.worksets, problem.stages)
    if len(limit.reserved):
        held += limit.reserved
    fullest = int(held.argmax())
    if held[fullest] > limit.limit:
        if len(limit.anchors):
            raise ValueError(f"stage {fullest} breaks a pin or holds more than its limit")
        raise ValueError(f"stage {fullest} holds {held[fullest]}, more than its limit {limit.limit}")


def obeys(problem: Problem, partition: Partition) -> bool:
    """Whether no stage of a partition holds more than it may."""
    try:
        check_limit(problem, partition)
    except ValueError:
        return False
    return True
