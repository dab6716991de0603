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
    """Check that an entry's bounds are true and its certificates valid, that it stops in time and repeats a seed.

    Exits with 1 if anything fails.
    """
    from framework.portfolio.compilation import compile_beforehand, names_for
    from framework.portfolio.members import Member
    from framework.portfolio.portfolio_file import load_entries
    from framework.report.conformance import print_checks
    from framework.report.console import status_line
    from framework.report.live import compilation_display
    from framework.signals import Interrupt
    from framework.testing.conformance import run_conformance

    load_entries(plugin_paths(plugin))
    # Some checks hold the entry against a deadline.
    with Interrupt().watch() as interrupt, compilation_display() as tell:
        compile_beforehand(names_for([Member(entry=entry)]), tell, lambda: interrupt.happened)
    if interrupt.happened:
        typer.echo("pipebound: interrupted; what is compiled is kept", err=True)
        raise typer.Exit(130)
    with status_line(entry, quiet=json_output) as say:
        checks = run_conformance(entry, seeds=seeds, say=say)
    if json_output:
        typer.echo(json.dumps([asdict(check) for check in checks], indent=1))
    else:
        print_checks(entry, seeds, checks)
    if not all(check.passed for check in checks):
        raise typer.Exit(1)
