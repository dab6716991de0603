"""`simple`: the standard combinatorial bound, the larger of the heaviest node and the average stage.

Validity: some stage holds the node with the most work; and the k stages share all work and all parameters beyond
what the k of them can hold, so the most expensive one costs at least the average. Where stages run on different
devices, the average is the linear program of unrelated machines, with weights of devices as a certificate
(`framework.structure.primal.unrelated_machines`). Source: Archer et al., ICML 2024, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

from framework.bounds import Certificate, DualBound, Outcome, Reason, Soundness, Termination
from framework.contracts import Context, Feature
from framework.model.problem import Problem
from framework.registry import register_formulation
from framework.structure.primal.initial_interval import simple_bound
from framework.structure.primal.unrelated_machines import DeviceWeights, best_weights, bound_by_weights

NAME = "simple"


@register_formulation(
    NAME,
    features=[Feature.DUAL, Feature.SHARED, Feature.UNEQUAL],
    summary="The larger of the heaviest node and the average cost of a stage",
    reference="Archer et al., ICML 2024, section 3",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class Simple:
    """No search and no parameters: every other bound is measured against this one."""

    def bound(self, problem: Problem, context: Context) -> Outcome:
        """Evaluate the formula."""
        value, data = simple_bound(problem), dict[str, list[int]]()
        if problem.instance.unequal is not None:
            weights = best_weights(problem.instance, context.should_stop)
            if (proved := bound_by_weights(problem.instance, weights)) > value:
                value, data = proved, {"work": list(weights.work), "streams": list(weights.streams)}
        certificate = Certificate(kind=NAME, data=data, instance=problem.instance.sha256())
        bound = DualBound(value=value, source=NAME, soundness=Soundness.EXACT, certificate=certificate)
        return Outcome(dual=bound, termination=Termination(reason=Reason.FINISHED))

    def check(self, problem: Problem, certificate: Certificate) -> int:
        """Evaluate the formula again, with the weights of devices if there are any."""
        data = certificate.whole_data(*(("work", "streams") if certificate.data else ()))
        value = simple_bound(problem)
        if not data:
            return value
        weights = DeviceWeights(work=tuple(data["work"]), streams=tuple(data["streams"]))
        return max(value, bound_by_weights(problem.instance, weights))
