"""The command line: one file a command, no logic of its own."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer

from framework import __version__
from framework.cli.quick_command import QuickCommand, QuickGroup
from framework.cli.spelling import with_options
from framework.errors import UserError
from framework.input_files import LIMIT_VARIABLE, size_limit
from framework.report.escape import short_words, terminal
from framework.signals import EXIT_CODE, Interrupted

_COMMANDS = {
    name: name
    for name in (
        "solve",
        "compare",
        "check",
        "new",
        "list",
        "inspect",
        "testbed",
        "judge",
        "verify",
        "profile",
        "split",
        "convert",
        "pipeline",
        "refine",
        "recommend",
        "versions",
        "warm",
        "study",
    )
} | {"list": "listing"}
"""The modules of this package by the commands that they are, in the order in which they are listed."""


def application(names: Sequence[str] = tuple(_COMMANDS)) -> typer.Typer:
    """Return the command line with the commands of these names; to build all takes a tenth of a second."""
    made = typer.Typer(
        name="pipebound",
        cls=QuickGroup,
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        help="Split a neural network into pipeline stages, and prove how good the split is.",
    )
    made.callback()(for_all_commands)
    for name in names:
        module = import_module(f"{__name__}.{_COMMANDS[name]}")
        if hasattr(module, "app"):
            made.add_typer(module.app, name=name)
        else:
            made.command(name, cls=QuickCommand)(module.command)
    return made


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["app"] = application()
    return globals()["app"]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pipebound {__version__}")
        raise typer.Exit


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
        # Options of all commands may come first, and a name that is none has to be compared with all that there are.
        names = sys.argv[1:2] if sys.argv[1:] and sys.argv[1] in _COMMANDS else tuple(_COMMANDS)
        return int(application(names)(standalone_mode=True) or 0)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))


def _name_failed_plugins() -> None:
    """Name the packages whose plugins failed to load, whatever the command was; without them others still work."""
    registry = sys.modules.get("framework.registry")
    if registry is None or sys.stderr.closed:
        return
    for fault in registry.plugin_faults():
        print(f"pipebound: warning: {terminal(fault)}", file=sys.stderr)
