"""`benders-mip`: classical Benders decomposition of the program of `superblocks`, for comparison with `benders`.

The master orders nodes into groups and minimises T with a column for the transfers of each group; the subproblem prices
the transfers of its solution, and its dual gives a cut for each group (`framework.structure.models.transfer_cuts`).

Validity: cuts hold for every partition, so the master relaxes the superblock program, which relaxes the problem; each
dual bound of the solver holds, discounted as in `framework.structure.solvers.mathopt`. A cut is tight at the solution
for which it was made, so no solution is repeated before the end, and the last bound is that of the superblock program.

Where it wins: its partitions and those of `lagrangian` are the best of the decompositions on wide random graphs, and
from four stages on its bounds are better than those of `lp`. Where not: the superblock program itself is weak for many
stages; there the decompositions over `stage-cover` prove bounds about twice as high (docs/measurements.md).

Sources: Benders, Numerische Mathematik 1962; Archer et al., ICML 2024, for the program.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from framework.bounds import DualBound, Incumbent, Limit, Outcome, Reason, Soundness, Termination
from framework.contracts import Context, Feature
from framework.errors import OutOfTimeError
from framework.model.problem import Problem, bottleneck
from framework.registry import register_strategy
from framework.structure.primal.initial_interval import balanced_partition, simple_bound

if TYPE_CHECKING:
    from framework.structure.models.superblocks import TransferCut

NAME = "benders-mip"


@register_strategy(
    NAME,
    features=[Feature.DUAL, Feature.PRIMAL, Feature.ANYTIME, Feature.WARM_START],
    summary="Classical Benders decomposition of the superblock program: the master orders, the subproblem prices",
    reference="Benders 1962; Archer et al., ICML 2024",
    purpose="studying decomposition with good partitions: 0.782 at k = 2, and within 1% of the best partition",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class BendersMip:
    """Alternate master and subproblem.

    Attributes
    ----------
    groups
        Number of groups; as many as there are stages, or more, for the exact program.
    solver
        What solves the master; see `exact-mip` on HiGHS.
    max_rounds
        Masters solved at most.
    max_size
        Give up where the whole program would have more matrix entries than about this.
    """

    groups: int = 2
    solver: Literal["highs", "scip", "cp-sat"] = "scip"
    max_rounds: int = 10_000
    max_size: int = 5_000_000

    def __post_init__(self) -> None:
        if min(self.groups, self.max_rounds, self.max_size) < 1:
            raise ValueError("groups, max_rounds and max_size must be at least 1")

    def run(self, problem: Problem, context: Context) -> Outcome:
        """Add cuts until the master's solution pays what the master thinks it pays."""
        from framework.structure.models.superblocks import estimated_entries

        search = _Search(self, problem, context)
        size = estimated_entries(problem.instance, min(self.groups, problem.useful_stages))
        if size > self.max_size:
            detail = f"about {size} matrix entries, more than max_size = {self.max_size}"
            return search.outcome(Termination(reason=Reason.LIMIT, limit=Limit.SIZE, detail=detail))
        try:
            return search.outcome(search.run())
        except OutOfTimeError:
            return search.outcome(Termination(reason=Reason.LIMIT, limit=Limit.TIME))


class _Search:
    """The cuts so far, and both ends of the interval."""

    def __init__(self, options: BendersMip, problem: Problem, context: Context) -> None:
        self._options, self._problem, self._context = options, problem, context
        self._claim = Soundness.SOLVER if options.solver == "cp-sat" else Soundness.TOLERANCE
        self._proven, self._soundness = simple_bound(problem), Soundness.EXACT
        self._partition = context.best_partition() or balanced_partition(problem)
        self._value = bottleneck(problem, self._partition)
        self._cuts: list[TransferCut] = []
        self._rounds = 0

    def run(self) -> Termination:
        from framework.structure.models.superblocks import SuperblockParts
        from framework.structure.models.superblocks_layout import even_layout
        from framework.structure.models.superblocks_solve import Effort, Question, ask, partition_of_groups
        from framework.structure.models.transfer_cuts import transfer_cuts

        problem, context = self._problem, self._context
        parts = SuperblockParts(problem.instance, context.should_stop)
        layout = even_layout(problem.useful_stages, self._options.groups)
        effort = Effort(
            remaining=context.remaining, should_stop=context.should_stop, threads=context.threads, seed=context.seed
        )
        seen: set[bytes] = set()
        while self._proven < self._value:
            if context.should_stop():
                return Termination(reason=Reason.LIMIT, limit=Limit.TIME)
            if self._rounds == self._options.max_rounds:
                return Termination(reason=Reason.LIMIT, limit=Limit.ITERATIONS)
            question = Question(
                upper=self._value,
                minimise=True,
                lower=self._proven,
                windows=parts.windows.at(problem.useful_stages, self._value),
                transfer_cuts=tuple(self._cuts),
            )
            answer = ask(parts, layout, question, solver=self._options.solver, effort=effort)
            self._rounds += 1
            bound = answer.solution.bound
            if bound is not None and bound > self._proven:
                self._proven, self._soundness = bound, self._claim
                context.report_dual(bound, self._claim)
            if answer.groups is None:
                stopped = context.should_stop() or answer.solution.status == "stopped"
                limit = Limit.TIME if stopped else Limit.ITERATIONS
                return Termination(reason=Reason.LIMIT, limit=limit, detail=f"master: {answer.solution.status}")
            found = partition_of_groups(problem, answer.groups, upper=self._value)
            if found is not None:
                self._partition, self._value = found, bottleneck(problem, found)
                context.report_partition(found)
            if answer.groups.tobytes() in seen:
                # Its cuts are there already: the master prices it right, up to the solver's tolerance.
                return Termination(reason=Reason.FINISHED)
            seen.add(answer.groups.tobytes())
            self._cuts += transfer_cuts(problem.instance, answer.groups, len(layout.sizes))
        return Termination(reason=Reason.OPTIMAL)

    def outcome(self, termination: Termination) -> Outcome:
        return Outcome(
            dual=DualBound(value=self._proven, source=NAME, soundness=self._soundness),
            incumbent=Incumbent(value=self._value, partition=self._partition, source=NAME),
            termination=termination,
            details={"rounds": self._rounds, "cuts": len(self._cuts)},
        )
