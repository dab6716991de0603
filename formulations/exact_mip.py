"""`exact-mip`: the exact integer program of the paper, minimising the cost T of the slowest stage.

Validity: the superblock model with one stage in each group is exact (`framework.structure.models.superblocks`); the
solver's dual bound is discounted (`framework.structure.solvers.mathopt`), so the gap closes to the discount and no
further. Unequal stages have rows with the costs of their own devices. Without windows it is the plain program; with
them, nodes are fixed where no partition as good as the incumbent can differ. Source: Archer et al., ICML 2024, fig. 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from formulations.superblocks import SuperblockSearch, check_size
from framework.bounds import Outcome
from framework.contracts import Context, Feature
from framework.model.problem import Problem
from framework.registry import register_formulation

NAME = "exact-mip"


@register_formulation(
    NAME,
    features=[Feature.DUAL, Feature.PRIMAL, Feature.ANYTIME, Feature.SHARED, Feature.UNEQUAL],
    summary="The paper's exact integer program, solved by SCIP or HiGHS through MathOpt",
    reference="Archer et al., ICML 2024, figure 3",
    purpose="a yardstick on small wide graphs with few stages: 0.738 of the best partition at k = 4, within 8 s",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class ExactMip:
    """All stages in one integer program.

    Attributes
    ----------
    solver
        What solves it; HiGHS is faster on small programs, and has been wrong (docs/exactness.md).
    variables
        ``assignment``: "v is in stage b", as in the paper; ``cumulative``: "v is in stage b or an earlier one".
    windows
        Whether nodes are fixed where the incumbent decides their stage.
    max_size
        Give up on models with more matrix entries than about this.
    """

    solver: Literal["highs", "scip"] = "scip"
    variables: Literal["assignment", "cumulative"] = "cumulative"
    windows: bool = False
    max_size: int = 5_000_000

    def __post_init__(self) -> None:
        check_size(self.max_size)

    def bound(self, problem: Problem, context: Context) -> Outcome:
        """Minimise T."""
        from framework.structure.models.superblocks_layout import even_layout

        assignment = self.variables == "assignment"
        search = SuperblockSearch(NAME, problem, context, self.solver, max_size=self.max_size, assignment=assignment)
        stages = problem.useful_stages
        return search.minimise([even_layout(stages, stages)], windows=self.windows)
