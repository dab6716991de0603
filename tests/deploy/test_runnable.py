"""Models that onnxruntime does not load as they stand are loaded all the same, their weights where they lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from framework.deploy import weights
from framework.deploy.names import name_nodes
from framework.deploy.onnx_model import open_model
from framework.deploy.pipeline.in_order import run_in_order, run_plain
from framework.deploy.runnable import runnable
from framework.deploy.runtime import random_feed
from framework.deploy.split.manifest import read_manifest
from framework.deploy.split.split import split_model
from framework.deploy.tuning.profile import profile_model
from tests.deploy.models import control_flow, residual, write
from tests.deploy.split.test_split import run_whole

pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("external", [False, True], ids=["inline", "external"])
def test_nodes_of_one_name_are_no_hindrance(external: bool, tmp_path: Path) -> None:
    named = open_model(write(residual(), tmp_path / "named.onnx", external=external))
    feed = random_feed(named, {})
    expected = run_whole(named, feed)
    made = residual()
    for node in made.graph.node:
        node.name = "same"
    model = open_model(write(made, tmp_path / "m.onnx", external=external))
    loaded = runnable(model)
    assert loaded.encoded is not None
    # One of the initializers is used by nobody.
    assert {weight.name for weight in loaded.weights} == (
        {"stem", "head", "bias", "w0", "w1"} if external else {"head"}
    )
    assert len(loaded.encoded) < 20_000
    for name, array in run_plain(model, feed):
        # Optimised or not, sums may be taken in another order: next to zero that is more than a share of the result.
        np.testing.assert_allclose(array, expected[name], rtol=1e-4, atol=1e-6 * np.abs(expected[name]).max())
    profile = profile_model(model, repetitions=3, warm_up=1)
    assert len({row["name"] for row in profile.operators}) == len(profile.operators)


def test_names_inside_bodies_are_their_own() -> None:
    made = control_flow()
    for node in made.graph.node:
        for attribute in node.attribute:
            for inner in attribute.g.node:
                inner.name = "a"
    assert name_nodes(made.graph)
    names = [node.name for node in made.graph.node]
    names += [inner.name for node in made.graph.node for held in node.attribute for inner in held.g.node]
    assert len(set(names)) == len(names)
    assert not name_nodes(made.graph)


def test_a_linked_model_is_split_and_run(tmp_path: Path) -> None:
    """The cache of a model hub: links to blobs, external data among them."""
    write(residual(), tmp_path / "model.onnx", external=True)
    blobs, snapshot = tmp_path / "hub" / "blobs", tmp_path / "hub" / "snapshots" / "0123abc" / "onnx"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for name, blob in (("model.onnx", "aa11"), ("model.data", "bb22")):
        (tmp_path / name).rename(blobs / blob)
        (snapshot / name).symlink_to(f"../../../blobs/{blob}")
    model = open_model(snapshot / "model.onnx")
    feed = random_feed(model, {})
    split_model(model, [0] * 6 + [1] * 6, tmp_path / "out")
    manifest = read_manifest(tmp_path / "out")
    whole = open_model(manifest.model_path)
    found = run_in_order(manifest, feed)
    for name, array in run_plain(whole, feed):
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-6)
    profile_model(whole, repetitions=3, warm_up=0)


def test_many_generated_weights_lie_beside_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "INLINE_BYTES", 1000)
    bare = residual()
    for tensor in bare.graph.initializer:
        if tensor.name == "head":
            tensor.ClearField("raw_data")
    model = open_model(write(bare, tmp_path / "m.onnx"))
    for _ in range(2):
        manifest = split_model(model, [0] * 6 + [1] * 6, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out" / "whole").iterdir()) == ["m.onnx", "m.weights"]
    assert manifest.model_path.stat().st_size < 20_000
    whole = open_model(manifest.model_path)
    feed = random_feed(whole, {})
    found = run_in_order(manifest, feed)
    for name, array in run_plain(whole, feed):
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-6)
    assert onnx.load(manifest.model_path).graph.initializer
