"""The stages of a split, run one after the other, are the model."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest

from framework.deploy.onnx_model import ModelFile, open_model
from framework.deploy.runtime import Feed, open_session, random_feed, run_session
from framework.deploy.split.manifest import Manifest, read_manifest
from framework.deploy.split.split import split_model
from framework.errors import UserError
from framework.model.graph import ModelGraph
from tests.deploy.models import DIMS, MODELS, Arrays, residual, transformer, write

pytest.importorskip("onnxruntime")


def random_partition(graph: ModelGraph, k: int, seed: int) -> list[int]:
    """Draw stages that never decrease along an edge, in a random order of the nodes rather than the file's."""
    rng = np.random.default_rng(seed)
    top = graph.topology
    wish = np.sort(rng.integers(0, k, top.n)) if seed % 2 else rng.integers(0, k, top.n)
    stage = np.zeros(top.n, np.int64)
    for v in range(top.n):
        before = top.preds[top.pred_ptr[v] : top.pred_ptr[v + 1]]
        stage[v] = max(wish[v], stage[before].max(initial=0))
    return [int(value) for value in stage]


def run_stages(manifest: Manifest, feed: Feed) -> Arrays:
    """Run each stage with nothing but its declared inputs, at onnxruntime's full optimisation."""
    values: Arrays = dict(feed)
    for row in manifest.stages:
        session = open_session(manifest.folder / row["file"])
        assert sorted(entry.name for entry in session.get_inputs()) == sorted(row["inputs"])
        outputs = run_session(session, {name: values[name] for name in row["inputs"]}, row["file"])
        values |= dict(zip([entry.name for entry in session.get_outputs()], outputs, strict=True))
    return values


def run_whole(model: ModelFile, feed: Feed) -> Arrays:
    session = open_session(model.path)
    names = [entry.name for entry in session.get_outputs()]
    return dict(zip(names, run_session(session, feed, "whole"), strict=True))


@pytest.mark.parametrize("external", [False, True], ids=["inline", "external"])
@pytest.mark.parametrize("name", MODELS)
def test_the_stages_are_the_model(name: str, external: bool, tmp_path: Path) -> None:
    model = open_model(write(MODELS[name](), tmp_path / "model.onnx", external=external))
    dims = DIMS.get(name, {})
    graph = model.read_graph(dims)
    feed = random_feed(model, dims)
    expected = run_whole(model, feed)
    for seed, k in enumerate((1, 2, 2, 3, 3, 5)):
        stage_of = random_partition(graph, k, seed)
        inline = 0 if seed % 3 == 2 else 1 << 30
        manifest = split_model(model, stage_of, tmp_path / f"stages{seed}", dims=dims, inline_bytes=inline)
        found = run_stages(read_manifest(tmp_path / f"stages{seed}"), feed)
        for result, array in expected.items():
            np.testing.assert_allclose(found[result], array, rtol=1e-4, atol=1e-6, err_msg=f"{result}, seed {seed}")
        nodes = [node for row in manifest.stages for node in row["nodes"]]
        assert sorted(nodes) == sorted(graph.node_names)
        for row in manifest.stages:
            assert {stage_of[graph.node_names.index(node)] for node in row["nodes"]} == {row["stage"]}


def test_names_stay_and_dimensions_stay_open(tmp_path: Path) -> None:
    model = open_model(write(transformer(), tmp_path / "m.onnx"))
    half = len(model.placed) // 2
    stage_of = [int(i >= half) for i in range(len(model.placed))]
    manifest = split_model(model, stage_of, tmp_path / "out", dims={"N": 1})
    first, second = (onnx.load(tmp_path / "out" / f"stage{s}.onnx") for s in (0, 1))
    names = {node.name for node in (*first.graph.node, *second.graph.node)}
    assert names == {node.name for node in model.proto.graph.node}
    assert first.producer_name == "tests"
    (cut,) = [row for row in manifest.tensors if len(row["shape"]) == 3][:1]
    assert cut["shape"][:2] == ["N", 5]
    assert cut["bytes"] == 5 * 32 * 4
    for other in ({"N": 1}, {"N": 3}):
        feed = random_feed(model, other)
        found, expected = run_stages(manifest, feed), run_whole(model, feed)
        np.testing.assert_allclose(found["logits"], expected["logits"], rtol=1e-4, atol=1e-5)


def test_a_shared_weight_is_in_both_stages(tmp_path: Path) -> None:
    model = open_model(write(transformer(), tmp_path / "m.onnx"))
    stage_of = [int(i >= 20) for i in range(len(model.placed))]
    manifest = split_model(model, stage_of, tmp_path / "out", dims={"N": 1})
    shared = {row["name"]: row for row in manifest.document["shared_weights"]}
    assert shared["embedding"] == {"name": "embedding", "bytes": 600 * 32 * 4, "stages": [0, 1]}
    second = onnx.load(tmp_path / "out" / "stage1.onnx")
    assert "embedding" in {tensor.name for tensor in second.graph.initializer}
    assert "/embedding_t/Transpose" in {node.name for node in second.graph.node}
    assert "g1_0" not in {tensor.name for tensor in second.graph.initializer}


def test_large_stages_keep_their_weights_beside_them(tmp_path: Path) -> None:
    model = open_model(write(residual(), tmp_path / "m.onnx"))
    stage_of = [0] * 5 + [1] * (len(model.placed) - 5)
    manifest = split_model(model, stage_of, tmp_path / "out", inline_bytes=1000)
    assert [row["weights_file"] for row in manifest.stages] == ["stage0.weights", "stage1.weights"]
    heavy = onnx.load(tmp_path / "out" / "stage1.onnx", load_external_data=False).graph.initializer
    external = {tensor.name for tensor in heavy if tensor.data_location == onnx.TensorProto.EXTERNAL}
    assert external == {"head"}
    assert (tmp_path / "out" / "stage1.weights").stat().st_size == 512 * 200 * 4
    assert (tmp_path / "out" / "stage1.onnx").stat().st_size < 20_000


def test_the_graph_read_without_weights_is_the_graph(tmp_path: Path) -> None:
    from framework.formats import read_graph

    for name, make in MODELS.items():
        path = write(make(), tmp_path / "m.onnx")
        dims = DIMS.get(name, {})
        assert open_model(path).read_graph(dims).sha256() == read_graph(path, dims=dims).sha256()


def test_heavy_weights_are_not_read(tmp_path: Path) -> None:
    path = write(residual(), tmp_path / "m.onnx")
    model = open_model(path)
    assert model.proto.ByteSize() < 20_000 < path.stat().st_size
    (head,) = [tensor for tensor in model.proto.graph.initializer if tensor.name == "head"]
    data = b"".join(model.source_of(head).chunks())
    whole = next(tensor for tensor in onnx.load(path).graph.initializer if tensor.name == "head")
    assert data == whole.raw_data


def test_typed_data_is_split_too(tmp_path: Path) -> None:
    made = residual()
    for tensor in made.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor).ravel().tolist()
        tensor.ClearField("raw_data")
        tensor.float_data.extend(values)
    model = open_model(write(made, tmp_path / "m.onnx"))
    assert model.proto.ByteSize() < 20_000
    feed = random_feed(model, {})
    manifest = split_model(model, [0] * 4 + [1] * (len(model.placed) - 4), tmp_path / "out")
    np.testing.assert_allclose(run_stages(manifest, feed)["y"], run_whole(model, feed)["y"], rtol=1e-4, atol=1e-6)


def test_splitting_again_replaces_the_old_split_and_nothing_else(tmp_path: Path) -> None:
    model = open_model(write(residual(), tmp_path / "m.onnx"))
    n = len(model.placed)
    split_model(model, [0] * 3 + [1] * 3 + [2] * (n - 6), tmp_path / "out")
    split_model(model, [0] * 3 + [1] * (n - 3), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["manifest.json", "stage0.onnx", "stage1.onnx"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        split_model(model, [0] * n, tmp_path / "mine")


@pytest.mark.parametrize(
    ("stage_of", "words"),
    [([0, 1], "has 2 nodes, the model 12"), ([1] * 6 + [0] * 6, "which stage 1 computes")],
)
def test_a_partition_of_something_else_is_refused(stage_of: list[int], words: str, tmp_path: Path) -> None:
    model = open_model(write(residual(), tmp_path / "m.onnx"))
    with pytest.raises(UserError, match=words):
        split_model(model, stage_of, tmp_path / "out")


def test_external_data_outside_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = write(residual(), tmp_path / "in" / "m.onnx", external=True)
    made = onnx.load(path, load_external_data=False)
    (tmp_path / "stolen").write_bytes((tmp_path / "in" / "m.data").read_bytes())
    for tensor in made.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../stolen"
    path.write_bytes(made.SerializeToString())
    model = open_model(path)
    with pytest.raises(UserError, match="outside the model's folder"):
        split_model(model, [0] * len(model.placed), tmp_path / "out")


def test_odd_places_of_external_data_are_refused(tmp_path: Path) -> None:
    path = write(residual(), tmp_path / "m.onnx", external=True)
    made = onnx.load(path, load_external_data=False)
    for key, value in (("offset", "-1"), ("offset", "x"), ("length", "4.7")):
        tensor = made.graph.initializer[0]
        kept = tensor.SerializeToString()
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
        path.write_bytes(made.SerializeToString())
        tensor.ParseFromString(kept)
        model = open_model(path)
        with pytest.raises(UserError, match=f"the {key} of its external data is '{value}'"):
            split_model(model, [0] * len(model.placed), tmp_path / "out")


def test_a_pipe_is_no_model(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.onnx")
    with pytest.raises(UserError, match="this is a pipe"):
        open_model(tmp_path / "m.onnx")


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = write(residual(), tmp_path / "m.onnx")
    data = path.read_bytes()
    for damaged in (b"", b"not a model at all", data[: len(data) // 2], data[:300], b"\x1f\x8b" + data):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"m\.onnx"):
            open_model(path)


def test_a_damaged_manifest_is_refused(tmp_path: Path) -> None:
    model = open_model(write(residual(), tmp_path / "m.onnx"))
    split_model(model, [0] * len(model.placed), tmp_path / "out")
    manifest = tmp_path / "out" / "manifest.json"
    document = json.loads(manifest.read_text())
    (tmp_path / "out" / "stage0.onnx").unlink()
    with pytest.raises(UserError, match="the file of a stage is missing"):
        read_manifest(tmp_path / "out")
    for text, words in (
        ("{", "not valid JSON"),
        ('{"format": "other"}', "not a pipebound-pipeline"),
        (json.dumps(document | {"version": 9}), "version 9"),
        (json.dumps({key: value for key, value in document.items() if key != "tensors"}), "tensors: is missing"),
    ):
        manifest.write_text(text)
        with pytest.raises(UserError, match=words):
            read_manifest(tmp_path / "out")
    with pytest.raises(UserError, match=r"holds no manifest\.json"):
        read_manifest(tmp_path)
