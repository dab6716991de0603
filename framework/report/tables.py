"""Tables of results for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from framework.bounds import Soundness
from framework.model.device_chain import DeviceChain, Devices
from framework.portfolio.records import NOTEWORTHY, BoundRecord
from framework.portfolio.result import Result
from framework.report.console import open_console, styled
from framework.report.escape import terminal
from framework.report.layout import FactTable
from framework.report.numbers import percent, quantity, ratio, scaled_unit, seconds
from framework.wording import counted

OVERRUN_SHARE, OVERRUN_SECONDS = 1.1, 0.5
"""A run that takes longer than this times its budget and so many seconds is said to."""

_MOST_NAMES = 8
_NAMES_WIDTH = 100
_STATUS_STYLE = {"optimal": "green", "gap_reached": "green", "interrupted": "red", "infeasible": "red"}


def print_results(
    results: Sequence[Result],
    *,
    names: Sequence[str] = (),
    everything: bool = False,
    console: Console | None = None,
) -> None:
    """Print one row a run, then, for a single run, its stages, and what went wrong in any.

    Parameters
    ----------
    names
        Names of the graph's nodes, to list those of each stage; empty to list none.
    everything
        Whether to list all nodes of a stage, however many.
    console
        What to print on; standard output by default.
    """
    console = console or open_console()
    first = results[0]
    console.print(_summary_table(results))
    if len(results) == 1 and first.stage_costs:
        console.print(_stage_table(results[0]))
    for result in results if names else []:
        if result.stage_of is not None:
            console.print(_node_table(result, names, everything))
    for result in results:
        if len(results) == 1 or result.status == "infeasible":
            console.print(verdict(result))
    for line in notes(results):
        console.print(line, style="yellow")


def verdict(result: Result) -> str:
    """Say in one sentence how good the partition is."""
    unit, factor = _unit_of(result)
    gap, k = shown_gap(result), result.stages
    into = counted(k, "stage")
    if result.status == "infeasible":
        return f"Infeasible for k = {k}: {result.termination.detail}."
    dual, incumbent = result.dual_bound, result.incumbent
    given = str(result.constraints)
    if given:
        into += f" that obeys {given}"
    if incumbent is None and given:
        return f"No partition into {into} was found, and none was ruled out: give it more time."
    if gap is None or dual is None or incumbent is None:
        return "No statement is possible: one side of the interval is unknown."
    best = f"{quantity(incumbent * factor)} {unit}"
    if result.status == "optimal" and len(result.stage_of or ()) == 1:
        return f"The graph is one node, which cannot be split: every partition has the bottleneck {best}."
    if result.status == "optimal":
        return f"Proven optimal: no partition into {into} has a bottleneck below {best}."
    least = f"{quantity(dual * factor)} {unit}"
    return (
        f"The bottleneck is {best}; no partition into {into} gets below {least}, "
        f"so at most {percent(gap)} can still be gained."
    )


def shown_gap(result: Result) -> float | None:
    """Return the relative gap; 0 for an optimal partition whose bound differs by what rounding to ticks may cost."""
    gap = result.relative_gap
    return 0.0 if gap is not None and gap <= NOTEWORTHY and result.status == "optimal" else gap


def notes(results: Sequence[Result]) -> list[str]:
    """Return contradictions, faults and the reader's remarks, each once."""
    lines: list[str] = []
    for result in results:
        for bug in result.contradictions:
            lines.append(
                f"CONTRADICTION at k = {result.stages}: {bug.source} claimed {bug.ticks} ticks, above "
                f"the verified {bug.incumbent_ticks} of {bug.incumbent_source}. Please report this as a bug."
            )
        lines += [f"k = {result.stages}: {fault.member}: {fault.detail}" for fault in result.faults]
        lines += [f"k = {result.stages}: {_overrun(result)}"] if _overrun(result) else []
        lines += [f"note: {remark}" for remark in result.remarks]
    return list(dict.fromkeys(lines))


def _overrun(result: Result) -> str:
    """Say by how much a run took longer than its budget allows; empty if it did not."""
    budget = result.budget
    if result.seconds <= OVERRUN_SHARE * budget + OVERRUN_SECONDS:
        return ""
    return f"the run took {seconds(result.seconds)}, {seconds(result.seconds - budget)} more than its budget"


def _unit_of(result: Result) -> tuple[str, float]:
    return scaled_unit(result.unit, result.incumbent or result.dual_bound or 0.0)


def _summary_table(results: Sequence[Result]) -> FactTable:
    first = results[0]
    unit, factor = _unit_of(next((result for result in results if result.incumbent_ticks is not None), results[0]))
    device = first.device
    priced = "its own prices" if device is None else f"device {device.name}{with_latency(device)}"
    nodes = counted(first.graph.nodes, "node")
    table = FactTable(f"{first.graph.name}: {nodes}, {priced}, values in {unit}")
    table.numbers("k")
    table.texts("status")
    table.numbers("dual bound", "incumbent", "gap", "ratio", "time")
    table.texts("bound by", "found by")
    for result in results:
        dual, incumbent = result.dual_bound, result.incumbent
        best = result.bounds[:1]
        table.row(
            str(result.stages),
            styled(result.status.replace("_", " "), _STATUS_STYLE.get(result.status, "yellow")),
            quantity(None if dual is None or result.status == "infeasible" else dual * factor),
            quantity(None if incumbent is None else incumbent * factor),
            percent(shown_gap(result)),
            ratio(1.0 if shown_gap(result) == 0 else result.ratio),
            seconds(result.seconds),
            with_soundness(best[0]) if best else "-",
            str(result.incumbent_source or "-"),
        )
    return table


def with_latency(device: Devices) -> str:
    """Say what a device charges for each tensor beside its bytes, and whether activations count.

    Empty where that is nothing, or differs by stage.
    """
    if isinstance(device, DeviceChain):
        return ""
    latency = f"{quantity(1e6 * device.link_latency)} us a tensor" if device.link_latency else ""
    said = [text for text in (latency, "activations in its fast memory" if device.activations else "") if text]
    return f" with {' and '.join(said)}" if said else ""


def with_soundness(bound: BoundRecord) -> str:
    """Name what proved a bound, and why to believe it unless it is exact arithmetic of our own."""
    return bound.source if bound.soundness is Soundness.EXACT else f"{bound.source} ({bound.soundness})"


def _stage_table(result: Result) -> FactTable:
    unit, factor = _unit_of(result)
    table = FactTable(f"stages, in {unit}")
    chain = result.device if isinstance(result.device, DeviceChain) else None
    table.numbers("stage")
    if chain is not None:
        table.texts("device")
    table.numbers("nodes", "work", "in", "out", "overflow", "total", "of bottleneck")
    rows, held = result.stage_costs, result.stage_memory
    if held:
        table.numbers("holds, MB", "peak, MB")
    sizes = [0] * len(rows)
    for stage in result.stage_of or ():
        sizes[stage] += 1
    largest = max(row.total for row in rows) or 1.0
    empty = sizes.count(0)
    if empty:
        table.caption = counted(empty, "more stage is empty", "more stages are empty")
    for b, row in enumerate(rows):
        if not sizes[b]:
            continue
        values = [quantity(value * factor, 5) for value in row.as_dict().values()]
        style = "bold" if row.total == largest else ""
        memory = [quantity(nbytes / 1e6, 4) for nbytes in (held[b].resident, held[b].peak)] if held else []
        runs_on = [] if chain is None else [chain.devices[b].name]
        table.row(str(b), *runs_on, str(sizes[b]), *values, f"{100 * row.total / largest:.1f}%", *memory, style=style)
    return table


def _node_table(result: Result, names: Sequence[str], everything: bool) -> FactTable:
    """Return a table of the nodes in each stage that has any."""
    members: dict[int, list[str]] = {}
    for name, stage in zip(names, result.stage_of or (), strict=True):
        members.setdefault(stage, []).append(name)
    table = FactTable(f"nodes of the stages, k = {result.stages}")
    table.numbers("stage", "nodes")
    table.texts("names", most=_NAMES_WIDTH)
    for stage, found in sorted(members.items()):
        shown = found if everything or len(found) <= _MOST_NAMES else found[: _MOST_NAMES - 1]
        more = f" and {len(found) - len(shown):,} more" if len(shown) < len(found) else ""
        table.row(str(stage), str(len(found)), ", ".join(shown) + more)
    if not everything and any(len(found) > _MOST_NAMES for found in members.values()):
        table.caption = "--all-nodes lists all; the result file (-o) names every node"
    return table


_LINE_HEADINGS = ("k", "status", "dual bound", "incumbent", "unit", "gap", "time")
_LINE_WIDTHS = (5, 12, 12, 12, 6, 9, 9)
"""Columns of what stands between the name of a graph and who proved and found it; nothing in them is longer."""


class Lines:
    """The lines of runs on several graphs, in columns; who prints them cleans them (`framework.report.escape`).

    Parameters
    ----------
    graphs
        What the graphs are called, all of them: the first column is as wide as the longest.
    """

    def __init__(self, graphs: Sequence[str]) -> None:
        self._width = max(len(terminal(name)) for name in ("graph", *graphs))

    def heading(self) -> str:
        """Return the line above all others."""
        return self._line("graph", _LINE_HEADINGS, "bound by, found by")

    def of(self, graph: str, result: Result) -> str:
        """Return the line of a run."""
        unit, factor = scaled_unit(result.unit, result.incumbent or result.dual_bound or 0.0)
        dual, incumbent = result.dual_bound, result.incumbent
        by = with_soundness(result.bounds[0]) if result.bounds else "-"
        cells = (
            str(result.stages),
            result.status.replace("_", " "),
            quantity(None if dual is None or result.status == "infeasible" else dual * factor),
            quantity(None if incumbent is None else incumbent * factor),
            unit,
            percent(shown_gap(result)),
            seconds(result.seconds),
        )
        return self._line(terminal(graph), cells, f"{by}, {result.incumbent_source or '-'}")

    def _line(self, name: str, cells: Sequence[str], sources: str) -> str:
        columns = [cell.rjust(width) for cell, width in zip(cells, _LINE_WIDTHS, strict=True)]
        return "  ".join([name.ljust(self._width), *columns, sources])
