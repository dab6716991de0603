"""How far splits are from the best possible: each is priced exactly and held against the bound that a run proves.

A split that costs c, where no partition costs less than the dual bound d, costs at most c / d times the optimum. This
holds whoever made the split, and whatever partition the run itself found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import inf, nextafter
from typing import Any

from framework.errors import UserError
from framework.layouts.read import Split
from framework.model.exact import exact_bottleneck, exact_stage_costs
from framework.model.graph import ModelGraph
from framework.model.pricing import quantise
from framework.model.problem import Partition, Problem, check_limit, stage_costs
from framework.portfolio.constraints import Constraints, constrain, on_instance
from framework.portfolio.records import StageCost
from framework.portfolio.result import Result
from framework.portfolio.settings import Session, Settings
from framework.portfolio.solve import solve
from framework.shown import Shown


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSplit:
    """A split and its price.

    Attributes
    ----------
    name
        What it is called.
    stage_of
        Stage of each node.
    stage_costs
        Of each stage, in the unit of the result, rounded up.
    bottleneck
        The largest of them.
    breaks
        Which constraint it breaks; empty where it obeys. The bound then says nothing of it.
    from_best
        The most that it can be above the best possible: 0.14 where it costs at most 1.14 times the optimum; None where
        no bound above 0 is proved, or it breaks a constraint.
    from_found
        How much it is above the best split that is known, 0 where it is that itself; None as `from_best`.
    """

    name: str
    stage_of: tuple[int, ...]
    stage_costs: tuple[StageCost, ...]
    bottleneck: float
    breaks: str = ""
    from_best: float | None = None
    from_found: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-compatible data."""
        return {
            "name": self.name,
            "bottleneck": self.bottleneck,
            "from_best": self.from_best,
            "from_found": self.from_found,
            "breaks": self.breaks or None,
            "stage_costs": [row.as_dict() for row in self.stage_costs],
            "stage_of": list(self.stage_of),
        }


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Judgement(Shown):
    """Splits into the same number of stages beside the proven bound.

    Attributes
    ----------
    result
        The run that proved the bound, with the best partition that it found.
    splits
        In the order given.
    """

    result: Result
    splits: tuple[JudgedSplit, ...]

    def __repr__(self) -> str:
        best = min((split.from_best for split in self.splits if split.from_best is not None), default=None)
        said = "-" if best is None else f"{100 * best:.3g}%"
        return f"<Judgement {self.result.graph.name}, k = {self.result.stages}: {len(self.splits)} splits, {said}>"

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-compatible data."""
        return {"splits": [split.as_dict() for split in self.splits], "result": self.result.as_dict()}


def judge(
    graph: ModelGraph,
    splits: Sequence[Split],
    *,
    settings: Settings,
    constraints: Constraints,
    session: Session | None = None,
) -> Judgement:
    """Price splits into the same number of stages, and prove a bound to hold them against.

    Raises
    ------
    UserError
        If a split is no pipeline: an edge goes back; and for all that `solve` refuses.
    """
    stages = splits[0].stages
    priced = [_priced(graph, split, settings, constraints) for split in splits]
    result = solve(graph, stages, settings=settings, constraints=constraints, session=session)
    known = [split.bottleneck for split in priced if not split.breaks]
    if result.incumbent is not None:
        known.append(result.incumbent)
    best = min(known, default=None)
    return Judgement(
        result=result,
        splits=tuple(_compared(split, result.dual_bound, best) for split in priced),
    )


def _priced(graph: ModelGraph, split: Split, settings: Settings, constraints: Constraints) -> JudgedSplit:
    _check_order(graph, split)
    streamed = constraints.memory_limit is None
    costs = exact_stage_costs(graph, settings.device, split.stage_of, split.stages, streamed=streamed)
    return JudgedSplit(
        name=split.name,
        stage_of=tuple(split.stage_of.tolist()),
        stage_costs=tuple(map(StageCost.of, costs)),
        bottleneck=exact_bottleneck(costs).rounded_up(),
        breaks=_broken(graph, split, settings, constraints),
    )


def _check_order(graph: ModelGraph, split: Split) -> None:
    """Refuse a split in which an edge goes back, by the names of its ends."""
    top, stage_of = graph.topology, split.stage_of
    for t, u in enumerate(top.producer.tolist()):
        for v in top.consumers[top.consumer_ptr[t] : top.consumer_ptr[t + 1]].tolist():
            if stage_of[v] < stage_of[u]:
                raise UserError(
                    f"this is no pipeline: {graph.node_names[v]!r} in stage {stage_of[v]} reads "
                    f"{graph.node_names[u]!r} of the later stage {stage_of[u]}",
                    where=split.name,
                    hint="every edge must go to the same or a later stage",
                )


def _broken(graph: ModelGraph, split: Split, settings: Settings, constraints: Constraints) -> str:
    """Say which constraint a split breaks; empty for none."""
    priced = quantise(graph, settings.device)
    instance = constrain(priced.instance, graph, constraints, split.stages, settings.device)
    problem = Problem(instance=instance, stages=split.stages)
    stage, apart = on_instance(problem, split.stage_of)
    if apart is not None:
        return f"{graph.node_names[apart]} is apart from a node that must share its stage, or not where it is pinned to"
    try:
        stage_costs(problem, Partition(stage_of=stage))
        check_limit(problem, Partition(stage_of=stage))
    except ValueError as error:
        return str(error)
    return ""


def _compared(split: JudgedSplit, dual: float | None, best: float | None) -> JudgedSplit:
    if split.breaks:
        return split
    return replace(
        split,
        from_best=_above(split.bottleneck, dual),
        from_found=_above(split.bottleneck, best),
    )


def _above(cost: float, least: float | None) -> float | None:
    """Return how much of it a cost is above another one, rounded up: ``cost <= (1 + above) * least``."""
    if least is None or (least <= 0 < cost):
        return None
    if cost <= least:
        return 0.0
    share = Fraction(cost) / Fraction(least) - 1
    number = float(share)
    while Fraction(number) < share:
        number = nextafter(number, inf)
    return number
