"""`fixing`: cost-based filtering at a threshold, then an exact or corridor search of the filtered instance.

Validity: `framework.structure.filtering.bidirectional` proves that the filtered instance keeps an optimal partition if
the optimum is at most T. So if filtering leaves no state, or T is refuted on the filtered instance, every partition
costs at least T + 1. Every partition of the filtered instance is one of the problem, at the same cost. So
[largest refuted T + 1, incumbent] contains the optimum at every moment. Where stages run on different devices, branches
are not exchanged, and all else holds in the prices of each stage's own device.

Search: the first threshold is just below the incumbent. The instance filtered there is the start for all lower
thresholds, and contains an optimal partition if a better one than the incumbent exists. So `slice-graph` and `weave`
search it first: for `jamba` and eight stages they find a partition .27% better in a second, and none on the graph
itself (`scripts/benchmarks/methods/left.py`). If they find none, the filtered instance with its stage windows is
decided: first by `lp`, for a part of the time, as its branch and bound leaves a certificate, then by the decision
formulation `over`. The checker of proofs follows the filtering, and then that certificate. Then the interval is
bisected by filtering alone, and thresholds between the dual bound and the lowest undecided one are decided in the same
way. Each sweep gives decisions twice the time of the one before.

Where it wins: graphs on which bounds of cores are good but leave a gap. Just below the best partition of `raft_large`
into eight stages, filtering alone refutes the threshold in a second. Of the 573 nodes of `bart` for four stages 91 are
left, on which `cp-sat` refutes in 0.2 s a threshold that it does not decide on the graph itself
(`scripts/benchmarks/methods/fixing.py`). Where not: many stages, or graphs on which filtering removes little.

Source: this project.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from framework.bounds import Certificate, Outcome, Soundness
from framework.contracts import (
    Context,
    Decision,
    DecisionFormulation,
    Feature,
    Formulation,
    Refuted,
    Satisfied,
    Strategy,
    Undecided,
)
from framework.model.instance import instance_from_lists
from framework.model.problem import Problem
from framework.portfolio.context.child import ChildContext
from framework.portfolio.context.contracted_decisions import ContractedDecisions
from framework.portfolio.context.destructive_bound import DestructiveBound
from framework.portfolio.context.step_rules import Band, SectionSteps, highest_worth_deciding
from framework.registry import TUNED, DecisionName, register_strategy, registry
from framework.structure.filtering.tuning import DEFAULT, FilterTuning
from strategies.bisection import ThresholdSearch

NAME = "fixing"
SHARE = 0.5
"""Part of the time left that fixing may take at one threshold."""
POLISHING = ("slice-graph", "weave:patience=90")
"""What looks for better partitions of what is left below the incumbent."""
POLISH, WORTH_MORE = 0.2, 1e-4
"""Part of the time left that it may take, and the improvement for which it looks again."""
TIMES_AT_THE_TOP = 4
"""Times that a decision right below the incumbent may take that of others: it is optimal often enough."""
FURTHER = 4
"""Growth of the distance from the incumbent after each one that is better."""
PART, MOST_CHOICES = 0.65, 4_500
"""Part of the time left that such a decision may take, and the most choices that may be left for any."""
HALVINGS = 5
"""Halvings of the interval with what fixing alone refutes."""
FIRST_STEP, SMALLEST_STEP = 0.5, 0.25
"""Parts of the way from the dual bound to the lowest undecided threshold: where the next one is tried, at least."""
NARROW = 1 / 16
"""Part of the interval below the lowest undecided threshold with which a sweep ends."""
CHECKABLE = "lp:leaves=400,max_size=100000"
"""What is asked first about what is left: what it refutes can be checked."""
CHECKABLE_PART = 0.25
"""Part of a decision's time that it may take."""
MOST_IDEALS = 100_000
"""Ideals of what is left, at most, for a checker to refute it where a solver did."""
SWEEPS_A_LEVEL = 2
"""Sweeps after which cores grow."""


@register_strategy(
    NAME,
    features=[Feature.DUAL, Feature.PRIMAL, Feature.ANYTIME, Feature.WARM_START, Feature.SHARED, Feature.UNEQUAL],
    summary="At a threshold, removes stages from the domain of each node; another formulation decides the rest",
    reference="this project",
    compiled_after="core-fluid",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class Fixing:
    """Narrow the shared interval with cores and a decision formulation.

    Attributes
    ----------
    over
        Spec of the decision formulation, in brackets if it has parameters.
    polish
        Whether what is left below the incumbent is searched for better partitions before it is decided.
    first_seconds
        Time limit of the first decisions; doubled from sweep to sweep.
    max_sweeps
        Give up after so many.
    tuning
        Which cores are read.
    """

    over: DecisionName = "cp-sat:linearization=0+2"
    polish: bool = True
    first_seconds: float = 1.0
    max_sweeps: int = 12
    tuning: FilterTuning = field(default=DEFAULT, metadata=TUNED)

    def __post_init__(self) -> None:
        if self.first_seconds <= 0:
            raise ValueError("first_seconds must be positive")
        if self.max_sweeps < 1:
            raise ValueError("max_sweeps must be at least 1")

    def check(self, problem: Problem, certificate: Certificate) -> int:
        """Let the checker of proofs read all cores again, and follow what they show."""
        from framework.portfolio.logs.write import steps_of
        from framework.proof.check import proven_by
        from framework.proof.log import check_version
        from framework.proof.problem import plain_problem

        check_version(NAME, certificate.data.get("version"))
        kinds = set(certificate.data) - {"version", "threshold", "rounds", "node_of"}
        certificate.whole_data("version", "threshold", "rounds", *(["node_of", *kinds] if kinds else []))
        steps = steps_of(certificate, np.arange(problem.instance.n))
        if steps is None:
            raise ValueError("nothing checks what refuted the rest")
        return proven_by(plain_problem(problem.instance, problem.stages), steps)

    def examples(self) -> tuple[Problem, ...]:
        """Three branches that can be exchanged."""
        branches = [(0, 2, [1, 2, 3]), *((v, 1, [4]) for v in (1, 2, 3))]
        return (Problem(instance=instance_from_lists([6, 4, 4, 4, 5], branches), stages=3),)

    def run(self, problem: Problem, context: Context) -> Outcome:
        """Narrow the interval until it closes or the context says stop."""
        decider = _InTurn(registry.create_decision(CHECKABLE), registry.create_decision(self.over))
        decisions = ContractedDecisions(decider, problem, fix=self.tuning)
        polish = [registry.create(spec) for spec in POLISHING] if self.polish else []
        search = _Search(problem, context, decisions, polish)
        for sweep in range(self.max_sweeps):
            if search.over:
                break
            search.level = sweep // SWEEPS_A_LEVEL
            search.narrow(self.first_seconds * 2**sweep)
        return search.outcome(self.over)


@dataclass(frozen=True, slots=True)
class _InTurn:
    """Asks one decision formulation, for a part of the time, then another one; on different devices only this one."""

    first: DecisionFormulation
    then: DecisionFormulation

    def decide(self, problem: Problem, threshold: int, context: Context) -> Decision:
        """Decide a threshold (ticks)."""
        instance = problem.instance
        if instance.unequal is None and instance.stage_limit is None and not len(instance.working_cost):
            part = ChildContext(context, CHECKABLE_PART * context.remaining())
            answer = self.first.decide(problem, threshold, part)
            if not isinstance(answer, Undecided):
                return answer
        return self.then.decide(problem, threshold, context)


class _Search(ThresholdSearch):
    """The interval, how large cores may be, and what looks for partitions."""

    def __init__(
        self,
        problem: Problem,
        context: Context,
        decisions: ContractedDecisions,
        polish: Sequence[Formulation | Strategy],
    ) -> None:
        super().__init__(NAME, problem, context, decisions)
        self.level, self._polish = 0, polish

    def narrow(self, seconds: float) -> None:
        """Decide the highest threshold, raise the bound towards it, then decide what lies between; one time limit."""
        self.band = Band()
        self._decide_highest(seconds)
        self._raise()
        step = FIRST_STEP
        while not self.over and step >= SMALLEST_STEP:
            span = self.span()
            self.band.prune(span)
            ceiling = self.band.lowest if self.band else highest_worth_deciding(span)
            if self.band and ceiling - span.lower <= NARROW * (span.value - span.lower):
                break
            threshold = span.lower + int(step * (ceiling - span.lower))
            self._fix(threshold)
            if self.decisions.choices(threshold) > MOST_CHOICES:
                answer: Decision = Undecided(reason="more choices are left than can be searched")
                self.take(threshold, answer)
            else:
                answer = self._settle(threshold, seconds)
            if isinstance(answer, Satisfied):
                self._decide_highest(seconds)
            if isinstance(answer, Undecided):
                step /= 2
            else:
                # Above a refuted threshold, with nothing known to be hard there, the highest is tried again.
                step = FIRST_STEP if self.band or isinstance(answer, Satisfied) else 1.0

    def _settle(self, threshold: int, seconds: float) -> Decision:
        """Decide what is left at a threshold, and take the answer."""
        answer = self.decide(threshold, seconds)
        if isinstance(answer, Refuted):
            answer = replace(answer, certificate=answer.certificate or self._certificate(threshold))
        self.take(threshold, answer)
        return answer

    def _decide_highest(self, seconds: float) -> None:
        """Decide right below the incumbent; after each better one, further and further below, as far as it goes."""
        step, polish = 1, True
        while not self.over:
            before, high = self.value, highest_worth_deciding(self.span())
            threshold = max(self.lower, before - step * (before - high))
            self._fix(threshold)
            if polish:
                improved = self._improves(threshold)
                polish = self.value < (1 - WORTH_MORE) * before
                if improved:
                    step = 1
                    continue
            if self.decisions.choices(threshold) > MOST_CHOICES:
                break
            limit = min(TIMES_AT_THE_TOP * seconds, PART * self.context.remaining())
            if isinstance(self._settle(threshold, limit), Satisfied):
                step *= FURTHER
            elif threshold == high:
                break
            else:
                step = 1

    def _improves(self, threshold: int) -> bool:
        """Whether what is left at a threshold shows a better partition to what looks for them."""
        before = self.value
        self.decisions.improve(self._polish, threshold, ChildContext(self.context, POLISH * self.context.remaining()))
        return self.value < before

    def _raise(self) -> None:
        """Bisect with what fixing alone refutes."""
        span = self.span()
        self.band.prune(span)
        high = self.band.lowest if self.band else highest_worth_deciding(span)
        alone = DestructiveBound(self.name, self.problem, self.context)
        steps = SectionSteps(part=2, least=(high - span.lower) >> HALVINGS)
        alone.run(self._refute_by_fixing, steps, ceiling=high)
        if alone.best is not None:
            self.record(alone.best.value, alone.best.soundness, alone.best.certificate)

    def _refute_by_fixing(self, threshold: int) -> Refuted | Undecided:
        if self._fix(threshold):
            return Refuted(soundness=Soundness.EXACT, certificate=self._certificate(threshold))
        return Undecided(reason="something is left", above=True)

    def _certificate(self, threshold: int) -> Certificate | None:
        """Return how a checker refutes a threshold that was refuted.

        Nothing is left, or the decision formulation shows what refutes the rest, or that has few ideals.
        """
        from framework.proof.log import CHANGED
        from framework.structure.ideals.lattice import count_ideals

        instance = self.problem.instance
        if instance.stage_limit is not None or len(instance.working_cost):
            return None
        left, shown = self.decisions.left(threshold), self.decisions.shown
        data = {"version": CHANGED[NAME], "threshold": threshold, "rounds": list(self.decisions.rounds(threshold))}
        if left is not None and shown is not None:
            data |= {"version": CHANGED["filter"], "node_of": left.instance.node_of_input.tolist()}
            data[shown.kind] = dict(shown.data)
        elif left is not None and not count_ideals(left.instance, max_ideals=MOST_IDEALS)[1]:
            return None
        return Certificate(kind=NAME, data=data, instance=instance.sha256())

    def _fix(self, threshold: int) -> bool:
        """Fix what can be in a share of the time left; return whether that refutes the threshold."""
        return self.decisions.fix(threshold, self.level, ChildContext(self.context, SHARE * self.context.remaining()))
