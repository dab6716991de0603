"""ONNX models: reading, sizes, costs of operators."""

from __future__ import annotations

from framework.formats.format import Format, ReadOptions
from framework.formats.source import PathLike
from framework.model.graph import ModelGraph


def _sniff(data: bytes) -> bool:
    # A ModelProto starts with its ir_version (field 1, a small number), then some field of at most 25.
    return len(data) > 3 and data[0] == 0x08 and 0 < data[1] < 0x40 and data[2] & 0x07 in (0, 2) and data[2] >= 0x10


def _parse(data: bytes, path: PathLike, options: ReadOptions) -> ModelGraph:
    from framework.formats.onnx.reader import parse

    return parse(data, path, dims=options.dims, drop_unused=options.drop_unused, kv_tokens=options.kv_tokens)


def _read_skeleton(path: PathLike) -> bytes:
    from framework.formats.onnx.files import read_skeleton

    return read_skeleton(path)


FORMAT = Format(
    name="onnx",
    description="ONNX models; weights may be absent, symbolic dimensions are set with --dim",
    patterns=("*.onnx",),
    sniff=_sniff,
    parse=_parse,
    options=frozenset({"dims", "drop_unused", "kv_tokens"}),
    # Protobuf reads no message of 2 GiB; the weights of such a model are left where they lie.
    read_large=_read_skeleton,
)
