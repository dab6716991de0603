"""Which ideals of a core the first stages of a partition can hold at a threshold: read from both ends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from framework.proof.cores.core import held_by, make_core, turned
from framework.proof.cores.nets import nets_between
from framework.proof.cores.program import Counting, Program, TooLongError
from framework.proof.cores.tables import IntArray, tables_of
from framework.proof.cores.tolls import units_of
from framework.proof.cores.walk import FAR
from framework.proof.problem import PlainProblem

FIRST_TRIAL = 2_000_000
"""Steps after which one direction is given up for the other, four times as many the next time."""

Alive = list[NDArray[np.bool_]]
"""Per number of stages, from one to all but one, which ideals may be held by them."""


class BothWays:
    """A core read forwards and backwards.

    Attributes
    ----------
    forwards, backwards
        The ideals in both directions.
    mirrored
        Of each ideal of the latter, the one of the former that is what it leaves.
    """

    def __init__(
        self,
        problem: PlainProblem,
        order: Sequence[int],
        fluid: Sequence[int],
        units: Sequence[Sequence[int]] = (),
        common: Sequence[int] = (),
    ) -> None:
        cores = [make_core(problem, order, fluid, turned) for turned in (False, True)]
        held = held_by(problem, cores[0].nodes, order, cores[0].fluid)
        # Tolls are counted forwards only.
        self._units = units_of(problem, cores[0], units, common)
        self.forwards, self.backwards = (
            tables_of(held, core, nets_between(problem, order, core.fluid, spared))
            for core, spared in zip(cores, (self._units.spared if self._units else (), ()), strict=True)
        )
        size = len(self.forwards.core.nodes)
        number = {members: i for i, members in enumerate(self.forwards.members)}
        everything = (1 << size) - 1
        self.mirrored = np.array([number[everything ^ turned(row, size)] for row in self.backwards.members], np.int64)

    def survivors(self, threshold: int, counting: Counting, alive: Alive, plain: bool) -> Alive | None:
        """Return which of some ideals the first stages hold in partitions within a threshold; None if none can be."""
        back = np.argsort(self.mirrored)
        one, other = (
            Program(self.forwards, counting, self._units),
            Program(self.backwards, counting, backwards=True),
        )
        mirrored = [row[self.mirrored] for row in reversed(alive)]
        sides = ((one, other, self.mirrored, alive), (other, one, back, mirrored))
        most = FIRST_TRIAL
        while True:
            for side, (first, second, opposite, among) in enumerate(sides):
                try:
                    found = first.reached(threshold, plain, _floors(among), most)
                except TooLongError:
                    continue
                if found is None:
                    return None
                found = [np.where(here, row, -1) for row, here in zip(found, among, strict=True)]
                met = _met(found, second, opposite, threshold, plain)
                if met is None or not side:
                    return None if met is None else [row[back] for row in reversed(met)]
                return met
            most *= 4


def _met(found: list[IntArray], second: Program, opposite: IntArray, threshold: int, plain: bool) -> Alive | None:
    """Return for the second direction which ideals it has enough fluid left for; `found` is of the first."""
    total = second.fluid
    short, floors = np.full(len(opposite), FAR), list[IntArray]()
    for row in found:
        short = np.minimum(short, np.where(row >= 0, total - row, FAR)[opposite])
        floors.append(short)
    others = second.reached(threshold, plain, floors[::-1], FAR)
    if others is None:
        return None
    met = [
        (row[opposite] >= 0) & (other >= 0) & (row[opposite] + other >= total)
        for row, other in zip(reversed(found), others, strict=True)
    ]
    return met if all(row.any() for row in met) else None


def _floors(alive: Alive) -> list[IntArray]:
    """Return floors that let pass what is alive with so many stages, or with more."""
    later, floors = np.zeros_like(alive[0]), list[IntArray]()
    for row in reversed(alive):
        later = later | row
        floors.append(np.where(later, 0, FAR))
    return floors[::-1]
