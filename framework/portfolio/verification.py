"""Checking a result file: from the graph alone, everything in it is derived again and compared exactly.

A claim is *ok*, *failed* (something in the file is false, or contradicts something else), or *unproven*: a dual bound
without a certificate, above all that the certificates of the file prove. `NOT_CHECKED` lists what is taken as told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from framework.bounds import SIMPLE, Interval, Limit, Reason
from framework.errors import UserError
from framework.fields import Fields
from framework.model.device_chain import Devices, read_devices
from framework.model.exact import ExactStage, Rounding, exact_stage_costs
from framework.model.graph import ModelGraph, PhysicalCosts
from framework.model.memory import stage_memory
from framework.model.pricing import quantise
from framework.model.problem import Partition, Problem, check_limit, stage_costs
from framework.portfolio.constraints import Constraints, constrain, on_instance
from framework.portfolio.proofs import Proof, proofs_of
from framework.portfolio.reading import as_result, stages_of
from framework.portfolio.records import Values
from framework.portfolio.result import Result, rounding_row, stage_rows, status_of
from framework.shown import Shown
from framework.wording import counted

NOT_CHECKED = (
    *(f"graph.{name}" for name in ("name", "path", "format", "dims", "training", "drop_unused", "kv_tokens")),
    *(f"graph.{name}" for name in ("microbatches", "optimizer_states")),
    *(f"device.{name}" for name in ("name", "source")),
    "portfolio",
    "termination.detail",
    "bounds[].soundness",
    "bounds[].seconds",
    "trajectory[].seconds",
    "trajectory[] between its ends",
    "members",
    "faults[].detail",
    "over_limit",
    "remarks",
    "seed",
    "budget_seconds",
    "seconds",
    "environment",
)
"""Fields that say how a run went, or where things came from: they must have the right type, and are taken as told."""

_STARTS = (SIMPLE, "balanced", "start")
"""Sources of what a run begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was checked.

    Attributes
    ----------
    what
        The claim.
    passed
        Whether nothing speaks against it.
    checked
        False where nothing proves it either.
    detail
        What was found.
    """

    what: str
    passed: bool
    detail: str
    checked: bool = True

    @property
    def state(self) -> str:
        """``ok``, ``failed`` or ``unproven``."""
        return "failed" if not self.passed else "ok" if self.checked else "unproven"

    def as_dict(self) -> dict[str, Any]:
        """Return the check as JSON-compatible data."""
        return {**asdict(self), "state": self.state}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification(Shown):
    """What became of everything that a result claims.

    Attributes
    ----------
    checks
        In the order in which they were made.
    proofs
        What there is to say for each dual bound of the file, where the checks came to that, and for each log.
    """

    checks: tuple[Check, ...]
    proofs: tuple[Proof, ...] = ()

    def __repr__(self) -> str:
        return f"<Verification: {self.verdict}>"

    @property
    def failed(self) -> tuple[Check, ...]:
        """The claims that are false."""
        return tuple(check for check in self.checks if not check.passed)

    @property
    def unproven(self) -> tuple[Check, ...]:
        """The claims that nothing speaks against, and nothing proves."""
        return tuple(check for check in self.checks if check.passed and not check.checked)

    @property
    def verdict(self) -> str:
        """``proven``, ``unproven`` (nothing is false, but a bound has no proof) or ``false``."""
        return "false" if self.failed else "unproven" if self.unproven else "proven"

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-compatible data."""
        return {"verdict": self.verdict, "checks": [check.as_dict() for check in self.checks]}


def verify_result(result: Result, graph: ModelGraph) -> Verification:
    """Check everything that a result claims, as `verify_document` does with a file."""
    return verify_document(result.as_dict(), graph)


def verify_document(document: Mapping[str, Any], graph: ModelGraph, logged: Sequence[Proof] = ()) -> Verification:
    """Check everything that a result document claims, as it stands in a file; `logged` is what logs beside it prove.

    Raises
    ------
    UserError
        If a field is not of the type it may be, or the problem cannot be posed again (no device for a physical graph,
        constraints on nodes that the graph does not have).
    """
    proofs = list(logged)
    return Verification(checks=tuple(_checks(document, graph, proofs)), proofs=tuple(proofs))


def _checks(document: Mapping[str, Any], graph: ModelGraph, proofs: list[Proof]) -> list[Check]:
    """Make all checks; `proofs`, those of logs, are given those of certificates in front."""
    result = as_result(document, "the result")
    checks = [_check_graph(document, graph), _check_nodes(document, graph)]
    device = _device(graph, document)
    if device is None and document["device"] is not None:
        checks.append(_failed("the device", "the graph carries its own prices, and the file names a device"))
    quantised = quantise(graph, device)
    constraints = result.constraints
    instance = constrain(quantised.instance, graph, constraints, result.stages, device)
    problem = Problem(instance=instance, stages=result.stages)
    scale = _check_scale(document, quantised.rounding, problem)
    checks.append(scale)
    stage_of = None if document["stage_of"] is None else stages_of(result, graph.topology.n)
    priced: int | None = None
    costs: list[ExactStage] = []
    if stage_of is not None:
        checks.append(_check_partition(problem, stage_of, constraints))
        if not checks[-1].passed:
            return checks
        stage, _ = on_instance(problem, stage_of)
        priced = stage_costs(problem, Partition(stage_of=stage)).bottleneck
        costs = exact_stage_costs(graph, device, stage_of, result.stages, streamed=constraints.memory_limit is None)
    if not scale.checked:
        return checks
    dual = max((int(row["ticks"]) for row in document["bounds"]), default=None)
    interval = Interval(dual=dual, incumbent=priced)
    values = Values.of(interval, quantised.rounding, costs)
    checks += [
        _equal("the bottleneck in ticks", document["incumbent_ticks"], priced),
        _equal("the costs of the stages", document["stage_costs"], stage_rows(costs)),
        *_check_memory(document, graph, stage_of, result.stages),
        _equal("the best of the dual bounds, in ticks", document["dual_bound_ticks"], dual),
        *_check_values(document, values, quantised.rounding),
        _check_sides(interval),
        _check_ending(document, problem, interval, values, constraints),
        _check_trajectory(document, values),
        *_check_record(document, problem),
    ]
    proofs[:0] = proofs_of(result, problem)
    return checks + _check_bounds(proofs)


def _failed(what: str, detail: str) -> Check:
    return Check(what=what, passed=False, detail=detail)


def _equal(what: str, said: object, found: object) -> Check:
    """Compare a value of the file with the one derived, exactly: 1 is 1.0, but True is not 1."""
    if said == found:
        return Check(what=what, passed=True, detail=_short(found))
    if isinstance(said, list) and isinstance(found, list) and len(said) == len(found):
        i = next(i for i in range(len(said)) if said[i] != found[i])
        return _failed(what, f"[{i}] is {_short(found[i])}, the file says {_short(said[i])}")
    return _failed(what, f"{_short(found)}, the file says {_short(said)}")


def _short(value: object) -> str:
    if isinstance(value, list):
        return f"{len(value)} in all"
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}"[:24] for key, item in value.items())
    return "none" if value is None else str(value)[:200]


def _check_graph(document: Mapping[str, Any], graph: ModelGraph) -> Check:
    what, claimed = "the graph is the one that was solved", str(document["graph"]["sha256"])
    if graph.is_called(claimed):
        return Check(what=what, passed=True, detail=f"sha256 {claimed[:16]}...")
    return _failed(what, f"sha256 is {graph.sha256()[:16]}..., the file says {claimed[:16]}...")


def _check_nodes(document: Mapping[str, Any], graph: ModelGraph) -> Check:
    what = "number and names of its nodes"
    if document["graph"]["nodes"] != graph.topology.n:
        return _equal(what, document["graph"]["nodes"], graph.topology.n)
    if ("node_names" in document) != ("rounding" in document):
        return _failed(what, "the file has only one of the fields node_names and rounding, which came together")
    if "node_names" not in document:
        return Check(
            what=what, passed=True, detail=f"{graph.topology.n}; the file, of an earlier version, has no names"
        )
    if "node_ids" not in document or document["node_ids"] != (list(graph.node_ids) or None):
        return _failed("ids of its nodes", "they are not those of the graph")
    return _equal(what, document["node_names"], list(graph.node_names))


def _device(graph: ModelGraph, document: Mapping[str, Any]) -> Devices | None:
    if not isinstance(graph.costs, PhysicalCosts):
        return None
    if document["device"] is None:
        raise UserError("the result names no device, and the graph needs one", where=graph.source)
    return read_devices(Fields(document["device"], "the result", "device"))


def _check_scale(document: Mapping[str, Any], rounding: Rounding, problem: Problem) -> Check:
    what = "unit, ticks per unit and rounding"
    said = (document["unit"], document["ticks_per_unit"])
    found = (problem.instance.unit, rounding.ticks_per_unit)
    if "rounding" not in document and (said != found or not rounding.exact):
        detail = "an earlier version made the file, and rounded costs otherwise: solve again to have bounds checked"
        return Check(what=what, passed=True, checked=False, detail=detail)
    if said != found:
        return _failed(what, f"{found[1]:g} ticks per {found[0]}, the file says {said[1]:g} per {said[0]}")
    if "rounding" in document and document["rounding"] != rounding_row(rounding):
        return _equal(what, document["rounding"], rounding_row(rounding))
    return Check(what=what, passed=True, detail=f"{found[1]:g} per {found[0]}")


def _check_memory(
    document: Mapping[str, Any], graph: ModelGraph, stage_of: np.ndarray[Any, Any] | None, stages: int
) -> list[Check]:
    """Compare what the file says that stages hold; files of earlier versions say nothing."""
    if "stage_memory" not in document:
        return []
    held = () if stage_of is None else stage_memory(graph, stage_of, stages)
    return [_equal("what the stages hold", document["stage_memory"], [row.as_dict() for row in held])]


def _check_partition(problem: Problem, stage_of: np.ndarray[Any, Any], constraints: Constraints) -> Check:
    given = str(constraints)
    what = f"the partition is valid and obeys {given}" if given else "the partition is valid"
    # The instance numbers its nodes topologically, and may have anchors besides.
    stage, apart = on_instance(problem, stage_of)
    if apart is not None:
        return _failed(
            what, f"it separates nodes that the constraints keep together, or moves a pinned one: node {apart}"
        )
    try:
        stage_costs(problem, Partition(stage_of=stage))
        check_limit(problem, Partition(stage_of=stage))
    except ValueError as error:
        return _failed(what, str(error))
    return Check(what=what, passed=True, detail=f"{len(set(stage_of.tolist()))} of {problem.stages} stages hold nodes")


def _check_values(document: Mapping[str, Any], values: Values, rounding: Rounding) -> Iterator[Check]:
    unit = document["unit"]
    yield _equal(f"the dual bound in {unit}", document["dual_bound"], values.dual_bound)
    yield _equal(f"the bottleneck in {unit}", document["incumbent"], values.incumbent)
    yield _equal("the relative gap", document["relative_gap"], values.relative_gap)
    yield _equal("the ratio", document["ratio"], values.ratio)
    said = [row["value"] for row in document["bounds"]]
    yield _equal(f"all dual bounds in {unit}", said, [rounding.lower(row["ticks"]) for row in document["bounds"]])


def _check_sides(interval: Interval) -> Check:
    what = "no dual bound exceeds the partition"
    if interval.dual is None or interval.incumbent is None:
        return Check(what=what, passed=True, detail="one of them is not known")
    passed = interval.dual <= interval.incumbent
    return Check(what=what, passed=passed, detail=f"{interval.dual} {'<=' if passed else '>'} {interval.incumbent}")


def _check_ending(
    document: Mapping[str, Any], problem: Problem, interval: Interval, values: Values, constraints: Constraints
) -> Check:
    """Check status and termination, which say whether the interval is closed or empty."""
    what, ending = "status and termination", document["termination"]
    reason, limit = ending["reason"], ending["limit"]
    limited, largest = problem.instance.stage_limit is not None, problem.instance.largest_cost
    infeasible = limited and interval.dual is not None and interval.dual > largest
    status = status_of(
        closed=interval.closed and values.within_rounding,
        infeasible=infeasible,
        reason=Reason(reason),
        limit=None if limit is None else Limit(limit),
        found=interval.incumbent is not None,
    )
    if document["status"] != status:
        return _failed(what, f"{status}, the file says {document['status']}")
    possible = {Reason.INTERRUPTED, Reason.LIMIT, Reason.OPTIMAL if interval.closed else Reason.FINISHED}
    possible |= {Reason.INFEASIBLE} if infeasible else set()
    if Reason(reason) not in possible or limit not in (None, Limit.TIME, Limit.GAP):
        return _failed(what, f"a run with this interval does not end as {reason}" + (f" ({limit})" if limit else ""))
    if infeasible:
        detail = f"no partition obeys {constraints}: the dual bound is {interval.dual}, a stage at most {largest}"
        passed = interval.incumbent is None
        return Check(what=what, passed=passed, detail=detail if passed else f"{detail}, and yet there is a partition")
    return Check(what=what, passed=True, detail=status)


def _check_trajectory(document: Mapping[str, Any], values: Values) -> Check:
    """Check that both sides only ever improved, one at a time, up to where they are, by who says so elsewhere."""
    what = "the interval over time"
    points, contradicted = document["trajectory"], bool(document["contradictions"])
    sources = {row["source"] for row in document["bounds"]}
    before: tuple[Any, Any] = (None, None)
    movers: dict[int, str | None] = {0: None, 1: None}
    since = 0.0
    for i, (seconds, dual, incumbent, source) in enumerate(points):
        moved = [side for side in (0, 1) if (dual, incumbent)[side] != before[side]]
        if 0 in moved and not contradicted and source not in sources:
            return _failed(what, f"point {i} is a bound of {source}, which is not among the bounds")
        worse = (before[0] is not None and (dual is None or dual < before[0])) or (
            before[1] is not None and (incumbent is None or (incumbent > before[1] and values.within_rounding))
        )
        crossed = dual is not None and incumbent is not None and dual > incumbent
        if seconds < since or crossed or (not contradicted and (worse or len(moved) != 1)):
            return _failed(what, f"point {i} does not follow from the one before it")
        movers.update(dict.fromkeys(moved, source))
        before, since = (dual, incumbent), seconds
    if before != (values.dual_bound, values.incumbent):
        return _failed(what, "its last point is not the interval")
    if not contradicted:
        best = document["bounds"][0]["source"] if document["bounds"] else None
        for who, said in ((movers[0], best), (movers[1], document["incumbent_source"])):
            if who != said:
                return _failed(what, f"{said} is said to have moved it last, but it was {who}")
    return Check(what=what, passed=True, detail=counted(len(points), "point"))


def _check_record(document: Mapping[str, Any], problem: Problem) -> Iterator[Check]:
    """Check what the file says of the run against itself, and the reduced instance against the reductions."""
    what, names = "names of sources and members", [member["name"] for member in document["members"]]
    known = {*_STARTS, *names}
    sources = [row["source"] for row in document["bounds"]]
    order = [row["ticks"] for row in document["bounds"]]
    named = [*sources, *(point[3] for point in document["trajectory"]), *document.get("over_limit", ())]
    named += [row["member"] for row in document["faults"]]
    named += [] if document["incumbent_source"] is None else [document["incumbent_source"]]
    strangers = [name for name in named if name not in known]
    if strangers:
        yield _failed(what, f"{strangers[0]} is no member of the run")
    elif SIMPLE not in sources and not document["contradictions"]:
        yield _failed(what, f"the bound {SIMPLE}, which every run begins with, is missing")
    elif len(set(names)) < len(names) or len(set(sources)) < len(sources):
        yield _failed(what, "one is there twice")
    elif order != sorted(order, reverse=True):
        yield _failed(what, "the bounds do not begin with the best")
    else:
        yield Check(what=what, passed=True, detail=counted(len(names), "member"))
    faults = [member["name"] for member in document["members"] if member["reason"] == Reason.FAULT]
    listed = [row["member"] for row in document["faults"]]
    yield _equal("members that failed", listed[: len(faults)], faults)
    if document["contradictions"]:
        row = document["contradictions"][0]
        detail = (
            f"{row['source']} claimed {row['dual_bound_ticks']} ticks, above a partition of {row['incumbent_ticks']}"
        )
        yield _failed("the run contradicted itself", detail)
    yield _check_presolve(document, problem)


def _check_presolve(document: Mapping[str, Any], problem: Problem) -> Check:
    what, said = "the reduced instance", document["presolve"]
    done = any(row["name"] == "presolve" and row["reason"] == Reason.FINISHED for row in document["members"])
    if said is None:
        return (
            _failed(what, "presolve ended, and the file does not say with what")
            if done
            else Check(what=what, passed=True, detail="there is none")
        )
    from framework.structure.reduction.dominance import reduce_exact

    reduced = reduce_exact(problem.instance, load_kernels=False)
    return _equal(what, said, {"nodes": reduced.n, "tensors": reduced.m, "sha256": reduced.sha256()})


def _check_bounds(proofs: list[Proof]) -> list[Check]:
    """Say of each dual bound whether it is proven; a bound below a proven one is proven as well."""
    proven = [proof for proof in proofs if proof.proved is not None]
    best = max(proven, key=lambda proof: proof.proved or 0, default=None)
    checks = []
    for proof in proofs:
        what = str(proof)
        if proof.fault:
            checks.append(_failed(what, proof.fault))
        elif proof.proved is not None:
            checks.append(Check(what=what, passed=True, detail=f"the {proof.by} proves {proof.proved}"))
        elif proof.claimed is not None and best is not None and proof.claimed <= (best.proved or 0):
            detail = f"{proof.unread or 'no certificate'}; follows from {best.proved} of {best.source}"
            checks.append(Check(what=what, passed=True, detail=detail))
        else:
            detail = f"not independently checked: {proof.unread or 'no certificate'}"
            checks.append(Check(what=what, passed=True, checked=False, detail=detail))
    return checks
