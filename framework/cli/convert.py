"""`pipebound convert`: write a partition in the words of another tool."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from framework.cli import options as opt
from framework.cli.graph_options import read_graph_of
from framework.errors import UserError
from framework.report.escape import terminal

KINDS = "split-spec, fqn-per-stage, device-map, vllm, megatron, deepspeed, csv, dot, onnx, html"


def command(
    result_file: Annotated[Path, typer.Argument(metavar="RESULT", help="A file that `solve -o` wrote.")],
    to: Annotated[str, typer.Option("--to", help=f"What to write: {KINDS}.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write; by default text goes to standard output.")
    ] = None,
    layers: opt.LayersOption = None,
    graph: Annotated[str | None, typer.Option("--graph", help="The graph; the path in the result by default.")] = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="onnx: the model to write the stages into, if a profile was solved.")
    ] = None,
    format: Annotated[
        str | None, typer.Option("--format", help="Input format of the graph; that in the result by default.")
    ] = None,
    dim: Annotated[
        list[str] | None,
        typer.Option("--dim", help="Value of a symbolic ONNX dimension, NAME=VALUE; those in the result by default."),
    ] = None,
    plugin: opt.PluginOption = None,
) -> None:
    """Write the partition of RESULT for another tool: PyTorch, accelerate, vLLM, Megatron, DeepSpeed; or as a picture.

    Layouts of modules need cuts between modules: solve with --whole-modules. A cut inside a module is refused by its
    name. A node outside of all modules that the tool would run elsewhere is named on standard error, with what that
    costs. html writes a page of the graph and its stages for a browser, onnx the model with the standard's own fields.
    """
    from framework.api.convert import convert
    from framework.portfolio.portfolio_file import load_entries
    from framework.portfolio.reading import as_result, read_result_document

    plugins = opt.plugin_paths(plugin)
    load_entries(plugins)
    opt.check_outputs([output], [result_file, graph, model])
    document = read_result_document(result_file)
    result = as_result(document, str(result_file))
    if to in ("onnx", "html") and output is None:
        raise UserError(f"{to} is a file", where="--to", hint=f"give -o FILE.{to}")
    if to == "onnx":
        from framework.deploy.annotation import annotate

        path = model or document["graph"].get("path")
        if path is None:
            raise UserError("the result names no model", where=str(result_file), hint="give --model FILE.onnx")
        if Path(path).suffix == ".pt2":
            raise UserError(
                "a program of torch.export has no field for stages",
                where=str(path),
                hint="`pipebound split` writes a program for each stage; --to split-spec is for PyTorch's pipelines",
            )
        assert output is not None
        annotate(Path(path), result, output, graph_path=graph, dims=opt.parse_dims(dim))
        return
    from framework.output_files import write_text

    read = read_graph_of(document["graph"], result_file, graph=graph, format=format, dims=dim, plugin_files=plugins)
    written = convert(result, to, read, layers=tuple(layers or ()))
    if output is None:
        # A file of the tool holds names as they are; a terminal is spared what they may do to it.
        lines = written.text.split("\n")
        typer.echo("\n".join(terminal(line) for line in lines) if sys.stdout.isatty() else written.text, nl=False)
    else:
        write_text(output, written.text)
    for remark in written.remarks:
        typer.echo(terminal(f"note: {remark}"), err=True)
