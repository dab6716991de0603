"""`counting`: refutes T if the least fractions of a stage that the nodes take up sum to more than k stages.

Validity: at a threshold T take weights a > 0 on the nodes, and g_v at least the weight a(S) of every convex S that
holds v and costs at most T. In a partition at T each stage S takes up

    sum over v in S of a_v / g_v  <=  sum over v in S of a_v / a(S)  =  1,

so all nodes together take up at most k. If the sum of a_v / g_v over all nodes exceeds k there is no such partition,
and the optimum is at least T + 1; the terms are rounded down to multiples of 2^-60. Each g_v is proven by minimum cuts
in exact integers: one Lagrangian bound, or a tree of them with v as the only anchor, where nodes that cannot share a
stage with v at T are excluded (`framework.structure.covering.anchor_weights`). The proof holds for any weights.
The cuts charge a parameter that several nodes of S use once, as f(S) does.

Certificate: T, the weights, g and a tree for each node; `check` repeats one minimum cut a leaf, and those that rule out
pairs of nodes and covered nets at T. No linear program is involved.

Where it wins: many stages (16 to 32 on graphs of 150 nodes), for which one bound or a small tree per node is enough.
Most of its first seconds go into the minimum cuts that rule out pairs and nets. For few stages `spreading-metric` has
better bounds.

Source: this project.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from framework.bounds import Certificate, Limit, Outcome, Reason, Soundness, Termination
from framework.contracts import Context, Decision, Feature, Refuted, Undecided
from framework.errors import OutOfTimeError
from framework.model.problem import Problem
from framework.portfolio.context.destructive_bound import DestructiveBound
from framework.portfolio.context.latest import Latest
from framework.portfolio.context.step_rules import EffortSteps
from framework.registry import register_formulation
from framework.structure.primal.initial_interval import simple_bound

if TYPE_CHECKING:
    from framework.structure.covering.share_bound import CountProof, CountRefuter

NAME = "counting"
LONGEST_LOG = 30_000
"""Rows of all trees that a certificate may have; longer proofs stand without one."""
SMALLEST_STEP = 1 / 256
"""Share of the interval below which a step up is given up, until the effort grows."""
FIRST_EFFORT = 32
"""Vertices of a tree after minimum cuts alone have failed."""
_latest: Latest[CountRefuter] = Latest()


@register_formulation(
    NAME,
    features=[Feature.DUAL, Feature.DECISION, Feature.ANYTIME, Feature.WARM_START, Feature.SHARED],
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
        """Raise the best bound known towards the incumbent."""
        if problem.instance.n > self.max_nodes:
            return Outcome(termination=self._too_large(problem))
        refuter = _Refuter(problem, context, contract=self.contract)
        search = DestructiveBound(NAME, problem, context)
        steps = EffortSteps(
            step=1 / 2, smallest=SMALLEST_STEP, restart=1 / 8, effort=0, most=self.max_effort, least=FIRST_EFFORT
        )
        termination = search.run(lambda threshold: refuter.refute(threshold, steps.effort), steps)
        return Outcome(
            dual=search.proven,
            termination=termination,
            details={"refuted": search.refuted, "failed": search.failed, "vertices": refuter.vertices},
        )

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


class _Refuter:
    """Refutes thresholds of one problem, or of what is contracted at them, and counts what that takes."""

    def __init__(self, problem: Problem, context: Context, *, contract: bool) -> None:
        from framework.structure.reduction.threshold_contraction import ContractedProblems

        self._problem, self._context = problem, context
        self._refuter: CountRefuter | None = None
        self._problems = ContractedProblems(problem, max_nodes=problem.instance.n if contract else 0)
        self._vertices = 0

    @property
    def vertices(self) -> int:
        """Vertices of all trees so far."""
        return self._vertices + getattr(self._refuter, "vertices", 0)

    def refute(self, threshold: int, effort: int) -> Refuted | Undecided:
        """Try to refute a threshold (ticks) with trees of at most `effort` vertices."""
        from framework.structure.covering.share_bound import CountProof

        refuter = self._at(threshold)
        if refuter is None:
            return Refuted(soundness=Soundness.EXACT)
        found = refuter.refute(threshold, effort=effort, should_stop=self._context.should_stop)
        if not isinstance(found, CountProof):
            return Undecided(reason=found.value)
        # Nobody has kept a contracted instance to check a certificate against.
        own = refuter.problem is self._problem
        return Refuted(soundness=Soundness.EXACT, certificate=_certificate(self._problem, found) if own else None)

    def _at(self, threshold: int) -> CountRefuter | None:
        """Return what refutes a threshold; None if the contraction does."""
        from framework.structure.covering.share_bound import CountRefuter

        problem = self._problems.at(threshold, self._context.should_stop)
        if problem is None:
            return None
        if self._refuter is None or self._refuter.problem is not problem:
            refuter = CountRefuter(problem, self._context.should_stop)
            self._vertices += getattr(self._refuter, "vertices", 0)
            self._refuter = refuter
        return self._refuter


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
