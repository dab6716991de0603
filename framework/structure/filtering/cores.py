"""Cores, the nodes of an instance that stay whole while others become divisible: built once for all thresholds.

Which nodes are fluid does not depend on a threshold; only how a core is read does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from framework.model.instance import Instance
from framework.structure.fluid.core import FluidCore, build_core
from framework.structure.fluid.selection import WEIGHT_BIASES, FluidChoice
from framework.structure.ideals.lattice import IdealLattice
from framework.structure.poset.closure import BoolArray, closure

MOST_KEPT = 4
"""Cores that are kept: the first ones, which other thresholds begin with."""


class ChosenCore(NamedTuple):
    """A core with the lattice of its ideals; `fluid` is the mask of fluid nodes, ``[n]``."""

    fluid: BoolArray
    lattice: IdealLattice
    core: FluidCore


class InstanceCores:
    """The cores of one instance.

    Parameters
    ----------
    load
        A lower bound on the bottleneck, in ticks: what weights are compared with.
    should_stop
        Asked every few hundredths of a second.

    Raises
    ------
    OutOfTimeError
        If `should_stop` returns true.
    """

    def __init__(self, instance: Instance, load: int, should_stop: Callable[[], bool]) -> None:
        self.instance = instance
        self.reach = closure(instance, should_stop=should_stop)
        self._load = max(1, load)
        self._choices: dict[int, FluidChoice] = {}
        self._cores: dict[tuple[int, int], ChosenCore] = {}

    def core(self, way: int, max_ideals: int, should_stop: Callable[[], bool]) -> ChosenCore:
        """Return the core of at most so many ideals, chosen in one of the ways of `WEIGHT_BIASES`."""
        known = self._cores.get((way, max_ideals))
        if known is not None:
            return known
        if way not in self._choices:
            self._choices[way] = FluidChoice(
                self.instance,
                weight_bias=WEIGHT_BIASES[way] / self._load,
                reach=self.reach,
                should_stop=should_stop,
            )
        fluid, lattice = self._choices[way].choose(max_ideals, should_stop)
        chosen = ChosenCore(fluid, lattice, build_core(self.instance, fluid, tied=False, should_stop=should_stop))
        if len(self._cores) < MOST_KEPT:
            self._cores[way, max_ideals] = chosen
        return chosen
