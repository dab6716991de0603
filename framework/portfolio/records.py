"""The parts of a result: what is kept of its graph, stages, bounds, members and history, each with its JSON.

`Values` turns what a run proved and found from ticks into the unit of the file: bounds rounded down, costs priced
exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from framework.bounds import Certificate, Interval, Soundness, Termination, ratio, relative_gap
from framework.model.exact import ExactStage, Rounding, exact_bottleneck
from framework.model.training import Training
from framework.portfolio.members import MemberReport


class Status(StrEnum):
    """How a run ended, in one word."""

    OPTIMAL = "optimal"
    """Dual bound and incumbent met, up to what rounding to ticks may cost."""
    GAP_REACHED = "gap_reached"
    """The relative gap that was asked for is reached."""
    FEASIBLE = "feasible"
    """All methods ended, and there is a gap."""
    INFEASIBLE = "infeasible"
    """It is proved that no partition obeys the constraints."""
    TIME_LIMIT = "time_limit"
    """The budget ended the run."""
    INTERRUPTED = "interrupted"
    """The user ended the run."""
    UNKNOWN = "unknown"
    """All methods ended without a partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphInput:
    """Where a graph came from and how it was read, so that `verify` can read it again."""

    path: str
    format: str | None = None
    dims: Mapping[str, int] = field(default_factory=dict)
    training: Training | None = None
    drop_unused: bool = False
    kv_tokens: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-compatible data."""
        return {
            "path": self.path,
            "format": self.format,
            "dims": dict(self.dims),
            "training": self.training is not None,
            "drop_unused": self.drop_unused,
            **({"kv_tokens": self.kv_tokens} if self.kv_tokens else {}),
            **({} if self.training is None else self.training.as_dict()),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphRecord:
    """Which graph was solved.

    Attributes
    ----------
    name, sha256, nodes
        Of the `ModelGraph`.
    input
        How it was read; None for a graph that was made in memory.
    """

    name: str
    sha256: str
    nodes: int
    input: GraphInput | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-compatible data."""
        origin = {} if self.input is None else self.input.as_dict()
        return {"name": self.name, "sha256": self.sha256, "nodes": self.nodes, **origin}


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCost:
    """What a stage costs, in the unit of the result, rounded up.

    Attributes
    ----------
    work
        Running its nodes.
    inbound, outbound
        Receiving and sending tensors.
    overflow
        Streaming parameters that do not fit the fast memory.
    total
        The sum.
    """

    work: float
    inbound: float
    outbound: float
    overflow: float
    total: float

    @staticmethod
    def of(stage: ExactStage) -> StageCost:
        """Return exact costs, rounded up."""
        return StageCost(
            work=stage.work.rounded_up(),
            inbound=stage.inbound.rounded_up(),
            outbound=stage.outbound.rounded_up(),
            overflow=stage.overflow.rounded_up(),
            total=stage.total.rounded_up(),
        )

    def as_dict(self) -> dict[str, float]:
        """Return it as JSON-compatible data."""
        return {
            "work": self.work,
            "in": self.inbound,
            "out": self.outbound,
            "overflow": self.overflow,
            "total": self.total,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundRecord:
    """A dual bound of a run.

    Attributes
    ----------
    source
        Name of the member that proved it.
    value
        In the unit of the result, rounded down.
    ticks
        In ticks.
    soundness
        Why it may be believed.
    seconds
        When it was proved, since the beginning of the run.
    certificate
        What it can be checked with; None where its source gives none.
    """

    source: str
    value: float
    ticks: int
    soundness: Soundness
    seconds: float
    certificate: Certificate | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-compatible data."""
        certificate = self.certificate
        return {
            "source": self.source,
            "kind": "dual",
            "value": self.value,
            "ticks": self.ticks,
            "soundness": self.soundness.value,
            "seconds": self.seconds,
            "certificate": None
            if certificate is None
            else {"kind": certificate.kind, "instance": certificate.instance, "data": dict(certificate.data)},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The interval from a moment on, in the unit of the result, and who moved it; None while a side is unknown."""

    seconds: float
    dual_bound: float | None
    incumbent: float | None
    source: str

    def as_list(self) -> list[Any]:
        """Return it as JSON-compatible data."""
        return [self.seconds, self.dual_bound, self.incumbent, self.source]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReducedInstance:
    """The instance that presolve left: its size and digest."""

    nodes: int
    tensors: int
    sha256: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-compatible data."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A member that failed, and how."""

    member: str
    detail: str

    def as_dict(self) -> dict[str, str]:
        """Return it as JSON-compatible data."""
        return {"member": self.member, "detail": self.detail}


@dataclass(frozen=True, slots=True, kw_only=True)
class ContradictedBound:
    """A dual bound that was claimed above a verified incumbent: a bug.

    Attributes
    ----------
    source, ticks
        Who claimed it, and what.
    incumbent_source, incumbent_ticks
        Who found the partition that refutes it, and its bottleneck.
    """

    source: str
    ticks: int
    incumbent_source: str
    incumbent_ticks: int

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-compatible data."""
        return {
            "source": self.source,
            "dual_bound_ticks": self.ticks,
            "incumbent_ticks": self.incumbent_ticks,
            "incumbent_source": self.incumbent_source,
        }


def ending_row(termination: Termination) -> dict[str, Any]:
    """Return why something ended as JSON-compatible data."""
    return {
        "reason": termination.reason.value,
        "limit": None if termination.limit is None else termination.limit.value,
        "detail": termination.detail,
    }


def member_row(member: MemberReport) -> dict[str, Any]:
    """Return how a member fared as JSON-compatible data."""
    return {
        "name": member.name,
        "entry": member.entry,
        "seconds": member.seconds,
        **ending_row(member.termination),
        "peak_bytes": member.peak_bytes,
        "details": member.details,
    }


NOTEWORTHY = 1e-9
"""Part of a bottleneck that rounding may cost it without a remark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """The interval of a run in the unit of the file: ``dual_bound <= optimum <= incumbent`` in its own numbers.

    Attributes
    ----------
    dual_bound, incumbent
        None while unknown.
    relative_gap, ratio
        Of the two; None while one is unknown.
    lost
        Part of the incumbent that its ticks lack; 0 while there is none.
    within_rounding
        Whether rounding explains what the ticks of the incumbent lack. Otherwise it cuts a tensor that is dearer than
        the whole graph in one stage, which ticks do not count in full.
    """

    dual_bound: float | None
    incumbent: float | None
    relative_gap: float | None
    ratio: float | None
    lost: float = 0.0
    within_rounding: bool = True

    @staticmethod
    def of(interval: Interval, rounding: Rounding, costs: Sequence[ExactStage]) -> Values:
        """Return the values of an interval in ticks whose incumbent has these stages, in the unit."""
        dual = None if interval.dual is None else rounding.lower(interval.dual)
        if interval.incumbent is None:
            return Values(dual_bound=dual, incumbent=None, relative_gap=None, ratio=None)
        exact = exact_bottleneck(costs)
        incumbent = exact.rounded_up()
        return Values(
            dual_bound=dual,
            incumbent=incumbent,
            relative_gap=None if dual is None else relative_gap(dual, incumbent),
            ratio=None if dual is None else ratio(dual, incumbent),
            lost=1.0 - rounding.lower(interval.incumbent) / incumbent if incumbent else 0.0,
            within_rounding=max(exact) <= rounding.upper_fraction(interval.incumbent),
        )

    def remarks(self) -> list[str]:
        """Return what a reader of the values should know."""
        if not self.within_rounding:
            return [
                "the constraints make a stage cut a transfer that costs more than the whole graph in one stage; the "
                "dual bound counts such a transfer as just that, the partition in full"
            ]
        if self.lost > NOTEWORTHY:
            return [f"costs are rounded down to whole ticks: that is {self.lost:.1g} of the bottleneck"]
        return []
