from __future__ import annotations

from typing import Any

import networkx
import numpy as np
import pytest

from framework.errors import UserError
from framework.formats import read_graph
from framework.model.graph import ModelGraph, PricedCosts
from framework.testbed.random_graphs import FAMILIES, regal_graph, regal_name
from framework.testbed.regal import regal_comparison, regal_like_names, regal_names


def edges_of(graph: ModelGraph) -> list[tuple[int, int]]:
    top = graph.topology
    return list(zip(np.repeat(np.arange(top.n), np.diff(top.succ_ptr)).tolist(), top.succs.tolist(), strict=True))


def test_the_comparison_has_16_graphs_four_a_family() -> None:
    names = regal_names()
    assert names[:5] == (
        "regal-er-150-100",
        "regal-ba-150-101",
        "regal-ws-150-102",
        "regal-sbm-150-103",
        "regal-er-150-104",
    )
    assert len(set(names)) == 16
    for family in FAMILIES:
        assert sum(name.startswith(f"regal-{family}-") for name in names) == 4
    by_name = [read_graph(f"testbed:{name}") for name in names]
    assert [graph.sha256() for graph in by_name] == [graph.sha256() for graph in regal_comparison()]
    assert len({graph.sha256() for graph in by_name}) == 16
    assert {graph.topology.n for graph in by_name} == {150}


def test_the_whole_set() -> None:
    names = regal_like_names()
    assert len(set(names)) == 64
    assert set(regal_names()) <= set(names)
    assert {int(name.split("-")[2]) for name in names} == {50, 100, 150, 200}


def test_the_graphs_never_change() -> None:
    digests = {name: read_graph(f"testbed:{name}").named_sha256()[:16] for name in regal_names()[:4]}
    assert digests == {
        "regal-er-150-100": "ea521105b6f4a2a6",
        "regal-ba-150-101": "8154e216ba6d063f",
        "regal-ws-150-102": "317a189ed46ce167",
        "regal-sbm-150-103": "5329802f48fa129a",
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_costs_are_whole_and_normal(family: str) -> None:
    graph = regal_graph(family, 2000, 7)
    costs = graph.costs
    assert isinstance(costs, PricedCosts)
    assert costs.capacity is None
    for values in (costs.work, costs.tensor_cost):
        assert values.dtype == np.int64
        assert values.min() >= 1
        assert abs(values.mean() - 50) < 1.5
        assert abs(values.std() - 10) < 1.5
    assert not costs.parameter_cost.any()
    assert graph.topology.is_topological
    assert (graph.topology.m, graph.topology.n) == (len(set(graph.topology.producer.tolist())), 2000)


def test_densities() -> None:
    for n in (100, 200, 800):
        assert len(edges_of(regal_graph("ba", n, 1))) == 2 + 2 * (n - 3)
        assert len(edges_of(regal_graph("ws", n, 1))) == 2 * n
        assert abs(len(edges_of(regal_graph("er", n, 1))) / (n * (n - 1) / 2) - 0.05) < 0.008
    graph = regal_graph("sbm", 400, 1)
    block = np.arange(400) * 4 // 400
    same = sum(int(block[u] == block[v]) for u, v in edges_of(graph))
    assert abs(same / (4 * 100 * 99 / 2) - 0.3) < 0.02
    assert abs((graph.topology.edges - same) / (6 * 100 * 100) - 0.01) < 0.002


def test_degrees_are_those_of_the_families() -> None:
    """The same kind of graph from networkx: the skewness of degrees tells the families apart."""
    n = 1000

    generators: Any = networkx

    def largest(edges: list[tuple[int, int]]) -> int:
        return int(np.bincount(np.array(edges).ravel(), minlength=n).max())

    def clustering(edges: list[tuple[int, int]]) -> float:
        return float(generators.average_clustering(networkx.Graph(edges)))

    theirs = generators.barabasi_albert_graph(n, 2, seed=1)
    ours = edges_of(regal_graph("ba", n, 1))
    assert 0.4 < largest(ours) / largest(list(theirs.edges())) < 2.5
    assert largest(ours) > 30
    ring = generators.watts_strogatz_graph(n, 4, 0.3, seed=1)
    rewired = edges_of(regal_graph("ws", n, 1))
    assert largest(rewired) < 12
    assert abs(clustering(rewired) - clustering(list(ring.edges()))) < 0.05


def test_names_that_stand_for_nothing() -> None:
    def refused(name: str) -> str:
        with pytest.raises(UserError) as caught:
            read_graph(f"testbed:{name}")
        return str(caught.value)

    assert "regal-er-150-100" in refused("regal-er-150")
    assert "regal-er-150-100" in refused("regal-er-0150-100")
    assert "no random family is called 'xx'" in refused("regal-xx-150-100")
    assert "did you mean sbm" in refused("regal-sbn-150-100")
    assert "choose from 10 to 2000 nodes" in refused("regal-er-5000-1")
    assert "choose from 10 to 2000 nodes" in refused("regal-er-9-1")
    with pytest.raises(UserError, match="at least 0"):
        regal_graph("er", 50, -1)
    with pytest.raises(UserError, match="`dims` means nothing to a generated graph"):
        read_graph(f"testbed:{regal_name('er', 50, 1)}", dims={"n": 1})
