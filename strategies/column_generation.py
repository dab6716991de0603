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

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from framework.bounds import Limit, Outcome, Reason, Termination
from framework.contracts import ColumnFormulation, Context, Decision, Feature, Undecided
from framework.errors import OutOfTimeError, UserError
from framework.model.problem import Problem, bottleneck
from framework.portfolio.context.destructive_bound import DestructiveBound
from framework.portfolio.context.step_rules import EffortSteps, Span
from framework.registry import ColumnName, register_strategy, registry

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
    features=[Feature.DUAL, Feature.PRIMAL, Feature.ANYTIME, Feature.WARM_START, Feature.SHARED],
    summary="Column generation at rising thresholds: dual prices refute, set partitioning finds partitions",
    reference="Dantzig and Wolfe, 1960; Farley, 1990",
    purpose="bounds for many stages by columns: 0.707 of the best partition at k = 32, where `lp` reaches 0.244",
    compiled_after="stage-cover",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnGeneration:
    """Raise the bound with a formulation that generates columns, and put partitions together from them.

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
            raise UserError(f"{self.over} generates no columns", where=NAME, hint="choose over=stage-cover")
        search = _Search(problem, context)
        try:
            columns = formulation.cover(problem, context)
        except OutOfTimeError:
            return search.outcome(Termination(reason=Reason.LIMIT, limit=Limit.TIME))
        if columns is None:
            detail = f"{self.over} takes no problem of {problem.instance.n} nodes"
            return search.outcome(Termination(reason=Reason.LIMIT, limit=Limit.SIZE, detail=detail))
        efforts = EffortSteps(
            step=FIRST_STEP,
            smallest=SMALLEST_STEP,
            restart=4 * SMALLEST_STEP,
            effort=self.first_effort,
            most=self.max_effort,
        )
        columns.add(search.partition)
        # What the columns cover is said by them, also of thresholds that were not tried.
        termination = search.run(
            lambda threshold: columns.refute(threshold, effort=efforts.effort), _Steps(search, columns, efforts)
        )
        return search.outcome(Termination(reason=Reason.OPTIMAL) if search.closed else termination)


class _Steps:
    """Raises effort as `EffortSteps` does, below what the columns cover, and has partitions assembled in between."""

    def __init__(self, search: _Search, columns: Columns, efforts: EffortSteps) -> None:
        self._search, self._columns, self._efforts = search, columns, efforts

    def next(self, span: Span) -> int | Termination:
        """Return the next threshold that the columns do not cover, if there is one."""
        top = min(span.value, self._columns.covered)
        if span.lower >= top:
            self._search.assemble(self._columns, span.value - 1)
            return Termination(reason=Reason.FINISHED, detail="the columns hold all nodes at the next threshold")
        return self._efforts.next(replace(span, ceiling=top))

    def note(self, threshold: int, answer: Decision, span: Span) -> None:
        """Assemble a partition once the columns cover a threshold, and before more effort is spent."""
        before = self._efforts.effort
        covered = self._columns.covered == threshold
        if not covered:
            self._efforts.note(threshold, answer, span)
        if isinstance(answer, Undecided) and (covered or self._efforts.effort > before):
            self._search.assemble(self._columns, span.value - 1)


class _Search(DestructiveBound):
    """The interval of the run, narrowed from both ends."""

    def __init__(self, problem: Problem, context: Context) -> None:
        super().__init__(NAME, problem, context)
        self.assemblies = 0

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
        if bottleneck(self.problem, partition) < self.value:
            self.offer(partition)

    def outcome(self, termination: Termination) -> Outcome:
        """Say what is proven and why it ended."""
        return Outcome(
            dual=self.proven,
            incumbent=self.incumbent(),
            termination=termination,
            details={"thresholds": self.refuted, "assemblies": self.assemblies},
        )
