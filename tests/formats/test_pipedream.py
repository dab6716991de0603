from __future__ import annotations

import re
from pathlib import Path

import pytest

from framework.errors import UserError
from framework.formats import read_graph
from framework.formats.pipedream import parse
from framework.model.device import Device
from framework.model.graph import PhysicalCosts
from framework.model.pricing import needs_device, price

PROFILE = """\
node2 -- LSTM(8, 8) -- forward_compute_time=2.000, backward_compute_time=4.0, activation_size=[6.0; 1.0; 1.0], parameter_size=50.0
node1 -- Input0 -- forward_compute_time=0.000, backward_compute_time=0.000, activation_size=3.0, parameter_size=0.000

node3 -- Attention(  (q): Linear(a -- b)) -- forward_compute_time=1e-3, backward_compute_time=0, activation_size=1e6, parameter_size=0 -- stage_id=1
\tnode1 -- node2
\tnode2 -- node3
\tnode1 -- node3
\tnode1 -- node3
"""  # noqa: E501


def refusal(text: str, *, training: bool = False) -> str:
    with pytest.raises(UserError) as caught:
        parse(text.encode(), "dir/x.graph.txt", training=training)
    return str(caught.value)


def test_profile() -> None:
    graph = parse(PROFILE.encode(), "dir/x.graph.txt")
    assert graph.name == "x"
    assert graph.node_names == ("node2", "node1", "node3")
    assert graph.ops == ("LSTM", "Input0", "Attention")
    costs = graph.costs
    assert isinstance(costs, PhysicalCosts)
    assert costs.seconds.tolist() == [0.002, 0.0, 1e-6]
    assert costs.parameter_bytes.tolist() == [50, 0, 0]
    assert graph.topology.producer.tolist() == [0, 1]
    assert graph.topology.consumers.tolist() == [2, 0, 2]
    assert costs.tensor_bytes.tolist() == [8, 3]
    assert not needs_device(graph)


def test_training_adds_the_backward_time() -> None:
    costs = parse(PROFILE.encode(), "x", training=True).costs
    assert isinstance(costs, PhysicalCosts)
    assert costs.seconds.tolist() == [0.002, 0.0, 1e-6]
    assert costs.backward_seconds.tolist() == [0.004, 0.0, 0.0]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("node1 -- Input0 -- ", "node1 - Input0 - ", 'line 2: cannot be understood: "node1 - Input0 - forward_comp'),
        ("\tnode2 -- node3", "\tnode2 node3", "line 6: cannot be understood"),
        ("\tnode2 -- node3", "\tnode2 -- node9", "line 6: there is no node 'node9'"),
        ("\tnode2 -- node3", "\tnode2 -- node2", "line 6: node 'node2' consumes its own output"),
        ("\tnode2 -- node3", "\tnode3 -- node1", "the graph has a cycle of "),
        ("node1 -- Input0", "node2 -- Input0", "line 2: the id 'node2' is used twice"),
        ("activation_size=3.0", "activation_size=-3.0", "line 2: activation_size is -3.0"),
        ("activation_size=3.0", "activation_size=nan", "line 2: activation_size is nan"),
        ("activation_size=3.0", "activation_size=big", 'line 2: activation_size is "big"'),
        ("activation_size=3.0", "size=3.0", "line 2: there is no 'activation_size'"),
        ("activation_size=3.0", "activation_size=[1.0; inf]", "line 2: activation_size is [1.0; inf]"),
        ("activation_size=3.0", "activation_size=[1.0; ]", 'line 2: activation_size is "[1.0; ]"'),
        ("activation_size=3.0", "activation_size=[1.0", "line 2: cannot be understood"),
        ("activation_size=3.0", "parameter_size=3.0", "line 2: cannot be understood"),
        ("=2.000", "=-2.0", "line 1: forward_compute_time is -2.0"),
    ],
)
def test_refusals_name_the_line(old: str, new: str, expected: str) -> None:
    assert old in PROFILE
    message = refusal(PROFILE.replace(old, new, 1))
    assert message.startswith("dir/x.graph.txt")
    assert expected in message


def test_backward_time_is_needed_for_training_only() -> None:
    text = PROFILE.replace(" backward_compute_time=4.0,", "")
    assert parse(text.encode(), "x").topology.n == 3
    assert "line 1: there is no 'backward_compute_time'" in refusal(text, training=True)


def test_empty() -> None:
    assert "the graph has no nodes" in refusal("\n\n")
    assert "line 1: there is no node 'a'" in refusal("\ta -- b\n")


@pytest.mark.parametrize(("file", "nodes"), [("vgg16", 41), ("gnmt", 48), ("densenet121", 429)])
def test_published_profiles(shared_data: Path, file: str, nodes: int) -> None:
    path = shared_data / "pipedream" / f"{file}.graph.txt"
    text = path.read_text()
    graph = read_graph(path)
    assert graph.topology.n == nodes
    assert graph.topology.edges == len(set(re.findall(r"^\t.+$", text, re.MULTILINE)))
    link = Device(name="link", link_bandwidth=1e9)
    instance, training = price(graph, link), price(read_graph(path, training=True), link)
    forward = sum(map(float, re.findall(r"forward_compute_time=([\d.]+)", text)))
    backward = sum(map(float, re.findall(r"backward_compute_time=([\d.]+)", text)))
    assert instance.in_units(instance.total_work) * 1000 == pytest.approx(forward, rel=1e-9)
    assert training.in_units(training.total_work) * 1000 == pytest.approx(forward + backward, rel=1e-9)
