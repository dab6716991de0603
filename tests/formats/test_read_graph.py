from __future__ import annotations

import gzip
import json
import lzma
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from framework.errors import UserError
from framework.formats import detect, formats, read_graph
from framework.formats.source import graph_name

NATIVE = json.dumps(
    {"version": 1, "nodes": [{"work": 1}], "tensors": [], "cost_unit": "ms", "format": "pipebound-graph"}
).encode()
DNN = json.dumps({"nodes": [{"id": 1, "fpgaLatency": 2}], "edges": []}).encode()
PIPEDREAM = (
    b"n1 -- Linear(1, 2) -- forward_compute_time=1.0, backward_compute_time=2.0, activation_size=4.0, "
    b"parameter_size=0.0\n"
)
COST_GRAPH = b"# a comment\n\nnode <name: 'x' compute_cost: 7>\n"
SAMPLES = {"native": NATIVE, "dnn-partitioning": DNN, "pipedream": PIPEDREAM, "tensorflow-cost-graph": COST_GRAPH}


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
@pytest.mark.parametrize("name", SAMPLES)
def test_content_decides_whatever_the_name(tmp_path: Path, name: str, pack: Callable[[bytes], bytes]) -> None:
    data = SAMPLES[name]
    path = tmp_path / "data.bin"
    path.write_bytes(pack(data))
    assert detect(data, path).name == name
    assert read_graph(path).topology.n >= 1
    assert read_graph(str(path), format=name).sha256() == read_graph(path).sha256()


def test_every_format_has_a_sample_or_a_test_of_its_own() -> None:
    assert {candidate.name for candidate in formats()} == {*SAMPLES, "onnx", "torch-export"}
    assert all(candidate.description and candidate.patterns for candidate in formats())


def test_byte_order_mark(tmp_path: Path) -> None:
    plain, marked = tmp_path / "plain", tmp_path / "marked"
    for data in SAMPLES.values():
        plain.write_bytes(data)
        marked.write_bytes(b"\xef\xbb\xbf" + data)
        assert read_graph(marked).sha256() == read_graph(plain).sha256()


def refused(path: Path | str, **options: object) -> str:
    with pytest.raises(UserError) as caught:
        read_graph(path, **options)  # type: ignore[arg-type]
    return str(caught.value)


@pytest.mark.parametrize(
    ("file", "data", "expected"),
    [
        ("a", b"", "the file is empty"),
        ("a", b" \n", "the file is empty"),
        ("a", b"\x00\x01\x02garbage\xff", "of no known format"),
        ("a.txt", b"hello world", "of no known format (the formats are native, dnn-partitioning"),
        ("a.json", b"hello", "not valid JSON"),
        ("a", b'{"nodes": ', "line 1, column 11: not valid JSON"),
        ("a", b'{"nodes": []}', "JSON, but not a graph"),
        ("a", b'{"format": "pipebound-result"}', "this is a result, not a graph ('pipebound verify'"),
        ("a.onnx", b"\x00garbage", "not an ONNX model"),
        ("a.onnx", b"hello", "not an ONNX model"),
        ("a.graph.txt", b"hello", "line 1: cannot be understood"),
        ("a.pbtxt", b"hello", "line 1: expected ':' or '{' after 'hello'"),
        ("a.gz", gzip.compress(NATIVE, mtime=0)[:-9], "the gzip data is damaged"),
        ("a.gz", gzip.compress(NATIVE, mtime=0)[:40], "the gzip data is damaged"),
        ("a.gz", b"\x1f\x8bnonsense", "the gzip data is damaged"),
        ("a.gz", gzip.compress(b"", mtime=0), "the file is empty"),
        ("a.xz", lzma.compress(NATIVE)[:-9], "the xz data is damaged"),
        ("a.xz", lzma.compress(NATIVE)[:40], "the xz data is damaged"),
        ("a.xz", b"\xfd7zXZ\x00nonsense", "the xz data is damaged"),
    ],
)
def test_bad_files_get_one_clear_error(tmp_path: Path, file: str, data: bytes, expected: str) -> None:
    path = tmp_path / file
    path.write_bytes(data)
    message = refused(path)
    assert message.startswith(str(path))
    assert expected in message


def test_unreadable_paths(tmp_path: Path) -> None:
    assert "there is no such file" in refused(tmp_path / "none.onnx")
    assert "this is a directory" in refused(tmp_path)
    assert "cannot be read" in refused("a\0b")
    assert "cannot be read" in refused(tmp_path / ("x" * 5000))


def test_forced_format(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(NATIVE)
    assert "no format is called 'nativ' (did you mean native?)" in refused(path, format="nativ")
    assert "choose one of native, dnn-partitioning" in refused(path, format="???")
    assert "there is no list 'edges'" in refused(path, format="dnn-partitioning")
    assert "line 1: cannot be understood" in refused(path, format="pipedream")
    assert "not an ONNX model" in refused(path, format="onnx")


def test_options_of_other_formats_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(NATIVE)
    assert "`dims` means nothing to a native file (leave `dims` out)" in refused(path, dims={"N": 1})
    assert "prices, which say nothing of training" in refused(path, training=True)
    assert "`drop_unused` means nothing to a native file" in refused(path, drop_unused=True)
    assert read_graph(path, dims={}, training=False).topology.n == 1


def test_bundled_graphs_are_read_by_name() -> None:
    assert read_graph("testbed:resnet50").name == "resnet50"
    assert "no bundled graph is called 'resnet5' (did you mean resnet50" in refused("testbed:resnet5")
    assert "'pipebound testbed list' names them" in refused("testbed:")
    assert "no bundled graph is called '../catalogue'" in refused("testbed:../catalogue")


def test_graph_name() -> None:
    assert graph_name("a/b/resnet50.graph.json.gz") == "resnet50"
    assert graph_name("gnmt.graph.txt") == "gnmt"
    assert graph_name("v1.5.onnx") == "v1.5"
    assert graph_name(Path(".json")) == ".json"


def test_reading_one_format_imports_the_packages_of_no_other(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(PIPEDREAM)
    program = (
        "import sys; from framework.formats import formats, read_graph; read_graph(sys.argv[1]); "
        "print(sorted({'onnx', 'networkx', 'google.protobuf', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
