"""What attention nodes keep of each token, read off the shapes of small models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from framework.errors import UserError
from framework.formats.onnx.reader import parse
from framework.model.graph import ModelGraph, PhysicalCosts

B, S, T, N, G, H = 2, 6, 8, 4, 2, 16
"""Batch, tokens, tokens in the cache, heads, heads of keys and values, size of a head."""

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16

Shape = Sequence[int | str]


def model_of(
    nodes: Sequence[tuple[str, str, Sequence[str], Sequence[str], Mapping[str, Any]]],
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, Shape | None],
    kind: int = FLOAT,
) -> bytes:
    """Return a model of nodes: operator, domain, inputs, outputs, attributes."""
    made = [
        helper.make_node(op, list(read), list(written), name=f"node{i}", domain=domain, **attributes)
        for i, (op, domain, read, written, attributes) in enumerate(nodes)
    ]
    graph = helper.make_graph(
        made,
        "g",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in outputs.items()],
    )
    opsets = [helper.make_opsetid("", 23), helper.make_opsetid("com.microsoft", 1)]
    model: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    return model


def state(graph: ModelGraph) -> list[float]:
    assert isinstance(graph.costs, PhysicalCosts)
    return [float(value) for value in graph.costs.state_bytes]


def read(model: bytes, tokens: int = 100) -> ModelGraph:
    return parse(model, "m.onnx", kv_tokens=tokens)


# Operator, domain, attributes, shapes of inputs (None where absent), of outputs, elements kept of a token.
CASES: list[tuple[str, str, dict[str, Any], list[Shape | None], list[Shape], int]] = [
    # The cache has fewer heads than the queries.
    (
        "GroupQueryAttention",
        "com.microsoft",
        {"num_heads": N, "kv_num_heads": G},
        [(B, 1, N * H), (B, 1, G * H), (B, 1, G * H), (B, G, T, H), (B, G, T, H)],
        [(B, 1, N * H), (B, G, T + 1, H), (B, G, T + 1, H)],
        2 * G * H,
    ),
    ("GroupQueryAttention", "com.microsoft", {"num_heads": N, "kv_num_heads": G},
     [(B, S, N * H), (B, S, G * H), (B, S, G * H)], [(B, S, N * H)], 2 * G * H),
    # Queries, keys and values in one.
    ("GroupQueryAttention", "com.microsoft", {"num_heads": N, "kv_num_heads": G},
     [(B, S, (N + 2 * G) * H), None, None], [(B, S, N * H)], 2 * G * H),
    ("MultiHeadAttention", "com.microsoft", {"num_heads": N},
     [(B, S, N * H), (B, S, N * H), (B, S, N * 2 * H)], [(B, S, N * 2 * H)], N * H + N * 2 * H),
    ("MultiHeadAttention", "com.microsoft", {"num_heads": N}, [(B, S, N, 3, H)], [(B, S, N * H)], 2 * N * H),
    ("MultiHeadAttention", "com.microsoft", {"num_heads": N},
     [(B, S, N * H), (B, S, N, 2, H)], [(B, S, N * H)], 2 * N * H),
    ("Attention", "com.microsoft", {"num_heads": N}, [(B, S, 24), (24, 3 * N * H)], [(B, S, N * H)], 2 * N * H),
    ("Attention", "com.microsoft", {"num_heads": N, "qkv_hidden_sizes": [64, 64, 32]},
     [(B, S, 24), (24, 160)], [(B, S, 32)], 64 + 32),
    ("Attention", "com.microsoft", {"num_heads": N},
     [(B, 1, 24), (24, 3 * N * H), None, None, (2, B, N, T, H)], [(B, 1, N * H), (2, B, N, T + 1, H)], 2 * N * H),
    # The operator of the standard: heads in the shape, or in an attribute.
    ("Attention", "", {}, [(B, N, S, H), (B, G, S, H), (B, G, S, 2 * H)], [(B, N, S, 2 * H)], 3 * G * H),
    ("Attention", "", {"q_num_heads": N, "kv_num_heads": G},
     [(B, S, N * H), (B, S, G * H), (B, S, G * H)], [(B, S, N * H)], 2 * G * H),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "width"), [(FLOAT, 4), (HALF, 2)])
@pytest.mark.parametrize(("op", "domain", "attributes", "inputs", "outputs", "elements"), CASES)
def test_keys_and_values_of_a_token(
    op: str,
    domain: str,
    attributes: dict[str, Any],
    inputs: list[Shape | None],
    outputs: list[Shape],
    elements: int,
    kind: int,
    width: int,
) -> None:
    names = ["" if size is None else f"i{i}" for i, size in enumerate(inputs)]
    written = {f"o{i}": size for i, size in enumerate(outputs)}
    given = {name: size for name, size in zip(names, inputs, strict=True) if size is not None}
    model = model_of([(op, domain, names, list(written), attributes)], given, written, kind)
    graph = read(model)
    assert state(graph) == [100 * elements * width]
    assert f"1 attention node keeps keys and values of 100 tokens: {100 * elements * width:,} bytes" in graph.remarks
    assert state(parse(model, "m.onnx")) == [0]


def test_only_nodes_with_a_cache_keep_one_where_some_have() -> None:
    attributes = {"num_heads": N}
    width = N * H
    nodes = [
        ("MultiHeadAttention", "com.microsoft", ["x", "x", "x"], ["h"], attributes),
        ("MultiHeadAttention", "com.microsoft", ["h", "h", "h", "", "", "", "k", "v"], ["y", "nk", "nv"], attributes),
    ]
    cache = (B, N, T, H)
    model = model_of(nodes, {"x": (B, 1, width), "k": cache, "v": cache}, {"y": (B, 1, width), "nk": None, "nv": None})
    assert state(read(model, 10)) == [0, 10 * 2 * width * 4]


def test_models_without_attention_are_refused_in_one_line() -> None:
    model = model_of([("Relu", "", ["x"], ["y"], {})], {"x": (2, 3)}, {"y": (2, 3)})
    assert state(parse(model, "m.onnx")) == [0]
    with pytest.raises(UserError, match="no attention with known heads was found") as caught:
        read(model)
    assert str(caught.value).startswith("m.onnx")
    assert "\n" not in str(caught.value)


def test_state_is_part_of_the_graph() -> None:
    op, domain, attributes, inputs, outputs, _ = CASES[1]
    given = {f"i{i}": size for i, size in enumerate(inputs) if size is not None}
    model = model_of([(op, domain, list(given), ["o0"], attributes)], given, {"o0": outputs[0]})
    plain = parse(model, "m.onnx")
    assert read(model).sha256() != plain.sha256()
    assert np.array_equal(read(model).topology.producer, plain.topology.producer)


def test_a_model_is_valid() -> None:
    """The cases of the standard operator pass the checker; those of onnxruntime's have no schema there."""
    op, domain, attributes, inputs, outputs, _ = CASES[-1]
    given = {f"i{i}": size for i, size in enumerate(inputs) if size is not None}
    onnx.checker.check_model(
        onnx.load_model_from_string(
            model_of([(op, domain, list(given), ["o0"], attributes)], given, {"o0": outputs[0]})
        )
    )
