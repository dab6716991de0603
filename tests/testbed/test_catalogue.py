from __future__ import annotations

import importlib.util
import lzma
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest

from framework.formats import read_graph
from framework.formats.bundled import DATA, bundled_names, bundled_path
from framework.model.device import load_device
from framework.model.graph import PhysicalCosts
from framework.model.pricing import price
from framework.testbed.catalogue import CatalogueRow, bundled_graphs
from tests.conftest import REPOSITORY


def test_the_catalogue_lists_what_is_there() -> None:
    assert [row.name for row in bundled_graphs()] == bundled_names()
    assert {"resnet50", "vgg19", "densenet121"} <= set(bundled_names())


@pytest.mark.parametrize("row", bundled_graphs(), ids=lambda row: row.name)
def test_rows_describe_their_graphs(row: CatalogueRow) -> None:
    graph = read_graph(bundled_path(row.name))
    costs = graph.costs
    assert isinstance(costs, PhysicalCosts)
    assert graph.sha256() == row.sha256
    assert (graph.name, graph.source, graph.batch, graph.dtype) == (row.name, row.source, row.batch, row.dtype)
    assert (graph.topology.n, graph.topology.m) == (row.nodes, row.tensors)
    assert costs.flops.sum() == row.flops
    assert costs.parameter_bytes.sum() == row.parameter_bytes
    assert 1 <= row.width <= row.nodes
    assert row.width * row.depth >= row.nodes
    assert np.all(np.diff(graph.topology.consumer_ptr) > 0)
    instance = price(graph, load_device("reference"))
    assert instance.n == row.nodes
    assert instance.total_work > 0


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_onnx_graphs", REPOSITORY / "scripts" / "build_onnx_graphs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_rebuild_gives_the_same_files(tmp_path: Path) -> None:
    if f"onnx {onnx.__version__}," not in bundled_graphs()[0].source:
        pytest.skip(f"the graphs were built with another version than onnx {onnx.__version__}")
    load_script().build(tmp_path)
    built = sorted(path.name for path in tmp_path.iterdir())
    assert built == sorted(path.name for path in DATA.iterdir() if path.suffix != ".txt")
    for name in built:
        ours, new = (DATA / name).read_bytes(), (tmp_path / name).read_bytes()
        # The content, not the compression: another zlib may pack it differently.
        assert lzma.decompress(ours) == lzma.decompress(new)


def test_width_and_depth() -> None:
    script = load_script()
    graph = read_graph("testbed:inception_v1")
    before = script.ancestors(graph.topology)
    assert script.width(before) == 4
    assert script.depth(graph.topology) == 62
    # Five nodes: a chain of three beside two loose ones.
    chain = np.zeros((5, 5), bool)
    chain[1, 0] = chain[2, 0] = chain[2, 1] = True
    assert script.width(chain) == 3
