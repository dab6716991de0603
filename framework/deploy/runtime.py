"""onnxruntime, imported only here and only when it is needed; and what a model is fed with."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from enum import StrEnum
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from framework.deploy.onnx_model import ModelFile
from framework.deploy.runnable import Runnable
from framework.errors import UserError

_FOREIGN = {
    f"tensor({name.lower()})": int(onnx.TensorProto.DataType.Value(name))
    for name in ("BFLOAT16", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ")
}
"""Element types that onnxruntime cannot hand out as arrays by itself."""

_PLAIN = frozenset(
    f"tensor({name})"
    for name in (
        "bool",
        "double",
        "float",
        "float16",
        *(f"{u}int{bits}" for u in ("", "u") for bits in (8, 16, 32, 64)),
    )
)
_UNSUPPORTED = ("NOT_IMPLEMENTED", "is not a registered function/op")

Feed = dict[str, Any]
"""A numpy array for each input of a model."""


class UnsupportedError(UserError):
    """onnxruntime has no kernel for an operator of a model on this device: the model may be right all the same."""


class Optimization(StrEnum):
    """How far onnxruntime rewrites a graph before it runs it; the same for all that is compared."""

    NONE = "none"
    BASIC = "basic"
    EXTENDED = "extended"
    ALL = "all"


def onnxruntime() -> Any:
    """Return the onnxruntime module.

    Raises
    ------
    UserError
        If it is not installed.
    """
    try:
        return import_module("onnxruntime")
    except ImportError:
        raise UserError("onnxruntime is not installed", hint="pip install 'pipebound[deploy]'") from None


def has_onnxruntime() -> bool:
    """Return whether onnxruntime is installed."""
    return find_spec("onnxruntime") is not None


def open_session(
    model: Path | Runnable, *, optimization: Optimization = Optimization.ALL, profile: Path | None = None
) -> Any:
    """Load a model on one thread of the CPU.

    Parameters
    ----------
    profile
        Prefix of the file that onnxruntime's profiler writes; the rewritten model is saved beside it, its weights in a
        file of their own.

    Raises
    ------
    UserError
        If onnxruntime refuses the model.
    """
    loaded = model if isinstance(model, Runnable) else Runnable(path=model)
    ort = onnxruntime()
    levels = ort.GraphOptimizationLevel
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    options.graph_optimization_level = {
        Optimization.NONE: levels.ORT_DISABLE_ALL,
        Optimization.BASIC: levels.ORT_ENABLE_BASIC,
        Optimization.EXTENDED: levels.ORT_ENABLE_EXTENDED,
        Optimization.ALL: levels.ORT_ENABLE_ALL,
    }[optimization]
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
        options.optimized_model_filepath = str(profile.with_suffix(".onnx"))
        # A protobuf message holds no more than 2 GiB.
        weights = profile.with_suffix(".weights").name
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", weights)
        options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "65536")
    try:
        arrays = [weight.array() for weight in loaded.weights]
        given = [
            ort.OrtValue.ortvalue_from_numpy_with_onnx_type(array, weight.element_type)
            for array, weight in zip(arrays, loaded.weights, strict=True)
        ]
        if given:
            options.add_external_initializers([weight.name for weight in loaded.weights], given)
        content = str(loaded.path) if loaded.encoded is None else loaded.encoded
        session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base class of their own
        what, unsupported = (
            f"onnxruntime does not load it: {_reason(error)}",
            any(s in str(error) for s in _UNSUPPORTED),
        )
        raise (UnsupportedError if unsupported else UserError)(what, where=str(loaded.path)) from None
    # The session reads the arrays where they are, and does not keep them alive.
    session.pipebound_weights = (arrays, given)
    return session


def random_feed(model: ModelFile, dims: Mapping[str, int], seed: int = 0) -> Feed:
    """Return seeded inputs for a model: normal where they are real numbers, small non-negative integers elsewhere.

    Raises
    ------
    UserError
        If an input's shape is open, or is no tensor of numbers.
    """
    values = model.bound_values(dims)
    rng = np.random.default_rng(seed)
    feed: Feed = {}
    for value in model.feeds:
        found, kind = values.get(value.name), values.element_type(value.name)
        if found is None or kind in (0, onnx.TensorProto.STRING):
            raise UserError(f"the input {value.name!r} is no tensor of numbers", where=str(model.path))
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind))
        if dtype.kind == "b":
            feed[value.name] = np.ones(found.shape, dtype)
        elif dtype.kind in "iu":
            # Token numbers, masks, positions: 0 and 1 are valid in all of them.
            feed[value.name] = rng.integers(0, 2, found.shape).astype(dtype)
        else:
            feed[value.name] = rng.standard_normal(found.shape).astype(dtype)
    return feed


def run_session(session: Any, feed: Feed, where: str) -> list[Any]:
    """Run a model once and return its outputs as arrays; raises `UserError` if onnxruntime does not.

    Types that numpy has not (bfloat16, float8) come as arrays of the types of the package ml_dtypes.
    """
    entries = [*session.get_inputs(), *session.get_outputs()]
    try:
        if not any(entry.type in _FOREIGN for entry in entries):
            return list(session.run(None, feed))
        binding = session.io_binding()
        given = {entry.name: np.ascontiguousarray(feed[entry.name]) for entry in session.get_inputs()}
        for name, array in given.items():
            binding.bind_input(name, "cpu", 0, onnx_type(array), array.shape, array.ctypes.data)
        for entry in session.get_outputs():
            binding.bind_output(entry.name, "cpu")
        session.run_with_iobinding(binding)
        return [_array(value) for value in binding.get_outputs()]
    except Exception as error:  # its exceptions share no base class of their own
        raise UserError(f"onnxruntime does not run it: {_reason(error)}", where=where) from None


def onnx_type(array: NDArray[Any]) -> int:
    """Return the ONNX code of an array's element type."""
    return int(onnx.helper.np_dtype_to_tensor_dtype(array.dtype))


def can_hand_over(kind: str) -> bool:
    """Whether a value of a type, as onnxruntime names it, is a tensor of numbers of whole bytes, for shared memory."""
    return kind in _PLAIN or kind in _FOREIGN


def _array(value: Any) -> NDArray[Any]:
    """Return an output as an array, copied out of onnxruntime's memory."""
    if value.data_type() not in _FOREIGN:
        return np.asarray(value.numpy())
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(_FOREIGN[value.data_type()]))
    held = (ctypes.c_uint8 * value.tensor_size_in_bytes()).from_address(value.data_ptr())
    return np.frombuffer(bytes(held), dtype).reshape(value.shape())


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
