"""`few-ideals`: the exact optimum where the graph has few ideals, before any kernel is loaded.

Validity: all chains of ideals are compared, on integers, by a dynamic program over all pairs of ideals; its value is
the optimum. The proof is in `framework.structure.ideals.few`. Parameters that several nodes use count once for each
stage.

Where it wins: graphs of a few hundred nodes with few branches side by side, among them most convolutional networks,
have so few ideals that this takes milliseconds. `default` runs it in the process of the command itself, while the
processes of all other members still load their packages; `ideal-dp` takes the graphs with more.
Source: Tarnawski et al., NeurIPS 2020 (the program); running it first: this project.
"""

from __future__ import annotations

from dataclasses import dataclass

from framework.bounds import DualBound, Incumbent, Limit, Outcome, Reason, Soundness, Termination
from framework.contracts import Context, Feature
from framework.errors import OutOfTimeError
from framework.model.problem import Problem
from framework.registry import register_formulation
from framework.structure.primal.initial_interval import known_partition

NAME = "few-ideals"
MORE_FOR_TWO_STAGES = 5


@register_formulation(
    NAME,
    features=[Feature.EXACT, Feature.DUAL, Feature.PRIMAL, Feature.WARM_START, Feature.SHARED],
    summary="Exact dynamic program over all ideals where they are few; loads no kernels",
    reference="Tarnawski et al., NeurIPS 2020",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class FewIdeals:
    """Enumerate the ideals, price the stages between any two of them, and find the best chain.

    Attributes
    ----------
    max_ideals
        Give up beyond this many ideals; for two stages, which take no pairs of ideals, beyond five times as many.
    """

    max_ideals: int = 1000

    def __post_init__(self) -> None:
        if self.max_ideals < 2:
            raise ValueError("max_ideals must be at least 2")

    def bound(self, problem: Problem, context: Context) -> Outcome:
        """Find the optimum, or say that there are too many ideals."""
        from framework.structure.ideals.few import best_chain, ideal_table

        most = self.max_ideals * (MORE_FOR_TWO_STAGES if problem.useful_stages <= 2 else 1)
        table = ideal_table(problem.instance, most)
        if table is None:
            detail = f"more than {most} ideals"
            return Outcome(termination=Termination(reason=Reason.LIMIT, limit=Limit.SIZE, detail=detail))
        partition, value = known_partition(problem, context.best_partition())
        try:
            better = best_chain(table, problem.useful_stages, value - 1, context.should_stop)
        except OutOfTimeError:
            return Outcome(termination=Termination(reason=Reason.LIMIT, limit=Limit.TIME))
        if better is not None:
            value, partition = better
        return Outcome(
            dual=DualBound(value=value, source=NAME, soundness=Soundness.EXACT),
            incumbent=Incumbent(value=value, partition=partition, source=NAME),
            termination=Termination(reason=Reason.OPTIMAL),
            details={"ideals": len(table)},
        )
