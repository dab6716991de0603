"""`merged`: solves a problem of fewer stages with more memory each; its dual bound holds for the many stages.

Validity: merge the stages of a partition of bottleneck T into m runs of at most r = ceil(k / m) adjacent ones. A run,
seen as one stage of capacity r c, costs at most r T: its work is the sum, it cuts no tensor its parts do not cut, and
max(0, sum p_i - r c) <= sum max(0, p_i - c). So with r times the capacity the optimum for m stages is at most r T, and

    optimum for k  >=  ceil(bound for m stages with capacity r c  /  r).

Without the larger capacity this would not hold. A bound keeps the soundness of the entry that proved it, and its
certificate, which speaks of the problem of m stages. Partitions into m stages are turned into topological orders and
sliced into k stages. Source: this project.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from framework.bounds import Certificate, DualBound, Incumbent, Outcome, Reason, Soundness, Termination
from framework.contracts import CertificateChecker, Context, Feature
from framework.entry_spec import EntrySpec
from framework.model.instance import UNLIMITED
from framework.model.problem import Partition, Problem, bottleneck
from framework.portfolio.context.delegating import DelegatingContext
from framework.registry import FormulationName, register_strategy, registry
from framework.structure.primal.initial_interval import balanced_partition, simple_bound

NAME = "merged"


@register_strategy(
    NAME,
    features=[Feature.DUAL, Feature.PRIMAL, Feature.ANYTIME, Feature.WARM_START],
    summary="Bounds for many stages from another formulation's bounds for a few stages with more memory",
    reference="this project",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """Run a formulation on fewer stages with more capacity.

    Attributes
    ----------
    over
        Spec of the formulation, in brackets if it has parameters.
    into
        Number of stages it is run on.
    """

    over: FormulationName = "nested-cuts"
    into: int = 2

    def __post_init__(self) -> None:
        if self.into < 1:
            raise ValueError("into must be at least 1")

    def check(self, problem: Problem, certificate: Certificate) -> int:
        """Let the formulation check its certificate, on the problem of fewer stages, and lift what that proves."""
        kind, *others = set(certificate.data) - {"factor"} or {""}
        data = certificate.whole_data("factor", kind, *others)
        factor, checker = int(data["factor"]), registry.create(EntrySpec(kind))
        if factor < 1 or others or not isinstance(checker, CertificateChecker):
            raise ValueError("it holds no factor, or no certificate that can be checked")
        smaller = _merged(problem, factor)
        inner = Certificate(kind=kind, data=data[kind], instance=smaller.instance.sha256())
        return -(-checker.check(smaller, inner) // factor)

    def run(self, problem: Problem, context: Context) -> Outcome:
        """Run it until it ends or the gap of the whole problem is closed."""
        formulation = registry.create_formulation(self.over)
        merged = _MergedContext(parent=context, problem=problem, into=self.into)
        outcome = formulation.bound(merged.smaller, merged)
        if outcome.dual is not None:
            merged.report_dual(outcome.dual.value, outcome.dual.soundness, outcome.dual.certificate)
        if outcome.incumbent is not None:
            merged.report_partition(outcome.incumbent.partition)
        return merged.outcome(outcome, self.over)


class _MergedContext(DelegatingContext):
    """The context of the smaller problem: its interval is its own, and what it reports is lifted to the parent's.

    Attributes
    ----------
    smaller
        The problem with fewer stages and more capacity.
    factor
        r, the most stages merged into one.
    """

    def __init__(self, parent: Context, problem: Problem, into: int) -> None:
        k = problem.useful_stages
        super().__init__(parent)
        self.problem = problem
        self.factor = -(-k // min(into, k))
        self.smaller = _merged(problem, self.factor)
        self._dual: DualBound | None = None
        self._lifted = simple_bound(problem)
        self._soundness = Soundness.EXACT
        self._certificate: Certificate | None = None
        self._partition: Partition | None = None
        self._incumbent: int | None = None
        self._merge(parent.best_partition() or balanced_partition(problem))
        self._whole: Incumbent | None = None

    @property
    def dual(self) -> int | None:
        """Best dual bound of the smaller problem, in ticks."""
        return None if self._dual is None else self._dual.value

    @property
    def incumbent(self) -> int | None:
        """Best incumbent of the smaller problem, in ticks."""
        return self._incumbent

    def best_partition(self) -> Partition | None:
        """Return the best partition of the smaller problem."""
        return self._partition

    def should_stop(self) -> bool:
        """Whether the parent stops, the smaller gap is closed, or closing it would not raise the parent's bound."""
        if self._incumbent is not None:
            if self._dual is not None and self._dual.value >= self._incumbent:
                return True
            if self.parent.dual is not None and -(-self._incumbent // self.factor) <= self.parent.dual:
                return True
        return self.parent.should_stop()

    def report_dual(self, value: int, soundness: Soundness, certificate: Certificate | None = None) -> None:
        """Lift a bound, with its certificate if it has one."""
        if self._dual is None or value > self._dual.value:
            self._dual = DualBound(value=value, source=NAME, soundness=soundness)
        lifted = -(-value // self.factor)
        if lifted > self._lifted:
            self._lifted, self._soundness = lifted, soundness
            self._certificate = certificate and self._lift(certificate)
            self.parent.report_dual(lifted, soundness, self._certificate)

    def report_partition(self, partition: Partition) -> None:
        """Keep a partition of the smaller problem, and slice its order into the stages of the parent's."""
        from framework.structure.poset.topological_orders import order_of_partition
        from framework.structure.primal.slicing import Slicer

        self._merge(partition)
        order = order_of_partition(self.problem.instance, partition)
        upper = self.parent.incumbent if self._whole is None else self._whole.value
        sliced = Slicer(self.problem.instance, order).solve(
            self.problem.useful_stages, upper=upper, should_stop=self.parent.should_stop
        )
        if sliced is not None:
            self._whole = Incumbent(value=sliced.value, partition=sliced.partition, source=NAME)
            self.parent.report_partition(sliced.partition)

    def outcome(self, inner: Outcome, over: str) -> Outcome:
        """Say what was lifted, and why the formulation ended."""
        reason = inner.termination.reason
        if self._whole is not None and self._lifted >= self._whole.value:
            termination = Termination(reason=Reason.OPTIMAL)
        elif reason is Reason.OPTIMAL or not self.parent.should_stop():
            detail = f"{over} on {self.smaller.stages} stages: {reason.value}"
            termination = Termination(reason=Reason.FINISHED, detail=detail)
        else:
            termination = inner.termination
        return Outcome(
            dual=DualBound(value=self._lifted, source=NAME, soundness=self._soundness, certificate=self._certificate),
            incumbent=self._whole,
            termination=termination,
            details={"over": over, "stages": self.smaller.stages, "factor": self.factor, "inner": dict(inner.details)},
        )

    def _lift(self, certificate: Certificate) -> Certificate:
        """Return the certificate of the given problem that one of the smaller problem is part of."""
        data = {"factor": self.factor, certificate.kind: dict(certificate.data)}
        return Certificate(kind=NAME, data=data, instance=self.problem.instance.sha256())

    def _merge(self, partition: Partition) -> None:
        """Take a partition of either problem as one of the smaller problem."""
        import numpy as np

        # Empty stages may push numbers beyond the useful ones; without them there are at most as many as nodes.
        stage_of = np.unique(partition.stage_of, return_inverse=True)[1].astype(np.int64)
        if int(stage_of.max()) >= self.smaller.stages:
            stage_of = stage_of // self.factor
        value = bottleneck(self.smaller, Partition(stage_of=stage_of))
        if self._incumbent is None or value < self._incumbent:
            self._incumbent, self._partition = value, Partition(stage_of=stage_of)


def _merged(problem: Problem, factor: int) -> Problem:
    """Return the problem in which so many adjacent stages are one, with their capacities."""
    instance = problem.instance
    capacity = UNLIMITED if instance.capacity >= UNLIMITED else min(UNLIMITED, instance.capacity * factor)
    return Problem(instance=replace(instance, capacity=capacity), stages=-(-problem.useful_stages // factor))
