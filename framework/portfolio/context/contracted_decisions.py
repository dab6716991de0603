"""Deciding thresholds on the instance contracted at that threshold, for any decision formulation.

Validity: the partitions of bottleneck at most T are those of the contracted instance, at the same costs
(`framework.structure.reduction.threshold_contraction`). So what refutes T there refutes it here, a partition found
there is lifted to one of the same bottleneck, and where the contraction finds a node that fits into no stage T is
refuted by minimum cuts alone. A dual bound of the contracted instance counts up to T + 1. Hard limits are contracted as
well.

With `fix`, what survives of ideals in place of minimum cuts says which nodes share a stage, and which come first
(`framework.structure.filtering.rounds`). The best partition of bottleneck at most T is kept if there is one: all that
is said above holds. That takes longer, and leaves far fewer nodes where the ideals of a core bound the problem well.

A certificate proves something about the instance it was made for, and nobody has kept the contracted one: the answer
comes without it, and it is left to whoever can say how that instance came to be (`shown`). Where nothing is contracted,
which is the rule, the formulation sees the problem itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from framework.bounds import Certificate, Soundness
from framework.contracts import (
    Context,
    Decision,
    DecisionFormulation,
    Formulation,
    Refuted,
    Satisfied,
    Strategy,
    run_and_report,
)
from framework.model.problem import Partition, Problem, bottleneck, project
from framework.portfolio.context.child import ChildContext
from framework.portfolio.context.delegating import DelegatingContext

if TYPE_CHECKING:
    from framework.structure.filtering.rounds import FixedProblems
    from framework.structure.filtering.tuning import FilterTuning
    from framework.structure.reduction.threshold_contraction import ContractedProblems

SHARE = 0.1
"""Part of a decision's time that the contraction may take; the problem is left as it is beyond."""


class ContractedDecisions:
    """Decides thresholds of one problem with one formulation.

    Parameters
    ----------
    contract
        Whether to contract at all.
    fix
        How to contract what survivors say, in place of what cuts say; None to contract what cuts say.

    Attributes
    ----------
    contracted
        How many decisions were made on fewer nodes.
    shown
        The certificate of the latest refutation on fewer nodes, which speaks of these; None without one.
    """

    def __init__(
        self, decider: DecisionFormulation, problem: Problem, *, contract: bool = True, fix: FilterTuning | None = None
    ) -> None:
        self._decider, self._problem, self._contract, self._fix = decider, problem, contract or fix is not None, fix
        self._contracted: ContractedProblems | None = None
        self._fixed: FixedProblems | None = None
        self.contracted = 0
        self.shown: Certificate | None = None

    def decide(self, threshold: int, context: Context) -> Decision:
        """Decide a threshold (ticks)."""
        self.shown = None
        if not self._contract or threshold < 0:
            return self._decider.decide(self._problem, threshold, context)
        problem = self._at(threshold, context)
        if problem is None:
            return Refuted(soundness=Soundness.EXACT)
        if problem is self._problem:
            return self._decider.decide(problem, threshold, context)
        self.contracted += 1
        answer = self._decider.decide(problem, threshold, _ContractedContext(context, problem, threshold))
        if isinstance(answer, Satisfied):
            return Satisfied(partition=_lift(answer.partition, problem))
        if isinstance(answer, Refuted):
            self.shown = answer.certificate
            return replace(answer, certificate=None)
        return answer

    def fix(self, threshold: int, level: int, context: Context) -> bool:
        """Fix what can be at a threshold (ticks), with larger cores on higher levels; return whether it is refuted.

        Nothing without `fix`.
        """
        if self._fix is None or threshold < 0:
            return False
        if self._fixed is None:
            from framework.structure.filtering.rounds import FixedProblems

            self._fixed = FixedProblems(self._problem, self._fix)
        return self._fixed.fix(threshold, level, context.should_stop)

    def improve(self, entries: Sequence[Formulation | Strategy], threshold: int, context: Context) -> None:
        """Let entries look for partitions of what is left at a threshold, each from the best one so far there.

        Nothing where nothing is contracted: that is what they do anyway.
        """
        left = self._at(threshold, context)
        if left is None or left is self._problem:
            return
        # Windows are for decisions; the optimum is looked for here.
        problem = left.on(left.instance)
        inner = _ContractedContext(context, problem, threshold)
        for entry in entries:
            run_and_report(entry, problem, inner)

    def rounds(self, threshold: int) -> tuple[list[int], ...]:
        """Return how a checker comes to what is left at a threshold."""
        return () if self._fixed is None else self._fixed.rounds(threshold)

    def left(self, threshold: int) -> Problem | None:
        """Return what is left at a threshold that was fixed; None if nothing is."""
        return self._problem if self._fixed is None else self._fixed.at(threshold)

    def choices(self, threshold: int) -> int:
        """Return how many stages further than the first one nodes may be at a threshold that was fixed, in all."""
        return 0 if self._fixed is None else self._fixed.choices(threshold)

    def _at(self, threshold: int, context: Context) -> Problem | None:
        if self._fix is not None:
            return self._problem if self._fixed is None else self._fixed.at(threshold)
        if self._contracted is None:
            from framework.structure.reduction.threshold_contraction import ContractedProblems

            self._contracted = ContractedProblems(self._problem)
        return self._contracted.at(threshold, ChildContext(context, SHARE * context.remaining()).should_stop)


class _ContractedContext(DelegatingContext):
    """The context of a decision on a contracted problem: partitions and bounds are translated."""

    __slots__ = ("_best", "_problem", "_threshold")

    def __init__(self, parent: Context, problem: Problem, threshold: int) -> None:
        super().__init__(parent)
        self._problem, self._threshold = problem, threshold
        self._best: tuple[int, Partition] | None = None

    def best_partition(self) -> Partition | None:
        """Return the parent's best partition if it is one of what is left, else the best one reported here."""
        known = self.parent.best_partition()
        best = None if known is None else project(known, self._problem.instance)
        if best is None and self._best is not None:
            return self._best[1]
        return best

    def report_dual(self, value: int, soundness: Soundness, certificate: Certificate | None = None) -> None:
        """Report what a bound of the contracted problem says of the given one: at most T + 1.

        That is what the decision says in the end, perhaps with a certificate: it is left to whoever asked for it.
        """
        if value <= self._threshold:
            self.parent.report_dual(value, soundness)

    def report_partition(self, partition: Partition) -> None:
        """Keep a partition, and report it for the given problem if it is the best one known."""
        value = bottleneck(self._problem, partition)
        if self._best is None or value < self._best[0]:
            self._best = value, partition
        if self.incumbent is None or value < self.incumbent:
            self.parent.report_partition(_lift(partition, self._problem))


def _lift(partition: Partition, problem: Problem) -> Partition:
    from framework.structure.reduction.contraction import lift

    return lift(partition, problem.instance)
