"""Generated weights: deterministic, sensibly scaled, and the same graph as before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from framework.deploy.onnx_model import open_model
from framework.deploy.runtime import open_session, random_feed, run_session
from framework.deploy.split.split import split_model
from framework.deploy.weights import missing_weights, write_with_weights
from framework.errors import UserError
from tests.deploy.models import residual, transformer, write

pytest.importorskip("onnxruntime")
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def stripped(made: onnx.ModelProto) -> onnx.ModelProto:
    for tensor in made.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and tensor.dims:
            tensor.ClearField("raw_data")
    return made


def test_a_model_with_weights_lacks_none(tmp_path: Path) -> None:
    for make in (residual, transformer):
        assert missing_weights(open_model(write(make(), tmp_path / "m.onnx"))) == []


def test_a_light_model_runs_with_finite_lively_results(tmp_path: Path) -> None:
    model = open_model(LIGHT / "light_squeezenet.onnx")
    whole = write_with_weights(model, tmp_path / "light_squeezenet.onnx")
    assert whole.read_graph({}).sha256() == model.read_graph({}).sha256()
    assert missing_weights(whole) == []
    onnx.checker.check_model(str(whole.path))
    (first,), (second,) = (
        run_session(open_session(whole.path), random_feed(whole, {}, seed), "whole") for seed in (0, 1)
    )
    assert np.isfinite(first).all()
    assert first.std() > 0
    assert not np.allclose(first, second, rtol=1e-3, atol=0)


def test_empty_initializers_are_filled_by_their_role(tmp_path: Path) -> None:
    model = open_model(write(stripped(transformer()), tmp_path / "m.onnx"))
    whole = write_with_weights(model, tmp_path / "whole.onnx", seed=3)
    values = {t.name: numpy_helper.to_array(t) for t in onnx.load(whole.path).graph.initializer}
    assert values["up0"].std() == pytest.approx(np.sqrt(2 / 32), rel=0.1)
    assert values["down0"].std() == pytest.approx(0.25 * np.sqrt(2 / 128), rel=0.1)
    assert values["g1_0"].mean() == pytest.approx(1.0, abs=0.1)
    assert abs(values["b1_0"].mean()) < 0.1
    assert values["split_heads"].tolist() == [0, 0, 2, 16]
    again = write_with_weights(model, tmp_path / "again.onnx", seed=3)
    assert again.path.read_bytes() == whole.path.read_bytes()
    other = write_with_weights(model, tmp_path / "other.onnx", seed=4)
    assert other.path.read_bytes() != whole.path.read_bytes()


def test_absent_external_data_is_generated_but_not_integers(tmp_path: Path) -> None:
    path = write(residual(), tmp_path / "m.onnx", external=True)
    (tmp_path / "m.data").unlink()
    model = open_model(path)
    assert {tensor.name for tensor in missing_weights(model)} >= {"head", "bias", "w0"}
    said: list[str] = []
    manifest = split_model(model, [0] * 6 + [1] * 6, tmp_path / "out", say=said.append)
    assert manifest.document["model"]["weights"] == "generated"
    assert "the model has no weights" in said[0]
    assert manifest.model_path.is_file()
    made = transformer()
    for tensor in made.graph.initializer:
        tensor.ClearField("raw_data")
    with pytest.raises(UserError, match=r"the integers of .* are missing"):
        write_with_weights(open_model(write(made, tmp_path / "t.onnx")), tmp_path / "whole.onnx")
