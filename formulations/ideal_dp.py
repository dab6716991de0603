"""`ideal-dp`: the exact optimum by dynamic programming over ideals, wherever they can be enumerated.

Validity: a threshold T is refuted only after every chain of at most k ideals whose stages cost at most T has been ruled
out over the complete lattice, so the optimum is at least T + 1; all arithmetic is on integers. A threshold that is not
refuted comes with a partition. Bisection between refuted and satisfied thresholds ends at the optimum. The proof is in
`framework.structure.ideals.chain_dp`, and in `framework.structure.unequal.chain_dp` where stages run on different
devices.

With `epsilon`, all this happens on a relaxed instance (`framework.structure.reduction.dominance.reduce_relaxing`),
whose optimum is at most the true one. Refutations hold for the true instance, partitions are lifted to it and priced
there, and the final gap is at most the error of the relaxation. The relaxation contracts sources of tiny cost, which
are common in exported graphs and multiply the number of ideals.

Source: Tarnawski et al., NeurIPS 2020 (a minimax program over the same lattice); deciding thresholds, from the
incumbent downwards, with bounds that prune states: this project.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from framework.bounds import DualBound, Incumbent, Limit, Outcome, Reason, Soundness, Termination
from framework.contracts import Context, Decision, Feature, Refuted, Satisfied, Undecided
from framework.errors import OutOfTimeError
from framework.model.problem import Partition, Problem, bottleneck, obeys
from framework.registry import register_formulation
from framework.structure.primal.initial_interval import known_partition, simple_bound

if TYPE_CHECKING:
    from framework.model.instance import Instance
    from framework.structure.ideals.chain_dp import ChainSearch
    from framework.structure.ideals.lattice import IdealLattice
    from framework.structure.unequal.chain_dp import UnequalChainSearch

NAME = "ideal-dp"
KEPT = 2
"""Lattices kept for repeated decisions on the same instance."""
FIRST_STEP, NEARLY = 0.02, 1e-3
"""How far below the incumbent the second threshold lies, and the gap that is small; as shares of the incumbent."""
_lattices: OrderedDict[tuple[str, int, int, bool], IdealLattice] = OrderedDict()


@register_formulation(
    NAME,
    features=[
        Feature.EXACT,
        Feature.DUAL,
        Feature.PRIMAL,
        Feature.DECISION,
        Feature.ANYTIME,
        Feature.WARM_START,
        Feature.LIMITS,
        Feature.SHARED,
        Feature.WORKSETS,
        Feature.UNEQUAL,
    ],
    summary="Exact dynamic program over the ideals of the graph, where there are not too many",
    reference="Tarnawski et al., NeurIPS 2020; thresholds and corridors: this project",
    compile_rank=3,
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
    epsilon
        Share of the total work that a relaxing reduction may take away first; 0 for none, which is exact.
    foresee
        Whether to give up early where the first ideals foretell more than twice as many as allowed.
    patience
        Share of the time left that one decision may take; after a longer one the entry ends, as it is not likely to
        finish. So that a portfolio has time for others.
    """

    max_ideals: int = 300_000
    max_megabytes: int = 2048
    epsilon: float = 0.0
    foresee: bool = True
    patience: float = 1.0

    def __post_init__(self) -> None:
        if self.max_ideals < 2:
            raise ValueError("max_ideals must be at least 2")
        if self.max_megabytes < 1:
            raise ValueError("max_megabytes must be at least 1")
        if not 0 <= self.epsilon < 1:
            raise ValueError("epsilon must be at least 0 and below 1")
        if not 0 < self.patience <= 1:
            raise ValueError("patience must be above 0 and at most 1")

    def bound(self, problem: Problem, context: Context) -> Outcome:
        """Close the gap, or say which limit was in the way."""
        from framework.structure.unequal.chain_dp import chain_search

        relaxed = self._relax(problem, context.should_stop)
        lattice = self._lattice(relaxed.instance, context.should_stop)
        details: dict[str, Any] = {"ideals": len(lattice)}
        if not lattice.complete:
            return Outcome(termination=self._why_incomplete(lattice), details=details)
        if self._is_too_large(relaxed.instance, lattice):
            return Outcome(termination=self._too_large(), details=details)
        search = _Search(problem, context, relaxed, chain_search(relaxed.instance, lattice), self.patience)
        try:
            search.run()
            termination = Termination(reason=Reason.OPTIMAL if search.dual >= search.value else Reason.FINISHED)
        except OutOfTimeError:
            detail = "" if context.should_stop() else "a decision took more than its share of the time left"
            termination = Termination(reason=Reason.LIMIT, limit=Limit.TIME, detail=detail)
        details |= {"decisions": search.decisions, "extensions": search.chains.steps}
        return Outcome(
            dual=DualBound(value=search.proven, source=NAME, soundness=Soundness.EXACT),
            incumbent=search.incumbent,
            termination=termination,
            details=details,
        )

    def decide(self, problem: Problem, threshold: int, context: Context) -> Decision:
        """Decide one threshold; the lattice is kept for the next one on the same instance."""
        from framework.structure.unequal.chain_dp import chain_search

        relaxed = self._relax(problem, context.should_stop)
        lattice = self._lattice(relaxed.instance, context.should_stop)
        if not lattice.complete:
            return Undecided(reason=lattice.status.value)
        if self._is_too_large(relaxed.instance, lattice):
            return Undecided(reason="too much memory")
        try:
            chains = chain_search(relaxed.instance, lattice)
            found = chains.decide(relaxed.useful_stages, threshold, context.should_stop)
        except OutOfTimeError:
            return Undecided(reason="out of time")
        if found is None:
            return Refuted(soundness=Soundness.EXACT)
        partition = _lift(found, relaxed, problem)
        if bottleneck(problem, partition) <= threshold and obeys(problem, partition):
            return Satisfied(partition=partition)
        return Undecided(reason="possible on the relaxed instance only")

    def _relax(self, problem: Problem, should_stop: Callable[[], bool]) -> Problem:
        """Return the problem to search: the same one unless `epsilon` is given."""
        from framework.structure.reduction.dominance import reduce_relaxing

        if not self.epsilon:
            return problem
        relaxed = reduce_relaxing(problem.instance, self.epsilon, should_stop=should_stop).instance
        return problem.on(relaxed)

    def _lattice(self, instance: Instance, should_stop: Callable[[], bool]) -> IdealLattice:
        from framework.structure.ideals.lattice import LatticeStatus, enumerate_ideals

        key = (instance.sha256(), self.max_ideals, self.max_megabytes, self.foresee)
        if key not in _lattices:
            lattice = enumerate_ideals(
                instance,
                max_ideals=self.max_ideals,
                max_bytes=self.max_megabytes << 20,
                foresee=self.foresee,
                should_stop=should_stop,
            )
            if lattice.status is LatticeStatus.STOPPED:
                return lattice
            _lattices[key] = lattice
            while len(_lattices) > KEPT:
                _lattices.popitem(last=False)
        return _lattices[key]

    def _is_too_large(self, instance: Instance, lattice: IdealLattice) -> bool:
        """Whether the prices of many kinds of devices take more memory than allowed."""
        from framework.structure.unequal.chain_dp import bytes_of_search

        return bytes_of_search(instance, len(lattice)) > self.max_megabytes << 20

    def _too_large(self) -> Termination:
        detail = f"the ideals need more than {self.max_megabytes} MB"
        return Termination(reason=Reason.LIMIT, limit=Limit.MEMORY, detail=detail)

    def _why_incomplete(self, lattice: IdealLattice) -> Termination:
        from framework.structure.ideals.lattice import LatticeStatus

        if lattice.status is LatticeStatus.STOPPED:
            return Termination(reason=Reason.LIMIT, limit=Limit.TIME, detail="while enumerating ideals")
        if lattice.status is LatticeStatus.TOO_LARGE:
            return self._too_large()
        return Termination(reason=Reason.LIMIT, limit=Limit.SIZE, detail=f"more than {self.max_ideals} ideals")


class _Search:
    """Bisection on integer thresholds that bets on the incumbent: it is optimal more often than not.

    `ceiling` is the lowest threshold that is known to be possible on the relaxed problem: the value of the incumbent,
    unless the relaxation reached less than what its partition costs in truth.
    """

    def __init__(
        self,
        problem: Problem,
        context: Context,
        relaxed: Problem,
        chains: ChainSearch | UnequalChainSearch,
        patience: float,
    ) -> None:
        self.problem, self.context, self.relaxed, self.chains = problem, context, relaxed, chains
        self.patience = patience
        self.decisions = 0
        # What others have proven is theirs: it may be less sound than what is claimed here.
        self.dual = self.proven = simple_bound(problem)
        self.partition, self.value = known_partition(problem, context.best_partition())
        self.ceiling = self.value

    def run(self) -> None:
        """Decide until ``dual >= ceiling``.

        Raises
        ------
        OutOfTimeError
            If the context says stop, or a decision takes too long; `proven`, `value` and `partition` hold what is
            known.
        """
        step = 0.0
        while True:
            self._listen()
            if self.dual >= self.ceiling:
                return
            # A refutation just below the incumbent ends the search, so that comes first, and again once the gap is
            # small; after a success the incumbent was poor, so the next threshold goes further down, but never below
            # the middle.
            middle = (self.dual + self.ceiling - 1) // 2
            threshold = max(middle, min(self.ceiling - 1, int(self.ceiling * (1 - step))))
            found = self.chains.decide(self.relaxed.useful_stages, threshold, self._in_time())
            self.decisions += 1
            if found is None:
                self.dual = self.proven = threshold + 1
                self.context.report_dual(self.dual, Soundness.EXACT)
                step = step / 4 if self.ceiling - self.dual > NEARLY * self.ceiling else 0.0
            else:
                self._take(found)
                step = min(0.5, max(FIRST_STEP, 2 * step))

    def _in_time(self) -> Callable[[], bool]:
        """Return what stops a decision that begins now."""
        # All the time there is may be without end.
        enough = 0.0 if self.patience == 1 else (1 - self.patience) * self.context.remaining()
        return lambda: self.context.should_stop() or self.context.remaining() < enough

    @property
    def incumbent(self) -> Incumbent | None:
        """The best partition; None where none is known that obeys a hard limit."""
        if self.value > self.problem.instance.largest_cost:
            return None
        return Incumbent(value=self.value, partition=self.partition, source=NAME)

    def _take(self, found: Partition) -> None:
        """Lower the ceiling to what a partition of the relaxed problem costs, and report it if it is better."""
        self.ceiling = bottleneck(self.relaxed, found)
        lifted = _lift(found, self.relaxed, self.problem)
        value = bottleneck(self.problem, lifted)
        # A relaxation in which all stages are the same knows no limits of their own.
        if value < self.value and obeys(self.problem, lifted):
            self.partition, self.value = lifted, value
            self.context.report_partition(lifted)

    def _listen(self) -> None:
        """Take over what others have found meanwhile."""
        self.dual = max(self.dual, self.context.dual or 0)
        if self.context.incumbent is not None and self.context.incumbent < self.value:
            other = self.context.best_partition()
            if other is not None and (value := bottleneck(self.problem, other)) < self.value:
                self.partition, self.value = other, value
        self.ceiling = min(self.ceiling, self.value)
        if self.dual < self.ceiling and self.context.should_stop():
            raise OutOfTimeError("stopped between decisions")


def _lift(partition: Partition, relaxed: Problem, problem: Problem) -> Partition:
    """Turn a partition of the relaxed problem into one of the problem."""
    from framework.structure.reduction.contraction import lift

    return partition if relaxed is problem else lift(partition, relaxed.instance)
