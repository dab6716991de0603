"""`guess-bottleneck`: the relaxation of `bottleneck`, once for each stage that may be the slowest (the paper's).

Validity: any partition with bottleneck T, and any stage b of it, is a point of the superblock model with groups of b,
1 and k - 1 - b stages. Each guess is therefore a relaxation in its own right, wherever the bottleneck really is, and
the best of their bounds holds. Guesses are made from the middle outwards; each starts from the bound of those before
it. Source: Archer et al., ICML 2024.
"""

from __future__ import annotations

from dataclasses import dataclass

from formulations.superblocks import Solver, SuperblockSearch, check_size
from framework.bounds import Outcome
from framework.contracts import Context, Decision, Feature
from framework.model.problem import Problem
from framework.registry import register_formulation

NAME = "guess-bottleneck"


@register_formulation(
    NAME,
    features=[Feature.DUAL, Feature.PRIMAL, Feature.DECISION, Feature.ANYTIME, Feature.SHARED],
    summary="The program with three superblocks, once for each guess of which stage is the bottleneck",
    reference="Archer et al., ICML 2024",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class GuessBottleneck:
    """One integer program for each guess.

    Attributes
    ----------
    solver
        What solves them; see `exact-mip` on HiGHS.
    windows
        Whether nodes are fixed where the incumbent, or the threshold, decides their group.
    max_size
        Give up on models with more matrix entries than about this.
    """

    solver: Solver = "scip"
    windows: bool = False
    max_size: int = 5_000_000

    def __post_init__(self) -> None:
        check_size(self.max_size)

    def bound(self, problem: Problem, context: Context) -> Outcome:
        """Minimise T for one guess after the other."""
        from framework.structure.models.superblocks_layout import guess_layout

        search = SuperblockSearch(NAME, problem, context, self.solver, max_size=self.max_size)
        layouts = [guess_layout(problem.useful_stages, b) for b in _outwards(problem.useful_stages)]
        return search.minimise(layouts, windows=self.windows)

    def decide(self, problem: Problem, threshold: int, context: Context) -> Decision:
        """Look for a guess without a solution at the threshold (ticks)."""
        from framework.structure.models.superblocks_layout import guess_layout

        search = SuperblockSearch(NAME, problem, context, self.solver, max_size=self.max_size)
        layouts = [guess_layout(problem.useful_stages, b) for b in _outwards(problem.useful_stages)]
        return search.decide(layouts, threshold, windows=self.windows)


def _outwards(stages: int) -> list[int]:
    return sorted(range(stages), key=lambda b: (abs(2 * b - (stages - 1)), b))
