"""Activations in the fast memory, as a user asks for them and as results, devices and `verify` carry them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run


def test_activations_take_room_in_the_fast_memory(pipebound: Run, tmp_path: Path) -> None:
    nodes = [{"name": "a", "seconds": 1, "parameter_bytes": 10, "state_bytes": 5}]
    nodes.append({"name": "b", "seconds": 1, "parameter_bytes": 10, "state_bytes": 0})
    document = {
        "format": "pipebound-graph",
        "version": 2,
        "name": "pair",
        "nodes": nodes,
        "tensors": [{"producer": 0, "bytes": 4, "consumers": [1]}],
    }
    (tmp_path / "pair.graph.json").write_text(json.dumps(document))
    ask = ["solve", "pair.graph.json", "-k", "1", "--with", "ideal-dp", "--bandwidth", "2", "--fast-memory", "20"]
    assert pipebound(*ask, "-o", "plain.json").returncode == 0
    shown = pipebound(*ask, "-o", "r.json", "--activations")
    assert shown.returncode == 0, shown.stderr
    assert "device measured with activations in its fast memory" in " ".join(shown.stdout.split())
    plain, result = (json.loads((tmp_path / name).read_text()) for name in ("plain.json", "r.json"))
    assert "activations" not in plain["device"]
    assert plain["stage_costs"][0]["overflow"] == 0
    # 20 bytes of parameters, 5 of state and a tensor of 4 that both nodes need; 20 fit, and 2 bytes take a second.
    assert result["stage_costs"][0]["overflow"] == 4.5
    assert pipebound("verify", "r.json").returncode == 0
    result["device"]["activations"] = False
    (tmp_path / "false.json").write_text(json.dumps(result))
    assert pipebound("verify", "false.json").returncode == 1


def test_devices_may_count_activations(pipebound: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        "link_bandwidth = 1e9\nfast_memory = 10\npeak_flops = 1e9\nmemory_bandwidth = 1e9\nactivations = true\n"
    )
    ask = ("solve", "testbed:squeezenet", "-k", "2", "--with", "simple,annealing", "--budget", "5s", "--json")
    result = json.loads(pipebound(*ask, "--device", "mine.toml").stdout)
    assert result["device"]["activations"] is True
    chain = json.loads(pipebound(*ask, "--devices", "edge-tpu,mine.toml").stdout)
    assert [kind.get("activations", False) for kind in chain["device"]["kinds"]] == [False, True]
    chain = json.loads(pipebound(*ask, "--devices", "edge-tpu,mine.toml", "--activations").stdout)
    assert [kind.get("activations", False) for kind in chain["device"]["kinds"]] == [True, True]
    (tmp_path / "mine.toml").write_text("link_bandwidth = 1e9\nactivations = 1\n")
    refused = pipebound(*ask, "--device", "mine.toml")
    assert refused.returncode == 2
    assert "activations: 1 is neither true nor false" in " ".join(refused.stderr.split())


def test_a_graph_with_prices_has_no_activations(pipebound: Run, tmp_path: Path) -> None:
    nodes = [{"work": 1, "parameter_cost": 0}]
    document = {"format": "pipebound-graph", "version": 1, "cost_unit": "ms", "nodes": nodes, "tensors": []}
    (tmp_path / "priced.graph.json").write_text(json.dumps(document))
    refused = pipebound("solve", "priced.graph.json", "-k", "1", "--activations")
    assert refused.returncode == 2
    assert "this graph carries its own prices" in refused.stderr
