"""`core-fluid`: destructive bound by a dynamic program over the ideals of a narrow core; the other nodes are divisible.

The nodes that are not in the core are called fluid. The method is a state-space relaxation of `ideal-dp`.

Validity: a threshold T is refuted only if no chain of at most k ideals of the core, with stages of cost at most T on
the core's nets, leaves room for the work (or the work and parameters) of all fluid nodes between their earliest and
latest stages. Every partition with a bottleneck of at most T gives such a chain, for two reasons. Removing nodes from
tensors never raises the cost of a stage (`framework.structure.fluid.core`). And the fluid work of the first b stages is
at most the value of the program at their ideal (`framework.structure.fluid.chain_dp`). Tensors that are in no net may
add lower bounds on what a stage pays for running fluid nodes in another stage than the core nodes that they feed
(`framework.structure.fluid.tolls.separation_costs`, `framework.structure.fluid.tolls.tolls_per_unit`), and so may what
nets of the core leave of the costs of tensors (`framework.structure.fluid.tolls.ties`). The weights of fluid nodes, and
the room for them in each stage, may be rounded down to multiples of one weight (`framework.structure.fluid.variants`).
So the optimum is at least T + 1. All arithmetic is on integers, except for quotients that are rounded to the safe side.
The same holds for the core with all edges reversed (`framework.structure.fluid.reversal`). Interchangeable nodes may be
replaced by a chain in the order of their stages (`framework.structure.fluid.interchangeable`), which does not change
the cost of any stage. Without fluid nodes and such chains the method is `ideal-dp`. Where stages run on different
devices, or parameters are shared, each stage pays for its core nodes in the prices of its own device, for a shared
parameter once, and fluid nodes are counted in weights that are at most what they cost on each device, times a factor of
the device (`framework.structure.fluid.unequal_chain_dp`).
The optional relaxing reduction before it never raises the optimum.

Search: cores grow from few ideals to many (`framework.structure.fluid.hierarchy`). Each core first has to refute the
best dual bound of the run. If the incumbent is close, the core then tries once to prove it optimal within the
tolerance. After that, thresholds are searched exponentially: steps upwards are doubled, and quartered after a failure,
because low thresholds are cheap to refute and those close to the limit of a core are expensive. A threshold that is not
refuted gives a partition of the core. Fluid nodes are rounded into its stages, a short annealing improves the
partition, and its order is sliced, which may give an incumbent.

Source: this project.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from framework.bounds import Certificate, Limit, Outcome, Reason, Soundness, Termination
from framework.contracts import Context, Decision, Feature, Refuted, Satisfied, Undecided
from framework.errors import OutOfTimeError
from framework.model.instance import instance_from_lists
from framework.model.problem import Problem, bottleneck
from framework.portfolio.context.destructive_bound import DestructiveBound
from framework.portfolio.context.step_rules import GallopSteps
from framework.registry import TUNED, register_formulation
from framework.structure.fluid.tuning import HierarchyTuning
from framework.structure.primal.initial_interval import simple_bound

if TYPE_CHECKING:
    from framework.structure.fluid.chain_dp import FluidPlan
    from framework.structure.fluid.hierarchy import CoreHierarchy, ReadyCore

NAME = "core-fluid"
KEPT = 2
"""Problems whose cores are kept for repeated decisions."""
SHARE_OF_A_DECISION = 0.3
"""Share of the time left that one decision may use before it counts as open."""
MOST_COMPLETING = 0.1
"""Share of the time after which what is not refuted is not made an incumbent, but for cores without fluid."""
IMPATIENCE = 0.1
"""Share of the time left after which a core that has gained next to nothing is left for the next one."""
FIRST_STEP = 1 / 256
"""First step of a gallop, in units of the value it starts from."""
LEAP_WITHIN = 0.02
"""Gap within which each core once tries to prove the incumbent as good as optimal."""
AS_GOOD_AS_OPTIMAL = 5e-5
"""Relative gap that is tried for: half of what a study counts as proven."""
FINENESS = 0.25
"""Distance at which a core is done, in units of the gap, where that is finer than the tolerance."""
_hierarchies: OrderedDict[tuple[str, int, CoreFluid], CoreHierarchy] = OrderedDict()


@register_formulation(
    NAME,
    features=[
        Feature.DUAL,
        Feature.PRIMAL,
        Feature.DECISION,
        Feature.ANYTIME,
        Feature.WARM_START,
        Feature.SHARED,
        Feature.UNEQUAL,
    ],
    summary="Dynamic program over the ideals of a narrow subgraph; the other nodes are divided between stages",
    reference="this project",
    compile_rank=5,
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
    tuning
        When which cores are tried.
    """

    first_ideals: int = 2_000
    max_ideals: int = 1_000_000
    tolerance: float = 2e-4
    epsilon: float = 0.0
    tuning: HierarchyTuning = field(default=HierarchyTuning(), metadata=TUNED)

    def __post_init__(self) -> None:
        if not 2 <= self.first_ideals <= self.max_ideals:
            raise ValueError("first_ideals must be at least 2 and at most max_ideals")
        if not 0 <= self.tolerance < 1:
            raise ValueError("tolerance must be at least 0 and below 1")
        if not 0 <= self.epsilon < 1:
            raise ValueError("epsilon must be at least 0 and below 1")

    def bound(self, problem: Problem, context: Context) -> Outcome:
        """Raise the bound with one core after the other."""
        search = _Search(problem, context, self.tolerance)
        termination = Termination(reason=Reason.FINISHED)
        try:
            hierarchy = self._hierarchy(problem, context, search.value)
            for core in hierarchy.cores(context.remaining, context.should_stop):
                hierarchy.rate(core, search.raise_with(core))
            if search.closed:
                termination = Termination(reason=Reason.OPTIMAL)
        except OutOfTimeError:
            termination = Termination(reason=Reason.LIMIT, limit=Limit.TIME)
        return Outcome(dual=search.best, incumbent=search.found, termination=termination, details=search.details)

    def decide(self, problem: Problem, threshold: int, context: Context) -> Decision:
        """Decide one threshold with one core after the other; the cores are kept for the next one."""
        try:
            hierarchy = self._hierarchy(problem, context, threshold)
            for core in hierarchy.cores(context.remaining, context.should_stop):
                plan = core.refute(problem.useful_stages, threshold, context.should_stop)
                if plan is None:
                    return _refuted(problem, core, threshold)
                partition = core.complete(problem, plan, context.seed, context.should_stop)
                if bottleneck(problem, partition) <= threshold:
                    return Satisfied(partition=partition)
        except OutOfTimeError:
            return Undecided(reason="out of time")
        return Undecided(reason="the relaxation allows it, its completions do not reach it")

    def check(self, problem: Problem, certificate: Certificate) -> int:
        """Let the checker of proofs make the core again, and follow what its ideals leave room for."""
        from framework.portfolio.logs.certified import certified_data
        from framework.proof.cores.program import core_program
        from framework.proof.problem import plain_problem

        data = certified_data("core-program", certificate)
        return core_program(plain_problem(problem.instance, problem.stages), **data)[0]

    def examples(self) -> tuple[Problem, ...]:
        """A node that feeds a dozen, each of which feeds one of a chain: too many ideals without fluid and tolls.

        The same with a shared parameter, which walks have to count.
        """
        fed, readers = range(1, 13), range(13, 25)
        tensors = [(0, 2, list(fed)), *((v, 3, [v + 12]) for v in fed), *((v, 1, [v + 1]) for v in readers[:-1])]
        work = [6] + [4] * 12 + [3] * 12
        shared = instance_from_lists(work, tensors, parameter_cost=[2] * 25, capacity=9, shared=[(5, [0, 13, 24])])
        return tuple(Problem(instance=one, stages=3) for one in (instance_from_lists(work, tensors), shared))

    def _hierarchy(self, problem: Problem, context: Context, threshold: int) -> CoreHierarchy:
        from framework.structure.fluid.hierarchy import CoreHierarchy

        key = (problem.instance.sha256(), problem.useful_stages, replace(self, tolerance=0.0))
        if key not in _hierarchies:
            hierarchy = CoreHierarchy(
                problem.instance,
                simple_bound(problem),
                threshold,
                problem.useful_stages,
                first_ideals=self.first_ideals,
                max_ideals=self.max_ideals,
                epsilon=self.epsilon,
                tuning=self.tuning,
                should_stop=context.should_stop,
            )
            if context.should_stop():
                return hierarchy
            _hierarchies[key] = hierarchy
            while len(_hierarchies) > KEPT:
                _hierarchies.popitem(last=False)
        return _hierarchies[key]


def _refuted(problem: Problem, core: ReadyCore, threshold: int) -> Refuted:
    """Return that a core has refuted a threshold, with a certificate where a rule covers that."""
    from framework.portfolio.logs.core_certificate import certificate_of

    certificate = None
    if not core.relaxed:
        data = certificate_of(core, threshold)
        certificate = None if data is None else Certificate(kind=NAME, data=data, instance=problem.instance.sha256())
    return Refuted(soundness=Soundness.EXACT, certificate=certificate)


class _Search(DestructiveBound):
    """The interval, raised with one core after the other."""

    def __init__(self, problem: Problem, context: Context, tolerance: float) -> None:
        super().__init__(NAME, problem, context)
        self._tolerance = tolerance
        self.details: dict[str, Any] = {"cores": 0, "decisions": 0, "extensions": 0}
        self._started, self._completing = time.monotonic(), 0.0
        self._completed = (0, b"")

    def raise_with(self, core: ReadyCore) -> int:
        """Raise the bound until a core cannot, or to the incumbent; return what this core has proven, or 0.

        Raises
        ------
        OutOfTimeError
            If the context says stop; what is proven is reported.
        """
        before, refuted = core.search.steps, self.refuted
        self.details |= {"cores": self.details["cores"] + 1, "ideals": len(core.search.lattice)}
        self.details |= {"fluid": len(core.core.fluid), "chains": len(core.way.chains), "backwards": core.backwards}
        begun = time.monotonic()
        steps = GallopSteps(
            first_step=FIRST_STEP,
            leap=AS_GOOD_AS_OPTIMAL,
            leap_within=LEAP_WITHIN,
            tolerance=0.0 if core.exact else self._tolerance,
            fineness=FINENESS,
            impatient=lambda: time.monotonic() - begun > IMPATIENCE * self.context.remaining(),
        )
        termination = self.run(lambda threshold: self._decide(core, threshold), steps)
        if termination.limit is Limit.TIME:
            raise OutOfTimeError("stopped between decisions")
        self.details["extensions"] += core.search.steps - before
        return self.best.value if self.best is not None and self.refuted > refuted else 0

    def _decide(self, core: ReadyCore, threshold: int) -> Refuted | Undecided:
        """Refute a threshold with a core, in a share of the time left.

        An incumbent may come of what it allows.
        """
        self.details["decisions"] += 1
        enough = self.context.remaining() * (1 - SHARE_OF_A_DECISION)

        def should_stop() -> bool:
            return self.context.should_stop() or self.context.remaining() < enough

        try:
            plan = core.refute(self.problem.useful_stages, threshold, should_stop)
        except OutOfTimeError:
            if self.context.should_stop():
                raise
            return Undecided(reason="a decision took more than its share of the time left")
        if plan is None:
            return _refuted(self.problem, core, threshold)
        if core.exact or self._completing <= MOST_COMPLETING * (time.monotonic() - self._started):
            self._complete(core, plan)
        return Undecided(reason="the relaxation allows it", above=True)

    def _complete(self, core: ReadyCore, plan: FluidPlan) -> None:
        """Make an incumbent of what a core allows, unless it has allowed the same before."""
        key = (id(core), plan.stage_of_core.tobytes())
        if key == self._completed:
            return
        started, self._completed = time.monotonic(), key
        partition = core.complete(self.problem, plan, self.context.seed, self.context.should_stop)
        self._completing += time.monotonic() - started
        self.offer(partition)
