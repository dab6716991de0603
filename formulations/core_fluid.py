"""`core-fluid`: the ideals of a core, with the nodes that make the graph wide as a fluid that may run anywhere.

Validity: a threshold T is refuted only if no chain of at most k ideals of the core, with stages of cost at most T on
the core's nets, leaves room for the work (or the work and parameters) of all fluid nodes between the earliest and the
latest places they may have. Every partition with a bottleneck of at most T is such a chain: taking nodes out of the
tensors only lowers what a stage pays (`framework.structure.fluid_core`), and the fluid done by each stage is at most
what the program remembers (`framework.structure.core_fluid`). So the optimum is at least T + 1; all arithmetic is on
integers. Equal nodes may stand for their sorted stages (`framework.structure.fluid_chains`), which leaves every stage
as it is. With neither fluid nor such chains it is `ideal-dp`. The relaxing reduction before it, if asked for, never
raises the optimum.

Cores grow from few ideals to many, the smallest chosen in several ways of which the best goes on; larger ones are
also tried with one more kind of heavy fluid nodes as a chain. Each first has to refute the best bound known to anyone,
then gallops upwards in doubling steps and back in quartered ones: low thresholds are cheap to refute, and those near
the limit of a core dear. What is not refuted is a partition of the core; the fluid is put where it fits, a short walk
mends the details, and the order is sliced, for an incumbent.

Source: this project.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from framework.bounds import DualBound, Incumbent, Limit, Outcome, Reason, Soundness, Termination
from framework.contracts import Context, Decision, Feature, Refuted, Satisfied, Undecided
from framework.errors import OutOfTimeError
from framework.model.problem import Partition, Problem, bottleneck
from framework.registry import register_formulation
from framework.structure.start import balanced_partition, simple_bound

if TYPE_CHECKING:
    from framework.model.instance import Instance
    from framework.structure.closure import Closure
    from framework.structure.core_fluid import FluidPlan, FluidSearch
    from framework.structure.fluid_chains import Chain
    from framework.structure.fluid_choice import FluidChoice

NAME = "core-fluid"
KEPT = 2
"""Problems whose cores are kept for repeated decisions."""
GROWTH = 4
"""Ideals of a core, in those of the one before."""
SHARE_OF_A_DECISION = 0.3
"""Share of the time left that one decision may use before it counts as open."""
CHAINED_IDEALS = 8_000
"""Ideals from which on chains are tried: in smaller cores they take too much of the place."""
ROOM = 8
"""Ideals of a core, at least, in those of its chains alone."""
LEAST_CHAINED = 0.02
"""Weight of a chained node at least, in the simple bound: smaller ones are well served as a fluid."""
MOST_COMPLETING = 0.1
"""Share of the time after which what is not refuted is not made an incumbent, but for cores without fluid."""
SLOW_BUILD = 0.1
"""Share of the time left that building the first core may take for the other ways of choosing it to be tried."""
STUCK = 1e-3
"""Relative gain of a core over smaller ones below which other ways of the same size are tried."""
FIRST_STEP = 1 / 256
"""First step of a gallop, in units of the value it starts from."""
_towers: OrderedDict[tuple[str, int, int, int, float], _Tower] = OrderedDict()


@register_formulation(
    NAME,
    features=[Feature.DUAL, Feature.PRIMAL, Feature.DECISION, Feature.ANYTIME, Feature.WARM_START],
    summary="Ideals of a narrow core, the rest of a wide graph as a fluid",
    reference="this project",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class CoreFluid:
    """Refute thresholds on cores of growing size.

    Attributes
    ----------
    first_ideals, max_ideals
        Most ideals of the first and of the last core.
    tolerance
        Distance between refuted and not refuted at which a core is done, relative to the threshold.
    epsilon
        Share of the total work that a relaxing reduction may take away first; 0 for none.
    """

    first_ideals: int = 2_000
    max_ideals: int = 1_000_000
    tolerance: float = 2e-4
    epsilon: float = 0.0

    def __post_init__(self) -> None:
        if not 2 <= self.first_ideals <= self.max_ideals:
            raise ValueError("first_ideals must be at least 2 and at most max_ideals")
        if not 0 <= self.tolerance < 1:
            raise ValueError("tolerance must be at least 0 and below 1")
        if not 0 <= self.epsilon < 1:
            raise ValueError("epsilon must be at least 0 and below 1")

    def bound(self, problem: Problem, context: Context) -> Outcome:
        """Climb with one core after the other."""
        search = _Search(problem, context, self.tolerance)
        try:
            tower = self._tower(problem, context)
            for core in tower.cores(context):
                tower.rate(core, search.climb(core))
            closed = search.dual >= search.value
            termination = Termination(reason=Reason.OPTIMAL if closed else Reason.FINISHED)
        except OutOfTimeError:
            termination = Termination(reason=Reason.LIMIT, limit=Limit.TIME)
        proven, found = search.proven, search.found
        return Outcome(
            dual=None if proven is None else DualBound(value=proven, source=NAME, soundness=Soundness.EXACT),
            incumbent=found,
            termination=termination,
            details=search.details,
        )

    def decide(self, problem: Problem, threshold: int, context: Context) -> Decision:
        """Decide one threshold with one core after the other; the cores are kept for the next one."""
        try:
            for core in self._tower(problem, context).cores(context):
                plan = core.refute(problem.useful_stages, threshold, context.should_stop)
                if plan is None:
                    return Refuted(soundness=Soundness.EXACT)
                partition = core.complete(problem, plan, context)
                if bottleneck(problem, partition) <= threshold:
                    return Satisfied(partition=partition)
        except OutOfTimeError:
            return Undecided(reason="out of time")
        return Undecided(reason="the relaxation allows it, its completions do not reach it")

    def _tower(self, problem: Problem, context: Context) -> _Tower:
        key = (problem.instance.sha256(), problem.useful_stages, self.first_ideals, self.max_ideals, self.epsilon)
        if key not in _towers:
            tower = _Tower(problem.instance, self, simple_bound(problem), context.should_stop)
            if context.should_stop():
                return tower
            _towers[key] = tower
            while len(_towers) > KEPT:
                _towers.popitem(last=False)
        return _towers[key]


@dataclass(frozen=True, slots=True)
class _Way:
    """A way of choosing cores: the heft of `framework.structure.fluid_choice`, and what stays as a chain."""

    heft: float
    chains: tuple[Chain, ...] = ()

    @property
    def kind(self) -> tuple[float, int]:
        """Heft and number of chains."""
        return self.heft, len(self.chains)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Core:
    """A core ready to decide, and the way back to the problem's instance."""

    search: FluidSearch
    instance: Instance
    way: _Way

    @property
    def exact(self) -> bool:
        """Whether nothing is fluid, nor in a chain."""
        return not len(self.search.core.fluid) and not self.way.chains

    def refute(self, stages: int, threshold: int, should_stop: Callable[[], bool]) -> FluidPlan | None:
        """Return None if the threshold is refuted, and otherwise what the last variant allows."""
        plan = None
        for variant in range(self.search.variants):
            plan = self.search.decide(stages, threshold, should_stop, variant=variant)
            if plan is None:
                return None
        return plan

    def complete(self, problem: Problem, plan: FluidPlan, context: Context) -> Partition:
        """Return a partition of the problem that the core of a plan leads to, polished, or sliced better."""
        from framework.structure.annealing import polish
        from framework.structure.contraction import lift
        from framework.structure.fluid_placement import place_fluid
        from framework.structure.orders import order_of_partition
        from framework.structure.slicing import Slicer

        reduced = Problem(instance=self.instance, stages=problem.stages)
        placed = place_fluid(reduced, self.search.core, plan.stage_of_core)
        if self.instance is not problem.instance:
            placed = lift(placed, self.instance)
        placed = polish(problem, placed, context.seed, context.should_stop)
        slicer = Slicer(problem.instance, order_of_partition(problem.instance, placed))
        sliced = slicer.solve(problem.useful_stages, upper=bottleneck(problem, placed))
        return placed if sliced is None else sliced.partition


class _Tower:
    """Cores of growing size of one instance, built when they are asked for.

    Parameters
    ----------
    load
        Ticks that the heaviest stage bears at least.
    """

    def __init__(self, instance: Instance, parameters: CoreFluid, load: int, should_stop: Callable[[], bool]) -> None:
        from framework.structure.fluid_choice import HEFTS
        from framework.structure.reductions import reduce_relaxing

        self._parameters = parameters
        self._instance = instance
        if parameters.epsilon:
            self._instance = reduce_relaxing(instance, parameters.epsilon, should_stop=should_stop).instance
        self._load = load
        self._reach: Closure | None = None
        self._choices: dict[_Way, FluidChoice] = {}
        self._cores: list[_Core] = []
        self._limit = parameters.first_ideals
        self._ways = [_Way(heft) for heft in HEFTS]
        self._given_up: set[tuple[float, int]] = set()
        self._highest = self._before = 0
        self._turned = True
        self.best: _Core | None = None

    def cores(self, context: Context) -> Iterator[_Core]:
        """Yield the cores known, then new ones: the first size in all ways, then the best way, with a chain more first.

        Where the best way gains little from the larger size, the others are tried as well. Where a core is slow to
        build, the first size has one way only: on the largest graphs a larger core is worth more.

        Raises
        ------
        OutOfTimeError
            If the context says stop while one is built.
        """
        should_stop = context.should_stop
        yield from list(self._cores)
        while not self._complete:
            if not self._ways and not self._turned and self._highest < (1 + STUCK) * self._before:
                self._ways, self._turned = self._others(), True
            elif not self._ways:
                if self._limit >= self._parameters.max_ideals:
                    return
                limit = min(self._parameters.max_ideals, GROWTH * self._limit)
                self._ways, self._limit = self._ways_on(limit, should_stop), limit
                self._before, self._turned = self._highest, False
            left = context.remaining()
            core = self._build(self._ways[0], should_stop)
            self._ways.pop(0)
            if len(self._cores) == 1 and context.remaining() < (1 - SLOW_BUILD) * left:
                self._ways.clear()
            if core is not None:
                yield core

    def rate(self, core: _Core, reached: int) -> None:
        """Note the bound that a core reached; the way of choosing it goes on if it is the highest."""
        if reached > self._highest:
            self.best, self._highest = core, reached
        elif not reached:
            self._given_up.add(core.way.kind)

    @property
    def _complete(self) -> bool:
        return bool(self._cores) and self._cores[-1].exact

    def _build(self, way: _Way, should_stop: Callable[[], bool]) -> _Core | None:
        """Return a core of the present size; None if another way led to the same one."""
        import numpy as np

        from framework.structure.core_fluid import FluidSearch
        from framework.structure.fluid_choice import FluidChoice
        from framework.structure.fluid_core import build_core

        if way not in self._choices:
            self._choices[way] = FluidChoice(
                self._instance,
                heft=way.heft / max(1, self._load),
                chains=way.chains,
                reach=self._closure(should_stop),
                should_stop=should_stop,
            )
        mask, lattice = self._choices[way].choose(self._limit, should_stop)
        fluid = np.flatnonzero(mask)
        if any(core.way.chains == way.chains and np.array_equal(core.search.core.fluid, fluid) for core in self._cores):
            return None
        core = build_core(self._instance, mask, way.chains, should_stop=should_stop)
        self._cores.append(_Core(search=FluidSearch(core, lattice), instance=self._instance, way=way))
        return self._cores[-1]

    def _closure(self, should_stop: Callable[[], bool]) -> Closure:
        from framework.structure.closure import closure

        if self._reach is None:
            self._reach = closure(self._instance, should_stop=should_stop)
        return self._reach

    def _others(self) -> list[_Way]:
        """Return the ways without chains that the best core was not chosen in."""
        from framework.structure.fluid_choice import HEFTS

        return [_Way(heft) for heft in HEFTS if self.best is None or heft != self.best.way.heft]

    def _ways_on(self, limit: int, should_stop: Callable[[], bool]) -> list[_Way]:
        """Return the ways of choosing cores of the next size, first to be tried first.

        The way of the best core goes on; and before it, as it is cheaper to climb, one with the heaviest equal nodes of
        its fluid as another chain, if there is room for them and no smaller core of this kind was in vain.
        """
        import numpy as np

        from framework.structure.fluid_chains import find_chains
        from framework.structure.fluid_choice import HEFTS

        best = self.best
        way = _Way(HEFTS[0]) if best is None else best.way
        ways = [way]
        if best is None or limit < CHAINED_IDEALS or (way.heft, len(way.chains) + 1) in self._given_up:
            return ways
        fluid = np.zeros(self._instance.n, np.bool_)
        fluid[best.search.core.fluid] = True
        found = find_chains(
            self._instance,
            self._closure(should_stop),
            fluid,
            least_weight=int(LEAST_CHAINED * self._load),
            most=1,
            should_stop=should_stop,
        )
        chains = (*way.chains, *found)
        if found and ROOM * math.prod(len(chain.nodes) + 1 for chain in chains) <= limit:
            ways.insert(0, _Way(way.heft, chains))
        return ways


class _Search:
    """The interval, and what this run has added to it."""

    def __init__(self, problem: Problem, context: Context, tolerance: float) -> None:
        self.problem, self.context, self._tolerance = problem, context, tolerance
        self.dual = simple_bound(problem)
        self.proven: int | None = None
        self.found: Incumbent | None = None
        self.value = bottleneck(problem, context.best_partition() or balanced_partition(problem))
        self.details: dict[str, Any] = {"cores": 0, "decisions": 0, "extensions": 0}
        self._started, self._completing = time.monotonic(), 0.0
        self._completed = (0, b"")

    def climb(self, core: _Core) -> int:
        """Raise the bound until a core cannot, or to the incumbent; return what this core has proven, or 0.

        Raises
        ------
        OutOfTimeError
            If the context says stop; what is proven is reported.
        """
        before = core.search.steps
        self.details |= {"cores": self.details["cores"] + 1, "ideals": len(core.search.lattice)}
        self.details |= {"fluid": len(core.search.core.fluid), "chains": len(core.way.chains)}
        tolerance = 0.0 if core.exact else self._tolerance
        reached, step = 0, 0
        ceiling = self._listen()
        while self.dual < ceiling and (ceiling == self.value or ceiling - self.dual > tolerance * ceiling):
            threshold = min(self.dual + step, ceiling - 1)
            if self._refutes(core, threshold):
                self.dual = reached = self.proven = threshold + 1
                self.context.report_dual(self.dual, Soundness.EXACT)
                step = max(2 * step, int(self.dual * FIRST_STEP), 1)
            elif not step:
                break
            else:
                ceiling, step = threshold, (threshold - self.dual) // 4
            ceiling = min(ceiling, self._listen())
        self.details["extensions"] += core.search.steps - before
        return reached

    def _refutes(self, core: _Core, threshold: int) -> bool:
        """Whether a core refutes a threshold within a share of the time left; an incumbent may come of it if not."""
        self.details["decisions"] += 1
        enough = self.context.remaining() * (1 - SHARE_OF_A_DECISION)

        def should_stop() -> bool:
            return self.context.should_stop() or self.context.remaining() < enough

        try:
            plan = core.refute(self.problem.useful_stages, threshold, should_stop)
        except OutOfTimeError:
            if self.context.should_stop():
                raise
            return False
        if plan is None:
            return True
        if core.exact or self._completing <= MOST_COMPLETING * (time.monotonic() - self._started):
            self._complete(core, plan)
        return False

    def _complete(self, core: _Core, plan: FluidPlan) -> None:
        """Make an incumbent of what a core allows, unless it has allowed the same before."""
        key = (id(core), plan.stage_of_core.tobytes())
        if key == self._completed:
            return
        started, self._completed = time.monotonic(), key
        partition = core.complete(self.problem, plan, self.context)
        self._completing += time.monotonic() - started
        value = bottleneck(self.problem, partition)
        if self.found is None or value < self.found.value:
            self.found = Incumbent(value=value, partition=partition, source=NAME)
            self.context.report_partition(partition)
        self.value = min(self.value, value)

    def _listen(self) -> int:
        """Take over what others have found meanwhile; return the best incumbent value."""
        self.dual = max(self.dual, self.context.dual or 0)
        if self.context.incumbent is not None:
            self.value = min(self.value, self.context.incumbent)
        if self.dual < self.value and self.context.should_stop():
            raise OutOfTimeError("stopped between decisions")
        return self.value
