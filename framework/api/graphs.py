"""Graphs of what a program holds in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from framework.model.graph import ModelGraph


def from_torch(
    module: Any,
    example_inputs: Sequence[Any] | Mapping[str, Any] | Callable[[Any], tuple[Any, Any]] | None = None,
    example_keywords: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
) -> ModelGraph:
    """Read a torch module, whose forward pass is traced without weights, or an exported program.

    Parameters
    ----------
    module
        A ``torch.nn.Module``, a function without arguments that builds one, or a ``torch.export.ExportedProgram``.
    example_inputs, example_keywords
        Arguments of its forward pass, tensors on the meta device or with values; a single tensor is the only argument.
        An ``ExportedProgram`` is read with its own.
    name
        For reports; the name of the module's class by default.

    Raises
    ------
    UserError
        If torch is not installed, the module fails to build or run, or nothing it returns depends on an input.
    """
    from framework.formats.torch.export import files
    from framework.formats.torch.reader import read

    if isinstance(module, files.require_torch().export.ExportedProgram):
        return files.read(module, name=name)
    return read(module, example_inputs, example_keywords, name=name)
