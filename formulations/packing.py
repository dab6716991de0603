"""`packing`: nodes are indivisible, so a stage holds only so many of those that are large.

Validity: a stage of cost at most T has work of at most T, and work and parameters together of at most T + capacity. A
dual feasible function values nodes so that no stage within that room holds nodes of more than U in value; if all nodes
together are worth more than k U, no partition into k stages costs at most T
(`framework.structure.primal.packing`). Which function is tried is a heuristic; that it refutes T is checked over all
nodes, in exact integers.

Where it wins: many stages, each with a few heavy nodes of nearly equal size (the cells of an unrolled recurrent layer,
the blocks of a transformer): on average a stage could hold 3.14 of them, but some stage holds 4. Where nodes are small
beside a stage it equals the simple bound. The certificate is the threshold and the function.
Sources: Fekete and Schepers, 2001; Carlier, Clautiaux and Moukrim, 2007; their use for pipelines: this project.
"""

from __future__ import annotations

from dataclasses import dataclass

from framework.bounds import Certificate, DualBound, Limit, Outcome, Reason, Soundness, Termination
from framework.contracts import Context, Decision, Feature, Refuted, Undecided
from framework.model.problem import Problem
from framework.registry import register_formulation
from framework.structure.primal.initial_interval import known_partition, simple_bound

NAME = "packing"


@register_formulation(
    NAME,
    features=[Feature.DUAL, Feature.DECISION, Feature.ANYTIME],
    summary="How many stages indivisible nodes need, by dual feasible functions",
    reference="Fekete and Schepers, 2001; Carlier, Clautiaux and Moukrim, 2007",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """No parameters: a bisection over thresholds."""

    def bound(self, problem: Problem, context: Context) -> Outcome:
        """Bisect on the threshold; functions that refute one mostly refute those below as well."""
        value, certificate = simple_bound(problem), None
        # Thresholds from `above` on are not asked.
        above = known_partition(problem, context.best_partition())[1]
        low = max(value, context.dual or 0)
        termination = Termination(reason=Reason.FINISHED)
        while low < above:
            if context.should_stop():
                termination = Termination(reason=Reason.LIMIT, limit=Limit.TIME)
                break
            threshold = (low + above - 1) // 2
            answer = self.decide(problem, threshold, context)
            if isinstance(answer, Refuted):
                value, certificate = threshold + 1, answer.certificate
                low = value
                context.report_dual(value, Soundness.EXACT, certificate)
            else:
                above = threshold
        if certificate is None:
            return Outcome(termination=termination)
        bound = DualBound(value=value, source=NAME, soundness=Soundness.EXACT, certificate=certificate)
        return Outcome(dual=bound, termination=termination)

    def decide(self, problem: Problem, threshold: int, context: Context) -> Decision:
        """Refute a threshold (ticks), or leave it open."""
        from framework.structure.primal.packing import refute

        found = refute(problem, threshold)
        if found is None:
            return Undecided(reason="no dual feasible function that was tried refutes it")
        data = {
            "threshold": threshold,
            "with_parameters": int(found.with_parameters),
            "family": int(found.family),
            "parameter": found.parameter,
        }
        certificate = Certificate(kind=NAME, data=data, instance=problem.instance.sha256())
        return Refuted(soundness=Soundness.EXACT, certificate=certificate)

    def check(self, problem: Problem, certificate: Certificate) -> int:
        """Evaluate the function over all nodes."""
        from framework.structure.primal.packing import Family, refutes
        from framework.structure.primal.packing import Packing as Function

        data = certificate.whole_data("threshold", "with_parameters", "family", "parameter")
        function = Function(data["with_parameters"] != 0, Family(data["family"]), data["parameter"])
        if not refutes(problem, data["threshold"], function):
            raise ValueError("the dual feasible function does not refute the threshold")
        return int(data["threshold"]) + 1
