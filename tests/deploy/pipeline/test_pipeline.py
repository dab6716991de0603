"""Stages in processes of their own: the right results, no hang, nothing left behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from framework.deploy.onnx_model import ModelFile, open_model
from framework.deploy.pipeline.compare import difference
from framework.deploy.pipeline.pipeline import Pipeline
from framework.deploy.runtime import random_feed
from framework.deploy.split.manifest import Manifest
from framework.deploy.split.split import split_model
from framework.deploy.tuning.subjects import open_subject
from framework.deploy.tuning.trial import SPLIT, UNSPLIT, Trial, run_trial
from framework.errors import UserError
from framework.formats import read_graph
from framework.layouts.naive import naive_partitions
from framework.model.graph import PhysicalCosts
from tests.deploy.models import DIMS, MODELS, residual, write
from tests.deploy.split.test_split import run_whole

pytest.importorskip("onnxruntime")


def opened(name: str, folder: Path) -> tuple[ModelFile, dict[str, int]]:
    return open_model(write(MODELS[name](), folder / "m.onnx")), DIMS.get(name, {})


def left_behind(names: list[str]) -> list[str]:
    """Return which of these shared memories still exist."""
    return [name for name in names if (Path("/dev/shm") / name).exists()]


@pytest.mark.parametrize(("name", "k"), [("residual", 3), ("transformer", 2), ("control flow", 3)])
def test_a_pipeline_gives_the_results_of_the_model(name: str, k: int, tmp_path: Path) -> None:
    model, dims = opened(name, tmp_path)
    n = len(model.placed)
    manifest = split_model(model, [v * k // n for v in range(n)], tmp_path / "out", dims=dims)
    feed = random_feed(model, dims)
    expected = list(run_whole(model, feed).items())
    with Pipeline(manifest, feed) as pipeline:
        names = [memory.name for memory in pipeline._memories]
        assert len(manifest.stages) == k
        for items in (6, 9):
            batch = pipeline.run(items)
            assert all(difference(batch.results[result], array) < 1e-5 for result, array in expected)
            assert batch.period > 0
            assert len(batch.busy) == len(manifest.stages)
    assert left_behind(names) == []


def test_a_stage_that_fails_ends_the_pipeline(tmp_path: Path) -> None:
    model, dims = opened("residual", tmp_path)
    manifest = split_model(model, [0] * 4 + [1] * 4 + [2] * 4, tmp_path / "out", dims=dims)
    with Pipeline(manifest, random_feed(model, dims)) as pipeline:
        names = [memory.name for memory in pipeline._memories]
        pipeline._processes[1].kill()
        with pytest.raises(UserError, match=r"stage1\.onnx: the stage's process ended with -9"):
            pipeline.run(8)
    (tmp_path / "out" / "stage2.onnx").write_bytes((tmp_path / "out" / "stage1.onnx").read_bytes())
    broken = Pipeline(manifest, random_feed(model, dims))
    with pytest.raises(UserError):
        broken.__enter__()
    assert not broken._memories
    assert left_behind(names) == []


def trial_of(manifest: Manifest, model_path: Path | None = None, *, rounds: int = 1, naive: bool = True) -> Trial:
    with open_subject(manifest, model_path=model_path) as subject:
        return run_trial(manifest, subject, items=6, rounds=rounds, naive=naive)


def test_a_trial_measures_everything_once(tmp_path: Path) -> None:
    model, dims = opened("residual", tmp_path)
    equal = naive_partitions(model.read_graph(dims), 2)["equal operator count"]
    manifest = split_model(model, equal.tolist(), tmp_path / "out", dims=dims)
    trial = trial_of(manifest, rounds=2)
    names = [row.name for row in trial.rows]
    assert names == [SPLIT, UNSPLIT, "equal operator count", "equal parameters", "equal FLOPs"]
    same = trial.rows[2]
    assert same.same_as == SPLIT
    assert same.period == trial.split.period
    assert trial.equal
    assert trial.verdict.difference.value < 1e-5
    assert trial.best_naive is not None
    document = trial.as_dict()
    assert document["throughput_over_best_naive"] == trial.best_naive.period / trial.split.period
    assert document["predicted_over_measured"] is None


def test_wrong_results_are_seen(tmp_path: Path) -> None:
    model, dims = opened("residual", tmp_path)
    manifest = split_model(model, [0] * 5 + [1] * 7, tmp_path / "out", dims=dims)
    other = residual()
    for tensor in other.graph.initializer:
        if tensor.name == "bias":
            tensor.raw_data = np.full(200, 5.0, np.float32).tobytes()
    (tmp_path / "other").mkdir()
    trial = trial_of(manifest, write(other, tmp_path / "other" / "m.onnx"), naive=False)
    assert not trial.equal
    assert trial.verdict.difference.value > 1e-2


def test_a_trial_of_another_model_is_refused(tmp_path: Path) -> None:
    model, dims = opened("residual", tmp_path)
    manifest = split_model(model, [0] * 5 + [1] * 7, tmp_path / "out", dims=dims)
    stranger = write(MODELS["functions"](), tmp_path / "stranger.onnx")
    with pytest.raises(UserError, match="not of this model"):
        trial_of(manifest, stranger)
    with pytest.raises(UserError, match="give its file as `model`"):
        trial_of(manifest, tmp_path / "gone.onnx")


def test_naive_splits_reach_equal_shares() -> None:
    graph = read_graph("testbed:resnet50")
    costs = graph.costs
    assert isinstance(costs, PhysicalCosts)
    for k in (2, 3, 8):
        splits = naive_partitions(graph, k)
        assert set(splits) == {"equal operator count", "equal parameters", "equal FLOPs"}
        sizes = np.bincount(splits["equal operator count"])
        assert sizes.max() - sizes.min() <= 1
        for name, values in (("equal parameters", costs.parameter_bytes), ("equal FLOPs", costs.flops)):
            shares = np.bincount(splits[name], values, k)
            assert shares.max() <= values.sum() / k + values.max()
        top = graph.topology
        tails = np.repeat(top.producer, np.diff(top.consumer_ptr))
        for stage_of in splits.values():
            assert (stage_of[tails] <= stage_of[top.consumers]).all()
