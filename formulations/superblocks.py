"""`superblocks`: bounds the slowest stage by an integer program over groups of consecutive stages (the paper's).

Validity: `framework.structure.models.superblocks`: any partition with bottleneck T is a point of the model of any
grouping, so its optimum is a dual bound, and where it has no solution T is refuted. With CP-SAT the model is coarsened
soundly and its word is that of a solver in exact integers; with HiGHS and SCIP bounds are discounted
(`framework.structure.solvers.mathopt`). Solutions become incumbents: as partitions where each group is one stage,
otherwise by slicing an order that keeps the groups. Source: Archer et al., ICML 2024; groups of any number and fixed T:
this project.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from framework.bounds import DualBound, Incumbent, Limit, Outcome, Reason, Soundness, Termination
from framework.contracts import Context, Decision, Feature, Refuted, Satisfied, Undecided
from framework.errors import OutOfTimeError
from framework.model.problem import Partition, Problem, bottleneck
from framework.portfolio.context.child import ChildContext
from framework.portfolio.context.latest import Latest
from framework.registry import register_formulation
from framework.structure.primal.initial_interval import balanced_partition, simple_bound

if TYPE_CHECKING:
    from framework.structure.models.superblocks import SuperblockParts
    from framework.structure.models.superblocks_layout import Layout
    from framework.structure.models.superblocks_solve import Answer, Effort

NAME = "superblocks"
Solver = Literal["highs", "scip", "cp-sat"]
_latest: Latest[SuperblockParts] = Latest()


@register_formulation(
    NAME,
    features=[Feature.DUAL, Feature.PRIMAL, Feature.DECISION, Feature.ANYTIME, Feature.WARM_START, Feature.SHARED],
    summary="Integer program over a few groups of consecutive stages: minimises the bottleneck T, or refutes a T",
    reference="Archer et al., ICML 2024; any groups and fixed T: this project",
    purpose="studying the paper's relaxation with other groups than its three blocks, or at a threshold",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class Superblocks:
    """The superblock relaxation.

    Attributes
    ----------
    groups
        Number of groups; as many as there are stages, or more, makes the model exact.
    solver
        What solves it; see `exact-mip` on HiGHS.
    windows
        Whether nodes are fixed where the incumbent, or the threshold, decides their group.
    layouts
        How many groupings to try: the even one first, then, for two or three groups, others from the middle outwards.
    max_size
        Give up on models with more matrix entries than about this.
    """

    groups: int = 2
    solver: Solver = "scip"
    windows: bool = True
    layouts: int = 1
    max_size: int = 5_000_000

    def __post_init__(self) -> None:
        if self.groups < 1 or self.layouts < 1:
            raise ValueError("groups and layouts must be at least 1")
        check_size(self.max_size)

    def bound(self, problem: Problem, context: Context) -> Outcome:
        """Minimise T for one grouping after the other."""
        search = SuperblockSearch(NAME, problem, context, self.solver, max_size=self.max_size)
        return search.minimise(self._layouts(problem.useful_stages), windows=self.windows)

    def decide(self, problem: Problem, threshold: int, context: Context) -> Decision:
        """Look for a grouping without a solution at the threshold (ticks)."""
        search = SuperblockSearch(NAME, problem, context, self.solver, max_size=self.max_size)
        return search.decide(self._layouts(problem.useful_stages), threshold, windows=self.windows)

    def _layouts(self, stages: int) -> Sequence[Layout]:
        from framework.structure.models.superblocks_layout import Layout, even_layout, guess_layout

        found = [even_layout(stages, self.groups)]
        outwards = sorted(range(stages), key=lambda j: (abs(2 * j - stages), j))
        if self.groups == 2:
            found += [Layout(sizes=(j, stages - j)) for j in outwards if j]
        elif self.groups == 3:
            found += [guess_layout(stages, j) for j in outwards]
        return list(dict.fromkeys(found))[: self.layouts]


class SuperblockSearch:
    """Asks one layout after the other; what it proves, finds and reports is in ticks.

    Parameters
    ----------
    name
        Registered name of the entry, the source of its bounds.
    assignment
        Whether models are written in assignment variables.
    """

    def __init__(
        self,
        name: str,
        problem: Problem,
        context: Context,
        solver: Solver,
        *,
        max_size: int,
        assignment: bool = False,
    ) -> None:
        self._name, self.problem, self.context = name, problem, context
        self._solver, self._max_size, self._assignment = solver, max_size, assignment
        self._claim = Soundness.SOLVER if solver == "cp-sat" else Soundness.TOLERANCE
        self.proven, self.soundness = simple_bound(problem), Soundness.EXACT
        self.partition = context.best_partition() or balanced_partition(problem)
        self.value = bottleneck(problem, self.partition)
        self.details: dict[str, Any] = {"models": 0}

    def minimise(self, layouts: Sequence[Layout], *, windows: bool) -> Outcome:
        """Minimise T for each layout; the best of their bounds holds, since each of them does."""
        from framework.structure.models.superblocks_solve import Question, ask

        missing = ""
        try:
            parts = self._prepare(layouts)
            pending = list(layouts)
            while pending:
                unfinished: list[Layout] = []
                for layout, context in self._turns(pending):
                    self._catch_up()
                    question = Question(
                        upper=self.value,
                        minimise=True,
                        lower=self.proven,
                        windows=parts.windows.at(self.problem.useful_stages, self.value) if windows else None,
                    )
                    answer = ask(
                        parts,
                        layout,
                        question,
                        solver=self._solver,
                        effort=effort_of(context),
                        assignment=self._assignment,
                        take=self._take,
                    )
                    self.details["models"] += 1
                    self._take(answer)
                    missing = _what_is_missing(answer)
                    if answer.solution.status == "stopped":
                        unfinished.append(layout)
                # What had too little time tries again with what the others left, and from their interval.
                pending = [] if self._over() else unfinished
        except OutOfTimeError:
            missing = "out of time while building"
        except _TooLargeError as error:
            return self._outcome(Termination(reason=Reason.LIMIT, limit=Limit.SIZE, detail=str(error)))
        return self._outcome(self._termination(missing))

    def decide(self, layouts: Sequence[Layout], threshold: int, *, windows: bool) -> Decision:
        """Refute a threshold with one of the layouts, or find a partition on the way."""
        from framework.structure.models.superblocks_solve import Question, ask, partition_of_groups

        if threshold < self.proven:
            return Refuted(soundness=Soundness.EXACT)
        reason = "the groups have a solution that slicing turns into no partition"
        try:
            parts = self._prepare(layouts)
            fixed = parts.windows.at(self.problem.useful_stages, threshold)
            if fixed is None:
                return Refuted(soundness=Soundness.EXACT)
            for layout, context in self._turns(layouts):
                question = Question(upper=threshold, minimise=False, windows=fixed if windows else None)
                answer = ask(
                    parts,
                    layout,
                    question,
                    solver=self._solver,
                    effort=effort_of(context),
                    assignment=self._assignment,
                )
                if answer.solution.status == "infeasible":
                    return Refuted(soundness=self._claim)
                if answer.groups is not None:
                    found = partition_of_groups(self.problem, answer.groups, upper=threshold + 1)
                    if found is not None:
                        return Satisfied(partition=found)
                else:
                    reason = _what_is_missing(answer)
        except OutOfTimeError:
            return Undecided(reason="out of time while building")
        except _TooLargeError as error:
            return Undecided(reason=str(error))
        return Undecided(reason="out of time" if self.context.should_stop() else reason)

    def _prepare(self, layouts: Sequence[Layout]) -> SuperblockParts:
        from framework.structure.models.superblocks import estimated_entries

        size = estimated_entries(self.problem.instance, max(len(layout.sizes) for layout in layouts))
        if size > self._max_size:
            raise _TooLargeError(f"about {size} matrix entries, more than max_size = {self._max_size}")
        return shared_parts(self.problem, self.context)

    def _turns(self, layouts: Sequence[Layout]) -> Iterator[tuple[Layout, Context]]:
        """Yield the layouts, each with an equal share of the time that is left."""
        for i, layout in enumerate(layouts):
            if self._over():
                return
            yield layout, ChildContext(self.context, self.context.remaining() / (len(layouts) - i))

    def _over(self) -> bool:
        return self.proven >= self.value or self.context.should_stop()

    def _catch_up(self) -> None:
        """Take over a better partition from anyone: the largest T of interest is its bottleneck."""
        if self.context.incumbent is not None and self.context.incumbent < self.value:
            other = self.context.best_partition()
            if other is not None and (value := bottleneck(self.problem, other)) < self.value:
                self.partition, self.value = other, value

    def _take(self, answer: Answer) -> None:
        from framework.structure.models.superblocks_solve import partition_of_groups

        bound = answer.solution.bound
        if bound is not None and bound > self.proven:
            self.proven, self.soundness = bound, self._claim
            self.context.report_dual(bound, self._claim)
        if answer.groups is not None:
            found = partition_of_groups(self.problem, answer.groups, upper=self.value)
            if found is not None:
                self._improve(found)

    def _improve(self, partition: Partition) -> None:
        self.partition, self.value = partition, bottleneck(self.problem, partition)
        self.context.report_partition(partition)

    def _termination(self, missing: str) -> Termination:
        if self.proven >= self.value:
            return Termination(reason=Reason.OPTIMAL)
        if self.context.should_stop():
            return Termination(reason=Reason.LIMIT, limit=Limit.TIME)
        if missing:
            return Termination(reason=Reason.LIMIT, limit=Limit.TIME, detail=missing)
        return Termination(reason=Reason.FINISHED)

    def _outcome(self, termination: Termination) -> Outcome:
        return Outcome(
            dual=DualBound(value=self.proven, source=self._name, soundness=self.soundness),
            incumbent=Incumbent(value=self.value, partition=self.partition, source=self._name),
            termination=termination,
            details=self.details,
        )


class _TooLargeError(Exception):
    """The model would have more entries than allowed."""


def shared_parts(problem: Problem, context: Context) -> SuperblockParts:
    """Return what all models of the problem's instance share.

    Raises
    ------
    OutOfTimeError
        If the context asks to stop while it is computed.
    """
    from framework.structure.models.superblocks import SuperblockParts

    return _latest.get(problem.instance.sha256(), lambda: SuperblockParts(problem.instance, context.should_stop))


def effort_of(context: Context) -> Effort:
    """Return what a solver may use in a context."""
    from framework.structure.models.superblocks_solve import Effort

    return Effort(
        remaining=context.remaining, should_stop=context.should_stop, threads=context.threads, seed=context.seed
    )


def check_size(max_size: int) -> None:
    """Refuse a size limit below 1."""
    if max_size < 1:
        raise ValueError("max_size must be at least 1")


def _what_is_missing(answer: Answer) -> str:
    return {"failed": "the solver failed", "stopped": "the solver ran out of time"}.get(answer.solution.status, "")
