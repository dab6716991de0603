"""`pipebound warm`: compile every kernel now, so that no run has to wait for it later."""

from __future__ import annotations

import os
from typing import Annotated

import typer


def command(
    into_package: Annotated[
        bool,
        typer.Option(
            "--into-package", help="Keep what is compiled beside the package, for every user of it; for images."
        ),
    ] = False,
) -> None:
    """Compile all kernels on all cores; takes a minute the first time, a moment later.

    Commands that need kernels compile them by themselves before their clock starts.
    """
    from framework import kernel_cache

    if into_package:
        os.environ.pop(kernel_cache.NUMBA_VARIABLE, None)
        os.environ[kernel_cache.VARIABLE] = str(kernel_cache.package_place())
    from framework.errors import UserError
    from framework.portfolio.compilation import all_names, compile_beforehand
    from framework.portfolio.processes.fork_server import start_fork_server
    from framework.registry import load_plugins
    from framework.report.live import compilation_display
    from framework.signals import Interrupt

    start_fork_server()
    load_plugins()
    if into_package and not kernel_cache.can_write():
        raise UserError(
            "cannot write beside the package",
            where=str(kernel_cache.package_place()),
            hint="run it as the user who installed it",
        )
    names = all_names()
    with Interrupt().watch() as interrupt, compilation_display() as tell:
        failed = compile_beforehand(names, tell, lambda: interrupt.happened)
    if interrupt.happened:
        typer.echo("pipebound: interrupted; what is compiled is kept", err=True)
        raise typer.Exit(130)
    if not failed and all(map(kernel_cache.is_compiled, names)):
        kernel_cache.note_complete()
        typer.echo(f"all of {len(names)} are compiled: {kernel_cache.stamp_directory()}", err=True)
