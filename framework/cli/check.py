"""`pipebound check`: the conformance suite on one entry."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from framework.cli.options import JsonOption, PluginOption, plugin_paths


def command(
    entry: Annotated[str, typer.Argument(help="A formulation or strategy, name:param=value.")],
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Number of random small problems.")] = 60,
    plugin: PluginOption = None,
    json_output: JsonOption = False,
) -> None:
    """Run the conformance suite: true bounds, honest certificates, deadline, cancelling, seeds, edge cases.

    Exits with 1 if anything fails.
    """
    from rich.console import Console
    from rich.table import Table

    from framework.registry import load_plugin_file, load_plugins
    from framework.testing.conformance import run_conformance

    load_plugins()
    for path in plugin_paths(plugin):
        load_plugin_file(path)
    with Console(stderr=True, quiet=json_output).status(entry) as status:
        checks = run_conformance(entry, seeds=seeds, say=status.update)
    if json_output:
        typer.echo(json.dumps([asdict(check) for check in checks], indent=1))
    else:
        table = Table(title=f"{entry}, {seeds} random problems", title_justify="left")
        for heading in ("", "check", "time", "detail"):
            table.add_column(heading, overflow="fold")
        for check in checks:
            mark = "[green]ok[/]" if check.passed else "[red]FAILED[/]"
            table.add_row(mark, check.name, f"{check.seconds:.2f} s", check.detail)
        Console().print(table)
    if not all(check.passed for check in checks):
        raise typer.Exit(1)
