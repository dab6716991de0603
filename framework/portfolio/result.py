"""The result of a run: what `solve` returns, and the document of a result file (pipebound-result, version 1)."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from framework.bounds import DualBound, Interval, Limit, Reason, Termination
from framework.environment import environment
from framework.errors import UserError
from framework.model.device_chain import Devices
from framework.model.exact import ExactStage, Rounding, exact_stage_costs
from framework.model.graph import ModelGraph
from framework.model.memory import StageMemory, stage_memory
from framework.model.pricing import check_rounding
from framework.output_files import write_text
from framework.portfolio.constraints import Constraints
from framework.portfolio.context.board import Board, Contradiction, TrajectoryPoint
from framework.portfolio.members import MemberReport, RunRecord
from framework.portfolio.records import (
    BoundRecord,
    ContradictedBound,
    Fault,
    GraphInput,
    GraphRecord,
    Moment,
    ReducedInstance,
    StageCost,
    Status,
    Values,
    ending_row,
    member_row,
)
from framework.portfolio.run_options import RunOptions
from framework.shown import Shown

_LONG = 10_000
"""Items of a list that is written on one line."""

FORMAT, VERSION = "pipebound-result", 1


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Result(Shown):
    """What a run proved and found.

    Values are in `unit`: dual bounds rounded down, costs of partitions priced exactly and rounded up. Beside them stand
    the integers that everything was computed in, called ticks.

    Attributes
    ----------
    graph, device, stages, entry, constraints
        What was solved, for which number of stages k, by what, and what was fixed beforehand; a graph that carries its
        prices has no device.
    unit, rounding
        Unit of the values, and how ticks and the unit differ.
    dual_bound, dual_ticks
        No partition has a bottleneck below this; None while nothing is proved.
    incumbent, incumbent_ticks
        Bottleneck of the best partition; None while there is none.
    relative_gap, ratio
        ``(incumbent - dual) / incumbent`` and ``dual / incumbent``; None while one side is unknown.
    status, termination
        How the run ended, in one word, and in full.
    stage_of
        The stage of each node, numbered from 0; None without a partition.
    node_names, node_ids
        Of the graph, in the order of `stage_of`; empty where a file of an earlier version lacks them.
    stage_costs
        Of each stage; empty without a partition.
    stage_memory
        What each stage holds, in bytes; empty without a partition, where the graph states no bytes, and in files of
        earlier versions.
    bounds
        The best dual bound of each source, best first.
    incumbent_source
        Who found the partition; None without one.
    trajectory
        The interval over time.
    presolve
        The reduced instance, if there was one.
    members
        How each member fared.
    faults
        Members that failed, with the reason.
    over_limit
        How many partitions that break a hard limit each source reported.
    contradictions
        Dual bounds that were claimed above a verified incumbent; any is a bug.
    remarks
        What the reader of the graph wants the user to know.
    seed, budget, seconds
        Seed, budget and wall-clock time of the run.
    environment
        Versions of packages, and the machine.
    earlier
        Whether it was read from a file of an earlier version, which noted neither rounding nor names.
    """

    graph: GraphRecord
    device: Devices | None
    stages: int
    entry: str
    constraints: Constraints
    unit: str
    rounding: Rounding
    dual_bound: float | None
    dual_ticks: int | None
    incumbent: float | None
    incumbent_ticks: int | None
    relative_gap: float | None
    ratio: float | None
    status: Status
    termination: Termination
    stage_of: tuple[int, ...] | None
    node_names: tuple[str, ...]
    node_ids: tuple[int | str, ...]
    stage_costs: tuple[StageCost, ...]
    bounds: tuple[BoundRecord, ...]
    incumbent_source: str | None
    trajectory: tuple[Moment, ...]
    presolve: ReducedInstance | None
    members: tuple[MemberReport, ...]
    faults: tuple[Fault, ...]
    over_limit: Mapping[str, int]
    contradictions: tuple[ContradictedBound, ...]
    remarks: tuple[str, ...]
    seed: int
    budget: float
    seconds: float
    environment: Mapping[str, Any] = field(default_factory=dict)
    earlier: bool = False
    stage_memory: tuple[StageMemory, ...] = ()

    def __repr__(self) -> str:
        sides = (self.dual_bound, self.incumbent)
        low, high = ("-" if side is None else f"{side:.6g}" for side in sides)
        return f"<Result {self.graph.name}, k = {self.stages}: {self.status}, [{low}, {high}] {self.unit}>"

    @property
    def interval(self) -> Interval:
        """Dual bound and incumbent in ticks."""
        return Interval(dual=self.dual_ticks, incumbent=self.incumbent_ticks)

    @property
    def stage_of_name(self) -> dict[str, int]:
        """The stage of each node by its name; empty without a partition."""
        return {} if self.stage_of is None else dict(zip(self.node_names, self.stage_of, strict=True))

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

    def as_dict(self) -> dict[str, Any]:
        """Return the document of the result file: JSON-compatible data."""
        document: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "graph": self.graph.as_dict(),
            "device": None if self.device is None else self.device.as_dict(),
            "stages": self.stages,
            "portfolio": self.entry,
            "constraints": self.constraints.as_dict() if self.constraints else None,
            "unit": self.unit,
            "ticks_per_unit": self.rounding.ticks_per_unit,
            "rounding": rounding_row(self.rounding),
            "dual_bound": self.dual_bound,
            "dual_bound_ticks": self.dual_ticks,
            "incumbent": self.incumbent,
            "incumbent_ticks": self.incumbent_ticks,
            "relative_gap": self.relative_gap,
            "ratio": self.ratio,
            "status": self.status.value,
            "termination": ending_row(self.termination),
            "stage_of": None if self.stage_of is None else list(self.stage_of),
            "node_names": list(self.node_names),
            "node_ids": list(self.node_ids) or None,
            "stage_costs": [row.as_dict() for row in self.stage_costs],
            "stage_memory": [row.as_dict() for row in self.stage_memory],
            "bounds": [bound.as_dict() for bound in self.bounds],
            "incumbent_source": self.incumbent_source,
            "trajectory": [moment.as_list() for moment in self.trajectory],
            "presolve": None if self.presolve is None else self.presolve.as_dict(),
            "members": [member_row(member) for member in self.members],
            "faults": [fault.as_dict() for fault in self.faults],
            "over_limit": dict(self.over_limit),
            "contradictions": [bug.as_dict() for bug in self.contradictions],
            "remarks": list(self.remarks),
            "seed": self.seed,
            "budget_seconds": self.budget,
            "seconds": self.seconds,
            "environment": dict(self.environment),
        }
        if self.earlier:
            del document["rounding"], document["node_names"], document["node_ids"]
        if not self.stage_memory:
            del document["stage_memory"]
        return document

    def to_json(self) -> str:
        """Return the document as JSON text; what there is for each node of a large graph stands on one line."""
        return json_text(self.as_dict())

    @staticmethod
    def from_json(text: str) -> Result:
        """Return the result that `to_json` wrote.

        Raises
        ------
        UserError
            As `framework.portfolio.reading.read_result`.
        """
        from framework.portfolio.reading import parse_result

        return parse_result(text)

    def write(self, path: str | Path) -> None:
        """Write the document so that a reader sees the old file or the whole new one, never a part."""
        write_text(Path(path), self.to_json() + "\n", "cannot write the result")


def json_text(document: Mapping[str, Any]) -> str:
    """Return a document as JSON text, indented; a long list stands on one line."""
    fields = [f" {json.dumps(name)}: {_indented(value)}" for name, value in document.items()]
    return "{\n" + ",\n".join(fields) + "\n}"


def _indented(value: object) -> str:
    """Return JSON text of a field, indented unless it is a long list: the library's fast encoder does not indent."""
    indent = None if isinstance(value, list) and len(value) >= _LONG else 1
    # No string of JSON holds a line break, so that all of them may be moved in.
    return json.dumps(value, indent=indent, allow_nan=False).replace("\n", "\n ")


def build_result(
    *,
    graph: ModelGraph,
    graph_input: GraphInput | None,
    device: Devices | None,
    board: Board,
    rounding: Rounding,
    record: RunRecord,
    options: RunOptions,
    entry: str,
    constraints: Constraints,
) -> Result:
    """Assemble the result of a finished run; the incumbent is priced once more on the way, from the graph.

    Raises
    ------
    UserError
        If the costs of the graph span so many orders of magnitude that rounding leaves the bottleneck unsure, or if the
        incumbent cuts transfers that cost more than floating-point numbers hold.
    """
    instance, interval = board.problem.instance, board.interval
    stage_of = None if board.incumbent is None else board.incumbent.partition.stage_of[instance.node_of_input]
    streamed, stages = constraints.memory_limit is None, board.problem.stages
    costs = [] if stage_of is None else exact_stage_costs(graph, device, stage_of, stages, streamed=streamed)
    if any(math.isinf(stage.total.rounded_up()) for stage in costs):
        raise UserError(
            "the best partition found cuts transfers that cost more than a floating-point number holds",
            where=graph.source,
            hint="scale the costs down, or loosen the pins and the memory limit",
        )
    values = Values.of(interval, rounding, costs)
    if interval.incumbent is not None and values.incumbent:
        check_rounding(rounding, interval.incumbent, graph)
    return Result(
        graph=GraphRecord(name=graph.name, sha256=graph.sha256(), nodes=graph.topology.n, input=graph_input),
        device=device,
        stages=stages,
        entry=entry,
        constraints=constraints,
        unit=instance.unit,
        rounding=rounding,
        dual_bound=values.dual_bound,
        dual_ticks=interval.dual,
        incumbent=values.incumbent,
        incumbent_ticks=interval.incumbent,
        relative_gap=values.relative_gap,
        ratio=values.ratio,
        status=status_of(
            closed=interval.closed and values.within_rounding,
            infeasible=board.infeasible,
            reason=record.termination.reason,
            limit=record.termination.limit,
            found=board.incumbent is not None,
        ),
        termination=record.termination,
        stage_of=None if stage_of is None else tuple(stage_of.tolist()),
        node_names=graph.node_names,
        node_ids=graph.node_ids,
        stage_costs=tuple(map(StageCost.of, costs)),
        stage_memory=() if stage_of is None else stage_memory(graph, stage_of, board.problem.stages),
        bounds=tuple(_bound(bound, rounding) for bound in board.bounds),
        incumbent_source=None if board.incumbent is None else board.incumbent.source,
        trajectory=tuple(_moment(point, interval, values, rounding) for point in board.trajectory),
        presolve=_reduced(record),
        members=tuple(replace(member, seconds=round(member.seconds, 6)) for member in record.members),
        faults=tuple(_faults(board, record)),
        over_limit=dict(Counter(board.over_limit)),
        contradictions=tuple(map(_contradicted, board.contradictions)),
        remarks=(*graph.remarks, *values.remarks()),
        seed=options.seed,
        budget=options.budget,
        seconds=round(record.seconds, 6),
        environment=environment(),
    )


def _faults(board: Board, record: RunRecord) -> list[Fault]:
    crashed = [
        Fault(member=member.name, detail=member.termination.detail)
        for member in record.members
        if member.termination.reason is Reason.FAULT
    ]
    return crashed + [
        Fault(member=source, detail=f"reported no valid partition: {why}") for source, why in board.rejected
    ]


def _contradicted(contradiction: Contradiction) -> ContradictedBound:
    return ContradictedBound(
        source=contradiction.bound.source,
        ticks=contradiction.bound.value,
        incumbent_source=contradiction.incumbent_source,
        incumbent_ticks=contradiction.incumbent,
    )


def _moment(point: TrajectoryPoint, interval: Interval, values: Values, rounding: Rounding) -> Moment:
    found = None if point.incumbent is None else rounding.upper(point.incumbent)
    return Moment(
        seconds=round(point.seconds, 6),
        dual_bound=None if point.dual is None else rounding.lower(point.dual),
        incumbent=values.incumbent if point.incumbent == interval.incumbent else found,
        source=point.source,
    )


def _bound(bound: DualBound, rounding: Rounding) -> BoundRecord:
    return BoundRecord(
        source=bound.source,
        value=rounding.lower(bound.value),
        ticks=bound.value,
        soundness=bound.soundness,
        seconds=round(bound.seconds, 6),
        certificate=bound.certificate,
    )


def _reduced(record: RunRecord) -> ReducedInstance | None:
    if record.reduced is None:
        return None
    return ReducedInstance(nodes=record.reduced.n, tensors=record.reduced.m, sha256=record.reduced.sha256())


def status_of(*, closed: bool, infeasible: bool, reason: Reason, limit: Limit | None, found: bool) -> Status:
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
        return Status.OPTIMAL
    if infeasible:
        return Status.INFEASIBLE
    if limit is Limit.GAP:
        return Status.GAP_REACHED
    if limit is Limit.TIME:
        return Status.TIME_LIMIT
    if reason is Reason.INTERRUPTED:
        return Status.INTERRUPTED
    return Status.FEASIBLE if found else Status.UNKNOWN


def stage_rows(costs: Sequence[ExactStage]) -> list[dict[str, float]]:
    """Return the parts of every stage's cost in the unit, rounded up, as result files hold them."""
    return [StageCost.of(stage).as_dict() for stage in costs]


def rounding_row(rounding: Rounding) -> dict[str, Any]:
    """Return how ticks and the unit differ, as result files hold it."""
    row = asdict(rounding)
    del row["ticks_per_unit"]
    return row
