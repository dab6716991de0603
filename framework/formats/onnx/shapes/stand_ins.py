"""Standard operators that stand for onnxruntime's own where shapes are inferred: a fused convolution is a convolution.

Operators of the domain com.ms.internal.nhwc are standard ones whose channels come last, those of com.microsoft.nchwc
have them in blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import helper

from framework.formats.onnx.operators.standard import attribute

NHWC_DOMAIN, NCHWC_DOMAIN = "com.ms.internal.nhwc", "com.microsoft.nchwc"


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """A standard operator whose result has the shape of an operator of onnxruntime.

    Attributes
    ----------
    node
        Its inputs are called as those of the operator it stands for.
    opset
        The version of the default domain it is to be read in.
    channels_last
        Whether the first input and the output have their channels last, unlike the standard operator's.
    """

    node: onnx.NodeProto
    opset: int
    channels_last: bool


def stand_in(node: onnx.NodeProto) -> StandIn | None:
    """Return the standard operator that tells a node's shapes; None if there is none."""
    last = bool(attribute(node, "channels_last", 0))
    if node.domain == NHWC_DOMAIN:
        found = _STAND_INS.get(node.op_type, (node.op_type, tuple(range(len(node.input))), 22))
        last = True
    elif node.domain == NCHWC_DOMAIN and node.op_type not in ("ReorderInput", "ReorderOutput", "Upsample"):
        found = (node.op_type, (0, 1), 11)
    elif node.domain == "com.microsoft" and node.op_type in _STAND_INS:
        found = _STAND_INS[node.op_type]
        last = last or node.op_type.startswith("Nhwc")
    else:
        return None
    op, positions, opset = found
    try:
        known = onnx.defs.get_schema(op, opset, "").attributes
    except onnx.defs.SchemaError:
        return None
    names = [node.input[i] if i < len(node.input) else "" for i in positions]
    if node.op_type == "QLinearConcat":
        names = list(node.input[2::3])
    while names and not names[-1]:
        names.pop()
    standing = helper.make_node(op, names, list(node.output[:1]))
    standing.attribute.extend(held for held in node.attribute if held.name in known)
    return StandIn(node=standing, opset=opset, channels_last=last)


# Operator of onnxruntime: the standard operator, which of the inputs it has, the version whose attributes it has.
_STAND_INS: dict[str, tuple[str, tuple[int, ...], int]] = {
    "FusedConv": ("Conv", (0, 1), 11),
    "FusedGemm": ("Gemm", (0, 1), 13),
    "GatherND": ("GatherND", (0, 1), 13),
    "GemmFloat8": ("Gemm", (0, 1), 13),
    "GridSample": ("GridSample", (0, 1), 16),
    "MaxpoolWithMask": ("MaxPool", (0,), 11),
    "NhwcConv": ("Conv", (0, 1), 11),
    "NhwcFusedConv": ("Conv", (0, 1), 11),
    "NhwcMaxPool": ("MaxPool", (0,), 11),
    "Pad": ("Pad", (0, 1, 2), 13),
    "QGemm": ("Gemm", (0, 3), 13),
    "QLinearAveragePool": ("AveragePool", (0,), 11),
    "QLinearConcat": ("Concat", (), 13),
    "QLinearConv": ("Conv", (0, 3), 11),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", (0,), 11),
    "QLinearReduceMean": ("ReduceMean", (0,), 13),
    "Range": ("Range", (0, 1, 2), 11),
    "ReduceSumInteger": ("ReduceSum", (0,), 11),
}
