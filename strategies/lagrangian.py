"""`lagrangian`: optimises the multipliers of any formulation's Lagrangian relaxation; every step gives a dual bound.

Validity: each evaluation of the relaxation proves its own bound, whatever the multipliers are and however they were
chosen; the search, in floats, only decides where to evaluate. Stage costs are dualised, so multipliers lie in a
simplex, and the costs of a minimiser are a supergradient of the concave dual function:

* `subgradient`: Polyak's step towards the incumbent, projected on the simplex; the step halves, and the search returns
  to the best point, after some steps without a better bound.
* `multiplicative`: multipliers grow with the exponential of their cost's excess over the mean (mirror ascent), with
  the same control of the step.
* `level`: a bundle. The costs of all minimisers so far bound the dual function from above by a minimum of linear
  functions; the next point is the nearest to the best one, in the largest difference, where that model reaches a
  level between the best value and the model's maximum. A failed step raises or lowers the level.

A formulation may return less than the value of the dual function, if it evaluates a relaxation of it. The model of the
bundle is then only an upper bound on what can be proven, and `level`, which relies on the model, is worse than the
other two. A search ends after enough steps without progress. The formulation repairs minimisers into partitions.

Over `nested-cuts` stage costs are dualised, with one multiplier per group and one minimum cut per step, under the stage
windows of a threshold that rises with the dual bound. Its bounds are better than those of `lp` on most graphs, in a
second or two, and its partitions and those of `benders-mip` are the best of the decompositions. On graphs with few
narrow places (`ws`, `sbm`) and for few stages `lp` is a little better. `nested-cuts` itself, which branches, has better
bounds in the end.

Over `stage-cover` the covering constraints of the nodes are dualised, with one multiplier per node: for many stages on
wide graphs. There `multiplicative` is the best update. In 15 s its bounds were better than those of `stage-cover`
itself on two of three random graphs of 150 nodes (.798 to .780 of the best partition at k = 16, .925 to .835 at k = 8),
and no better on the third, which has hubs.

Sources: Polyak, 1969; Lemaréchal, Nemirovskii and Nesterov, 1995 (level bundle), here in a polyhedral norm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from framework.bounds import DualBound, Incumbent, Limit, Outcome, Reason, Soundness, Termination
from framework.contracts import Context, Feature, LagrangianFormulation, Relaxation, RelaxedPoint
from framework.errors import OutOfTimeError, UserError
from framework.model.problem import Problem, bottleneck
from framework.registry import LagrangianName, register_strategy, registry
from framework.structure.primal.initial_interval import balanced_partition, simple_bound

if TYPE_CHECKING:
    from framework.model.graph import FloatArray

NAME = "lagrangian"
LARGEST_BUNDLE = 100
SMALLEST = 1e-3
"""Multipliers of the multiplicative update stay above this part of the average, so that they can grow again."""
CUTS = 6
GAIN = 1e-6
"""Relative gain of the value below which a step counts as a failure."""


@register_strategy(
    NAME,
    features=[Feature.DUAL, Feature.PRIMAL, Feature.ANYTIME, Feature.WARM_START],
    summary="Lagrangian relaxation: multipliers by subgradient, multiplicative or bundle steps, each with a bound",
    reference="Polyak, 1969; Lemaréchal, Nemirovskii and Nesterov, 1995",
    purpose="studying multipliers and their updates: over `stage-cover` 0.688 at k = 32, where `lp` reaches 0.244",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class Lagrangian:
    """Evaluate the relaxation of a formulation at better and better multipliers.

    Attributes
    ----------
    over
        Spec of a formulation that has a relaxation, in brackets if it has parameters.
    update
        How the next multipliers are chosen.
    patience
        Steps without progress after which the step is cut; it ends after CUTS times as many.
    max_steps
        Evaluations at most.
    """

    over: LagrangianName = "nested-cuts"
    update: Literal["level", "subgradient", "multiplicative"] = "subgradient"
    patience: int = 100
    max_steps: int = 5000

    def __post_init__(self) -> None:
        if self.update not in ("level", "subgradient", "multiplicative"):
            raise ValueError("update must be level, subgradient or multiplicative")
        if self.patience < 1 or self.max_steps < 1:
            raise ValueError("patience and max_steps must be at least 1")

    def run(self, problem: Problem, context: Context) -> Outcome:
        """Search until nothing improves any more."""
        formulation = registry.create(self.over)
        if not isinstance(formulation, LagrangianFormulation):
            raise UserError(f"{self.over} has no Lagrangian relaxation", where=NAME, hint="choose over=nested-cuts")
        search = _Search(problem, context)
        try:
            relaxation = formulation.relax(problem, context)
            if relaxation is None:
                detail = f"{self.over} has no relaxation of this problem"
                return search.outcome(Termination(reason=Reason.UNSUPPORTED, detail=detail))
            return search.outcome(self._ascend(search, relaxation))
        except OutOfTimeError:
            return search.outcome(Termination(reason=Reason.LIMIT, limit=Limit.TIME))

    def _ascend(self, search: _Search, relaxation: Relaxation) -> Termination:
        makers: dict[str, type[_Update]] = {"level": _Level, "subgradient": _Subgradient}
        maker = makers.get(self.update, _Multiplicative)
        point, update, state = relaxation.start, maker(), None
        while search.steps < self.max_steps:
            if search.closed:
                return Termination(reason=Reason.OPTIMAL)
            if search.context.should_stop():
                raise OutOfTimeError("stopped between steps")
            seen = relaxation.evaluate(point)
            search.take(seen)
            if seen.restart:
                update, state = maker(), None
            state = _State.after(state, point, seen, search.value, self.patience)
            if state.failures >= CUTS * self.patience:
                return Termination(reason=Reason.FINISHED)
            following = update.next(state)
            if following is None:
                return Termination(reason=Reason.FINISHED, detail="the multipliers are optimal")
            point = following
        return Termination(reason=Reason.LIMIT, limit=Limit.ITERATIONS)


class _Search:
    """The interval of the run, and what of it was proven here."""

    def __init__(self, problem: Problem, context: Context) -> None:
        self.problem, self.context = problem, context
        self.partition = context.best_partition() or balanced_partition(problem)
        self.value = bottleneck(problem, self.partition)
        self.dual, self.soundness = simple_bound(problem), Soundness.EXACT
        self.steps = 0

    @property
    def closed(self) -> bool:
        """Whether the incumbent is proven optimal, by this or by others."""
        return max(self.dual, self.context.dual or 0) >= self.value

    def take(self, point: RelaxedPoint) -> None:
        """Report what an evaluation proved and found."""
        self.steps += 1
        if point.bound > self.dual:
            self.dual, self.soundness = point.bound, point.soundness
            self.context.report_dual(point.bound, point.soundness)
        if point.partition is not None and (value := bottleneck(self.problem, point.partition)) < self.value:
            self.value, self.partition = value, point.partition
            self.context.report_partition(point.partition)

    def outcome(self, termination: Termination) -> Outcome:
        """Say what is proven and why it ended."""
        details: dict[str, Any] = {"steps": self.steps}
        return Outcome(
            dual=DualBound(value=self.dual, source=NAME, soundness=self.soundness),
            incumbent=Incumbent(value=self.value, partition=self.partition, source=NAME),
            termination=termination,
            details=details,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _State:
    """Where a search is.

    Attributes
    ----------
    point, seen
        The latest multipliers and what they gave.
    center, best
        The best multipliers and their value in ticks.
    target
        The value to aim at, in ticks.
    failures
        Steps since the last progress.
    cut
        Whether it is time to shorten the step and go back to the center.
    """

    point: FloatArray
    seen: RelaxedPoint
    center: FloatArray
    best: float
    target: float
    failures: int
    cut: bool

    @classmethod
    def after(
        cls, before: _State | None, point: FloatArray, seen: RelaxedPoint, incumbent: int, patience: int
    ) -> _State:
        """Return the state after an evaluation; without one before it the search begins there."""
        better = before is None or seen.value > before.best + GAIN * abs(before.best)
        failures = 0 if before is None or better else before.failures + 1
        return cls(
            point=point,
            seen=seen,
            center=point if before is None or better else before.center,
            best=seen.value if before is None or better else before.best,
            target=float(incumbent) if seen.target is None else seen.target,
            failures=failures,
            cut=failures > 0 and failures % patience == 0,
        )


class _Update(Protocol):
    """Chooses where to evaluate next."""

    def next(self, state: _State) -> FloatArray | None:
        """Return the next multipliers, adding up to 1; None where no better ones can exist."""


class _Subgradient:
    def __init__(self) -> None:
        self._scale = 1.0

    def next(self, state: _State) -> FloatArray | None:
        seen, point = state.seen, state.point
        slope = seen.loads - seen.loads.mean()
        length = float((slope**2).sum())
        if length <= 0:
            return None
        step = self._scale * max(state.target - seen.value, 1e-3 * state.target) / length
        if state.cut:
            self._scale /= 2
            point = state.center
        return _project(point + step * slope)


class _Multiplicative:
    def __init__(self) -> None:
        self._step = 0.5

    def next(self, state: _State) -> FloatArray | None:
        import numpy as np

        point, loads = state.point, state.seen.loads
        if state.cut:
            self._step /= 2
            point = state.center
        excess = np.clip((loads - loads.mean()) / max(1.0, abs(float(loads.mean()))), -1.0, 3.0)
        if not excess.any():
            return None
        moved: FloatArray = point * np.exp(self._step * excess)
        moved = np.maximum(moved / moved.sum(), SMALLEST / len(moved))
        rescaled: FloatArray = moved / moved.sum()
        return rescaled


class _Level:
    """Keeps the costs of all minimisers; both problems of a step are linear programs."""

    def __init__(self) -> None:
        self._bundle: list[FloatArray] = []
        self._share = 0.5

    def next(self, state: _State) -> FloatArray | None:
        import numpy as np
        from scipy.optimize import linprog

        center, best = state.center, state.best
        self._bundle = [*self._bundle[-LARGEST_BUNDLE + 1 :], state.seen.loads]
        n, scale = len(center), max(1.0, abs(best))
        costs = np.stack(self._bundle) / scale
        # Maximise t with t <= lambda . g for each g of the bundle.
        simplex = np.append(np.ones(n), 0.0)[None, :]
        model = linprog(
            np.append(np.zeros(n), -1.0),
            A_ub=np.hstack((-costs, np.ones((len(costs), 1)))),
            b_ub=np.zeros(len(costs)),
            A_eq=simplex,
            b_eq=[1.0],
            bounds=[(0, None)] * n + [(None, None)],
            method="highs",
        )
        if model.status != 0:
            return None
        most = float(model.x[-1])
        if most * scale <= best * (1 + GAIN):
            return None
        if state.cut:
            self._share /= 2
        level = best / scale + self._share * (most - best / scale)
        # The nearest point of that level: minimise d with |lambda - center| <= d.
        identity, ones = np.eye(n), np.ones((n, 1))
        nearest = linprog(
            np.append(np.zeros(n), 1.0),
            A_ub=np.vstack(
                (
                    np.hstack((-costs, np.zeros((len(costs), 1)))),
                    np.hstack((identity, -ones)),
                    np.hstack((-identity, -ones)),
                )
            ),
            b_ub=np.concatenate((np.full(len(costs), -level), center, -center)),
            A_eq=simplex,
            b_eq=[1.0],
            bounds=[(0, None)] * (n + 1),
            method="highs",
        )
        if nearest.status != 0:
            return None
        found: FloatArray = np.maximum(nearest.x[:n], 0.0)
        rescaled: FloatArray = found / found.sum()
        return rescaled


def _project(point: FloatArray) -> FloatArray:
    """Return the nearest point of the simplex (Held, Wolfe and Crowder, 1974)."""
    import numpy as np

    falling = np.sort(point)[::-1]
    shifts = (np.cumsum(falling) - 1) / np.arange(1, len(point) + 1)
    shift = shifts[np.flatnonzero(falling > shifts)[-1]]
    projected: FloatArray = np.maximum(point - shift, 0.0)
    return projected
