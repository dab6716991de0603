"""`convert` and `solve --explain` as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from framework.formats.native import native_text
from tests.cli.conftest import Run
from tests.deploy.models import residual
from tests.layouts.graphs import layered, of_edges


@pytest.fixture
def result_file(pipebound: Run, tmp_path: Path) -> Path:
    """A result of four layers in two stages, which are whole."""
    (tmp_path / "small.graph.json").write_text(native_text(layered(4)))
    out = tmp_path / "r.json"
    done = pipebound(
        *("solve", "small.graph.json", "-k", "2", "--whole-modules", "layers.*", "--bandwidth", "1GB/s"),
        *("--with", "slice-graph,ideal-dp", "-o", out),
    )
    assert done.returncode == 0, done.stderr
    return out


def test_a_result_is_written_in_the_words_of_tools_and_judged(
    pipebound: Run, result_file: Path, tmp_path: Path
) -> None:
    best = json.loads(result_file.read_text())
    done = pipebound("convert", result_file, "--to", "vllm")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "VLLM_PP_LAYER_PARTITION=2,2\n"
    pipebound("convert", result_file, "--to", "device-map", "-o", "map.json")
    pipebound("convert", result_file, "--to", "html", "-o", "page.html")
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    judged = pipebound(
        *("judge", "small.graph.json", "--split", "map.json", "--bandwidth", "1GB/s", "--with", "simple", "--json")
    )
    (split,) = json.loads(judged.stdout)["splits"]
    assert split["bottleneck"] == best["incumbent"]
    assert split["stage_of"] == best["stage_of"]


def test_stages_go_into_an_onnx_model(pipebound: Run, tmp_path: Path) -> None:
    onnx.save_model(residual(), tmp_path / "m.onnx")
    done = pipebound("solve", "m.onnx", "-k", "2", "--with", "simple", "-o", "r.json", "--json")
    assert done.returncode == 0, done.stderr
    converted = pipebound("convert", "r.json", "--to", "onnx", "-o", "staged.onnx")
    assert converted.returncode == 0, converted.stderr
    model = onnx.load(tmp_path / "staged.onnx")
    stages = [row.pipeline_stage for node in model.graph.node for row in node.device_configurations]
    assert stages == json.loads(done.stdout)["stage_of"]


def test_a_program_of_torch_has_no_place_for_stages(pipebound: Run, result_file: Path, tmp_path: Path) -> None:
    (tmp_path / "m.pt2").write_bytes(b"PK")
    done = pipebound("convert", result_file, "--to", "onnx", "--model", "m.pt2", "-o", "staged.onnx")
    assert done.returncode == 2
    assert "pipebound: m.pt2: a program of torch.export has no field for stages" in done.stderr
    assert not (tmp_path / "staged.onnx").exists()


def test_a_result_is_explained(pipebound: Run, result_file: Path, tmp_path: Path) -> None:
    given = ("solve", "small.graph.json", "-k", "2", "--fast-memory", "4", "--with", "simple", "--explain")
    done = pipebound(*given, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found) == {"result", "explanation"}
    assert found["explanation"]["support"]["source"] == "simple"
    assert [row["name"] for row in found["explanation"]["what_if"]] == [
        "link twice as fast",
        "memory twice as large",
        "one device more",
    ]
    shown = pipebound(*given)
    assert "what binds stage " in shown.stdout
    assert "The bound of simple rests on" in shown.stdout
    assert "what if, in " in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--to", "gpipe"], "no layout is called 'gpipe' (choose one of split-spec"),
        (["--to", "onnx"], "give -o FILE.onnx"),
        (["--to", "html"], "give -o FILE.html"),
        (["--to", "vllm", "--layers", "block.*"], "no module is called 'block.*'"),
        (["--to", "csv", "--graph", "other.graph.json"], "this is not the graph that was solved"),
        (["--to", "csv", "-o", "r.json"], "this would replace what is read"),
    ],
)
def test_mistakes_are_one_line(
    pipebound: Run, result_file: Path, tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    (tmp_path / "other.graph.json").write_text(native_text(of_edges(["a", "b"], [(0, 1)])))
    done = pipebound("convert", result_file, *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_cut_through_a_layer_names_the_option_that_prevents_it(pipebound: Run, tmp_path: Path) -> None:
    graph = layered(1, seconds=[1e-3, 1, 1, 1, 1, 1, 1, 1e-3, 1e-3])
    (tmp_path / "one.graph.json").write_text(native_text(graph))
    pipebound("solve", "one.graph.json", "-k", "2", "--bandwidth", "1GB/s", "--with", "slice-graph", "-o", "r.json")
    done = pipebound("convert", "r.json", "--to", "fqn-per-stage")
    assert done.returncode == 2
    assert "goes through the module 'model.layers.0'" in done.stderr
    assert "solve again with --whole-modules model.layers.*" in done.stderr
