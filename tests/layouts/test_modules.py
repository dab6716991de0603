"""Whole modules of a partition, and cuts that go through one."""

from __future__ import annotations

import pytest

from framework.errors import UserError
from framework.layouts.modules import Placement
from framework.model.graph import ModelGraph
from tests.layouts.graphs import layered, of_edges


def names(graph: ModelGraph, stage_of: list[int], *patterns: str, coarse: bool = False) -> list[tuple[str, int]]:
    placement = Placement.of(graph, stage_of, max(stage_of) + 1, patterns)
    return [(module.name, module.stage) for module in placement.modules(coarse=coarse)]


def test_modules_are_layers_and_what_holds_none() -> None:
    graph = layered(2)
    halves = [0] * 7 + [1] * 8
    found = [("model.embed_tokens", 0), ("model.layers.0", 0), ("model.layers.1", 1), ("model.norm", 1), ("lm_head", 1)]
    assert names(graph, halves) == found
    assert names(graph, halves, coarse=True) == found
    whole = [0] * 14 + [1]
    assert names(graph, whole, coarse=True) == [("model", 0), ("lm_head", 1)]
    assert len(names(graph, whole)) == 5


def test_a_cut_through_a_layer_is_refused_by_name_with_the_cure() -> None:
    graph = layered(2)
    with pytest.raises(UserError) as told:
        names(graph, [0] * 10 + [1] * 5)
    assert "goes through the module 'model.layers.1': 'model.layers.1.norm.mul' is in stage 0" in str(told.value)
    assert "'model.layers.1.add.1' in stage 1" in str(told.value)
    assert "solve again with `whole_modules=model.layers.*`" in str(told.value)


def test_lists_within_lists_may_be_cut_between_their_elements_unless_a_pattern_says_else() -> None:
    graph = of_edges([f"block.{i}.layer.{j}.mm" for i in range(2) for j in range(2)], [(0, 1), (1, 2), (2, 3)])
    cut = [0, 0, 0, 1]
    expected = [("block.0", 0), ("block.1.layer.0", 0), ("block.1.layer.1", 1)]
    assert names(graph, cut) == expected
    with pytest.raises(UserError, match=r"whole_modules=block\.\*"):
        names(graph, cut, "block.*")


def test_a_module_that_is_cut_and_holds_no_list_is_refused() -> None:
    graph = of_edges(["stem.conv1", "stem.conv2", "head.mm"], [(0, 1), (1, 2)])
    assert names(graph, [0, 0, 1]) == [("stem", 0), ("head", 1)]
    with pytest.raises(UserError, match="whole_modules=stem`"):
        names(graph, [0, 1, 1])
    graph = of_edges([f"encoder_layer_{i}.{op}" for i in (0, 1) for op in ("a", "b")], [(0, 1), (1, 2), (2, 3)])
    with pytest.raises(UserError, match=r"whole_modules=encoder_layer_\*`"):
        names(graph, [0, 0, 0, 1])


def test_names_without_modules_are_told() -> None:
    with pytest.raises(UserError, match="tell of no modules"):
        names(of_edges(["n0", "n1"], [(0, 1)]), [0, 1])
