"""Reading results: every field of the document has its type and its words, or there is one error that names it.

What the fields say is not believed here: `pipebound verify` derives it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from framework.bounds import Certificate, Limit, Reason, Soundness, Termination
from framework.errors import UserError
from framework.fields import REQUIRED, Fields, check_values, shown
from framework.formats.document import parse_document, read_document
from framework.model.arrays import IntArray
from framework.model.device_chain import read_devices
from framework.model.exact import Rounding
from framework.model.instance import MAX_STAGES
from framework.model.memory import StageMemory
from framework.model.training import Training
from framework.portfolio.constraints import Constraints, read_constraints
from framework.portfolio.members import MemberReport
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
)
from framework.portfolio.result import FORMAT, VERSION, Result

T = TypeVar("T")

MOST_TICKS = (1 << 63) - 1
"""Ticks are 64-bit integers."""

_MEND = "give a file that `pipebound solve -o` wrote"


def read_result(path: str | Path) -> Result:
    """Read a result file.

    Raises
    ------
    UserError
        If it is missing, is not JSON, is not a pipebound-result of a known version, or if a field is missing, unknown,
        or of another type or word than it may be.
    """
    return _result(read_document(path, format=FORMAT, version=VERSION, hint=_MEND))


def read_result_document(path: str | Path) -> Mapping[str, Any]:
    """Read a result file as `read_result` does, and return its document as it stands, for `verify_document`."""
    fields = read_document(path, format=FORMAT, version=VERSION, hint=_MEND)
    _result(fields)
    return fields.everything()


def parse_result(text: str) -> Result:
    """Return the result that a text holds; checked as `read_result` does."""
    return _result(parse_document(text.encode(), "the result", format=FORMAT, version=VERSION, hint=_MEND))


def as_result(document: object, where: str) -> Result:
    """Return a result that stands inside another file, the store of a study for instance; checked as `read_result`."""
    fields = Fields(document, where)
    version = fields.value("version")
    if fields.value("format") != FORMAT or type(version) is not int or version != VERSION:
        raise UserError(f"not a {FORMAT} of version {VERSION}", where=where)
    check_values(document, where)
    return _result(fields)


def _result(top: Fields) -> Result:
    graph = _graph(top.table("graph"))
    device = None if top.null("device", absent=False) else read_devices(top.table("device"))
    stages = top.integer("stages", least=1, most=MAX_STAGES)
    # Earlier versions wrote no rounding, and the first ones neither constraints nor what broke a limit.
    of_today = top.has("rounding")
    without = top.null("constraints", absent=not of_today)
    scale = top.number("ticks_per_unit", least=0.0)
    if not scale > 0.0:
        raise top.error("ticks_per_unit", "0 is no scale")
    exact = Rounding(ticks_per_unit=scale, exact=True)
    termination = top.table("termination")
    result = Result(
        graph=graph,
        device=device,
        stages=stages,
        entry=top.text("portfolio"),
        constraints=Constraints() if without else read_constraints(top.table("constraints")),
        unit=top.text("unit", empty=True),
        rounding=exact if top.null("rounding") else _rounding(top.table("rounding"), scale),
        dual_bound=_nullable(top, "dual_bound", top.number),
        dual_ticks=_nullable(top, "dual_bound_ticks", lambda key: top.integer(key, least=0, most=MOST_TICKS)),
        incumbent=_nullable(top, "incumbent", top.number),
        incumbent_ticks=_nullable(top, "incumbent_ticks", lambda key: top.integer(key, least=0, most=MOST_TICKS)),
        relative_gap=_nullable(top, "relative_gap", top.number),
        ratio=_nullable(top, "ratio", top.number),
        status=Status(top.choice("status", Status)),
        termination=_ending(termination),
        stage_of=_nullable(top, "stage_of", lambda key: tuple(top.integer_list(key, least=0, most=stages - 1))),
        node_names=tuple(top.texts("node_names")) if top.has("node_names") else (),
        node_ids=() if top.null("node_ids") else _node_ids(top),
        stage_costs=tuple(map(_stage_cost, top.rows("stage_costs"))),
        stage_memory=tuple(map(_stage_memory, top.rows("stage_memory", ()))),
        bounds=tuple(map(_bound, top.rows("bounds"))),
        incumbent_source=_nullable(top, "incumbent_source", lambda key: top.text(key, empty=True)),
        trajectory=tuple(_moment(top, name, value) for name, value in top.entries("trajectory")),
        presolve=_nullable(top, "presolve", lambda key: _reduced(top.table(key))),
        members=tuple(map(_member, top.rows("members"))),
        faults=tuple(map(_fault, top.rows("faults"))),
        over_limit=_counts(top.table("over_limit", REQUIRED if of_today else None)),
        contradictions=tuple(map(_contradicted, top.rows("contradictions"))),
        remarks=tuple(top.texts("remarks")),
        seed=top.integer("seed", least=None),
        budget=top.number("budget_seconds", least=0.0),
        seconds=top.number("seconds", least=0.0),
        environment=top.table("environment", REQUIRED).everything(),
        earlier=not of_today,
    )
    termination.finish()
    top.finish()
    return result


def _graph(graph: Fields) -> GraphRecord:
    name, sha256 = graph.text("name", empty=True), graph.text("sha256")
    nodes = graph.integer("nodes", least=1)
    path, format = (None if graph.null(field) else graph.text(field, empty=True) for field in ("path", "format"))
    dims = graph.table("dims")
    sizes = {dim: dims.integer(dim, least=0) for dim in dims.everything()}
    drop_unused = graph.flag("drop_unused", False)
    kv_tokens = graph.integer("kv_tokens", 0, least=0)
    training = _training(graph)
    graph.finish()
    read = None
    if path is not None:
        read = GraphInput(
            path=path, format=format, dims=sizes, training=training, drop_unused=drop_unused, kv_tokens=kv_tokens
        )
    return GraphRecord(name=name, sha256=sha256, nodes=nodes, input=read)


def _training(graph: Fields) -> Training | None:
    said: dict[str, Any] = {"training": graph.flag("training", False)}
    for field in ("microbatches", "optimizer_states"):
        if graph.has(field):
            said[field] = graph.integer(field, least=0, most=1 << 20)
    try:
        return Training.of(said)
    except UserError as error:
        raise UserError(error.what, where=graph.where(), hint=error.hint) from None


def _rounding(rounding: Fields, scale: float) -> Rounding:
    taken = Rounding(
        ticks_per_unit=scale,
        exact=rounding.flag("exact"),
        stage_ticks=rounding.integer("stage_ticks", least=0),
        parameter_ticks=rounding.integer("parameter_ticks", least=0),
        capped_tensors=rounding.integer("capped_tensors", least=0),
    )
    rounding.finish()
    return taken


def _ending(row: Fields) -> Termination:
    reason = row.choice("reason", Reason)
    limit = None if row.null("limit", absent=False) else row.choice("limit", Limit)
    if (reason == Reason.LIMIT) != (limit is not None):
        raise row.error("limit", f"{shown(limit)} does not go with the reason {reason}")
    detail = row.text("detail", empty=True)
    return Termination(reason=Reason(reason), limit=None if limit is None else Limit(limit), detail=detail)


def _node_ids(top: Fields) -> tuple[int | str, ...]:
    values = top.entries("node_ids")
    for name, value in values:
        if type(value) not in (int, str):
            raise top.error(name, f"{shown(value)} is no id", "give an integer or a text")
    return tuple(value for _, value in values)


def _stage_cost(row: Fields) -> StageCost:
    cost = StageCost(
        work=row.number("work"),
        inbound=row.number("in"),
        outbound=row.number("out"),
        overflow=row.number("overflow"),
        total=row.number("total"),
    )
    row.finish()
    return cost


def _stage_memory(row: Fields) -> StageMemory:
    memory = StageMemory(
        parameters=row.integer("parameters", least=0),
        state=row.integer("state", least=0),
        workset=row.integer("workset", least=0),
        peak_live=row.integer("peak_live", least=0),
        activations=row.integer("activations", 0, least=0),
    )
    row.finish()
    return memory


def _bound(row: Fields) -> BoundRecord:
    row.choice("kind", ["dual"])
    bound = BoundRecord(
        source=row.text("source"),
        value=row.number("value", least=0.0),
        ticks=row.integer("ticks", least=0, most=MOST_TICKS),
        soundness=Soundness(row.choice("soundness", Soundness)),
        seconds=row.number("seconds", least=0.0),
        certificate=_nullable(row, "certificate", lambda key: _certificate(row.table(key))),
    )
    row.finish()
    return bound


def _certificate(row: Fields) -> Certificate:
    kind, instance = row.text("kind"), row.text("instance", empty=True)
    data = row.table("data", REQUIRED).everything()
    row.finish()
    return Certificate(kind=kind, instance=instance, data=data)


def _moment(top: Fields, name: str, value: Any) -> Moment:
    if not isinstance(value, list) or len(value) != 4:
        raise top.error(name, f"{shown(value)} is no list of seconds, dual bound, incumbent and source")
    point = top.inner(name, dict(zip(("seconds", "dual", "incumbent", "source"), value, strict=True)))
    return Moment(
        seconds=point.number("seconds", least=0.0),
        dual_bound=_nullable(point, "dual", point.number),
        incumbent=_nullable(point, "incumbent", point.number),
        source=point.text("source", empty=True),
    )


def _reduced(presolve: Fields) -> ReducedInstance:
    reduced = ReducedInstance(
        nodes=presolve.integer("nodes", least=1),
        tensors=presolve.integer("tensors", least=0),
        sha256=presolve.text("sha256"),
    )
    presolve.finish()
    return reduced


def _member(row: Fields) -> MemberReport:
    report = MemberReport(
        name=row.text("name"),
        entry=row.text("entry"),
        seconds=row.number("seconds", least=0.0),
        termination=_ending(row),
        peak_bytes=_nullable(row, "peak_bytes", lambda key: row.integer(key, least=0)),
        details=row.table("details", REQUIRED).everything(),
    )
    row.finish()
    return report


def _fault(row: Fields) -> Fault:
    fault = Fault(member=row.text("member"), detail=row.text("detail", empty=True))
    row.finish()
    return fault


def _counts(over_limit: Fields) -> dict[str, int]:
    return {name: over_limit.integer(name, least=1) for name in over_limit.everything()}


def _contradicted(row: Fields) -> ContradictedBound:
    bug = ContradictedBound(
        source=row.text("source"),
        ticks=row.integer("dual_bound_ticks", least=0, most=MOST_TICKS),
        incumbent_ticks=row.integer("incumbent_ticks", least=0, most=MOST_TICKS),
        incumbent_source=row.text("incumbent_source", empty=True),
    )
    row.finish()
    return bug


def _nullable(fields: Fields, name: str, take: Callable[[str], T]) -> T | None:
    return None if fields.null(name, absent=False) else take(name)


class HoldsPartition(Protocol):
    """A result, or anything else with the stage of each node of a graph; None where there is no partition."""

    @property
    def stage_of(self) -> tuple[int, ...] | None:
        """The stage of each node, in the order of the graph."""


def stages_of(result: HoldsPartition, nodes: int) -> IntArray:
    """Return the stage of each input node, ``[nodes]``; a UserError if the result holds none or too few."""
    if result.stage_of is None or len(result.stage_of) != nodes:
        raise UserError(f"stage_of is not a list of {nodes} stages")
    return np.array(result.stage_of, dtype=np.int64)
