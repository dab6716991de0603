"""Splits by counting: a shared parameter is in the model once, so it counts once; and splits of whole layers."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from framework.errors import UserError
from framework.formats import read_graph
from framework.formats.native import parse
from framework.layouts.blocks import blocks_of
from framework.layouts.naive import NAMED, even_layers, naive_partitions, named_split
from framework.model.graph import ModelGraph
from framework.model.problem import cut_tensors
from tests.layouts.graphs import layered, of_edges


def chain(own: list[int], shared: list[tuple[int, list[int]]]) -> ModelGraph:
    """A chain whose nodes use parameters alone, and some of which share others."""
    document = {
        "format": "pipebound-graph",
        "version": 2,
        "nodes": [
            {"name": f"n{v}", "op": "MatMul", "flops": 1, "parameter_bytes": size, "accessed_bytes": 10 + v}
            for v, size in enumerate(own)
        ],
        "tensors": [{"producer": v, "bytes": 1, "consumers": [v + 1]} for v in range(len(own) - 1)],
        "parameters": [{"bytes": size, "users": users} for size, users in shared],
    }
    return parse(json.dumps(document).encode(), "chain.json")


def test_a_shared_parameter_counts_for_the_user_that_reads_most() -> None:
    graph = chain([4, 0, 0, 4], [(16, [0, 3])])
    assert naive_partitions(graph, 2)["equal parameters"].tolist() == [0, 0, 0, 1]
    assert naive_partitions(chain([4, 0, 0, 20], []), 2)["equal parameters"].tolist() == [0, 0, 0, 1]
    # Counted for both, it would fill half of the model by itself.
    assert naive_partitions(chain([20, 0, 0, 20], []), 2)["equal parameters"].tolist() == [0, 1, 1, 1]


def test_parameters_that_are_all_shared_still_give_a_split() -> None:
    assert "equal parameters" in naive_partitions(chain([0, 0, 0], [(8, [0, 1, 2])]), 2)
    assert "equal parameters" not in naive_partitions(chain([0, 0, 0], []), 2)


def test_the_named_splits_are_those_that_deployment_measures() -> None:
    graph = layered(5)
    measured = naive_partitions(graph, 3)
    for name, title in (("operators", "equal operator count"), ("parameters", "equal parameters")):
        assert named_split(name, graph, 3).tolist() == measured[title].tolist()


@pytest.mark.parametrize("name", list(NAMED))
@pytest.mark.parametrize("graph", ["transformers-t5", "timm-convit_base"])
def test_named_splits_of_real_models_are_pipelines(name: str, graph: str) -> None:
    model = read_graph(f"testbed:{graph}")
    for k in (1, 2, 7):
        stage_of = named_split(name, model, k)
        cut_tensors(model.topology, stage_of, k)
        assert stage_of.max() < k


def test_layers_are_spread_evenly() -> None:
    assert even_layers(7, 3) == [0, 0, 0, 1, 1, 2, 2]
    assert even_layers(2, 4) == [0, 1]
    stage_of = named_split("even-layers", layered(4), 2)
    assert stage_of.tolist() == [0] * 13 + [1] * 14


def test_no_cut_between_layers_has_a_lighter_heaviest_stage() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        sizes = [int(size) for size in rng.integers(1, 20, 7)]
        names = ["embed.mm", *(f"layers.{i}.mm" for i in range(5)), "head.mm"]
        plain = of_edges(names, [(v, v + 1) for v in range(6)])
        document = {
            "format": "pipebound-graph",
            "version": 1,
            "nodes": [
                {"name": name, "op": "mm", "flops": size, "parameter_bytes": size, "accessed_bytes": 1}
                for name, size in zip(names, sizes, strict=True)
            ],
            "tensors": [{"producer": v, "bytes": 1, "consumers": [v + 1]} for v in range(6)],
        }
        graph = parse(json.dumps(document).encode(), "chain.json")
        assert blocks_of(graph).of_node.tolist() == blocks_of(plain).of_node.tolist() == list(range(7))
        for k in (1, 2, 3, 9):
            found = np.bincount(named_split("layer-parameters", graph, k), weights=sizes).max()
            cuts = itertools.combinations_with_replacement(range(8), k - 1)
            best = min(max(sum(sizes[a:b]) for a, b in itertools.pairwise((0, *cut, 7))) for cut in cuts)
            assert found == best
            assert named_split("layer-flops", graph, k).tolist() == named_split("layer-parameters", graph, k).tolist()


def test_what_there_is_nothing_to_count_for_is_told() -> None:
    with pytest.raises(UserError, match=r"no split is called 'even' .*choose one of operators, parameters"):
        named_split("even", layered(), 2)
    with pytest.raises(UserError, match="did you mean even-layers"):
        named_split("evenlayers", layered(), 2)
    with pytest.raises(UserError, match="states nothing that a split by parameters could count"):
        named_split("parameters", chain([0, 0], []), 2)
    with pytest.raises(UserError, match="tell of no layers"):
        named_split("even-layers", chain([1, 1], []), 2)
