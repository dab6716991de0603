"""`split` of exported programs: a file of `torch.export.save` for each stage, and a manifest.

Each stage is exported once more, saved and loaded, and then run with the example inputs, on what the stages before it
returned: a split is only written if its results are those of the unsplit program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import fx

from framework.deploy.pipeline.compare import Difference
from framework.deploy.split.folder import check_target, replacing
from framework.deploy.split.manifest import FORMAT, VERSION, Manifest
from framework.deploy.torch.equality import compare_results
from framework.deploy.torch.model import TorchModel
from framework.deploy.torch.pipeline import Unsplit, as_array
from framework.deploy.torch.stages import Stage, cut_program, returned_tensors, value_names
from framework.errors import UserError
from framework.formats.torch.export.files import load, quietly
from framework.formats.torch.export.program import Program, unlifted
from framework.formats.torch.values import address
from framework.wording import counted


def split_program(
    model: TorchModel,
    stage_of: Sequence[int],
    folder: Path,
    *,
    predicted: Mapping[str, Any] | None = None,
    force: bool = False,
    inputs: Sequence[Path] = (),
    complete: Callable[[Manifest], Manifest] = lambda manifest: manifest,
    say: Callable[[str], None] = lambda text: None,
) -> Manifest:
    """Write the stages of a partition to a folder, check them, and return the manifest.

    Parameters
    ----------
    stage_of
        Stage of each node of the model graph.
    folder
        New, empty, or with an earlier split of the same model (which is replaced).
    predicted
        What the partition is thought to cost, for the manifest.
    force
        Replace the stages of another model too.
    inputs
        Files besides the model that must not be replaced.
    complete
        Adds files and fields to the split before it is moved to its place.
    say
        Told what is being done.

    Raises
    ------
    UserError
        If the folder holds something else, the partition does not fit, torch cannot export a stage, or the stages
        return something else than the program.
    """
    origin = model.path.absolute()
    target = check_target(folder, origin, inputs=[*inputs, model.path], force=force)
    stages = cut_program(model.program, stage_of)
    unsplit = Unsplit(model)
    with replacing(target) as temporary:
        writer = _Writer(model, temporary, say)
        rows = [writer.write(stage) for stage in stages]
        document = _document(model, stages, rows, unsplit, writer.remarks)
        document["predicted"] = None if predicted is None else dict(predicted)
        _check_equal(compare_results(model.program, writer.values, unsplit.expected), str(model.path))
        manifest = complete(Manifest(folder=temporary, document=document))
        manifest.write()
    return replace(manifest, folder=folder)


class _Writer:
    """Exports stage after stage, each with what those before it returned."""

    def __init__(self, model: TorchModel, folder: Path, say: Callable[[str], None]) -> None:
        self.remarks: list[str] = []
        self.values: dict[str, Any] = {}
        self._folder, self._say, self._program = folder, say, model.program
        self._feed = model.feed()
        self._shapes = {name: call.meta.get("val") for call, name in value_names(model.program).items()}
        self._tensors: dict[str, torch.Tensor] = {}

    def write(self, stage: Stage) -> dict[str, Any]:
        """Write a stage, run it from its file, and return its row of the manifest."""
        self._say(f"stage {stage.number}: {counted(len(stage.nodes), 'node')}")
        path = self._folder / f"stage{stage.number}.pt2"
        fed = [self._feed[i] for i in stage.fed]
        given = [*fed, *(self._tensors[name] for name in stage.received)]
        names = [*(self._program.inputs[i].name for i in stage.fed), *stage.received]
        shapes = [_open_dimensions(self._shapes[name]) for name in names]
        try:
            with torch.no_grad(), quietly():
                dynamic = tuple(shapes) if any(shapes) else None
                exported = torch.export.export(stage.module, tuple(given), dynamic_shapes=_named(stage, dynamic))
                torch.export.save(exported, path)
                loaded = unlifted(load(path))
                results = loaded(*given)
        except UserError:
            raise
        except Exception as error:  # whatever torch raises
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserError(f"torch cannot export the stage: {reason}", where=path.name) from error
        self._note_fixed_sizes(stage, exported, shapes)
        self._tensors |= dict(zip(stage.outputs, results, strict=True))
        self.values |= {name: as_array(value) for name, value in zip(stage.outputs, results, strict=True)}
        return {
            "stage": stage.number,
            "file": path.name,
            "weights_file": None,
            "weight_bytes": sum(_held_bytes(stage.module).values()),
            "nodes": list(stage.nodes),
            "copies": [],
            "left_out": [],
            "inputs": names,
            "outputs": list(stage.outputs),
        }

    def _note_fixed_sizes(self, stage: Stage, exported: Any, shapes: Sequence[Mapping[int, Any]]) -> None:
        placeholders = [node for node in exported.graph.nodes if node.op == "placeholder"][-len(shapes) :]
        for node, opened in zip(placeholders, shapes, strict=True) if shapes else ():
            sizes = getattr(node.meta.get("val"), "shape", ())
            if any(isinstance(sizes[dim], int) for dim in opened):
                self.remarks.append(f"stage {stage.number} runs at the sizes of the example inputs only")
                return


def _named(stage: Stage, dynamic: tuple[Any, ...] | None) -> dict[str, Any] | None:
    if dynamic is None:
        return None
    inputs = [node.name for node in stage.module.graph.nodes if node.op == "placeholder"]
    return dict(zip(inputs, dynamic, strict=True))


def _open_dimensions(value: Any) -> dict[int, Any]:
    """Return the dimensions of a value that have no fixed size, for torch.export."""
    if not isinstance(value, torch.Tensor):
        return {}
    return {i: torch.export.Dim.AUTO for i, size in enumerate(value.shape) if not isinstance(size, int)}


def _check_equal(found: Difference, where: str) -> None:
    if not found.equal:
        raise UserError(
            f"the stages return something else than the program: {found.name!r} differs by {found.worst:.1e}, more "
            f"than {found.allowed:.1e}",
            where=where,
            hint="report this, with the program",
        )


def _document(
    model: TorchModel, stages: Sequence[Stage], rows: Sequence[dict[str, Any]], unsplit: Unsplit, remarks: list[str]
) -> dict[str, Any]:
    program = model.program
    values = {name: call for call, name in value_names(program).items()}
    taken = {name for row in rows for name in row["inputs"]}
    maker = {name: row["stage"] for row in rows for name in row["outputs"]}
    inputs = {call.name for call in program.inputs}
    return {
        "format": FORMAT,
        "version": VERSION,
        "runtime": "torch",
        "torch": torch.__version__,
        "model": {
            "path": str(model.path.absolute()),
            "weights": "stored",
            "dims": dict(model.dims),
            "source": str(model.path.absolute()),
        },
        "inputs": [
            _described(name, values[name]) | {"stages": [row["stage"] for row in rows if name in row["inputs"]]}
            for name in (call.name for call in program.inputs)
        ],
        "outputs": [
            _described(name, values[name]) | {"stage": maker.get(name)}
            for name in dict.fromkeys(name for name, _ in unsplit.expected)
        ],
        "results": _results(program),
        "stages": list(rows),
        "empty_stages": [],
        "tensors": [
            _described(name, values[name])
            | {
                "bytes": unsplit.bytes_of(name),
                "from": stage,
                "to": [row["stage"] for row in rows if name in row["inputs"]],
            }
            for name, stage in maker.items()
            if name in taken and name not in inputs
        ],
        "shared_weights": _shared_weights(stages),
        "remarks": remarks,
    }


def _described(name: str, call: fx.Node) -> dict[str, Any]:
    value = call.meta.get("val")
    if not isinstance(value, torch.Tensor):
        return {"name": name, "dtype": type(value).__name__, "shape": []}
    shape = [size if isinstance(size, int) else str(size) for size in value.shape]
    return {"name": name, "dtype": str(value.dtype).removeprefix("torch."), "shape": shape}


def _results(program: Program) -> list[Any]:
    """Return what the program returns, flat: names of values, and null for what is no tensor."""
    names = value_names(program)
    tensors = set(returned_tensors(program))
    return [names[leaf] if isinstance(leaf, fx.Node) and leaf in tensors else None for leaf in program.results]


def _held_bytes(module: fx.GraphModule) -> dict[int, int]:
    """Return the sizes of the storages that a stage holds, by their addresses."""
    held = [tensor for _, tensor in (*module.named_parameters(), *module.named_buffers())]
    return {address(tensor): int(tensor.untyped_storage().nbytes()) for tensor in held}


def _shared_weights(stages: Sequence[Stage]) -> list[dict[str, Any]]:
    rows: dict[int, dict[str, Any]] = {}
    for stage in stages:
        sizes = _held_bytes(stage.module)
        named = [*stage.module.named_parameters(), *stage.module.named_buffers()]
        for key, name in {address(tensor): name for name, tensor in reversed(named)}.items():
            row = rows.setdefault(key, {"name": name, "bytes": sizes[key], "stages": []})
            row["stages"].append(stage.number)
    return [row for row in rows.values() if len(row["stages"]) > 1]
