from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest

from framework.errors import UserError
from framework.formats.networkx import from_networkx
from framework.model.device import Device
from framework.model.graph import PricedCosts
from framework.model.pricing import price


def diamond(**attributes: Any) -> nx.DiGraph[Any]:
    graph: nx.DiGraph[Any] = nx.DiGraph(name="diamond")
    for key in ("a", 1, (2, 3), "end"):
        graph.add_node(key, **{"work": 2, "output_size": np.int64(3), "parameter_size": 4} | attributes)
    for u, v in [("a", 1), ("a", (2, 3)), (1, "end"), ((2, 3), "end")]:
        graph.add_edge(u, v, weight="ignored")
    return graph


def test_priced() -> None:
    graph = from_networkx(diamond(op="MatMul"), unit="ticks", capacity=5)
    assert graph.name == "diamond"
    assert graph.node_names == ("a", "1", "(2, 3)", "end")
    assert graph.ops == ("MatMul",) * 4
    instance = price(graph)
    assert instance.ticks_per_unit == 1
    assert instance.work.tolist() == [2, 2, 2, 2]
    assert instance.parameter_cost.tolist() == [4, 4, 4, 4]
    assert instance.capacity == 5
    assert instance.topology.producer.tolist() == [0, 1, 2]
    assert instance.topology.consumers.tolist() == [1, 2, 3, 3]
    assert instance.tensor_cost.tolist() == [3, 3, 3]


def test_physical() -> None:
    instance = price(from_networkx(diamond(work=np.float32(0.5))), Device(name="d", link_bandwidth=2.0))
    assert instance.unit == "s"
    assert instance.in_units(instance.total_work) == 2.0
    assert instance.in_units(int(instance.tensor_cost[0])) == 1.5


def test_parameter_size_is_optional_on_all_nodes_only() -> None:
    bare = diamond()
    for _, attributes in bare.nodes(data=True):
        del attributes["parameter_size"]
    costs = from_networkx(bare, unit="ms").costs
    assert isinstance(costs, PricedCosts)
    assert costs.parameter_cost.tolist() == [0, 0, 0, 0]
    bare.add_node("a", parameter_size=1)
    with pytest.raises(UserError, match="diamond, node '1': there is no 'parameter_size'"):
        from_networkx(bare, unit="ms")


def test_output_size_is_needed_of_producers_only() -> None:
    graph = diamond()
    for key, attributes in graph.nodes(data=True):
        if key == "end":
            del attributes["output_size"]
    assert from_networkx(graph).topology.m == 3
    graph.add_edge("end", "new")
    graph.add_node("new", work=1, parameter_size=0)
    with pytest.raises(UserError, match=r"'end'.*there is no 'output_size'"):
        from_networkx(graph)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"work": "2"}, "node 'a': work is \"2\""),
        ({"work": True}, "node 'a': work is true"),
        ({"work": np.bool_(True)}, "node 'a': work is "),
        ({"work": None}, "node 'a': work is null"),
        ({"work": -1.5}, "node 'a': seconds is -1.5"),
        ({"work": float("nan")}, "node 'a': work is nan"),
        ({"work": float("inf")}, "node 'a': seconds is inf"),
        ({"work": 2**64}, "node 'a': work is an integer beyond 64 bits"),
        ({"output_size": -1}, "a tensor of node 'a': bytes is -1"),
        ({"parameter_size": 1j}, "node 'a': parameter_size is 1j"),
    ],
)
def test_bad_attributes(attributes: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError) as caught:
        from_networkx(diamond(**attributes))
    assert str(caught.value).startswith("diamond")
    assert expected in str(caught.value)


def test_bad_graphs() -> None:
    graph = diamond()
    graph.add_edge("end", "a")
    with pytest.raises(UserError, match="diamond: the graph has a cycle of 3 nodes"):
        from_networkx(graph)
    graph = diamond()
    graph.add_edge(1, 1)
    with pytest.raises(UserError, match="node '1' consumes its own output"):
        from_networkx(graph)
    graph = diamond()
    graph.add_node("1", work=1, output_size=1, parameter_size=1)
    with pytest.raises(UserError, match="two nodes are called '1'"):
        from_networkx(graph)
    with pytest.raises(UserError, match="networkx graph: the graph has no nodes"):
        from_networkx(nx.DiGraph())
    with pytest.raises(UserError, match="not a DiGraph"):
        from_networkx(nx.MultiDiGraph())
    with pytest.raises(UserError, match="not a DiGraph"):
        from_networkx(nx.Graph())  # type: ignore[arg-type]
    with pytest.raises(UserError, match="there is a capacity, but no unit"):
        from_networkx(diamond(), capacity=3)
    for capacity in ("5", True, [5]):
        with pytest.raises(UserError, match="give a number"):
            from_networkx(diamond(), unit="ms", capacity=capacity)  # type: ignore[arg-type]
    for endless in (float("nan"), float("inf"), -1):
        with pytest.raises(UserError, match="give a number >= 0"):
            from_networkx(diamond(), unit="ms", capacity=endless)
    assert from_networkx(diamond(), unit="ms", capacity=10**30).topology.n == 4
    with pytest.raises(UserError, match="the unit is 3"):
        from_networkx(diamond(), unit=3)  # type: ignore[arg-type]
