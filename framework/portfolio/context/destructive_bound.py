"""The destructive improvement bound: refute a threshold, raise it, until the incumbent is near (Klein and Scholl 1999).

What `bound` of a formulation does that can only decide thresholds. It ends at a relative gap of `resolution`; the
strategy `bisection` goes on to the last tick, keeps the band of undecided thresholds, and tries them again with more
time.
"""

from __future__ import annotations

from framework.bounds import DualBound, Incumbent, Limit, Outcome, Reason, Soundness, Termination
from framework.contracts import Context, DecisionFormulation, Refuted, Satisfied
from framework.model.problem import Problem, bottleneck
from framework.portfolio.context.child import ChildContext
from framework.portfolio.context.contracted_decisions import ContractedDecisions
from framework.structure.primal.initial_interval import balanced_partition, simple_bound

RESOLUTION = 1e-3
"""Relative gap below which another decision is not worth it, unless the caller says otherwise."""
FAILURES = 2
"""Undecided thresholds in a row after which it ends."""
SHARE = 3
"""A decision may use one part in so many of the time left."""


def climb(
    name: str,
    formulation: DecisionFormulation,
    problem: Problem,
    context: Context,
    *,
    resolution: float = RESOLUTION,
    contract: bool = False,
) -> Outcome:
    """Refute thresholds from below: half of the way to the incumbent, and a quarter of that after each failure.

    With `contract`, each is decided on the instance contracted at it
    (`framework.portfolio.context.contracted_decisions`).
    """
    dual, soundness = simple_bound(problem), Soundness.EXACT
    partition = context.best_partition() or balanced_partition(problem)
    value = bottleneck(problem, partition)
    decider = ContractedDecisions(formulation, problem, contract=contract)
    step, failures, decisions = 2, 0, 0
    while value - dual > resolution * value and failures < FAILURES and not context.should_stop():
        threshold = dual + (value - 1 - dual) // step
        child = ChildContext(context, context.remaining() / SHARE)
        answer = decider.decide(threshold, child)
        decisions += 1
        if isinstance(answer, Refuted):
            dual, soundness, failures = threshold + 1, answer.soundness, 0
            context.report_dual(dual, soundness, answer.certificate)
        elif isinstance(answer, Satisfied):
            partition, failures = answer.partition, 0
            value = bottleneck(problem, partition)
            context.report_partition(partition)
        else:
            failures += 1
            step *= 4
    if dual >= value:
        termination = Termination(reason=Reason.OPTIMAL)
    elif context.should_stop():
        termination = Termination(reason=Reason.LIMIT, limit=Limit.TIME)
    else:
        termination = Termination(reason=Reason.FINISHED)
    return Outcome(
        dual=DualBound(value=dual, source=name, soundness=soundness),
        incumbent=Incumbent(value=value, partition=partition, source=name),
        termination=termination,
        details={"decisions": decisions, "contracted": decider.contracted},
    )
