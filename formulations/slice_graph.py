"""`slice-graph`: the optimal slicing into stages of a few good topological orders.

Every partition into stages slices some topological order, and the best slicing of one order is found exactly and fast
(`framework.structure.primal.slicing`, and `framework.structure.unequal.slicing` where stages run on different devices).
So the search is over topological orders: that of the incumbent, the given one, depth first, breadth first and greedy
minimum cut (each of these three built from the sources and from the sinks), and then randomised ones. For each order it
is first decided whether a slicing below the incumbent exists; only then is its best slicing computed.

Source: Archer, Fahrbach, Liu, Prabhu, "Practical Performance Guarantees for Pipelined DNN Inference", ICML 2024
(SliceGraph); the choice of orders is this project's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from framework.bounds import Incumbent, Limit, Outcome, Reason, Termination
from framework.contracts import Context, Feature
from framework.model.problem import Problem
from framework.registry import register_formulation

if TYPE_CHECKING:
    from framework.model.arrays import IntArray

_NAME = "slice-graph"


@register_formulation(
    _NAME,
    features={
        Feature.PRIMAL,
        Feature.ANYTIME,
        Feature.WARM_START,
        Feature.LIMITS,
        Feature.SHARED,
        Feature.WORKSETS,
        Feature.UNEQUAL,
    },
    summary="Optimal slicing of good topological orders",
    reference="Archer et al., ICML 2024 (arXiv 2311.03703), SliceGraph",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class SliceGraph:
    """Slice good topological orders.

    Attributes
    ----------
    random_orders
        Number of noisy orders after the good ones: depth first and greedy minimum cut in turn, from both ends.
    noise
        Noise of the greedy minimum cut, in units of the mean tensor cost.
    """

    random_orders: int = 16
    noise: float = 1.0

    def __post_init__(self) -> None:
        if self.random_orders < 0:
            raise ValueError(f"random_orders must be at least 0, not {self.random_orders}")
        if not 0 <= self.noise < float("inf"):
            raise ValueError(f"noise must be finite and at least 0, not {self.noise}")

    def bound(self, problem: Problem, context: Context) -> Outcome:
        """Slice one order after the other, each against the best incumbent so far."""
        from framework.structure.unequal.slicing import slicer_of

        best: Incumbent | None = None
        improved_by: list[str] = []
        tried = 0
        for name, order in self._orders(problem, context):
            if context.should_stop():
                break
            values = [context.incumbent, None if best is None else best.value]
            sliced = slicer_of(problem.instance, order).solve(
                problem.useful_stages,
                upper=min((value for value in values if value is not None), default=None),
                lower=context.dual or 0,
                should_stop=context.should_stop,
            )
            tried += 1
            if sliced is not None:
                best = Incumbent(value=sliced.value, partition=sliced.partition, source=_NAME)
                improved_by.append(name)
                context.report_partition(sliced.partition)
        return Outcome(
            incumbent=best,
            termination=_termination(context),
            details={"orders": tried, "improved_by": improved_by},
        )

    def _orders(self, problem: Problem, context: Context) -> Iterator[tuple[str, IntArray]]:
        """Yield the orders to slice and their names, good ones first."""
        import numpy as np

        from framework.structure.poset.topological_orders import OrderKind, order_of_partition, topological_order

        instance = problem.instance
        known = context.best_partition()
        if known is not None:
            yield "incumbent", order_of_partition(instance, known)
        yield str(OrderKind.GIVEN), topological_order(instance, OrderKind.GIVEN)
        for kind in (OrderKind.GREEDY_MIN_CUT, OrderKind.DFS, OrderKind.BFS):
            yield str(kind), topological_order(instance, kind)
            yield f"{kind} backwards", topological_order(instance, kind, reverse=True)
        seeds = np.random.default_rng(context.seed).integers(0, 2**62, self.random_orders).tolist()
        for i, seed in enumerate(seeds):
            kind, noise = ((OrderKind.GREEDY_MIN_CUT, self.noise), (OrderKind.DFS, 1.0))[i % 2]
            backwards = i % 4 > 1
            yield f"noisy {kind}", topological_order(instance, kind, reverse=backwards, noise=noise, seed=seed)


def _termination(context: Context) -> Termination:
    if not context.should_stop():
        return Termination(reason=Reason.FINISHED)
    if context.remaining() <= 0:
        return Termination(reason=Reason.LIMIT, limit=Limit.TIME)
    dual, incumbent = context.dual, context.incumbent
    closed = dual is not None and incumbent is not None and dual >= incumbent
    return Termination(reason=Reason.OPTIMAL if closed else Reason.INTERRUPTED)
