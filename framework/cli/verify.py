"""`pipebound verify`: believe nothing, check everything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from framework.cli import options as opt
from framework.errors import UserError


def command(
    result_file: Annotated[Path, typer.Argument(metavar="RESULT", help="A file that `solve -o` wrote.")],
    graph: Annotated[str | None, typer.Option("--graph", help="The graph; the path in the result by default.")] = None,
    plugin: opt.PluginOption = None,
    json_output: opt.JsonOption = False,
) -> None:
    """Re-price the partition of a result from the graph alone and re-check every certificate that can be.

    Exits with 1 if anything fails.
    """
    from framework.portfolio.reading import read_result
    from framework.registry import load_plugin_file, load_plugins
    from framework.report.verification import print_verification, verify_result

    load_plugins()
    for path in opt.plugin_paths(plugin):
        load_plugin_file(path)
    result = read_result(result_file)
    origin = result.document["graph"]
    path = graph or origin.get("path")
    if path is None:
        raise UserError("the result names no graph file", where=str(result_file), mend="give --graph FILE")
    dims = [f"{name}={value}" for name, value in origin.get("dims", {}).items()]
    model, _ = opt.read_input(path, format=origin.get("format"), dims=dims, training=origin.get("training", False))
    checks = verify_result(result, model)
    if json_output:
        typer.echo(json.dumps([check.as_dict() for check in checks], indent=1))
    else:
        print_verification(checks)
    if not all(check.passed for check in checks):
        raise typer.Exit(1)
