"""Which rule tells the cost of an ONNX node: domain and type decide, never the type alone.

A node without a rule counts as one operation per element of its first output: a guess, which readers report.
"""

from __future__ import annotations

import math

import onnx

from framework.formats.onnx.operators.contrib import CONTRIB, CONTRIB_MOVES, CONTRIB_PARTIAL_READS
from framework.formats.onnx.operators.standard import SHAPE_ONLY, STANDARD, Rule, Types, attribute, elements, shape

DEFAULT_DOMAINS = ("", "ai.onnx")
CONTRIB_DOMAIN = "com.microsoft"

_PARTIAL_READS = {"Gather": (0,), "GatherElements": (0,), "GatherND": (0,), "Slice": (0,)}


def find_rule(node: onnx.NodeProto) -> Rule | None:
    """Return the rule that counts a node's operations; None if there is none for its domain and type."""
    return RULES.get(node.domain, {}).get(node.op_type)


def node_flops(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    """Return the operations of one run of a node; what has no known shape counts nothing.

    Parameters
    ----------
    inputs, outputs
        The types of the node's inputs and outputs, None where absent or unknown.
    """
    rule = find_rule(node)
    return elements(outputs, 0) if rule is None else rule(node, inputs, outputs)


def touches_no_data(node: onnx.NodeProto) -> bool:
    """Whether a node only relabels what it reads, and costs nothing."""
    if node.domain in DEFAULT_DOMAINS:
        return node.op_type in SHAPE_ONLY
    return node.domain == CONTRIB_DOMAIN and node.op_type in CONTRIB_MOVES


def partial_reads(node: onnx.NodeProto) -> tuple[int, ...]:
    """Return the positions of the inputs that a node reads only as much of as it writes."""
    if node.domain in DEFAULT_DOMAINS:
        return _PARTIAL_READS.get(node.op_type, ())
    return CONTRIB_PARTIAL_READS.get(node.op_type, ()) if node.domain == CONTRIB_DOMAIN else ()


def operator_name(node: onnx.NodeProto) -> str:
    """Return what people call a node's operator: the type, after the domain if it is not the default one."""
    return node.op_type if node.domain in DEFAULT_DOMAINS else f"{node.domain}.{node.op_type}"


def _linear_model(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    return 2 * _samples(inputs) * len(attribute(node, "coefficients", []))


def _support_vectors(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    weights = len(attribute(node, "support_vectors", [])) or len(attribute(node, "coefficients", []))
    return 3 * _samples(inputs) * weights


def _trees(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    """Each sample walks down each tree; trees are taken as balanced."""
    trees = len(attribute(node, "tree_roots", [])) or len(set(attribute(node, "nodes_treeids", [])))
    nodes = len(attribute(node, "nodes_featureids", []))
    return _samples(inputs) * trees * (math.ceil(math.log2(nodes / trees + 1)) if trees else 0)


def _samples(inputs: Types) -> int:
    read = shape(inputs, 0)
    return read[0] if len(read) > 1 else 1


def _per_written(operations: int) -> Rule:
    return lambda node, inputs, outputs: operations * elements(outputs, 0)


_CLASSICAL: dict[str, Rule] = {
    **dict.fromkeys(
        ("ArrayFeatureExtractor", "CastMap", "DictVectorizer", "FeatureVectorizer", "OneHotEncoder", "ZipMap"),
        _per_written(0),
    ),
    **dict.fromkeys(("Binarizer", "CategoryMapper", "Imputer", "LabelEncoder"), _per_written(1)),
    "LinearClassifier": _linear_model,
    "LinearRegressor": _linear_model,
    "Normalizer": _per_written(3),
    "SVMClassifier": _support_vectors,
    "SVMRegressor": _support_vectors,
    "Scaler": _per_written(2),
    "TreeEnsemble": _trees,
    "TreeEnsembleClassifier": _trees,
    "TreeEnsembleRegressor": _trees,
}

# Convolutions and pools cost the same whatever the layout: filters keep theirs.
_CHANNELS_LAST = STANDARD | {op: CONTRIB[op] for op in ("QLinearAveragePool", "QLinearConv")}
_BLOCKED = {
    op: STANDARD[op] for op in ("AveragePool", "Conv", "GlobalAveragePool", "GlobalMaxPool", "MaxPool", "Upsample")
} | dict.fromkeys(("ReorderInput", "ReorderOutput"), _per_written(0))

RULES: dict[str, dict[str, Rule]] = {
    "": STANDARD,
    "ai.onnx": STANDARD,
    "ai.onnx.ml": _CLASSICAL,
    "ai.onnx.preview": {"FlexAttention": STANDARD["Attention"]},
    CONTRIB_DOMAIN: CONTRIB,
    "com.ms.internal.nhwc": _CHANNELS_LAST,
    "com.microsoft.nchwc": _BLOCKED,
}
"""For each domain the rules of its operators."""
