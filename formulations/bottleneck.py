"""`bottleneck`: the paper's relaxation with three groups of stages: before the slowest one, it alone, and after it.

Validity: of any partition with bottleneck T take any stage: it costs at most T, and what lies before it and after it
is k - 1 stages, which together cost at most (k - 1) T. So the partition is a point of the superblock model with the
groups "before", "the stage", "after", of which the outer two share one limit. Source: Archer et al., ICML 2024.
"""

from __future__ import annotations

from dataclasses import dataclass

from formulations.superblocks import Solver, SuperblockSearch, check_size
from framework.bounds import Outcome
from framework.contracts import Context, Feature
from framework.model.problem import Problem
from framework.registry import register_formulation

NAME = "bottleneck"


@register_formulation(
    NAME,
    features=[Feature.DUAL, Feature.PRIMAL, Feature.ANYTIME, Feature.SHARED],
    summary="Integer program with three superblocks: the bottleneck, the stages before it and those after it",
    reference="Archer et al., ICML 2024",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class Bottleneck:
    """One small integer program.

    Attributes
    ----------
    solver
        What solves it; see `exact-mip` on HiGHS.
    max_size
        Give up on models with more matrix entries than about this.
    """

    solver: Solver = "scip"
    max_size: int = 5_000_000

    def __post_init__(self) -> None:
        check_size(self.max_size)

    def bound(self, problem: Problem, context: Context) -> Outcome:
        """Minimise T."""
        from framework.structure.models.superblocks_layout import bottleneck_layout

        search = SuperblockSearch(NAME, problem, context, self.solver, max_size=self.max_size)
        return search.minimise([bottleneck_layout(problem.useful_stages)], windows=False)
