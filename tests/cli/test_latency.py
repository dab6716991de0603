"""Latency of a link, as a user gives it and as results and `verify` carry it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run


def test_each_tensor_handed_over_costs_the_latency(pipebound: Run, tmp_path: Path) -> None:
    nodes = [{"name": name, "seconds": seconds, "parameter_bytes": 0} for name, seconds in (("a", 1e-3), ("b", 2e-3))]
    document = {
        "format": "pipebound-graph",
        "version": 1,
        "name": "pair",
        "nodes": nodes,
        "tensors": [{"producer": 0, "bytes": 1e6, "consumers": [1]}],
    }
    (tmp_path / "pair.graph.json").write_text(json.dumps(document))
    ask = ["solve", "pair.graph.json", "-k", "2", "--with", "ideal-dp", "--bandwidth", "10GB/s", "-o", "r.json"]
    shown = pipebound(*ask, "--link-latency", "100us")
    assert shown.returncode == 0, shown.stderr
    assert "device measured with 100 us a tensor" in shown.stdout
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["device"]["link_latency"] == 1e-4
    assert [row["in"] for row in result["stage_costs"]] == [0.0, 0.0002]
    assert result["incumbent"] == 0.0022
    verified = pipebound("verify", "r.json", "--allow-unproven")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    result["device"]["link_latency"] = 2e-4
    (tmp_path / "false.json").write_text(json.dumps(result))
    assert pipebound("verify", "false.json", "--allow-unproven").returncode == 1


def test_inspect_and_recommend_say_what_a_tensor_costs(pipebound: Run) -> None:
    graph = "testbed:squeezenet"
    inspected = pipebound("inspect", graph, "--link-latency", "0.5ms", "--max-ideals", "100")
    assert inspected.returncode == 0, inspected.stderr
    # Its work is below a millisecond.
    assert "a tensor handed over 500 us beside its bytes" in " ".join(inspected.stdout.split())
    ask = ("recommend", graph, "-k", "1..2", "--with", "simple", "--link-latency")
    assert "device reference with 500 us a tensor" in " ".join(pipebound(*ask, "0.5ms").stdout.split())
    assert "a tensor" not in pipebound(*ask, "0").stdout


def test_results_from_before_there_was_a_latency(pipebound: Run, tmp_path: Path) -> None:
    done = pipebound("solve", "testbed:squeezenet", "-k", "2", "--with", "simple", "-o", "r.json")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["device"].pop("link_latency") == 0.0
    (tmp_path / "old.json").write_text(json.dumps(result))
    verified = pipebound("verify", "old.json", "--allow-unproven")
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("fast", ("solve", "-k", "2")),
        ("-1us", ("inspect",)),
        ("5xs", ("recommend",)),
        ("1e999", ("compare", "simple", "-k", "2")),
    ],
)
def test_a_malformed_latency_is_told_in_one_line(pipebound: Run, text: str, command: tuple[str, ...]) -> None:
    done = pipebound(command[0], "testbed:squeezenet", *command[1:], f"--link-latency={text}")
    assert done.returncode == 2
    assert done.stderr.startswith("pipebound: --link-latency: ")
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_priced_graph_takes_no_latency(pipebound: Run, graph_file: Path) -> None:
    done = pipebound("solve", graph_file, "-k", "2", "--link-latency", "0")
    assert done.returncode == 2
    assert "this graph carries its own prices (drop --device, --bandwidth, --link-latency" in done.stderr
