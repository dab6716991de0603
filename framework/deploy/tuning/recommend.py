"""`recommend`: how the bottleneck falls with the number of stages, where that stops paying, whether to optimise on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

from framework.portfolio.result import Result
from framework.shown import Shown
from framework.wording import counted

NEARLY = 0.95
"""The knee reaches this share of the best speed-up in the table."""

WORTHWHILE = 0.01
"""A gap up to this is not worth more optimisation: costs are not known as well as that."""


class Bound(NamedTuple):
    """A dual bound in the unit, as ticks say it, and without what they may round off."""

    in_ticks: Fraction
    in_unit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One number of stages.

    Attributes
    ----------
    stages
        k.
    bottleneck, bound
        Of the best partition, and what none can beat; in the unit of the results.
    speedup, most
        Over one stage: of the best partition, and what none can beat.
    gap
        Relative gap.
    used
        Stages of the partition that are not empty.
    latency
        What one inference takes through all stages of the partition, one after the other; in the unit of the results.
    devices
        Those of the stages, where they are different ones; empty otherwise.
    """

    stages: int
    bottleneck: float
    bound: float
    speedup: float
    most: float
    gap: float
    status: str
    used: int
    latency: float
    devices: str = ""

    @property
    def efficiency(self) -> float:
        """Speed-up per stage."""
        return self.speedup / self.stages


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation(Shown):
    """A table of choices, ascending, and what to make of it.

    Attributes
    ----------
    name
        The graph's.
    knee
        The fewest stages with at least `NEARLY` of the best speed-up in the table.
    given
        The constraints that all partitions obey, in words; empty for none.
    nodes
        Nodes of the graph, which are never split.
    results
        What the table is made of, ascending.
    left_out
        Why there is no row for some numbers of stages, by number.
    """

    name: str
    unit: str
    nodes: int
    choices: tuple[Choice, ...]
    knee: Choice
    results: tuple[Result, ...]
    given: str = ""
    left_out: Mapping[int, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Recommendation {self.name}: {counted(self.knee.stages, 'stage')}, {self.knee.speedup:.2f}x>"

    @property
    def advice(self) -> str:
        """Answer the question whether to optimise further, at the knee."""
        into, gap = counted(self.knee.stages, "stage"), self.knee.gap
        if self.nodes == 1:
            return "No: the graph is one node, which cannot be split (its remarks may say how to look inside)."
        most = max(choice.most for choice in self.choices)
        if self.choices[-1].stages > 1 and most <= 1 + WORTHWHILE:
            return f"No: no number of stages here is faster than one stage by more than {100 * (most - 1):.2g}%."
        if gap == 0:
            among = f" among those that obey {self.given}" if self.given else ""
            return f"No: the partition into {into} is proven optimal{among}."
        if gap <= WORTHWHILE:
            that = f" that obeys {self.given}" if self.given else ""
            return f"No: no partition into {into}{that} is better by more than {100 * gap:.2g}%."
        return (
            f"Perhaps: up to {100 * gap:.2g}% could still be gained at {into}; whether it can is open "
            "(a larger budget may tell)."
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-compatible data."""
        return {
            "unit": self.unit,
            "knee": self.knee.stages,
            "advice": self.advice,
            "choices": [
                {
                    "stages": c.stages,
                    "bottleneck": c.bottleneck,
                    "bound": c.bound,
                    "speedup": c.speedup,
                    "most_possible_speedup": c.most,
                    "efficiency": c.efficiency,
                    "gap": c.gap,
                    "status": c.status,
                    "used_stages": c.used,
                    "latency": c.latency,
                    **({"devices": c.devices} if c.devices else {}),
                }
                for c in self.choices
            ],
            "left_out": [{"stages": k, "why": why} for k, why in sorted(self.left_out.items())],
        }


def recommend(
    results: Sequence[Result],
    single: Result,
    left_out: Mapping[int, str] | None = None,
    lowest: Mapping[int, Bound] | None = None,
) -> Recommendation:
    """Make a table of results for different numbers of stages.

    More stages can do no worse, so a partition into fewer serves where it is better; and fewer can do no better, so a
    bound for more stages holds for fewer.

    Parameters
    ----------
    results
        One for each number of stages, all of the same problem, each with both sides of its interval.
    single
        The result for one stage, that speed-ups are over.
    left_out
        Why there is no result for some numbers of stages.
    lowest
        By number of stages, the dual bound of all that was to choose from; that of the result where it is missing.
    """
    ordered = sorted(results, key=lambda result: result.stages)
    costs = [_cost(result) for result in ordered]
    duals = [(lowest or {}).get(result.stages) or _bound(result) for result in ordered]
    base = _cost(single)
    choices = []
    for i, result in enumerate(ordered):
        # More stages may stay empty: they can do no worse, and fewer no better.
        least, bound = min(costs[: i + 1]), max(duals[i:], key=lambda dual: dual.in_ticks)
        donor = ordered[costs.index(least)]
        most = bound.in_ticks
        choices.append(
            Choice(
                stages=result.stages,
                bottleneck=donor.incumbent or 0.0,
                bound=bound.in_unit,
                speedup=float(base / least) if least else 1.0,
                most=float(base / most) if most else 1.0,
                gap=max(0.0, float(1 - most / least)) if least else 0.0,
                status="optimal" if most >= least else "feasible" if result.status == "optimal" else result.status,
                used=len(set(donor.stage_of or ())),
                latency=sum(stage.total for stage in donor.stage_costs),
                devices=donor.device.name if lowest and donor.device is not None else "",
            )
        )
    fastest = max(choice.speedup for choice in choices)
    knee = next(choice for choice in choices if choice.speedup >= NEARLY * fastest)
    given = str(ordered[0].constraints)
    nodes = max(len(result.stage_of or ()) for result in ordered)
    return Recommendation(
        name=ordered[0].graph.name,
        unit=ordered[0].unit,
        nodes=nodes,
        choices=tuple(choices),
        knee=knee,
        results=tuple(ordered),
        given=given,
        left_out=left_out or {},
    )


def _cost(result: Result) -> Fraction:
    """Return the incumbent as ticks say it, in the unit; every run has one from its first moment on."""
    assert result.incumbent_ticks is not None
    return Fraction(result.incumbent_ticks) / Fraction(result.rounding.ticks_per_unit)


def _bound(result: Result) -> Bound:
    """Return the dual bound; every run has one from its first moment on."""
    assert result.dual_ticks is not None
    assert result.dual_bound is not None
    scale = Fraction(result.rounding.ticks_per_unit)
    return Bound(in_ticks=Fraction(result.dual_ticks) / scale, in_unit=result.dual_bound)
