"""`nested-cuts`: branch and bound over nested ideals, every node bounded by minimum cuts.

Validity: a node's minimum cut bounds a weighted sum of stage costs over all partitions in the node
(`framework.structure.nested_cuts.network` has the proof), and the least bound of the open nodes bounds the optimum
(`framework.structure.nested_cuts.tree`); all arithmetic is on integers. With as many groups as stages the tree is
exact. With fewer it solves a relaxation: r adjacent stages of bottleneck T, seen as one stage with r times the
capacity, cost at most r T, because a merge adds work, never cuts, and max(0, sum p_i - r c) <= sum max(0, p_i - c). So
bounds for a few groups lift problems of many stages. Of unequal stages, a group has the prices of its cheapest
devices (`framework.structure.nested_cuts.prices`), and single stages those of their own.

By default trees for 2, 4, ... groups and for single stages grow in turns, and the tree with the best bound gets most of
the effort. The nested ideals of every cut are turned into a topological order and sliced, which gives partitions.

Source: this project.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from framework.bounds import Certificate, DualBound, Incumbent, Limit, Outcome, Reason, Soundness, Termination
from framework.contracts import Context, Decision, Feature, Refuted, Relaxation, RelaxedPoint, Satisfied, Undecided
from framework.errors import OutOfTimeError
from framework.model.problem import Partition, Problem, bottleneck
from framework.registry import register_formulation
from framework.structure.primal.initial_interval import balanced_partition, simple_bound

if TYPE_CHECKING:
    from framework.model.arrays import IntArray
    from framework.model.graph import FloatArray
    from framework.structure.nested_cuts.tree import NestedTree

NAME = "nested-cuts"
PROMISING = 1.05
"""A grouping is sliced if its largest cost per stage is at most this many times the incumbent."""
MOST_GROUPS = 64
FARTHEST_AHEAD, LEAST_AHEAD = 1 / 16, 1 / 512
"""How far above what is proven the threshold of the Lagrangian relaxation lies."""
TRIES = 10
"""Evaluations without news before it comes nearer."""
MOST_NUMBERS = 1_000_000
"""A certificate with more numbers is not kept."""
LEADER = 8
"""How much more effort goes to the tree that has proven most than to any other."""


@register_formulation(
    NAME,
    features=[
        Feature.EXACT,
        Feature.DUAL,
        Feature.PRIMAL,
        Feature.DECISION,
        Feature.ANYTIME,
        Feature.WARM_START,
        Feature.UNEQUAL,
    ],
    summary="Branch and bound over nested ideals; Lagrangian minimum cuts give the bounds",
    reference="this project",
    compile_rank=4,
)
@dataclass(frozen=True, slots=True, kw_only=True)
class NestedCuts:
    """Grow trees until the gap is closed; exact if there are as many groups as stages.

    Attributes
    ----------
    groups
        Number of groups of consecutive stages; 0 for several trees, from two groups up to `max_groups`.
    max_groups
        With ``groups=0``: most groups that a tree may have. Beyond so many stages the result is a bound, no optimum.
    max_vertices
        Give up on networks with more vertices.
    """

    groups: int = 0
    max_groups: int = 8
    max_vertices: int = 400_000

    def __post_init__(self) -> None:
        if self.groups == 1 or not 0 <= self.groups <= MOST_GROUPS:
            raise ValueError(f"groups must be 0 or 2 to {MOST_GROUPS}")
        if not 2 <= self.max_groups <= MOST_GROUPS:
            raise ValueError(f"max_groups must be 2 to {MOST_GROUPS}")
        if self.max_vertices < 1:
            raise ValueError("max_vertices must be at least 1")

    def bound(self, problem: Problem, context: Context) -> Outcome:
        """Minimise the bottleneck, reporting every bound and partition on the way."""
        search = _Search(problem, context)
        try:
            termination = self._minimise(search)
        except OutOfTimeError:
            termination = _stopped()
        return search.outcome(termination)

    def check(self, problem: Problem, certificate: Certificate) -> int:
        """Follow the tree of a certificate, cut by cut, and return the bound that it proves."""
        from framework.portfolio.logs.certified import certified_data
        from framework.proof.nested import nested_cuts
        from framework.proof.problem import plain_problem

        data = certified_data(NAME, certificate)
        return nested_cuts(plain_problem(problem.instance, problem.stages), **data)[0]

    def decide(self, problem: Problem, threshold: int, context: Context) -> Decision:
        """Decide one threshold with one tree: `groups` of them, or as many as stages up to `max_groups`."""
        from framework.structure.nested_cuts.rounding import balanced_sizes

        if threshold < simple_bound(problem):
            return Refuted(soundness=Soundness.EXACT)
        start = balanced_partition(problem)
        if bottleneck(problem, start) <= threshold:
            return Satisfied(partition=start)
        groups = min(self.groups or self.max_groups, problem.useful_stages)
        if groups < 2:
            return Refuted(soundness=Soundness.EXACT)
        if not self._fits(problem, groups):
            return Undecided(reason=f"more than {self.max_vertices} vertices")
        search = _Search(problem, context)
        try:
            tree = search.plant(balanced_sizes(problem.useful_stages, groups), threshold)
            if tree is None:
                return Refuted(soundness=Soundness.EXACT)
            while search.value > threshold:
                if tree.found is not None:
                    return Undecided(reason=f"{groups} groups do not rule it out")
                if tree.done:
                    return Refuted(soundness=Soundness.EXACT)
                search.grow(tree)
        except OutOfTimeError:
            return Undecided(reason="out of time")
        return Satisfied(partition=search.partition)

    def relax(self, problem: Problem, context: Context) -> Relaxation | None:
        """Return the Lagrangian relaxation at the root, one multiplier a group."""
        from framework.structure.nested_cuts.rounding import balanced_sizes

        groups = min(self.groups or self.max_groups, problem.useful_stages)
        if groups < 2 or not self._fits(problem, groups):
            return None
        return _Relaxation(problem, balanced_sizes(problem.useful_stages, groups), context)

    def _fits(self, problem: Problem, groups: int) -> bool:
        from framework.structure.nested_cuts.network import finest_multiplier

        instance = problem.instance
        if instance.unequal is not None and not finest_multiplier(instance, groups):
            return False
        return (groups - 1) * (instance.n + instance.m) <= self.max_vertices

    def _groupings(self, problem: Problem) -> list[list[int]]:
        from framework.structure.nested_cuts.rounding import balanced_sizes

        k = problem.useful_stages
        wanted = [self.groups] if self.groups else [2, 3, 4, 6, 8, 16, 32, 64]
        most = min(k, self.groups or self.max_groups)
        counts = sorted({min(count, most) for count in wanted} - {1})
        return [balanced_sizes(k, count) for count in counts if self._fits(problem, count)]

    def _minimise(self, search: _Search) -> Termination:
        problem = search.problem
        if problem.useful_stages == 1:
            search.raise_dual(search.value)
        if search.closed:
            return Termination(reason=Reason.OPTIMAL)
        groupings = self._groupings(problem)
        if not groupings:
            detail = f"more than {self.max_vertices} vertices"
            return Termination(reason=Reason.LIMIT, limit=Limit.SIZE, detail=detail)
        trees = []
        for sizes in groupings:
            tree = search.plant(sizes, search.value - 1)
            if tree is None:
                search.raise_dual(search.value, {"sizes": sizes, "tree": [[]], "tensors": [], "shares": []})
                return Termination(reason=Reason.OPTIMAL)
            trees.append(tree)
        while trees:
            leader = max(trees, key=lambda tree: tree.bound)
            # Counted in steps of the flows, so that the same seed gives the same trees.
            tree = min(trees, key=lambda tree: tree.network.network.steps * (1 if tree is leader else LEADER))
            search.grow(tree)
            search.raise_dual(tree.bound, tree.certificate(MOST_NUMBERS) if tree.bound >= search.value else None)
            if search.closed:
                return Termination(reason=Reason.OPTIMAL)
            trees = [tree for tree in trees if not tree.done]
        return Termination(reason=Reason.FINISHED)


class _Search:
    """The interval, and what of it is this formulation's own."""

    def __init__(self, problem: Problem, context: Context) -> None:
        from framework.structure.nested_cuts.rounding import Repair

        self.problem, self.context = problem, context
        self.partition = context.best_partition() or balanced_partition(problem)
        self.value = bottleneck(problem, self.partition)
        self.dual = simple_bound(problem)
        self.certificate: Certificate | None = None
        self.trees: list[NestedTree] = []
        self._repair = Repair(problem)

    @property
    def closed(self) -> bool:
        """Whether the incumbent is proven optimal, by this or by others."""
        return max(self.dual, self.context.dual or 0) >= self.value

    def plant(self, sizes: list[int], threshold: int) -> NestedTree | None:
        """Return a tree for a grouping of the stages; None if the windows refute the threshold.

        Raises
        ------
        OutOfTimeError
            If the context says stop.
        """
        from framework.structure.nested_cuts.network import NestedNetwork
        from framework.structure.nested_cuts.rounding import group_windows
        from framework.structure.nested_cuts.tree import NestedTree

        instance, stop = self.problem.instance, self.context.should_stop
        windows = group_windows(instance, sizes, threshold, stop)
        if windows is None:
            return None
        reach = self.trees[0].network.reach if self.trees else None
        network = NestedNetwork(instance, sizes, reach=reach, should_stop=stop)
        offer = partial(self.offer, len(sizes))
        tree = NestedTree(network, threshold, *windows, offer=offer, should_stop=stop)
        self.trees.append(tree)
        return tree

    def grow(self, tree: NestedTree) -> None:
        """Work on one node.

        Raises
        ------
        OutOfTimeError
            If the context says stop.
        """
        if self.context.incumbent is not None and self.context.incumbent < self.value:
            other = self.context.best_partition()
            if other is not None:
                self._improve(other)
        if not self.closed and self.context.should_stop():
            raise OutOfTimeError("stopped between nodes")
        tree.threshold = min(tree.threshold, self.value - 1)
        tree.advance()

    def offer(self, groups: int, group_of: IntArray, value: int) -> None:
        """Make a partition of a grouping, if its largest cost per stage promises a better one."""
        if value > PROMISING * self.value:
            return
        found = self._repair.partition(group_of, groups, self.value, self.context.should_stop)
        if found is not None:
            self._improve(found.partition)
            self.context.report_partition(found.partition)

    def raise_dual(self, value: int, shown: dict[str, Any] | None = None) -> None:
        """Report a dual bound in ticks, if it is news; `shown` is the tree that shows it, if it is kept."""
        if value > self.dual:
            self.dual, self.certificate = value, None
            if shown is not None and self.problem.instance.unequal is None:
                from framework.proof.log import CHANGED

                data = {"version": CHANGED[NAME], "threshold": value - 1, **shown}
                self.certificate = Certificate(kind=NAME, data=data, instance=self.problem.instance.sha256())
            self.context.report_dual(value, Soundness.EXACT, self.certificate)

    def outcome(self, termination: Termination) -> Outcome:
        """Say what is proven and why it ended."""
        details: dict[str, Any] = {
            "trees": [
                {"groups": tree.network.groups, "nodes": tree.nodes, "cuts": tree.cuts, "bound": tree.bound}
                for tree in self.trees
            ]
        }
        return Outcome(
            dual=DualBound(value=self.dual, source=NAME, soundness=Soundness.EXACT, certificate=self.certificate),
            incumbent=Incumbent(value=self.value, partition=self.partition, source=NAME),
            termination=termination,
            details=details,
        )

    def _improve(self, partition: Partition) -> None:
        value = bottleneck(self.problem, partition)
        if value < self.value:
            self.value, self.partition = value, partition


class _Relaxation:
    """The minimum cut of the root, under the windows of a threshold a little above what is proven.

    Windows hold for partitions of at most the threshold only, so the smaller of threshold + 1 and the bound of the cut
    is proven. Once that has come near, a higher threshold follows; after some evaluations without news, a lower one,
    whose windows are narrower. Which boundary a tensor's cost is put on, and the multipliers of overflow, follow what
    the latest cuts showed.
    """

    def __init__(self, problem: Problem, sizes: list[int], context: Context) -> None:
        import numpy as np

        from framework.structure.nested_cuts.network import NestedNetwork
        from framework.structure.poset.stage_windows import StageWindows

        self._search = _Search(problem, context)
        self._stop = context.should_stop
        self._network = NestedNetwork(problem.instance, sizes, should_stop=self._stop)
        self._stage_windows = StageWindows(problem.instance, self._stop)
        self._sizes = sizes
        self._priority = self._network.even_priority()
        self._overflow: FloatArray = np.zeros(self._network.groups)
        self._proven = max(self._search.dual, context.dual or 0)
        self._ahead, self._tried, self._fresh = FARTHEST_AHEAD, 0, True
        self._move()

    @property
    def multipliers(self) -> int:
        return self._network.groups

    @property
    def start(self) -> FloatArray:
        import numpy as np

        even: FloatArray = np.full(self._network.groups, 1 / self._network.groups)
        return even

    def evaluate(self, multipliers: FloatArray) -> RelaxedPoint:
        import numpy as np

        from framework.structure.nested_cuts.network import SMOOTHING

        network, sizes = self._network, self._network.sizes
        if self._windows is None:
            return RelaxedPoint(
                bound=self._proven,
                value=float(self._proven),
                loads=np.full(len(sizes), float(self._proven)),
                soundness=Soundness.EXACT,
            )
        # The bound is divided by the weight sum lambda r, so a multiplier stands for lambda r.
        rounded = network.multipliers(multipliers / sizes, self._overflow)
        base = network.prepare(rounded, *self._windows, self._priority)
        value = base + network.network.augment(should_stop=self._stop)
        weight = network.weight(rounded)
        group_of, largest = network.smallest(), network.largest()
        costs, parameters = network.costs(group_of)
        # Costs at both ends of the minimum are supergradients; so is their mean, and it zigzags less.
        mean = (costs + network.costs(largest)[0]) / 2
        self._priority += SMOOTHING * (network.crossings(group_of) - self._priority)
        self._overflow = (self._overflow + (parameters > network.capacities)) / 2
        self._search.offer(network.groups, group_of, 0)
        self._search.offer(network.groups, largest, 0)
        target, restart = self._threshold * (1 + self._ahead), self._fresh
        self._learn(min(self._threshold + 1, -(-value // weight)))
        return RelaxedPoint(
            bound=self._proven,
            value=value / weight,
            loads=mean / sizes,
            soundness=Soundness.EXACT,
            partition=self._search.partition,
            restart=restart,
            target=target,
        )

    def _learn(self, bound: int) -> None:
        """Take over a bound, and change the threshold where it is near or nothing has been news for long."""
        self._fresh = False
        self._tried += 1
        if bound > self._proven:
            self._proven, self._tried = bound, 0
            if self._threshold < bound + self._ahead * bound / 2:
                self._move()
        elif self._tried >= TRIES and self._ahead > LEAST_AHEAD:
            self._ahead /= 2
            self._move()

    def _move(self) -> None:
        """Choose the threshold by what is proven, and its windows; those without windows are refuted on the way."""
        from framework.structure.nested_cuts.rounding import windows_of_groups

        while True:
            highest = self._search.value - 1
            self._threshold = max(self._proven, min(highest, int(self._proven * (1 + self._ahead))))
            self._windows = windows_of_groups(self._stage_windows, self._sizes, self._threshold)
            if self._windows is not None or self._proven > highest:
                break
            self._proven = self._threshold + 1
        self._fresh, self._tried = True, 0


def _stopped() -> Termination:
    return Termination(reason=Reason.LIMIT, limit=Limit.TIME)
