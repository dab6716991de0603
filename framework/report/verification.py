"""Checking a result file: from the graph alone, believing nothing else in the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from framework.bounds import Certificate, Interval
from framework.contracts import CertificateChecker
from framework.errors import UserError
from framework.fields import Fields
from framework.model.device import Device, read_device
from framework.model.exact import Rounding, exact_stage_costs
from framework.model.graph import ModelGraph, PhysicalCosts
from framework.model.pricing import quantise
from framework.model.problem import Partition, Problem, check_limit, stage_costs
from framework.portfolio.constraints import Constraints, constrain, on_instance
from framework.portfolio.result import Result, bounds_of, rounding_row, stage_rows, stages_of
from framework.portfolio.values import Values
from framework.registry import EntrySpec, registry


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
        False where the claim has no certificate and had to be left as it is.
    detail
        What was found.
    """

    what: str
    passed: bool
    detail: str
    checked: bool = True

    def as_dict(self) -> dict[str, Any]:
        """Return the check as JSON-compatible data."""
        return asdict(self)


def verify_result(result: Result, graph: ModelGraph) -> list[Check]:
    """Check graph, partition, stage costs, interval and certificates of a result.

    Raises
    ------
    UserError
        If the file is too damaged to check (no device for a physical graph, no list of stages).
    """
    document = result.document
    checks = [_check_graph(result, graph)]
    constraints = Constraints.from_dict(document.get("constraints"))
    device = _device(graph, document)
    quantised = quantise(graph, device)
    instance = constrain(quantised.instance, graph, constraints, result.stages)
    problem = Problem(instance=instance, stages=result.stages)
    scale = float(document["ticks_per_unit"])
    checks.append(
        Check(
            what="ticks per unit",
            passed=scale == instance.ticks_per_unit and document["unit"] == instance.unit,
            detail=f"{instance.ticks_per_unit:g} per {instance.unit}, the file says {scale:g} per {document['unit']}",
        )
    )
    priced: int | None = None
    if document.get("status") == "infeasible":
        checks.append(_check_infeasible(result, problem))
    if document["stage_of"] is not None:
        partition_checks, priced = _check_partition(result, problem, graph.topology.n)
        checks += partition_checks
    if priced is not None and document.get("rounding") is not None:
        checks += _check_values(result, graph, device, quantised.rounding)
    checks += _check_bounds(result, problem, priced)
    return checks


def print_verification(checks: Sequence[Check]) -> None:
    """Print one row a check and the verdict."""
    console = Console()
    table = Table(show_header=True)
    table.add_column("")
    table.add_column("claim")
    table.add_column("finding", overflow="fold")
    for check in checks:
        mark = (
            "[green]ok[/]"
            if check.passed and check.checked
            else "[yellow]open[/]"
            if check.passed
            else "[red]FAILED[/]"
        )
        table.add_row(mark, check.what, check.detail)
    console.print(table)
    failed = sum(not check.passed for check in checks)
    unchecked = sum(not check.checked for check in checks)
    if failed:
        console.print(f"{failed} of {len(checks)} checks failed.", style="bold red", highlight=False)
    else:
        rest = f"; {unchecked} claims carry no certificate and rest on their source" if unchecked else ""
        console.print(f"{len(checks) - unchecked} checks passed{rest}.", style="green", highlight=False)


def _check_graph(result: Result, graph: ModelGraph) -> Check:
    claimed, actual = str(result.document["graph"].get("sha256")), graph.sha256()
    same = claimed == actual
    detail = f"sha256 {actual[:16]}..." if same else f"sha256 is {actual[:16]}..., the file says {claimed[:16]}..."
    return Check(what="the graph is the one that was solved", passed=same, detail=detail)


def _device(graph: ModelGraph, document: Any) -> Device | None:
    if not isinstance(graph.costs, PhysicalCosts):
        return None
    stored = document.get("device")
    if not isinstance(stored, dict):
        raise UserError("the result names no device, and the graph needs one", where=graph.source)
    return read_device(Fields(stored, "the result", "device"))


def _check_partition(result: Result, problem: Problem, nodes: int) -> tuple[list[Check], int | None]:
    what = "the partition is valid and costs what the file says"
    of_input = stages_of(result, nodes)
    # The instance numbers its nodes topologically, and may have anchors besides.
    stage, apart = on_instance(problem, of_input)
    if apart is not None:
        detail = f"it separates nodes that the constraints keep together, or moves a pinned one: node {apart}"
        return [Check(what=what, passed=False, detail=detail)], None
    try:
        costs = stage_costs(problem, Partition(stage_of=stage))
        check_limit(problem, Partition(stage_of=stage))
    except ValueError as error:
        return [Check(what=what, passed=False, detail=str(error))], None
    claimed = result.incumbent_ticks
    same = claimed == costs.bottleneck
    found = f"bottleneck {costs.bottleneck} ticks" if same else f"{costs.bottleneck} ticks, the file says {claimed}"
    return [Check(what=what, passed=same, detail=found)], costs.bottleneck


def _check_infeasible(result: Result, problem: Problem) -> Check:
    instance, dual = problem.instance, result.dual_ticks
    what = "no partition obeys the constraints"
    if (
        instance.stage_limit is None
        or dual is None
        or dual <= instance.largest_cost
        or result.incumbent_ticks is not None
    ):
        return Check(what=what, passed=False, detail="the bounds in the file do not say so")
    detail = f"a stage costs at most {instance.largest_cost} ticks, the dual bound is {dual}"
    return Check(what=what, passed=True, detail=detail)


def _check_values(result: Result, graph: ModelGraph, device: Device | None, rounding: Rounding) -> list[Check]:
    """Derive all values in the unit again from a partition that was found valid, in rational numbers."""
    document = result.document
    costs = exact_stage_costs(graph, device, stages_of(result, graph.topology.n), result.stages)
    values = Values.of(Interval(dual=result.dual_ticks, incumbent=result.incumbent_ticks), rounding, costs)
    expected = {
        "rounding": rounding_row(rounding),
        "dual_bound": values.dual_bound,
        "incumbent": values.incumbent,
        "relative_gap": values.relative_gap,
        "ratio": values.ratio,
        "stage_costs": stage_rows(costs),
    }
    return [
        Check(
            what=f"{name} in the unit of the graph",
            passed=document.get(name) == value,
            detail="as derived again"
            if document.get(name) == value
            else f"{value}, the file says {document.get(name)}",
        )
        for name, value in expected.items()
    ]


def _check_bounds(result: Result, problem: Problem, incumbent: int | None) -> list[Check]:
    bounds = bounds_of(result)
    best = max((value for value, *_ in bounds), default=None)
    checks = [
        Check(
            what="the dual bound is the best of the bounds listed",
            passed=best == result.dual_ticks,
            detail=f"{best} ticks" if best == result.dual_ticks else f"{best} ticks, the file says {result.dual_ticks}",
        )
    ]
    if incumbent is not None and best is not None:
        checks.append(
            Check(
                what="no dual bound exceeds the partition",
                passed=best <= incumbent,
                detail=f"{best} <= {incumbent}" if best <= incumbent else f"{best} > {incumbent}",
            )
        )
    problems = _problems_by_digest(problem, bounds)
    for value, source, soundness, certificate in bounds:
        checks.append(_check_certificate(value, source, soundness, certificate, problems))
    return checks


def _problems_by_digest(
    problem: Problem, bounds: Sequence[tuple[int, str, str, Certificate | None]]
) -> dict[str, Problem]:
    """The original problem, the reduced one if some certificate speaks of another instance, both without limits too."""
    problems = {posed.instance.sha256(): posed for posed in (problem.without_limit(), problem)}
    digests = {certificate.instance for *_, certificate in bounds if certificate is not None}
    if digests - set(problems):
        from framework.structure.reductions import reduce_exact

        reduced = Problem(instance=reduce_exact(problem.instance), stages=problem.stages)
        problems |= {posed.instance.sha256(): posed for posed in (reduced.without_limit(), reduced)}
    return problems


def _check_certificate(
    value: int, source: str, soundness: str, certificate: Certificate | None, problems: dict[str, Problem]
) -> Check:
    what = f"dual bound {value} of {source} ({soundness})"
    if certificate is None:
        return Check(what=what, passed=True, checked=False, detail="no certificate: rests on its source")
    problem = problems.get(certificate.instance)
    if problem is None:
        return Check(what=what, passed=False, detail="its certificate speaks of another instance")
    checker = registry.create(EntrySpec(certificate.kind))
    if not isinstance(checker, CertificateChecker):
        return Check(what=what, passed=False, detail=f"{certificate.kind} cannot check certificates")
    try:
        proved = checker.check(problem, certificate)
    except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as error:
        return Check(what=what, passed=False, detail=f"the certificate proves nothing: {error}")
    if proved < value:
        return Check(what=what, passed=False, detail=f"the certificate proves {proved} only")
    return Check(what=what, passed=True, detail=f"re-checked: the certificate proves {proved}")
