"""Fixing: one problem at falling thresholds, each time what is left of it when all survivors are imposed.

Rounds of `framework.structure.survivors`: a core, its survivors, the order they keep, and the next core on what is left
of the instance, where branches that became exchangeable are put in order (`framework.structure.symmetry`). A round that
leaves almost as many nodes is followed by one with the fluid chosen in another way, and after all of those by larger
cores. What is left at one threshold is the start for all lower ones. Which cores come when is measured, not proven.
Source: this project.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.instance import Instance
from framework.model.problem import Problem
from framework.structure.closure import closure
from framework.structure.contraction import compose
from framework.structure.crowding import crowded_nodes
from framework.structure.fluid_choice import HEFTS, FluidChoice
from framework.structure.fluid_core import build_core
from framework.structure.reductions import reduce_exact
from framework.structure.start import simple_bound
from framework.structure.survivors import find_survivors, impose, read_both_ways
from framework.structure.symmetry import put_in_order

FIRST_IDEALS, MAX_IDEALS = 8_000, 128_000
"""Most ideals of the first and of the last cores."""
GROWTH = 4
"""Ideals of larger cores, in those before."""
WORTHWHILE = 0.95
"""Share of the nodes that a round leaves at most for the same kind of core to be tried once more."""


@dataclass(slots=True)
class _Stand:
    """How far the rounds at one threshold have come: what is left, None if nothing, and the core to be tried next."""

    threshold: int
    instance: Instance | None
    ideals: int = FIRST_IDEALS
    way: int = 0
    over: bool = False
    variants: list[int] = field(default_factory=list)


class FixedProblems:
    """One problem, fixed at one threshold after the other; the work done at each is kept."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        whole = problem.instance
        self._whole = replace(whole, node_of_input=np.arange(whole.n, dtype=np.int64))
        self._stands: list[_Stand] = []

    def fix(self, threshold: int, level: int = 0, should_stop: Callable[[], bool] = lambda: False) -> bool:
        """Fix what can be at a threshold (ticks); return whether it is refuted.

        Parameters
        ----------
        level
            How large the largest cores are: `FIRST_IDEALS`, and `GROWTH` times as many on each level.
        """
        stand = self._stand(threshold)
        most = min(MAX_IDEALS, FIRST_IDEALS * GROWTH**level)
        while stand.instance is not None and not stand.over and stand.ideals <= most and not should_stop():
            try:
                stand.instance = self._round(stand, stand.instance, should_stop)
            except OutOfTimeError:
                break
        return stand.instance is None

    def at(self, threshold: int) -> Problem | None:
        """Return what is left of the problem at a threshold (ticks); its `node_of_input` maps the nodes of the problem.

        It has a partition of bottleneck at most the threshold if the problem has one, and its partitions are ones of
        the problem. None if none keeps to the threshold.
        """
        instance = self._stand(threshold).instance
        if instance is None:
            return None
        return self._problem if instance is self._whole else replace(self._problem, instance=instance)

    def _stand(self, threshold: int) -> _Stand:
        """Return how far the rounds at a threshold have come; they begin with what is left at the next higher one."""
        above = [stand for stand in self._stands if stand.threshold >= threshold]
        nearest = min(above, key=lambda stand: stand.threshold, default=None)
        if nearest is not None and nearest.threshold == threshold:
            return nearest
        stand = _Stand(threshold, _in_order(self._whole) if nearest is None else nearest.instance)
        self._stands.append(stand)
        return stand

    def _round(self, stand: _Stand, instance: Instance, should_stop: Callable[[], bool]) -> Instance | None:
        """Return what a core leaves of an instance, None if it refutes the threshold, and say what comes next."""
        threshold = stand.threshold
        problem = replace(self._problem, instance=instance)
        if problem.useful_stages == 1:
            stand.over = True
            return instance
        reach = closure(instance, should_stop=should_stop)
        choice = FluidChoice(
            instance,
            heft=HEFTS[stand.way] / max(1, simple_bound(problem)),
            reach=reach,
            should_stop=should_stop,
        )
        mask, lattice = choice.choose(stand.ideals, should_stop)
        core = build_core(instance, mask, should_stop=should_stop)
        crowded = crowded_nodes(instance, reach, threshold)
        sides = read_both_ways(core, lattice, crowded, should_stop)
        survivors = find_survivors(sides, problem.useful_stages, threshold, stand.variants, should_stop)
        if survivors is None:
            return None
        left = impose(instance, reach, core, lattice, survivors, should_stop)
        if left is None:
            left = instance
        else:
            left = compose(left, reduce_exact(left, should_stop=should_stop))
            left = compose(instance, _in_order(left, should_stop))
        stand.over = not mask.any()
        if left.n > WORTHWHILE * instance.n:
            stand.way += 1
        if stand.way == len(HEFTS):
            stand.ideals, stand.way = GROWTH * stand.ideals, 0
            stand.variants = []
        return left


def _in_order(instance: Instance, should_stop: Callable[[], bool] = lambda: False) -> Instance:
    """Return the instance with exchangeable branches put in order; those within branches are found once these are."""
    while (ordered := put_in_order(instance, should_stop)) is not None:
        instance = compose(instance, ordered)
    return instance
