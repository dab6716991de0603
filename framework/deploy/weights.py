"""Weights for models that come without them, so that they run: random, seeded, scaled so that signals keep their size.

A model lacks weights where its initializers hold no data, where the file with their external data is not there, or
where nearly all its parameters come from ConstantOfShape (the onnx package's own light models). Matrices and filters
are normal with variance 2 / fan-in (He et al., ICCV 2015), damped where they end a residual branch so that the sum of
many does not grow out of hand; scales are near 1, biases near 0, variances positive. A tensor's values depend on the
seed and its name alone, so every copy of it is the same.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from framework.deploy.onnx_model import ModelFile, open_model, tensor_bytes
from framework.errors import UserError
from framework.formats.onnx.files import Source, external_fields, pieces, refer, write_pieces
from framework.formats.onnx.operators.standard import attribute
from framework.formats.onnx.wiring import used_values

_DOMINANT = 0.9
"""Share of the parameter bytes from ConstantOfShape above which they stand for missing weights."""

_PASSED_ON = frozenset({"Cast", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
_NORMALISATIONS = frozenset(
    {"BatchNormalization", "GroupNormalization", "InstanceNormalization", "LayerNormalization", "RMSNormalization"}
)
_RESIDUAL_GAIN = 0.25
_CHUNK = 1 << 20

INLINE_BYTES = 512 << 20
"""Weights of a file above this go to a file beside it: a checker or runtime that parses the file would hold them
several times, and protobuf takes no more than 2 GiB."""

ALIGNMENT = 4096
WEIGHTS_SUFFIX = ".weights"
_MARK = "generated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """``centre + scale * normal``, or uniform on ``centre +- scale``."""

    centre: float
    scale: float
    uniform: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """The data of one generated tensor, made when it is asked for."""

    name: str
    elements: int
    element_type: int
    spread: Spread
    seed: int

    @property
    def nbytes(self) -> int:
        """Length in bytes."""
        return self.elements * self._dtype.itemsize

    @property
    def _dtype(self) -> np.dtype[np.generic]:
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(self.element_type))

    def chunks(self) -> Iterator[bytes]:
        """Iterate over the data, a few megabytes at a time."""
        rng = np.random.default_rng([self.seed, zlib.crc32(self.name.encode())])
        for start in range(0, self.elements, _CHUNK):
            count = min(_CHUNK, self.elements - start)
            if self._dtype.kind in "iu":
                yield rng.integers(-127 if self._dtype.kind == "i" else 0, 128, count).astype(self._dtype).tobytes()
                continue
            drawn = rng.uniform(-1, 1, count) if self.spread.uniform else rng.standard_normal(count, np.float32)
            yield (self.spread.centre + self.spread.scale * drawn).astype(self._dtype).tobytes()


def missing_weights(model: ModelFile) -> list[onnx.TensorProto]:
    """Return a tensor (name, type, dimensions) for each weight that the model should have and does not."""
    missing = []
    for tensor in model.proto.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            if not (model.path.parent / external_fields(tensor).get("location", "")).is_file():
                missing.append(tensor)
        elif tensor_bytes(tensor) and not _has_data(tensor):
            missing.append(tensor)
    shaped = _shaped_constants(model)
    stored = sum(tensor_bytes(tensor) for tensor in model.proto.graph.initializer)
    filled = sum(tensor_bytes(tensor) for tensor in shaped)
    return missing + (shaped if filled > _DOMINANT * (stored + filled) else [])


def write_with_weights(model: ModelFile, target: Path, seed: int = 0) -> ModelFile:
    """Write the model with generated values for its missing weights, and open it.

    Node names, shapes and the digest of the model graph stay the same. Initializers are no longer listed as inputs
    (models before ONNX 1.4 had to), so that a runtime may take them for the constants that they are.

    Raises
    ------
    UserError
        If an integer tensor is missing that no random values can stand for, or the file cannot be written.
    """
    missing = missing_weights(model)
    names = {tensor.name for tensor in missing}
    roles = _Roles(model)
    sources: dict[str, Source] = {tensor.name: _generated(model, roles, tensor, seed) for tensor in missing}
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    graph = proto.graph
    proto.ir_version = max(proto.ir_version, 4)
    nodes = [node for node in graph.node if not set(node.output) & names]
    used = {name for node in nodes for name in used_values(node)} | {value.name for value in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in used and tensor.name not in names]
    feeds = model.feeds
    for tensor in missing:
        filled = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        refer(filled, _MARK, 0, sources[tensor.name].nbytes)
        kept.append(filled)
    for field, items in (("node", nodes), ("initializer", kept), ("input", feeds)):
        graph.ClearField(field)
        getattr(graph, field).extend(items)

    def source_of(tensor: onnx.TensorProto) -> Source:
        made = external_fields(tensor).get("location") == _MARK and tensor.name in sources
        return sources[tensor.name] if made else model.source_of(tensor)

    beside = target.with_suffix(WEIGHTS_SUFFIX)
    if sum(tensor_bytes(tensor) for tensor in graph.initializer) > INLINE_BYTES:
        write_beside(proto, source_of, beside)
        write_pieces(pieces(proto, lambda tensor: None if _lies_in(tensor, beside) else source_of(tensor)), target)
    else:
        write_pieces(pieces(proto, source_of), target)
    return replace(open_model(target), path=target)


def write_beside(proto: onnx.ModelProto, source_of: Callable[[onnx.TensorProto], Source], path: Path) -> None:
    """Stream the heavy initializers of a model to a file of their own, and make the model refer to it."""
    parts: list[bytes | Source] = []
    end = 0
    for tensor in proto.graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        source = source_of(tensor)
        padding = -end % ALIGNMENT
        parts += [bytes(padding), source]
        refer(tensor, path.name, end + padding, source.nbytes)
        end += padding + source.nbytes
    write_pieces(parts, path)


def _lies_in(tensor: onnx.TensorProto, path: Path) -> bool:
    return external_fields(tensor).get("location") == path.name


def _has_data(tensor: onnx.TensorProto) -> bool:
    fields = ("raw_data", "float_data", "double_data", "int32_data", "int64_data", "uint64_data", "string_data")
    return any(len(getattr(tensor, field)) for field in fields)


def _shaped_constants(model: ModelFile) -> list[onnx.TensorProto]:
    """Return the floating results of ConstantOfShape nodes whose shape is stored."""
    stored = {tensor.name: tensor for tensor in model.proto.graph.initializer if _has_data(tensor)}
    found = []
    for node in model.proto.graph.node:
        if node.op_type != "ConstantOfShape" or node.input[0] not in stored:
            continue
        value = attribute(node, "value", None)
        kind = onnx.TensorProto.FLOAT if value is None else value.data_type
        if np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind)).kind == "f":
            dims = onnx.numpy_helper.to_array(stored[node.input[0]]).tolist()
            found.append(onnx.TensorProto(name=node.output[0], data_type=kind, dims=dims))
    return found


def _generated(model: ModelFile, roles: _Roles, tensor: onnx.TensorProto, seed: int) -> Generated:
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    if dtype.kind not in "iuf" and dtype.name != "bfloat16":
        raise UserError(f"no values can be made up for {tensor.name!r} ({dtype})", where=str(model.path))
    if dtype.kind in "iu" and (dtype.itemsize > 1 or tensor_bytes(tensor) != math.prod(tensor.dims)):
        raise UserError(
            f"the integers of {tensor.name!r} are missing",
            where=str(model.path),
            hint="put the file with its external data beside the model",
        )
    return Generated(
        name=tensor.name,
        elements=math.prod(tensor.dims),
        element_type=tensor.data_type,
        spread=roles.spread(tensor.name, tuple(tensor.dims)),
        seed=seed,
    )


class _Roles:
    """What each weight of a model is for, told from the operator that uses it."""

    def __init__(self, model: ModelFile) -> None:
        self._constants = model.constants
        self._user: dict[str, onnx.NodeProto] = {}
        for node in model.proto.graph.node:
            for name in used_values(node):
                self._user.setdefault(name, node)

    def spread(self, name: str, dims: tuple[int, ...]) -> Spread:
        """Return how the values of a weight are distributed."""
        for _ in range(8):
            user = self._user.get(name)
            if user is None or user.op_type not in _PASSED_ON:
                break
            name = user.output[0]
        if user is None:
            return Spread(centre=0.0, scale=0.1)
        slot = list(user.input).index(name) if name in user.input else 0
        if user.op_type in _NORMALISATIONS and slot == 4:
            return Spread(centre=1.0, scale=0.5, uniform=True)
        if user.op_type in ("QuantizeLinear", "DequantizeLinear") and slot == 1:
            return Spread(centre=0.02, scale=0.01, uniform=True)
        if (user.op_type in _NORMALISATIONS and slot == 1) or user.op_type in ("Mul", "Div"):
            return Spread(centre=1.0, scale=0.1)
        if user.op_type == "Gather":
            return Spread(centre=0.0, scale=1.0)
        if len(dims) < 2:
            return Spread(centre=0.0, scale=0.1)
        gain = _RESIDUAL_GAIN if self._ends_branch(user) else 1.0
        return Spread(centre=0.0, scale=gain * math.sqrt(2 / max(1, _fan_in(user, slot, dims))))

    def _ends_branch(self, node: onnx.NodeProto) -> bool:
        """Whether what a node computes is added to another value, but for a bias or a normalisation on the way."""
        for _ in range(4):
            user = self._user.get(node.output[0])
            if user is None:
                return False
            if user.op_type in ("Add", "Sum") and sum(name not in self._constants for name in user.input) > 1:
                return True
            if user.op_type not in ("Add", "BatchNormalization"):
                return False
            node = user
        return False


def _fan_in(user: onnx.NodeProto, slot: int, dims: tuple[int, ...]) -> int:
    if user.op_type in ("MatMul", "Gemm"):
        return dims[-1] if slot == 0 or attribute(user, "transB", 0) else dims[-2]
    return dims[-1] if user.op_type in ("GRU", "LSTM", "RNN") else math.prod(dims[1:])
