"""`lp`: the linear relaxation of the exact model, with windows at a threshold and an exact certificate.

Validity: at a threshold every partition with a bottleneck of at most that is a point of the superblock model with its
windows (`framework.structure.models.superblocks`), integer or not. Any nonnegative multipliers on its rows bound T from
below (`framework.structure.solvers.safe_dual_bound`): a bound above the threshold refutes it. The solver's duals only
suggest the multipliers; what they prove is evaluated in integers, in exact ticks without coarsening, so the soundness
is `certified`. The certificate names the rows by what they say, so that the checker of proofs (`framework.proof.lp`)
makes each of them itself, without solver or model.

With `leaves`, a threshold that the relaxation does not refute is decided by branch and bound: where a node is, up to a
boundary of groups or beyond, narrows the windows of what comes before and after it, and each leaf has multipliers of
its own. Every partition within the threshold is within the windows of some leaf.

Without windows the relaxation is hardly stronger than the simple bound, since x = 1/k for all variables cuts nothing.
So thresholds are refuted one after the other, each with its own windows. Source: Archer et al., ICML 2024, for the
model; windows and certificate: this project.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from formulations.superblocks import check_size, shared_parts
from framework.bounds import Certificate, Soundness
from framework.contracts import Context, Decision, Feature, Refuted, Satisfied, Undecided
from framework.errors import OutOfTimeError
from framework.model.problem import Problem, bottleneck
from framework.portfolio.context.destructive_bound import BoundByDeciding
from framework.proof.log import CHANGED
from framework.registry import register_formulation
from framework.structure.primal.initial_interval import simple_bound

if TYPE_CHECKING:
    from framework.model.graph import FloatArray
    from framework.model.problem import Windows
    from framework.structure.models.superblocks import SuperblockModel, SuperblockParts

NAME, RULE = "lp", "lp-dual"
COARSE = 1 << 12
"""Multipliers are multiples of its inverse where that is exact enough."""
WHOLE = 1e-6
"""A value this close to a whole number is one."""


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
    leaves
        Leaves of a tree of relaxations at most, at each threshold; 1 for the relaxation alone.
    """

    groups: int = 0
    max_size: int = 1_000_000
    leaves: int = 1

    def __post_init__(self) -> None:
        check_size(self.max_size)
        if self.groups < 0:
            raise ValueError("groups must be at least 0")
        if self.leaves < 1:
            raise ValueError("leaves must be at least 1")

    def decide(self, problem: Problem, threshold: int, context: Context) -> Decision:
        """Refute a threshold (ticks) by a bound above it."""
        from framework.structure.models.superblocks import estimated_entries
        from framework.structure.solvers.mathopt import start_solver

        if threshold < simple_bound(problem):
            return Refuted(soundness=Soundness.EXACT)
        groups = min(self.groups or problem.useful_stages, problem.useful_stages)
        size = estimated_entries(problem.instance, groups)
        if size > self.max_size:
            return Undecided(reason=f"about {size} matrix entries, more than max_size = {self.max_size}")
        start_solver()
        try:
            return _Tree(shared_parts(problem, context), problem, groups, threshold, context).decide(self.leaves)
        except OutOfTimeError:
            return Undecided(reason="out of time")

    def check(self, problem: Problem, certificate: Certificate) -> int:
        """Let the checker of proofs make the rows again and add them up."""
        from framework.portfolio.logs.certified import certified_data
        from framework.proof.lp import lp_dual
        from framework.proof.problem import plain_problem

        data = certified_data(RULE, certificate)
        return lp_dual(plain_problem(problem.instance, problem.stages), **data)[0]


class _Tree:
    """Branch and bound at a threshold: windows are halved where the solution of the relaxation is fractional."""

    def __init__(self, parts: SuperblockParts, problem: Problem, groups: int, threshold: int, context: Context) -> None:
        from framework.structure.models.superblocks_layout import even_layout

        self._parts, self._problem, self._threshold, self._context = parts, problem, threshold, context
        self._layout = even_layout(problem.useful_stages, groups)
        self._ends = self._layout.boundaries()
        self._names = _Names(problem)

    def decide(self, most: int) -> Decision:
        """Refute the threshold with at most so many leaves, or find a partition within it.

        Raises
        ------
        OutOfTimeError
            If the context says stop.
        """
        problem, threshold = self._problem, self._threshold
        windows = self._parts.windows.at(problem.useful_stages, threshold)
        if windows is not None and problem.windows is not None:
            windows = windows.within(problem.windows)
        tree, waiting, leaves = list[list[int]](), [windows], 0
        while waiting:
            windows = waiting.pop()
            if windows is None:
                tree.append([])
                continue
            model = self._model(windows)
            leaf, values, proven = self._solve(model)
            if leaf is not None:
                leaves += 1
                tree.append(leaf)
                continue
            branch = self._choose(model, values)
            if branch is None:
                partition = model.partition(values)
                if partition is not None and bottleneck(problem, partition) <= threshold:
                    return Satisfied(partition=partition)
                return Undecided(reason=f"the groups do not rule it out, at {proven}")
            if leaves + len(waiting) + 2 > most:
                reason = f"the relaxation proves {proven} only" if most == 1 else f"it takes more than {most} leaves"
                return Undecided(reason=reason)
            v, j = branch
            tree.append([v, j])
            waiting += [self._side(windows, v, j, later=True), self._side(windows, v, j, later=False)]
        data = {
            "version": CHANGED[RULE],
            "threshold": threshold,
            "sizes": list(self._layout.sizes),
            "tensors": self._names.tensors,
            "shared": self._names.shared,
            "tree": tree,
        }
        certificate = Certificate(kind=NAME, data=data, instance=problem.instance.sha256())
        return Refuted(soundness=Soundness.CERTIFIED, certificate=certificate)

    def _model(self, windows: Windows) -> SuperblockModel:
        from framework.model.instance import MAX_TOTAL
        from framework.structure.models.superblocks import SuperblockModel

        stop = self._context.should_stop
        return SuperblockModel(
            self._parts, self._layout, upper=MAX_TOTAL, minimise=True, windows=windows, should_stop=stop
        )

    def _solve(self, model: SuperblockModel) -> tuple[list[int] | None, FloatArray, int]:
        """Return the leaf that refutes the threshold, None if none does; the values of the columns; what is proven."""
        from framework.structure.solvers.mathopt import solve_relaxation
        from framework.structure.solvers.safe_dual_bound import PRECISION, dual_value, round_duals

        context, base = self._context, max(1, self._threshold)
        found = solve_relaxation(
            model.model,
            base=base,
            seconds=context.remaining(),
            threads=context.threads,
            seed=context.seed,
            should_stop=context.should_stop,
        )
        if found is None:
            raise OutOfTimeError("the relaxation was not solved")
        proven = 0
        # Small multipliers make short certificates, where they prove enough.
        for precision in (COARSE, PRECISION):
            rows, multipliers = round_duals(model.model, found.duals, base, precision)
            try:
                proven = dual_value(model.model, rows, multipliers)
            except ValueError:
                continue
            if proven > self._threshold:
                return self._names.leaf(model.names[rows].tolist(), multipliers), found.values, proven
        return None, found.values, proven

    def _choose(self, model: SuperblockModel, values: FloatArray) -> tuple[int, int] | None:
        """Return the node and the boundary of which most of what costs is undecided; None if all is decided."""
        import numpy as np

        instance = self._problem.instance
        inside = np.concatenate((values, [1.0, 0.0]))[model.before[1:-1]]
        undecided = np.minimum(inside, 1 - inside)
        if not undecided.size or undecided.max() < WHOLE:
            return None
        weighed = np.where(undecided < WHOLE, 0.0, undecided * (1 + instance.work + instance.parameter_cost))
        j, v = np.unravel_index(int(np.argmax(weighed)), weighed.shape)
        return int(v), int(j) + 1

    def _side(self, windows: Windows, v: int, j: int, *, later: bool) -> Windows | None:
        """Return the windows of a node in one of the first j groups, or in a later one; None if there is no room."""
        from framework.structure.poset.stage_windows import follow_order

        earliest, latest = windows.earliest.copy(), windows.latest.copy()
        if later:
            earliest[v] = max(earliest[v], self._ends[j - 1])
        else:
            latest[v] = min(latest[v], self._ends[j - 1] - 1)
        follow_order(self._problem.instance.topology, earliest, latest)
        return type(windows).unless_empty(earliest, latest)


class _Names:
    """How a certificate names rows: tensors and shared parameters by places in lists of their nodes."""

    def __init__(self, problem: Problem) -> None:
        top, shared = problem.instance.topology, problem.instance.shared
        # Tensors of the same ends are one in a proof; no row is of one without a cost.
        first = dict[tuple[int, ...], int]()
        consumers = [top.consumers[start:end].tolist() for start, end in pairwise(top.consumer_ptr.tolist())]
        paid = problem.instance.tensor_cost.nonzero()[0].tolist()
        self._place = {t: first.setdefault((int(top.producer[t]), *consumers[t]), len(first)) for t in paid}
        self.tensors = [list(row) for row in first]
        self.shared = [shared.users[start:end].tolist() for start, end in pairwise(shared.ptr.tolist())]

    def leaf(self, names: Sequence[Sequence[int]], multipliers: Sequence[int]) -> list[int]:
        """Return rows with their multipliers, one after the other."""
        from framework.proof import lp

        leaf = list[int]()
        for multiplier, (kind, *which) in zip(multipliers, names, strict=True):
            if kind in (lp.READ, lp.OUT, lp.IN):
                which[1] = self._place[which[1]]
            leaf += [multiplier, kind, *which[: lp.LENGTHS[kind]]]
        return leaf
