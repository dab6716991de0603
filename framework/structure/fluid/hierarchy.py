"""Cores of growing size of one instance, built on demand: larger ones bound better and take longer.

The smallest cores are chosen in several ways (`framework.structure.fluid.selection`), and the best way is used for
larger cores, which are also tried with one more kind of heavy fluid nodes as a chain
(`framework.structure.fluid.interchangeable`). Every core gives valid bounds; the order in which cores are tried is
tuned by measurements. Source: this project.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.instance import Instance
from framework.model.problem import Partition, Problem, bottleneck
from framework.structure.fluid.chain_dp import FluidPlan, FluidSearch
from framework.structure.fluid.core import FluidCore, build_core, without_tolls
from framework.structure.fluid.interchangeable import Chain, find_chains
from framework.structure.fluid.memory_bound import crowded_nodes
from framework.structure.fluid.reversal import read_backwards, reverse_stages
from framework.structure.fluid.rounding import place_fluid
from framework.structure.fluid.selection import PREFERENCES, FluidChoice, Preference
from framework.structure.fluid.tuning import HierarchyTuning
from framework.structure.fluid.unequal_chain_dp import UnequalFluidSearch, stage_devices
from framework.structure.fluid.variants import (
    Variant,
    device_variants,
    needs_prices,
    tied_variants,
    toll_variants,
    whole_node_variants,
)
from framework.structure.ideals.lattice import IdealLattice
from framework.structure.poset.closure import BoolArray, Closure, closure
from framework.structure.poset.topological_orders import order_of_partition
from framework.structure.primal.annealing import polish
from framework.structure.reduction.contraction import lift
from framework.structure.reduction.dominance import reduce_relaxing
from framework.structure.unequal.slicing import slicer_of


@dataclass(frozen=True, slots=True)
class Way:
    """A way of making cores.

    It names a preference of `framework.structure.fluid.selection`, what stays as a chain, and whether separation is
    charged.
    """

    preference: Preference = PREFERENCES[0]
    chains: tuple[Chain, ...] = ()
    tolled: bool = True

    @property
    def kind(self) -> tuple[Preference, int, bool]:
        """The preference, the number of chains, and whether there may be tolls."""
        return self.preference, len(self.chains), self.tolled


@dataclass(slots=True, eq=False)
class VariantOrder:
    """The variants that refuted something, the latest first; the cores of one hierarchy share it.

    Attributes
    ----------
    most_misses
        Cores in which a variant that is not basic and has never refuted anything is tried; one with ties only where the
        same without them has refuted something last.
    """

    most_misses: int
    _refuting: list[Variant] = field(default_factory=list)
    _misses: Counter[Variant] = field(default_factory=Counter)

    @property
    def latest(self) -> Variant:
        """The one that refuted something last."""
        return self._refuting[0]

    def prefer(self, variant: Variant) -> None:
        """Try a variant first from now on."""
        self._refuting = [variant, *(other for other in self._refuting if other != variant)]

    def miss(self, variant: Variant) -> None:
        """Note that a variant allows what a core was asked for first."""
        self._misses[variant] += 1

    def of(self, variants: Sequence[Variant]) -> list[Variant]:
        """Return those worth trying of some variants, in the order in which to try them."""
        others = [
            variant
            for variant in variants
            if variant not in self._refuting
            and not (not variant.basic and self._misses[variant] >= self.most_misses)
            and not (variant.tied and self._refuting[:1] != [replace(variant, tied=False)])
        ]
        return [*(variant for variant in self._refuting if variant in variants), *others]


@dataclass(slots=True, kw_only=True, eq=False)
class ReadyCore:
    """A core ready to decide, what it has decided, and the way back to the problem's instance.

    Attributes
    ----------
    core, search
        The core, and what decides on it or, if `backwards`, on its reversal.
    instance, relaxed
        The instance that the core was made from, and whether it is a relaxation of the problem's.
    order
        Of the search's variants; shared by the cores of a hierarchy.
    allowed
        Per variant the lowest threshold that it has not refuted, in ticks, and what it allows there.
    """

    core: FluidCore
    search: FluidSearch | UnequalFluidSearch
    backwards: bool
    instance: Instance
    relaxed: bool
    way: Way
    order: VariantOrder
    allowed: dict[Variant, tuple[int, FluidPlan]] = field(default_factory=dict)

    @property
    def exact(self) -> bool:
        """Whether nothing is fluid, nor in a chain."""
        return not len(self.core.fluid) and not self.way.chains

    def refute(self, stages: int, threshold: int, should_stop: Callable[[], bool]) -> FluidPlan | None:
        """Return None if the threshold is refuted, and otherwise what some variant allows.

        A variant that refutes is tried first from then on, in all cores. What it allows at one threshold it allows at
        all higher ones: so it is not asked again for those. The number of stages must always be the same.
        """
        plan: FluidPlan | None = None
        for variant in self.order.of(self.search.variants):
            lowest, known = self.allowed.get(variant, (threshold + 1, None))
            if lowest <= threshold:
                plan = plan or known
                continue
            plan = self.search.decide(stages, threshold, should_stop, variant=variant)
            if plan is None:
                self.order.prefer(variant)
                return None
            if variant not in self.allowed:
                self.order.miss(variant)
            self.allowed[variant] = (threshold, plan)
            if variant.tied:
                # Without ties there is more room for the same.
                self.allowed.setdefault(replace(variant, tied=False), (threshold, plan))
        return plan

    def complete(self, problem: Problem, plan: FluidPlan, seed: int, should_stop: Callable[[], bool]) -> Partition:
        """Return a partition of the problem that the core of a plan leads to, polished, or sliced better."""
        reduced = problem.on(self.instance)
        stage_of_core = plan.stage_of_core
        if self.backwards:
            stage_of_core = reverse_stages(stage_of_core, problem.useful_stages)
        placed = place_fluid(reduced, self.core, stage_of_core)
        if self.relaxed:
            placed = lift(placed, self.instance)
        placed = polish(problem, placed, seed, should_stop)
        slicer = slicer_of(problem.instance, order_of_partition(problem.instance, placed))
        sliced = slicer.solve(problem.useful_stages, upper=bottleneck(problem, placed))
        return placed if sliced is None else sliced.partition


class CoreHierarchy:
    """Cores of growing size of one instance, built when they are asked for.

    Parameters
    ----------
    load
        Ticks that the heaviest stage bears at least.
    threshold
        About what a stage costs, in ticks.
    stages
        Number of stages.
    first_ideals, max_ideals
        Most ideals of the first and of the last core.
    epsilon
        Share of the total work that a relaxing reduction may take away first; 0 for none.
    tuning
        When which cores are tried.
    """

    def __init__(
        self,
        instance: Instance,
        load: int,
        threshold: int,
        stages: int,
        *,
        first_ideals: int,
        max_ideals: int,
        epsilon: float = 0.0,
        tuning: HierarchyTuning | None = None,
        should_stop: Callable[[], bool],
    ) -> None:
        self._tuning = tuning or HierarchyTuning()
        self._max_ideals = max_ideals
        self._instance, self._relaxed = instance, epsilon > 0
        if epsilon:
            self._instance = reduce_relaxing(instance, epsilon, should_stop=should_stop).instance
        self._load, self._threshold, self._stages = load, threshold, stages
        self._backwards = False
        self._reach: Closure | None = None
        self._crowded: BoolArray | None = None
        self._order = VariantOrder(self._tuning.most_misses)
        self._choices: dict[tuple[Preference, tuple[Chain, ...]], FluidChoice] = {}
        self._cores: list[ReadyCore] = []
        self._limit = first_ideals
        self._ways = [Way(preference) for preference in PREFERENCES]
        self._given_up: dict[tuple[Preference, int, bool], int] = {}
        self._highest = self._before = 0
        # Whether the ways of the present size are all there will be, and whether others were tried at it.
        self._fixed, self._tried = True, False
        self.best: ReadyCore | None = None

    def cores(self, remaining: Callable[[], float], should_stop: Callable[[], bool]) -> Iterator[ReadyCore]:
        """Yield the cores known, then new ones: the first size in all ways, then the best way, with a chain more first.

        Where the best way gains little from the larger size, the others are tried as well, near the threshold at no two
        sizes in turn. Where a core is slow to build, the first size has one way only, and the next one is passed over:
        on the largest graphs a larger core is worth more. Elsewhere the first core decides whether all are read
        backwards.

        Parameters
        ----------
        remaining
            Returns the seconds left.

        Raises
        ------
        OutOfTimeError
            If `should_stop` returns true while one is built.
        """
        yield from list(self._cores)
        while not self._complete:
            if not self._ways and not self._fixed and self._highest < (1 + self._tuning.stuck) * self._before:
                self._ways, self._fixed, self._tried = self._others(), True, True
            elif not self._ways:
                if self._limit >= self._max_ideals:
                    return
                limit = min(self._max_ideals, self._tuning.growth * self._limit)
                self._ways, self._limit = self._ways_on(limit, should_stop), limit
                near = self._highest > (1 - self._tuning.nearly_closed) * self._threshold
                self._before, self._fixed, self._tried = self._highest, self._tried and near, False
            left = remaining()
            core = self._build(self._ways[0], should_stop)
            self._ways.pop(0)
            if len(self._cores) == 1 and core is not None:
                if remaining() < (1 - self._tuning.slow_build) * left:
                    self._ways.clear()
                    self._limit *= self._tuning.growth
                else:
                    core = self._in_the_shorter_direction(core, should_stop)
                    if (core.core.unit >= 0).any():
                        self._ways.append(replace(core.way, tolled=False))
            if core is not None:
                yield core

    def rate(self, core: ReadyCore, reached: int) -> None:
        """Note the bound that a core reached; the way of choosing it goes on if it is the highest."""
        if reached > self._highest:
            self.best, self._highest = core, reached
        elif not reached:
            self._given_up[core.way.kind] = self._limit

    @property
    def _complete(self) -> bool:
        return bool(self._cores) and self._cores[-1].exact

    def _build(self, way: Way, should_stop: Callable[[], bool]) -> ReadyCore | None:
        """Return a core of the present size; None if another way led to the same one."""
        choice = way.preference, way.chains
        if choice not in self._choices:
            self._choices[choice] = FluidChoice(
                self._instance,
                weight_bias=way.preference.weight_bias / max(1, self._load),
                spread=way.preference.spread,
                chains=way.chains,
                reach=self._closure(should_stop),
                should_stop=should_stop,
            )
        mask, lattice = self._choices[choice].choose(self._limit, should_stop)
        fluid = np.flatnonzero(mask)
        alike = [core for core in self._cores if (core.way.chains, core.way.tolled) == (way.chains, way.tolled)]
        if any(np.array_equal(core.core.fluid, fluid) for core in alike):
            return None
        tolled = way.tolled and not self._backwards
        core = build_core(self._instance, mask, way.chains, tolled=tolled, should_stop=should_stop)
        self._cores.append(self._ready(core, lattice, way, self._backwards, should_stop))
        return self._cores[-1]

    def _ready(
        self, core: FluidCore, lattice: IdealLattice, way: Way, backwards: bool, should_stop: Callable[[], bool]
    ) -> ReadyCore:
        """Return a core with what decides on it, in the direction given."""
        read = core
        if backwards:
            read, lattice = read_backwards(core, lattice, should_stop)
        search: FluidSearch | UnequalFluidSearch
        if needs_prices(self._instance):
            device = stage_devices(self._instance, self._stages)
            variants = (*device_variants(core, self._threshold, self._crowded), *tied_variants(read, priced=True))
            if backwards:
                device = device[::-1]
            else:
                variants = (*variants, *toll_variants(core, priced=True))
            search = UnequalFluidSearch(read, lattice, device, variants, self._crowded, should_stop=should_stop)
        else:
            further = (*whole_node_variants(core, self._stages, self._threshold), *tied_variants(read))
            if not backwards:
                further = (*toll_variants(core), *further)
            search = FluidSearch(read, lattice, self._crowded, further, should_stop=should_stop)
        return ReadyCore(
            core=core,
            search=search,
            backwards=backwards,
            instance=self._instance,
            relaxed=self._relaxed,
            way=way,
            order=self._order,
        )

    def _in_the_shorter_direction(self, ready: ReadyCore, should_stop: Callable[[], bool]) -> ReadyCore:
        """Return the first core read backwards if that takes far fewer steps: the larger the core, the more it does.

        Tolls are lost backwards. So a core with tolls is read backwards only if a trial forwards is given up.
        """
        steps = self._trial(ready, self._tuning.most_trial_steps, should_stop)
        if (ready.core.unit >= 0).any() and steps <= self._tuning.most_trial_steps:
            return ready
        core = without_tolls(ready.core, should_stop)
        turned = self._ready(core, ready.search.lattice, ready.way, True, should_stop)
        if self._tuning.shorter * self._trial(turned, steps // self._tuning.shorter, should_stop) < steps:
            self._cores[-1], self._backwards = turned, True
        return self._cores[-1]

    def _trial(self, ready: ReadyCore, most: int, should_stop: Callable[[], bool]) -> int:
        """Return the steps that the threshold takes in basic variants, or some more than `most`."""
        search = ready.search
        for variant in search.variants:
            if not variant.basic:
                continue
            try:
                search.decide(
                    self._stages,
                    self._threshold,
                    lambda: should_stop() or search.steps > most,
                    variant=variant,
                )
            except OutOfTimeError:
                if should_stop():
                    raise
        return search.steps

    def _closure(self, should_stop: Callable[[], bool]) -> Closure:
        if self._reach is None:
            self._reach = closure(self._instance, should_stop=should_stop)
            self._crowded = crowded_nodes(self._instance, self._reach, self._threshold)
        return self._reach

    def _others(self) -> list[Way]:
        """Return the ways without chains that the best core was not chosen in.

        A spread that was in vain on cores that are not much smaller is left out: most graphs gain nothing from one.
        """
        best = Way() if self.best is None else self.best.way
        ways = [Way(preference, tolled=best.tolled) for preference in PREFERENCES]
        return [
            way
            for way in ways
            if (self.best is None or way.preference != best.preference)
            and (
                way.preference.spread == 1
                or self._limit >= self._tuning.another_chance * self._given_up.get(way.kind, 0)
            )
        ]

    def _ways_on(self, limit: int, should_stop: Callable[[], bool]) -> list[Way]:
        """Return the ways of choosing cores of the next size, first to be tried first.

        The way of the best core goes on; and before it, as it is cheaper to climb, one with the heaviest equal nodes of
        its fluid as another chain, if there is room for them and no core of this kind that is not much smaller was in
        vain.
        """
        best = self.best
        way = Way() if best is None else best.way
        ways = [way]
        if (
            best is None
            or limit < self._tuning.chained_ideals
            or limit
            < self._tuning.another_chance * self._given_up.get((way.preference, len(way.chains) + 1, way.tolled), 0)
        ):
            return ways
        core = best.core
        fluid = np.zeros(self._instance.n, np.bool_)
        # In a chain, nodes would lose their tolls.
        fluid[core.fluid[core.unit < 0]] = True
        found = find_chains(
            self._instance,
            self._closure(should_stop),
            fluid,
            least_weight=int(self._tuning.least_chained * self._load),
            most=1,
            should_stop=should_stop,
        )
        chains = (*way.chains, *found)
        if found and self._tuning.room * math.prod(len(chain.nodes) + 1 for chain in chains) <= limit:
            ways.insert(0, replace(way, chains=chains))
        return ways
