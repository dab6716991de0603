"""Tuned constants of the cores of growing size: measured, not proven; every core is valid whatever they are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HierarchyTuning:
    """When which cores are tried, see `framework.structure.fluid.hierarchy`.

    Attributes
    ----------
    growth
        Ideals of a core, in those of the one before.
    chained_ideals
        Ideals from which on chains are tried: in smaller cores they take too much of the place.
    room
        Ideals of a core, at least, in those of its chains alone.
    another_chance
        Growth after which a kind of core that was in vain is tried again.
    least_chained
        Weight of a chained node at least, in the simple bound: smaller ones are well served as a fluid.
    slow_build
        Share of the time left that building the first core may take for the other ways of choosing it to be tried.
    stuck
        Relative gain of a core over smaller ones below which other ways of the same size are tried.
    nearly_closed
        Gap within which that is done at no two sizes in turn: there a larger core is worth more.
    shorter
        How many times fewer steps it has to take to go backwards, as tolls and heads of nets are lost then.
    most_trial_steps
        Steps after which a trial of a direction is given up: less than a tenth of a second.
    most_misses
        Cores in which a variant that is not basic and has never refuted anything is tried.
    """

    growth: int = 4
    chained_ideals: int = 8_000
    room: int = 8
    another_chance: int = 16
    least_chained: float = 0.02
    slow_build: float = 0.1
    stuck: float = 1e-3
    nearly_closed: float = 0.005
    shorter: int = 4
    most_trial_steps: int = 5_000_000
    most_misses: int = 3
