"""Options that several commands share, and the units people write."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from framework.errors import UserError
from framework.output_files import is_special
from framework.report.escape import terminal
from framework.units import parse_bytes
from framework.units import parse_seconds as seconds_of

if TYPE_CHECKING:  # numpy would triple the time of `pipebound --help`
    from framework.deploy.runtime import Optimization
    from framework.portfolio.constraints import Constraints

GraphArgument = Annotated[
    str, typer.Argument(help="A graph file (see `pipebound list formats`), or testbed:NAME.", show_default=False)
]
GraphsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="GRAPH...",
        help="A graph file (see `pipebound list formats`), or testbed:NAME; several are solved one after the other.",
        show_default=False,
    ),
]
StagesOption = Annotated[
    list[int] | None,
    typer.Option(
        "-k", "--stages", help="Number of stages; repeat for several. Default: that of --devices.", show_default=False
    ),
]
FormatOption = Annotated[
    str | None, typer.Option("--format", help="Input format; detected from the content if absent.")
]
DimOption = Annotated[
    list[str] | None,
    typer.Option("--dim", help="Size of an open dimension, NAME=VALUE; of torch programs INPUT.AXIS=VALUE."),
]
TrainingOption = Annotated[
    bool, typer.Option("--training", help="Costs of a training step: backward pass, gradients, activations kept.")
]
MicrobatchesOption = Annotated[
    int | None,
    typer.Option(
        "--microbatches",
        min=1,
        help="With --training: microbatches of a step. Default: as many as stages or more.",
        show_default=False,
    ),
]
OptimizerStatesOption = Annotated[
    int | None,
    typer.Option(
        "--optimizer-states",
        min=0,
        help="With --training: values that the optimizer keeps for each parameter. Default: 2, as Adam.",
        show_default=False,
    ),
]
DropUnusedOption = Annotated[
    bool, typer.Option("--drop-unused", help="ONNX: nodes that no output depends on cost nothing.")
]
KvTokensOption = Annotated[
    str | None,
    typer.Option("--kv-tokens", help="Tokens whose keys and values attention keeps: 4096, or 8*4096 for 8 sequences."),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device",
        "--devices",
        help="Device preset or .toml file; `reference` where one is needed. For unequal stages one for each, in order: "
        "2*edge-tpu,xeon-8380.",
    ),
]
BandwidthOption = Annotated[
    str | None, typer.Option("--bandwidth", help="Link bandwidth in bytes per second; overrides the device's.")
]
LinkLatencyOption = Annotated[
    str | None,
    typer.Option("--link-latency", help="Time that each tensor handed over costs beside its bytes: 5us, 0.2ms."),
]
FastMemoryOption = Annotated[
    str | None, typer.Option("--fast-memory", help="Fast memory per stage in bytes; overrides the device's.")
]
ActivationsOption = Annotated[
    bool,
    typer.Option("--activations", help="Count state and the largest working set of a stage towards its fast memory."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on standard output and nothing else.")]
PluginOption = Annotated[
    list[Path] | None,
    typer.Option("--plugin", help="A Python file with entries, a format, or operators of torch programs; repeatable."),
]
PortfolioOption = Annotated[
    list[Path] | None, typer.Option("--portfolio", help="A TOML file with portfolios of your own; repeatable.")
]
WithOption = Annotated[
    str | None,
    typer.Option(
        "--with",
        help="Portfolio, formulation or strategy, as name:param=value; several with commas. Default: the one of "
        "--portfolio, or `default`.",
        show_default=False,
    ),
]
GapOption = Annotated[float, typer.Option("--gap", min=0.0, help="Stop at this relative gap.")]
ResultOption = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="Write the result to this JSON file; those of several graphs to this folder."),
]
ResultPlotOption = Annotated[
    Path | None, typer.Option("--plot", help="Draw the stages and the gap over time (.svg, .png, .pdf).")
]
ProofOption = Annotated[
    Path | None,
    typer.Option("--proof", help="Write a log that `python -m framework.proof` checks to this file (.json, .json.xz)."),
]
BudgetOption = Annotated[str, typer.Option("--budget", help="Time for each number of stages: 30s, 2m, 500ms.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of every random choice.")]
WorkersOption = Annotated[int | None, typer.Option("--workers", min=1, help="Processes at a time; default: all cores.")]
MemoryOption = Annotated[str | None, typer.Option("--memory", help="Memory limit of each member: 4GiB.")]
SameStageOption = Annotated[
    list[str] | None, typer.Option("--same-stage", help="Nodes that share a stage, A,B,... or a JSON list; repeatable.")
]
WholeModulesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--whole-modules", help="Modules that stay in one stage, by a pattern of their paths: layers.*; repeatable."
    ),
]
LayersOption = Annotated[
    list[str] | None,
    typer.Option(
        "--layers",
        help="Modules that are layers, by a pattern of their paths; repeatable. Default: elements of lists.",
    ),
]
NoCutOption = Annotated[
    list[str] | None, typer.Option("--no-cut", help="A node whose results may not leave its stage; repeatable.")
]
PinOption = Annotated[
    list[str] | None, typer.Option("--pin", help="A node and its stage, NODE=STAGE, counted from 0; repeatable.")
]
MemoryLimitOption = Annotated[
    str | None,
    typer.Option(
        "--memory-limit",
        help="The most that a stage may hold, 8GiB: parameters, state, largest working set; a hard limit, no streaming",
    ),
]
KeepFusedOption = Annotated[
    bool, typer.Option("--keep-fused", help="Profiles: cut nothing that onnxruntime ran as one operator.")
]
AnyOrderOption = Annotated[
    bool, typer.Option("--any-order", help="With --devices: the devices may stand in any order.")
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Replace the stages of another model, or files of stages without a manifest.")
]
ExplainOption = Annotated[
    bool,
    typer.Option(
        "--explain",
        help="Say what binds the slowest stage and what the bound rests on; solve what-if rows, --budget for each.",
    ),
]
NodesOption = Annotated[bool, typer.Option("--nodes", help="List the nodes of each stage, the first few of many.")]
AllNodesOption = Annotated[bool, typer.Option("--all-nodes", help="List all nodes of each stage.")]
StartOption = Annotated[
    Path | None,
    typer.Option(
        "--start", help="An earlier result whose partition to start from, or testbed-record: the best known one."
    ),
]
PresolveOption = Annotated[bool, typer.Option("--presolve/--no-presolve", help="Apply exact reductions first.")]
OptimizationOption = Annotated[
    str, typer.Option("--optimization", help="How far onnxruntime rewrites graphs: none, basic, extended, all.")
]


def parse_optimization(text: str) -> Optimization:
    """Read a level of onnxruntime's graph optimisation."""
    from framework.deploy.runtime import Optimization

    try:
        return Optimization(text)
    except ValueError:
        raise UserError(
            f"there is no --optimization {text!r}", hint=f"choose one of {', '.join(Optimization)}"
        ) from None


def refuse_for_programs(given: Mapping[str, object]) -> None:
    """Refuse options that mean nothing to an exported torch program: those that were given are true."""
    for name, value in given.items():
        if value:
            raise UserError(f"{name} means nothing to a torch program", hint=f"drop {name}")


def parse_dims(dims: list[str] | None) -> dict[str, int]:
    """Read ``NAME=VALUE`` texts."""
    values: dict[str, int] = {}
    for text in dims or []:
        name, equals, value = text.rpartition("=")
        if not equals or not name or not (value.isascii() and value.isdigit()):
            raise UserError(f"cannot read --dim {text!r}", hint="write --dim NAME=VALUE")
        values[name] = int(value)
    return values


def parse_tokens(text: str | None) -> int:
    """Read --kv-tokens: a number of tokens, or a number of sequences and of tokens in each; 0 for none."""
    if text is None:
        return 0
    parts = [part.strip() for part in text.split("*")]
    if len(parts) > 2 or not all(part.isascii() and part.isdigit() and len(part) < 13 and int(part) for part in parts):
        raise UserError(f"cannot read --kv-tokens {text!r}", hint="write --kv-tokens 4096, or 8*4096 for 8 sequences")
    return math.prod(map(int, parts))


def check_plot(plot: Path | None) -> None:
    """Refuse, before anything runs, a name that no figure can be written to."""
    if plot is not None:
        from framework.report.plots.canvas import check_suffix

        check_suffix(plot)


def check_outputs(outputs: Sequence[Path | None], inputs: Sequence[str | Path | None]) -> None:
    """Refuse, before anything runs, outputs that would replace an input or cannot be written where they are to be."""
    for output in outputs:
        if output is None:
            continue
        if output.is_dir():
            raise UserError("this is a folder", where=str(output), hint="give the name of a file")
        if is_special(output):
            if not os.access(output, os.W_OK):
                raise UserError("this cannot be written to", where=str(output), hint="give a file")
            continue
        if not output.absolute().parent.is_dir():
            raise UserError("there is no such folder", where=str(output.parent), hint="make it, or write elsewhere")
        if not os.access(output.absolute().parent, os.W_OK):
            raise UserError("the folder cannot be written to", where=str(output.parent), hint="write elsewhere")
        for path in inputs:
            if path is not None and output.exists() and os.path.exists(path) and os.path.samefile(output, path):
                raise UserError("this would replace what is read", where=str(output), hint="give another file")


def announce(what: str, seconds: float, *, quiet: bool) -> None:
    """Say beforehand how long a command will take at most."""
    if not quiet:
        typer.echo(terminal(f"{what}: at most {seconds:g} s (--budget)."))


def read_constraints(
    path: str,
    *,
    same_stage: list[str] | None = None,
    whole_modules: list[str] | None = None,
    no_cut: list[str] | None = None,
    keep_fused: bool = False,
    pins: list[str] | None = None,
    memory_limit: str | None = None,
) -> Constraints:
    """Read the constraints of a partition of the graph in the file `path`."""
    from framework.portfolio.constraints import Constraints

    groups = tuple(_parse_names(text) for text in same_stage or [])
    for text, group in zip(same_stage or [], groups, strict=True):
        if len(group) < 2:
            raise UserError(f"--same-stage {text!r} names fewer than two nodes", hint="write --same-stage A,B")
    if keep_fused:
        from framework.deploy.split.assignment import fused_groups

        groups += fused_groups(path)
    return Constraints(
        same_stage=groups,
        whole_modules=tuple(whole_modules or ()),
        no_cut=tuple(no_cut or ()),
        pins=tuple(_parse_pin(text) for text in pins or []),
        memory_limit=None if memory_limit is None else _parse_limit(memory_limit),
    )


def _parse_names(text: str) -> tuple[str, ...]:
    """Read names with commas between them, or a JSON list of names that hold commas themselves."""
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError):
        listed = None
    if isinstance(listed, list) and all(isinstance(name, str) for name in listed):
        return tuple(listed)
    return tuple(name for name in text.split(",") if name)


def _parse_pin(text: str) -> tuple[str, int]:
    name, equals, stage = text.rpartition("=")
    if not equals or not name or not stage.isdecimal():
        raise UserError(f"cannot read --pin {text!r}", hint="write --pin NODE=STAGE, stages counted from 0")
    return name, int(stage)


def _parse_limit(text: str) -> int:
    limit = parse_size("--memory-limit", text)
    if not limit < 1 << 60:
        raise UserError(f"--memory-limit {text!r} is more than can be counted", hint="drop it")
    return int(limit)


def memory_bytes(text: str | None) -> int | None:
    """Read --memory."""
    return None if text is None else int(parse_size("--memory", text))


def parse_size(option: str, text: str) -> float:
    """Read a size in bytes that an option is given."""
    try:
        return parse_bytes(text)
    except UserError as error:
        raise UserError(error.what, where=option, hint=error.hint) from None


def parse_seconds(text: str) -> float:
    """Read --budget."""
    try:
        return seconds_of(text)
    except UserError as error:
        raise UserError(error.what, where="--budget", hint=error.hint) from None


def load_plugins(plugins: list[Path] | None) -> None:
    """Load the files of --plugin, which may define the operators of torch programs."""
    if plugins:
        from framework.portfolio.portfolio_file import load_entries

        load_entries(plugin_paths(plugins))


def plugin_paths(plugins: list[Path] | None, portfolios: list[Path] | None = None) -> tuple[str, ...]:
    """Return absolute paths of files that register entries and portfolios."""
    for path in portfolios or []:
        if path.suffix != ".toml":
            raise UserError("portfolios stand in a .toml file", where=str(path), hint="--plugin takes Python files")
    return tuple(str(path.resolve()) for path in [*(plugins or []), *(portfolios or [])])


def choose_entry(given: str | None, portfolios: list[Path] | None, files: Sequence[str]) -> str:
    """Return what is to run: what ``--with`` says, the one portfolio of ``--portfolio``, or `default`.

    Parameters
    ----------
    files
        All files that register entries and portfolios.
    """
    if given is not None or not portfolios:
        return given or "default"
    from framework.portfolio.portfolio_file import load_entries, load_portfolio_file

    load_entries(files)
    names = [name for path in portfolios for name in load_portfolio_file(path)]
    if len(names) != 1:
        where = ", ".join(map(str, portfolios))
        raise UserError(f"there are the portfolios {', '.join(names)}", where=where, hint="choose one with --with NAME")
    return names[0]
