"""`counting`: refutes T where the least shares that nodes take of any stage add up to more than k stages.

Validity: at a threshold T take weights a > 0 on the nodes, and g_v at least the weight a(S) of every convex S that
holds v and costs at most T. In a partition at T each stage S takes up

    sum over v in S of a_v / g_v  <=  sum over v in S of a_v / a(S)  =  1,

so all nodes together take up at most k. If the sum of a_v / g_v over all nodes exceeds k there is no such partition,
and the optimum is at least T + 1; the terms are rounded down to multiples of 2^-60. Each g_v is proven by minimum cuts
in exact integers: one Lagrangian bound, or a tree of them with v as the only anchor, where nodes that cannot share a
stage with v at T are out (`framework.structure.covering.anchor_weights`). Where the weights come from does not matter.

Certificate: T, the weights, g and a tree for each node; `check` repeats one minimum cut a leaf, and those that rule out
pairs of nodes and covered nets at T. No linear program is involved.

Where it wins: many stages (16 to 32 on graphs of 150 nodes), where one bound a node or a small tree is enough; most of
its first seconds go into the minimum cuts that rule out pairs and nets. For few stages `spreading-metric` is ahead.

Source: this project.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from framework.bounds import Certificate, DualBound, Limit, Outcome, Reason, Soundness, Termination
from framework.contracts import Context, Decision, Feature, Refuted, Undecided
from framework.errors import OutOfTimeError
from framework.model.problem import Problem, bottleneck
from framework.portfolio.context.latest import Latest
from framework.registry import register_formulation
from framework.structure.primal.initial_interval import balanced_partition, simple_bound

if TYPE_CHECKING:
    from framework.structure.covering.share_bound import CountProof, CountRefuter

NAME = "counting"
LONGEST_LOG = 30_000
"""Rows of all trees that a certificate may have; longer proofs stand without one."""
SMALLEST_STEP = 1 / 256
"""Share of the interval below which a step up is given up, until the effort grows."""
_latest: Latest[CountRefuter] = Latest()


@register_formulation(
    NAME,
    features=[Feature.DUAL, Feature.DECISION, Feature.ANYTIME, Feature.WARM_START],
    summary="The least share of a stage of cost at most T that each node takes up: more than k in all refutes T",
    reference="this project",
    purpose="bounds for many stages (16 to 32 on wide graphs of 150 nodes) without a linear program",
    compile_rank=6,
)
@dataclass(frozen=True, slots=True, kw_only=True)
class Counting:
    """Raise the threshold as long as it is refuted, with larger trees each time it is not.

    Attributes
    ----------
    max_effort
        Vertices of the tree of one node in the last attempts; the first have one. 0 for one minimum cut a node.
    max_nodes
        Give up on larger instances.
    contract
        Whether `bound` refutes thresholds on the instance contracted at them; such proofs come without a certificate.
    """

    max_effort: int = 512
    max_nodes: int = 2_000
    contract: bool = False

    def __post_init__(self) -> None:
        if self.max_effort < 0:
            raise ValueError("max_effort must be at least 0")
        if self.max_nodes < 1:
            raise ValueError("max_nodes must be at least 1")

    def bound(self, problem: Problem, context: Context) -> Outcome:
        """Climb from the best bound known towards the incumbent."""
        if problem.instance.n > self.max_nodes:
            return Outcome(termination=self._too_large(problem))
        search = _Climb(problem, context, contract=self.contract)
        try:
            termination = search.run(self.max_effort)
        except OutOfTimeError:
            termination = Termination(reason=Reason.LIMIT, limit=Limit.TIME)
        return Outcome(dual=search.best, termination=termination, details=search.details())

    def decide(self, problem: Problem, threshold: int, context: Context) -> Decision:
        """Refute a threshold (ticks), or leave it undecided."""
        from framework.structure.covering.share_bound import CountProof

        if threshold < simple_bound(problem):
            return Refuted(soundness=Soundness.EXACT)
        if problem.instance.n > self.max_nodes:
            return Undecided(reason=self._too_large(problem).detail)
        try:
            found = _refuter_of(problem, context).refute(
                threshold, effort=self.max_effort, should_stop=context.should_stop
            )
        except OutOfTimeError:
            return Undecided(reason="out of time")
        if isinstance(found, CountProof):
            return Refuted(soundness=Soundness.EXACT, certificate=_certificate(problem, found))
        return Undecided(reason=found.value)

    def check(self, problem: Problem, certificate: Certificate) -> int:
        """Walk through the trees of a certificate, one minimum cut a leaf, and add up the shares."""
        import numpy as np

        from framework.structure.covering.share_bound import CountProof, CountRefuter

        data = certificate.whole_data("threshold", "weights", "bounds", "trees")
        proof = CountProof(
            threshold=int(data["threshold"]),
            weights=np.array(data["weights"], np.int64),
            bounds=np.array(data["bounds"], np.int64),
            logs=tuple(np.array(log, np.int64).reshape(-1, 3) for log in data["trees"]),
        )
        if proof.threshold < 0 or proof.weights.shape != (problem.instance.n,):
            raise ValueError("the certificate is for another instance")
        if not CountRefuter(problem).verify(proof):
            raise ValueError("the trees do not prove shares of more than k stages")
        return proof.threshold + 1

    def _too_large(self, problem: Problem) -> Termination:
        detail = f"{problem.instance.n} nodes, more than max_nodes = {self.max_nodes}"
        return Termination(reason=Reason.LIMIT, limit=Limit.SIZE, detail=detail)


class _Climb:
    """The best bound so far, and how far above it the next attempt is made."""

    def __init__(self, problem: Problem, context: Context, *, contract: bool) -> None:
        from framework.structure.reduction.threshold_contraction import ContractedProblems

        self.problem, self.context = problem, context
        self.refuter: CountRefuter | None = None
        self.problems = ContractedProblems(problem, max_nodes=problem.instance.n if contract else 0)
        self.best = DualBound(value=simple_bound(problem), source=NAME, soundness=Soundness.EXACT)
        self.ceiling = bottleneck(problem, context.best_partition() or balanced_partition(problem))
        self.refuted = self.failed = self.vertices = 0

    @property
    def lower(self) -> int:
        """Best dual bound known to anyone."""
        return max(self.best.value, self.context.dual or 0)

    def run(self, max_effort: int) -> Termination:
        """Climb until nothing more can be refuted.

        Raises
        ------
        OutOfTimeError
            If the context says stop.
        """
        from framework.structure.covering.share_bound import CountProof

        step, effort = 0.5, 0
        while True:
            if self.context.should_stop():
                raise OutOfTimeError("stopped between thresholds")
            upper = min(self.ceiling, self.context.incumbent or self.ceiling)
            if self.lower >= upper:
                return Termination(reason=Reason.FINISHED)
            threshold = min(upper - 1, self.lower + int(step * (upper - self.lower)))
            refuter = self._at(threshold)
            found = None
            if refuter is not None:
                found = refuter.refute(threshold, effort=effort, should_stop=self.context.should_stop)
            if found is None or isinstance(found, CountProof):
                self.refuted += 1
                # Nobody has kept a contracted instance to check a certificate against.
                own = found is not None and refuter is not None and refuter.problem is self.problem
                self._record(threshold, _certificate(self.problem, found) if own and found is not None else None)
                continue
            self.failed += 1
            if threshold > self.lower and step >= SMALLEST_STEP:
                step /= 2
            elif effort >= max_effort:
                return Termination(reason=Reason.LIMIT, limit=Limit.ITERATIONS, detail=found.value)
            else:
                effort, step = min(max_effort, max(32, 4 * effort)), 1 / 8

    def details(self) -> dict[str, Any]:
        """Return the sizes of the search."""
        return {
            "refuted": self.refuted,
            "failed": self.failed,
            "vertices": self.vertices + getattr(self.refuter, "vertices", 0),
        }

    def _at(self, threshold: int) -> CountRefuter | None:
        """Return what refutes a threshold; None if the contraction does."""
        from framework.structure.covering.share_bound import CountRefuter

        problem = self.problems.at(threshold, self.context.should_stop)
        if problem is None:
            return None
        if self.refuter is None or self.refuter.problem is not problem:
            refuter = CountRefuter(problem, self.context.should_stop)
            self.vertices += getattr(self.refuter, "vertices", 0)
            self.refuter = refuter
        return self.refuter

    def _record(self, threshold: int, certificate: Certificate | None) -> None:
        value = threshold + 1
        self.best = DualBound(value=value, source=NAME, soundness=Soundness.EXACT, certificate=certificate)
        self.context.report_dual(value, Soundness.EXACT, certificate)


def _refuter_of(problem: Problem, context: Context) -> CountRefuter:
    """Return the state of the latest problem decided, whose weights serve again at other thresholds."""
    from framework.structure.covering.share_bound import CountRefuter

    key = problem.instance.sha256(), problem.useful_stages
    return _latest.get(key, lambda: CountRefuter(problem, context.should_stop))


def _certificate(problem: Problem, proof: CountProof) -> Certificate | None:
    if sum(len(log) for log in proof.logs) > LONGEST_LOG:
        return None
    return Certificate(
        kind=NAME,
        data={
            "threshold": proof.threshold,
            "weights": proof.weights.tolist(),
            "bounds": proof.bounds.tolist(),
            "trees": [log.ravel().tolist() for log in proof.logs],
        },
        instance=problem.instance.sha256(),
    )
