"""From groups to partitions and back: windows for groups of stages, and slicing the order that nested ideals give."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.model.problem import Partition, Problem, bottleneck
from framework.structure.poset.stage_windows import StageWindows
from framework.structure.poset.topological_orders import order_of_partition
from framework.structure.primal.slicing import Slicer, Slicing

_REMEMBERED = 1 << 16


def balanced_sizes(stages: int, groups: int) -> list[int]:
    """Return how many stages each of some groups of consecutive stages has, as even as possible."""
    ends = np.arange(groups + 1, dtype=np.int64) * stages // groups
    return [int(size) for size in np.diff(ends)]


def group_windows(
    instance: Instance, sizes: Sequence[int], threshold: int, should_stop: Callable[[], bool] = lambda: False
) -> tuple[IntArray, IntArray] | None:
    """Return the ``[n]`` earliest and latest groups of partitions of at most `threshold`; None if there are none.

    Raises
    ------
    OutOfTimeError
        If `should_stop` returns true.
    """
    return windows_of_groups(StageWindows(instance, should_stop), sizes, threshold)


def windows_of_groups(
    stage_windows: StageWindows, sizes: Sequence[int], threshold: int
) -> tuple[IntArray, IntArray] | None:
    """Return the same from windows that are there already, for one threshold after the other."""
    windows = stage_windows.at(sum(sizes), threshold)
    if windows is None:
        return None
    group_of_stage = np.repeat(np.arange(len(sizes), dtype=np.int64), sizes)
    return group_of_stage[windows.earliest], group_of_stage[windows.latest]


class Repair:
    """Turns groupings into partitions of a problem: nodes ordered by group, the order sliced as well as possible.

    Where stages are unequal, only groupings by single stages are taken, as they are.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._seen: set[int] = set()

    def partition(self, group_of: IntArray, groups: int, upper: int, should_stop: Callable[[], bool]) -> Slicing | None:
        """Return a partition below `upper` ticks, or None; a grouping that was tried before is not tried again."""
        if self._problem.instance.unequal is not None:
            if groups < self._problem.stages:
                return None
            partition = Partition(stage_of=group_of.copy())
            value = bottleneck(self._problem, partition)
            return Slicing(value, partition) if value < upper else None
        key = hash(group_of.tobytes())
        if key in self._seen:
            return None
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        self._seen.add(key)
        order = order_of_partition(self._problem.instance, Partition(stage_of=group_of))
        return Slicer(self._problem.instance, order).solve(
            self._problem.useful_stages, upper=upper, should_stop=should_stop
        )
