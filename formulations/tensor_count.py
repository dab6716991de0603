"""`tensor-count`: each stage with a node of a tensor pays for it if the tensor's nodes do not fit into one stage.

Validity: take a threshold T and a tensor of cost c whose producer and consumers have more work together than T. No
stage of cost at most T holds them all; so every stage that holds one of them pays c, for sending or receiving, and has
at most T - c left for their work. That gives a least number of such stages. If the work, the parameters that overflow
in any case and what all tensors cost so often exceed k T, no partition costs at most T. The bound is the least T that
is not refuted; one that refutes T refutes all below.

Where it wins: graphs in which many nodes read one expensive tensor (on a star it may be the optimum); elsewhere it
equals the simple bound. Certificate: none beyond the instance, because checking it takes as long as computing it.
Source: this project.
"""

from __future__ import annotations

from dataclasses import dataclass

from framework.bounds import Certificate, DualBound, Outcome, Reason, Soundness, Termination
from framework.contracts import Context, Feature
from framework.model.problem import Problem
from framework.registry import register_formulation

NAME = "tensor-count"


@register_formulation(
    NAME,
    features=[Feature.DUAL, Feature.SHARED],
    summary="How many stages must pay for each tensor whose nodes do not fit into one",
    reference="this project",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class TensorCount:
    """No search and no parameters: a bisection over thresholds."""

    def bound(self, problem: Problem, context: Context) -> Outcome:
        """Evaluate the formula."""
        certificate = Certificate(kind=NAME, data={}, instance=problem.instance.sha256())
        value = self.check(problem, certificate)
        bound = DualBound(value=value, source=NAME, soundness=Soundness.EXACT, certificate=certificate)
        return Outcome(dual=bound, termination=Termination(reason=Reason.FINISHED))

    def check(self, problem: Problem, certificate: Certificate) -> int:
        """Evaluate the formula again; there is nothing to look for in the certificate."""
        from framework.structure.primal.tensor_count import tensor_count_bound

        certificate.whole_data()
        return tensor_count_bound(problem)
