"""onnxruntime, imported only here and only when it is needed; and what a model is fed with."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from framework.deploy.model import ModelFile
from framework.errors import UserError

Feed = dict[str, Any]
"""A numpy array for each input of a model."""


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
        raise UserError("onnxruntime is not installed", mend="pip install 'pipebound[deploy]'") from None


def has_onnxruntime() -> bool:
    """Return whether onnxruntime is installed."""
    return find_spec("onnxruntime") is not None


def open_session(path: Path, *, optimization: Optimization = Optimization.ALL, profile: Path | None = None) -> Any:
    """Load a model on one thread of the CPU.

    Parameters
    ----------
    profile
        Prefix of the file that onnxruntime's profiler writes; the rewritten model is saved beside it.

    Raises
    ------
    UserError
        If onnxruntime refuses the model.
    """
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
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base class of their own
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"onnxruntime does not load it: {reason}", where=str(path)) from None


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
    """Run a model once; raises `UserError` if onnxruntime does not."""
    try:
        outputs: list[Any] = session.run(None, feed)
    except Exception as error:  # its exceptions share no base class of their own
        raise UserError(f"onnxruntime does not run it: {str(error).strip().splitlines()[0]}", where=where) from None
    return outputs
