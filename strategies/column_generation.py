"""`column-generation`: refutes thresholds by node prices, and builds partitions from the stages that were priced.

Validity: the formulation that it drives (`stage-cover`) refutes thresholds by its own proofs, which hold for any
prices; a refuted T means that the optimum is at least T + 1. If at most k columns, taken fractionally, cover all nodes,
no higher threshold can be refuted by prices. Then a set-partitioning program over the columns searches for a partition
below the incumbent; every partition found is priced by the evaluator.

Where it wins: on wide random graphs its bounds are better than those of `simple` for every number of stages, and better
than those of `lp` from four stages on (docs/measurements.md). The bound of `stage-cover` alone rises faster, since all
its time goes into proofs; column generation also improves the incumbent.

Source: Dantzig and Wolfe, 1960; Farley, 1990; the thresholds: this project.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from framework.bounds import DualBound, Incumbent, Limit, Outcome, Reason, Soundness, Termination
from framework.contracts import ColumnFormulation, Context, Feature, Refuted
from framework.errors import OutOfTimeError, UserError
from framework.model.problem import Problem, bottleneck
from framework.portfolio.context.destructive_bound import EffortSteps
from framework.registry import ColumnName, register_strategy, registry
from framework.structure.primal.initial_interval import balanced_partition, simple_bound

if TYPE_CHECKING:
    from framework.contracts import Columns

NAME = "column-generation"
FIRST_STEP, SMALLEST_STEP = 1 / 4, 1 / 32
"""Shares of the interval between thresholds; below the smallest, more effort buys more than another step."""
ASSEMBLY_SHARE = 0.1
"""Share of the time left that one set partitioning may take."""
LONGEST_ASSEMBLY = 10.0


@register_strategy(
    NAME,
    features=[Feature.DUAL, Feature.PRIMAL, Feature.ANYTIME, Feature.WARM_START],
    summary="Column generation at rising thresholds: dual prices refute, set partitioning finds partitions",
    reference="Dantzig and Wolfe, 1960; Farley, 1990",
    purpose="bounds for many stages by columns: 0.707 of the best partition at k = 32, where `lp` reaches 0.244",
    compiled_after="stage-cover",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnGeneration:
    """Climb with a formulation that generates columns, and put partitions together from them.

    Attributes
    ----------
    over
        Spec of that formulation, in brackets if it has parameters.
    first_effort
        Effort of the first attempts, in the units of the formulation (for `stage-cover`: vertices).
    max_effort
        Effort of the last attempts; multiplied by four up to there.
    """

    over: ColumnName = "stage-cover"
    first_effort: int = 8_000
    max_effort: int = 8_000_000

    def __post_init__(self) -> None:
        if not 1 <= self.first_effort <= self.max_effort:
            raise ValueError("first_effort must be at least 1 and at most max_effort")

    def run(self, problem: Problem, context: Context) -> Outcome:
        """Narrow the interval until nothing more can be refuted."""
        formulation = registry.create(self.over)
        if not isinstance(formulation, ColumnFormulation):
            raise UserError(f"{self.over} generates no columns", where=NAME, mend="choose over=stage-cover")
        search = _Search(problem, context)
        try:
            columns = formulation.cover(problem, context)
            if columns is None:
                detail = f"{self.over} takes no problem of {problem.instance.n} nodes"
                return search.outcome(Termination(reason=Reason.LIMIT, limit=Limit.SIZE, detail=detail))
            return search.outcome(self._climb(search, columns))
        except OutOfTimeError:
            return search.outcome(Termination(reason=Reason.LIMIT, limit=Limit.TIME))

    def _climb(self, search: _Search, columns: Columns) -> Termination:
        steps = EffortSteps(
            step=FIRST_STEP,
            smallest=SMALLEST_STEP,
            restart=4 * SMALLEST_STEP,
            effort=self.first_effort,
            most=self.max_effort,
        )
        columns.add(search.partition)
        while True:
            if search.lower >= search.upper:
                return Termination(reason=Reason.OPTIMAL)
            if search.context.should_stop():
                raise OutOfTimeError("stopped between thresholds")
            top = min(search.upper, columns.covered)
            if search.lower >= top:
                search.assemble(columns, search.upper - 1)
                return Termination(reason=Reason.FINISHED, detail="the columns hold all nodes at the next threshold")
            threshold, effort = steps.threshold(search.lower, top), steps.effort
            decision = columns.refute(threshold, effort=effort)
            if isinstance(decision, Refuted):
                search.refuted(threshold, decision)
            elif columns.covered == threshold:
                search.assemble(columns, search.upper - 1)
            elif not steps.after_failure(threshold == search.lower):
                return Termination(reason=Reason.LIMIT, limit=Limit.ITERATIONS, detail=decision.reason)
            elif steps.effort > effort:
                search.assemble(columns, search.upper - 1)


class _Search:
    """The interval of the run, and what of it was proven here."""

    def __init__(self, problem: Problem, context: Context) -> None:
        self.problem, self.context = problem, context
        self.partition = context.best_partition() or balanced_partition(problem)
        self.value = bottleneck(problem, self.partition)
        self.dual = DualBound(value=simple_bound(problem), source=NAME, soundness=Soundness.EXACT)
        self.thresholds = self.assemblies = 0

    @property
    def lower(self) -> int:
        """Best dual bound known to anyone."""
        return max(self.dual.value, self.context.dual or 0)

    @property
    def upper(self) -> int:
        """Best incumbent known to anyone."""
        return min(self.value, self.context.incumbent or self.value)

    def refuted(self, threshold: int, decision: Refuted) -> None:
        """Take note of a refuted threshold."""
        self.thresholds += 1
        self.dual = DualBound(
            value=threshold + 1, source=NAME, soundness=decision.soundness, certificate=decision.certificate
        )
        self.context.report_dual(threshold + 1, decision.soundness, decision.certificate)

    def assemble(self, columns: Columns, threshold: int) -> None:
        """Look for a partition of known stages with a bottleneck of at most a threshold."""
        from framework.structure.models.set_partitioning import partition_of_stages

        best = self.context.best_partition()
        if best is not None:
            columns.add(best)
        self.assemblies += 1
        partition = partition_of_stages(
            self.problem,
            columns.stages(threshold),
            seconds=min(LONGEST_ASSEMBLY, ASSEMBLY_SHARE * self.context.remaining()),
            threads=self.context.threads,
            seed=self.context.seed,
            should_stop=self.context.should_stop,
        )
        if partition is None:
            return
        columns.add(partition)
        value = bottleneck(self.problem, partition)
        if value < self.value:
            self.value, self.partition = value, partition
            self.context.report_partition(partition)

    def outcome(self, termination: Termination) -> Outcome:
        """Say what is proven and why it ended."""
        return Outcome(
            dual=self.dual,
            incumbent=Incumbent(value=self.value, partition=self.partition, source=NAME),
            termination=termination,
            details={"thresholds": self.thresholds, "assemblies": self.assemblies},
        )
