"""Reading without weights and writing with them are inverse, and damage is told."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from framework.errors import UserError
from framework.formats import read_graph
from framework.formats.onnx.files import (
    HEAVY_BYTES,
    FileRange,
    external_fields,
    pieces,
    read_skeleton,
    total_bytes,
    write_pieces,
)
from framework.model.graph import PhysicalCosts


def heavy(name: str, seed: int) -> onnx.TensorProto:
    values = np.random.default_rng(seed).standard_normal((150, 130)).astype(np.float32)
    assert values.nbytes > HEAVY_BYTES
    return numpy_helper.from_array(values, name)


def nested_model() -> onnx.ModelProto:
    """Heavy tensors wherever one may be: initializers, constants, the bodies of an If, constants in those."""
    info = helper.make_tensor_value_info
    inner = [
        helper.make_node("Constant", [], [f"{side}_c"], value=heavy("", seed)) for seed, side in ((1, "yes"), (2, "no"))
    ]
    branches = [
        helper.make_graph(
            [constant, helper.make_node("Add", [constant.output[0], f"{side}_w"], [f"{side}_y"])],
            side,
            [],
            [info(f"{side}_y", TensorProto.FLOAT, [150, 130])],
            [heavy(f"{side}_w", 3)],
        )
        for constant, side in zip(inner, ("yes", "no"), strict=True)
    ]
    nodes = [
        helper.make_node("Constant", [], ["c"], name="c", value=heavy("", 4)),
        helper.make_node("If", ["which"], ["chosen"], then_branch=branches[0], else_branch=branches[1]),
        helper.make_node("Sum", ["chosen", "c", "w", "small"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "nested",
        [info("which", TensorProto.BOOL, [])],
        [info("y", TensorProto.FLOAT, [150, 130])],
        [heavy("w", 5), numpy_helper.from_array(np.ones(130, np.float32), "small")],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def from_file(path: Path, tensor: onnx.TensorProto) -> FileRange:
    fields = external_fields(tensor)
    assert fields["location"] == path.name
    return FileRange(path=path, offset=int(fields["offset"]), nbytes=int(fields["length"]))


def test_the_skeleton_is_small_and_becomes_the_model_again(tmp_path: Path) -> None:
    path, again = tmp_path / "m.onnx", tmp_path / "again.onnx"
    model = nested_model()
    path.write_bytes(model.SerializeToString())
    skeleton = read_skeleton(path)
    assert len(skeleton) < 4000
    parts = pieces(onnx.load_model_from_string(skeleton), lambda tensor: from_file(path, tensor))
    write_pieces(parts, again)
    assert total_bytes(parts) == again.stat().st_size
    assert onnx.load(again) == model
    onnx.checker.check_model(str(again))


def test_what_has_no_source_stays_external(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(nested_model().SerializeToString())
    skeleton = onnx.load_model_from_string(read_skeleton(path))
    parts = pieces(skeleton, lambda tensor: None if tensor.name == "w" else from_file(path, tensor))
    write_pieces(parts, tmp_path / "half.onnx")
    half = onnx.load(tmp_path / "half.onnx", load_external_data=False)
    external = [tensor.name for tensor in half.graph.initializer if tensor.data_location == TensorProto.EXTERNAL]
    assert external == ["w"]


def test_a_file_that_shrinks_is_told(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(bytes(100))
    with pytest.raises(UserError, match="cut off"):
        list(FileRange(path=path, offset=50, nbytes=60).chunks())


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data())
def test_damage_never_escapes_as_another_error(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    whole = bytearray(nested_model().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, min(2000, len(whole) - 1)))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(whole)))
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(bytes(whole[:cut]))
    said = "damaged.onnx"
    try:
        assert len(read_skeleton(path)) <= cut + 4000
    except UserError as error:
        said = str(error)
    assert "damaged.onnx" in said


def test_only_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    for path, what in ((tmp_path / "pipe.onnx", "this is a pipe"), (tmp_path, "this is a directory")):
        with pytest.raises(UserError, match=what):
            read_skeleton(path)


def test_a_model_beyond_protobuf_is_read_without_its_weights(tmp_path: Path) -> None:
    """A sparse file of more than 2 GB: one weight, of which only the place is read."""
    rows = (1 << 31) // 4096 + 1
    info = helper.make_tensor_value_info
    node = helper.make_node("MatMul", ["x", "W"], ["y"], name="product")
    graph = helper.make_graph([node], "g", [info("x", TensorProto.FLOAT, [1, rows])], [info("y", 1, [1, 1024])])
    weight = TensorProto(name="W", data_type=TensorProto.FLOAT, dims=[rows, 1024]).SerializeToString()
    model = helper.make_model(onnx.GraphProto(), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.ClearField("graph")
    nbytes = rows * 4096
    data = _field(9, nbytes)
    tensor = _field(5, len(weight) + len(data) + nbytes) + weight + data
    inner = graph.SerializeToString()
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.write(model.SerializeToString() + _field(7, len(inner) + len(tensor) + nbytes) + inner + tensor)
        file.truncate(file.tell() + nbytes)
    read = read_graph(path)
    assert read.node_names == ("product",)
    assert isinstance(read.costs, PhysicalCosts)
    assert read.costs.parameter_bytes.tolist() == [nbytes]
    assert read.costs.flops.tolist() == [2 * rows * 1024]
    path.write_bytes(b"\x08\x08\x12\x04test")
    os.truncate(path, 3 << 30)
    with pytest.raises(UserError, match="not an ONNX model: a field without number at byte 8"):
        read_graph(path)


def _field(number: int, length: int) -> bytes:
    """The head of a field that holds so many bytes."""
    out, value = bytearray([number << 3 | 2]), length
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
