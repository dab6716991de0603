"""`bisection`: bisects the bottleneck value with any decision formulation; the interval it reports is proven.

Validity: a refuted threshold T means that every partition costs at least T + 1, so [largest refuted T + 1, incumbent]
contains the optimum at every moment; a satisfied threshold comes with a partition. Undecided thresholds prove nothing:
they form a band, which later decisions with more time narrow from both ends. Source: bisection on the bottleneck is
standard. The exponential search upwards is this project's: refutations far below the optimum are cheap, and failed
decisions close to it are expensive.

The formulation decides T on the instance contracted at T (`framework.portfolio.context.contracted_decisions`). That
helps if transfers are expensive compared with the work of a stage: on inception_v2 with links of 1e8 bytes/s `cp-sat`
refutes .97 of the incumbent in 0.2 s for k = 4 and in 2.0 s for k = 8, and does not decide it in 10 s without
contraction (`scripts/benchmarks/methods/contraction.py`). On the reference device and on REGAL-like graphs almost
nothing is contracted.

Where it wins: it turns any decision formulation into an anytime bound. Over `spreading-metric` it has the best bounds
of all decompositions for two to eight stages on wide random graphs. Over `stage-cover` it is better than `lp` for eight
stages and more, but `stage-cover` by itself, `column-generation` and `lagrangian` reuse columns or multipliers from one
threshold to the next and have better bounds. Where not: a formulation that is slow near the optimum leaves a wide
undecided band (docs/measurements.md).

Hard limits are obeyed if the formulation obeys them; otherwise it gets the relaxation without limits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from framework.bounds import Certificate, DualBound, Incumbent, Limit, Outcome, Reason, Soundness, Termination
from framework.contracts import Context, Feature, Refuted, Satisfied
from framework.model.problem import Partition, Problem, bottleneck
from framework.portfolio.context.child import ChildContext
from framework.portfolio.context.contracted_decisions import ContractedDecisions
from framework.registry import DecisionName, register_strategy, registry
from framework.structure.primal.initial_interval import known_partition, simple_bound

NAME = "bisection"
AS_GOOD_AS_OPTIMAL = 9e-5
"""Distance from the incumbent of the highest threshold, as long as that is not proven."""
SMALLEST_STEP = 1e-3
"""Share of the way from the dual bound to the band below which climbing is given up until there is more time."""
TRIES_ABOVE = 2
"""Undecided thresholds above the band before the same is said of the other end."""


@register_strategy(
    NAME,
    features=[Feature.DUAL, Feature.PRIMAL, Feature.ANYTIME, Feature.WARM_START, Feature.LIMITS],
    summary="Bisection on the bottleneck, with any formulation that decides thresholds",
    reference="this project",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class Bisection:
    """Decide thresholds between the two ends of the shared interval until they meet.

    Attributes
    ----------
    over
        Spec of the decision formulation, in brackets if it has parameters: ``bisection:over=[cp-sat:unit=1]``.
    first_seconds
        Time limit of the first decisions; doubled each time all open thresholds have been tried.
    max_rounds
        Give up after this many doublings without any decision.
    contract
        Whether nodes that share a stage in every partition within the threshold are one node for the formulation.
    """

    over: DecisionName = "cp-sat"
    first_seconds: float = 0.5
    max_rounds: int = 12
    contract: bool = True

    def __post_init__(self) -> None:
        if self.first_seconds <= 0:
            raise ValueError("first_seconds must be positive")
        if self.max_rounds < 1:
            raise ValueError("max_rounds must be at least 1")

    def run(self, problem: Problem, context: Context) -> Outcome:
        """Narrow the interval until it closes or the context says stop."""
        decider = registry.create_decision(self.over)
        posed = registry.problem_for(decider, problem)
        search = ThresholdSearch(posed, context, ContractedDecisions(decider, posed, contract=self.contract))
        limit = self.first_seconds
        rounds = 0
        while rounds < self.max_rounds and not search.over():
            progress = search.sweep(limit)
            if not progress:
                limit *= 2
                rounds += 1
        return search.outcome(NAME, self.over)


@dataclass(slots=True)
class ThresholdSearch:
    """The state of a search by thresholds: the interval, and what this run has added to it.

    Attributes
    ----------
    dual, value
        The ends of the interval, in ticks; `proven` is the dual bound of this run, at `soundness`.
    band
        Thresholds that stayed undecided since the interval last moved.
    """

    problem: Problem
    context: Context
    decisions: ContractedDecisions
    dual: int = 0
    proven: int = 0
    soundness: Soundness = Soundness.EXACT
    value: int = 0
    partition: Partition = field(init=False)
    band: list[int] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: {"refuted": 0, "satisfied": 0, "undecided": 0})
    stuck_because: str = ""

    def __post_init__(self) -> None:
        self.dual = self.proven = simple_bound(self.problem)
        self.partition, self.value = known_partition(self.problem, self.context.best_partition())

    def over(self) -> bool:
        """Take over what others found; whether nothing is left to do."""
        self.dual = max(self.dual, self.context.dual or 0)
        if self.context.incumbent is not None and self.context.incumbent < self.value:
            other = self.context.best_partition()
            if other is not None and (value := bottleneck(self.problem, other)) < self.value:
                self.partition, self.value = other, value
        return self.dual >= self.value or self.context.should_stop()

    def sweep(self, seconds: float) -> bool:
        """Decide thresholds with one time limit until both ends are stuck; return whether any was decided."""
        self.band = []
        progress = False
        step, failures_above = 1.0, 0
        while not self.over() and (threshold := self._next(step, failures_above)) is not None:
            above = bool(self.band) and threshold > max(self.band)
            decided = self.decide(threshold, seconds)
            progress |= decided is not None
            if decided is None and above:
                failures_above += 1
            elif decided is None:
                step /= 4
            elif decided is False:
                step = min(1.0, 2 * step)
            self.band = [undecided for undecided in self.band if self.dual <= undecided < self.value]
        return progress

    def highest(self) -> int:
        """Return the highest threshold worth deciding: what refutes it proves the incumbent as good as optimal."""
        high = int(self.value * (1 - AS_GOOD_AS_OPTIMAL))
        return high if high >= self.dual else self.value - 1

    def raise_dual(self, dual: int, soundness: Soundness, certificate: Certificate | None = None) -> None:
        """Take over and report a dual bound of its own."""
        self.dual = self.proven = dual
        self.soundness = soundness
        self.context.report_dual(dual, soundness, certificate)

    def _next(self, step: float, failures_above: int) -> int | None:
        """Choose a threshold between dual bound and incumbent but outside the undecided band; None if stuck."""
        low, high = self.dual, self.highest()
        if not self.band:
            # The incumbent is optimal more often than not: one refutation right below it ends everything.
            untried = not any(self.counts.values())
            return high if untried else low + (high - low) // 2
        ceiling, floor = min(self.band), max(self.band)
        if low < ceiling and step >= SMALLEST_STEP:
            return low + int(step * (ceiling - low) / 2)
        if floor < high and failures_above < TRIES_ABOVE:
            return floor + 1 + (high - floor - 1) // 2
        return None

    def decide(self, threshold: int, seconds: float) -> bool | None:
        """Return True if satisfied, False if refuted, None if undecided."""

        def pointless() -> bool:
            dual, incumbent = self.context.dual, self.context.incumbent
            return (dual is not None and dual > threshold) or (incumbent is not None and incumbent <= threshold)

        child = ChildContext(self.context, seconds, pointless)
        answer = self.decisions.decide(threshold, child)
        if isinstance(answer, Refuted):
            self.counts["refuted"] += 1
            self.raise_dual(threshold + 1, answer.soundness, answer.certificate)
            return False
        if isinstance(answer, Satisfied):
            self.counts["satisfied"] += 1
            self.partition, self.value = answer.partition, bottleneck(self.problem, answer.partition)
            self.context.report_partition(answer.partition)
            return True
        self.counts["undecided"] += 1
        self.stuck_because = answer.reason
        self.band.append(threshold)
        return None

    def _incumbent(self, name: str) -> Incumbent | None:
        """The best partition; None where none is known that obeys a hard limit."""
        if self.value > self.problem.instance.largest_cost:
            return None
        return Incumbent(value=self.value, partition=self.partition, source=name)

    def outcome(self, name: str, over: str) -> Outcome:
        """Say what is proven and why it ended."""
        details: dict[str, Any] = {"over": over, **self.counts, "contracted": self.decisions.contracted}
        if self.band and self.dual < self.value:
            details["undecided_band"] = [min(self.band), max(self.band)]
        if self.dual >= self.value:
            termination = Termination(reason=Reason.OPTIMAL)
        elif self.context.should_stop():
            termination = Termination(reason=Reason.LIMIT, limit=Limit.TIME)
        else:
            detail = f"{over} decides nothing more: {self.stuck_because}"
            termination = Termination(reason=Reason.LIMIT, limit=Limit.ITERATIONS, detail=detail)
        return Outcome(
            dual=DualBound(value=self.proven, source=name, soundness=self.soundness),
            incumbent=self._incumbent(name),
            termination=termination,
            details=details,
        )
