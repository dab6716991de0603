"""Shapes that are fixed, but that only running the model's own arithmetic of sizes reveals."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import parser, shape_inference

from framework.errors import UserError
from framework.formats.onnx.reader import parse
from framework.formats.onnx.shapes.folding import complete_shapes
from framework.model.graph import PhysicalCosts

HEADER = '<ir_version: 8, opset_import: ["": 17]>\n'

# What exporters write for a causal mask: a slice of a stored square, as long as the input is.
MASKED = (
    HEADER
    + """masked (float[N, S, 8] x, float[8, 8] unused) => (float[N, S, S] y)
    <int64[1] one = {1}, int64[1] two = {2}, int64[2] origin = {0, 0}, int64[2] axes = {0, 1}, float low = {-9.0}>
    {
        shape = Shape (x)
        length = Slice (shape, one, two)
        square = Concat <axis = 0> (length, length)
        full = Constant <value = int64[2] {16, 16}> ()
        filled = ConstantOfShape <value = bool[1] {1}> (full)
        mask = Slice (filled, origin, square, axes)
        back = Transpose <perm = [0, 2, 1]> (x)
        scores = MatMul (x, back)
        y = Where (mask, low, scores)
        count = NonZero (y)
        wide = Cast <to = 1> (count)
    }"""
)


def model_of(text: str) -> onnx.ModelProto:
    return parser.parse_model(text)


def without(model: onnx.ModelProto, *names: str) -> bytes:
    kept = [node for node in model.graph.node if not set(node.output) & set(names)]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(("n", "s"), [(1, 4), (3, 16)])
def test_sizes_that_follow_from_the_inputs_are_found(n: int, s: int) -> None:
    graph = parse(without(model_of(MASKED), "count", "wide"), "m.onnx", dims={"N": n, "S": s})
    costs = graph.costs
    assert isinstance(costs, PhysicalCosts)
    top = graph.topology
    sizes = dict(zip([graph.node_names[u] for u in top.producer], costs.tensor_bytes.tolist(), strict=True))
    assert sizes["mask"] == s * s
    assert sizes["scores"] == 4 * n * s * s
    # The nodes that compute the sizes stay nodes.
    assert graph.ops == ("Shape", "Slice", "Concat", "Slice", "Transpose", "MatMul", "Where")


def test_what_depends_on_data_stays_open() -> None:
    with pytest.raises(UserError, match="count"):
        parse(model_of(MASKED).SerializeToString(), "m.onnx", dims={"N": 1, "S": 4})


def test_nothing_changes_where_inference_finds_all() -> None:
    model = model_of(HEADER + "g (float[2, 3] x) => (float[2, 3] y) { h = Relu (x)  y = Neg (h) }")
    inferred = shape_inference.infer_shapes(model, data_prop=True)
    assert complete_shapes(inferred, {}) is inferred


def test_what_cannot_be_run_stays_open() -> None:
    text = HEADER.replace('["": 17]', '["": 17, "custom": 1]')
    model = model_of(
        text
        + """g (float[2, 3] x) => (float[2] y)
        { shape = Shape (x)  odd = custom.Halve (shape)  big = Expand (x, odd)  y = ReduceSum <keepdims = 0> (big) }"""
    )
    with pytest.raises(UserError, match=r"odd|big"):
        parse(model.SerializeToString(), "m.onnx")


def test_random_numbers_are_not_computed() -> None:
    model = model_of(
        HEADER
        + """g (float[2, 3] x) => (float[2, 3] y)
        {
            r = RandomUniform <shape = [1], low = 1.0, high = 9.0> ()
            size = Cast <to = 7> (r)
            grown = ConstantOfShape (size)
            y = Add (x, grown)
        }"""
    )
    with pytest.raises(UserError, match="grown"):
        parse(model.SerializeToString(), "m.onnx")


def test_results_agree_with_running_the_model() -> None:
    runtime = pytest.importorskip("onnxruntime")
    model = model_of(MASKED)
    data = without(model, "count", "wide")
    graph = parse(data, "m.onnx", dims={"N": 2, "S": 5})
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    feeds = {"x": np.zeros((2, 5, 8), np.float32), "unused": np.zeros((8, 8), np.float32)}
    (y,) = session.run(["y"], {entry.name: feeds[entry.name] for entry in session.get_inputs()})
    costs = graph.costs
    assert isinstance(costs, PhysicalCosts)
    where = graph.node_names.index("y")
    assert costs.flops[where] == y.size
