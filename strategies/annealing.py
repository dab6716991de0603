"""`annealing`: improves the best known partition by simulated annealing, then slices the resulting order optimally.

Validity: it proves no bound; every partition is priced by the evaluator.

A cooling starts from the incumbent of the run. Its last partition and its best one are turned into topological orders,
which are sliced optimally (`framework.structure.primal.slicing`). Slicing can shift all boundaries at once, which
single moves cannot. The length of a cooling is counted in moves, not in seconds, so the same seed gives the same
result.

Source: this project.
"""

from __future__ import annotations

from dataclasses import dataclass

from framework.bounds import Limit, Outcome, Reason, Termination
from framework.contracts import Context, Feature
from framework.model.problem import Problem
from framework.registry import register_strategy
from strategies.cooling import best_known, best_of, cool, start_of, without_start

NAME = "annealing"


@register_strategy(
    NAME,
    features=[
        Feature.PRIMAL,
        Feature.ANYTIME,
        Feature.WARM_START,
        Feature.LIMITS,
        Feature.SHARED,
        Feature.WORKSETS,
        Feature.UNEQUAL,
    ],
    summary="Simulated annealing of partitions; after each cooling their orders are sliced optimally",
    reference="this project",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class Annealing:
    """Cool again and again, twice as long each time, until nothing improves any more.

    Attributes
    ----------
    moves_per_node
        Length of the first cooling.
    patience
        Coolings in a row without improvement after which it ends.
    longest
        Moves of the longest cooling.
    """

    moves_per_node: int = 2000
    patience: int = 3
    longest: int = 100_000_000

    def __post_init__(self) -> None:
        if self.moves_per_node < 1 or self.longest < 1:
            raise ValueError("moves_per_node and longest must be at least 1")
        if self.patience < 1:
            raise ValueError("patience must be at least 1")

    def run(self, problem: Problem, context: Context) -> Outcome:
        """Cool until patience or time runs out."""
        from framework.structure.primal.annealing import HOTTEST, LARGEST_TABLE, Annealer, table_of

        table = table_of(problem)
        if table > LARGEST_TABLE:
            detail = f"tensors times stages are {table}, more than {LARGEST_TABLE}"
            return Outcome(termination=Termination(reason=Reason.LIMIT, limit=Limit.SIZE, detail=detail))
        best = start_of(problem, NAME, context)
        if best is None:
            return without_start()
        annealer = Annealer(problem, best.partition, context.seed)
        moves = min(self.longest, self.moves_per_node * problem.instance.n)
        failures = coolings = 0
        while failures < self.patience and not context.should_stop():
            cool(annealer, moves, HOTTEST, context)
            coolings += 1
            found = best_of(problem, annealer, NAME, context)
            if found.value < best.value:
                best = found
                context.report_partition(found.partition)
                failures = 0
            else:
                failures += 1
            moves = min(self.longest, 2 * moves)
            annealer.restart(best_known(problem, best, context).partition)
        if not context.should_stop():
            termination = Termination(reason=Reason.FINISHED)
        else:
            termination = Termination(reason=Reason.LIMIT, limit=Limit.TIME)
        return Outcome(incumbent=best, termination=termination, details={"coolings": coolings})
