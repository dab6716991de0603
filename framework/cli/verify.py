"""`pipebound verify`: believe nothing, check everything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from framework.cli import options as opt
from framework.cli.graph_options import read_graph_of
from framework.report.escape import terminal


def command(
    result_file: Annotated[Path, typer.Argument(metavar="RESULT", help="A file that `solve -o` wrote.")],
    graph: Annotated[str | None, typer.Option("--graph", help="The graph; the path in the result by default.")] = None,
    format: Annotated[
        str | None, typer.Option("--format", help="Input format of the graph; that in the result by default.")
    ] = None,
    dim: Annotated[
        list[str] | None,
        typer.Option("--dim", help="Value of a symbolic ONNX dimension, NAME=VALUE; those in the result by default."),
    ] = None,
    allow_unproven: Annotated[
        bool, typer.Option("--allow-unproven", help="Exit with 0 where nothing is false, but a bound has no proof.")
    ] = False,
    proof: Annotated[
        Path | None, typer.Option("--proof", help="A log that `solve --proof` wrote: replay it, step by step.")
    ] = None,
    plugin: opt.PluginOption = None,
    json_output: opt.JsonOption = False,
) -> None:
    """Derive everything that a result claims again, from the graph alone, and compare it exactly.

    The partition is priced again, every certificate is checked again. Exits with 1 if anything is false, with 4 if
    nothing is, but the dual bound has no certificate that proves it, and with 2 if the file cannot be read.
    """
    from framework.portfolio.portfolio_file import load_entries
    from framework.portfolio.reading import read_result_document
    from framework.portfolio.verification import verify_document
    from framework.report.verification import print_verification

    plugins = opt.plugin_paths(plugin)
    load_entries(plugins)
    document = read_result_document(result_file)
    origin = document["graph"]
    model = read_graph_of(origin, result_file, graph=graph, format=format, dims=dim, plugin_files=plugins)
    logged, steps = [], list[str]()
    if proof is not None:
        from framework.portfolio.logs.read import proof_in
        from framework.portfolio.reading import as_result

        checked, steps = proof_in(proof, as_result(document, str(result_file)), model)
        logged = [checked]
    found = verify_document(document, model, logged)
    if json_output:
        typer.echo(json.dumps([check.as_dict() for check in found.checks], indent=1))
    else:
        for line in steps:
            typer.echo(terminal(line))
        print_verification(found)
    if found.failed:
        raise typer.Exit(1)
    if found.unproven and not allow_unproven:
        raise typer.Exit(4)
