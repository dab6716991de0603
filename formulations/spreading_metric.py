"""`spreading-metric`: linear relaxation in lengths of tensors, by cutting planes, with an exact certificate.

Validity: take a partition with bottleneck T, and d[t] = 1 for the tensors it cuts, else 0. Three kinds of rows hold:

    k T >= W + (P - k capacity)+ + 2 sum_t c_t d[t]          a cut tensor is paid where produced and where read
    T + theta capacity >= sum_v (w + theta p)_v (1 - len(v)) + sum_t c_t (d[t] - len(u_t))   for paths from a node r
    len(v) >= 1                                              for paths from r to v, if r and v share no stage

with len the length of a path, on which a step between pins of t costs d[t] and a step that convexity forces is free;
the proofs are in `framework.structure.spreading.paths`. So the least T over all d in [0, 1] is a dual bound. At a
threshold, pairs share no stage if their windows do not meet or if the cheapest convex set with both (a minimum cut)
costs more; a tensor with q pins of which no two share a stage is cut and paid q times. The rows then hold for every
partition with a bottleneck of at most the threshold: the optimum is at least the smaller of the least T and the
threshold plus 1.

The linear program over the violated rows is solved in floating numbers, but its duals are rounded to integers and what
they prove is evaluated exactly, so the soundness is `certified`. Certificate: the threshold, the paths of each row with
its multiplier, and the pairs apart; `check` walks along the paths, repeats the minimum cuts of the pairs it needs, and
adds up, without a solver.

Where it wins: wide graphs, after about a second, most of all for 4 to 16 stages; dense random graphs take longest. If
stages hold few nodes each (k = 32 of 150 nodes), `counting` has better bounds when it gets more time.

Source: spreading metrics (Even, Naor, Rao, Schieber 1999); tensors as hyperedges, steps by convexity,
transfers of a stage, pairs apart, certificate: this project.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from framework.bounds import Certificate, Limit, Outcome, Reason, Soundness, Termination
from framework.contracts import Context, Decision, Feature, Refuted, Undecided
from framework.errors import OutOfTimeError
from framework.model.problem import Problem
from framework.portfolio.context.destructive_bound import DestructiveBound
from framework.portfolio.context.latest import Latest
from framework.portfolio.context.step_rules import SectionSteps
from framework.registry import register_formulation
from framework.structure.primal.initial_interval import simple_bound

if TYPE_CHECKING:
    from framework.structure.spreading.cutting_planes import Spreading, SpreadingProof

NAME = "spreading-metric"
SHARE_OF_PAIRS = 3
"""One part in so many of the time left may be spent on pairs of nodes before the first program."""
PART = 3
"""After the highest threshold one at a third of the way: most of the time the bound hardly rises from there."""
_latest: Latest[Spreading] = Latest()


@register_formulation(
    NAME,
    features=[Feature.DUAL, Feature.DECISION, Feature.ANYTIME, Feature.WARM_START, Feature.SHARED],
    summary="Linear program over lengths of tensors: what a stage holds is close together; checked exactly",
    reference="Even, Naor, Rao, Schieber 1999; rows for pipelines and the certificate: this project",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadingMetric:
    """The program at one threshold after the other, until none above its bound can be refuted.

    Attributes
    ----------
    resolution
        Relative width of the thresholds left at which it ends; 0 to go on to the last tick.
    max_nodes
        Give up on larger instances.
    """

    resolution: float = 1e-4
    max_nodes: int = 2_000

    def __post_init__(self) -> None:
        if not 0 <= self.resolution < 1:
            raise ValueError("resolution must be at least 0 and below 1")
        if not 1 <= self.max_nodes <= 1 << 15:
            raise ValueError("max_nodes must be at least 1 and at most 32768")

    def bound(self, problem: Problem, context: Context) -> Outcome:
        """Narrow down the threshold where the program proves no more than that."""
        if problem.instance.n > self.max_nodes:
            return Outcome(termination=self._too_large(problem))
        search = DestructiveBound(NAME, problem, context)
        program = _Program(search)
        steps = SectionSteps(part=PART, from_top=True, resolution=self.resolution)
        termination = search.run(program.refute, steps)
        return Outcome(dual=search.proven, termination=termination, details=program.details)

    def decide(self, problem: Problem, threshold: int, context: Context) -> Decision:
        """Refute a threshold (ticks), or say how much the program proves."""
        if threshold < simple_bound(problem):
            return Refuted(soundness=Soundness.EXACT)
        if problem.instance.n > self.max_nodes:
            return Undecided(reason=self._too_large(problem).detail)
        try:
            spreading = _spreading_of(problem, context)
            proof = spreading.solve(threshold, should_stop=context.should_stop)
        except OutOfTimeError:
            return Undecided(reason="out of time")
        return _decision(problem, threshold, proof)

    def check(self, problem: Problem, certificate: Certificate) -> int:
        """Walk along the paths of a certificate and add up what its multipliers prove."""
        import numpy as np

        from framework.structure.spreading.cutting_planes import Spreading, SpreadingProof
        from framework.structure.spreading.rows import paths_from

        # For proof logs, which have no rule for shared parameters here; those of earlier versions do not have it.
        fields = ("threshold", "nets", "cliques", "rows", "multipliers")
        data = certificate.whole_data(*fields, *(("tensors",) if "tensors" in certificate.data else ()))
        if "tensors" in data and data["tensors"] != ends_of_tensors(problem):
            raise ValueError("its tensors are others")
        proof = SpreadingProof(
            value=0,
            threshold=int(data["threshold"]),
            paths=tuple(paths_from(row) for row in data["rows"]),
            multipliers=tuple(int(multiplier) for multiplier in data["multipliers"]),
            nets=tuple(int(net) for net in data["nets"]),
            cliques=tuple(np.array(clique, np.int64) for clique in data["cliques"]),
        )
        return Spreading(problem).verify(proof)

    def _too_large(self, problem: Problem) -> Termination:
        detail = f"{problem.instance.n} nodes, more than max_nodes = {self.max_nodes}"
        return Termination(reason=Reason.LIMIT, limit=Limit.SIZE, detail=detail)


class _Program:
    """The program of one run, built when it is first asked; what it proves on the way is reported as it comes."""

    def __init__(self, search: DestructiveBound) -> None:
        self._search = search
        self._spreading: Spreading | None = None
        self.details: dict[str, Any] = {"programs": 0, "rounds": 0}

    def refute(self, threshold: int) -> Decision:
        """Solve the program at a threshold (ticks); where that does not refute it, it refutes none above either.

        Raises
        ------
        OutOfTimeError
            If the context says stop.
        """
        problem, context = self._search.problem, self._search.context
        if self._spreading is None:
            from framework.structure.spreading.cutting_planes import Spreading

            self._spreading = _price_pairs(Spreading(problem, context.should_stop), context)
        proof = self._spreading.solve(threshold, should_stop=context.should_stop, report=self._record)
        self.details = {"programs": self.details["programs"] + 1, "rounds": self._spreading.rounds}
        answer = _decision(problem, threshold, proof)
        return answer if isinstance(answer, Refuted) else replace(answer, above=True)

    def _record(self, proof: SpreadingProof) -> None:
        if proof.value > self._search.lower:
            self._search.record(proof.value, _soundness(proof), _certificate(self._search.problem, proof))


def _spreading_of(problem: Problem, context: Context) -> Spreading:
    """Return the state of the latest problem decided, whose pairs and rows serve again at other thresholds."""
    from framework.structure.spreading.cutting_planes import Spreading

    key = problem.instance.sha256(), problem.useful_stages
    return _price_pairs(_latest.get(key, lambda: Spreading(problem, context.should_stop)), context)


def _price_pairs(spreading: Spreading, context: Context) -> Spreading:
    """Price pairs of nodes in a share of the time left; return what now knows them."""
    reserved = context.remaining() * (1 - 1 / SHARE_OF_PAIRS)
    spreading.price_pairs(lambda: context.should_stop() or context.remaining() < reserved)
    return spreading


def _decision(problem: Problem, threshold: int, proof: SpreadingProof | None) -> Refuted | Undecided:
    if proof is None or proof.value <= threshold:
        return Undecided(reason=f"the lengths prove {0 if proof is None else proof.value} only")
    return Refuted(soundness=_soundness(proof), certificate=_certificate(problem, proof))


def _soundness(proof: SpreadingProof) -> Soundness:
    return Soundness.CERTIFIED if proof.multipliers else Soundness.EXACT


def ends_of_tensors(problem: Problem) -> list[list[int]]:
    """Return producer and consumers of each tensor that costs something, as rows of certificates count them."""
    top, costs = problem.instance.topology, problem.instance.tensor_cost.tolist()
    rows = zip(top.producer.tolist(), top.consumer_ptr[:-1].tolist(), top.consumer_ptr[1:].tolist(), costs, strict=True)
    return [[producer, *top.consumers[start:end].tolist()] for producer, start, end, cost in rows if cost > 0]


def _certificate(problem: Problem, proof: SpreadingProof) -> Certificate:
    return Certificate(
        kind=NAME,
        data={
            "threshold": proof.threshold,
            "nets": list(proof.nets),
            "cliques": [clique.tolist() for clique in proof.cliques],
            "rows": [paths.data() for paths in proof.paths],
            "multipliers": list(proof.multipliers),
            **({} if len(problem.instance.shared) else {"tensors": ends_of_tensors(problem)}),
        },
        instance=problem.instance.sha256(),
    )
