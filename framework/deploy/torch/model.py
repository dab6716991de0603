"""A file of an exported program as deployment sees it: the counterpart of `framework.deploy.onnx_model`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from framework.errors import UserError
from framework.formats.source import graph_name
from framework.formats.torch.export.files import load, quietly
from framework.formats.torch.export.graph import build_graph
from framework.formats.torch.export.program import Program, open_program
from framework.model.graph import ModelGraph


@dataclass(frozen=True, kw_only=True, eq=False)
class TorchModel:
    """A program, and the file that it is in.

    Attributes
    ----------
    path
        The file.
    program
        The program with its nodes.
    dims
        Sizes of open dimensions that are not those of its example inputs.
    """

    path: Path
    program: Program
    dims: Mapping[str, int] = field(default_factory=dict)

    @property
    def node_names(self) -> tuple[str, ...]:
        """Names of the nodes of the model graph."""
        return self.program.labels

    def read_graph(self, dims: Mapping[str, int], *, drop_unused: bool = False, kv_tokens: int = 0) -> ModelGraph:
        """Return the model graph, as `framework.formats.read_graph` would; what no output needs is left out always."""
        if dict(dims) != dict(self.dims):
            return open_torch_model(self.path, dims).read_graph(dims, kv_tokens=kv_tokens)
        if kv_tokens not in self._graphs:
            with quietly():
                self._graphs[kv_tokens] = build_graph(self.program, source=self.path.name, kv_tokens=kv_tokens)
        return self._graphs[kv_tokens]

    @cached_property
    def _graphs(self) -> dict[int, ModelGraph]:
        return {}

    def feed(self) -> list[Any]:
        """Return the example inputs, for the CPU.

        Raises
        ------
        UserError
            If the program was exported without weights, or its inputs without values.
        """
        module = self.program.module
        check_has_values([*module.named_parameters(), *module.named_buffers()], str(self.path))
        check_has_values(((node.name, leaf) for node, leaf in self._inputs()), str(self.path))
        return list(self.program.arguments)

    def _inputs(self) -> Iterable[tuple[Any, Any]]:
        return zip(self.program.inputs, self.program.arguments, strict=True)


def open_torch_model(path: str | os.PathLike[str], dims: Mapping[str, int] | None = None) -> TorchModel:
    """Open a file of `torch.export.save`, at other sizes of open dimensions if these are given.

    Raises
    ------
    UserError
        If torch is not installed, or it is no such file.
    """
    exported = load(path)
    with quietly():
        program = open_program(exported, graph_name(path), dims)
    return TorchModel(path=Path(path), program=program, dims=dict(dims or {}))


def check_has_values(tensors: Iterable[tuple[str, Any]], where: str) -> None:
    """Refuse tensors that no CPU can compute with.

    Raises
    ------
    UserError
        Naming the first one.
    """
    for name, tensor in tensors:
        if isinstance(tensor, torch.Tensor) and tensor.device.type != "cpu":
            hint = "export it with weights" if tensor.is_meta else "export it on the CPU"
            raise UserError(f"{name!r} is on the device {tensor.device}", where=where, hint=hint)
