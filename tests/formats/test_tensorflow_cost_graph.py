from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from framework.errors import UserError
from framework.formats import read_graph
from framework.formats.tensorflow_cost_graph import parse
from framework.model.device import Device
from framework.model.graph import PhysicalCosts
from framework.model.pricing import price

GRAPH = """\
node {
  name: "_SOURCE"
}
node {
  name: "split"
  id: 4
  control_input: 0
  output_info { size: 55 alias_input_port: -1 dtype: DT_FLOAT shape { dim { size: 5 } dim { size: 11 } } }
  output_info { size: 7 alias_input_port: -1 }
  compute_cost: 58
  device_persistent_memory_size: 30
  host_persistent_memory_size: 10
}
node {
  name: "relu" id: 9
  input_info { preceding_node: 4 }
  input_info { preceding_node: 4 }
  output_info { size: 55 alias_input_port: 0 }
  compute_cost: 3
}
node {
  name: "end" id: 2
  input_info { preceding_node: 4 preceding_port: 1 }
  input_info { preceding_node: 9 }
  input_info { preceding_node: 4 preceding_port: -1 }
  control_input: [0, 9]
  is_final: true
}
cost { cost: 1.5 dimension: "things" }
"""


def refusal(text: str) -> str:
    with pytest.raises(UserError) as caught:
        parse(text.encode(), "dir/x.pbtxt")
    return str(caught.value)


def test_reading() -> None:
    graph = parse(GRAPH.encode(), "dir/x.pbtxt")
    assert graph.name == "x"
    assert graph.node_names == ("_SOURCE", "split", "relu", "end")
    costs = graph.costs
    assert isinstance(costs, PhysicalCosts)
    assert costs.seconds.tolist() == [0, 58e-6, 3e-6, 0]
    assert costs.parameter_bytes.tolist() == [0, 40, 0, 0]
    topology = graph.topology
    tensors = [
        (u, cost, topology.consumers[topology.consumer_ptr[t] : topology.consumer_ptr[t + 1]].tolist())
        for t, (u, cost) in enumerate(zip(topology.producer.tolist(), costs.tensor_bytes.tolist(), strict=True))
    ]
    assert tensors == [
        (0, 0, [1, 3]),
        (1, 0, [3]),
        (1, 55, [2]),
        (1, 7, [3]),
        (2, 0, [3]),
        (2, 55, [3]),
    ]


def test_the_example_of_the_data_set() -> None:
    text = """node { name: "a" } node { name: "b" id: 2 output_info { size: 9 } }
    node { name: "node_3" id: 4 input_info { preceding_node: 2 } output_info { size: 55 alias_input_port: -1 }
           control_input: 0 compute_cost: 58 }"""
    instance = price(parse(text.encode(), "x"), Device(name="d", link_bandwidth=1e6))
    assert instance.unit == "s"
    assert instance.in_units(instance.total_work) == pytest.approx(58e-6)
    assert sorted(instance.in_units(int(c)) for c in instance.tensor_cost) == [0, pytest.approx(9e-6)]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("id: 9", "id: 4", "line 14: the id 4 is used twice"),
        ('"relu"', '"split"', "line 14: two nodes are called 'split'"),
        ('"relu"', "relu", 'line 15: name is "relu"'),
        ("id: 9", "id: nine", 'line 15: id is "nine"'),
        ("id: 9", "id: 9.5", 'line 15: id is "9.5"'),
        ("id: 9", "id { }", "line 15: id is a message"),
        ("id: 9", "id: 9 id: 9", "line 15: id is given twice"),
        ("id: 9", "id: 08", 'line 15: id is "08"'),
        ("preceding_node: 9", "preceding_node: 8", "line 24: there is no node 8"),
        ("preceding_node: 9", "preceding_node: 2", "line 24: node 'end' consumes its own output"),
        ("preceding_port: 1", "preceding_port: 2", "line 23: node 'split' has no output port 2 (it has 2 output_info)"),
        ("preceding_port: 1", "preceding_port: -2", "line 23: node 'split' has no output port -2"),
        ("control_input: [0, 9]", "control_input: [0, 7]", "line 26: there is no node 7"),
        ("control_input: 0", "control_input: 2", "the graph has a cycle of "),
        ("compute_cost: 3\n", "compute_cost: -3\n", "node 'relu': seconds is -3e-06"),
        ("compute_cost: 3\n", "compute_cost: nan\n", 'line 19: compute_cost is "nan"'),
        ("compute_cost: 3\n", f"compute_cost: {2**63}\n", "node 'relu': compute_cost is an integer beyond 64 bits"),
        ("size: 7", f"size: {2**64}", "size is an integer beyond 64 bits"),
        ("size: 7", "size: -7", "a tensor of node 'split': bytes is -7"),
        ("output_info { size: 7 alias_input_port: -1 }", "output_info: 7", 'line 9: output_info is "7"'),
        ('name: "relu"', 'op: "Relu" name: "relu"', "line 14: this is a GraphDef, which holds no costs"),
        ("node {", "node: 5 node {", 'line 1: node is "5"'),
        ("is_final: true", "is_final: true }", "line 28: expected a field name, not '}'"),
        ("is_final: true\n}", "is_final: true", "line 28: expected a field or '}', not the end of the file"),
        ('"_SOURCE"', '"_SOURCE', "line 2: a string does not end"),
    ],
)
def test_refusals(old: str, new: str, expected: str) -> None:
    assert old in GRAPH
    message = refusal(GRAPH.replace(old, new, 1))
    assert message.startswith("dir/x.pbtxt")
    assert expected in message


def test_no_nodes() -> None:
    assert "the graph has no nodes" in refusal("# nothing\n")


def test_gzipped_file(tmp_path: Path) -> None:
    path = tmp_path / "g.pbtxt.gz"
    path.write_bytes(gzip.compress(GRAPH.encode()))
    assert read_graph(path).name == "g"
