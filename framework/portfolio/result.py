"""The result of a run: the document `solve` writes and `verify` re-checks (pipebound-result, version 1)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from framework.bounds import Certificate, DualBound, Interval, Limit, Reason, Termination
from framework.environment import environment
from framework.errors import UserError
from framework.model.device import Device
from framework.model.exact import ExactStage, Rounding, exact_stage_costs
from framework.model.graph import ModelGraph
from framework.model.pricing import check_rounding
from framework.model.topology import IntArray
from framework.output_files import replacing
from framework.portfolio.context.board import Board, TrajectoryPoint
from framework.portfolio.run_options import RunOptions
from framework.portfolio.runner import MemberReport, RunRecord
from framework.portfolio.values import Values

_LONG = 10_000
"""Items of a list that is written on one line."""

FORMAT, VERSION = "pipebound-result", 1
STATUSES = ("optimal", "gap_reached", "feasible", "infeasible", "time_limit", "interrupted", "unknown")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GraphInput:
    """Where a graph came from and how it was read, so that `verify` can read it again."""

    path: str
    format: str | None = None
    dims: Mapping[str, int] = field(default_factory=dict)
    training: bool = False
    drop_unused: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """A result document with typed access to what tables need.

    Attributes
    ----------
    document
        The JSON object as specified; values in `unit` beside exact ticks.
    """

    document: Mapping[str, Any]

    @property
    def stages(self) -> int:
        """Number of stages k."""
        return int(self.document["stages"])

    @property
    def status(self) -> str:
        """One of `STATUSES`."""
        return str(self.document["status"])

    @property
    def unit(self) -> str:
        """Unit of the values."""
        return str(self.document["unit"])

    @property
    def dual_ticks(self) -> int | None:
        """Best dual bound in ticks."""
        value = self.document["dual_bound_ticks"]
        return None if value is None else int(value)

    @property
    def incumbent_ticks(self) -> int | None:
        """Best bottleneck found, in ticks."""
        value = self.document["incumbent_ticks"]
        return None if value is None else int(value)

    @property
    def dual_bound(self) -> float | None:
        """Best dual bound in the unit, rounded down."""
        value = self.document["dual_bound"]
        return None if value is None else float(value)

    @property
    def incumbent(self) -> float | None:
        """Best bottleneck found, in the unit: priced exactly from the graph, and rounded up."""
        value = self.document["incumbent"]
        return None if value is None else float(value)

    @property
    def rounding(self) -> Rounding:
        """How ticks and the unit differ; files of before it was noted count as exact."""
        stored = self.document.get("rounding")
        scale = float(self.document["ticks_per_unit"])
        if stored is None:
            return Rounding(ticks_per_unit=scale, exact=True)
        return Rounding(ticks_per_unit=scale, **stored)

    @property
    def relative_gap(self) -> float | None:
        """``(incumbent - dual) / incumbent``."""
        value = self.document["relative_gap"]
        return None if value is None else float(value)

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of the run."""
        return float(self.document["seconds"])

    @property
    def faults(self) -> list[Mapping[str, str]]:
        """Members that failed, with the reason."""
        return list(self.document["faults"])

    @property
    def contradictions(self) -> list[Mapping[str, Any]]:
        """Dual bounds that were claimed above a verified incumbent; any is a bug."""
        return list(self.document["contradictions"])

    def dual_in_units(self, ticks: int | None) -> float | None:
        """Convert a dual bound from ticks to the unit, rounded down; the best one is `dual_bound`."""
        return None if ticks is None else self.rounding.lower(ticks)

    def cost_in_units(self, ticks: int | None) -> float | None:
        """Convert the bottleneck of some partition from ticks to the unit, rounded up; the best one is `incumbent`.

        Ticks lose something, so this may be above the exact cost of that partition, never below.
        """
        if ticks is None or ticks == self.incumbent_ticks:
            return None if ticks is None else self.incumbent
        return self.rounding.upper(ticks)

    def to_json(self) -> str:
        """Return the document as JSON text; what there is for each node of a large graph stands on one line."""
        fields = [f" {json.dumps(name)}: {_indented(value)}" for name, value in self.document.items()]
        return "{\n" + ",\n".join(fields) + "\n}"

    def write(self, path: str | Path) -> None:
        """Write the document so that a reader sees the old file or the whole new one, never a part."""
        path = Path(path)
        try:
            with replacing(path) as temporary:
                temporary.write_text(self.to_json() + "\n", encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot write the result: {error.strerror}", where=str(path)) from error


def _indented(value: object) -> str:
    """Return JSON text of a field, indented unless it is a long list: the library's fast encoder does not indent."""
    indent = None if isinstance(value, list) and len(value) >= _LONG else 1
    # No string of JSON holds a line break, so that all of them may be moved in.
    return json.dumps(value, indent=indent, allow_nan=False).replace("\n", "\n ")


def build_result(
    *,
    graph: ModelGraph,
    graph_input: GraphInput | None,
    device: Device | None,
    board: Board,
    rounding: Rounding,
    record: RunRecord,
    options: RunOptions,
    portfolio: str,
    constraints: Mapping[str, Any] | None = None,
) -> Result:
    """Assemble the document of a finished run; the incumbent is priced once more on the way, from the graph.

    Raises
    ------
    UserError
        If the costs of the graph span so many orders of magnitude that rounding leaves the bottleneck unsure.
    """
    instance, interval = board.problem.instance, board.interval
    stage_of = None if board.incumbent is None else board.incumbent.partition.stage_of[instance.node_of_input]
    costs = [] if stage_of is None else exact_stage_costs(graph, device, stage_of, board.problem.stages)
    values = Values.of(interval, rounding, costs)
    if interval.incumbent is not None and values.incumbent:
        check_rounding(rounding, interval.incumbent, graph)
    document: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "graph": {"name": graph.name, "sha256": graph.sha256(), "nodes": graph.topology.n, **_origin(graph_input)},
        "device": None if device is None else device.as_dict(),
        "stages": board.problem.stages,
        "portfolio": portfolio,
        "constraints": constraints,
        "unit": instance.unit,
        "ticks_per_unit": instance.ticks_per_unit,
        "rounding": rounding_row(rounding),
        "dual_bound": values.dual_bound,
        "dual_bound_ticks": interval.dual,
        "incumbent": values.incumbent,
        "incumbent_ticks": interval.incumbent,
        "relative_gap": values.relative_gap,
        "ratio": values.ratio,
        "status": status_of(
            closed=interval.closed and values.within_rounding,
            infeasible=board.infeasible,
            reason=record.termination.reason,
            limit=record.termination.limit,
            found=board.incumbent is not None,
        ),
        "termination": _ending(record.termination),
        "stage_of": None if stage_of is None else stage_of.tolist(),
        "node_names": list(graph.node_names),
        "node_ids": list(graph.node_ids) or None,
        "stage_costs": stage_rows(costs),
        "bounds": [_bound_row(bound, rounding) for bound in board.bounds],
        "incumbent_source": None if board.incumbent is None else board.incumbent.source,
        "trajectory": [_trajectory_row(point, interval, values, rounding) for point in board.trajectory],
        "presolve": _presolve_row(record),
        "members": [_member_row(member) for member in record.members],
        "faults": [
            {"member": member.name, "detail": member.termination.detail}
            for member in record.members
            if member.termination.reason is Reason.FAULT
        ]
        + [{"member": source, "detail": f"reported no valid partition: {why}"} for source, why in board.rejected],
        "over_limit": dict(Counter(board.over_limit)),
        "contradictions": [
            {
                "source": contradiction.bound.source,
                "dual_bound_ticks": contradiction.bound.value,
                "incumbent_ticks": contradiction.incumbent,
                "incumbent_source": contradiction.incumbent_source,
            }
            for contradiction in board.contradictions
        ],
        "remarks": [*graph.remarks, *values.remarks()],
        "seed": options.seed,
        "budget_seconds": options.budget,
        "seconds": round(record.seconds, 6),
        "environment": environment(),
    }
    return Result(document)


def _ending(termination: Termination) -> dict[str, Any]:
    return {
        "reason": termination.reason.value,
        "limit": None if termination.limit is None else termination.limit.value,
        "detail": termination.detail,
    }


def _member_row(member: MemberReport) -> dict[str, Any]:
    return {
        "name": member.name,
        "entry": member.entry,
        "seconds": round(member.seconds, 6),
        **_ending(member.termination),
        "peak_bytes": member.peak_bytes,
        "details": member.details,
    }


def _trajectory_row(point: TrajectoryPoint, interval: Interval, values: Values, rounding: Rounding) -> list[Any]:
    found = None if point.incumbent is None else rounding.upper(point.incumbent)
    return [
        round(point.seconds, 6),
        None if point.dual is None else rounding.lower(point.dual),
        values.incumbent if point.incumbent == interval.incumbent else found,
        point.source,
    ]


def bounds_of(result: Result) -> list[tuple[int, str, str, Certificate | None]]:
    """Return (ticks, source, soundness, certificate) of every dual bound of a result file."""
    rows = []
    for row in result.document["bounds"]:
        stored = row.get("certificate")
        certificate = None
        if stored is not None:
            certificate = Certificate(
                kind=str(stored["kind"]), data=stored.get("data", {}), instance=str(stored.get("instance", ""))
            )
        rows.append((int(row["ticks"]), str(row["source"]), str(row["soundness"]), certificate))
    return rows


def stages_of(result: Result, nodes: int) -> IntArray:
    """Return the stage of each input node, ``[nodes]``; a UserError if the file holds none or too few."""
    stages = result.document["stage_of"]
    if not isinstance(stages, list) or len(stages) != nodes or not all(type(stage) is int for stage in stages):
        raise UserError(f"stage_of is not a list of {nodes} stages")
    return np.array(stages, dtype=np.int64)


def _origin(graph_input: GraphInput | None) -> dict[str, Any]:
    if graph_input is None:
        return {}
    return {
        "path": graph_input.path,
        "format": graph_input.format,
        "dims": dict(graph_input.dims),
        "training": graph_input.training,
        "drop_unused": graph_input.drop_unused,
    }


def status_of(*, closed: bool, infeasible: bool, reason: Reason, limit: Limit | None, found: bool) -> str:
    """Return the status of a run.

    Parameters
    ----------
    closed, infeasible
        Whether the incumbent is proven optimal; whether the dual bound says that no partition obeys the hard limits.
    reason, limit
        Why the run ended.
    found
        Whether there is an incumbent.
    """
    if closed:
        return "optimal"
    if infeasible:
        return "infeasible"
    if limit is Limit.GAP:
        return "gap_reached"
    if limit is Limit.TIME:
        return "time_limit"
    if reason is Reason.INTERRUPTED:
        return "interrupted"
    return "feasible" if found else "unknown"


def stage_rows(costs: Sequence[ExactStage]) -> list[dict[str, float]]:
    """Return the parts of every stage's cost in the unit, rounded up."""
    return [
        {
            "work": stage.work.rounded_up(),
            "in": stage.inbound.rounded_up(),
            "out": stage.outbound.rounded_up(),
            "overflow": stage.overflow.rounded_up(),
            "total": stage.total.rounded_up(),
        }
        for stage in costs
    ]


def rounding_row(rounding: Rounding) -> dict[str, Any]:
    """Return how ticks and the unit differ, as result files hold it."""
    row = asdict(rounding)
    del row["ticks_per_unit"]
    return row


def _bound_row(bound: DualBound, rounding: Rounding) -> dict[str, Any]:
    certificate = bound.certificate
    return {
        "source": bound.source,
        "kind": "dual",
        "value": rounding.lower(bound.value),
        "ticks": bound.value,
        "soundness": bound.soundness.value,
        "seconds": round(bound.seconds, 6),
        "certificate": None
        if certificate is None
        else {"kind": certificate.kind, "instance": certificate.instance, "data": dict(certificate.data)},
    }


def _presolve_row(record: RunRecord) -> dict[str, Any] | None:
    if record.reduced is None:
        return None
    return {"nodes": record.reduced.n, "tensors": record.reduced.m, "sha256": record.reduced.sha256()}
