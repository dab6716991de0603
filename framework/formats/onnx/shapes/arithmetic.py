"""The arithmetic of shapes: small known values, computed by numpy where that is one line, else by onnx's reference.

Exporters write thousands of these nodes; creating an evaluator for each would take most of the time of reading.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from framework.formats.onnx.operators.standard import attribute

Array: TypeAlias = NDArray[Any]
_Computed: TypeAlias = Callable[[onnx.NodeProto, Sequence[Array]], Array]

ARITHMETIC = frozenset(
    {
        "Abs", "Add", "And", "Cast", "CastLike", "Ceil", "Clip", "Concat", "Constant", "ConstantOfShape", "CumSum",
        "Div", "Equal", "Expand", "Flatten", "Floor", "Gather", "GatherElements", "GatherND", "Greater",
        "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or", "Pad",
        "Pow", "Range", "Reciprocal", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "Reshape",
        "Round", "ScatterElements", "ScatterND", "Sign", "Slice", "Split", "Sqrt", "Squeeze", "Sub", "Tile",
        "Transpose", "Trilu", "Unsqueeze", "Where", "Xor",
    }
)  # fmt: skip
"""What shapes, masks and positions are computed by; each takes time in proportion to what it reads and writes."""


def compute(
    node: onnx.NodeProto, known: Mapping[str, Array], opsets: Sequence[onnx.OperatorSetIdProto]
) -> dict[str, Array]:
    """Return the results of a node whose inputs are known; empty if it cannot be run.

    Parameters
    ----------
    opsets
        The versions that the model imports.
    """
    direct = _DIRECT.get(node.op_type)
    inputs = [known[name] for name in node.input if name]
    if direct is not None and len(inputs) == len(node.input) and len(node.output) == 1:
        try:
            return {node.output[0]: np.asarray(direct(node, inputs))}
        except (TypeError, ValueError, IndexError, KeyError, OverflowError):
            return {}
    return _by_reference(node, known, opsets)


def _by_reference(
    node: onnx.NodeProto, known: Mapping[str, Array], opsets: Sequence[onnx.OperatorSetIdProto]
) -> dict[str, Array]:
    from onnx.reference import ReferenceEvaluator

    feeds = {name: known[name] for name in node.input if name}
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in feeds.items()
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    try:
        one = helper.make_model(helper.make_graph([node], "one", inputs, outputs), opset_imports=list(opsets))
        made = ReferenceEvaluator(one).run(None, feeds)
    except Exception:  # whatever it cannot run stays open, as it was
        return {}
    results = dict(zip([output.name for output in outputs], made, strict=True))
    if not all(isinstance(array, np.ndarray | np.generic) for array in results.values()):
        return {}
    return {name: np.asarray(array) for name, array in results.items()}


def _constant(node: onnx.NodeProto, inputs: Sequence[Array]) -> Array:
    (held,) = node.attribute
    if held.name == "value":
        return numpy_helper.to_array(held.t)
    kinds = {"value_int": np.int64, "value_ints": np.int64, "value_float": np.float32, "value_floats": np.float32}
    return np.array(helper.get_attribute_value(held), kinds[held.name])


def _cast(node: onnx.NodeProto, inputs: Sequence[Array]) -> Array:
    with np.errstate(all="ignore"):
        return inputs[0].astype(helper.tensor_dtype_to_np_dtype(attribute(node, "to", 0)))


def _axes(node: onnx.NodeProto, inputs: Sequence[Array]) -> list[int]:
    given = inputs[1].reshape(-1).tolist() if len(inputs) > 1 else attribute(node, "axes", [])
    return [int(axis) for axis in given]


def _unsqueeze(node: onnx.NodeProto, inputs: Sequence[Array]) -> Array:
    return np.expand_dims(inputs[0], tuple(_axes(node, inputs)))


def _squeeze(node: onnx.NodeProto, inputs: Sequence[Array]) -> Array:
    return np.squeeze(inputs[0], tuple(_axes(node, inputs)) or None)


def _slice(node: onnx.NodeProto, inputs: Sequence[Array]) -> Array:
    """From version 10 on, the bounds are inputs; numpy cuts them off where they lie outside, as ONNX does."""
    if len(inputs) < 3:
        raise ValueError("its bounds are attributes")
    starts, ends = inputs[1].tolist(), inputs[2].tolist()
    axes = inputs[3].tolist() if len(inputs) > 3 else list(range(len(starts)))
    steps = inputs[4].tolist() if len(inputs) > 4 else [1] * len(starts)
    if any(step < 1 for step in steps):
        raise ValueError("backwards")
    cut: list[slice] = [slice(None)] * inputs[0].ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        cut[axis] = slice(start, end, step)
    return inputs[0][tuple(cut)]


def _quotient(node: onnx.NodeProto, inputs: Sequence[Array]) -> Array:
    left, right = inputs
    with np.errstate(all="ignore"):
        if not np.issubdtype(left.dtype, np.integer):
            return left / right
        # ONNX rounds towards zero.
        if not right.all():
            raise ValueError("division by zero")
        whole = np.abs(left) // np.abs(right)
        return np.asarray(np.sign(left) * np.sign(right) * whole, left.dtype)


def _wrapped(operation: Callable[[Array, Array], Array]) -> _Computed:
    def run(node: onnx.NodeProto, inputs: Sequence[Array]) -> Array:
        with np.errstate(all="ignore"):
            return operation(inputs[0], inputs[1])

    return run


_DIRECT: dict[str, _Computed] = {
    "Add": _wrapped(np.add),
    "Cast": _cast,
    "Concat": lambda node, inputs: np.concatenate(inputs, int(attribute(node, "axis", 0))),
    "Constant": _constant,
    "Div": _quotient,
    "Equal": _wrapped(np.equal),
    "Gather": lambda node, inputs: np.take(inputs[0], inputs[1].astype(np.int64), int(attribute(node, "axis", 0))),
    "Identity": lambda node, inputs: inputs[0],
    "Mul": _wrapped(np.multiply),
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Sub": _wrapped(np.subtract),
    "Unsqueeze": _unsqueeze,
    "Where": lambda node, inputs: np.where(inputs[0], inputs[1], inputs[2]),
}
