"""`simple`: the standard combinatorial bound, the larger of the heaviest node and the average stage.

Validity: some stage holds the node with the most work; and the k stages share all work and all parameters beyond
what the k of them can hold, so the most expensive one costs at least the average. Source: Archer et al., ICML 2024,
section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

from framework.bounds import Certificate, DualBound, Outcome, Reason, Soundness, Termination
from framework.contracts import Context, Feature
from framework.model.problem import Problem
from framework.registry import register_formulation
from framework.structure.primal.initial_interval import simple_bound

NAME = "simple"


@register_formulation(
    NAME,
    features=[Feature.DUAL, Feature.SHARED],
    summary="The larger of the heaviest node and the average cost of a stage",
    reference="Archer et al., ICML 2024, section 3",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class Simple:
    """No search and no parameters: every other bound is measured against this one."""

    def bound(self, problem: Problem, context: Context) -> Outcome:
        """Evaluate the formula."""
        certificate = Certificate(kind=NAME, data={}, instance=problem.instance.sha256())
        bound = DualBound(value=simple_bound(problem), source=NAME, soundness=Soundness.EXACT, certificate=certificate)
        return Outcome(dual=bound, termination=Termination(reason=Reason.FINISHED))

    def check(self, problem: Problem, certificate: Certificate) -> int:
        """Evaluate the formula again; there is nothing to look for in the certificate."""
        certificate.whole_data()
        return simple_bound(problem)
