"""ONNX files whose weights stay on disk: read without them, written by copying them through.

Protobuf's own parser holds a whole file in memory, often twice; a model of many gigabytes is nearly all weights,
and structure is all that most work needs. `read_skeleton` walks the encoded file and replaces each heavy tensor's data
by a reference to its place in the file, in ONNX's own terms (`external_data`): the result parses as an ordinary
small model. `pieces` is the inverse: an encoded model with the data put back, as pieces that are streamed to a file.

The encoding is that of Protocol Buffers: a message is a sequence of (tag, value), a value of kind 2 has its length
before it, and the order of fields is free. Packed ``float_data`` and ``double_data`` hold the bytes of ``raw_data``.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from framework.errors import UserError
from framework.input_files import check_deadline, check_is_regular

HEAVY_BYTES = 1 << 16
"""Data above this stays on disk; shape inference never looks at more (see `onnx_values`)."""

_CHUNK = 1 << 22
_TENSOR, _RAW_DATA = "tensor", 9
_DATA_FIELDS = (_RAW_DATA, 4, 10)

# Which fields of a message lead to tensors, by the field's number.
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "function": {7: "node"},
    "graph": {1: "node", 5: _TENSOR},
    "node": {5: "attribute"},
    "attribute": {5: _TENSOR, 6: "graph", 10: _TENSOR, 11: "graph"},
    _TENSOR: {},
}


class Source(Protocol):
    """Data that is not in memory."""

    @property
    def nbytes(self) -> int:
        """Its length."""

    def chunks(self) -> Iterator[bytes]:
        """Iterate over it in order, a bounded part at a time."""


Piece: TypeAlias = "bytes | Source"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRange:
    """A part of a file."""

    path: Path
    offset: int
    nbytes: int

    def chunks(self) -> Iterator[bytes]:
        """Iterate over its bytes.

        Raises
        ------
        UserError
            If the file has become shorter.
        """
        with self.path.open("rb") as file:
            file.seek(self.offset)
            left = self.nbytes
            while left:
                chunk = file.read(min(_CHUNK, left))
                if not chunk:
                    raise UserError("the file is cut off", where=str(self.path))
                left -= len(chunk)
                yield chunk


def read_skeleton(path: str | os.PathLike[str]) -> bytes:
    """Return an encoded model with every tensor above `HEAVY_BYTES` replaced by a reference into its file.

    Raises
    ------
    UserError
        If the file cannot be read, is compressed, or is not a protobuf message.
    """
    where = os.fspath(path)
    check_is_regular(path)
    try:
        check_is_regular(path)
        with open(path, "rb") as file:
            if not os.fstat(file.fileno()).st_size:
                raise UserError("the file is empty", where=where)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
                if view[:2] == b"\x1f\x8b":
                    raise UserError("the file is compressed", where=where, hint="unpack it first")
                return _outline(view, 0, len(view), "model", Path(path).name)
    except OSError as error:
        raise UserError(error.strerror or str(error), where=where) from None
    except DecodeError as error:
        raise UserError(
            f"not an ONNX model: {error}", where=where, hint="the file is damaged, or of another kind"
        ) from None


def pieces(model: onnx.ModelProto, source_of: Callable[[onnx.TensorProto], Source | None]) -> list[Piece]:
    """Encode a model, the data of external tensors put into it.

    Parameters
    ----------
    source_of
        Asked for every tensor with external data outside a graph's sparse initializers; None leaves it external.
    """
    encoded = model.SerializeToString()
    return _joined(_inline(encoded, 0, len(encoded), "model", source_of))


def write_pieces(parts: Sequence[Piece], path: Path) -> None:
    """Write pieces to a file, streaming what is not in memory; raises `UserError` if it cannot be written."""
    try:
        with path.open("wb") as file:
            for part in parts:
                if isinstance(part, bytes):
                    file.write(part)
                else:
                    for chunk in part.chunks():
                        file.write(chunk)
    except OSError as error:
        raise UserError(f"cannot be written: {error.strerror or error}", where=str(path)) from None


def total_bytes(parts: Sequence[Piece]) -> int:
    """Return the length of the file that pieces make."""
    return sum(len(part) if isinstance(part, bytes) else part.nbytes for part in parts)


def external_fields(tensor: onnx.TensorProto) -> dict[str, str]:
    """Return the entries of a tensor's external data (location, offset, length, ...)."""
    return {entry.key: entry.value for entry in tensor.external_data}


def refer(tensor: onnx.TensorProto, location: str, offset: int, nbytes: int) -> None:
    """Make a tensor refer to external data."""
    for field in ("raw_data", "float_data", "double_data", "external_data"):
        tensor.ClearField(field)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(nbytes))):
        tensor.external_data.add(key=key, value=value)


@dataclass(frozen=True, slots=True)
class _Field:
    number: int
    start: int
    body: int
    end: int
    nested: bool


def _fields(view: mmap.mmap | bytes, start: int, end: int) -> Iterator[_Field]:
    position = start
    while position < end:
        begin = position
        tag, position = _varint(view, position, end)
        if tag < 8:
            raise DecodeError(f"a field without number at byte {begin}")
        body, kind = position, tag & 7
        if kind == 0:
            _, position = _varint(view, position, end)
        elif kind == 1:
            position += 8
        elif kind == 2:
            length, body = _varint(view, position, end)
            position = body + length
        elif kind == 5:
            position += 4
        else:
            raise DecodeError(f"a field of unknown kind at byte {begin}")
        if position > end:
            raise DecodeError(f"the field at byte {begin} is cut off")
        yield _Field(tag >> 3, begin, body, position, kind == 2)


def _outline(view: mmap.mmap, start: int, end: int, kind: str, location: str) -> bytes:
    if kind == _TENSOR:
        return _outlined_tensor(view, start, end, location)
    out = bytearray()
    for field in _fields(view, start, end):
        check_deadline(location)
        child = _CHILDREN[kind].get(field.number)
        if child is None or not field.nested or field.end - field.body <= HEAVY_BYTES:
            out += view[field.start : field.end]
        else:
            out += _message(field.number, _outline(view, field.body, field.end, child, location))
    return bytes(out)


def _outlined_tensor(view: mmap.mmap, start: int, end: int, location: str) -> bytes:
    fields = list(_fields(view, start, end))
    data = [field for field in fields if field.number in _DATA_FIELDS and field.nested]
    # Repeated chunks of packed data are legal, and rare enough to be left where they are.
    if len(data) != 1 or data[0].end - data[0].body <= HEAVY_BYTES:
        return view[start:end]
    rest = b"".join(view[field.start : field.end] for field in fields if field is not data[0])
    reference = onnx.TensorProto()
    refer(reference, location, data[0].body, data[0].end - data[0].body)
    return rest + bytes(reference.SerializeToString())


def _inline(
    view: bytes, start: int, end: int, kind: str, source_of: Callable[[onnx.TensorProto], Source | None]
) -> list[Piece]:
    if kind == _TENSOR:
        return _inlined_tensor(view[start:end], source_of)
    out: list[Piece] = []
    for field in _fields(view, start, end):
        child = _CHILDREN[kind].get(field.number)
        if child is None or not field.nested:
            out.append(view[field.start : field.end])
        else:
            inner = _inline(view, field.body, field.end, child, source_of)
            out += [_head(field.number, total_bytes(inner)), *inner]
    return _joined(out)


def _inlined_tensor(encoded: bytes, source_of: Callable[[onnx.TensorProto], Source | None]) -> list[Piece]:
    tensor = onnx.TensorProto.FromString(encoded)
    source = source_of(tensor) if tensor.data_location == onnx.TensorProto.EXTERNAL else None
    if source is None:
        return [encoded]
    tensor.ClearField("external_data")
    tensor.ClearField("data_location")
    return [bytes(tensor.SerializeToString()) + _head(_RAW_DATA, source.nbytes), source]


def _joined(parts: Sequence[Piece]) -> list[Piece]:
    out: list[Piece] = []
    run = bytearray()
    for part in parts:
        if isinstance(part, bytes):
            run += part
            continue
        out += [bytes(run), part] if run else [part]
        run = bytearray()
    return [*out, bytes(run)] if run else out


def _message(number: int, body: bytes) -> bytes:
    return _head(number, len(body)) + body


def _head(number: int, length: int) -> bytes:
    return _encoded(number << 3 | 2) + _encoded(length)


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _varint(view: mmap.mmap | bytes, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= end or shift > 63:
            raise DecodeError(f"a damaged number at byte {position}")
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
