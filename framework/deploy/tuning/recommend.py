"""`recommend`: how the bottleneck falls with the number of stages, where that stops paying, whether to optimise on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from framework.portfolio.result import Result
from framework.shown import Shown
from framework.wording import counted

NEARLY = 0.95
"""The knee reaches this share of the best speed-up in the table."""

WORTHWHILE = 0.01
"""A gap up to this is not worth more optimisation: costs are not known as well as that."""


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
    """

    stages: int
    bottleneck: float
    bound: float
    speedup: float
    most: float
    gap: float
    status: str
    used: int

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
                }
                for c in self.choices
            ],
            "left_out": [{"stages": k, "why": why} for k, why in sorted(self.left_out.items())],
        }


def recommend(results: Sequence[Result], single: Result, left_out: Mapping[int, str] | None = None) -> Recommendation:
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
    """
    ordered = sorted(results, key=lambda result: result.stages)
    values = [_both(result) for result in ordered]
    best = [min(values[: i + 1], key=lambda pair: pair[1])[1] for i in range(len(values))]
    bounds = [max(values[i:], key=lambda pair: pair[0])[0] for i in range(len(values))]
    base = _both(single)[1]
    choices = []
    for i, result in enumerate(ordered):
        donor = next(other for other, (_, value) in zip(ordered, values, strict=True) if value == best[i])
        top, low = donor.incumbent or 0.0, result.dual_in_units(bounds[i]) or 0.0
        choices.append(
            Choice(
                stages=result.stages,
                bottleneck=top,
                bound=low,
                speedup=base / best[i] if best[i] else 1.0,
                most=base / bounds[i] if bounds[i] else 1.0,
                gap=max(0.0, 1 - bounds[i] / best[i]) if best[i] else 0.0,
                status="optimal" if bounds[i] >= best[i] else result.status,
                used=len(set(donor.stage_of or ())),
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


def _both(result: Result) -> tuple[int, int]:
    """Return dual bound and incumbent; every run has both from its first moment on."""
    assert result.dual_ticks is not None
    assert result.incumbent_ticks is not None
    return result.dual_ticks, result.incumbent_ticks
