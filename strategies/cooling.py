"""Simulated annealing as `annealing` and `multilevel` run it: start, cooling schedule, and the partitions it yields."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from framework.bounds import Incumbent, Outcome, Reason, Termination
from framework.contracts import Context
from framework.model.problem import Partition, Problem, bottleneck, obeys
from framework.structure.primal.initial_interval import known_partition

if TYPE_CHECKING:
    from framework.structure.primal.annealing import Annealer

MOVES_A_CALL = 25_000
"""Moves before a kernel call returns to Python: a few hundredths of a second at most, also on large graphs."""


def start_of(problem: Problem, source: str, context: Context) -> Incumbent | None:
    """Return the best partition known to anyone, or a simple one; None if it breaks a hard limit."""
    partition, value = known_partition(problem, context.best_partition())
    return Incumbent(value=value, partition=partition, source=source) if obeys(problem, partition) else None


def without_start() -> Outcome:
    """Return the outcome of a search that `start_of` has nothing for."""
    detail = "no partition within the hard limit is known to start from"
    return Outcome(termination=Termination(reason=Reason.FINISHED, detail=detail))


def best_known(problem: Problem, best: Incumbent, context: Context) -> Incumbent:
    """Return the best partition known to anyone, which is the given one unless another one is better."""
    other = context.best_partition()
    if other is None or (value := bottleneck(problem, other)) >= best.value:
        return best
    return Incumbent(value=value, partition=other, source=best.source)


def unchanged(partition: Partition) -> Partition:
    """Return the partition itself: for annealers of the problem that partitions are reported for."""
    return partition


def cool(
    annealer: Annealer,
    moves: int,
    hottest: float,
    context: Context,
    lifted: Callable[[Partition], Partition] = unchanged,
) -> None:
    """Make so many moves, the temperature falling over all of them; report what is better than all that is known.

    Parameters
    ----------
    lifted
        Turns a partition of the annealer's problem into one of the problem to report for.
    """
    from framework.structure.primal.annealing import COLDEST, Cooling

    calls = -(-moves // MOVES_A_CALL)
    ratio = (COLDEST / hottest) ** (1 / calls)
    reported = annealer.best
    for call in range(calls):
        if context.should_stop():
            return
        hot = hottest * ratio**call
        annealer.cool(Cooling(moves=moves // calls, hottest=hot, coldest=hot * ratio))
        if annealer.best < reported and (context.incumbent is None or annealer.best < context.incumbent):
            reported = annealer.best
            context.report_partition(lifted(annealer.best_partition()))


def best_of(
    problem: Problem,
    annealer: Annealer,
    source: str,
    context: Context,
    lifted: Callable[[Partition], Partition] = unchanged,
) -> Incumbent:
    """Return the best of what a walk met and of the optimal slicings of its orders."""
    from framework.structure.poset.topological_orders import order_of_partition
    from framework.structure.unequal.slicing import slicer_of

    met = lifted(annealer.best_partition())
    best = Incumbent(value=annealer.best, partition=met, source=source)
    for partition in (met, lifted(annealer.current_partition())):
        sliced = slicer_of(problem.instance, order_of_partition(problem.instance, partition)).solve(
            problem.useful_stages, upper=best.value, lower=context.dual or 0, should_stop=context.should_stop
        )
        if sliced is not None:
            best = Incumbent(value=sliced.value, partition=sliced.partition, source=source)
    return best
