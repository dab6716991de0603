"""`window-propagation`: limits on the work of prefixes and stages at a threshold, tightened by small integer programs.

Validity: at threshold T any partition is a point of every superblock model (`framework.structure.models.superblocks`).
Of two groups, the first j stages and the rest, the least work that either can have limits what the other holds; of
three groups around stage b, the least work outside b limits what b holds. Dual bounds of the solver are enough. Limits
carry over between stages (`framework.structure.poset.prefix_work`), fix more nodes, and make the next program tighter;
T is refuted when the limits contradict each other or some program has no solution.

Source: this project.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from formulations.superblocks import Solver, check_size, effort_of, shared_parts
from framework.bounds import Soundness
from framework.contracts import Context, Decision, Feature, Refuted, Undecided
from framework.errors import OutOfTimeError
from framework.model.problem import Problem, Windows
from framework.portfolio.context.child import ChildContext
from framework.portfolio.context.destructive_bound import BoundByDeciding
from framework.registry import register_formulation
from framework.structure.primal.initial_interval import simple_bound

if TYPE_CHECKING:
    from framework.structure.models.superblocks import SuperblockParts
    from framework.structure.models.superblocks_layout import Layout
    from framework.structure.poset.prefix_work import PrefixWork

NAME = "window-propagation"
LEAST_SECONDS = 0.3


@register_formulation(
    NAME,
    features=[Feature.DUAL, Feature.DECISION, Feature.ANYTIME, Feature.SHARED],
    summary="Limits on the work in and before each stage, tightened by programs with two and three superblocks",
    reference="this project",
    purpose="studying how far superblock programs tighten each other's windows at a threshold",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class WindowPropagation(BoundByDeciding):
    """Two groups at every boundary first, then three groups around every stage, again and again.

    Attributes
    ----------
    solver
        What solves the programs.
    sweeps
        How often to go through the stages at most.
    max_size
        Give up on models with more matrix entries than about this.
    contract
        Whether thresholds are decided on the instance contracted at them.
    """

    solver: Solver = "cp-sat"
    sweeps: int = 1
    max_size: int = 5_000_000
    contract: bool = True

    def __post_init__(self) -> None:
        check_size(self.max_size)
        if self.sweeps < 0:
            raise ValueError("sweeps must be at least 0")

    def decide(self, problem: Problem, threshold: int, context: Context) -> Decision:
        """Tighten until there is a contradiction or nothing changes (threshold in ticks)."""
        from framework.structure.models.superblocks import estimated_entries

        if threshold < simple_bound(problem):
            return Refuted(soundness=Soundness.EXACT)
        size = estimated_entries(problem.instance, 3)
        if size > self.max_size:
            return Undecided(reason=f"about {size} matrix entries, more than max_size = {self.max_size}")
        try:
            parts = shared_parts(problem, context)
            return Propagation(parts, problem, threshold, context, self.solver).run(self.sweeps)
        except OutOfTimeError:
            return Undecided(reason="out of time")


class Propagation:
    """The limits at one threshold, and the programs that tighten them.

    Parameters
    ----------
    parts
        Of the problem's instance.
    """

    def __init__(
        self, parts: SuperblockParts, problem: Problem, threshold: int, context: Context, solver: Solver
    ) -> None:
        from framework.structure.poset.prefix_work import PrefixWork

        self._parts, self._problem, self._threshold = parts, problem, threshold
        self._context, self._solver = context, solver
        self.stages = problem.useful_stages
        self.limits: PrefixWork = PrefixWork(self.stages, problem.instance.total_work, threshold)
        self.refuted: Refuted | None = None
        self.settled(Soundness.EXACT)

    def run(self, sweeps: int) -> Decision:
        """Tighten prefixes, then stages.

        Raises
        ------
        OutOfTimeError
            If the context says stop.
        """
        from framework.structure.models.superblocks_layout import Layout, guess_layout

        k = self.stages
        for j in sorted(range(1, k), key=lambda j: (abs(2 * j - k), j)):
            layout = Layout(sizes=(j, k - j))
            rest = self.least_work(layout, (1,))
            self.limits.limit_prefix(j, most=self.limits.total - rest)
            own = self.least_work(layout, (0,))
            self.limits.limit_prefix(j, least=own)
            if self.settled():
                break
        for sweep in range(sweeps):
            if self.refuted is not None:
                break
            before = self.limits.least.copy(), self.limits.most.copy()
            for b in range(k) if sweep % 2 == 0 else range(k - 1, -1, -1):
                layout = guess_layout(k, b)
                inside = 1 if b else 0
                outside = tuple(s for s in range(len(layout.sizes)) if s != inside)
                if outside:
                    self.limits.limit_stage(b, self.limits.total - self.least_work(layout, outside))
                if self.settled():
                    break
            if (before[0] == self.limits.least).all() and (before[1] == self.limits.most).all():
                break
        return self.refuted or Undecided(reason="the limits settled without a contradiction")

    def least_work(self, layout: Layout, groups: tuple[int, ...]) -> int:
        """Return a lower bound (ticks) on the work of some groups; notes a refutation if there is no solution.

        Raises
        ------
        OutOfTimeError
            If the context says stop.
        """
        import numpy as np

        from framework.structure.models.superblocks_solve import Question, ask

        if self.refuted is not None:
            return 0
        if self._context.should_stop():
            raise OutOfTimeError("stopped between programs")
        by_cost = self._parts.windows.at(self.stages, self._threshold)
        by_work = self._parts.windows.between(self.limits.least, self.limits.most)
        if by_cost is None or by_work is None:
            # Limits that came from programs are as sound as these.
            self.refuted = Refuted(soundness=Soundness.EXACT if by_cost is None else self._claim)
            return 0
        windows = Windows(
            earliest=np.maximum(by_cost.earliest, by_work.earliest), latest=np.minimum(by_cost.latest, by_work.latest)
        )
        if bool((windows.earliest > windows.latest).any()):
            self.refuted = Refuted(soundness=self._claim)
            return 0
        seconds = max(LEAST_SECONDS, self._context.remaining() / self.stages)
        answer = ask(
            self._parts,
            layout,
            Question(
                upper=self._threshold,
                minimise=False,
                windows=windows,
                prefix_work=(self.limits.least, self.limits.most),
                least_work_of=groups,
            ),
            solver=self._solver,
            effort=effort_of(ChildContext(self._context, seconds)),
        )
        if answer.solution.status == "infeasible":
            self.refuted = Refuted(soundness=self._claim)
        return max(0, answer.solution.bound or 0)

    @property
    def _claim(self) -> Soundness:
        return Soundness.SOLVER if self._solver == "cp-sat" else Soundness.TOLERANCE

    def settled(self, soundness: Soundness | None = None) -> bool:
        """Whether the threshold is refuted by now."""
        if self.refuted is None and not self.limits.possible:
            self.refuted = Refuted(soundness=soundness or self._claim)
        return self.refuted is not None
