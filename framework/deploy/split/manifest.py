"""The manifest of a split: the files of the stages and the tensors between them (pipebound-pipeline, version 1).

    {"format": "pipebound-pipeline", "version": 1,
     "model": {"path": "/models/resnet50.onnx", "weights": "stored", "source": "/models/resnet50.onnx",
               "dims": {"N": 1}},
     "inputs":  [{"name": "x", "dtype": "float32", "shape": ["N", 3, 224, 224], "stages": [0]}],
     "outputs": [{"name": "y", "dtype": "float32", "shape": ["N", 1000], "stage": 1}],
     "stages":  [{"stage": 0, "file": "stage0.onnx", "weights_file": null, "weight_bytes": 9437184, "nodes": ["conv1"],
                  "copies": [], "left_out": [], "inputs": ["x"], "outputs": ["h"]}],
     "empty_stages": [],
     "tensors": [{"name": "h", "dtype": "float32", "shape": ["N", 64, 56, 56], "bytes": 802816, "from": 0, "to": [1]}],
     "shared_weights": [{"name": "embedding", "bytes": 1024, "stages": [0, 1]}],
     "predicted": {"unit": "s", "bottleneck": 0.01, "dual_bound": 0.01, "status": "optimal", "stage_costs": [...],
                   "stage_memory": [{"parameters": 9437184, "state": 0, "workset": 4816896, "peak_live": 6422528}],
                   "graph": "resnet50.graph.json", "device": {...}, "constraints": {...},
                   "drop_unused": false, "kv_tokens": 0},
     "remarks": []}

Files of stages lie in the manifest's folder: their names hold no separators. ``source`` is the model that was split,
also where ``path`` is a copy of it with generated weights. ``nodes`` is the partition; ``copies`` are nodes of other
stages that this one computes too, ``left_out`` those of ``nodes`` that it does not; ``empty_stages`` are numbers of
stages that compute nothing that is used, and have no file. ``bytes`` is null where a size is
not known. An output with ``stage`` null is an input of the model handed through. ``predicted`` is null unless the
partition came from a result file; ``stage_memory`` in it says what each stage holds in bytes, where the graph does. A
split that `refine` wrote has predictions of the corrected costs in ``graph.json``,
no dual bound, and ``"refined": {"winner": "round 2", "same_as": [], "naive": false, "why": "...",
"from": "../stages"}``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from framework.deploy.split.manifest_fields import check_manifest
from framework.errors import UserError
from framework.fields import Fields
from framework.formats import document as documents

FORMAT, VERSION = "pipebound-pipeline", 1
NAME = "manifest.json"
WHOLE = "whole"
"""Folder for the unsplit model where its weights had to be generated; its name, and so its digest, stay."""

GRAPH = "graph.json"
"""What `refine` writes beside a manifest: the graph with corrected costs."""

PENDING = "incomplete"
"""Field of a manifest whose split is being moved to its place: the files of both the old split and the new one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Manifest:
    """A manifest and the folder it lies in."""

    folder: Path
    document: Mapping[str, Any]

    @property
    def stages(self) -> list[Mapping[str, Any]]:
        """The stages that are not empty, in order."""
        return list(self.document["stages"])

    @property
    def empty_stages(self) -> list[int]:
        """Numbers of the stages that compute nothing that is used: no other stage names their nodes."""
        return list(self.document.get("empty_stages", ()))

    @property
    def tensors(self) -> list[Mapping[str, Any]]:
        """The tensors between stages."""
        return list(self.document["tensors"])

    @property
    def dims(self) -> dict[str, int]:
        """Sizes of symbolic dimensions that the split was made for."""
        return dict(self.document["model"]["dims"])

    @property
    def model_path(self) -> Path:
        """The unsplit model; relative paths start at the manifest's folder."""
        return self.folder / str(self.document["model"]["path"])

    def file_names(self) -> list[str]:
        """Return the names of the files of the stages."""
        names = [row[field] for row in self.stages for field in ("file", "weights_file")]
        return [str(name) for name in names if name]

    def write(self) -> None:
        """Write the manifest, last of all files of a split."""
        path = self.folder / NAME
        try:
            path.write_text(json.dumps(self.document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot be written: {error.strerror}", where=str(path)) from None


def is_bare(name: str) -> bool:
    """Whether a name is that of a file in the manifest's own folder."""
    return bool(name) and name not in (".", "..") and not any(mark in name for mark in ("/", "\\", "\0"))


def read_document(folder: str | Path) -> dict[str, Any]:
    """Read what a manifest says, complete or not; neither its fields nor its files are looked at.

    Raises
    ------
    UserError
        If there is none, or it is no manifest.
    """
    return _read(folder).everything()


def read_manifest(folder: str | Path) -> Manifest:
    """Read the manifest of a folder that `pipebound split` wrote.

    Raises
    ------
    UserError
        If there is none, a field is missing or of another type than it may be, or a file it names is missing or lies
        elsewhere.
    """
    fields = _read(folder)
    if not fields.null(PENDING):
        raise fields.error("", "this split was interrupted while it was written", "split again")
    check_manifest(fields)
    manifest = Manifest(folder=Path(folder), document=fields.everything())
    for name in manifest.file_names():
        if not is_bare(name):
            raise fields.error("", f"the file of a stage, {name!r}, is not in this folder", "split again")
        file = manifest.folder / name
        if not file.is_file():
            raise UserError("the file of a stage is missing", where=str(file), hint="split the model again")
    return manifest


def _read(folder: str | Path) -> Fields:
    path = Path(folder) / NAME
    if not path.exists():
        raise UserError("holds no manifest.json", where=str(folder), hint="'pipebound split' writes one")
    fields = documents.read_document(path, format=FORMAT, version=VERSION, hint="'pipebound split' writes one")
    if not fields.null(PENDING):
        fields.texts(PENDING)
    return fields
