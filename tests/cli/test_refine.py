"""`pipebound refine` as a user runs it: what it writes, what it refuses, how it ends when interrupted."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from framework.cli import run
from framework.deploy.measurement import write_profile
from framework.deploy.onnx_model import open_model
from framework.deploy.split.assignment import assign, fused_groups
from framework.deploy.split.manifest import read_manifest
from framework.deploy.split.split import split_model
from framework.deploy.tuning import search
from framework.deploy.tuning.profile import profile_model
from framework.formats import read_graph
from framework.model.device import Device, load_device
from framework.portfolio.constraints import Constraints
from framework.portfolio.records import GraphInput
from framework.portfolio.settings import Session, Settings
from framework.portfolio.solve import solve
from framework.report import console
from tests.cli.conftest import Run
from tests.deploy.models import functions, residual, transformer, write

FAST = ["--items", "6", "--race", "5", "--budget", "5m"]


def make_split(folder: Path, constraints: Constraints | None = None, k: int = 2) -> None:
    """Solve ``model.onnx`` of a folder by the roofline and split it to ``stages``."""
    model = open_model(folder / "model.onnx")
    result = solve(
        read_graph(folder / "model.onnx"),
        k,
        settings=Settings(device=load_device("reference"), entry="ideal-dp", budget=10.0),
        constraints=constraints,
    )
    assigned = assign(model, result)
    split_model(model, assigned.stage_of, folder / "stages", dims=assigned.dims, predicted=assigned.predicted)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a split of it, and another model."""
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("made")
    write(residual(), folder / "model.onnx")
    write(functions(), folder / "other.onnx")
    make_split(folder)
    model = open_model(folder / "model.onnx")
    n = len(model.placed)
    split_model(model, [2 * v // n for v in range(n)], folder / "unsolved")
    return folder


def test_from_a_profile_to_a_refined_split(pipebound: Run, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model = open_model(write(transformer(), tmp_path / "model.onnx"))
    profile = profile_model(model, dims={"N": 2}, repetitions=3)
    write_profile(profile, tmp_path / "p.graph.json")
    graph_path = str(tmp_path / "p.graph.json")
    result = solve(
        read_graph(graph_path),
        2,
        settings=Settings(device=Device(name="measured", link_bandwidth=5e9), entry="ideal-dp"),
        constraints=Constraints(same_stage=fused_groups(graph_path)),
        session=Session(graph_input=GraphInput(path=graph_path)),
    )
    assigned = assign(model, result)
    split_model(model, assigned.stage_of, tmp_path / "stages", dims=assigned.dims, predicted=assigned.predicted)
    done = pipebound("refine", "stages", "-o", "better", "--rounds", "1", *FAST, "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    answer = json.loads(done.stdout)
    names = [row["name"] for row in answer["candidates"]]
    assert names[0] == "given split"
    assert answer["winner"] in names
    assert not answer["interrupted"]
    assert max(row["throughput_over_best_naive"] for row in answer["candidates"] if row["naive"]) == pytest.approx(1)
    manifest = json.loads((tmp_path / "better" / "manifest.json").read_text())
    winner = next(row for row in answer["candidates"] if row["name"] == answer["winner"])
    assert manifest["refined"]["winner"] == answer["winner"]
    assert manifest["predicted"]["bottleneck"] == winner["corrected"]
    assert manifest["model"]["dims"] == {"N": 2}
    # The corrected graph can be solved as it stands, with all that the profile knew of fusions.
    corrected = str(tmp_path / "better" / "graph.json")
    assert fused_groups(corrected) == fused_groups(graph_path)
    again = ["solve", corrected, "-k", "2", "--bandwidth", str(answer["link_bandwidth"]), "--keep-fused", "--json"]
    solved = pipebound(*again)
    assert solved.returncode == 0, solved.stderr
    ran = pipebound("pipeline", "better", "--items", "6", "--rounds", "1", "--json")
    assert ran.returncode == 0, ran.stderr
    trial = json.loads(ran.stdout)
    assert trial["equal"]
    assert trial["rows"][0]["predicted"] == pytest.approx(winner["corrected"], rel=1e-9)
    shown = pipebound("refine", "better", "-o", "best", "--rounds", "0", *FAST)
    assert shown.returncode == 0, shown.stderr
    assert shown.stderr == ""
    text = " ".join(shown.stdout.split())
    assert "The winner: " in text
    assert "pipebound pipeline best" in text


def test_the_result_s_constraints_are_kept(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    write(residual(), tmp_path / "model.onnx")
    make_split(tmp_path, Constraints(pins=(("head", 0),)))
    from framework.deploy.tuning.refine import refine_split

    refinement = refine_split(
        read_manifest(tmp_path / "stages"), tmp_path / "better", rounds=1, race_rounds=5, items=6, budget=300.0
    )
    assert refinement.manifest is not None
    assert "head" in refinement.manifest.stages[0]["nodes"]
    assert any("breaks a constraint of the result, and cannot win" in remark for remark in refinement.remarks)
    stored = refinement.manifest.document["predicted"]["constraints"]
    assert Constraints.from_dict(stored) == Constraints(pins=(("head", 0),))


def test_more_stages_than_cores(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    write(residual(), tmp_path / "model.onnx")
    k = len(os.sched_getaffinity(0)) + 1
    make_split(tmp_path, k=k)
    from framework.deploy.tuning.refine import refine_split

    refinement = refine_split(
        read_manifest(tmp_path / "stages"), tmp_path / "better", rounds=1, race_rounds=5, items=6, budget=300.0
    )
    assert refinement.stages == k
    assert any("their times include waiting for a core" in remark for remark in refinement.remarks)
    assert refinement.manifest is not None


def test_a_split_with_generated_weights_stands_alone(tmp_path: Path) -> None:
    """The unsplit model with the generated weights is beside the stages, not in the folder of the first split."""
    pytest.importorskip("onnxruntime")
    bare = residual()
    for tensor in bare.graph.initializer:
        if tensor.name == "head":
            tensor.ClearField("raw_data")
    write(bare, tmp_path / "model.onnx")
    make_split(tmp_path)
    from framework.deploy.tuning.refine import refine_split

    first = read_manifest(tmp_path / "stages")
    for _ in range(2):
        refinement = refine_split(first, tmp_path / "better", rounds=0, race_rounds=5, items=6)
    assert refinement.manifest is not None
    written = read_manifest(tmp_path / "better")
    assert written.document["model"]["weights"] == "generated"
    assert written.model_path.resolve() == (tmp_path / "better" / "whole" / "model.onnx").resolve()
    assert written.model_path.is_file()
    assert any("generated" in remark for remark in written.document["remarks"])
    # Another split in its place takes the corrected graph away.
    split_model(open_model(tmp_path / "model.onnx"), [0] * 6 + [1] * 6, tmp_path / "better")
    assert not (tmp_path / "better" / "graph.json").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["refine", "absent", "-o", "out"], "holds no manifest.json"),
        (["refine", "stages", "-o", "stages"], "this is the split to refine itself"),
        (["refine", "stages", "-o", "."], "the folder is not empty"),
        (["refine", "stages", "-o", "out", "--model", "other.onnx"], "the stages are not of this model"),
        (["refine", "stages", "-o", "out", "--model", "gone.onnx"], "give its file as --model"),
        (["refine", "unsolved", "-o", "out"], "split a result of the model or of its profile"),
        (["refine", "stages", "-o", "out", "--budget", "soon"], "soon"),
        (["refine", "stages", "-o", "out", "--optimization", "most"], "choose one of none, basic"),
    ],
)
def test_a_mistake_is_one_line(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(made)
    monkeypatch.setattr(sys, "argv", ["pipebound", *arguments])
    assert run() == 2
    printed = capsys.readouterr()
    assert words in printed.err
    assert len(printed.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("moment", "written"), [("starting given split", False), ("solving", True), ("the last race", True)]
)
def test_ctrl_c_keeps_the_best_so_far(
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    moment: str,
    written: bool,
) -> None:
    @contextmanager
    def interrupting(title: str, *, quiet: bool) -> Iterator[Callable[[str], None]]:
        def say(text: str) -> None:
            if text.startswith(moment):
                os.kill(os.getpid(), signal.SIGINT)

        yield say

    monkeypatch.setattr(console, "status_line", interrupting)
    # However long the stages take, there is a last race to interrupt.
    monkeypatch.setattr(search, "MARGIN", 1e9)
    output = tmp_path / "better"
    arguments = ["refine", str(made / "stages"), "-o", str(output), "--rounds", "1", *FAST, "--json"]
    monkeypatch.setattr(sys, "argv", ["pipebound", *arguments])
    assert run() == 130
    answer = json.loads(capsys.readouterr().out)
    assert answer["interrupted"]
    assert not answer["raced"]
    assert (answer["winner"] is not None) == written
    if written:
        assert read_manifest(output).document["refined"]["winner"] == answer["winner"]
        assert "best so far" in answer["why"]
    else:
        assert not output.exists()
