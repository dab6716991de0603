"""Tuned constants of filtering: measured, not proven; what survives holds every partition whatever they are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterTuning:
    """Which cores are read, and for how long, see `framework.structure.filtering.rounds`.

    Attributes
    ----------
    first_ideals, max_ideals
        Most ideals of the first and of the last cores.
    growth
        Ideals of larger cores, in those before.
    worthwhile
        Share of the places for nodes that a round leaves at most for the same kind of core to be tried once more.
    worthwhile_variant
        Share of the survivors of other variants that one leaves at most to be asked again.
    first_trial
        Steps after which one direction is given up for the other, four times as many the next time.
    """

    first_ideals: int = 8_000
    max_ideals: int = 128_000
    growth: int = 4
    worthwhile: float = 0.95
    worthwhile_variant: float = 0.99
    first_trial: int = 2_000_000

    def __post_init__(self) -> None:
        if not 2 <= self.first_ideals <= self.max_ideals:
            raise ValueError("first_ideals must be at least 2 and at most max_ideals")
        if self.growth < 2 or self.first_trial < 1:
            raise ValueError("growth must be at least 2, and first_trial at least 1")


DEFAULT = FilterTuning()
