"""Reading result files: every field of the document has its type and its words, or there is one error that names it.

What the fields say is not believed here: `pipebound verify` derives it again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from framework.bounds import Limit, Reason, Soundness
from framework.errors import UserError
from framework.fields import REQUIRED, Fields, check_values, shown
from framework.formats.document import read_document
from framework.model.device import read_device
from framework.model.instance import MAX_STAGES
from framework.portfolio.constraints import read_constraints
from framework.portfolio.result import FORMAT, STATUSES, VERSION, Result

PARTS = ("work", "in", "out", "overflow", "total")
"""Fields of a stage's costs."""

MOST_TICKS = (1 << 63) - 1
"""Ticks are 64-bit integers."""


def read_result(path: str | Path) -> Result:
    """Read a result file.

    Raises
    ------
    UserError
        If it is missing, is not JSON, is not a pipebound-result of a known version, or if a field is missing, unknown,
        or of another type or word than it may be.
    """
    fields = read_document(path, format=FORMAT, version=VERSION, mend="give a file that `pipebound solve -o` wrote")
    _check(fields)
    return Result(fields.everything())


def as_result(document: object, where: str) -> Result:
    """Return a result that stands inside another file, the store of a study for instance; checked as `read_result`."""
    fields = Fields(document, where)
    version = fields.value("version")
    if fields.value("format") != FORMAT or type(version) is not int or version != VERSION:
        raise UserError(f"not a {FORMAT} of version {VERSION}", where=where)
    check_values(document, where)
    _check(fields)
    return Result(fields.everything())


def _check(top: Fields) -> None:
    _check_graph(top.table("graph"))
    if not top.null("device", absent=False):
        read_device(top.table("device"))
    stages = top.integer("stages", least=1, most=MAX_STAGES)
    top.text("portfolio")
    # Earlier versions wrote no rounding, and the first ones neither constraints nor what broke a limit.
    of_today = top.has("rounding")
    if not top.null("constraints", absent=not of_today):
        read_constraints(top.table("constraints"))
    top.text("unit", empty=True)
    if not top.number("ticks_per_unit", least=0.0) > 0.0:
        raise top.error("ticks_per_unit", "0 is no scale")
    if not top.null("rounding"):
        _check_rounding(top.table("rounding"))
    for name in ("dual_bound", "incumbent", "relative_gap", "ratio"):
        _nullable(top, name, top.number)
    for name in ("dual_bound_ticks", "incumbent_ticks"):
        _nullable(top, name, lambda key: top.integer(key, least=0, most=MOST_TICKS))
    top.choice("status", STATUSES)
    termination = top.table("termination")
    _check_ending(termination)
    termination.finish()
    if not top.null("stage_of", absent=False):
        top.integer_list("stage_of", least=0, most=stages - 1)
    if top.has("node_names"):
        top.texts("node_names")
    if not top.null("node_ids"):
        for name, value in top.entries("node_ids"):
            if type(value) not in (int, str):
                raise top.error(name, f"{shown(value)} is no id", "give an integer or a text")
    for row in top.rows("stage_costs"):
        for part in PARTS:
            row.number(part)
        row.finish()
    for row in top.rows("bounds"):
        _check_bound(row)
    _nullable(top, "incumbent_source", lambda key: top.text(key, empty=True))
    for name, value in top.entries("trajectory"):
        _check_point(top, name, value)
    _check_run(top, of_today)
    top.finish()


def _check_graph(graph: Fields) -> None:
    graph.text("name", empty=True)
    graph.text("sha256")
    graph.integer("nodes", least=1)
    for name in ("path", "format"):
        if not graph.null(name):
            graph.text(name, empty=True)
    dims = graph.table("dims")
    for name in dims.everything():
        dims.integer(name, least=0)
    for name in ("training", "drop_unused"):
        graph.flag(name, False)
    graph.finish()


def _check_rounding(rounding: Fields) -> None:
    rounding.flag("exact")
    for name in ("stage_ticks", "parameter_ticks", "capped_tensors"):
        rounding.integer(name, least=0)
    rounding.finish()


def _check_ending(row: Fields) -> None:
    reason = row.choice("reason", Reason)
    limit = None if row.null("limit", absent=False) else row.choice("limit", Limit)
    if (reason == Reason.LIMIT) != (limit is not None):
        raise row.error("limit", f"{shown(limit)} does not go with the reason {reason}")
    row.text("detail", empty=True)


def _check_bound(row: Fields) -> None:
    row.text("source")
    row.choice("kind", ["dual"])
    row.number("value", least=0.0)
    row.integer("ticks", least=0, most=MOST_TICKS)
    row.choice("soundness", Soundness)
    row.number("seconds", least=0.0)
    if not row.null("certificate", absent=False):
        certificate = row.table("certificate")
        certificate.text("kind")
        certificate.text("instance", empty=True)
        certificate.table("data", REQUIRED)
        certificate.finish()
    row.finish()


def _check_point(top: Fields, name: str, value: Any) -> None:
    if not isinstance(value, list) or len(value) != 4:
        raise top.error(name, f"{shown(value)} is no list of seconds, dual bound, incumbent and source")
    point = top.inner(name, dict(zip(("seconds", "dual", "incumbent", "source"), value, strict=True)))
    point.number("seconds", least=0.0)
    _nullable(point, "dual", point.number)
    _nullable(point, "incumbent", point.number)
    point.text("source", empty=True)


def _check_run(top: Fields, of_today: bool) -> None:
    """Check what tells how the run went: members, faults, environment."""
    if not top.null("presolve", absent=False):
        presolve = top.table("presolve")
        presolve.integer("nodes", least=1)
        presolve.integer("tensors", least=0)
        presolve.text("sha256")
        presolve.finish()
    for row in top.rows("members"):
        row.text("name")
        row.text("entry")
        row.number("seconds", least=0.0)
        _check_ending(row)
        _nullable(row, "peak_bytes", lambda key, row=row: row.integer(key, least=0))  # type: ignore[misc]
        row.table("details", REQUIRED)
        row.finish()
    for row in top.rows("faults"):
        row.text("member")
        row.text("detail", empty=True)
        row.finish()
    over_limit = top.table("over_limit", REQUIRED if of_today else None)
    for name in over_limit.everything():
        over_limit.integer(name, least=1)
    for row in top.rows("contradictions"):
        row.text("source")
        row.integer("dual_bound_ticks", least=0, most=MOST_TICKS)
        row.integer("incumbent_ticks", least=0, most=MOST_TICKS)
        row.text("incumbent_source", empty=True)
        row.finish()
    top.texts("remarks")
    top.integer("seed", least=None)
    top.number("budget_seconds", least=0.0)
    top.number("seconds", least=0.0)
    top.table("environment", REQUIRED)


def _nullable(fields: Fields, name: str, take: Callable[[str], object]) -> None:
    if not fields.null(name, absent=False):
        take(name)
