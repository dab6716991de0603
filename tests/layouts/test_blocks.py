"""Models as rows of layers."""

from __future__ import annotations

import numpy as np
import pytest

from framework.errors import UserError
from framework.layouts.blocks import blocks_of
from tests.layouts.graphs import LAYER, layered, of_edges


def test_what_is_outside_of_layers_belongs_to_the_block_it_follows() -> None:
    names = ["embed.embedding", "mask", "layers.0.mm", "add", "layers.1.mm", "norm.mul", "head.mm"]
    graph = of_edges(names, [(0, 2), (2, 3), (1, 3), (3, 4), (4, 5), (5, 6)])
    blocks = blocks_of(graph)
    assert blocks.layers == ("layers.0", "layers.1")
    assert blocks.of_node.tolist() == [0, 0, 1, 1, 2, 3, 3]
    assert blocks.is_layer == (False, False, True, False, True, False, False)
    assert blocks.stages([0, 1]).tolist() == [0, 0, 0, 0, 1, 1, 1]


def test_the_order_is_that_of_the_edges_and_not_that_of_the_file() -> None:
    graph = of_edges(["head.mm", "layers.0.mm", "layers.1.mm"], [(2, 1), (1, 0)])
    assert blocks_of(graph).layers == ("layers.1", "layers.0")
    assert blocks_of(graph).of_node.tolist() == [3, 2, 1]


def test_layers_that_do_not_follow_each_other_are_refused_by_name() -> None:
    names = ["layers.0.a", "layers.1.b", "layers.0.c"]
    with pytest.raises(UserError, match=r"'layers\.0\.c' in 'layers\.0' reads 'layers\.1\.b', which is behind"):
        blocks_of(of_edges(names, [(0, 1), (1, 2)]))


def test_patterns_say_which_modules_are_layers() -> None:
    graph = layered(3)
    assert blocks_of(graph).layers == ("model.layers.0", "model.layers.1", "model.layers.2")
    assert blocks_of(graph, ["layers.?.attn"]).layers[0] == "model.layers.0.attn"
    assert np.bincount(blocks_of(graph).of_node).tolist() == [1, *[len(LAYER)] * 3, 2]
    with pytest.raises(UserError, match="no module is called 'block"):
        blocks_of(graph, ["block.*"])
    with pytest.raises(UserError, match="tell of no layers"):
        blocks_of(of_edges(["a", "b"], [(0, 1)]))


def test_torchvision_numbers_its_layers_within_their_names() -> None:
    names = [f"encoder.layers.encoder_layer_{i}.mlp.{j}.mm" for i in range(3) for j in range(2)]
    graph = of_edges(names, [(v, v + 1) for v in range(5)])
    assert blocks_of(graph).layers == tuple(f"encoder.layers.encoder_layer_{i}" for i in range(3))
    # One module that happens to end in a number is no list.
    names = ["embed.linear_1.mm", "embed.linear_2.mm", "blocks.0.mm"]
    assert blocks_of(of_edges(names, [(0, 1), (1, 2)])).layers == ("blocks.0",)


def test_the_longest_list_counts_where_one_is_wanted() -> None:
    names = ["stem.0.mm", *(f"layers.{i}.mm" for i in range(3))]
    graph = of_edges(names, [(0, 1), (1, 2), (2, 3)])
    assert len(blocks_of(graph).layers) == 4
    assert blocks_of(graph, one_list=True).layers == ("layers.0", "layers.1", "layers.2")
    assert blocks_of(graph, one_list=True).of_node.tolist() == [0, 1, 2, 3]
