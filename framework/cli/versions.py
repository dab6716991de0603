"""`pipebound versions`: what is installed."""

from __future__ import annotations

import json

import typer

from framework.cli.options import JsonOption


def command(json_output: JsonOption = False) -> None:
    """Print the versions of pipebound, its dependencies and the interpreter."""
    from framework.environment import environment

    rows = environment()
    if json_output:
        typer.echo(json.dumps(rows, indent=1))
        return
    for name, value in rows.items():
        typer.echo(f"{name:12} {value}")
