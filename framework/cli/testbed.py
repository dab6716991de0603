"""`pipebound testbed`: the bundled graphs of real models, and the generated ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from framework.cli.options import JsonOption
from framework.report.escape import terminal

app = typer.Typer(no_args_is_help=True, help="List, describe and export the graphs of the public testbed.")

SubsetOption = Annotated[
    str | None,
    typer.Option("--subset", help="smoke, core, full, training, or the generated regal-like.", show_default=False),
]
TaskOption = Annotated[
    list[str] | None, typer.Option("--task", help="Only this task area; repeat for several.", show_default=False)
]
FamilyOption = Annotated[str | None, typer.Option("--family", help="Only this family.", show_default=False)]
MinNodesOption = Annotated[int, typer.Option("--min-nodes", min=0, help="Only graphs with at least so many nodes.")]
MaxNodesOption = Annotated[
    int | None, typer.Option("--max-nodes", min=0, help="Only graphs with at most so many nodes.", show_default=False)
]


@app.command("list")
def list_graphs(
    subset: SubsetOption = None,
    task: TaskOption = None,
    family: FamilyOption = None,
    min_nodes: MinNodesOption = 0,
    max_nodes: MaxNodesOption = None,
    json_output: JsonOption = False,
) -> None:
    """List graphs by name, with their sizes; a graph is read by `testbed:NAME` wherever a file is."""
    from framework.report.testbed import listed_rows, print_rows

    rows = listed_rows(subset=subset, tasks=task, family=family, min_nodes=min_nodes, max_nodes=max_nodes)
    if json_output:
        typer.echo(json.dumps(rows, indent=1))
    else:
        print_rows(rows)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Name of a graph, with or without testbed:.", show_default=False)],
    json_output: JsonOption = False,
) -> None:
    """Show what is known of a graph, and which operators it consists of."""
    from framework.report.testbed import describe_graph, print_description

    facts = describe_graph(name)
    if json_output:
        typer.echo(json.dumps(facts, indent=1))
    else:
        print_description(facts)


@app.command()
def export(
    names: Annotated[list[str] | None, typer.Argument(help="Names of graphs.", show_default=False)] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write to; made if absent.")] = Path(),
    subset: SubsetOption = None,
    plain: Annotated[bool, typer.Option("--plain", help="Do not compress.")] = False,
) -> None:
    """Write graphs as native graph files, NAME.graph.json.gz."""
    from framework.report.testbed import export_graphs

    for path in export_graphs(names or [], subset=subset, output=output, plain=plain):
        typer.echo(terminal(str(path)))
