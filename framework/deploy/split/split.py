"""`split`: one ONNX file per stage and a manifest, with weights streamed from file to file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from framework.deploy.onnx_model import ModelFile, tensor_bytes
from framework.deploy.runtime import Optimization, UnsupportedError, has_onnxruntime, open_session
from framework.deploy.split.folder import check_target, replacing
from framework.deploy.split.manifest import FORMAT, VERSION, WHOLE, Manifest
from framework.deploy.split.stages import Stage, cut_model
from framework.deploy.weights import INLINE_BYTES, WEIGHTS_SUFFIX, missing_weights, write_beside, write_with_weights
from framework.errors import UserError
from framework.formats.onnx.files import Source, external_fields, pieces, write_pieces
from framework.formats.onnx.shapes.values import Values, type_name
from framework.formats.onnx.wiring import unused_nodes
from framework.wording import counted


def split_model(
    model: ModelFile,
    stage_of: Sequence[int],
    folder: Path,
    *,
    dims: Mapping[str, int] | None = None,
    predicted: Mapping[str, Any] | None = None,
    seed: int = 0,
    inline_bytes: int = INLINE_BYTES,
    keep_unused: bool = False,
    force: bool = False,
    inputs: Sequence[Path] = (),
    source: Path | None = None,
    complete: Callable[[Manifest], Manifest] = lambda manifest: manifest,
    say: Callable[[str], None] = lambda text: None,
) -> Manifest:
    """Write the stages of a partition to a folder, check each of them, and return the manifest.

    Parameters
    ----------
    stage_of
        Stage of each node of the model graph.
    folder
        New, empty, or with an earlier split of the same model (which is replaced).
    dims
        Sizes of symbolic dimensions, for the sizes in the manifest; the stages themselves keep them open.
    predicted
        What the partition is thought to cost, for the manifest.
    seed
        Of the generated weights, where the model has none.
    inline_bytes
        Weights above this go to a file beside the stage.
    keep_unused
        Ship nodes that no result depends on, too.
    force
        Replace the stages of another model too.
    inputs
        Files besides the model that must not be replaced.
    source
        The model as the user has it, where `model` is a copy with generated weights.
    complete
        Adds files and fields to the split before it is moved to its place; `Manifest.folder` is where it is until then.
    say
        Told what is being done.

    Raises
    ------
    UserError
        If the folder holds something else, the partition does not fit, or a stage fails a check.
    """
    origin = (source or model.path).absolute()
    target = check_target(folder, origin, inputs=[*inputs, *_files_of(model)], force=force)
    with replacing(target) as temporary:
        document = _write(model, stage_of, temporary, dict(dims or {}), seed, inline_bytes, keep_unused, say)
        document["model"]["source"] = str(origin)
        document["predicted"] = None if predicted is None else dict(predicted)
        manifest = complete(Manifest(folder=temporary, document=document))
        manifest.write()
    return replace(manifest, folder=folder)


def _files_of(model: ModelFile) -> list[Path]:
    """Return the files that a model lies in."""
    located = {external_fields(tensor).get("location", "") for tensor in model.proto.graph.initializer}
    return [model.path, *(model.path.parent / name for name in sorted(located) if name)]


def _write(
    model: ModelFile,
    stage_of: Sequence[int],
    folder: Path,
    dims: dict[str, int],
    seed: int,
    inline_bytes: int,
    keep_unused: bool,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Write the files of a split to an empty folder, and return what its manifest says of them."""
    remarks: list[str] = []
    missing = missing_weights(model)
    if missing:
        size = sum(tensor_bytes(tensor) for tensor in missing) / 1e6
        what = counted(len(missing), "tensor was", "tensors were")
        remarks.append(f"the model has no weights: {what} generated ({size:.1f} MB, seed {seed})")
        say(remarks[-1])
        (folder / WHOLE).mkdir()
        model = write_with_weights(model, folder / WHOLE / model.path.name, seed)
    bound = _bound_values(model, dims)
    stages, empty = [], []
    unused = _names_of_unused(model)
    if unused:
        shown = ", ".join(map(repr, unused[:4])) + (f" and {len(unused) - 4} more" if len(unused) > 4 else "")
        what = "are kept in their stages" if keep_unused else "are in no stage (--keep-unused keeps them)"
        remarks.append(f"no result depends on {len(unused)} of the nodes, which {what}: {shown}")
    for stage in cut_model(model, stage_of, dims, keep_unused=keep_unused):
        if not stage.outputs:
            empty.append(stage.number)
            remarks.append(f"stage {stage.number} computes nothing that is used, and was left out")
            continue
        say(f"stage {stage.number}: {counted(len(stage.nodes), 'node')}")
        stages.append((stage, _write_stage(model, stage, folder, inline_bytes, remarks)))
    if not has_onnxruntime():
        remarks.append("onnxruntime is not installed: the stages were checked by onnx.checker only")
    return {
        "format": FORMAT,
        "version": VERSION,
        "model": {
            "path": f"{WHOLE}/{model.path.name}" if missing else os.path.abspath(model.path),
            "weights": "generated" if missing else "stored",
            "dims": dims,
        },
        "inputs": _inputs(model, [stage for stage, _ in stages]),
        "outputs": _outputs(model, [stage for stage, _ in stages]),
        "stages": [row for _, row in stages],
        "empty_stages": empty,
        "tensors": _tensors(model, [stage for stage, _ in stages], bound),
        "shared_weights": _shared_weights([stage for stage, _ in stages]),
        "remarks": remarks,
    }


def check_stage(path: Path) -> str | None:
    """Check a file with onnx.checker, and load it with onnxruntime where that is installed.

    Returns
    -------
    str or None
        Why onnxruntime cannot run the stage here, where that is no fault of the stage.

    Raises
    ------
    UserError
        If either refuses it.
    """
    try:
        onnx.checker.check_model(str(path))
    except onnx.checker.ValidationError as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"the stage fails onnx.checker: {reason}", where=path.name, hint="check the whole model the same way"
        ) from None
    if has_onnxruntime():
        try:
            open_session(path, optimization=Optimization.NONE)
        except UnsupportedError as error:
            return error.what
        except UserError as error:
            # The path is that of a folder that nobody will see.
            raise UserError(error.what, where=path.name, hint="try to run the whole model") from None
    return None


def _names_of_unused(model: ModelFile) -> list[str]:
    unused = set(unused_nodes(model.proto.graph, model.proto.graph.node))
    return [name for position, name in model.placed if position in unused]


def _bound_values(model: ModelFile, dims: Mapping[str, int]) -> Values | None:
    try:
        return model.bound_values(dims)
    except UserError:
        return None


def _write_stage(model: ModelFile, stage: Stage, folder: Path, inline_bytes: int, remarks: list[str]) -> dict[str, Any]:
    proto = stage.proto
    weights = sum(tensor_bytes(tensor) for tensor in proto.graph.initializer)
    path = folder / f"stage{stage.number}.onnx"
    beside = path.with_suffix(WEIGHTS_SUFFIX) if weights > inline_bytes else None
    if beside is not None:
        write_beside(proto, model.source_of, beside)

    def source_of(tensor: onnx.TensorProto) -> Source | None:
        there = beside is not None and external_fields(tensor).get("location") == beside.name
        return None if there else model.source_of(tensor)

    write_pieces(pieces(proto, source_of), path)
    unsupported = check_stage(path)
    if unsupported is not None:
        reason = unsupported.replace(f"{folder}{os.sep}", "")
        remarks.append(f"{path.name} was checked by onnx.checker only: {reason}")
    return {
        "stage": stage.number,
        "file": path.name,
        "weights_file": None if beside is None else beside.name,
        "weight_bytes": weights,
        "nodes": list(stage.nodes),
        "copies": list(stage.copies),
        "left_out": list(stage.left_out),
        "inputs": list(stage.inputs),
        "outputs": list(stage.outputs),
    }


def _described(model: ModelFile, name: str) -> dict[str, Any]:
    kind = model.open_types.get(name, onnx.TypeProto()).tensor_type
    shape = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in kind.shape.dim]
    return {"name": name, "dtype": type_name(kind.elem_type), "shape": shape}


def _inputs(model: ModelFile, stages: Sequence[Stage]) -> list[dict[str, Any]]:
    return [
        _described(model, value.name) | {"stages": [stage.number for stage in stages if value.name in stage.inputs]}
        for value in model.feeds
    ]


def _outputs(model: ModelFile, stages: Sequence[Stage]) -> list[dict[str, Any]]:
    rows = []
    for value in model.proto.graph.output:
        makers = [stage.number for stage in stages if value.name in stage.outputs]
        rows.append(_described(model, value.name) | {"stage": makers[0] if makers else None})
    return rows


def _tensors(model: ModelFile, stages: Sequence[Stage], bound: Values | None) -> list[dict[str, Any]]:
    rows = []
    for stage in stages:
        for name in stage.outputs:
            users = [other.number for other in stages if name in other.inputs]
            if users:
                found = None if bound is None else bound.get(name)
                nbytes = None if found is None else found.nbytes
                rows.append(_described(model, name) | {"bytes": nbytes, "from": stage.number, "to": users})
    return rows


def _shared_weights(stages: Sequence[Stage]) -> list[dict[str, Any]]:
    holders: dict[str, list[int]] = {}
    sizes: dict[str, int] = {}
    for stage in stages:
        for tensor in stage.proto.graph.initializer:
            holders.setdefault(tensor.name, []).append(stage.number)
            sizes[tensor.name] = tensor_bytes(tensor)
    return [
        {"name": name, "bytes": sizes[name], "stages": numbers} for name, numbers in holders.items() if len(numbers) > 1
    ]
