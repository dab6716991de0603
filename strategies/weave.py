"""`weave`: a dynamic program over interleavings of two chains near the incumbent (corridor method).

Validity: it proves no bound; every partition is priced by the evaluator.

Each round builds a restricted problem and searches it. First the graph is coarsened such that the incumbent is a
partition of the coarse instance, at the same cost (`framework.structure.reduction.coarsening`). Then the coarse nodes
are divided into two sets, and each set is ordered as a chain (`framework.structure.reduction.two_chain_order`). Every
partition of this instance is a partition of the whole graph, and its ideals are few, so a dynamic program over them
looks for partitions below a threshold (`framework.structure.ideals.chain_dp`, or `framework.structure.unequal.chain_dp`
where stages are unequal): first one just below the incumbent, then lower ones in growing steps, until none is found.
The program leaves out ideals that one node more improves. That takes a tenth of the steps of an exact decision, and
hardly a partition is missed. The chains follow a topological order that slices the incumbent into its stages; within a
stage the order is one of several. Restricted problems have few ideals at first, and more after failures: early on, many
small ones improve more than few large ones in the same time. The length of the search is counted in rounds, not in
seconds, so the same seed gives the same result.

Where it wins: annealing moves nodes and groups between two stages; one decision here moves all boundaries at once and
redistributes the second chain among the stages. On 24 pairs of real graphs, 2 s of it lowered the bottleneck of
slicings by 1.2% in the mean, 2 s of `multilevel` or `annealing` by .5% (`scripts/benchmarks/methods/weave.py`). Before
it left out ideals, it gained .9% instead of 1.1% in 3 s on 18 pairs of the training half, with 32 and 64 stages.

Source: this project, for the two chains; the corridor method: Sniedovich and Voss, 2006.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from framework.bounds import Incumbent, Limit, Outcome, Reason, Termination
from framework.contracts import Context, Feature
from framework.errors import OutOfTimeError
from framework.model.problem import Partition, Problem, bottleneck
from framework.registry import TUNED, register_strategy
from strategies.cooling import best_known, start_of, without_start

if TYPE_CHECKING:
    from framework.model.instance import Instance

NAME = "weave"
HEAVIEST = 0.125
"""Most work and parameters of two nodes to be joined, in units of the bottleneck."""
BESIDE = (math.inf, 4.0, 2.0, 1.0, 0.3, 0.1, 0.02)
"""Most work incomparable to a node of the main chain, in mean stages; without limit, no side chain."""
NOISES = (0.0, 0.0, 0.5, 1.0)
"""Standard deviations of the logarithm of the random factors on incomparable work."""
KINDS = ("given", "dfs", "greedy-min-cut")
"""Orders of the nodes within a stage, see `framework.structure.poset.topological_orders`."""
REPEATED = 0.5
"""Share of the rounds that repeat the choices of the last round with an improvement."""
FIRST_STEP, LAST_STEP = 1e-4, 5e-4
"""How far below the first improvement the next one is looked for, and the last step worth it, of the bottleneck."""
FIRST_IDEALS, FAILURES_A_LEVEL = 8_000, 8
"""Ideals of the first restricted problems at most, and failures after which twice as many are allowed."""
UNMOVED = 3
"""Part of the patience for a partition that nothing improved on yet: often enough it is optimal."""
MOST_BYTES = 512 << 20
"""Size of a lattice at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeaveTuning:
    """Sizes of the coarse instances.

    Attributes
    ----------
    sizes
        Nodes: with few, the whole order of what is left; with many, more of the graph in chains.
    redrawn_from, drawings
        Larger graphs are coarsened in two steps; the first, to so many nodes, serves for so many of the second.
    """

    sizes: tuple[int, ...] = (100, 200, 400, 800)
    redrawn_from: int = 2_000
    drawings: int = 20


@register_strategy(
    NAME,
    features=[
        Feature.PRIMAL,
        Feature.ANYTIME,
        Feature.WARM_START,
        Feature.LIMITS,
        Feature.SHARED,
        Feature.UNEQUAL,
    ],
    summary="Dynamic programs over interleavings of two chains, near the best partition",
    reference="this project",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class Weave:
    """Coarsen, weave and decide, until nothing improves any more.

    Attributes
    ----------
    max_ideals
        Most ideals of a restricted problem; choices of chains that give more are skipped.
    patience
        Rounds in a row without improvement after which the search ends; a third of that before the first improvement.
    tuning
        Sizes of the coarse instances.
    """

    max_ideals: int = 70_000
    patience: int = 200
    tuning: WeaveTuning = field(default=WeaveTuning(), metadata=TUNED)

    def __post_init__(self) -> None:
        if self.max_ideals < 2 or self.patience < 1:
            raise ValueError("max_ideals must be at least 2, patience at least 1")

    def run(self, problem: Problem, context: Context) -> Outcome:
        """Go on until patience or time runs out."""
        best = start_of(problem, NAME, context)
        if best is None:
            return without_start()
        drawings = _Drawings(problem, context, self.tuning)
        failures = woven = failed = 0
        patience = max(1, self.patience // UNMOVED)
        termination = Termination(reason=Reason.FINISHED)
        try:
            while failures < patience and not (context.dual is not None and context.dual >= best.value):
                if context.should_stop():
                    raise OutOfTimeError("stopped between woven graphs")
                most = min(self.max_ideals, FIRST_IDEALS << min(failed // FAILURES_A_LEVEL, 16))
                found = self._improve(drawings, best, most)
                woven += 1
                if found is None:
                    failures, failed = failures + 1, failed + 1
                else:
                    failures, patience = 0, self.patience
                    drawings.keep()
                best = best_known(problem, found or best, context)
        except OutOfTimeError:
            termination = Termination(reason=Reason.LIMIT, limit=Limit.TIME)
            best = best_known(problem, best, context)
        return Outcome(incumbent=best, termination=termination, details={"woven": woven})

    def _improve(self, drawings: _Drawings, best: Incumbent, most: int) -> Incumbent | None:
        """Return the best partition of the next restricted problem if it is better; improvements are reported at once.

        A restricted problem of more than `most` ideals is skipped.

        Raises
        ------
        OutOfTimeError
            If the context says stop.
        """
        from framework.structure.ideals.lattice import LatticeStatus, enumerate_ideals
        from framework.structure.reduction.contraction import lift
        from framework.structure.unequal.chain_dp import chain_search

        problem, context = drawings.problem, drawings.context
        woven = drawings.draw(best)
        lattice = enumerate_ideals(
            woven, max_ideals=most, max_bytes=MOST_BYTES, foresee=True, should_stop=context.should_stop
        )
        if lattice.status is LatticeStatus.STOPPED:
            raise OutOfTimeError("stopped while ideals were being enumerated")
        if not lattice.complete:
            return None
        chains = chain_search(woven, lattice)
        better: Incumbent | None = None
        value, threshold, step = best.value, best.value - 1, FIRST_STEP
        while threshold >= (context.dual or 0):
            if context.should_stop():
                raise OutOfTimeError("stopped between thresholds")
            found = chains.look_for(problem.useful_stages, threshold, context.should_stop)
            if found is not None:
                partition = lift(found, woven)
                value = bottleneck(problem, partition)
                better = Incumbent(value=value, partition=partition, source=NAME)
                context.report_partition(partition)
                step *= 4
            elif better is None or step < LAST_STEP:
                break
            else:
                step /= 8
            threshold = min(value - 1, int(value * (1 - step)))
        return better


class _Way(NamedTuple):
    """A way of coarsening and weaving.

    Attributes
    ----------
    nodes
        Of the coarse instance, at most.
    beside, noise
        See `BESIDE` and `NOISES`.
    kind, reverse
        The order of nodes within a stage.
    deadlines, main_chain
        See `framework.structure.reduction.two_chain_order`.
    """

    nodes: int
    beside: float
    noise: float
    kind: str
    reverse: bool
    deadlines: bool
    main_chain: bool


class _Drawings:
    """Draws one way of coarsening and weaving after the other."""

    def __init__(self, problem: Problem, context: Context, tuning: WeaveTuning) -> None:
        import numpy as np

        self.problem, self.context, self._tuning = problem, context, tuning
        self._random = np.random.default_rng(context.seed)
        self._middle: tuple[int, Instance, Partition] | None = None
        self._drawn = 0
        self._way: _Way | None = None
        self._kept: _Way | None = None

    def draw(self, best: Incumbent) -> Instance:
        """Return a restricted problem that has a given partition, or one nearly as good, among its partitions.

        Its `node_of_input` maps the nodes of the problem's instance.

        Raises
        ------
        OutOfTimeError
            If the context says stop.
        """
        import numpy as np

        from framework.structure.poset.topological_orders import OrderKind, order_of_partition, topological_order
        from framework.structure.reduction.contraction import compose
        from framework.structure.reduction.two_chain_order import TwoChains

        self._way = way = self._choose()
        coarse, kept = self._coarsen(best, way.nodes)
        restriction = TwoChains(coarse, self.context.should_stop)
        # Not a product where it is without limit, as there may be no weight at all.
        beside = (
            way.beside if math.isinf(way.beside) else way.beside * restriction.total_weight / self.problem.useful_stages
        )
        wide = restriction.choose_side_chain(np.exp(-way.noise * self._random.standard_normal(coarse.n)), beside)
        within = topological_order(coarse, OrderKind(way.kind), reverse=way.reverse)
        order = order_of_partition(coarse, kept, within)
        return compose(
            coarse,
            restriction.restrict(order, wide, deadlines=way.deadlines, main_chain=way.main_chain and bool(wide.any())),
        )

    def keep(self) -> None:
        """Repeat the choices of the last restricted problem more often from now on: they led to an improvement."""
        self._kept = self._way

    def _choose(self) -> _Way:
        random, sizes = self._random, self._tuning.sizes
        if self._kept is not None and random.random() < REPEATED:
            return self._kept
        return _Way(
            nodes=sizes[int(random.integers(len(sizes)))],
            beside=BESIDE[int(random.integers(len(BESIDE)))],
            noise=NOISES[int(random.integers(len(NOISES)))],
            kind=KINDS[int(random.integers(len(KINDS)))],
            reverse=bool(random.integers(2)),
            deadlines=bool(random.integers(2)),
            main_chain=bool(random.integers(3)),
        )

    def _coarsen(self, best: Incumbent, nodes: int) -> tuple[Instance, Partition]:
        """Return a coarse instance, whose `node_of_input` maps that of the problem, and the partition given as its own.

        In between, large graphs have an instance of middling size, which keeps the stages of the partition it was made
        of: for a while after, partitions it does not have are not looked for around.
        """
        from framework.structure.reduction.contraction import compose

        if self._middle is None or self._drawn == self._tuning.drawings or best.value < self._middle[0]:
            middle, kept = self._step(self.problem.instance, best.partition, best.value, self._tuning.redrawn_from)
            self._middle, self._drawn = (best.value, middle, kept), 0
        value, middle, kept = self._middle
        self._drawn += 1
        coarse, partition = self._step(middle, kept, value, nodes)
        return compose(middle, coarse), partition

    def _step(self, instance: Instance, partition: Partition, value: int, nodes: int) -> tuple[Instance, Partition]:
        from framework.structure.reduction.coarsening import coarsen

        return coarsen(
            instance,
            partition,
            nodes=nodes,
            heaviest=int(HEAVIEST * value),
            random=self._random,
            should_stop=self.context.should_stop,
        )
