"""Training on the command line: solved, verified, explained, judged, with a proof; what makes no sense is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run


def write_layers(path: Path, layers: int = 6) -> None:
    nodes = [
        {"name": f"layer{i}", "op": "Gemm", "seconds": 2.0, "backward_seconds": 4.0, "parameter_bytes": 100}
        for i in range(layers)
    ]
    tensors = [{"producer": i, "bytes": 500, "consumers": [i + 1]} for i in range(layers - 1)]
    document: dict[str, Any] = {"format": "pipebound-graph", "version": 2, "nodes": nodes, "tensors": tensors}
    path.write_text(json.dumps(document))


def test_a_step_is_solved_and_verified(pipebound: Run, tmp_path: Path) -> None:
    write_layers(tmp_path / "layers.graph.json")
    ask = ("solve", "layers.graph.json", "-k", "3", "--bandwidth", "1000", "--with", "ideal-dp", "--training")
    free = pipebound(*ask, "-o", "f.json", "--proof", "p.json")
    assert free.returncode == 0, free.stderr
    assert pipebound("verify", "f.json", "--proof", "p.json").returncode == 0
    limited = pipebound(
        *ask, "--microbatches", "8", "--memory-limit", "3750", "-o", "r.json", "--explain", "--proof", "limited.json"
    )
    assert limited.returncode == 0, limited.stderr
    assert "gradient of layer" in limited.stdout
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["stage_of"] == [0, 0, 1, 2, 2, 2]
    assert (result["graph"]["training"], result["graph"]["microbatches"]) == (True, 8)
    assert [row["activations"] for row in result["stage_memory"]] == [1500, 1000, 1500]
    checked = pipebound("verify", "r.json", "--proof", "limited.json")
    assert checked.returncode == 0, checked.stdout
    # A bound without a certificate is not checked, which is 4; nothing may be false.
    assert pipebound("verify", "r.json").returncode in (0, 4)
    del result["graph"]["microbatches"]
    (tmp_path / "false.json").write_text(json.dumps(result))
    assert pipebound("verify", "false.json").returncode != 0
    states = pipebound(*ask, "--optimizer-states", "0", "--memory-limit", "100", "--json")
    assert states.returncode == 3, states.stderr
    assert "node 'layer" in json.loads(states.stdout)["termination"]["detail"]


def test_other_commands_take_a_step(pipebound: Run, tmp_path: Path) -> None:
    write_layers(tmp_path / "layers.graph.json")
    judged = pipebound(
        "judge", "layers.graph.json", "-k", "3", "--bandwidth", "1000", "--training", "--split", "operators", "--json"
    )
    assert judged.returncode == 0, judged.stderr
    # Two layers a stage: 12 s of work, and two tensors with their gradients in the middle.
    assert json.loads(judged.stdout)["splits"][0]["bottleneck"] == pytest.approx(12 + 4 * 0.5)
    seen = pipebound("inspect", "layers.graph.json", "--bandwidth", "1000", "--training", "--json")
    assert json.loads(seen.stdout)["total_work"] == 36


def test_what_is_refused(pipebound: Run, tmp_path: Path) -> None:
    write_layers(tmp_path / "layers.graph.json")
    ask = ("solve", "layers.graph.json", "-k", "2", "--bandwidth", "1000", "--fast-memory", "100")
    for options, said in (
        (("--microbatches", "4"), "--microbatches: this is about training (add --training)"),
        (("--optimizer-states", "0"), "--optimizer-states: this is about training (add --training)"),
        (("--training", "--activations"), "those of training are not streamed"),
    ):
        done = pipebound(*ask, *options)
        assert done.returncode == 2
        assert said in " ".join(done.stderr.split())
