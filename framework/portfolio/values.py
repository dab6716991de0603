"""What a run proved and found, from ticks to the unit of the file: bounds rounded down, costs priced exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from framework.bounds import Interval, ratio, relative_gap
from framework.model.exact import ExactStage, Rounding, exact_bottleneck

NOTEWORTHY = 1e-9
"""Part of a bottleneck that rounding may cost it without a remark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """The interval of a run in the unit of the file: ``dual_bound <= optimum <= incumbent`` in its own numbers.

    Attributes
    ----------
    dual_bound, incumbent
        None while unknown.
    relative_gap, ratio
        Of the two; None while one is unknown.
    lost
        Part of the incumbent that its ticks lack; 0 while there is none.
    within_rounding
        Whether rounding explains what the ticks of the incumbent lack. Otherwise it cuts a tensor that is dearer than
        the whole graph in one stage, which ticks do not count in full.
    """

    dual_bound: float | None
    incumbent: float | None
    relative_gap: float | None
    ratio: float | None
    lost: float = 0.0
    within_rounding: bool = True

    @staticmethod
    def of(interval: Interval, rounding: Rounding, costs: Sequence[ExactStage]) -> Values:
        """Return the values of an interval in ticks whose incumbent has these stages, in the unit."""
        dual = None if interval.dual is None else rounding.lower(interval.dual)
        if interval.incumbent is None:
            return Values(dual_bound=dual, incumbent=None, relative_gap=None, ratio=None)
        exact = exact_bottleneck(costs)
        incumbent = exact.rounded_up()
        return Values(
            dual_bound=dual,
            incumbent=incumbent,
            relative_gap=None if dual is None else relative_gap(dual, incumbent),
            ratio=None if dual is None else ratio(dual, incumbent),
            lost=1.0 - rounding.lower(interval.incumbent) / incumbent if incumbent else 0.0,
            within_rounding=max(exact) <= rounding.upper_fraction(interval.incumbent),
        )

    def remarks(self) -> list[str]:
        """Return what a reader of the values should know."""
        if not self.within_rounding:
            return [
                "the constraints make a stage cut a transfer that costs more than the whole graph in one stage; the "
                "dual bound counts such a transfer as just that, the partition in full"
            ]
        if self.lost > NOTEWORTHY:
            return [f"costs are rounded down to whole ticks: that is {self.lost:.1g} of the bottleneck"]
        return []
