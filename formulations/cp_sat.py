"""`cp-sat`: the exact model in CP-SAT, minimising the bottleneck or deciding a threshold.

Validity: the model of `framework.structure.models.stages_cp` is exact but for a coarsening that only lowers costs, and
windows that no partition at or below the threshold violates; so an infeasible model refutes the threshold, and the
solver's proven lower bound on the coarse bottleneck, times the unit, is a lower bound. While minimising, only
partitions better than the incumbent are looked for: when there are none, the incumbent is optimal. CP-SAT reasons
in exact integers; its word is what the soundness `solver` stands for. Source: OR-Tools; the model: this project.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from framework.bounds import DualBound, Incumbent, Limit, Outcome, Reason, Soundness, Termination
from framework.contracts import Context, Decision, Feature, Refuted, Satisfied, Undecided
from framework.errors import OutOfTimeError
from framework.model.problem import Partition, Problem, bottleneck
from framework.portfolio.context.latest import Latest
from framework.registry import register_formulation
from framework.structure.primal.initial_interval import known_partition, simple_bound

if TYPE_CHECKING:
    from framework.structure.models.stages_cp import ModelParts, StageModel

NAME = "cp-sat"
POLL_SECONDS = 0.05
SOLVER, LOADING = "ortools.sat.python.cp_model", 1.0
"""The solver's module, and how many seconds before the end it is not loaded any more: that cannot be stopped."""
FULL = 2
"""The level of linearization with all constraints in the linear program."""
_latest: Latest[ModelParts] = Latest()


@register_formulation(
    NAME,
    features=[
        Feature.EXACT,
        Feature.DUAL,
        Feature.PRIMAL,
        Feature.DECISION,
        Feature.ANYTIME,
        Feature.WARM_START,
        Feature.LIMITS,
        Feature.SHARED,
        Feature.WORKSETS,
        Feature.UNEQUAL,
    ],
    summary="Exact constraint model for CP-SAT: minimises the bottleneck, or decides a threshold",
    reference="OR-Tools CP-SAT; the model: this project",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class CpSat:
    """Cumulative stage literals, clauses for transfers, one load row a stage.

    Attributes
    ----------
    resolution
        Coarsen until the threshold has at most this many coarse ticks; 2^26 keeps CP-SAT's arithmetic safe.
    max_size
        Give up on models with more literals and clauses than this.
    linearization
        CP-SAT's levels of linearization, joined by ``+``: decisions try them in this order, and of two, give the first
        a quarter of their time. 0 has no linear program and learns much faster, 2 has one with all constraints. Empty
        for CP-SAT's own choice.
    max_linear_nodes
        Above so many nodes level 2 is left out where there are others: its program is too large then.
    """

    resolution: int = 1 << 26
    max_size: int = 2_000_000
    linearization: str = ""
    max_linear_nodes: int = 1_000

    def __post_init__(self) -> None:
        if not 1 <= self.resolution <= 1 << 30:
            raise ValueError("resolution must be 1 to 2^30: beyond, products of coefficients and bounds overflow")
        if self.max_size < 1:
            raise ValueError("max_size must be at least 1")
        if not re.fullmatch(r"([012](\+[012])*)?", self.linearization):
            raise ValueError("linearization must be levels from 0 to 2, joined by +")

    def bound(self, problem: Problem, context: Context) -> Outcome:
        """Minimise the bottleneck in coarse ticks, then look for anything better in exact ones until there is none."""
        search = _Search(problem, context)
        minimise = True
        while not search.closed:
            try:
                model = self._build(
                    problem,
                    context,
                    threshold=search.value - 1,
                    minimise=minimise,
                    exact=not minimise,
                    lower=search.lower,
                )
            except OutOfTimeError:
                return search.outcome(_stopped())
            if isinstance(model, Termination):
                return search.outcome(model)
            if not search.take(model, self._levels[0]):
                return search.outcome(_stopped())
            minimise = False
        return search.outcome(Termination(reason=Reason.OPTIMAL))

    def decide(self, problem: Problem, threshold: int, context: Context) -> Decision:
        """Decide one threshold (ticks): in coarse ticks, and in exact ones if that leaves it open."""
        if threshold < simple_bound(problem):
            return Refuted(soundness=Soundness.EXACT)
        for exact in (False, True):
            try:
                model = self._build(problem, context, threshold=threshold, exact=exact)
            except OutOfTimeError:
                return Undecided(reason="out of time while building")
            if isinstance(model, Termination):
                return Undecided(reason=model.detail)
            if model.trivially_infeasible:
                return Refuted(soundness=Soundness.EXACT)
            run = self._decide(problem, context, model)
            if run.status == "INFEASIBLE":
                return Refuted(soundness=Soundness.SOLVER)
            if run.partition is None:
                break
            if run.value <= threshold:
                return Satisfied(partition=run.partition)
        return Undecided(reason="out of time")

    def _decide(self, problem: Problem, context: Context, model: StageModel) -> _Run:
        """Return the run of the first level that is done, or of the last one."""
        levels = self._levels
        if problem.instance.n > self.max_linear_nodes:
            levels = [level for level in levels if level != FULL] or levels
        for place, level in enumerate(levels):
            run = _Run(problem, context, model, level)
            run.solve(1 / (3 * (len(levels) - place) - 2))
            if run.status != "UNKNOWN":
                break
        return run

    @property
    def _levels(self) -> list[int | None]:
        return [int(level) for level in self.linearization.split("+")] if self.linearization else [None]

    def _build(
        self,
        problem: Problem,
        context: Context,
        *,
        threshold: int,
        minimise: bool = False,
        exact: bool = False,
        lower: int = 0,
    ) -> StageModel | Termination:
        from framework.structure.models.limited_stage_model import LimitedStageModel
        from framework.structure.models.stages_cp import SAFE_RESOLUTION, ModelParts, estimated_size

        if context.remaining() < LOADING and not context.should_stop() and SOLVER not in sys.modules:
            raise OutOfTimeError("too little time is left to load the solver")
        size = estimated_size(problem)
        if size > self.max_size:
            detail = f"about {size} literals and clauses, more than max_size = {self.max_size}"
            return Termination(reason=Reason.LIMIT, limit=Limit.SIZE, detail=detail)
        parts = _latest.get(problem.instance.sha256(), lambda: ModelParts(problem, context.should_stop))
        return LimitedStageModel(
            problem,
            parts,
            threshold=threshold,
            resolution=SAFE_RESOLUTION if exact else self.resolution,
            minimise=minimise,
            exact=exact,
            lower=lower,
            should_stop=context.should_stop,
        )


class _Search:
    """What `bound` knows: the ends of the interval, and what of it is its own proof."""

    def __init__(self, problem: Problem, context: Context) -> None:
        self.problem, self.context = problem, context
        self.partition, self.value = known_partition(problem, context.best_partition())
        self.proven, self.soundness = simple_bound(problem), Soundness.EXACT
        self.details: dict[str, Any] = {"models": 0, "branches": 0, "conflicts": 0}

    @property
    def lower(self) -> int:
        """Best dual bound known to anyone, in ticks."""
        return max(self.proven, self.context.dual or 0)

    @property
    def closed(self) -> bool:
        """Whether the incumbent is proven optimal."""
        return self.lower >= self.value

    @property
    def incumbent(self) -> Incumbent | None:
        """The best partition; None where none is known that obeys a hard limit."""
        if self.value > self.problem.instance.largest_cost:
            return None
        return Incumbent(value=self.value, partition=self.partition, source=NAME)

    def take(self, model: StageModel, level: int | None) -> bool:
        """Solve a model that looks for anything better than the incumbent; return whether it was solved."""
        self.details["models"] += 1
        if model.trivially_infeasible:
            self.proven = self.value
            return True
        model.hint(self.partition)
        run = _Run(self.problem, self.context, model, level)
        run.solve()
        self.details["branches"] += run.branches
        self.details["conflicts"] += run.conflicts
        if run.status == "INFEASIBLE":
            # Nothing is better than the incumbent that the model was built against.
            self.proven, self.soundness = self.value, Soundness.SOLVER
            return True
        if run.bound is not None and run.bound > self.proven:
            self.proven, self.soundness = run.bound, Soundness.SOLVER
        if run.partition is not None and run.value < self.value:
            self.value, self.partition = run.value, run.partition
        # A coarse model is solved when it is optimal, an exact decision with its first solution.
        return run.status == "OPTIMAL" or (model.bottleneck is None and run.partition is not None)

    def outcome(self, termination: Termination) -> Outcome:
        return Outcome(
            dual=DualBound(value=self.proven, source=NAME, soundness=self.soundness),
            incumbent=self.incumbent,
            termination=termination,
            details=self.details,
        )


class _Run:
    """One call of the solver: reports as it goes, stops when the context says so."""

    def __init__(self, problem: Problem, context: Context, model: StageModel, level: int | None) -> None:
        self.problem, self.context, self.model, self.level = problem, context, model, level
        self.partition: Partition | None = None
        self.value = 0
        self.bound: int | None = None
        self.branches = self.conflicts = 0
        self.status = "UNKNOWN"

    def solve(self, share: float = 1.0) -> None:
        """Run: `status` is its name then; `partition`, `value` and `bound` (ticks) hold what was found.

        Parameters
        ----------
        share
            Part of the time left that this run may take.
        """
        from ortools.sat.python import cp_model

        solver = cp_model.CpSolver()
        solver.parameters.num_workers = self.context.threads
        if self.level is not None:
            solver.parameters.linearization_level = self.level
        solver.parameters.random_seed = self.context.seed % (1 << 31)
        remaining = share * self.context.remaining()
        if remaining != float("inf"):
            solver.parameters.max_time_in_seconds = max(0.01, remaining)
        if self.model.bottleneck is not None:
            solver.best_bound_callback = self._take_bound
        finished = threading.Event()
        watch = threading.Thread(target=self._watch, args=(solver.stop_search, finished), daemon=True)
        watch.start()
        try:
            status = solver.solve(self.model.model, _callback(self._take_solution))
        finally:
            finished.set()
            watch.join()
        self.branches, self.conflicts = solver.num_branches, solver.num_conflicts
        self.status = str(solver.status_name(status))
        if self.model.bottleneck is not None and self.status in ("OPTIMAL", "FEASIBLE", "UNKNOWN"):
            self._take_bound(solver.best_objective_bound)

    def _take_bound(self, coarse: float) -> None:
        # A bound of a coarse integer problem: what it proves is the next integer below, and never more
        # than the largest value the model allows.
        proven = min(int(coarse), self.model.limit) * self.model.unit
        if proven > (self.bound or 0):
            self.bound = proven
            self.context.report_dual(proven, Soundness.SOLVER)

    def _take_solution(self, value: Callable[[Any], bool]) -> None:
        partition = self.model.partition(value)
        cost = bottleneck(self.problem, partition)
        if self.partition is None or cost < self.value:
            self.partition, self.value = partition, cost
            self.context.report_partition(partition)

    def _watch(self, stop: Callable[[], None], finished: threading.Event) -> None:
        while not finished.wait(POLL_SECONDS):
            if self.context.should_stop():
                stop()


def _callback(take: Callable[[Callable[[Any], bool]], None]) -> Any:
    from ortools.sat.python import cp_model

    class Callback(cp_model.CpSolverSolutionCallback):
        def on_solution_callback(self) -> None:
            take(self.boolean_value)

    return Callback()


def _stopped() -> Termination:
    return Termination(reason=Reason.LIMIT, limit=Limit.TIME)
