"""`pipebound solve` on several graphs: a line a run, one file each, and faults that cost one graph."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from framework.cli.batch import file_names
from tests.cli.conftest import Run

FAULTY = Path(__file__).parent.parent / "plugins" / "faulty.py"


@pytest.fixture
def other_file(graph_file: Path) -> Path:
    document = json.loads(graph_file.read_text())
    document["name"] = "dear"
    document["nodes"][0]["work"] = 100
    path = graph_file.with_name("dear.graph.json")
    path.write_text(json.dumps(document))
    return path


def test_each_run_is_a_line_and_a_file(pipebound: Run, graph_file: Path, other_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    done = pipebound("solve", graph_file, other_file, "-k", "2", "-k", "3", "-o", folder)
    assert done.returncode == 0, done.stderr
    heading, *lines = done.stdout.splitlines()
    assert heading.split()[:3] == ["graph", "k", "status"]
    assert [line.split()[:3] for line in lines] == [
        [str(path), k, "optimal"] for path in (graph_file, other_file) for k in ("2", "3")
    ]
    assert {path.name for path in folder.iterdir()} == {
        f"{name}-k{k}.json" for name in ("braid", "dear") for k in (2, 3)
    }
    one = pipebound("solve", graph_file, "-k", "3", "--json")
    kept = json.loads((folder / "braid-k3.json").read_text())
    assert kept["incumbent_ticks"] == json.loads(one.stdout)["incumbent_ticks"]
    assert len({line.index("optimal") for line in lines}) == 1


def test_json_is_a_document_a_line(pipebound: Run, graph_file: Path, other_file: Path) -> None:
    done = pipebound("solve", graph_file, "nowhere.onnx", other_file, "-k", "3", "--json")
    assert done.returncode == 2
    first, error, last = (json.loads(line) for line in done.stdout.splitlines())
    assert [first["graph"]["name"], last["graph"]["name"]] == ["braid", "dear"]
    assert first["format"] == "pipebound-result"
    assert error["graph"] == "nowhere.onnx"
    assert "no such file" in error["error"]
    assert "nowhere.onnx" in done.stderr


def test_a_graph_that_fails_costs_its_own_results_only(
    pipebound: Run, graph_file: Path, other_file: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.graph.json"
    broken.write_text("{")
    done = pipebound("solve", broken, graph_file, other_file, "-k", "3", "-o", tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"pipebound: {broken}, line 1")
    assert done.stdout.count("optimal") == 2
    assert {path.name for path in tmp_path.glob("*.json")} >= {"braid.json", "dear.json"}
    # A pin that only one of them can obey.
    done = pipebound("solve", graph_file, other_file, "-k", "3", "--pin", "nobody=0")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--plot", "a.svg"], "--plot: this is for one graph"),
        (["--start", "a.json"], "--start: this is for one graph"),
        (["--explain"], "--explain: this is for one graph"),
        (["-o", "braid.graph.json"], "this is a file, and there are several graphs"),
        (["--with", "simpel"], "nothing is registered as 'simpel'"),
    ],
)
def test_what_is_for_one_graph_is_refused_before_anything_runs(
    pipebound: Run, graph_file: Path, other_file: Path, words: list[str], said: str
) -> None:
    done = pipebound("solve", graph_file, other_file, "-k", "3", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not done.stdout


def test_an_interrupt_keeps_what_is_proved_and_ends_the_rest(
    graph_file: Path, other_file: Path, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    words = ["solve", str(graph_file), str(other_file), "-k", "3", "--budget", "60s", "--with", "test-waits"]
    process = subprocess.Popen(
        [sys.executable, "-m", "framework", *words, "--plugin", str(FAULTY), "--json", "-o", str(tmp_path / "out")],
        env=os.environ | {"PIPEBOUND_TEST_STARTED": str(started)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not started.exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    (line,) = out.splitlines()
    assert json.loads(line)["status"] == "interrupted"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["braid.json"]


def test_files_of_equal_names_get_numbers() -> None:
    graphs = ["a/m.onnx", "b/m.graph.json.xz", "testbed:m-2", "m-2", "testbed:resnet50"]
    assert file_names(graphs) == ["m", "m-2", "m-2-2", "m-2-3", "resnet50"]
