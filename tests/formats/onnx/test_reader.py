from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, parser

from framework.errors import UserError
from framework.formats import read_graph
from framework.formats.onnx.reader import parse
from framework.formats.onnx.wiring import node_labels
from framework.model.graph import ModelGraph, PhysicalCosts

HEADER = '<ir_version: 8, opset_import: ["": 17, "custom": 1]>\n'


def model_of(text: str) -> onnx.ModelProto:
    return parser.parse_model(HEADER + text)


def read(model: onnx.ModelProto | str, dims: dict[str, int] | None = None, *, drop_unused: bool = False) -> ModelGraph:
    proto = model_of(model) if isinstance(model, str) else model
    return parse(proto.SerializeToString(), "dir/m.onnx", dims=dims, drop_unused=drop_unused)


def refusal(model: onnx.ModelProto | str, dims: dict[str, int] | None = None) -> str:
    with pytest.raises(UserError) as caught:
        read(model, dims)
    message = str(caught.value)
    assert message.startswith("dir/m.onnx")
    return message


def costs_of(graph: ModelGraph) -> PhysicalCosts:
    assert isinstance(graph.costs, PhysicalCosts)
    return graph.costs


def tensors_of(graph: ModelGraph) -> list[tuple[str, float, list[str]]]:
    top, names = graph.topology, graph.node_names
    return [
        (names[u], size, [names[v] for v in top.consumers[top.consumer_ptr[t] : top.consumer_ptr[t + 1]]])
        for t, (u, size) in enumerate(zip(top.producer, costs_of(graph).tensor_bytes.tolist(), strict=True))
    ]


def test_nodes_tensors_and_costs() -> None:
    graph = read(
        """g (float[1, 3, 8, 8] x) => (float[1, 4, 1, 1] y)
        <float[4, 3, 3, 3] w = {0}, float[4] b = {0}>
        {
            c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w, b)
            r = Relu (c)
            a = Add (c, r)
            y = GlobalAveragePool (a)
        }""".replace("{0}", "{" + ", ".join(["0"] * 4) + "}").replace(
            "float[4, 3, 3, 3] w = {0, 0, 0, 0}", "float[4, 3, 3, 3] w = {" + ", ".join(["0"] * 108) + "}"
        )
    )
    assert graph.name == "m"
    assert graph.batch == 1
    assert graph.dtype == "float32"
    assert graph.remarks == ()
    assert graph.node_names == ("c", "r", "a", "y")
    assert graph.ops == ("Conv", "Relu", "Add", "GlobalAveragePool")
    assert tensors_of(graph) == [("c", 1024, ["r", "a"]), ("r", 1024, ["a"]), ("a", 1024, ["y"])]
    costs = costs_of(graph)
    assert costs.flops.tolist() == [2 * 256 * 27, 256, 256, 256]
    assert costs.parameter_bytes.tolist() == [4 * 108 + 16, 0, 0, 0]
    assert costs.accessed_bytes.tolist() == [768 + 448 + 1024, 2048, 3072, 1024 + 16]
    assert np.isnan(costs.seconds).all()


def test_each_output_is_a_tensor_and_inputs_are_free() -> None:
    graph = read(
        """g (float[4, 6] x, float[4, 2] z) => (float[4, 2] y, float[4, 2] v)
        {
            a, b, unused = Split <axis = 1> (x)
            y = Add (a, z)
            v = Mul (b, a)
        }"""
    )
    assert graph.node_names == ("a", "y", "v")
    assert tensors_of(graph) == [("a", 32, ["y", "v"]), ("a", 32, ["v"])]


def test_what_no_output_depends_on_counts_unless_dropped() -> None:
    text = """g (float[4, 8] x) => (float[4, 8] y)
        {
            eight = Constant <value = int64[2] {8, 8}> ()
            wide = Constant <value = int64[2] {8, 64}> ()
            w = ConstantOfShape (eight)
            aux = ConstantOfShape (wide)
            a = MatMul (x, w)
            h = MatMul (a, aux)
            s = Softmax (h)
            y = MatMul (a, w)
        }"""
    counted, dropped = read(text), read(text, drop_unused=True)
    assert counted.node_names == dropped.node_names == ("a", "h", "s", "y")
    assert tensors_of(counted) == [("a", 128, ["h", "y"]), ("h", 1024, ["s"])]
    assert tensors_of(dropped) == [("a", 128, ["y"])]
    for name in ("flops", "parameter_bytes", "accessed_bytes"):
        whole, rest = getattr(costs_of(counted), name), getattr(costs_of(dropped), name)
        assert rest.tolist() == [whole[0], 0, 0, whole[3]]
    assert "2 nodes lead to no output of the model and count all the same" in counted.remarks[-1]
    assert "(leave out with --drop-unused): 'h', 's'" in counted.remarks[-1]
    assert dropped.remarks[-1] == "2 nodes lead to no output of the model and cost nothing: 'h', 's'"


def test_relabelling_operators_are_free_nodes() -> None:
    graph = read(
        """g (float[2, 3, 4] x) => (float[24] y)
        {
            s = Shape (x)
            k = Constant <value = int64[1] {-1}> ()
            f = Reshape (x, k)
            d = Dropout (f)
            i = Identity (d)
            y = Relu (i)
        }"""
    )
    assert graph.ops == ("Shape", "Reshape", "Dropout", "Identity", "Relu")
    costs = costs_of(graph)
    assert costs.flops.tolist() == [0, 0, 0, 0, 24]
    assert costs.accessed_bytes.tolist() == [0, 0, 0, 0, 192]
    assert costs.parameter_bytes.tolist() == [0, 8, 0, 0, 0]
    assert [(u, vs) for u, _, vs in tensors_of(graph)] == [("f", ["d"]), ("d", ["i"]), ("i", ["y"])]


def test_expressions_of_constants_are_folded_into_their_users() -> None:
    graph = read(
        """g (float[2, 8] x) => (float[2, 8] y)
        {
            shape = Constant <value = int64[2] {8, 8}> ()
            w = ConstantOfShape (shape)
            t = Transpose (w)
            small = Constant <value = float[1] {2.0}> ()
            wide = Expand (small, shape)
            h = MatMul (x, t)
            y = MatMul (h, wide)
        }"""
    )
    assert graph.node_names == ("h", "y")
    # A transposed weight is as large as the weight; an expanded scalar is stored as the scalar and the shape.
    assert costs_of(graph).parameter_bytes.tolist() == [256, 4 + 16]


def test_element_types_are_respected() -> None:
    inputs = helper.make_tensor_value_info("x", TensorProto.FLOAT16, [10])
    nodes = [
        helper.make_node("Cast", ["x"], ["q"], to=TensorProto.INT4),
        helper.make_node("Cast", ["q"], ["d"], to=TensorProto.DOUBLE),
        helper.make_node("Add", ["d", "w"], ["y"]),
    ]
    weight = helper.make_tensor("w", TensorProto.DOUBLE, [1], [1.0])
    output = helper.make_tensor_value_info("y", TensorProto.DOUBLE, [10])
    graph = read(helper.make_model(helper.make_graph(nodes, "g", [inputs], [output], [weight])))
    assert [size for _, size, _ in tensors_of(graph)] == [5, 80]
    assert costs_of(graph).accessed_bytes.tolist() == [20 + 5, 5 + 80, 80 + 8 + 80]
    assert graph.dtype == "float64"


def test_weights_may_be_absent_or_external() -> None:
    model = model_of(
        """g (float[2, 3] x) => (float[2, 5] y) <float[3, 5] w = {0}> { y = MatMul (x, w) }""".replace(
            "{0}", "{" + ", ".join(["0"] * 15) + "}"
        )
    )
    weight = model.graph.initializer[0]
    expected = read(model).sha256()
    weight.ClearField("float_data")
    weight.ClearField("raw_data")
    assert read(model).sha256() == expected
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="weights.bin")
    assert read(model).sha256() == expected


def test_symbolic_dimensions() -> None:
    text = """g (float[N, 3, "height", 8] x) => (float[N, 3, "height", 8] y) { y = Relu (x) }""".replace('"', "")
    assert "the shape of input 'x' is [N, 3, height, 8] (give `dims={'N': 1, 'height': 1}`)" in refusal(text)
    assert "is [2, 3, height, 8] (give `dims={'height': 1}`)" in refusal(text, {"N": 2})
    graph = read(text, {"N": 2, "height": 5})
    assert costs_of(graph).flops.tolist() == [2 * 3 * 5 * 8]
    assert graph.batch == 2
    assert "no dimension 'hight' (did you mean height?)" in refusal(text, {"N": 2, "height": 5, "hight": 5})
    assert "`dims={'N': -1}` is negative" in refusal(text, {"N": -1})
    assert "is beyond 64 bits (give a size)" in refusal(text, {"N": 2**63, "height": 1})
    assert "node 'y' (Relu): its output 'y' of shape [46" in refusal(text, {"N": 2**62, "height": 2})
    assert "no machine holds it" in refusal(
        "g (float[" + ", ".join(["N"] * 20) + "] x) => (float[M] y) { y = Relu (x) }", {"N": 2**62, "M": 1}
    )


def test_dimensions_without_a_name_are_called_by_input_and_axis() -> None:
    model = model_of("g (float[1, 3] x) => (float[1, 3] y) { y = Relu (x) }")
    model.graph.input[0].type.tensor_type.shape.dim[0].Clear()
    model.graph.output[0].type.tensor_type.shape.dim[0].Clear()
    assert "is [x.0, 3] (give `dims={'x.0': 1}`)" in refusal(model)
    assert costs_of(read(model, {"x.0": 4})).flops.tolist() == [12]
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    assert "give `dims={'x.0': 1}`" in refusal(model)


def test_stored_shapes_of_another_batch_do_not_survive_binding() -> None:
    model = model_of("g (float[N, 3] x) => (float[N, 3] y) { h = Relu (x)  y = Relu (h) }")
    model.graph.value_info.append(helper.make_tensor_value_info("h", TensorProto.FLOAT, [1, 3]))
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    graph = read(model, {"N": 7})
    assert [size for _, size, _ in tensors_of(graph)] == [84]
    assert costs_of(graph).flops.tolist() == [21, 21]


def test_shapes_follow_from_shape_arithmetic() -> None:
    graph = read(
        """g (float[N, 3, 4] x) => (float[N, 12] y)
        <int64[1] zero = {0}, int64[1] minus = {-1}>
        {
            s = Shape (x)
            n = Gather (s, zero)
            t = Concat <axis = 0> (n, minus)
            f = Reshape (x, t)
            y = Relu (f)
        }""",
        {"N": 2},
    )
    assert tensors_of(graph)[-1] == ("f", 96, ["y"])


def test_data_dependent_sizes_can_be_given() -> None:
    text = "g (float[4] x) => (float[K] y) { i = NonZero (x)  c = Cast <to = 1> (i)  y = Relu (c) }"
    message = refusal(text)
    assert "node 'i' (NonZero): the shape of its output 'i' is [1, unk__0] (give `dims={'unk__0': 1}`)" in message
    assert [size for _, size, _ in tensors_of(read(text, {"unk__0": 3, "K": 3}))] == [24, 12]


def test_unknown_operators_without_a_shape() -> None:
    text = "g (float[4] x) => (float[4] y) { h = custom.Magic (x)  y = Relu (h) }"
    assert (
        "node 'h' (Magic): the shape of its output 'h' is unknown (store its shape in the file's value_info"
    ) in refusal(text)
    model = model_of(text)
    model.graph.value_info.append(helper.make_tensor_value_info("h", TensorProto.FLOAT, [4]))
    graph = read(model)
    assert costs_of(graph).flops.tolist() == [4, 4]
    (remark,) = graph.remarks
    assert remark.endswith("one operation per element of the first output (a guess): 'h' (custom.Magic)")


def test_values_that_are_no_tensors() -> None:
    text = "g (float[4] x) => (float[4] y) { s = SequenceConstruct (x)  y = ConcatFromSequence <axis = 0> (s) }"
    assert "node 's' (SequenceConstruct): the shape of its output 's' is a sequence" in refusal(text)


def conditional() -> onnx.ModelProto:
    cheap = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["t"])],
        "cheap",
        [],
        [helper.make_tensor_value_info("t", TensorProto.FLOAT, [4, 4])],
    )
    dear = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("MatMul", ["h", "v"], ["e"])],
        "dear",
        [],
        [helper.make_tensor_value_info("e", TensorProto.FLOAT, [4, 4])],
        [helper.make_tensor("v", TensorProto.FLOAT, [4, 4], [0.0] * 16)],
    )
    return helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Neg", ["q"], ["x"]),
                helper.make_node("If", ["c"], ["o"], then_branch=cheap, else_branch=dear),
                helper.make_node("Relu", ["o"], ["p"]),
            ],
            "g",
            [
                helper.make_tensor_value_info("q", TensorProto.FLOAT, [4, 4]),
                helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            ],
            [helper.make_tensor_value_info("p", TensorProto.FLOAT, [4, 4])],
            [helper.make_tensor("w", TensorProto.FLOAT, [4, 4], [0.0] * 16)],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
    )


def test_a_node_with_branches_is_one_node_and_uses_outer_values() -> None:
    graph = read(conditional())
    assert graph.node_names == ("x", "o", "p")
    assert tensors_of(graph) == [("x", 64, ["o"]), ("o", 64, ["p"])]
    costs = costs_of(graph)
    assert costs.parameter_bytes.tolist() == [0, 128, 0]
    assert costs.flops.tolist() == [16, 2 * (2 * 64), 16]
    assert graph.remarks[0] == "1 node with subgraphs (If) is one node"
    assert graph.remarks[1].startswith("node 'o' (If) is 88.9% of all operations and cannot be split")


@pytest.mark.parametrize(("trips", "factor"), [(5, 5), (None, 1)])
def test_a_loop_costs_its_body_times_its_trips(trips: int | None, factor: int) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["again"]), helper.make_node("Relu", ["state"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [6]),
        ],
        [
            helper.make_tensor_value_info("again", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [6]),
        ],
    )
    count = [helper.make_tensor("m", TensorProto.INT64, [], [trips])] if trips else []
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [6])]
    inputs += [] if trips else [helper.make_tensor_value_info("m", TensorProto.INT64, [])]
    graph = read(
        helper.make_model(
            helper.make_graph(
                [helper.make_node("Loop", ["m", "", "x"], ["y"], body=body)],
                "g",
                inputs,
                [helper.make_tensor_value_info("y", TensorProto.FLOAT, [6])],
                count,
            ),
            opset_imports=[helper.make_opsetid("", 17)],
        )
    )
    assert costs_of(graph).flops.tolist() == [6 * factor]
    assert any("number of trips is unknown" in remark for remark in graph.remarks) == (trips is None)


def test_functions_are_inlined() -> None:
    model = parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17, "local": 1]>
        g (float[2, 2] x) => (float[2, 2] y) { y = local.twice (x) }
        <domain: "local", opset_import: ["": 17]>
        twice (a) => (b) { h = Relu (a)  b = Relu (h) }"""
    )
    graph = read(model)
    assert graph.ops == ("Relu", "Relu")
    assert graph.remarks == ("1 function of the model was inlined",)


def test_random_sources_are_nodes() -> None:
    graph = read(
        """g (float[4] x) => (float[4] y)
        { n = RandomNormal <shape = [4]> ()  y = Add (x, n) }"""
    )
    assert graph.ops == ("RandomNormal", "Add")


def test_names() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["first"], name="twin"),
        helper.make_node("Relu", ["first"], ["c"], name="twin"),
        helper.make_node("Relu", ["c"], ["d"]),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "g", [info("x", TensorProto.FLOAT, [1])], [info("d", TensorProto.FLOAT, [1])])
    assert node_labels(graph) == ["first", "Relu#1", "c", "d"]
    assert read(helper.make_model(graph)).node_names == ("first", "Relu#1", "c", "d")


def test_broken_wiring() -> None:
    model = model_of("g (float[4] x) => (float[4] y) { a = Relu (x)  b = Relu (a)  y = Relu (b) }")
    nodes = model.graph.node
    nodes[1].input[0] = "nowhere"
    assert "node 'b': nothing computes the value 'nowhere'" in refusal(model)
    nodes[1].input[0] = "y"
    assert "the graph has a cycle of 2 nodes: " in refusal(model)
    nodes[1].input[0] = "b"
    assert "node 'b' consumes its own output" in refusal(model)
    nodes[1].input[0] = "a"
    nodes[1].output[0] = "a"
    assert "node 'Relu#1': the value 'a' is computed twice" in refusal(model)
    nodes[1].output[0] = "b"
    nodes.append(nodes.pop(0))
    assert "node 'b': the value 'a' is used before it is computed" in refusal(model)


def test_damaged_and_empty_models() -> None:
    for data, expected in [
        (b"garbage garbage", "not an ONNX model"),
        (b"\x08\x07", "this ONNX file holds no graph"),
        (model_of("g (float[4] x) => (float[4] y) { y = Relu (x) }").SerializeToString()[:-30], "not an ONNX model"),
    ]:
        with pytest.raises(UserError, match=expected):
            parse(data, "x.onnx")
    empty = helper.make_model(helper.make_graph([], "g", [], []))
    assert "the graph has no nodes" in refusal(empty)
    constant = model_of("g (float[4] x) => (float[1] y) { y = Constant <value = float[1] {1.0}> () }")
    assert "no node depends on an input" in refusal(constant)
    versionless = model_of("g (float[4] x) => (float[4] y) { y = Relu (x) }")
    del versionless.opset_import[:]
    assert "shape inference fails: [TypeInferenceError]" in refusal(versionless)
    untyped = model_of("g (float[4] x) => (float[4] y) { y = Relu (x) }")
    untyped.graph.input[0].ClearField("type")
    assert "the input 'x' has no shape" in refusal(untyped)


@pytest.mark.parametrize(
    ("name", "gflops", "megabytes"),
    [
        ("resnet50", 8.218, 102.44),
        ("vgg19", 39.285, 574.67),
        ("densenet121", 5.749, 32.58),
        ("squeezenet", 0.704, 4.94),
    ],
)
def test_published_totals_of_the_light_models(name: str, gflops: float, megabytes: float) -> None:
    light = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    graph = read_graph(light / f"light_{name}.onnx")
    assert costs_of(graph).flops.sum() / 1e9 == pytest.approx(gflops, rel=1e-3)
    stored = costs_of(graph).parameter_bytes.sum() + costs_of(graph).shared_bytes.sum()
    assert stored / 1e6 == pytest.approx(megabytes, rel=1e-3)
    assert graph.dtype == "float32"
