"""`pipebound testbed`: the bundled graphs of real models, the generated ones, and the records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from framework.cli.options import JsonOption
from framework.errors import UserError
from framework.report.escape import terminal

app = typer.Typer(
    no_args_is_help=True, help="List, describe and export the graphs of the public testbed, and show their records."
)

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


@app.command()
def records(
    only_open: Annotated[
        bool, typer.Option("--open", help="Only pairs that are not proven optimal, or have no record.")
    ] = False,
    graph: Annotated[list[str] | None, typer.Option("--graph", help="Only this graph; repeatable.")] = None,
    stages: Annotated[
        list[int] | None, typer.Option("-k", "--stages", help="Only this number of stages; repeatable.")
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV on standard output and nothing else.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Show the best known partition and dual bound of each graph, with what the bound rests on, who and when."""
    from framework.report.records.rows import as_csv, record_rows
    from framework.report.records.table import print_records

    if csv and json_output:
        raise UserError("--csv and --json exclude each other", hint="drop one")
    rows = record_rows(graph or [], stages or [], only_open=only_open)
    if json_output:
        typer.echo(json.dumps([row.as_dict() for row in rows], indent=1))
    elif csv:
        typer.echo("\n".join(terminal(line) for line in as_csv(rows).splitlines()))
    else:
        print_records(rows)


@app.command()
def submit(
    results: Annotated[list[Path], typer.Argument(metavar="RESULT...", help="Files that `solve -o` wrote.")],
    proof: Annotated[
        Path | None, typer.Option("--proof", help="The proof log of the only result, by `solve --proof`.")
    ] = None,
    credit: Annotated[str, typer.Option("--credit", help="Name to be kept beside what is better.")] = "",
    patch: Annotated[
        Path | None,
        typer.Option("--patch", help="Write a patch to this file; otherwise the records of a checkout are changed."),
    ] = None,
) -> None:
    """Verify results, and put what is better than the records into them, or into a patch of them.

    A partition is priced again. A dual bound counts only if its certificate is checked again here, or if a proof log is
    replayed; what a result merely states does not count. Exits with 1 if a result is false.
    """
    from framework.cli.options import check_outputs
    from framework.portfolio.portfolio_file import load_entries
    from framework.records.submission import submit as submit_results
    from framework.report.records.table import print_submission

    check_outputs([patch], [*results, proof])
    load_entries(())
    found = submit_results(results, proof=proof, credit=credit, patch=patch)
    print_submission(found)
    if found.is_false:
        raise typer.Exit(1)
