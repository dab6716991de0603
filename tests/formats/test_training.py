"""The graph of a training step: gradients, operations, activations; what is stated counts before what is derived."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framework.errors import UserError
from framework.formats import read_graph
from framework.formats.native import native_text, parse, write_native
from framework.formats.training import operator_kind, training_graph
from framework.model.graph import ModelGraph, PhysicalCosts
from framework.model.training import Training


def graph_of(nodes: list[dict[str, Any]], tensors: list[tuple[int, float, list[int]]], **more: Any) -> ModelGraph:
    document = {
        "format": "pipebound-graph",
        "version": 2,
        "nodes": [
            {"name": f"v{i}", "flops": 10, "accessed_bytes": 4, "parameter_bytes": 0, **node}
            for i, node in enumerate(nodes)
        ],
        "tensors": [{"producer": u, "bytes": size, "consumers": users} for u, size, users in tensors],
        **more,
    }
    return parse(json.dumps(document).encode(), "a.graph.json")


def costs_of(graph: ModelGraph) -> PhysicalCosts:
    assert isinstance(graph.costs, PhysicalCosts)
    return graph.costs


def trained(graph: ModelGraph, **options: Any) -> tuple[ModelGraph, PhysicalCosts]:
    step = training_graph(graph, Training(**options))
    return step, costs_of(step)


def gradients(graph: ModelGraph) -> dict[tuple[int, tuple[int, ...]], float]:
    assert graph.step is not None
    top, sizes = graph.topology, costs_of(graph).tensor_bytes
    return {
        (int(top.producer[t]), tuple(top.consumers[top.consumer_ptr[t] : top.consumer_ptr[t + 1]].tolist())): sizes[t]
        for t in range(graph.step.gradients, top.m)
    }


def kept(graph: ModelGraph) -> list[tuple[float, list[int]]]:
    assert graph.step is not None
    rows = graph.step.activations
    return [
        (size, rows.users[rows.ptr[q] : rows.ptr[q + 1]].tolist())
        for q, size in enumerate(graph.step.activation_bytes.tolist())
    ]


def test_a_chain_of_layers() -> None:
    """The first product has no gradient of its input; sums need nothing, softmax its result, relu too."""
    graph = graph_of(
        [
            {"op": "Gather"},
            {"op": "Gemm", "parameter_bytes": 400},
            {"op": "Relu"},
            {"op": "aten.addmm", "parameter_bytes": 400},
            {"op": "Add"},
            {"op": "Softmax"},
        ],
        [(0, 1, [1]), (1, 2, [2, 4]), (2, 4, [3]), (3, 8, [4]), (4, 16, [5])],
    )
    step, costs = trained(graph)
    assert costs.flops.tolist() == [10, 20, 20, 30, 20, 20]
    assert costs.accessed_bytes.tolist() == [4, 8, 8, 12, 8, 8]
    assert gradients(step) == {(1, (2, 4)): 2, (2, (3,)): 4, (3, (4,)): 8, (4, (5,)): 16}
    # What goes into the first product, and what relu makes, which the next product needs as well. Softmax returns.
    assert kept(step) == [(1, [1]), (4, [2, 3])]
    assert costs.streams == 3
    assert "a training step" in step.remarks[-1]


def test_masks_indices_and_scalars_have_no_gradient() -> None:
    graph = graph_of(
        [
            {"op": "Cast"},
            {"op": "Mul", "parameter_bytes": 4},
            {"op": "Conv", "parameter_bytes": 100},
            {"op": "Add"},
            {"op": "ArgMax"},
            {"op": "Gather"},
        ],
        [(0, 1, [1]), (1, 1, [3]), (2, 8, [3]), (3, 8, [4, 5]), (4, 2, [5])],
    )
    step, costs = trained(graph)
    assert gradients(step) == {(2, (3,)): 8, (3, (5,)): 8}
    assert costs.flops.tolist() == [10, 10, 20, 20, 10, 20]


def test_a_factor_is_needed_for_the_gradient_of_the_other() -> None:
    graph = graph_of(
        [
            {"op": "Conv", "parameter_bytes": 100},
            {"op": "Cast"},
            {"op": "aten.mul"},
            {"op": "aten.mul"},
            {"op": "aten.bmm"},
            {"op": "aten.bmm"},
        ],
        [(0, 8, [2, 3]), (1, 4, [2]), (2, 2, [4]), (3, 1, [4]), (4, 16, [5])],
    )
    step, costs = trained(graph)
    # The mask is needed for the gradient of what it masks; a product with a number needs nothing; one with itself does.
    assert kept(step) == [(4, [2]), (2, [4]), (1, [4]), (16, [5])]
    assert costs.flops.tolist()[4:] == [30, 30]


def test_a_view_is_the_tensor_that_it_is_a_view_of() -> None:
    graph = graph_of(
        [
            {"op": "Conv", "parameter_bytes": 100},
            {"op": "Reshape", "parameter_bytes": 16},
            {"op": "Transpose"},
            {"op": "MatMul", "parameter_bytes": 100},
            {"op": "LayerNormalization", "parameter_bytes": 100},
        ],
        [(0, 8, [1, 4]), (1, 8, [2]), (2, 8, [3])],
    )
    assert kept(trained(graph)[0]) == [(8, [3, 4])]


def test_what_is_stated_counts() -> None:
    nodes = [
        {"op": "Conv", "parameter_bytes": 100, "seconds": 2.0, "backward_seconds": 7.0},
        {"op": "Conv", "parameter_bytes": 100, "seconds": {"*": 1.0, "fast": 0.5}},
        {"op": "Conv", "parameter_bytes": 100, "backward_flops": 5},
    ]
    graph = graph_of(nodes, [])
    step, costs = trained(graph)
    assert costs.seconds[:2].tolist() == [9.0, 2.0]
    assert costs.device_seconds["fast"][1] == 1.0
    assert costs.flops[2] == 15
    assert "the backward time of 1 node is a multiple" in step.remarks[-1]
    document = json.loads(native_text(graph))
    assert document["nodes"][0]["backward_seconds"] == 7
    assert document["nodes"][1]["backward_seconds"] is None
    assert document["nodes"][2]["backward_flops"] == 5


def test_stated_sizes_of_gradients_survive_a_file(tmp_path: Path) -> None:
    graph = graph_of([{"op": "Conv", "parameter_bytes": 100}, {"op": "Conv", "parameter_bytes": 100}], [(0, 8, [1])])
    document = json.loads(native_text(graph))
    for size, passes in ((2, 2), (0, 0)):
        document["tensors"][0]["gradient_bytes"] = size
        again = parse(json.dumps(document | {"version": 2}).encode(), "a.graph.json")
        write_native(again, tmp_path / "again.graph.json")
        assert read_graph(tmp_path / "again.graph.json").sha256() == again.sha256() != graph.sha256()
        step, costs = trained(again)
        assert gradients(step) == ({(0, (1,)): 2.0} if size else {})
        assert costs.flops.tolist() == [10 * (1 + min(1, passes)), 10 * (1 + min(2, 1 + passes))]


@pytest.mark.parametrize("field", ["backward_seconds", "backward_flops"])
def test_what_version_1_and_priced_graphs_cannot_say(field: str) -> None:
    node = {"parameter_bytes": 0, "flops": 0, "accessed_bytes": 0, field: 1}
    document = {"format": "pipebound-graph", "version": 1, "nodes": [node], "tensors": []}
    with pytest.raises(UserError, match=f"version 1 has no {field}"):
        parse(json.dumps(document).encode(), "a.graph.json")
    priced = document | {"version": 2, "cost_unit": "ms", "nodes": [{"work": 1, field: 1}]}
    with pytest.raises(UserError, match=f"there is {field} in a graph with a cost_unit"):
        parse(json.dumps(priced).encode(), "a.graph.json")
    node[field] = -1
    with pytest.raises(UserError, match=f"{field} is -1"):
        parse(json.dumps(document | {"version": 2}).encode(), "a.graph.json")


def test_what_has_no_training_step(tmp_path: Path) -> None:
    priced = {"format": "pipebound-graph", "version": 1, "cost_unit": "ms", "nodes": [{"work": 1}], "tensors": []}
    (tmp_path / "a.graph.json").write_text(json.dumps(priced))
    with pytest.raises(UserError, match="carries its own prices, which say nothing of training"):
        read_graph(tmp_path / "a.graph.json", training=True)
    step, _ = trained(graph_of([{}], []))
    with pytest.raises(UserError, match="a training step already"):
        training_graph(step, Training())
    with pytest.raises(UserError, match="write that of an inference"):
        native_text(step)
    for wrong in ({"microbatches": 0}, {"optimizer_states": -1}):
        with pytest.raises(UserError, match=f"`{next(iter(wrong))}`"):
            Training(**wrong)


def test_a_step_is_another_graph() -> None:
    graph = graph_of([{"op": "Conv", "parameter_bytes": 100}, {"op": "Relu"}], [(0, 8, [1])])
    digests = {graph.sha256()}
    digests |= {trained(graph, **options)[0].sha256() for options in ({}, {"microbatches": 2}, {"optimizer_states": 0})}
    assert len(digests) == 4
    assert Training(microbatches=3).in_flight(5) == [3, 3, 3, 2, 1]
    assert Training().in_flight(3) == [3, 2, 1]
    assert Training.of(Training(microbatches=3, optimizer_states=0).as_dict()) == Training(
        microbatches=3, optimizer_states=0
    )
    assert Training.of({"training": False}) is None


def test_names_of_operators() -> None:
    assert [operator_kind(op) for op in ("aten.addmm.default", "com.microsoft::Attention", "Conv")] == [
        "addmm",
        "attention",
        "conv",
    ]


def test_a_testbed_graph_takes_three_times_an_inference() -> None:
    graph, step = read_graph("testbed:transformers-bert"), read_graph("testbed:transformers-bert", training=True)
    assert costs_of(step).flops.sum() / costs_of(graph).flops.sum() == pytest.approx(3, rel=0.01)
    assert np.array_equal(costs_of(step).parameter_bytes, costs_of(graph).parameter_bytes)
