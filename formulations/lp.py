"""`lp`: the linear relaxation of the exact model, with windows at a threshold and an exact certificate.

Validity: at a threshold every partition with a bottleneck of at most that is a point of the superblock model with its
windows (`framework.structure.models.superblocks`), integer or not. Any nonnegative multipliers on its rows bound T from
below (`framework.structure.solvers.safe_dual_bound`): a bound above the threshold refutes it. The solver's duals only
suggest the multipliers; what they prove is evaluated in integers, in exact ticks without coarsening, so the soundness
is `certified`. The certificate names the rows by what they say, so that the checker of proofs (`framework.proof.lp`)
makes each of them itself, without solver or model.

Without windows the relaxation is hardly stronger than the simple bound, since x = 1/k for all variables cuts nothing.
So thresholds are refuted one after the other, each with its own windows. Source: Archer et al., ICML 2024, for the
model; windows and certificate: this project.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from formulations.superblocks import check_size, shared_parts
from framework.bounds import Certificate, Soundness
from framework.contracts import Context, Decision, Feature, Refuted, Undecided
from framework.errors import OutOfTimeError
from framework.model.problem import Problem
from framework.portfolio.context.destructive_bound import BoundByDeciding
from framework.proof.log import CHANGED
from framework.registry import register_formulation
from framework.structure.primal.initial_interval import simple_bound

if TYPE_CHECKING:
    from framework.model.arrays import IntArray
    from framework.structure.models.superblocks import SuperblockModel, SuperblockParts

NAME, RULE = "lp", "lp-dual"


@register_formulation(
    NAME,
    features=[Feature.DUAL, Feature.DECISION, Feature.ANYTIME, Feature.SHARED],
    summary="Linear relaxation of the exact model at a threshold; its multipliers are checked exactly",
    reference="Archer et al., ICML 2024; windows and certificate: this project",
    purpose="a yardstick for decompositions: 0.804 of the best partition at k = 2, 0.244 (as `simple`) at k = 32",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class Lp(BoundByDeciding):
    """The relaxation of all stages, or of fewer groups.

    Attributes
    ----------
    groups
        Number of groups of consecutive stages; 0 for one stage in each. Fewer are faster and weaker.
    max_size
        Give up on models with more matrix entries than about this.
    """

    groups: int = 0
    max_size: int = 1_000_000

    def __post_init__(self) -> None:
        check_size(self.max_size)
        if self.groups < 0:
            raise ValueError("groups must be at least 0")

    def decide(self, problem: Problem, threshold: int, context: Context) -> Decision:
        """Refute a threshold (ticks) by a bound above it."""
        from framework.structure.models.superblocks import estimated_entries
        from framework.structure.solvers.mathopt import solve_relaxation, start_solver
        from framework.structure.solvers.safe_dual_bound import dual_value, round_duals

        if threshold < simple_bound(problem):
            return Refuted(soundness=Soundness.EXACT)
        groups = min(self.groups or problem.useful_stages, problem.useful_stages)
        size = estimated_entries(problem.instance, groups)
        if size > self.max_size:
            return Undecided(reason=f"about {size} matrix entries, more than max_size = {self.max_size}")
        start_solver()
        try:
            model = _model(shared_parts(problem, context), problem, groups, threshold)
        except OutOfTimeError:
            return Undecided(reason="out of time while building")
        if model is None:
            return Refuted(soundness=Soundness.EXACT)
        duals = solve_relaxation(
            model.model,
            base=max(1, threshold),
            seconds=context.remaining(),
            threads=context.threads,
            seed=context.seed,
            should_stop=context.should_stop,
        )
        if duals is None:
            return Undecided(reason="the relaxation was not solved in time")
        rows, multipliers = round_duals(model.model, duals, max(1, threshold))
        try:
            proven = dual_value(model.model, rows, multipliers)
        except ValueError as error:
            return Undecided(reason=str(error))
        if proven <= threshold:
            return Undecided(reason=f"the relaxation proves {proven} only")
        data = {"version": CHANGED[RULE], **_named(problem, model, threshold, rows, multipliers)}
        certificate = Certificate(kind=NAME, data=data, instance=problem.instance.sha256())
        return Refuted(soundness=Soundness.CERTIFIED, certificate=certificate)

    def check(self, problem: Problem, certificate: Certificate) -> int:
        """Let the checker of proofs make the rows again and add them up."""
        from framework.proof.log import BOUNDS, check_version
        from framework.proof.lp import lp_dual
        from framework.proof.problem import plain_problem

        check_version(RULE, certificate.data.get("version"))
        data = dict(certificate.whole_data("version", *BOUNDS[RULE]))
        del data["version"]
        return lp_dual(plain_problem(problem.instance, problem.stages), **data)[0]


def _named(
    problem: Problem, model: SuperblockModel, threshold: int, rows: IntArray, multipliers: list[int]
) -> dict[str, Any]:
    """Return the data of the rule *lp dual*: rows by what they say, tensors and shared parameters by their nodes."""
    import numpy as np

    from framework.proof import lp

    top, shared = problem.instance.topology, problem.instance.shared
    ends = [
        [producer, *top.consumers[start:end].tolist()]
        for producer, start, end in zip(
            top.producer.tolist(), top.consumer_ptr[:-1].tolist(), top.consumer_ptr[1:].tolist(), strict=True
        )
    ]
    # Tensors of the same ends are one in a proof.
    first = dict[tuple[int, ...], int]()
    place = np.array([first.setdefault(tuple(row), len(first)) for row in ends], np.int64)
    width = {lp.COST: 1, lp.HELD: 1, lp.GROUPS: 2, lp.OUT: 2}
    named = []
    for multiplier, (kind, *which) in zip(multipliers, model.names[rows].tolist(), strict=True):
        if kind in (lp.READ, lp.OUT, lp.IN):
            which[1] = int(place[which[1]])
        named.append([multiplier, kind, *which[: width.get(kind, 3)]])
    return {
        "threshold": threshold,
        "sizes": list(model.layout.sizes),
        "tensors": [list(row) for row in first],
        "shared": [shared.users[start:end].tolist() for start, end in pairwise(shared.ptr.tolist())],
        "rows": named,
    }


def _model(parts: SuperblockParts, problem: Problem, groups: int, threshold: int) -> SuperblockModel | None:
    """Return the model with the windows of a threshold and no other limit on T; None if a window is empty."""
    from framework.model.instance import MAX_TOTAL
    from framework.structure.models.superblocks import SuperblockModel
    from framework.structure.models.superblocks_layout import even_layout

    windows = parts.windows.at(problem.useful_stages, threshold)
    if windows is None:
        return None
    layout = even_layout(problem.useful_stages, groups)
    return SuperblockModel(parts, layout, upper=MAX_TOTAL, minimise=True, windows=windows)
