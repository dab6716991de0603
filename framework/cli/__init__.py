"""The command line: one file a command, no logic of its own."""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated

import typer

from framework import __version__
from framework.cli import (
    check,
    compare,
    convert,
    inspect,
    judge,
    listing,
    new,
    pipeline,
    profile,
    recommend,
    refine,
    solve,
    split,
    study,
    testbed,
    verify,
    versions,
    warm,
)
from framework.cli.spelling import with_options
from framework.errors import UserError
from framework.input_files import LIMIT_VARIABLE, size_limit
from framework.report.escape import short_words, terminal
from framework.signals import EXIT_CODE, Interrupted

app = typer.Typer(
    name="pipebound",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Split a neural network into pipeline stages, and prove how good the split is.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pipebound {__version__}")
        raise typer.Exit


@app.callback()
def for_all_commands(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    max_input: Annotated[
        str | None,
        typer.Option(
            "--max-input",
            help="The most bytes a file may have, packed or unpacked: 16GB. Default: 4GB.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Options of every command; child processes inherit them through the environment."""
    if max_input is not None:
        os.environ[LIMIT_VARIABLE] = max_input
        size_limit()


app.command("solve")(solve.command)
app.command("compare")(compare.command)
app.command("check")(check.command)
app.command("new")(new.command)
app.command("list")(listing.command)
app.command("inspect")(inspect.command)
app.add_typer(testbed.app, name="testbed")
app.command("judge")(judge.command)
app.command("verify")(verify.command)
app.command("profile")(profile.command)
app.command("split")(split.command)
app.command("convert")(convert.command)
app.command("pipeline")(pipeline.command)
app.command("refine")(refine.command)
app.command("recommend")(recommend.command)
app.command("versions")(versions.command)
app.command("warm")(warm.command)
app.add_typer(study.app, name="study")


def run() -> int:
    """Run the application and return its exit code; a `UserError` is one line on standard error and 2."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the stream's encoding lacks is shown by its number; it must not end the command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run()
        sys.stdout.flush()
    except UserError as error:
        print(f"pipebound: {terminal(short_words(with_options(str(error))))}", file=sys.stderr)
        return 2
    except (Interrupted, KeyboardInterrupt):
        print("pipebound: interrupted", file=sys.stderr)
        return EXIT_CODE
    except OSError as error:
        # What is left in the buffer would fail again when the process closes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if isinstance(error, BrokenPipeError):
            # The reader of a pipe went away (`pipebound list | head`); nobody is left to tell.
            return 1
        print(f"pipebound: {terminal(str(error))}", file=sys.stderr)
        return 2
    finally:
        _name_failed_plugins()
    return code


def _run() -> int:
    try:
        return int(app(standalone_mode=True) or 0)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))


def _name_failed_plugins() -> None:
    """Name the packages whose plugins failed to load, whatever the command was; without them others still work."""
    registry = sys.modules.get("framework.registry")
    if registry is None or sys.stderr.closed:
        return
    for fault in registry.plugin_faults():
        print(f"pipebound: warning: {terminal(fault)}", file=sys.stderr)
