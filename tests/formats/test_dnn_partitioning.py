from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from framework.errors import UserError
from framework.formats import read_graph
from framework.formats.dnn_partitioning import parse
from framework.model.graph import PricedCosts
from framework.model.pricing import price


def sample() -> dict[str, Any]:
    return {
        "maxFPGAs": 3,
        "maxCPUs": 1,
        "maxSizePerFPGA": 5.0,
        "nodes": [
            {"id": 7, "name": "a", "fpgaLatency": 1.5, "cpuLatency": 9.0, "size": 1.0, "colorClass": 1},
            {"id": 3, "name": "b", "fpgaLatency": 2.0, "isBackwardNode": 1, "colorClass": 1},
            {"id": 5, "name": "c", "fpgaLatency": 0.0, "supportedOnFpga": False, "colorClass": 2},
        ],
        "edges": [
            {"sourceId": 7, "destId": 5, "cost": 0.25},
            {"sourceId": 7, "destId": 3, "cost": 0.5},
            {"sourceId": 3, "destId": 5, "cost": 0.125},
            {"sourceId": 3, "destId": 5, "cost": 0.0625},
        ],
    }


def refusal(top: object) -> str:
    with pytest.raises(UserError) as caught:
        parse(json.dumps(top).encode(), "dir/x.json")
    return str(caught.value)


def test_accelerator_only_reading() -> None:
    graph = parse(json.dumps(sample()).encode(), "dir/x.json")
    assert graph.name == "x"
    assert graph.node_names == ("a", "b", "c")
    assert graph.default_stages == 3
    costs = graph.costs
    assert isinstance(costs, PricedCosts)
    assert costs.work.tolist() == [1.5, 2.0, 0.0]
    assert costs.capacity is None
    assert costs.parameter_cost.tolist() == [0, 0, 0]
    assert graph.topology.producer.tolist() == [0, 1]
    assert graph.topology.consumers.tolist() == [1, 2, 2]
    assert costs.tensor_cost.tolist() == [0.5, 0.125]
    assert graph.remarks == (
        "read as accelerators only: CPUs, node sizes and the memory limit are ignored",
        "2 nodes share a colorClass; that they belong together is ignored",
        "1 backward node is treated like any other",
        "1 node is marked as not supported on accelerators; the fpgaLatency is used",
    )


def test_integers_stay_integers_and_names_that_repeat_get_their_ids() -> None:
    top = {
        "nodes": [{"id": 1, "fpgaLatency": 2**53 + 1, "name": "n"}, {"id": 2, "fpgaLatency": 4, "name": "n"}],
        "edges": [{"sourceId": 1, "destId": 2, "cost": 2**53 + 1}],
    }
    graph = parse(json.dumps(top).encode(), "x")
    assert graph.node_names == ("n#1", "n#2")
    assert graph.default_stages is None
    costs = graph.costs
    assert isinstance(costs, PricedCosts)
    assert costs.work.tolist() == [2**53 + 1, 4]
    assert costs.tensor_cost.tolist() == [2**53 + 1]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ([(70, "conv"), (3, "conv"), (12, "relu")], ("conv#70", "conv#3", "relu")),
        ([(1, None), (2, ""), (3, "a")], ("1", "2", "a")),
        ([(1, "2"), (2, None), (3, "a")], ("1", "2", "3")),
    ],
)
def test_every_node_has_a_name_of_its_own(given: list[tuple[int, str | None]], names: tuple[str, ...]) -> None:
    nodes = [{"id": key, "fpgaLatency": 1} | ({} if name is None else {"name": name}) for key, name in given]
    graph = parse(json.dumps({"nodes": nodes, "edges": []}).encode(), "x")
    assert graph.node_names == names
    assert graph.node_ids == tuple(key for key, _ in given)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: t["nodes"][1].update(id=7), "nodes[1]: the id 7 is used twice"),
        (lambda t: t["nodes"][1].pop("id"), "nodes[1]: there is no 'id'"),
        (lambda t: t["nodes"][1].update(id=True), "nodes[1]: id is true"),
        (lambda t: t["nodes"][1].pop("fpgaLatency"), "node 'b': there is no 'fpgaLatency'"),
        (lambda t: t["nodes"][1].update(fpgaLatency="1"), "node 'b': fpgaLatency is \"1\""),
        (lambda t: t["nodes"][1].update(fpgaLatency=-1), "node 'b': work is -1"),
        (lambda t: t["nodes"][1].update(fpgaLatency=float("nan")), "node 'b': work is nan"),
        (lambda t: t["nodes"].append(3), "nodes[3]: this is 3"),
        (lambda t: t.pop("nodes"), "there is no list 'nodes'"),
        (lambda t: t.update(nodes=[], edges=[]), "the graph has no nodes"),
        (lambda t: t["edges"][2].update(destId=99), "edges[2]: there is no node 99"),
        (lambda t: t["edges"][2].update(sourceId=99), "edges[2]: there is no node 99"),
        (lambda t: t["edges"][2].pop("sourceId"), "edges[2]: there is no 'sourceId'"),
        (lambda t: t["edges"][2].update(destId=3), "edges[2]: node 'b' consumes its own output"),
        (lambda t: t["edges"][2].pop("cost"), "edges[2]: there is no 'cost'"),
        (lambda t: t["edges"][0].update(cost=-1), "edges[0]: cost is -1"),
        (lambda t: t["edges"][0].update(cost=float("nan")), "edges[0]: cost is nan"),
        (lambda t: t["edges"].append({"sourceId": 5, "destId": 7, "cost": 0}), "cycle of "),
        (lambda t: t.update(maxFPGAs=2.5), "maxFPGAs is 2.5"),
        (lambda t: t.update(maxFPGAs=-1), "maxFPGAs is -1"),
    ],
)
def test_refusals(change: Any, expected: str) -> None:
    top = sample()
    change(top)
    message = refusal(top)
    assert message.startswith("dir/x.json")
    assert expected in message


@pytest.mark.parametrize(
    ("file", "nodes", "tensors"),
    [
        ("LayerGraphs/gnmt_inference.json", 96, 79),
        ("OperatorGraphs/bert_l-12_inference.json", 783, 692),
        ("OperatorGraphs/resnet50_inference.json", 604, 390),
    ],
)
def test_published_files(shared_data: Path, file: str, nodes: int, tensors: int) -> None:
    path = shared_data / "dnn-partitioning" / file
    graph = read_graph(path)
    content = json.loads(path.read_text())
    assert (graph.topology.n, graph.topology.m) == (nodes, tensors)
    assert graph.topology.pins == len(content["edges"])
    assert graph.default_stages == content["maxFPGAs"]
    instance = price(graph)
    work = sum(node["fpgaLatency"] for node in content["nodes"])
    assert instance.in_units(instance.total_work) == pytest.approx(work, rel=1e-9)
    sent = sum({edge["sourceId"]: edge["cost"] for edge in content["edges"]}.values())
    assert instance.in_units(int(instance.tensor_cost.sum())) == pytest.approx(sent, abs=1e-6)
