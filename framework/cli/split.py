"""`pipebound split`: from a model and a result to one file per stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from framework.cli import options as opt


def command(
    model: Annotated[Path, typer.Argument(help="An .onnx or .pt2 file.", show_default=False)],
    result: Annotated[Path, typer.Argument(help="A file that `solve -o` wrote.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the stages.", show_default=False)],
    graph: Annotated[
        str | None, typer.Option("--graph", help="The graph that was solved; by default the result's.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw the graph, coloured by stage (.svg, .png, .pdf).")
    ] = None,
    dim: opt.DimOption = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the weights of a model that has none.")] = 0,
    keep_unused: Annotated[
        bool, typer.Option("--keep-unused", help="Ship nodes that no result of the model depends on.")
    ] = False,
    force: opt.ForceOption = False,
    plugin: opt.PluginOption = None,
    json_output: opt.JsonOption = False,
) -> None:
    """Write one valid ONNX file, or one program of torch.export, per stage, and a manifest of the tensors between them.

    RESULT may be of the model itself or of a profile of it. Every ONNX stage is checked by onnx.checker, and loaded by
    onnxruntime where that is installed; weights are streamed, never all in memory. Stages of a torch program are run
    with its example inputs, and must return what it returns. A folder that holds an earlier split of the same model is
    replaced at the end, when all is well; files that are no stages stay.
    """
    opt.load_plugins(plugin)
    from framework.formats.torch.export.files import is_program
    from framework.portfolio.reading import read_result
    from framework.report.console import status_line
    from framework.report.deployment import print_split
    from framework.signals import unwinding

    opt.check_plot(plot)
    opt.check_outputs([plot], [model, result, graph])
    needed = [Path(path) for path in (result, graph) if path is not None]
    dims = opt.parse_dims(dim)
    with unwinding(), status_line("splitting", quiet=json_output) as say:
        if is_program(model):
            opt.refuse_for_programs({"--seed": seed, "--keep-unused": keep_unused})
            from framework.deploy.split.assignment import assign
            from framework.deploy.torch.model import open_torch_model
            from framework.deploy.torch.split import split_program

            program = open_torch_model(model, dims)
            assignment = assign(program, read_result(result), graph_path=graph, dims=dims)
            if assignment.dims != program.dims:
                # The result is of other sizes than the example inputs, and so is what is compared.
                program = open_torch_model(model, assignment.dims)
            stages, predicted = assignment.stage_of, assignment.predicted
            manifest = split_program(program, stages, output, predicted=predicted, force=force, inputs=needed, say=say)
        else:
            from framework.deploy.onnx_model import open_model
            from framework.deploy.split.assignment import assign
            from framework.deploy.split.split import split_model

            opened = open_model(model)
            assignment = assign(opened, read_result(result), graph_path=graph, dims=dims)
            manifest = split_model(
                opened,
                assignment.stage_of,
                output,
                dims=assignment.dims,
                predicted=assignment.predicted,
                seed=seed,
                keep_unused=keep_unused,
                force=force,
                inputs=needed,
                say=say,
            )
    if plot is not None:
        from framework.report.plots.graph import draw_graph, node_names

        instance, placed = assignment.priced()
        names = node_names(instance, assignment.graph.node_names)
        draw_graph(instance, plot, title=assignment.graph.name, names=names, stage_of=placed)
    if json_output:
        typer.echo(json.dumps(manifest.document, indent=1))
    else:
        print_split(manifest)
