"""Rounds of filtering at falling thresholds: fixed nodes are contracted, and the smaller problem is filtered again.

A round chooses a core, computes its survivors, and filters the instance
(`framework.structure.filtering.bidirectional`). The next round works on the filtered instance, in which branches that
became exchangeable are ordered (`framework.structure.reduction.symmetry`). If a round removes few nodes, the next one
chooses the core in another way, and after all ways a larger core. The instance filtered at one threshold is the start
for all lower thresholds. The order in which cores are tried is tuned by measurements; any order is valid. Source: this
project.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.model.problem import Problem, Windows
from framework.model.unequal import with_relaxation
from framework.structure.filtering.bidirectional import find_survivors, impose, read_both_ways, windows_of
from framework.structure.filtering.cores import InstanceCores
from framework.structure.filtering.noted import Rounds, arcs_of, named, round_of_branches, round_of_core
from framework.structure.filtering.tuning import DEFAULT, FilterTuning
from framework.structure.fluid.memory_bound import crowded_nodes
from framework.structure.fluid.selection import WEIGHT_BIASES
from framework.structure.fluid.unequal_chain_dp import stage_devices
from framework.structure.fluid.variants import Variant, device_variants, needs_prices, whole_node_variants
from framework.structure.primal.initial_interval import simple_bound
from framework.structure.reduction.contraction import compose
from framework.structure.reduction.dominance import moves_of_reduction
from framework.structure.reduction.symmetry import put_in_order


class _Branches(NamedTuple):
    """Runs of exchangeable branches, each with the place of the node that orders them, and the names of all nodes."""

    names: IntArray
    runs: list[tuple[list[IntArray], int]]


class _Start(NamedTuple):
    """The whole problem with its exchangeable branches in order."""

    cores: InstanceCores
    branches: list[_Branches]


@dataclass(slots=True)
class _Stand:
    """How far the rounds at one threshold have come: what is left, None if nothing, and the core to be tried next.

    All partitions of what is left within the threshold are within its windows. `rounds` tells a checker how it came
    to be.
    """

    threshold: int
    instance: Instance | None
    windows: Windows | None
    ideals: int
    way: int = 0
    over: bool = False
    variants: tuple[Variant, ...] = ()
    rounds: Rounds = ()
    cores: InstanceCores | None = None

    def note(self, round_made: Rounds) -> None:
        """Add a round."""
        self.rounds = (*self.rounds, *round_made)

    def note_branches(self, branches: Sequence[_Branches]) -> None:
        """Add the rounds in which branches were put in order."""
        for names, runs in branches:
            self.note(round_of_branches(self.threshold, names, runs))


class FixedProblems:
    """One problem, fixed at one threshold after the other; the work done at each is kept."""

    def __init__(self, problem: Problem, tuning: FilterTuning = DEFAULT) -> None:
        self._problem, self._tuning = problem, tuning
        whole = problem.instance
        if whole.unequal is not None:
            # What pins put in place of the relaxation's costs need not be right for partitions that break them, and one
            # of those may be all that is left.
            whole = with_relaxation(whole)
        self._whole = replace(whole, node_of_input=np.arange(whole.n, dtype=np.int64))
        self._stands: list[_Stand] = []
        self._first: _Start | None = None

    def fix(self, threshold: int, level: int = 0, should_stop: Callable[[], bool] = lambda: False) -> bool:
        """Fix what can be at a threshold (ticks); return whether it is refuted.

        Parameters
        ----------
        level
            How large the largest cores are: the first ones, and larger by the growth on each level.
        """
        stand = self._stand(threshold)
        most = min(self._tuning.max_ideals, self._tuning.first_ideals * self._tuning.growth**level)
        while stand.instance is not None and not stand.over and stand.ideals <= most and not should_stop():
            rounds = stand.rounds
            try:
                if stand.instance is self._whole:
                    self._begin(stand, should_stop)
                    # The instance stays in order if the round is stopped, so its branches stay noted.
                    rounds = stand.rounds
                stand.instance = self._round(stand, stand.instance, should_stop)
            except OutOfTimeError:
                stand.rounds = rounds
                break
        return stand.instance is None

    def at(self, threshold: int) -> Problem | None:
        """Return what is left of the problem at a threshold (ticks); its `node_of_input` maps the nodes of the problem.

        It has a partition of bottleneck at most the threshold if the problem has one, and its partitions are ones of
        the problem. None if none keeps to the threshold.
        """
        stand = self._stand(threshold)
        instance = stand.instance
        if instance is None:
            return None
        if instance is self._whole:
            return self._problem
        return self._problem.on(instance, stand.windows)

    def rounds(self, threshold: int) -> Rounds:
        """Return how a checker comes to what is left at a threshold (ticks)."""
        return self._stand(threshold).rounds

    def choices(self, threshold: int) -> int:
        """Return how many stages further than the first one nodes may be, in all, at a threshold (ticks)."""
        stand = self._stand(threshold)
        if stand.instance is None:
            return 0
        stages = self._problem.on(stand.instance).useful_stages
        return _choices(stand.instance, stand.windows, stages)

    def _stand(self, threshold: int) -> _Stand:
        """Return how far the rounds at a threshold have come; they begin with what is left at the next higher one."""
        above = [stand for stand in self._stands if stand.threshold >= threshold]
        nearest = min(above, key=lambda stand: stand.threshold, default=None)
        if nearest is not None and nearest.threshold == threshold:
            return nearest
        if nearest is None:
            stand = _Stand(threshold, self._whole, None, self._tuning.first_ideals)
        else:
            stand = _Stand(threshold, nearest.instance, nearest.windows, self._tuning.first_ideals)
            stand.rounds = nearest.rounds
        self._stands.append(stand)
        return stand

    def _begin(self, stand: _Stand, should_stop: Callable[[], bool]) -> None:
        """Put the exchangeable branches of the whole problem in order; its cores are those of all thresholds."""
        if self._first is None:
            instance, branches = _in_order(self._whole, np.arange(self._whole.n), should_stop)
            cores = InstanceCores(instance, simple_bound(self._problem.on(instance)), should_stop)
            self._first = _Start(cores, branches)
        stand.cores = self._first.cores
        stand.instance = stand.cores.instance
        stand.note_branches(self._first.branches)

    def _round(self, stand: _Stand, instance: Instance, should_stop: Callable[[], bool]) -> Instance | None:
        """Return what a core leaves of an instance, None if it refutes the threshold, and say what comes next."""
        threshold, known = stand.threshold, stand.windows
        problem = self._problem.on(instance)
        stages = problem.useful_stages
        if stages == 1:
            stand.over = True
            return instance
        if stand.cores is None or stand.cores.instance is not instance:
            stand.cores = InstanceCores(instance, simple_bound(problem), should_stop)
        mask, lattice, core = stand.cores.core(stand.way, stand.ideals, should_stop)
        reach = stand.cores.reach
        crowded = crowded_nodes(instance, reach, threshold)
        if needs_prices(instance):
            whole, device = device_variants(core, threshold, crowded), stage_devices(instance, stages)
        else:
            whole, device = whole_node_variants(core, stages, threshold), None
        sides = read_both_ways(core, lattice, crowded, should_stop, whole, device)
        names = named(np.arange(self._whole.n), instance)
        read = [variant for variant in stand.variants if variant in sides.forwards.variants] or sides.forwards.variants
        note = round_of_core(threshold, names, core, read, crowded)
        survivors = find_survivors(sides, stages, threshold, read, should_stop, known, self._tuning)
        if survivors is None:
            stand.note(note)
            return None
        stand.variants = survivors.variants
        windows = windows_of(core, lattice, survivors.ideals, known)
        if windows is None:
            stand.note(note)
            return None
        left = impose(instance, reach, core, lattice, survivors.ideals, should_stop)
        if left is None:
            stand.note(note)
        else:
            reduced, moves = moves_of_reduction(left, should_stop=should_stop)
            moved = named(names, left)[np.array(moves, np.int64).reshape(-1)].tolist()
            stand.note((*note[:-3], arcs_of(names, core, left), moved, []))
            left, branches = _in_order(compose(left, reduced), names, should_stop)
            stand.note_branches(branches)
            windows = _merged(windows, left)
            if windows is None:
                return None
        # With fewer nodes than stages, fewer stages count, and windows are in other ones.
        stand.windows = windows if left is None or left.n >= stages else None
        stand.over = not mask.any()
        rest, before = left or instance, _choices(instance, known, stages)
        if rest.n + _choices(rest, stand.windows, stages) > self._tuning.worthwhile * (instance.n + before):
            stand.way += 1
        if stand.way == len(WEIGHT_BIASES):
            stand.ideals, stand.way = self._tuning.growth * stand.ideals, 0
            stand.variants = ()
        return instance if left is None else compose(instance, left)


def _merged(windows: Windows, left: Instance) -> Windows | None:
    """Return the windows of the nodes that are left, given those of the nodes before; None if some are empty."""
    earliest, latest = np.zeros(left.n, np.int64), np.full(left.n, int(windows.latest.max()), np.int64)
    np.maximum.at(earliest, left.node_of_input, windows.earliest)
    np.minimum.at(latest, left.node_of_input, windows.latest)
    return Windows.unless_empty(earliest, latest)


def _choices(instance: Instance, windows: Windows | None, stages: int) -> int:
    """Return how many stages further than the first one the nodes may be, in all."""
    return instance.n * (stages - 1) if windows is None else int((windows.latest - windows.earliest).sum())


def _in_order(instance: Instance, names: IntArray, should_stop: Callable[[], bool]) -> tuple[Instance, list[_Branches]]:
    """Return the instance, mapped as before, with exchangeable branches put in order, and these.

    Those within branches are found once these are. `names` are those of the nodes that the instance was made from.
    """
    found: list[_Branches] = []
    runs: list[tuple[list[IntArray], int]] = []
    while (ordered := put_in_order(instance, should_stop, runs)) is not None:
        found.append(_Branches(named(names, instance), runs))
        instance, runs = compose(instance, ordered), []
    return instance, found
