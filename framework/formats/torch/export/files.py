"""From modules and files to exported programs and their graphs; torch is imported when that is asked for."""

from __future__ import annotations

import io
import logging
import os
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.errors import UserError
from framework.formats.source import PathLike, graph_name
from framework.model.graph import ModelGraph

if TYPE_CHECKING:
    from framework.formats.torch.export.program import Program

ZIP = b"PK\x03\x04"
_END = 1 << 16
_ONLY_WEIGHTS = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
"""Environment variable that torch's loading asks for."""

_UNKNOWN_OPERATOR = re.compile(r"resolve torch\.ops\.(\w+\.\w+)")
_PICKLED = "opaque_obj_"
_MARKS = (b"/archive_format", b"/data/weights/weight_", b"serialized_exported_program")
"""Names in the zip files of programs, near the beginning or in the table at the end: since torch 2.8, and before."""

# When it is imported, torch warns that triton is missing, which is no matter where there is no GPU.
logging.getLogger("torch.utils.flop_counter").setLevel(logging.ERROR)


def sniff(data: bytes) -> bool:
    """Whether content looks like a file of `torch.export.save`."""
    return data.startswith(ZIP) and any(mark in part for mark in _MARKS for part in (data[:_END], data[-_END:]))


def is_program(path: PathLike) -> bool:
    """Whether a file looks like one of `torch.export.save`; of one that cannot be read, its name decides."""
    try:
        with open(path, "rb") as file:
            head = file.read(_END)
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _END))
            return sniff(head + file.read())
    except OSError:
        return os.fspath(path).endswith(".pt2")


def export(
    module: Any,
    args: Sequence[Any] | Any = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
    strict: bool = False,
) -> Any:
    """Export a module as in inference, and return a ``torch.export.ExportedProgram``; the module is not changed.

    Parameters
    ----------
    module
        A ``torch.nn.Module``.
    args, kwargs
        Arguments of its forward pass; a single tensor is the only one.
    dynamic_shapes, strict
        As for ``torch.export.export``.

    Raises
    ------
    UserError
        If torch is not installed, or cannot export the module.
    """
    torch = require_torch()
    from framework.formats.torch.leaving import line_of

    if not isinstance(module, torch.nn.Module):
        raise UserError(f"this is a {type(module).__name__}, not a torch module")
    positional = (args,) if isinstance(args, torch.Tensor) else tuple(args)
    label = type(module).__name__
    training = [part for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        with torch.no_grad(), quietly():
            return torch.export.export(
                module, positional, dict(kwargs or {}), dynamic_shapes=dynamic_shapes, strict=strict
            )
    except Exception as error:  # whatever the module or torch raises
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        line = line_of(error)
        hint = "give `strict=True`, or change what torch cannot export; `from_torch` reads a graph without exporting"
        raise UserError(
            f"torch.export fails{f' at {line}' if line else ''}: {reason[:300]}", where=label, hint=hint
        ) from error
    finally:
        for part in training:
            part.training = True


def read(
    exported: Any,
    args: Sequence[Any] | Any = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    source: str = "torch.export",
    dims: Mapping[str, int] | None = None,
    kv_tokens: int = 0,
) -> ModelGraph:
    """Return the graph of an exported program, of a file of one, or of a module that is exported with arguments.

    Parameters
    ----------
    dims
        Sizes of open dimensions, ``{"tokens.1": 2048}``.
    kv_tokens
        Tokens whose keys and values attention keeps, of all sequences together; 0 for none.

    Raises
    ------
    UserError
        If torch is not installed, or the program cannot be exported, loaded, or read.
    """
    program = program_of(exported, args, kwargs, name=name, dims=dims)
    from framework.formats.torch.export.graph import build_graph

    with quietly():
        return build_graph(program, source=source, kv_tokens=kv_tokens)


def program_of(
    exported: Any,
    args: Sequence[Any] | Any = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    dims: Mapping[str, int] | None = None,
) -> Program:
    """Return a program with its nodes: of a ``torch.export.ExportedProgram``, a file, or a module and its arguments.

    Raises
    ------
    UserError
        As `read`.
    """
    torch = require_torch()
    from framework.formats.torch.export.program import open_program

    if isinstance(exported, str | os.PathLike):
        name, exported = name or graph_name(exported), load(exported)
    elif not isinstance(exported, torch.export.ExportedProgram):
        name, exported = name or type(exported).__name__, export(exported, args, kwargs)
    with quietly():
        return open_program(exported, name or _class_of(exported), dims)


def load(path: PathLike, data: bytes | None = None) -> Any:
    """Load a file of ``torch.export.save``.

    Parameters
    ----------
    data
        Its unpacked content, where that is not what the file holds.

    Raises
    ------
    UserError
        If torch is not installed, or it is no such file, or of another version of torch.
    """
    where = os.fspath(path)
    torch = require_torch(where)
    if not Path(where).is_file():
        raise UserError("there is no such file", where=where)
    content: Any = where if data is None else io.BytesIO(data)
    from framework.formats.torch.export.stand_ins import register_unknown

    said: list[str] = []
    try:
        while True:
            try:
                with quietly(), _listening(said), _plain_data_only(content):
                    return torch.export.load(content)
            except Exception as error:
                if not register_unknown("\n".join([str(error), *said])):
                    raise
                said.clear()
    except Exception as error:  # it has no exceptions of its own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        hint = f"write it with torch.export.save of torch {torch.__version__}"
        if unknown := _UNKNOWN_OPERATOR.search("\n".join([str(error), *said])):
            reason = f"nobody has defined the operator {unknown[1]}"
            hint = "give a Python file that imports the package which defines it in `plugin_files`"
        raise UserError(f"torch.export does not load it: {reason[:300]}", where=where, hint=hint) from error


def parse(data: bytes, path: PathLike, *, dims: Mapping[str, int] | None = None, kv_tokens: int = 0) -> ModelGraph:
    """Read a file of ``torch.export.save``, whose content was unpacked to `data`."""
    with open(path, "rb") as file:
        packed = file.read(len(ZIP)) != ZIP
    exported = load(path, data if packed else None)
    source = os.path.basename(os.fspath(path))
    return read(exported, name=graph_name(path), source=source, dims=dims, kv_tokens=kv_tokens)


def require_torch(where: str = "") -> Any:
    """Import torch, which reads the file `where`, and return it.

    Raises
    ------
    UserError
        If it is not installed.
    """
    try:
        import torch
        import torch.export
    except ImportError:
        raise UserError("torch is not installed", where=where, hint="pip install 'pipebound[torch]'") from None
    return torch


@contextmanager
def quietly() -> Iterator[None]:
    """Keep what torch says about its own inside from the user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _listening(said: list[str]) -> Iterator[None]:
    """Take what torch logs while it loads a file, which says more than its error, in place of printing it."""
    logger, handler = logging.getLogger("torch.export"), logging.Handler()
    handler.emit = lambda record: said.append(  # type: ignore[method-assign]
        f"{record.getMessage()} {record.exc_info[1] if record.exc_info else ''}"
    )
    handlers, propagates = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [handler], False
    try:
        yield
    finally:
        logger.handlers, logger.propagate = handlers, propagates


@contextmanager
def _plain_data_only(content: Any) -> Iterator[None]:
    """Let torch unpickle tensors and plain values, and nothing that could run code of whoever wrote the file."""
    with zipfile.ZipFile(content) as members:
        objects = [name for name in members.namelist() if Path(name).name.startswith(_PICKLED)]
    if objects:
        raise ValueError(f"it holds a pickled object, {objects[0]}, which could run any code")
    if not isinstance(content, str):
        content.seek(0)
    before = os.environ.get(_ONLY_WEIGHTS)
    os.environ[_ONLY_WEIGHTS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_ONLY_WEIGHTS]
        else:
            os.environ[_ONLY_WEIGHTS] = before


def _class_of(exported: Any) -> str:
    """Return the name of the class of the outermost module that a program was exported from."""
    for node in exported.graph.nodes:
        for path, kind in (node.meta.get("nn_module_stack") or {}).values():
            if path in ("", "L['self']"):
                return str(kind if isinstance(kind, str) else kind.__name__).rpartition(".")[2]
    return "program"
