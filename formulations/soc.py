"""`soc`: the relaxation over "same stage" with the count of stages as second-order cones, certified by tangents.

Validity: `framework.structure.models.same_stage_model`: its linear rows, the semidefinite row of any integer vector and
every tangent of the count

    sum over v of  a_v / (sum over u of a_u X[u, v])  <=  k

hold for every partition. At a threshold, pairs that can share no stage (windows, or a minimum cut that costs more; see
`framework.structure.spreading.cutting_planes`) have X[u, v] = 0, so the least T that the rows allow bounds all
partitions within the threshold, and the optimum is at least the smaller of that and the threshold plus 1. The convex
program is solved roughly by an interior-point method (Clarabel, through cvxpy) and only chooses weights, vectors and
tangents. With these rows the linear model of `lp` is joined to it (`framework.structure.models.same_stage_socp`), so
that at a threshold it proves at least as much as `lp`; the duals of both together are rounded and evaluated in integers
(`framework.structure.solvers.safe_dual_bound`). The bound does not depend on the accuracy of either solver: its
soundness is `certified`.

Measured on REGAL-like graphs of 20 and 30 nodes (one per family, k = 2, 4, at most 20 s each): never below `lp` or
`sdp`, and well above both for few stages and regular graphs (ws-20, k = 4: .993 of the incumbent; `lp` .721, `sdp`
.863, `spreading-metric` .948). On sparse, tree-like graphs `spreading-metric` is better (ba-30, k = 2: .937 to .923),
and takes a tenth of a second where `soc` takes up to 20. So `soc` is for small graphs on which the other methods leave
a gap.

Sources: Karisch and Rendl 1998 (the semidefinite rows); cvxpy; the count as a cone, pairs apart, the exact repair: this
project.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from formulations.superblocks import shared_parts
from framework.bounds import Certificate, Limit, Outcome, Reason, Soundness, Termination
from framework.contracts import Context, Decision, Feature, Refuted, Undecided
from framework.errors import OutOfTimeError
from framework.model.problem import Problem
from framework.portfolio.context.destructive_bound import DestructiveBound
from framework.portfolio.context.step_rules import SectionSteps
from framework.registry import register_formulation
from framework.structure.primal.initial_interval import simple_bound

if TYPE_CHECKING:
    from framework.structure.models.same_stage_cones import Cones
    from framework.structure.models.superblocks import SuperblockParts
    from framework.structure.poset.closure import BoolArray
    from framework.structure.solvers.linear_model import LinearModel
    from framework.structure.solvers.mathopt_worker import FloatArray
    from framework.structure.spreading.cutting_planes import Spreading

NAME = "soc"
PART = 3
"""After the highest threshold one at a third of the way to it."""
PRECISION = 1 << 62
"""Multipliers are rounded to multiples of its inverse: rows of cones have coefficients of up to 2^30."""


@register_formulation(
    NAME,
    features=[Feature.DUAL, Feature.DECISION, Feature.ANYTIME, Feature.WARM_START],
    summary="Second-order cone relaxation of which nodes share a stage, certified by tangents",
    reference="Karisch and Rendl 1998; cones and the exact repair: this project",
    purpose="regular graphs of tens of nodes and few stages, where `lp` and `sdp` leave a gap",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class Soc:
    """Some convex programs and one linear program a threshold.

    Attributes
    ----------
    rounds
        Convex programs at most for each threshold; 0 for the linear model alone.
    max_nodes
        Give up on graphs with more nodes.
    thresholds
        How many thresholds to try.
    """

    rounds: int = 2
    max_nodes: int = 40
    thresholds: int = 6

    def __post_init__(self) -> None:
        if self.rounds < 0:
            raise ValueError("rounds must be at least 0")
        if self.max_nodes < 1 or self.thresholds < 1:
            raise ValueError("max_nodes and thresholds must be at least 1")

    def bound(self, problem: Problem, context: Context) -> Outcome:
        """Narrow down the threshold where the relaxation proves no more than that."""
        if problem.instance.n > self.max_nodes:
            return Outcome(termination=self._too_large(problem))
        search = DestructiveBound(NAME, problem, context)
        termination = search.run(
            _Program(search, self.rounds).refute, SectionSteps(part=PART, from_top=True, most=self.thresholds)
        )
        return Outcome(
            dual=search.proven, termination=termination, details={"thresholds": search.refuted + search.failed}
        )

    def decide(self, problem: Problem, threshold: int, context: Context) -> Decision:
        """Refute a threshold (ticks) by a bound above it."""
        if threshold < simple_bound(problem):
            return Refuted(soundness=Soundness.EXACT)
        if problem.instance.n > self.max_nodes:
            return Undecided(reason=self._too_large(problem).detail)
        try:
            value, certificate, soundness = _Relaxation(problem, context, self.rounds).prove(threshold)
        except OutOfTimeError:
            return Undecided(reason="out of time")
        if value <= threshold:
            return Undecided(reason=f"the relaxation proves {value} only")
        return Refuted(soundness=soundness, certificate=certificate)

    def check(self, problem: Problem, certificate: Certificate) -> int:
        """Build the model with the rows of a certificate and evaluate its multipliers."""
        from framework.structure.models.same_stage_socp import joined_model
        from framework.structure.models.superblocks import SuperblockParts
        from framework.structure.solvers.safe_dual_bound import dual_value
        from framework.structure.spreading.cutting_planes import Spreading

        data = certificate.whole_data("threshold", "vectors", "weights", "slopes", "rows", "multipliers")
        threshold = int(data["threshold"])
        if threshold < 0:
            raise ValueError("the threshold is negative")
        spreading = Spreading(problem)
        spreading.price_pairs(lambda: False)
        apart = spreading.apart(threshold)
        if apart is None:
            return threshold + 1
        cones = _cones(problem, data)
        model = joined_model(
            SuperblockParts(problem.instance), problem.useful_stages, threshold, apart, cones.vectors, cones.tangents
        )
        if model is None:
            return threshold + 1
        return min(threshold + 1, dual_value(model, data["rows"], [int(m) for m in data["multipliers"]]))

    def _too_large(self, problem: Problem) -> Termination:
        detail = f"{problem.instance.n} nodes, more than max_nodes = {self.max_nodes}"
        return Termination(reason=Reason.LIMIT, limit=Limit.SIZE, detail=detail)


class _Program:
    """The relaxation of one run, made when it is first asked; what it proves below a threshold counts as well."""

    def __init__(self, search: DestructiveBound, rounds: int) -> None:
        self._search, self._rounds = search, rounds
        self._relaxation: _Relaxation | None = None

    def refute(self, threshold: int) -> Decision:
        """Solve the relaxation at a threshold (ticks); where that does not refute it, it refutes none above either.

        Raises
        ------
        OutOfTimeError
            If the context says stop.
        """
        search = self._search
        if self._relaxation is None:
            self._relaxation = _Relaxation(search.problem, search.context, self._rounds)
        value, certificate, soundness = self._relaxation.prove(threshold)
        if value > threshold:
            return Refuted(soundness=soundness, certificate=certificate)
        if value > search.lower:
            search.record(value, soundness, certificate)
        return Undecided(reason=f"the relaxation proves {value} only", above=True)


class _Relaxation:
    """The relaxation of one problem; what was found at one threshold serves at the next.

    Raises
    ------
    OutOfTimeError
        From the constructor and from `prove`, if the context asks to stop.
    """

    def __init__(self, problem: Problem, context: Context, rounds: int) -> None:
        from framework.structure.models.same_stage_cones import first_cones
        from framework.structure.solvers.mathopt import start_solver
        from framework.structure.spreading.cutting_planes import Spreading

        self.problem, self.context, self.rounds = problem, context, rounds
        start_solver()
        self.parts: SuperblockParts = shared_parts(problem, context)
        self.pairs: Spreading = Spreading(problem, context.should_stop)
        if not self.pairs.price_pairs(context.should_stop):
            raise OutOfTimeError("stopped while pairs of nodes were priced")
        self.cones: Cones = first_cones(problem.instance)

    def prove(self, threshold: int) -> tuple[int, Certificate | None, Soundness]:
        """Return what is proven at a threshold (ticks), 0 if nothing is."""
        from framework.structure.models.same_stage_cones import refine
        from framework.structure.models.same_stage_socp import joined_model
        from framework.structure.solvers.safe_dual_bound import dual_value, round_duals

        problem, context, base = self.problem, self.context, max(1, threshold)
        apart = self.pairs.apart(threshold)
        if apart is None:
            return threshold + 1, self._certificate(threshold, [], []), Soundness.EXACT
        self._refine(refine, apart, base)
        if context.should_stop():
            raise OutOfTimeError("stopped between programs")
        model = joined_model(
            self.parts, problem.useful_stages, threshold, apart, self.cones.vectors, self.cones.tangents
        )
        assert model is not None
        duals = self._duals(model, base, interior=False)
        if duals is None:
            # The simplex method gives up on some models that an interior-point method solves.
            duals = self._duals(model, base, interior=True)
        if duals is None:
            return 0, None, Soundness.CERTIFIED
        rows, multipliers = round_duals(model, duals, base, PRECISION)
        try:
            proven = min(threshold + 1, dual_value(model, rows, multipliers))
        except ValueError:
            return 0, None, Soundness.CERTIFIED
        return proven, self._certificate(threshold, rows.tolist(), multipliers), Soundness.CERTIFIED

    def _duals(self, model: LinearModel, base: int, *, interior: bool) -> FloatArray | None:
        from framework.structure.solvers.mathopt import solve_relaxation

        context = self.context
        solved = solve_relaxation(
            model,
            base=base,
            seconds=context.remaining(),
            threads=context.threads,
            seed=context.seed,
            interior=interior,
            should_stop=context.should_stop,
        )
        if solved is None and context.should_stop():
            raise OutOfTimeError("stopped while the relaxation was solved")
        return None if solved is None else solved.duals

    def _refine(self, refine: Any, apart: BoolArray, base: int) -> None:
        refine(
            self.cones,
            self.problem.instance,
            self.problem.useful_stages,
            apart,
            base=base,
            rounds=self.rounds,
            remaining=self.context.remaining,
        )

    def _certificate(self, threshold: int, rows: list[int], multipliers: list[int]) -> Certificate:
        return Certificate(
            kind=NAME,
            data={
                "threshold": threshold,
                "vectors": [q.tolist() for q in self.cones.vectors],
                "weights": [tangent.weights.tolist() for tangent in self.cones.tangents],
                "slopes": [tangent.slopes.tolist() for tangent in self.cones.tangents],
                "rows": rows,
                "multipliers": multipliers,
            },
            instance=self.problem.instance.sha256(),
        )


def _cones(problem: Problem, data: Any) -> Cones:
    """Return the vectors and tangents of a certificate.

    Raises
    ------
    ValueError
        If one has the wrong length or is out of range.
    """
    import numpy as np

    from framework.structure.models.same_stage_cones import LARGEST_ENTRY, LARGEST_WEIGHT, Cones
    from framework.structure.models.same_stage_model import SLOPE_SCALE, CountTangent

    n = problem.instance.n
    if len(data["weights"]) != len(data["slopes"]):
        raise ValueError("a tangent is incomplete")
    for least, most, rows in (
        (-LARGEST_ENTRY, LARGEST_ENTRY, data["vectors"]),
        (0, LARGEST_WEIGHT, data["weights"]),
        (0, SLOPE_SCALE, data["slopes"]),
    ):
        if any(len(row) != n or any(not least <= int(x) <= most for x in row) for row in rows):
            raise ValueError("a row has the wrong length or is out of range")
    return Cones(
        weights=[],
        vectors=[np.array(q, np.int64) for q in data["vectors"]],
        tangents=[
            CountTangent(weights=np.array(a, np.int64), slopes=np.array(g, np.int64))
            for a, g in zip(data["weights"], data["slopes"], strict=True)
        ],
    )
