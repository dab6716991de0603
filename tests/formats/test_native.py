from __future__ import annotations

import gzip
import json
import lzma
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import UserError
from framework.formats import read_graph
from framework.formats.native import native_text, parse, read, write_native
from framework.model.device import Device
from framework.model.graph import ModelGraph, PhysicalCosts, PricedCosts
from framework.model.pricing import price
from framework.model.topology import build_topology


def physical() -> dict[str, Any]:
    return {
        "format": "pipebound-graph",
        "version": 1,
        "name": "tiny",
        "source": "by hand",
        "batch": 1,
        "dtype": "float32",
        "nodes": [
            {"name": "a", "op": "Conv", "flops": 10, "parameter_bytes": 4, "accessed_bytes": 8, "seconds": None},
            {"name": "b", "op": "Relu", "parameter_bytes": 0, "seconds": 0.25},
            {"name": "c", "op": "Add", "flops": 1.5, "parameter_bytes": 0, "accessed_bytes": 2},
        ],
        "tensors": [
            {"producer": 0, "bytes": 16, "consumers": [1, 2]},
            {"producer": 1, "bytes": 0, "consumers": [2]},
        ],
    }


def priced() -> dict[str, Any]:
    return {
        "format": "pipebound-graph",
        "version": 1,
        "cost_unit": "ms",
        "capacity": 5,
        "nodes": [{"work": 3, "parameter_cost": 1}, {"work": 4, "parameter_cost": 0}],
        "tensors": [{"producer": 0, "cost": 2, "consumers": [1]}],
    }


def refusal(content: object) -> str:
    text = content if isinstance(content, str) else json.dumps(content)
    with pytest.raises(UserError) as caught:
        parse(text.encode(), "dir/g.graph.json")
    return str(caught.value)


def changed(path: list[str | int], value: object, base: dict[str, Any] | None = None) -> dict[str, Any]:
    """A good graph with one entry replaced, or removed if `value` is ...."""
    top = base if base is not None else physical()
    holder: Any = top
    for step in path[:-1]:
        holder = holder[step]
    if value is ...:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return top


def test_physical_graph_is_read_whole() -> None:
    graph = parse(json.dumps(physical()).encode(), "x.graph.json")
    assert (graph.name, graph.source, graph.batch, graph.dtype) == ("tiny", "by hand", 1, "float32")
    assert graph.node_names == ("a", "b", "c")
    assert graph.ops == ("Conv", "Relu", "Add")
    costs = graph.costs
    assert isinstance(costs, PhysicalCosts)
    assert costs.flops.tolist() == [10, 0, 1.5]
    assert costs.parameter_bytes.tolist() == [4, 0, 0]
    assert costs.accessed_bytes.tolist() == [8, 0, 2]
    assert np.isnan(costs.seconds).tolist() == [True, False, True]
    assert costs.seconds[1] == 0.25
    assert costs.tensor_bytes.tolist() == [16, 0]
    assert graph.topology.succs.tolist() == [1, 2, 2]


def test_priced_integers_stay_integers() -> None:
    graph = parse(json.dumps(priced()).encode(), "dir/deep.graph.json.gz")
    assert graph.name == "deep"
    assert graph.source == "dir/deep.graph.json.gz"
    assert graph.node_names == ("node0", "node1")
    instance = price(graph)
    assert instance.ticks_per_unit == 1
    assert instance.unit == "ms"
    assert instance.work.tolist() == [3, 4]
    assert instance.tensor_cost.tolist() == [2]
    assert instance.capacity == 5


def test_without_capacity_parameter_cost_may_be_left_out() -> None:
    top = changed(["capacity"], ..., priced())
    del top["nodes"][0]["parameter_cost"]
    costs = parse(json.dumps(top).encode(), "x").costs
    assert isinstance(costs, PricedCosts)
    assert costs.capacity is None
    assert costs.parameter_cost.tolist() == [0, 0]
    assert "there is no 'parameter_cost'" in refusal(changed(["nodes", 0, "parameter_cost"], ..., priced()))


def test_unknown_fields_are_notes_of_others() -> None:
    top = physical()
    top["made_by"] = "me"
    top["nodes"][0]["shape"] = [1, 2]
    assert parse(json.dumps(top).encode(), "x").sha256() == parse(json.dumps(physical()).encode(), "x").sha256()


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (["format"], "pipebound-result", 'the format is "pipebound-result"'),
        (["version"], 3, "the version is 3 (this program reads versions 1 to 2)"),
        (["version"], True, "the version is true"),
        (["version"], ..., "there is no version"),
        (["nodes"], ..., "there is no list 'nodes'"),
        (["nodes"], {"a": 1}, 'nodes is {"a": 1}'),
        (["tensors"], None, "tensors is null"),
        (["nodes", 1], 7, "nodes[1]: this is 7"),
        (["nodes", 1, "name"], 7, "nodes[1]: name is 7"),
        (["nodes", 1, "name"], "a", "nodes[1]: two nodes are called 'a'"),
        (["nodes", 0, "flops"], ..., "node 'a': there is no 'flops'"),
        (["nodes", 0, "flops"], None, "node 'a': flops is null"),
        (["nodes", 0, "flops"], "12", "node 'a': flops is \"12\""),
        (["nodes", 0, "flops"], True, "node 'a': flops is true"),
        (["nodes", 0, "flops"], [1], "node 'a': flops is [1]"),
        (["nodes", 0, "flops"], -3, "node 'a': flops is -3"),
        (["nodes", 0, "flops"], math.nan, "node 'a': flops is nan"),
        (["nodes", 0, "flops"], math.inf, "node 'a': flops is inf"),
        (["nodes", 0, "flops"], 2**63, "node 'a': flops is an integer beyond 64 bits"),
        (["nodes", 2, "accessed_bytes"], ..., "node 'c': there is no 'accessed_bytes'"),
        (["nodes", 1, "parameter_bytes"], ..., "node 'b': there is no 'parameter_bytes'"),
        (["nodes", 1, "seconds"], math.nan, "node 'b': seconds is NaN"),
        (["nodes", 1, "seconds"], math.inf, "node 'b': seconds is inf"),
        (["nodes", 1, "seconds"], -1, "node 'b': seconds is -1"),
        (["nodes", 1, "seconds"], False, "node 'b': seconds is false"),
        (["nodes", 1, "seconds"], "", "node 'b': seconds is \"\""),
        (["tensors", 1, "bytes"], ..., "tensor 1 (of node 'b'): there is no 'bytes'"),
        (["tensors", 1, "bytes"], -1, "a tensor of node 'b': bytes is -1"),
        (["tensors", 0, "producer"], 3, "tensors[0], producer: there is no node 3"),
        (["tensors", 0, "producer"], ..., "tensors[0]: there is no 'producer'"),
        (["tensors", 0, "producer"], True, "tensors[0]: producer holds true"),
        (["tensors", 0, "producer"], "a", 'tensors[0]: producer holds "a"'),
        (["tensors", 0, "consumers"], ..., "tensors[0]: there is no 'consumers'"),
        (["tensors", 0, "consumers"], 1, "tensors[0]: consumers is 1"),
        (["tensors", 0, "consumers"], [1, -1], "tensors[0], consumers: there is no node -1"),
        (["tensors", 0, "consumers"], [1.0], "tensors[0]: consumers holds 1.0"),
        (["tensors", 0, "consumers"], [1, 0], "tensors[0]: node 'a' consumes its own output"),
        (["tensors", 1], {"producer": 2, "bytes": 1, "consumers": [0]}, "cycle of 2 nodes: "),
        (["batch"], 0, "batch is 0"),
        (["dtype"], 32, "dtype is 32"),
        (["default_stages"], 0.5, "default_stages is 0.5"),
        (["remarks"], "x", 'remarks is "x"'),
        (["capacity"], 3, "there is a capacity, but no cost_unit"),
        (["cost_unit"], "ms", "node 'a': there is no 'work'"),
    ],
)
def test_refusals_name_file_place_and_value(path: list[str | int], value: object, expected: str) -> None:
    message = refusal(changed(path, value))
    assert message.startswith("dir/g.graph.json")
    assert expected in message


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (["capacity"], -1, "capacity is -1"),
        (["capacity"], math.inf, "capacity is inf"),
        (["capacity"], "5", 'top level: capacity is "5"'),
        (["cost_unit"], 5, "cost_unit is 5"),
        (["nodes", 0, "work"], ..., "node 'node0': there is no 'work'"),
        (["nodes", 0, "work"], 1 << 70, "beyond 64 bits"),
        (["tensors", 0, "cost"], None, "cost is null"),
        (["tensors", 0, "cost"], -0.5, "a tensor of node 'node0': cost is -0.5"),
    ],
)
def test_refusals_of_priced_graphs(path: list[str | int], value: object, expected: str) -> None:
    assert expected in refusal(changed(path, value, priced()))


def test_empty_graph() -> None:
    assert "the graph has no nodes" in refusal(changed(["nodes"], [], changed(["tensors"], [])))


def test_malformed_json_has_line_and_column() -> None:
    text = json.dumps(physical(), indent=1)
    broken = text.replace('"nodes": [', '"nodes": [,')
    line = text[: text.index('"nodes"')].count("\n") + 1
    assert f"dir/g.graph.json, line {line}, column 12: not valid JSON" in refusal(broken)
    assert "the file is cut off" in refusal(text[:-10])
    assert "the key 'version' twice" in refusal(text.replace('"version": 1', '"version": 1, "version": 1'))
    assert "nested too deep" in refusal("[" * 100_000)
    assert "not a JSON object" in refusal("[1]")
    assert "beyond" in refusal(text.replace("0.25", "9" * 400))
    assert "not valid JSON" in refusal(text.replace("0.25", "9" * 5000))


def test_not_text() -> None:
    with pytest.raises(UserError, match=r"x: not UTF-8 text \(byte 3\)"):
        parse(b'{"a\xff": 1}', "x")


def random_graph(seed: int) -> ModelGraph:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 12))
    order = rng.permutation(n)
    tensors = []
    for u in range(n):
        for _ in range(int(rng.integers(0, 3))):
            tensors.append((order[u], order[u + 1 :][rng.random(n - u - 1) < 0.4]))
    whole = bool(rng.random() < 0.5)

    def numbers(size: int) -> Any:
        ints = rng.integers(0, 1 << int(rng.integers(1, 62)), size)
        return ints if whole else ints.astype(float) * rng.choice([1.0, 0.1, 1e-9, 1e12])

    topology = build_topology(
        n,
        np.array([u for u, _ in tensors], np.int64),
        np.cumsum([0, *(len(row) for _, row in tensors)], dtype=np.int64),
        np.concatenate([np.zeros(0, np.int64), *(row for _, row in tensors)]).astype(np.int64),
    )
    costs: PhysicalCosts | PricedCosts
    if rng.random() < 0.5:
        capacity = numbers(1)[0].item() if rng.random() < 0.5 else None
        costs = PricedCosts(
            unit="µs", work=numbers(n), parameter_cost=numbers(n), tensor_cost=numbers(len(tensors)), capacity=capacity
        )
    else:
        flops, parameters, accessed, sizes = (numbers(k).astype(float) for k in (n, n, n, len(tensors)))
        costs = PhysicalCosts(
            flops=flops,
            parameter_bytes=parameters,
            accessed_bytes=accessed,
            seconds=np.where(rng.random(n) < 0.5, np.nan, rng.random(n)),
            tensor_bytes=sizes,
        )
    return ModelGraph(
        name="größe",
        source="seed",
        node_names=tuple(f"ü{v}" for v in range(n)),
        ops=tuple("xy"[v % 2] for v in range(n)),
        topology=topology,
        costs=costs,
        batch=int(rng.integers(1, 5)) if rng.random() < 0.5 else None,
        default_stages=int(rng.integers(1, 5)) if rng.random() < 0.5 else None,
        remarks=("one", "two")[: int(rng.integers(0, 3))],
    )


@settings(derandomize=True, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_what_is_written_is_read_back(seed: int) -> None:
    graph = random_graph(seed)
    again = parse(native_text(graph).encode(), "x")
    assert again.sha256() == graph.sha256()
    assert (again.source, again.batch, again.dtype) == (graph.source, graph.batch, graph.dtype)
    assert (again.default_stages, again.remarks) == (graph.default_stages, graph.remarks)
    assert native_text(again) == native_text(graph)
    device = Device(name="d", peak_flops=1e9, memory_bandwidth=1e8, link_bandwidth=1e7, fast_memory=1e5)
    assert price(again, device).sha256() == price(graph, device).sha256()


def test_notes_of_other_programs_stand_at_the_top_and_change_nothing() -> None:
    graph = random_graph(5)
    text = native_text(graph, {"profile": {"note": 'a { and "quotes"'}})
    assert json.loads(text)["profile"] == {"note": 'a { and "quotes"'}
    assert text.split("\n", 1)[1] == native_text(graph).removeprefix("{")
    assert parse(text.encode(), "x").sha256() == graph.sha256()


def test_files_plain_and_gzipped_are_deterministic(tmp_path: Path) -> None:
    graph = random_graph(5)
    plain, packed, again = tmp_path / "g.graph.json", tmp_path / "g.graph.json.gz", tmp_path / "h.graph.json.gz"
    for path in (plain, packed, again):
        write_native(graph, path)
    assert packed.read_bytes() == again.read_bytes()
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    smaller = tmp_path / "g.graph.json.xz"
    write_native(graph, smaller)
    assert lzma.decompress(smaller.read_bytes()) == plain.read_bytes()
    assert read(smaller).sha256() == graph.sha256()
    assert read(plain).sha256() == read_graph(packed).sha256() == graph.sha256()


def test_writer_refuses_what_could_not_be_read(tmp_path: Path) -> None:
    graph = parse(json.dumps(priced()).encode(), "x")
    twins = ModelGraph(
        name="t", source="", node_names=("a", "a"), ops=("", ""), topology=graph.topology, costs=graph.costs
    )
    with pytest.raises(UserError, match="two nodes have the same name"):
        write_native(twins, tmp_path / "x.json")
    with pytest.raises(UserError, match="cannot be written: No such file"):
        write_native(graph, tmp_path / "missing" / "x.json")
