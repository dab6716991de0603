"""What people see of the public testbed: its rows, a graph's facts, and exported files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from framework.errors import UserError
from framework.formats import BUNDLED_SCHEME, read_graph
from framework.formats.native import write_native
from framework.model.graph import ModelGraph, PhysicalCosts
from framework.report.console import open_console
from framework.report.layout import FactTable
from framework.report.numbers import UNKNOWN, percent, quantity
from framework.testbed.catalogue import bundled_graphs, subset_names
from framework.testbed.random_graphs import PREFIX
from framework.wording import counted

Row = dict[str, Any]

_LISTED = ("name", "task", "nodes", "width", "depth", "flops")
_MOST_OPERATORS = 10


def listed_rows(
    *,
    subset: str | None = None,
    tasks: Sequence[str] | None = None,
    family: str | None = None,
    min_nodes: int = 0,
    max_nodes: int | None = None,
) -> list[Row]:
    """Return the catalogue's rows that pass all filters; those of `regal-like` only if that subset is named.

    Raises
    ------
    UserError
        If there is no such subset, task area or family.
    """
    rows: list[Row]
    if subset == "regal-like":
        rows = [_generated_row(name) for name in subset_names(subset)]
    else:
        names = None if subset is None else set(subset_names(subset))
        rows = [asdict(row) for row in bundled_graphs() if names is None or row.name in names]
    for field, wanted in (("task", tasks or []), ("family", [family] if family else [])):
        known = sorted({row[field] for row in rows})
        for value in wanted:
            if value not in known:
                shown = ", ".join(known) if len(known) <= 20 else f"{', '.join(known[:20])}, ..."
                raise UserError(f"no graph here has the {field} {value!r}", hint=f"choose from {shown}")
        if wanted:
            rows = [row for row in rows if row[field] in wanted]
    return [row for row in rows if min_nodes <= row["nodes"] and (max_nodes is None or row["nodes"] <= max_nodes)]


def _generated_row(name: str) -> Row:
    graph = read_graph(f"{BUNDLED_SCHEME}{name}")
    return {
        "name": name,
        "family": name.split("-")[1],
        "task": "random",
        "source": graph.source,
        "nodes": graph.topology.n,
        "tensors": graph.topology.m,
        "sha256": graph.named_sha256(),
        "subsets": ("regal-like",),
    }


def print_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as a table, with what they add up to."""
    console = open_console()
    table = FactTable()
    for heading in _LISTED:
        if heading in ("name", "task"):
            table.texts(heading)
        else:
            table.numbers(heading)
    for row in rows:
        table.row(*(_cell(heading, row.get(heading)) for heading in _LISTED))
    if rows:
        console.print(table)
    families, tasks = {row["family"] for row in rows}, {row["task"] for row in rows}
    words = (counted(len(rows), "graph"), counted(len(families), "family"), counted(len(tasks), "task area"))
    console.print(", ".join(words))


def _cell(heading: str, value: Any) -> str:
    if value is None:
        return UNKNOWN
    return quantity(value, 3) if heading == "flops" else str(value)


def describe_graph(name: str) -> Row:
    """Return a graph's row, its remarks, and its operators by their share of the operations."""
    name = name.removeprefix(BUNDLED_SCHEME)
    graph = read_graph(f"{BUNDLED_SCHEME}{name}")
    if name.startswith(PREFIX):
        row = _generated_row(name)
    else:
        row = next(asdict(row) for row in bundled_graphs() if row.name == name)
    return row | {"remarks": list(graph.remarks), "operators": _operators(graph)}


def _operators(graph: ModelGraph) -> list[Row]:
    if not isinstance(graph.costs, PhysicalCosts):
        return []
    nodes: dict[str, int] = defaultdict(int)
    flops: dict[str, float] = defaultdict(float)
    parameters: dict[str, float] = defaultdict(float)
    costs = graph.costs
    columns = zip(graph.ops, costs.flops.tolist(), graph.parameters_of_nodes.tolist(), strict=True)
    for op, operations, size in columns:
        nodes[op] += 1
        flops[op] += operations
        parameters[op] += size
    ranked = sorted(nodes, key=lambda op: (-flops[op], -nodes[op], op))
    return [
        {"operator": op, "nodes": nodes[op], "flops": flops[op], "parameter_bytes": parameters[op]} for op in ranked
    ]


def print_description(facts: Mapping[str, Any]) -> None:
    """Print what `describe_graph` returned."""
    console = open_console()
    table = FactTable()
    table.texts("fact", "value", most=100)
    for field, value in facts.items():
        if field not in ("remarks", "operators"):
            table.row(field, ", ".join(value) if isinstance(value, tuple) else UNKNOWN if value is None else f"{value}")
    console.print(table)
    operators = facts["operators"]
    total = sum(row["flops"] for row in operators)
    if operators:
        table = FactTable("operators")
        table.texts("operator")
        table.numbers("nodes", "operations", "parameter bytes")
        for row in operators[:_MOST_OPERATORS]:
            share = percent(row["flops"] / total) if total else UNKNOWN
            table.row(row["operator"], str(row["nodes"]), share, quantity(row["parameter_bytes"]))
        console.print(table)
        if len(operators) > _MOST_OPERATORS:
            console.print(f"and {len(operators) - _MOST_OPERATORS} more")
    for remark in facts["remarks"]:
        console.print(f"note: {remark}", style="yellow")


def export_graphs(names: Sequence[str], *, subset: str | None, output: Path, plain: bool) -> Iterator[Path]:
    """Write graphs as native files and yield their paths.

    Raises
    ------
    UserError
        If nothing is named, there is no such graph, or a file cannot be written.
    """
    chosen = [name.removeprefix(BUNDLED_SCHEME) for name in names]
    if subset is not None:
        chosen += subset_names(subset)
    if not chosen:
        raise UserError("no graph is named", hint="give names, or --subset")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot be made: {error.strerror or error}", where=str(output)) from None
    for name in dict.fromkeys(chosen):
        path = output / f"{name}.graph.json{'' if plain else '.gz'}"
        write_native(read_graph(f"{BUNDLED_SCHEME}{name}"), path)
        yield path
