"""`sweep`: how much work the first j stages can hold at a threshold, one integer program after the other.

Validity: let a be the most work that the first b stages can hold in a partition with bottleneck at most T. With stage b
they form an ideal whose work is at most the optimum of a program over pairs of ideals: the inner one has work at most
a, the difference costs at most T, the work of the outer one is to be maximised. The solver's dual bound on that (as
the least work outside) is the limit for the next stage. If k stages do not reach all the work, T is refuted. With
`surroundings` the stages before and after also keep their limits, as groups of a three-superblock model; without
them the program is the same for every stage. Source: this project.
"""

from __future__ import annotations

from dataclasses import dataclass

from formulations.superblocks import Solver, check_size, shared_parts
from formulations.window_propagation import Propagation
from framework.bounds import Soundness
from framework.contracts import Context, Decision, Feature, Refuted, Undecided
from framework.errors import OutOfTimeError
from framework.model.problem import Problem
from framework.portfolio.context.destructive_bound import BoundByDeciding
from framework.registry import register_formulation
from framework.structure.primal.initial_interval import simple_bound

NAME = "sweep"


@register_formulation(
    NAME,
    features=[Feature.DUAL, Feature.DECISION, Feature.ANYTIME, Feature.SHARED],
    summary="The most work that the first 1, 2, ... stages can hold at a threshold, by one integer program each",
    reference="this project",
    purpose="studying how far windows alone get, one program for each stage from left to right",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep(BoundByDeciding):
    """One program for each stage, from left to right.

    Attributes
    ----------
    solver
        What solves the programs.
    surroundings
        Whether what lies before and after the stage keeps its limits as well.
    max_size
        Give up on models with more matrix entries than about this.
    contract
        Whether thresholds are decided on the instance contracted at them.
    """

    solver: Solver = "cp-sat"
    surroundings: bool = True
    max_size: int = 5_000_000
    contract: bool = True

    def __post_init__(self) -> None:
        check_size(self.max_size)

    def decide(self, problem: Problem, threshold: int, context: Context) -> Decision:
        """Sweep once (threshold in ticks)."""
        from framework.structure.models.superblocks import estimated_entries
        from framework.structure.models.superblocks_layout import Layout

        if threshold < simple_bound(problem):
            return Refuted(soundness=Soundness.EXACT)
        size = estimated_entries(problem.instance, 3)
        if size > self.max_size:
            return Undecided(reason=f"about {size} matrix entries, more than max_size = {self.max_size}")
        try:
            propagation = Propagation(shared_parts(problem, context), problem, threshold, context, self.solver)
            k = problem.useful_stages
            for b in range(k - 1):
                sizes = (b, 1, k - 1 - b) if b else (1, k - 1)
                outer = () if self.surroundings else tuple(s for s in range(len(sizes)) if s != min(b, 1))
                rest = propagation.least_work(Layout(sizes=sizes, unlimited=outer), (len(sizes) - 1,))
                propagation.limits.limit_prefix(b + 1, most=propagation.limits.total - rest)
                if propagation.settled():
                    break
        except OutOfTimeError:
            return Undecided(reason="out of time")
        return propagation.refuted or Undecided(reason="the stages can reach all the work")
