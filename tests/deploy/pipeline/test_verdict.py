"""Splits that are the model are called equal, whatever their types; those that are not, are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from framework.deploy.onnx_model import ModelFile, open_model
from framework.deploy.pipeline.compare import allowed_differences, compare, difference
from framework.deploy.pipeline.in_order import run_in_order
from framework.deploy.pipeline.pipeline import Pipeline
from framework.deploy.pipeline.turns import Unsplit
from framework.deploy.pipeline.verdict import Judge
from framework.deploy.runtime import Optimization, random_feed
from framework.deploy.split.split import split_model
from framework.errors import UserError
from tests.deploy.models import write
from tests.deploy.odd_models import ODD, crossing, handed_through, quantised, random_numbers, unused

pytest.importorskip("onnxruntime")


def judged(model: ModelFile) -> tuple[Judge, Unsplit]:
    feed = random_feed(model, {})
    single = Unsplit(model, feed, Optimization.ALL)
    return Judge(model=model, feed=feed, expected=single.expected), single


@pytest.mark.parametrize("name", ODD)
def test_every_cut_of_an_odd_model_is_equal(name: str, tmp_path: Path) -> None:
    model = open_model(write(ODD[name](), tmp_path / "m.onnx"))
    judge, _ = judged(model)
    n = len(model.placed)
    for cut in range(1, n):
        manifest = split_model(model, [int(v >= cut) for v in range(n)], tmp_path / f"out{cut}")
        verdict = judge.judge(manifest, [run_in_order(manifest, judge.feed)])
        assert verdict.equal, (cut, verdict)
    with Pipeline(
        manifest := split_model(model, [int(v >= n // 2) for v in range(n)], tmp_path / "half"), judge.feed
    ) as p:
        batch = p.run(5)
    verdict = judge.judge(manifest, [batch.results])
    assert verdict.equal, verdict


def test_what_a_wrong_split_gives_is_not_equal(tmp_path: Path) -> None:
    """Each kind of model is told from one with another weight."""
    for name in ("half precision", "bfloat16", "random", "quantised", "handed through"):
        model = open_model(write(ODD[name](), tmp_path / "m.onnx"))
        wrong = ODD[name]()
        for tensor in wrong.graph.initializer:
            if tensor.name in ("w1", "c3_wq"):
                values = onnx.numpy_helper.to_array(tensor)
                tensor.CopyFrom(onnx.numpy_helper.from_array(np.roll(values, 1, axis=0), tensor.name))
        judge, _ = judged(model)
        other = open_model(write(wrong, tmp_path / "wrong.onnx"))
        n = len(other.placed)
        manifest = split_model(other, [int(v >= n // 2) for v in range(n)], tmp_path / name)
        assert not judge.judge(manifest, [run_in_order(manifest, judge.feed)]).equal, name


def test_random_sources_are_named(tmp_path: Path) -> None:
    model = open_model(write(random_numbers(), tmp_path / "m.onnx"))
    judge, single = judged(model)
    manifest = split_model(model, [0] * 4 + [1] * 3, tmp_path / "out")
    verdict = judge.judge(manifest, [dict(single.expected) | {"y": np.zeros((4, 16), np.float32)}])
    assert verdict.equal
    (remark,) = verdict.remarks
    assert "'y': random numbers of 'noise', 'dropout'" in remark
    assert "no dropout" not in remark
    assert "steady" not in remark


def test_tolerance_is_that_of_the_coarsest_type_on_the_way(tmp_path: Path) -> None:
    def allowed(made: onnx.ModelProto) -> dict[str, float]:
        return allowed_differences(open_model(write(made, tmp_path / "m.onnx")))

    assert allowed(crossing(onnx.TensorProto.FLOAT16)) == {"y": 16 / 2**11}
    assert allowed(crossing(onnx.TensorProto.BFLOAT16)) == {"y": 16 / 2**8}
    assert allowed(crossing(onnx.TensorProto.FLOAT8E5M2)) == {"y": 0.25}
    assert allowed(crossing(onnx.TensorProto.DOUBLE)) == {"y": 1e-4}
    assert allowed(handed_through()) == {"y": 1e-4, "x": 1e-4, "mask": 1e-4, "w2": 1e-4}


def test_differences_are_relative_to_the_largest_magnitude() -> None:
    a = np.array([100.0, 1.0])
    assert difference(np.array([100.0, 1.01]), a) == pytest.approx(1e-4)
    assert difference(a, a) == 0.0
    assert difference(None, a) == np.inf
    assert difference(a[:1], a) == np.inf
    assert difference(a.astype(np.float32), a) == np.inf
    assert difference(np.array([np.nan, 1.0]), a) == np.inf
    assert difference(np.array([np.nan, 1.0]), np.array([np.nan, 1.0])) == 0.0
    assert difference(np.array([np.inf, 1.0]), np.array([np.inf, 1.0])) == 0.0
    assert difference(np.array([-np.inf, 1.0]), np.array([np.inf, 1.0])) == np.inf
    assert difference(np.array([1, 2]), np.array([1, 3])) == np.inf
    assert difference(np.array([True]), np.array([True])) == 0.0
    assert difference(np.zeros(2), np.zeros(2)) == 0.0
    assert difference(np.zeros((0, 3)), np.zeros((0, 3))) == 0.0
    assert difference(np.array([1 + 2j]), np.array([1 + 1j])) == pytest.approx(1 / np.sqrt(2))
    shown = compare({"y": a + 1, "z": a}, [("y", a), ("z", a)], {"y": 1.0, "z": 1e-4})
    assert shown.equal
    assert shown.name == "y"
    assert not compare({}, [("y", a)], {"y": 1.0}).equal
    assert compare({}, [("y", a)], {}).equal


def test_integers_cross_and_not_what_is_dequantised(tmp_path: Path) -> None:
    model = open_model(write(quantised(), tmp_path / "m.onnx"))
    names = list(model.node_names)
    cut = names.index("c1")
    assert names[cut - 1] == "c0_DQ"
    manifest = split_model(model, [int(v >= cut) for v in range(len(names))], tmp_path / "out")
    first, second = manifest.stages
    assert [(row["name"], row["dtype"]) for row in manifest.tensors] == [("c0_q", "int8")]
    assert first["left_out"] == ["c0_DQ"]
    assert second["copies"] == ["c0_DQ"]
    assert "c0_DQ" in first["nodes"]
    # A user on each side: it is computed on both.
    manifest = split_model(model, [int(v > cut) for v in range(len(names))], tmp_path / "out")
    assert [row["copies"] for row in manifest.stages] == [[], ["c0_DQ"]]
    assert [row["left_out"] for row in manifest.stages] == [[], []]


def test_what_no_result_needs_is_not_shipped(tmp_path: Path) -> None:
    model = open_model(write(unused(), tmp_path / "m.onnx"))
    manifest = split_model(model, [0, 0, 1, 1], tmp_path / "out")
    assert [row["left_out"] for row in manifest.stages] == [["aux.mm"], ["aux.softmax"]]
    assert [row["name"] for row in manifest.tensors] == ["a"]
    assert "no result depends on 2 of the nodes" in manifest.document["remarks"][0]
    sizes = [row["weight_bytes"] for row in manifest.stages]
    kept = split_model(model, [0, 0, 1, 1], tmp_path / "out", keep_unused=True)
    assert [row["weight_bytes"] for row in kept.stages] == [sizes[0] + 16 * 64 * 4, sizes[1]]
    assert [row["left_out"] for row in kept.stages] == [[], []]


def test_remarks_name_no_temporary_folder(tmp_path: Path) -> None:
    made = unused()
    made.graph.node[0].op_type, made.graph.node[0].domain = "Nonsense", "my.own"
    made.opset_import.append(onnx.helper.make_opsetid("my.own", 1))
    manifest = split_model(open_model(write(made, tmp_path / "m.onnx")), [0, 0, 0, 0], tmp_path / "out")
    told = next(remark for remark in manifest.document["remarks"] if "checked by onnx.checker only" in remark)
    assert "my.own:Nonsense" in told
    assert str(tmp_path) not in told
    assert "pipebound-" not in told


def test_a_stage_that_onnxruntime_has_no_kernels_for_is_written(tmp_path: Path) -> None:
    """It may run elsewhere; here, one line says why it does not."""
    made = unused()
    for tensor in made.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        bits = (values.view(np.uint32) >> 16).astype(np.uint16)
        tensor.raw_data, tensor.data_type = bits.tobytes(), onnx.TensorProto.BFLOAT16
    for value in (*made.graph.input, *made.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.BFLOAT16
    model = open_model(write(made, tmp_path / "m.onnx"))
    manifest = split_model(model, [0, 0, 1, 1], tmp_path / "out")
    told = [remark for remark in manifest.document["remarks"] if "checked by onnx.checker only" in remark]
    assert len(told) == 2
    assert "Could not find an implementation for MatMul" in told[0]
    with pytest.raises(UserError, match="Could not find an implementation for MatMul"):
        run_in_order(manifest, random_feed(model, {}))
