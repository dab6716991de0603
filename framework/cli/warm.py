"""`pipebound warm`: compile every kernel now, so that no budget is spent on it later."""

from __future__ import annotations

import time

import typer


def command() -> None:
    """Compile all kernels, once after installation; takes a minute or two the first time, seconds later."""
    from rich.console import Console

    from framework.portfolio.warm import warm_entries

    console = Console(stderr=True)
    started = time.monotonic()
    with console.status("compiling") as status:
        count = warm_entries(lambda name: status.update(f"compiling {name}"))
    typer.echo(f"{count} entries are compiled ({time.monotonic() - started:.1f} s).", err=True)
