"""From a model file to running stages, as a user does it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from framework.cli import run
from framework.deploy import runtime
from framework.deploy.onnx_model import open_model
from framework.deploy.split.manifest import read_manifest
from framework.deploy.tuning.solved import read_solved
from framework.errors import UserError
from framework.formats import read_graph
from framework.model.device import load_device
from framework.portfolio.settings import Settings
from framework.portfolio.solve import solve
from tests.cli.conftest import Run
from tests.deploy.models import functions, residual, transformer, write
from tests.deploy.odd_models import unused


def test_the_whole_way(pipebound: Run, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    write(transformer(), tmp_path / "model.onnx")
    steps: list[list[str]] = [
        ["profile", "model.onnx", "-o", "p.graph.json", "--dim", "N=2", "--repetitions", "3", "--json"],
        [
            "solve",
            "p.graph.json",
            "-k",
            "2",
            "--bandwidth",
            "5GB/s",
            "--keep-fused",
            "-o",
            "r.json",
            "--budget",
            "10s",
            "--json",
        ],
        ["split", "model.onnx", "r.json", "-o", "stages", "--plot", "stages.svg", "--json"],
        ["pipeline", "stages", "--items", "8", "--rounds", "2", "--json"],
    ]
    printed = []
    for step in steps:
        done = pipebound(*step)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        printed.append(json.loads(done.stdout))
    profile, solved, manifest, trial = printed
    assert profile["dims"] == {"N": 2}
    assert manifest["model"]["dims"] == {"N": 2}
    fused = [row["nodes"] for row in profile["operators"] if len(row["nodes"]) > 1]
    home = {node: row["stage"] for row in manifest["stages"] for node in row["nodes"]}
    assert fused
    assert all(len({home[node] for node in nodes}) == 1 for nodes in fused)
    assert manifest["predicted"]["bottleneck"] == solved["incumbent"]
    assert "<svg" in (tmp_path / "stages.svg").read_text()
    assert trial["equal"]
    assert trial["rows"][0]["predicted"] == pytest.approx(solved["incumbent"], rel=1e-9)
    assert {row["name"] for row in trial["rows"]} >= {"this split", "unsplit", "equal FLOPs"}
    for step in (steps[2][:-1], steps[3][:-1]):
        done = pipebound(*step)
        assert done.returncode == 0, done.stderr
    assert "Results equal those of the unsplit model" in " ".join(done.stdout.split())


def test_a_result_of_the_model_itself_can_be_split(pipebound: Run, tmp_path: Path) -> None:
    write(residual(), tmp_path / "model.onnx")
    assert pipebound("solve", "model.onnx", "-k", "3", "-o", "r.json", "--budget", "10s").returncode == 0
    done = pipebound("split", "model.onnx", "r.json", "-o", "stages")
    assert done.returncode == 0, done.stderr
    assert "stage0.onnx" in done.stdout
    pytest.importorskip("onnxruntime")
    shown = pipebound("pipeline", "stages", "--items", "8", "--rounds", "1", "--json")
    trial = json.loads(shown.stdout)
    solved = json.loads((tmp_path / "r.json").read_text())
    assert trial["rows"][0]["predicted"] == pytest.approx(solved["incumbent"], rel=1e-9)
    assert all(row["predicted"] >= solved["dual_bound"] for row in trial["rows"] if row["name"] != "unsplit")


def test_an_unused_head_is_left_out_all_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(unused(), tmp_path / "m.onnx")
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["pipebound", *arguments])
        assert run() == 0
        return capsys.readouterr().out

    call("solve", "m.onnx", "-k", "2", "--drop-unused", "--with", "ideal-dp", "-o", "r.json", "--json")
    document = json.loads((tmp_path / "r.json").read_text())
    assert document["graph"]["drop_unused"]
    assert document["remarks"] == ["2 nodes lead to no output of the model and cost nothing: 'aux.mm', 'aux.softmax'"]
    call("verify", "r.json", "--allow-unproven")
    (tmp_path / "m.onnx").rename(tmp_path / "renamed.onnx")
    call("verify", "r.json", "--allow-unproven", "--graph", "renamed.onnx")
    manifest = json.loads(call("split", "renamed.onnx", "r.json", "-o", "stages", "--json"))
    assert manifest["predicted"]["drop_unused"]
    read = read_solved(read_manifest(tmp_path / "stages"), open_model(tmp_path / "renamed.onnx"))
    assert read.bottleneck(np.array(document["stage_of"])) == pytest.approx(document["incumbent"])


def test_a_profile_states_its_own_bandwidth(pipebound: Run, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    write(residual(), tmp_path / "model.onnx")
    done = pipebound("profile", "model.onnx", "-o", "p.graph.json", "--repetitions", "3", "--budget", "60s")
    assert done.returncode == 0, done.stderr
    assert "Profiling model.onnx: at most 60 s" in done.stdout
    note = json.loads((tmp_path / "p.graph.json").read_text())["profile"]
    # What speaks against the times is in the file, and on stderr.
    assert done.stderr.count("do not trust this") == len(note["warnings"])
    latency = note["link_latency"]
    assert 0 < latency < 0.1
    assert "us a tensor between stages" in " ".join(done.stdout.split())
    for options, device in (
        ([], ("measured", note["copy_bandwidth"] / 3, latency)),
        (["--bandwidth", "2GB/s"], ("measured", 2e9, latency)),
        (["--link-latency", "0"], ("measured", note["copy_bandwidth"] / 3, 0.0)),
        (["--device", "reference"], ("reference", 16e9, 0.0)),
    ):
        solved = pipebound("solve", "p.graph.json", "-k", "2", "--budget", "10s", "--json", *options)
        assert solved.returncode == 0, solved.stderr
        stored = json.loads(solved.stdout)["device"]
        assert (stored["name"], stored["link_bandwidth"], stored["link_latency"]) == device
    document = json.loads((tmp_path / "p.graph.json").read_text())
    document["profile"]["copy_bandwidth"] = -1
    (tmp_path / "p.graph.json").write_text(json.dumps(document))
    wrong = pipebound("solve", "p.graph.json", "-k", "2")
    assert wrong.returncode == 2
    assert "copy_bandwidth is -1 (give a --device, or --bandwidth)" in wrong.stderr


def test_recommend(pipebound: Run, graph_file: Path) -> None:
    done = pipebound("recommend", graph_file, "-k", "1..4", "--budget", "10s", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert [choice["stages"] for choice in answer["choices"]] == [1, 2, 3, 4]
    values = [choice["bottleneck"] for choice in answer["choices"]]
    assert values == sorted(values, reverse=True)
    assert answer["choices"][0]["speedup"] == 1.0
    shown = pipebound("recommend", graph_file, "-k", "2..3", "--budget", "10s")
    assert "Is it worth optimising further? No" in " ".join(shown.stdout.split())


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a result of it, and another model."""
    folder = tmp_path_factory.mktemp("solved")
    write(residual(), folder / "model.onnx")
    write(functions(), folder / "other.onnx")
    graph, k = read_graph(folder / "model.onnx"), 2
    result = solve(graph, k, settings=Settings(device=load_device("reference"), entry="slice-graph", budget=5.0))
    result.write(folder / "r.json")
    return folder


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["split", "absent.onnx", "r.json", "-o", "out"], "absent.onnx"),
        (["split", "other.onnx", "r.json", "-o", "out"], "give --graph, the file that was solved"),
        (["split", "other.onnx", "r.json", "-o", "out", "--graph", "model.onnx"], "has other nodes than"),
        (["split", "model.onnx", "r.json", "-o", "."], "the folder is not empty"),
        (["split", "model.onnx", "r.json", "-o", "out", "--plot", "x.bmp"], "cannot draw a .bmp"),
        (["profile", "model.onnx", "-o", "p.json", "--optimization", "most"], "choose one of none, basic"),
        (["profile", "model.onnx", "-o", "p.json", "--dim", "Q=1"], "no dimension 'Q'"),
        (["profile", "model.onnx", "-o", "p.json", "--neighbours", "9999"], "need 10000 cores"),
        (["profile", "model.onnx", "-o", "model.onnx"], "this would replace what is read"),
        (["profile", "model.onnx", "-o", "gone/p.json"], "there is no such folder"),
        (["profile", "model.onnx", "-o", "."], "this is a folder"),
        (["inspect", "model.onnx", "--plot", "gone/x.svg"], "there is no such folder"),
        (["study", "report", "r.json", "--html", "r.json"], "this would replace what is read"),
        (["solve", "model.onnx", "-k", "2", "-o", "model.onnx"], "this would replace what is read"),
        (["split", "model.onnx", "r.json", "-o", "out", "--plot", "gone/x.svg"], "there is no such folder"),
        (["split", "model.onnx", "r.json", "-o", "r.json"], "this is not a folder"),
        (["solve", "model.onnx", "-k", "2", "--keep-fused"], "holds no profile"),
        (["pipeline", "."], "holds no manifest.json"),
        (["recommend", "model.onnx", "--stages", "8..1"], "write a range such as 1..8"),
    ],
)
def test_a_mistake_is_one_line(
    solved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(solved)
    monkeypatch.setattr(sys, "argv", ["pipebound", *arguments])
    assert run() == 2
    printed = capsys.readouterr()
    assert words in printed.err
    assert len(printed.err.strip().splitlines()) == 1


def test_without_onnxruntime_there_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(runtime, "import_module", absent)
    with pytest.raises(UserError, match=r"onnxruntime is not installed \(pip install 'pipebound\[deploy\]'\)"):
        runtime.onnxruntime()
