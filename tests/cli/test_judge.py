"""`judge` and `solve --whole-modules` as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from framework.formats.native import native_text
from tests.cli.conftest import Run
from tests.layouts.graphs import layered


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.graph.json"
    path.write_text(native_text(layered(4)))
    return path


def test_splits_are_priced_beside_the_bound(pipebound: Run, model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "map.json").write_text('{"model.embed_tokens": 0, "model.layers.1": 1}')
    given = ["--split", "2,2", "--split", "map.json", "--split", "operators", "--bandwidth", "1GB/s"]
    done = pipebound("judge", model_file, *given, "--with", "slice-graph,ideal-dp", "-o", "best.json", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [split["name"] for split in found["splits"]] == ["2,2", "map.json", "operators"]
    assert found["result"] == json.loads((tmp_path / "best.json").read_text())
    assert found["result"]["status"] == "optimal"
    for split in found["splits"]:
        assert split["bottleneck"] >= found["result"]["incumbent"]
        assert 0 <= split["from_found"] <= split["from_best"] <= split["from_found"] + 1e-9
    shown = pipebound(
        "judge", model_file, "--split", "even-layers", "-k", "2", "--with", "simple", "--bandwidth", "1GB/s"
    )
    assert shown.returncode == 0, shown.stderr
    assert "even-layers is at most " in shown.stdout
    assert "The bound: no partition into 2 stages gets below" in shown.stdout


def test_whole_modules_stay_whole_and_verify(pipebound: Run, model_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.json"
    done = pipebound(
        "solve", model_file, "-k", "2", "--whole-modules", "layers.*", "--bandwidth", "1GB/s", "-o", out, "--json"
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["constraints"]["whole_modules"] == ["layers.*"]
    of_layer: dict[str, set[int]] = {}
    for name, stage in zip(result["node_names"], result["stage_of"], strict=True):
        of_layer.setdefault(".".join(name.split(".")[:3]), set()).add(stage)
    assert all(len(found) == 1 for name, found in of_layer.items() if "layers" in name)
    checked = pipebound("verify", out, "--allow-unproven")
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--split", "even-layers"], "give --stages: the splits named do not say it"),
        (["--split", "evenly", "-k", "2"], "no split is called 'evenly'"),
        (["--split", "2,2", "-k", "2", "-k", "3"], "judge for one number at a time"),
        (["--split", "2,3"], "add up to 5"),
        (["--split", "2,2", "--layers", "block.*"], "no module is called 'block.*' (there are model.layers.*)"),
        (["--split", "[0,1]"], "no split is called '[0,1]'"),
    ],
)
def test_mistakes_are_one_line(pipebound: Run, model_file: Path, arguments: list[str], complaint: str) -> None:
    done = pipebound("judge", model_file, *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
