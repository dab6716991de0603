"""Input formats: a table of them, detection by content, and `read_graph`, which reads any of them.

Each format is one module with ``parse(data, path, ...)`` and ``read(path, ...)``; it is imported when a file needs it.
"""

from __future__ import annotations

import difflib
import fnmatch
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from framework.errors import UserError
from framework.formats.bundled import bundled_path
from framework.formats.regal import PREFIX as REGAL_PREFIX
from framework.formats.regal import read_regal
from framework.formats.source import PathLike, parse_json
from framework.input_files import collector_paused, head_of_large, read_bytes, reading_until
from framework.model.graph import ModelGraph

BUNDLED_SCHEME = "testbed:"
"""``testbed:NAME`` stands for the bundled or generated graph of that name, wherever a path is expected."""

_HEAD = 1 << 16
_PROTOBUF_END = (1 << 31) - 1
"""Bytes of the longest message that protobuf reads; of a longer ONNX model, its weights are left where they lie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One input format.

    Attributes
    ----------
    name
        What ``--format`` calls it.
    description
        One line for people.
    patterns
        Usual file names (``.gz`` or ``.xz`` may follow); a hint only where the content decides nothing.
    sniff
        Whether (decompressed) content looks like this format.
    options
        Options of `read_graph` that it understands.
    module
        The module that parses it, in this package; by default that of its name.
    """

    name: str
    description: str
    patterns: tuple[str, ...]
    sniff: Callable[[bytes], bool]
    options: frozenset[str] = frozenset()
    module: str = ""


def _starts_like_json(data: bytes) -> bool:
    return data[:_HEAD].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")


def _looks_native(data: bytes) -> bool:
    return _starts_like_json(data) and re.search(rb'"format"\s*:\s*"pipebound-graph"', data) is not None


def _looks_like_dnn_partitioning(data: bytes) -> bool:
    keys = (b'"fpgaLatency"', b'"sourceId"', b'"maxFPGAs"')
    return _starts_like_json(data) and any(key in data for key in keys)


def _looks_like_pipedream(data: bytes) -> bool:
    return re.search(rb"^\S+ -- .* -- forward_compute_time=", data[:_HEAD], re.MULTILINE) is not None


def _looks_like_cost_graph(data: bytes) -> bool:
    return (
        re.match(rb"(?:\s+|#[^\n]*)*+(?:node|cost)\s*:?\s*[{<]", data[:_HEAD].removeprefix(b"\xef\xbb\xbf")) is not None
    )


def _looks_like_onnx(data: bytes) -> bool:
    # A ModelProto starts with its ir_version (field 1, a small number), then some field of at most 25.
    return len(data) > 3 and data[0] == 0x08 and 0 < data[1] < 0x40 and data[2] & 0x07 in (0, 2) and data[2] >= 0x10


FORMATS: tuple[Format, ...] = (
    Format(
        name="native",
        description="pipebound's own JSON, physical or priced",
        patterns=("*.graph.json",),
        sniff=_looks_native,
    ),
    Format(
        name="onnx",
        description="ONNX models; weights may be absent, symbolic dimensions are set with --dim",
        patterns=("*.onnx",),
        sniff=_looks_like_onnx,
        options=frozenset({"dims", "drop_unused"}),
        module="onnx.reader",
    ),
    Format(
        name="dnn-partitioning",
        description="JSON inputs of Tarnawski et al., NeurIPS 2020, read as accelerators only",
        patterns=("*.json",),
        sniff=_looks_like_dnn_partitioning,
    ),
    Format(
        name="pipedream",
        description="PipeDream profiles: measured times of layers (--training adds the backward pass)",
        patterns=("*graph.txt",),
        sniff=_looks_like_pipedream,
        options=frozenset({"training"}),
    ),
    Format(
        name="tensorflow-cost-graph",
        description="TensorFlow CostGraphDef in text format, as in the REGAL data set",
        patterns=("*.pbtxt",),
        sniff=_looks_like_cost_graph,
    ),
)


def read_graph(
    path: PathLike,
    *,
    format: str | None = None,
    dims: Mapping[str, int] | None = None,
    training: bool = False,
    drop_unused: bool = False,
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
        Whether to add backward times (PipeDream).
    drop_unused
        Whether nodes that no output depends on cost nothing (ONNX).
    deadline
        Stop reading at this time of `time.monotonic`, with an error.

    Raises
    ------
    UserError
        If the file cannot be read, is of no known format, or is not a valid graph.
    """
    with reading_until(deadline), collector_paused():
        return _read(path, format, {"dims": dims, "training": training, "drop_unused": drop_unused})


def _read(path: PathLike, format: str | None, given: Mapping[str, Any]) -> ModelGraph:
    where = os.fspath(path)
    chosen = None if format is None else _by_name(format)
    options = {name: value for name, value in given.items() if value}
    if where.startswith(BUNDLED_SCHEME):
        name = where.removeprefix(BUNDLED_SCHEME)
        if name.startswith(REGAL_PREFIX):
            _check_options(options, frozenset(), "generated graph", where)
            return read_regal(name)
        path = bundled_path(name)
    if _looks_like_onnx(head_of_large(path, _PROTOBUF_END, _HEAD)):
        data = import_module("framework.formats.onnx.files").read_skeleton(path)
    else:
        data = read_bytes(path)
    if not data or data.isspace():
        raise UserError("the file is empty", where=where)
    if chosen is None:
        chosen = detect(data, path)
    _check_options(options, chosen.options, f"{chosen.name} file", where)
    module = import_module(f"framework.formats.{chosen.module or chosen.name.replace('-', '_')}")
    graph: ModelGraph = module.parse(data, path, **options)
    return graph


def _check_options(options: Mapping[str, Any], known: frozenset[str], what: str, where: str) -> None:
    for name in options:
        if name not in known:
            flag = {"dims": "--dim", "training": "--training", "drop_unused": "--drop-unused"}[name]
            raise UserError(f"{flag} means nothing to a {what}", where=where, mend=f"leave {flag} out")


def detect(data: bytes, path: PathLike) -> Format:
    """Return the format of a file by its (decompressed) content, or by its name where the content decides nothing.

    Raises
    ------
    UserError
        If it is none of them.
    """
    where = os.fspath(path)
    for candidate in FORMATS:
        if candidate.sniff(data):
            return candidate
    if _starts_like_json(data):
        raise _foreign_json(data, where)
    name = Path(where).name.removesuffix(".gz").removesuffix(".xz")
    for candidate in FORMATS:
        if any(fnmatch.fnmatch(name, pattern) for pattern in candidate.patterns):
            return candidate
    raise UserError(
        "of no known format",
        where=where,
        mend=f"the formats are {', '.join(f.name for f in FORMATS)}; --format forces one",
    )


def _foreign_json(data: bytes, where: str) -> UserError:
    top = parse_json(data, where)
    said = top.get("format") if isinstance(top, dict) else None
    if said == "pipebound-result":
        return UserError("this is a result, not a graph", where=where, mend="'pipebound verify' reads results")
    return UserError(
        "JSON, but not a graph",
        where=where,
        mend='a native graph says "format": "pipebound-graph", a dnn-partitioning file has nodes and edges',
    )


def _by_name(name: str) -> Format:
    for candidate in FORMATS:
        if candidate.name == name:
            return candidate
    names = [candidate.name for candidate in FORMATS]
    near = difflib.get_close_matches(name, names, 1)
    raise UserError(
        f"no format is called {name!r}",
        mend=f"did you mean {near[0]}?" if near else f"choose one of {', '.join(names)}",
    )
