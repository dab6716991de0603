"""Input formats: `read_graph` reads any of those that `framework.formats.format` lists, told by their content."""

from __future__ import annotations

import difflib
import fnmatch
import os
from collections.abc import Mapping
from pathlib import Path

from framework.errors import UserError
from framework.formats.format import HEAD, Format, ReadOptions, formats, register_format, starts_like_json
from framework.formats.source import PathLike, parse_json
from framework.formats.training import training_graph
from framework.input_files import collector_paused, head_of_large, read_bytes, reading_until
from framework.model.graph import ModelGraph
from framework.model.training import Training
from framework.testbed.bundled import bundled_path
from framework.testbed.random_graphs import PREFIX as REGAL_PREFIX
from framework.testbed.random_graphs import read_regal

__all__ = ["BUNDLED_SCHEME", "Format", "ReadOptions", "detect", "formats", "read_graph", "register_format"]

BUNDLED_SCHEME = "testbed:"
"""``testbed:NAME`` stands for the bundled or generated graph of that name, wherever a path is expected."""

_LARGE = (1 << 31) - 1
"""Bytes of a file from which on formats may leave out what they do not need."""


def read_graph(
    path: PathLike,
    *,
    format: str | None = None,
    dims: Mapping[str, int] | None = None,
    training: Training | bool = False,
    drop_unused: bool = False,
    kv_tokens: int = 0,
    deadline: float | None = None,
) -> ModelGraph:
    """Read a graph of any format.

    Parameters
    ----------
    path
        A file, packed (gzip, xz) or not; or ``testbed:NAME`` for a bundled or a generated graph (`read_regal`).
    format
        Name of the format; by default the content decides.
    dims
        Sizes of symbolic dimensions by name (ONNX).
    training
        Whether costs are those of a training step (`framework.formats.training`), and how it is trained.
    drop_unused
        Whether nodes that no output depends on cost nothing (ONNX).
    kv_tokens
        Tokens whose keys and values attention nodes keep as state, of all sequences together (ONNX); 0 for none.
    deadline
        Stop reading at this time of `time.monotonic`, with an error.

    Raises
    ------
    UserError
        If the file cannot be read, is of no known format, or is not a valid graph.
    """
    if kv_tokens < 0:
        raise UserError(f"`kv_tokens` is {kv_tokens}", hint="give a number of tokens")
    options = ReadOptions(dims=dims or {}, training=bool(training), drop_unused=drop_unused, kv_tokens=kv_tokens)
    with reading_until(deadline), collector_paused():
        graph = _read(path, format, options)
        return training_graph(graph, Training() if training is True else training) if training else graph


def _read(path: PathLike, format: str | None, options: ReadOptions) -> ModelGraph:
    where = os.fspath(path)
    chosen = None if format is None else _by_name(format)
    if where.startswith(BUNDLED_SCHEME):
        name = where.removeprefix(BUNDLED_SCHEME)
        if name.startswith(REGAL_PREFIX):
            _check_options(options, frozenset(), "generated graph", where)
            return read_regal(name)
        path = bundled_path(name)
        if chosen is None:
            # All of them are native: no other reader has to be loaded.
            from framework.formats.native import FORMAT

            chosen = FORMAT
    data = _content(path)
    if not data or data.isspace():
        raise UserError("the file is empty", where=where)
    if chosen is None:
        chosen = detect(data, path)
    _check_options(options, chosen.options, f"{chosen.name} file", where)
    return chosen.parse(data, path, options)


def _content(path: PathLike) -> bytes:
    head = head_of_large(path, _LARGE, HEAD)
    for candidate in formats() if head else ():
        if candidate.read_large is not None and candidate.sniff(head):
            return candidate.read_large(path)
    return read_bytes(path)


def _check_options(options: ReadOptions, known: frozenset[str], what: str, where: str) -> None:
    for name in options.given():
        # Any graph can be made one of a training step, whatever its format knows of that.
        if name not in known and name != "training":
            raise UserError(f"`{name}` means nothing to a {what}", where=where, hint=f"leave `{name}` out")


def detect(data: bytes, path: PathLike) -> Format:
    """Return the format of a file by its (decompressed) content, or by its name where the content decides nothing.

    Raises
    ------
    UserError
        If it is none of them.
    """
    where = os.fspath(path)
    for candidate in formats():
        if candidate.sniff(data):
            return candidate
    if starts_like_json(data):
        raise _foreign_json(data, where)
    name = Path(where).name.removesuffix(".gz").removesuffix(".xz")
    for candidate in formats():
        if any(fnmatch.fnmatch(name, pattern) for pattern in candidate.patterns):
            return candidate
    raise UserError(
        "of no known format",
        where=where,
        hint=f"the formats are {', '.join(f.name for f in formats())}; `format` forces one",
    )


def _foreign_json(data: bytes, where: str) -> UserError:
    top = parse_json(data, where)
    said = top.get("format") if isinstance(top, dict) else None
    if said == "pipebound-result":
        return UserError("this is a result, not a graph", where=where, hint="'pipebound verify' reads results")
    return UserError(
        "JSON, but not a graph",
        where=where,
        hint='a native graph says "format": "pipebound-graph", a dnn-partitioning file has nodes and edges',
    )


def _by_name(name: str) -> Format:
    for candidate in formats():
        if candidate.name == name:
            return candidate
    names = [candidate.name for candidate in formats()]
    near = difflib.get_close_matches(name, names, 1)
    raise UserError(
        f"no format is called {name!r}",
        hint=f"did you mean {near[0]}?" if near else f"choose one of {', '.join(names)}",
    )
