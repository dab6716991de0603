"""The result of a run: the document `solve` writes and `verify` re-checks (pipebound-result, version 1)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from framework.bounds import Certificate, DualBound, Limit, Reason
from framework.environment import environment
from framework.errors import UserError
from framework.model.device import Device
from framework.model.graph import ModelGraph
from framework.model.problem import StageCosts, stage_costs
from framework.model.topology import IntArray
from framework.portfolio.board import Board
from framework.portfolio.runner import RunOptions, RunRecord

FORMAT, VERSION = "pipebound-result", 1
STATUSES = ("optimal", "gap_reached", "feasible", "infeasible", "time_limit", "interrupted", "unknown")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GraphInput:
    """Where a graph came from and how it was read, so that `verify` can read it again."""

    path: str
    format: str | None = None
    dims: Mapping[str, int] = field(default_factory=dict)
    training: bool = False


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

    def in_units(self, ticks: int | None) -> float | None:
        """Convert ticks to the unit."""
        return None if ticks is None else ticks / float(self.document["ticks_per_unit"])

    def to_json(self) -> str:
        """Return the document as JSON text."""
        return json.dumps(self.document, indent=1, allow_nan=False)

    def write(self, path: str | Path) -> None:
        """Write the document so that a reader sees the old file or the whole new one, never a part."""
        path = Path(path)
        try:
            temporary = path.with_name(path.name + ".tmp")
            temporary.write_text(self.to_json() + "\n", encoding="utf-8")
            temporary.replace(path)
        except OSError as error:
            raise UserError(f"cannot write the result: {error.strerror}", where=str(path)) from error


def build_result(
    *,
    graph: ModelGraph,
    graph_input: GraphInput | None,
    device: Device | None,
    board: Board,
    record: RunRecord,
    options: RunOptions,
    portfolio: str,
    constraints: Mapping[str, Any] | None = None,
) -> Result:
    """Assemble the document of a finished run; the incumbent is priced once more on the way."""
    instance, interval = board.problem.instance, board.interval
    costs = None if board.incumbent is None else stage_costs(board.problem, board.incumbent.partition)
    stage_of = None if board.incumbent is None else board.incumbent.partition.stage_of[instance.node_of_input]

    def units(ticks: int | None) -> float | None:
        return None if ticks is None else instance.in_units(ticks)

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
        "dual_bound": units(interval.dual),
        "dual_bound_ticks": interval.dual,
        "incumbent": units(interval.incumbent),
        "incumbent_ticks": interval.incumbent,
        "relative_gap": interval.relative_gap,
        "ratio": interval.ratio,
        "status": _status(board, record),
        "termination": {
            "reason": record.termination.reason.value,
            "limit": None if record.termination.limit is None else record.termination.limit.value,
            "detail": record.termination.detail,
        },
        "stage_of": None if stage_of is None else stage_of.tolist(),
        "stage_costs": [] if costs is None else stage_rows(costs, instance.ticks_per_unit),
        "bounds": [_bound_row(bound, instance.ticks_per_unit) for bound in board.bounds],
        "incumbent_source": None if board.incumbent is None else board.incumbent.source,
        "trajectory": [
            [round(point.seconds, 6), units(point.dual), units(point.incumbent), point.source]
            for point in board.trajectory
        ],
        "presolve": _presolve_row(record),
        "members": [
            {
                "name": member.name,
                "entry": member.entry,
                "seconds": round(member.seconds, 6),
                "reason": member.termination.reason.value,
                "limit": None if member.termination.limit is None else member.termination.limit.value,
                "detail": member.termination.detail,
                "peak_bytes": member.peak_bytes,
                "details": member.details,
            }
            for member in record.members
        ],
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
        "remarks": list(graph.remarks),
        "seed": options.seed,
        "budget_seconds": options.budget,
        "seconds": round(record.seconds, 6),
        "environment": environment(),
    }
    return Result(document)


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
    }


def _status(board: Board, record: RunRecord) -> str:
    if board.interval.closed:
        return "optimal"
    if board.infeasible:
        return "infeasible"
    if record.termination.limit is Limit.GAP:
        return "gap_reached"
    if record.termination.limit is Limit.TIME:
        return "time_limit"
    if record.termination.reason is Reason.INTERRUPTED:
        return "interrupted"
    return "unknown" if board.incumbent is None else "feasible"


def stage_rows(costs: StageCosts, ticks_per_unit: float) -> list[dict[str, float]]:
    """Return the parts of every stage's cost in the unit."""
    columns = {
        "work": costs.work,
        "in": costs.inbound,
        "out": costs.outbound,
        "overflow": costs.overflow,
        "total": costs.total,
    }
    return [{name: int(column[b]) / ticks_per_unit for name, column in columns.items()} for b in range(len(costs.work))]


def _bound_row(bound: DualBound, ticks_per_unit: float) -> dict[str, Any]:
    certificate = bound.certificate
    return {
        "source": bound.source,
        "kind": "dual",
        "value": bound.value / ticks_per_unit,
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
