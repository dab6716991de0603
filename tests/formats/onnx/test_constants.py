"""Constants and who uses them: stored once however many nodes use them, folded where that is less."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from framework.model.graph import ModelGraph
from tests.formats.onnx.test_reader import costs_of, read

VOCABULARY, WIDTH = 2000, 16
TABLE = 4 * VOCABULARY * WIDTH

Parameters = dict[str, tuple[float, list[str]]]


def shared_of(graph: ModelGraph) -> Parameters:
    """Size and users of each shared parameter, by its name."""
    ptr, users = graph.shared.ptr, graph.shared.users
    sizes = zip(graph.shared_names, costs_of(graph).shared_bytes.tolist(), strict=True)
    return {
        name: (size, [graph.node_names[v] for v in users[ptr[q] : ptr[q + 1]]]) for q, (name, size) in enumerate(sizes)
    }


def private_of(graph: ModelGraph) -> dict[str, float]:
    """Bytes that nodes use alone, where there are any."""
    sizes = costs_of(graph).parameter_bytes.tolist()
    return {name: size for name, size in zip(graph.node_names, sizes, strict=True) if size}


def model(
    nodes: list[onnx.NodeProto], stored: dict[str, np.ndarray], inputs: dict[str, list[int]], output: list[int]
) -> onnx.ModelProto:
    kinds = {"ids": TensorProto.INT64, "flag": TensorProto.BOOL}
    return helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), inputs[name]) for name in inputs],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
            [numpy_helper.from_array(array, name) for name, array in stored.items()],
        ),
        opset_imports=[helper.make_opsetid("", 21)],
        ir_version=10,
    )


def node(op: str, inputs: list[str], output: str, name: str = "", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs, [output], name=name, **attributes)


def tied(head: list[onnx.NodeProto], **stored: np.ndarray) -> onnx.ModelProto:
    """An embedding, a layer, and a head that uses the table, too."""
    return model(
        [
            node("Gather", ["table", "ids"], "e", "embed"),
            node("MatMul", ["e", "w"], "h", "layer"),
            *head,
            node("MatMul", ["h", "turned"], "y", "head"),
        ],
        {
            "table": np.zeros((VOCABULARY, WIDTH), np.float32),
            "w": np.zeros((WIDTH, WIDTH), np.float32),
            **stored,
        },
        {"ids": [1, 4]},
        [1, 4, VOCABULARY],
    )


@pytest.mark.parametrize("reshaped", [False, True])
def test_a_table_and_its_transpose_are_one_parameter(reshaped: bool) -> None:
    head = [node("Transpose", ["table"], "turned", perm=[1, 0])]
    stored = {}
    if reshaped:
        head = [
            node("Reshape", ["table", "shape"], "flat"),
            node("Reshape", ["flat", "back"], "same"),
            node("Transpose", ["same"], "turned", perm=[1, 0]),
        ]
        stored = {"shape": np.array([-1]), "back": np.array([VOCABULARY, WIDTH])}
    graph = read(tied(head, **stored))
    assert shared_of(graph) == {"table": (TABLE, ["embed", "head"])}
    assert private_of(graph) == {"layer": 4 * WIDTH * WIDTH}
    assert graph.remarks == ()
    # What a node reads is another matter: all of its parameters, of the table the rows that it takes.
    accessed = dict(zip(graph.node_names, costs_of(graph).accessed_bytes, strict=True))
    assert accessed["embed"] == 4 * 8 + 2 * 4 * 4 * WIDTH
    assert accessed["head"] == 4 * 4 * WIDTH + TABLE + 4 * 4 * VOCABULARY


def test_a_stage_holds_a_tied_table_once() -> None:
    graph = read(tied([node("Transpose", ["table"], "turned", perm=[1, 0])]))
    sizes = costs_of(graph).shared_bytes.astype(np.int64)
    assert graph.shared.sums(sizes, np.array([0, 0, 0]), 1).tolist() == [TABLE]
    assert graph.shared.sums(sizes, np.array([0, 1, 1]), 2).tolist() == [TABLE, TABLE]


def test_quantised_weights_that_two_nodes_use_are_shared_as_they_are_stored() -> None:
    graph = read(
        model(
            [
                node("DequantizeLinear", ["q", "scale", "zero"], "w"),
                node("MatMul", ["x", "w"], "a", "first"),
                node("MatMul", ["a", "w"], "b", "second"),
                node("DequantizeLinear", ["r", "scale", "zero"], "v"),
                node("MatMul", ["b", "v"], "y", "third"),
            ],
            {
                "q": np.zeros((8, 8), np.int8),
                "r": np.zeros((8, 8), np.int8),
                "scale": np.array(0.5, np.float32),
                "zero": np.array(0, np.int8),
            },
            {"x": [2, 8]},
            [2, 8],
        )
    )
    everywhere = ["first", "second", "third"]
    assert shared_of(graph) == {"q": (64, everywhere[:2]), "scale": (4, everywhere), "zero": (1, everywhere)}
    assert private_of(graph) == {"third": 64}
    assert costs_of(graph).accessed_bytes.tolist() == [64 + 69 + 64] * 3


def test_a_smaller_result_is_a_parameter_of_its_own_and_a_remark_says_of_what() -> None:
    graph = read(
        model(
            [
                node("Slice", ["positions", "start", "end"], "rows"),
                node("Add", ["x", "rows"], "a", "first"),
                node("Mul", ["a", "rows"], "y", "second"),
            ],
            {"positions": np.zeros((512, 8), np.float32), "start": np.array([0]), "end": np.array([4])},
            {"x": [4, 8]},
            [4, 8],
        )
    )
    assert shared_of(graph) == {"rows": (128, ["first", "second"])}
    assert private_of(graph) == {}
    assert graph.remarks == (
        "of 1 parameter only a part is used (rows of a table, or what is computed from them), "
        "128 of 16384 bytes: 'positions'",
    )


def test_nodes_and_bodies_share_what_is_stored_around_them() -> None:
    def branch(name: str, *nodes: onnx.NodeProto, stored: dict[str, np.ndarray] | None = None) -> onnx.GraphProto:
        tensors = [numpy_helper.from_array(array, key) for key, array in (stored or {}).items()]
        output = helper.make_tensor_value_info(name, TensorProto.FLOAT, [8, 8])
        return helper.make_graph(list(nodes), name, [], [output], tensors)

    inner = node(
        "If",
        ["flag"],
        "deep",
        then_branch=branch("p", node("MatMul", ["b", "w"], "p")),
        else_branch=branch("q", node("Identity", ["b"], "q")),
    )
    own = {"u": np.zeros((8, 8), np.float32)}
    graph = read(
        model(
            [
                node("MatMul", ["x", "w"], "a", "first"),
                node("Transpose", ["w"], "t"),
                node("MatMul", ["a", "t"], "b", "second"),
                node(
                    "If",
                    ["flag"],
                    "y",
                    "branches",
                    then_branch=branch("deep", inner),
                    else_branch=branch("s", node("MatMul", ["b", "u"], "r"), node("Mul", ["r", "w"], "s"), stored=own),
                ),
            ],
            {"w": np.zeros((8, 8), np.float32)},
            {"x": [8, 8], "flag": []},
            [8, 8],
        )
    )
    assert shared_of(graph) == {"w": (256, ["first", "second", "branches"])}
    assert private_of(graph) == {"branches": 256}


def test_functions_share_what_they_are_called_with() -> None:
    graph = read(
        parser.parse_model(
            """<ir_version: 8, opset_import: ["": 17, "local": 1]>
            g (float[2, 2] x) => (float[2, 2] y) <float[2, 2] w = {1, 2, 3, 4}>
            { h = local.layer (x, w)  y = local.layer (h, w) }
            <domain: "local", opset_import: ["": 17]>
            layer (a, v) => (b) { t = Transpose (v)  c = MatMul (a, t)  b = Relu (c) }"""
        )
    )
    assert graph.ops == ("MatMul", "Relu", "MatMul", "Relu")
    ((size, users),) = shared_of(graph).values()
    assert (size, len(users)) == (16, 2)
    assert private_of(graph) == {}


def test_what_is_dropped_shares_nothing() -> None:
    text = """g (float[2, 2] x) => (float[2, 2] y) <float[2, 2] w = {1, 2, 3, 4}>
        { y = MatMul (x, w)  z = MatMul (y, w) }"""
    assert shared_of(read(text)) == {"w": (16, ["y", "z"])}
    dropped = read(text, drop_unused=True)
    assert shared_of(dropped) == {}
    assert private_of(dropped) == {"y": 16}
