"""`ideal-dp`: the exact optimum by dynamic programming over ideals, wherever they can be enumerated.

Validity: a threshold T is refuted only after every chain of at most k ideals whose stages cost at most T has been ruled
out over the complete lattice (`framework.structure.ideal_chains` has the proof), so the optimum is at least
T + 1; all arithmetic is on integers. A threshold that is reached comes with its partition. Bisection between the
two ends at the optimum. Source: Tarnawski et al., NeurIPS 2020 (a minimax program over the same lattice); deciding
thresholds with corridors, from the incumbent downwards, is this project's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from framework.bounds import DualBound, Incumbent, Limit, Outcome, Reason, Soundness, Termination
from framework.contracts import Context, Decision, Feature, Refuted, Satisfied, Undecided
from framework.errors import OutOfTimeError
from framework.model.problem import Partition, Problem, bottleneck
from framework.registry import register_formulation
from framework.structure.start import balanced_partition, simple_bound

if TYPE_CHECKING:
    from framework.structure.ideal_chains import ChainSearch
    from framework.structure.ideals import IdealLattice

NAME = "ideal-dp"
KEPT = 2
"""Lattices kept for repeated decisions on the same instance."""
FIRST_STEP = 0.02
_lattices: OrderedDict[tuple[str, int, int], IdealLattice] = OrderedDict()


@register_formulation(
    NAME,
    features=[
        Feature.EXACT,
        Feature.DUAL,
        Feature.PRIMAL,
        Feature.DECISION,
        Feature.ANYTIME,
        Feature.WARM_START,
    ],
    summary="Exact dynamic program over the ideals, where there are not too many",
    reference="Tarnawski et al., NeurIPS 2020; thresholds and corridors: this project",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class IdealDP:
    """Enumerate the ideals, then decide thresholds from the incumbent downwards until both sides meet.

    Attributes
    ----------
    max_ideals
        Give up beyond this many ideals.
    max_megabytes
        Give up when the lattice would take more memory.
    """

    max_ideals: int = 300_000
    max_megabytes: int = 2048

    def __post_init__(self) -> None:
        if self.max_ideals < 2:
            raise ValueError("max_ideals must be at least 2")
        if self.max_megabytes < 1:
            raise ValueError("max_megabytes must be at least 1")

    def bound(self, problem: Problem, context: Context) -> Outcome:
        """Close the gap, or say which limit was in the way."""
        from framework.structure.ideal_chains import ChainSearch

        lattice = self._lattice(problem, context.should_stop)
        details: dict[str, Any] = {"ideals": len(lattice)}
        if not lattice.complete:
            return Outcome(termination=self._why_incomplete(lattice), details=details)
        search = _Search(problem, context, ChainSearch(problem.instance, lattice))
        try:
            search.run()
            termination = Termination(reason=Reason.OPTIMAL)
        except OutOfTimeError:
            termination = Termination(reason=Reason.LIMIT, limit=Limit.TIME)
        details |= {"decisions": search.decisions, "extensions": search.chains.steps}
        return Outcome(
            dual=DualBound(value=search.dual, source=NAME, soundness=Soundness.EXACT),
            incumbent=Incumbent(value=search.value, partition=search.partition, source=NAME),
            termination=termination,
            details=details,
        )

    def decide(self, problem: Problem, threshold: int, context: Context) -> Decision:
        """Decide one threshold; the lattice is kept for the next one on the same instance."""
        from framework.structure.ideal_chains import ChainSearch

        lattice = self._lattice(problem, context.should_stop)
        if not lattice.complete:
            return Undecided(reason=lattice.status.value)
        try:
            chains = ChainSearch(problem.instance, lattice)
            partition = chains.decide(problem.useful_stages, threshold, context.should_stop)
        except OutOfTimeError:
            return Undecided(reason="out of time")
        return Refuted(soundness=Soundness.EXACT) if partition is None else Satisfied(partition=partition)

    def _lattice(self, problem: Problem, should_stop: Callable[[], bool]) -> IdealLattice:
        from framework.structure.ideals import LatticeStatus, enumerate_ideals

        key = (problem.instance.sha256(), self.max_ideals, self.max_megabytes)
        if key not in _lattices:
            lattice = enumerate_ideals(
                problem.instance,
                max_ideals=self.max_ideals,
                max_bytes=self.max_megabytes << 20,
                should_stop=should_stop,
            )
            if lattice.status is LatticeStatus.STOPPED:
                return lattice
            _lattices[key] = lattice
            while len(_lattices) > KEPT:
                _lattices.popitem(last=False)
        return _lattices[key]

    def _why_incomplete(self, lattice: IdealLattice) -> Termination:
        from framework.structure.ideals import LatticeStatus

        if lattice.status is LatticeStatus.STOPPED:
            return Termination(reason=Reason.LIMIT, limit=Limit.TIME, detail="while enumerating ideals")
        if lattice.status is LatticeStatus.TOO_LARGE:
            detail = f"the ideals need more than {self.max_megabytes} MB"
            return Termination(reason=Reason.LIMIT, limit=Limit.MEMORY, detail=detail)
        return Termination(reason=Reason.LIMIT, limit=Limit.SIZE, detail=f"more than {self.max_ideals} ideals")


class _Search:
    """Bisection on integer thresholds that bets on the incumbent: it is optimal more often than not."""

    def __init__(self, problem: Problem, context: Context, chains: ChainSearch) -> None:
        self.problem, self.context, self.chains = problem, context, chains
        self.decisions = 0
        self.dual = simple_bound(problem)
        self.partition: Partition = context.best_partition() or balanced_partition(problem)
        self.value = bottleneck(problem, self.partition)

    def run(self) -> None:
        """Decide until ``dual == value``.

        Raises
        ------
        OutOfTimeError
            If the context says stop; `dual`, `value` and `partition` hold what is proven.
        """
        step = 0.0
        while True:
            self._listen()
            if self.dual >= self.value:
                return
            # A refutation just below the incumbent ends the search; after a success the incumbent was
            # poor, so the next threshold goes further down, but never below the middle.
            middle = (self.dual + self.value - 1) // 2
            threshold = max(middle, min(self.value - 1, int(self.value * (1 - step))))
            found = self.chains.decide(self.problem.useful_stages, threshold, self.context.should_stop)
            self.decisions += 1
            if found is None:
                self.dual = threshold + 1
                self.context.report_dual(self.dual, Soundness.EXACT)
                step = step / 4 if step > 1e-5 else 0.0
            else:
                self.partition, self.value = found, bottleneck(self.problem, found)
                self.context.report_partition(found)
                step = min(0.5, max(FIRST_STEP, 2 * step))

    def _listen(self) -> None:
        """Take over what others have found meanwhile."""
        self.dual = max(self.dual, self.context.dual or 0)
        if self.context.incumbent is not None and self.context.incumbent < self.value:
            other = self.context.best_partition()
            if other is not None and (value := bottleneck(self.problem, other)) < self.value:
                self.partition, self.value = other, value
        if self.dual < self.value and self.context.should_stop():
            raise OutOfTimeError("stopped between decisions")
