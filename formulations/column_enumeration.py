"""`column-enumeration`: decides T exactly by all stages that a partition within T can be made of, and exact cover.

Validity: let T be a threshold, pi >= 0 integers on the nodes, and theta such that pi(S) <= theta for every convex S
with f(S) <= T; that is proven by trees of minimum cuts in exact integers, as in `stage-cover`. In a partition into k
stages of cost at most T, empty ones included, every stage S is worth

    pi(S)  =  pi(V) - (sum of pi over the other k - 1 stages)  >=  pi(V) - (k - 1) theta  =:  L.

If L > 0, every stage is one of the convex S with f(S) <= T and pi(S) >= L, and none is empty. If not, a stage is empty
or one of all convex S with f(S) <= T, which are those worth at least 1 where each node is worth 1. The same trees find
all of these (`framework.structure.pricing.enumeration`), and a depth-first search tells whether k of them partition the
nodes in an order that keeps precedence (`framework.structure.covering.exact_cover`). If not, no partition is within T,
and the optimum is at least T + 1; otherwise the cover is a partition within T, which the evaluator prices. Overflow and
shared parameters are in f. The stages left out because two of their nodes share no stage at T, or because a net is
covered by no stage of theirs, are in no partition within T.

The prices are optimal dual prices of the covering program. Then pi(V) / theta is nearly the number of stages that a
fractional cover takes, and L is what that leaves over k - 1 stages: the better the covering bound, the fewer stages are
enumerated.

Source: Baldacci, Christofides and Mingozzi, 2008 (route enumeration); prices and trees: this project.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from framework.bounds import Limit, Outcome, Reason, Soundness, Termination
from framework.contracts import Context, Decision, Feature, Refuted, Satisfied, Undecided
from framework.errors import OutOfTimeError
from framework.model.pricing import price
from framework.model.problem import Problem, bottleneck
from framework.portfolio.context.destructive_bound import DestructiveBound
from framework.portfolio.context.latest import Latest
from framework.portfolio.context.step_rules import EffortSteps, Span
from framework.registry import register_formulation
from framework.structure.primal.initial_interval import balanced_partition, simple_bound
from framework.testbed.random_graphs import regal_graph

if TYPE_CHECKING:
    from framework.structure.covering.farley import StageCover

NAME = "column-enumeration"
ENUMERATION = 20
"""Vertices that the enumeration may have for each one of a proof: most have few free nodes, and take little time."""
_latest: Latest[StageCover] = Latest()


@register_formulation(
    NAME,
    features=[
        Feature.DUAL,
        Feature.PRIMAL,
        Feature.EXACT,
        Feature.DECISION,
        Feature.ANYTIME,
        Feature.WARM_START,
        Feature.SHARED,
    ],
    summary="All stages worth enough at optimal dual prices, and exact cover by k of them: exact for some 50 nodes",
    reference="Baldacci, Christofides and Mingozzi, 2008 (route enumeration)",
    compile_rank=3,
    compiled_after="stage-cover",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnEnumeration:
    """Decide thresholds, from right below the incumbent downwards, with more effort once all stay undecided.

    Attributes
    ----------
    first_effort
        Vertices of the search trees for the first attempts.
    max_effort
        Vertices for the last attempts; multiplied by four up to there.
    max_stages
        Stages that are enumerated at most.
    max_nodes
        Give up on larger instances.
    """

    first_effort: int = 50_000
    max_effort: int = 50_000_000
    max_stages: int = 50_000
    max_nodes: int = 200

    def __post_init__(self) -> None:
        if not 1 <= self.first_effort <= self.max_effort:
            raise ValueError("first_effort must be at least 1 and at most max_effort")
        if self.max_stages < 1:
            raise ValueError("max_stages must be at least 1")
        if self.max_nodes < 1:
            raise ValueError("max_nodes must be at least 1")

    def bound(self, problem: Problem, context: Context) -> Outcome:
        """Decide thresholds until both sides meet."""
        from framework.structure.covering.farley import StageCover, stages_of

        if problem.instance.n > self.max_nodes:
            return Outcome(termination=self._too_large(problem))
        search = DestructiveBound(NAME, problem, context)
        details: dict[str, Any] = {}
        try:
            cover = StageCover(problem, context.should_stop, ceiling=search.value)
            cover.take(stages_of(search.partition), _all_nodes(problem))
        except OutOfTimeError:
            termination = Termination(reason=Reason.LIMIT, limit=Limit.TIME)
        else:
            efforts = EffortSteps(step=1.0, smallest=1 / 4, restart=1.0, effort=self.first_effort, most=self.max_effort)
            termination = search.run(
                lambda threshold: self._decide(cover, threshold, efforts.effort, context, details), _Steps(efforts)
            )
            details["vertices"] = cover.vertices
        if search.closed:
            termination = Termination(reason=Reason.OPTIMAL)
        return Outcome(dual=search.proven, incumbent=search.incumbent(), termination=termination, details=details)

    def decide(self, problem: Problem, threshold: int, context: Context) -> Decision:
        """Decide a threshold (ticks)."""
        from framework.structure.covering.farley import StageCover

        if threshold < simple_bound(problem):
            return Refuted(soundness=Soundness.EXACT)
        start = balanced_partition(problem)
        if bottleneck(problem, start) <= threshold:
            return Satisfied(partition=start)
        if problem.instance.n > self.max_nodes:
            return Undecided(reason=self._too_large(problem).detail)
        key = problem.instance.sha256(), problem.useful_stages
        try:
            cover = _latest.get(key, lambda: StageCover(problem, context.should_stop))
            return self._decide(cover, threshold, self.max_effort, context, {})
        except OutOfTimeError:
            return Undecided(reason="out of time")

    def examples(self) -> tuple[Problem, ...]:
        """A random graph that prices alone do not close: its stages are enumerated and put together."""
        return (Problem(instance=price(regal_graph("ws", 18, 1)), stages=3),)

    def _decide(
        self, cover: StageCover, threshold: int, effort: int, context: Context, details: dict[str, Any]
    ) -> Decision:
        """Decide a threshold with about so many vertices; the latest number of stages goes into the details.

        Raises
        ------
        OutOfTimeError
            If the context says stop.
        """
        import numpy as np

        from framework.structure.covering.exact_cover import cover_exactly
        from framework.structure.covering.farley import CoverProof, Failure

        problem, stop = cover.problem, context.should_stop
        found = cover.refute(threshold, effort=effort, should_stop=stop)
        if isinstance(found, CoverProof):
            return Refuted(soundness=Soundness.EXACT)
        if found is Failure.EXHAUSTED or threshold >= cover.pricer.largest_cost:
            return Undecided(reason=found.value)
        converged = cover.converge(threshold, effort=effort, should_stop=stop)
        if converged is None:
            return Undecided(reason="optimal prices were not proven")
        prices, theta = converged
        least = sum(prices.tolist()) - (problem.useful_stages - 1) * theta
        if least <= 0:
            prices, theta, least = np.ones_like(prices), problem.instance.n, 1
        stages = cover.stages_worth(
            threshold, prices, least, effort=ENUMERATION * effort, max_stages=self.max_stages, should_stop=stop
        )
        if stages is None:
            return Undecided(reason="too many stages may be part of a partition")
        details["stages"] = len(stages)
        partition = cover_exactly(
            stages, prices, theta, count=problem.useful_stages, reach=cover.reach, should_stop=stop
        )
        return Refuted(soundness=Soundness.EXACT) if partition is None else Satisfied(partition=partition)

    def _too_large(self, problem: Problem) -> Termination:
        detail = f"{problem.instance.n} nodes, more than max_nodes = {self.max_nodes}"
        return Termination(reason=Reason.LIMIT, limit=Limit.SIZE, detail=detail)


class _Steps:
    """The highest threshold first, and half of the way once a partition was found: there may be far better ones."""

    def __init__(self, efforts: EffortSteps) -> None:
        self._efforts = efforts

    def next(self, span: Span) -> int | Termination:
        """Return the threshold at the share of the interval."""
        return self._efforts.next(span)

    def note(self, threshold: int, answer: Decision, span: Span) -> None:
        """Go half of the way after a partition, further after a refutation, less far or on with more effort else."""
        if isinstance(answer, Satisfied):
            self._efforts.step = min(self._efforts.step, 1 / 2)
        elif isinstance(answer, Refuted):
            self._efforts.step = min(1.0, 2 * self._efforts.step)
        else:
            self._efforts.note(threshold, answer, span)


def _all_nodes(problem: Problem) -> Any:
    import numpy as np

    return np.arange(problem.instance.n)
