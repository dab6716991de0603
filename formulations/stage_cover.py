"""`stage-cover`: refutes T by node prices whose total exceeds that of any k stages of cost at most T (Farley's bound).

Validity: let T be a threshold, pi integers on the nodes, and theta at least 0 such that pi(S) <= theta for every convex
S with f(S) <= T. In a partition into k stages of cost at most T every stage is such an S or empty, so pi(V), the sum of
pi(S) over the stages, is at most k theta. If pi(V) > k theta there is no such partition, and the optimum is at least
T + 1. theta is proven by trees of minimum cuts in exact integers (`framework.structure.pricing.branch_and_bound`). The
proof holds for any prices; `framework.structure.covering.farley` says how they are chosen. Overflow enters a cut as
p(S) - capacity or as 0, whichever gives the better bound: neither is above max(0, p(S) - capacity). In p(S) a parameter
that several nodes of S use counts once, which a cut charges exactly (`framework.structure.pricing.network`).

Certificate: T, prices, theta, the order of the anchors and the tree; `check` repeats one minimum cut a leaf, and
those that rule out pairs of nodes and covered nets at T. No linear program is involved. With `contract`, the edges that
were contracted as well, with one or two minimum cuts each.

Source: Farley's bound in column generation (Farley, 1990); the pricing: this project.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from framework.bounds import Certificate, Limit, Outcome, Reason, Soundness, Termination
from framework.contracts import Columns, Context, Decision, Feature, Refuted, Relaxation, Undecided
from framework.errors import OutOfTimeError
from framework.model.problem import Partition, Problem, bottleneck
from framework.portfolio.context.destructive_bound import DestructiveBound
from framework.portfolio.context.latest import Latest
from framework.portfolio.context.step_rules import StepsFromAbove
from framework.registry import register_formulation
from framework.structure.primal.initial_interval import balanced_partition, simple_bound

if TYPE_CHECKING:
    from framework.model.arrays import IntArray
    from framework.structure.covering.farley import CoverProof, StageCover
    from framework.structure.poset.closure import BoolArray
    from framework.structure.pricing.network import RoleArray

NAME = "stage-cover"
FIELDS = ("threshold", "prices", "theta", "order", "tree")
"""Of a certificate; one of the contracted instance also has its rounds, and which of its nodes each node became."""
LONGEST_LOG = 20_000
"""Rows of a tree that a certificate may have; longer proofs stand without one."""
FIRST, DESCENT, STEP, SMALLEST_STEP, RESOLUTION = 0.84, 0.06, 0.035, 0.004, 5e-4
"""Of the thresholds, as shares of the incumbent (`StepsFromAbove`)."""
MARGIN = 0.38
"""What the margin of a first threshold should be, times the root of the stages: with less, proofs are long."""
_latest: Latest[StageCover] = Latest()


@register_formulation(
    NAME,
    features=[Feature.DUAL, Feature.DECISION, Feature.ANYTIME, Feature.WARM_START, Feature.SHARED],
    summary="Prices of nodes such that no stage of cost at most T is worth more than 1: a bound for many stages",
    reference="Farley, 1990 (the bound); pricing by trees of minimum cuts: this project",
    compile_rank=2,
    compiled_after="counting",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class StageCovering:
    """Lower the threshold until one is refuted, then raise it, with more effort each time it is not refuted.

    Attributes
    ----------
    first_effort
        Vertices of the search trees for the first attempts.
    max_effort
        Vertices for the last attempts; doubled up to there.
    max_nodes
        Give up on larger instances.
    contract
        Whether `bound`, and `column-generation`, refute thresholds on the instance contracted at them.
    """

    first_effort: int = 20_000
    max_effort: int = 8_000_000
    max_nodes: int = 2_000
    contract: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.first_effort <= self.max_effort:
            raise ValueError("first_effort must be at least 1 and at most max_effort")
        if self.max_nodes < 1:
            raise ValueError("max_nodes must be at least 1")

    def bound(self, problem: Problem, context: Context) -> Outcome:
        """Raise the best bound known towards the incumbent."""
        if problem.instance.n > self.max_nodes:
            return Outcome(termination=self._too_large(problem))
        program = _Program(problem, context, contract=self.contract)
        search = DestructiveBound(NAME, problem, context)
        program.add(search.partition)
        steps = StepsFromAbove(
            first=FIRST,
            descent=DESCENT,
            step=STEP,
            smallest=SMALLEST_STEP,
            resolution=RESOLUTION,
            effort=self.first_effort,
            most=self.max_effort,
        )
        margin = MARGIN / math.sqrt(problem.useful_stages)
        termination = search.run(
            lambda threshold: program.refute(threshold, effort=steps.effort, margin=0.0 if steps.climbs else margin),
            steps,
        )
        details = {"refuted": search.refuted, "failed": search.failed, **program.details()}
        return Outcome(dual=search.best, termination=termination, details=details)

    def decide(self, problem: Problem, threshold: int, context: Context) -> Decision:
        """Refute a threshold (ticks), or leave it undecided."""
        from framework.structure.covering.farley import CoverProof, Failure

        if threshold < simple_bound(problem):
            return Refuted(soundness=Soundness.EXACT)
        if problem.instance.n > self.max_nodes:
            return Undecided(reason=self._too_large(problem).detail)
        try:
            cover = _cover_of(problem, context)
            effort = self.first_effort
            while True:
                found = cover.refute(threshold, effort=effort, should_stop=context.should_stop)
                if isinstance(found, CoverProof):
                    return Refuted(soundness=Soundness.EXACT, certificate=_certificate(problem, found))
                if found is Failure.COVERED or effort == self.max_effort:
                    return Undecided(reason=found.value)
                effort = min(self.max_effort, 4 * effort)
        except OutOfTimeError:
            return Undecided(reason="out of time")

    def cover(self, problem: Problem, context: Context) -> Columns | None:
        """Return the program that `column-generation` drives; None for instances above `max_nodes`."""
        if problem.instance.n > self.max_nodes:
            return None
        return _Program(problem, context, contract=self.contract)

    def relax(self, problem: Problem, context: Context) -> Relaxation | None:
        """Return the dual of the covering program, one multiplier a node; None for instances above `max_nodes`."""
        from formulations.cover_relaxation import CoverRelaxation
        from framework.structure.covering.farley import StageCover

        if problem.instance.n > self.max_nodes:
            return None
        upper = _ceiling(problem, context)
        cover = StageCover(problem, context.should_stop, ceiling=upper)
        lower = max(simple_bound(problem), context.dual or 0)
        return CoverRelaxation(cover, context, lower=lower, upper=upper)

    def check(self, problem: Problem, certificate: Certificate) -> int:
        """Walk through the tree of a certificate, one minimum cut a leaf, and return the bound it proves."""
        import numpy as np

        from framework.structure.covering.farley import CoverProof, StageCover

        if "rounds" in certificate.data:
            return _checked_contracted(problem, certificate)
        data = certificate.whole_data(*FIELDS)
        proof = CoverProof(
            threshold=int(data["threshold"]),
            prices=np.array(data["prices"], np.int64),
            theta=int(data["theta"]),
            order=np.array(data["order"], np.int64),
            log=np.array(data["tree"], np.int64).reshape(-1, 3),
        )
        if proof.threshold < 0 or proof.prices.shape != (problem.instance.n,):
            raise ValueError("the certificate is for another instance")
        if not StageCover(problem).verify(proof):
            raise ValueError("the tree does not prove that no stage is worth more than theta")
        return proof.threshold + 1

    def _too_large(self, problem: Problem) -> Termination:
        detail = f"{problem.instance.n} nodes, more than max_nodes = {self.max_nodes}"
        return Termination(reason=Reason.LIMIT, limit=Limit.SIZE, detail=detail)


class _Program:
    """The program behind one problem, for `bound` and for strategies.

    With `contract` it is that of the contracted problem; where that changes, it takes its columns along.
    """

    def __init__(self, problem: Problem, context: Context, *, contract: bool) -> None:
        from framework.structure.reduction.threshold_contraction import ContractedProblems

        self._problem, self._context = problem, context
        self.covered = _ceiling(problem, context)
        self._problems = ContractedProblems(problem, max_nodes=problem.instance.n if contract else 0)
        self._cover: StageCover | None = None
        self._columns: list[RoleArray] = []
        self._done = {"rounds": 0, "vertices": 0}

    def add(self, partition: Partition) -> None:
        from framework.structure.covering.farley import stages_of

        self._columns += stages_of(partition)
        if self._cover is not None:
            self._cover.take(stages_of(partition), self._node_of(self._cover.problem))

    def refute(self, threshold: int, *, effort: int, margin: float = 0.0) -> Refuted | Undecided:
        from framework.structure.covering.farley import CoverProof, Failure

        cover = self._at(threshold)
        if cover is None:
            return Refuted(soundness=Soundness.EXACT)
        found = cover.refute(threshold, effort=effort, margin=margin, should_stop=self._context.should_stop)
        if isinstance(found, CoverProof):
            contraction = {}
            if cover.problem is not self._problem:
                node_of = cover.problem.instance.node_of_input.tolist()
                contraction = {"rounds": self._problems.rounds, "node_of": node_of}
            certificate = _certificate(self._problem, found, contraction)
            return Refuted(soundness=Soundness.EXACT, certificate=certificate)
        if found is Failure.COVERED:
            self.covered = min(self.covered, threshold)
        return Undecided(reason=found.value, above=found is Failure.COVERED)

    def stages(self, threshold: int) -> BoolArray:
        import numpy as np

        rows = [] if self._cover is None else self._lifted(self._cover, self._cover.most_valuable(threshold))
        return np.array(rows, np.bool_).reshape(len(rows), self._problem.instance.n)

    def details(self) -> dict[str, int]:
        """Return the sizes of the search."""
        return {name: done + getattr(self._cover, name, 0) for name, done in self._done.items()}

    def _at(self, threshold: int) -> StageCover | None:
        """Return the program for a threshold; None if the contraction refutes it."""
        from framework.structure.covering.farley import StageCover

        problem = self._problems.at(threshold, self._context.should_stop)
        if problem is None:
            return None
        latest = self._cover
        if latest is None or latest.problem is not problem:
            cover = StageCover(problem, self._context.should_stop, ceiling=self.covered)
            if latest is not None:
                self._columns = self._lifted(latest, latest.columns(self.covered))
                self._done = self.details()
            cover.take(self._columns, self._node_of(problem))
            self._cover = cover
        return self._cover

    def _node_of(self, problem: Problem) -> IntArray:
        import numpy as np

        return np.arange(problem.instance.n) if problem is self._problem else problem.instance.node_of_input

    def _lifted(self, cover: StageCover, columns: list[RoleArray]) -> list[RoleArray]:
        node_of = self._node_of(cover.problem)
        return [column[node_of] for column in columns]


def _ceiling(problem: Problem, context: Context) -> int:
    """Return the bottleneck of a known partition: thresholds from there on are of no interest."""
    return context.incumbent or bottleneck(problem, balanced_partition(problem))


def _cover_of(problem: Problem, context: Context) -> StageCover:
    """Return the state of the latest problem decided, whose columns serve again at other thresholds."""
    from framework.structure.covering.farley import StageCover

    key = problem.instance.sha256(), problem.useful_stages
    return _latest.get(key, lambda: StageCover(problem, context.should_stop))


def _checked_contracted(problem: Problem, certificate: Certificate) -> int:
    """Return what a certificate of the contracted instance proves: the checker of proofs makes that again."""
    import numpy as np

    from framework.portfolio.logs.write import steps_of
    from framework.proof.check import proven_by
    from framework.proof.problem import plain_problem

    certificate.whole_data(*FIELDS, "rounds", "node_of")
    steps = steps_of(certificate, np.arange(problem.instance.n))
    return proven_by(plain_problem(problem.instance, problem.stages), steps or ())


def _certificate(
    problem: Problem, proof: CoverProof, contraction: Mapping[str, Sequence[Any]] = MappingProxyType({})
) -> Certificate | None:
    if proof.log is None or len(proof.log) > LONGEST_LOG:
        return None
    return Certificate(
        kind=NAME,
        data={
            "threshold": proof.threshold,
            "prices": proof.prices.tolist(),
            "theta": proof.theta,
            "order": proof.order.tolist(),
            "tree": proof.log.ravel().tolist(),
            **contraction,
        },
        instance=problem.instance.sha256(),
    )
