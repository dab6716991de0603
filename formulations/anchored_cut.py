"""`anchored-cut`: every node lies in some stage, and the cheapest set that can be that stage bounds the bottleneck.

Validity: take the partition that attains the optimum and any node v. The stage S that holds v is convex, so it
satisfies what `framework.structure.flow.convex_cuts` imposes for the anchor v, and it costs at most the optimum. Since
max(0, p(S) - capacity) >= theta (p(S) - capacity) for any theta in [0, 1],

    optimum >= f(S) >= min over such sets R of  (w + theta p)(R) + cut(R)  -  theta capacity,

a minimum cut, rounded up because f is an integer. p counts a parameter that several nodes of a set use once: that is a
coverage function and theta >= 0, so `convex_cuts` minimises its sum with a cut exactly. If only one user paid, p(R) and
so the minimum would be no larger, for every theta. theta is taken in 64ths, so everything stays in integers. As a
function of theta the right side is concave with slope p(R) - capacity, which is what the search for theta follows.

Nodes are anchored in falling order of f({v}), an upper bound on what v can prove; the first that cannot beat the best
ends the search. A node of a convex set found for another anchor proves no more than the cost of that set.

Partitions: the cheapest set found for the anchor with the best bound is made a stage. Topological orders in which this
set is contiguous are sliced; the partition attains the bound if that stage determines the bottleneck.

Certificate: anchor, theta, and a flow, whose value no cut can be below. Source: this project.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from framework.bounds import Certificate, DualBound, Incumbent, Limit, Outcome, Reason, Soundness, Termination
from framework.contracts import Context, Feature
from framework.errors import OutOfTimeError
from framework.model.problem import Problem
from framework.registry import register_formulation
from framework.structure.primal.initial_interval import simple_bound

if TYPE_CHECKING:
    from framework.model.arrays import IntArray
    from framework.model.instance import Instance
    from framework.structure.flow.convex_cuts import NodeCut, NodeCuts

NAME = "anchored-cut"
DENOMINATOR = 64
"""theta is a multiple of its inverse."""


@register_formulation(
    NAME,
    features=[Feature.DUAL, Feature.PRIMAL, Feature.ANYTIME, Feature.WARM_START, Feature.SHARED],
    summary="The least cost of a stage that holds a given node: one minimum cut for each",
    reference="this project",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class AnchoredCut:
    """One minimum cut for each node that can still raise the bound, and some more where parameters overflow.

    Attributes
    ----------
    max_anchors
        Give up after this many nodes; 0 for no limit.
    """

    max_anchors: int = 0

    def __post_init__(self) -> None:
        if self.max_anchors < 0:
            raise ValueError("max_anchors must be at least 0")

    def bound(self, problem: Problem, context: Context) -> Outcome:
        """Anchor one node after the other."""
        from framework.structure.flow.convex_cuts import NodeCuts

        search: _Search | None = None
        found: Incumbent | None = None
        try:
            search = _Search(problem, context, NodeCuts(problem.instance, should_stop=context.should_stop))
            termination = search.run(self.max_anchors)
            found = search.slice_around(problem.useful_stages)
        except OutOfTimeError:
            termination = Termination(reason=Reason.LIMIT, limit=Limit.TIME)
        if search is None:
            return Outcome(termination=termination)
        return Outcome(dual=search.best, incumbent=found, termination=termination, details=search.details)

    def check(self, problem: Problem, certificate: Certificate) -> int:
        """Check the flow of a certificate arc by arc and vertex by vertex, and return the bound it proves."""
        import numpy as np

        from framework.structure.flow.convex_cuts import NodeCuts

        instance = problem.instance
        data = certificate.whole_data("anchor", "theta_64", "arcs", "flow")
        anchor, share = data["anchor"], data["theta_64"]
        if not 0 <= anchor < instance.n or not 0 <= share <= DENOMINATOR:
            raise ValueError("anchor or theta is out of range")
        cuts = NodeCuts(instance)
        flow = np.zeros(len(cuts.network.forward), np.int64)
        flow[np.array(data["arcs"], np.int64)] = np.array(data["flow"], np.int64)
        weights = _weights(instance, share)
        value = cuts.flow_value(flow, *weights, scale=DENOMINATOR, inside=[anchor], anchors=[anchor])
        return _round_up(value, share, instance)


class _Search:
    """The best bound so far, and which nodes cannot raise it.

    `parameters` is the parameter cost of the set that the latest cut found, in ticks; `cheapest` are the cost and
    members of the cheapest set found for the anchor that proves most.
    """

    def __init__(self, problem: Problem, context: Context, cuts: NodeCuts) -> None:
        import numpy as np

        self.instance, self.context, self.cuts = problem.instance, context, cuts
        self.floor = simple_bound(problem)
        self.best: DualBound | None = None
        self.settled = np.zeros(self.instance.n, np.bool_)
        self.parameters = 0
        self.cheapest: tuple[int, IntArray] | None = None
        self.digest = problem.instance.sha256()
        self.details: dict[str, Any] = {"anchors": 0, "cuts": 0}

    @property
    def target(self) -> int:
        """A bound is worth looking for only above this."""
        return max(self.floor, self.context.dual or 0, 0 if self.best is None else self.best.value)

    def run(self, max_anchors: int) -> Termination:
        """Anchor nodes until none can raise the bound.

        Raises
        ------
        OutOfTimeError
            If the context says stop.
        """
        import numpy as np

        from framework.structure.flow.convex_cuts import costs_alone

        ceiling = costs_alone(self.instance)
        for v in np.argsort(-ceiling, kind="stable").tolist():
            if int(ceiling[v]) <= self.target:
                break
            if self.settled[v]:
                continue
            if self.context.should_stop():
                raise OutOfTimeError("stopped between anchors")
            if max_anchors and self.details["anchors"] >= max_anchors:
                return Termination(reason=Reason.LIMIT, limit=Limit.ITERATIONS)
            self.details["anchors"] += 1
            self._anchor(v)
        return Termination(reason=Reason.FINISHED)

    def slice_around(self, stages: int) -> Incumbent | None:
        """Return the best slicing of orders that hold the kept set in one piece, if it beats all that is known."""
        from framework.structure.poset.topological_orders import order_around
        from framework.structure.primal.slicing import Slicer

        known = self.context.incumbent
        if self.cheapest is None:
            return None
        cost, members = self.cheapest
        if known is not None and known <= cost:
            return None
        best: Incumbent | None = None
        for late in (False, True):
            if self.context.should_stop():
                break
            order = order_around(self.instance, members, self.cuts.reach, late=late)
            sliced = Slicer(self.instance, order).solve(
                stages, upper=known, lower=self.target, should_stop=self.context.should_stop
            )
            if sliced is not None:
                best = Incumbent(value=sliced.value, partition=sliced.partition, source=NAME)
                known = sliced.value
                self.context.report_partition(sliced.partition)
        return best

    def _anchor(self, v: int) -> None:
        """Bound what a stage that holds v costs; keep the cheapest set found if v proves more than others."""
        before = self.best
        found = min(self._sets_around(v), key=lambda pair: pair[0], default=None)
        if self.best is not before and found is not None:
            self.cheapest = found

    def _sets_around(self, v: int) -> Iterator[tuple[int, IntArray]]:
        """Yield cost and members of the sets that hold v and are cheapest at one theta after the other."""
        from framework.structure.flow.convex_cuts import held_parameters, is_convex, set_cost

        for share in self._shares(v):
            cut = self._cut(v, share)
            self._record(v, share, _round_up(cut.value, share, self.instance))
            if not cut.complete:
                return
            cost = set_cost(self.instance, cut.members)
            self.parameters = held_parameters(self.instance, cut.members)
            yield cost, cut.members
            if cost <= self.target:
                # Nothing that this set can belong to proves more than it costs.
                if is_convex(cut.members, self.cuts.reach):
                    self.settled[cut.members] = True
                return

    def _shares(self, v: int) -> Iterator[int]:
        """Yield theta in 64ths: no parameters, all of them, then where the slope changes its sign."""
        yield 0
        if not self.instance.can_overflow or self.parameters <= self.instance.capacity:
            return
        yield DENOMINATOR
        low, high = 0, DENOMINATOR
        if self.parameters >= self.instance.capacity:
            return
        while high - low > 1:
            middle = (low + high) // 2
            yield middle
            low, high = (middle, high) if self.parameters > self.instance.capacity else (low, middle)

    def _cut(self, v: int, share: int) -> NodeCut:
        self.details["cuts"] += 1
        limit = None
        if self.context.incumbent is not None:
            limit = DENOMINATOR * self.context.incumbent + _allowance(share, self.instance)
        weights = _weights(self.instance, share)
        return self.cuts.minimise(*weights, scale=DENOMINATOR, inside=[v], anchors=[v], limit=limit)

    def _record(self, v: int, share: int, value: int) -> None:
        import numpy as np

        if value <= self.target:
            return
        flow = self.cuts.flow()
        arcs = np.flatnonzero(flow)
        certificate = Certificate(
            kind=NAME,
            data={"anchor": v, "theta_64": share, "arcs": arcs.tolist(), "flow": flow[arcs].tolist()},
            instance=self.digest,
        )
        self.best = DualBound(value=value, source=NAME, soundness=Soundness.EXACT, certificate=certificate)
        self.context.report_dual(value, Soundness.EXACT, certificate)


def _weights(instance: Instance, share: int) -> tuple[IntArray, IntArray]:
    """Return DENOMINATOR times w + theta p: of nodes, and of shared parameters."""
    return DENOMINATOR * instance.work + share * instance.parameter_cost, share * instance.shared_cost


def _allowance(share: int, instance: Instance) -> int:
    return share * instance.capacity if share else 0


def _round_up(value: int, share: int, instance: Instance) -> int:
    return -((_allowance(share, instance) - value) // DENOMINATOR)
