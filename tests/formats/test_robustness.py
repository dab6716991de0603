"""Whatever bytes a file holds, reading it gives a valid graph or one `UserError`; nothing else."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import parser

from framework.errors import UserError
from framework.formats import formats, read_graph
from tests.formats.test_dnn_partitioning import sample
from tests.formats.test_native import physical, priced
from tests.formats.test_pipedream import PROFILE
from tests.formats.test_tensorflow_cost_graph import GRAPH

MODEL = parser.parse_model(
    """<ir_version: 8, opset_import: ["": 17]> g (float[1, 4] x) => (float[1, 4] y)
    <float[4, 4] w = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}>
    { h = MatMul (x, w)  s = Shape (h)  r = Reshape (h, s)  y = Relu (r) }"""
).SerializeToString()


def program() -> bytes:
    """Return the frame of a file of ``torch.export.save``, whose program no torch reads."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, text in (("archive_format", "pt2"), ("archive_version", "0"), ("models/model.json", "{}")):
            file.writestr(zipfile.ZipInfo(f"model/{name}"), text)
    return archive.getvalue()


SAMPLES = {
    "native": [json.dumps(physical()).encode(), json.dumps(priced()).encode()],
    "dnn-partitioning": [json.dumps(sample()).encode()],
    "pipedream": [PROFILE.encode()],
    "tensorflow-cost-graph": [GRAPH.encode()],
    "onnx": [MODEL],
    "torch-export": [program()],
}
SPLICES = [b"", b"-", b"9" * 30, b"NaN", b"Infinity", b"null", b'"', b"{", b"}", b"[", b"]", b"\x00", b"\xff", b"\n"]


def damaged(rng: np.random.Generator, data: bytes) -> bytes:
    for _ in range(int(rng.integers(1, 4))):
        start, length = int(rng.integers(0, len(data) + 1)), int(rng.integers(0, 12))
        kind = int(rng.integers(0, 4))
        if kind == 0:
            data = data[:start]
        elif kind == 1:
            data = data[:start] + SPLICES[int(rng.integers(0, len(SPLICES)))] + data[start + length :]
        elif kind == 2:
            data = data[:start] + data[start : start + length] * 2 + data[start + length :]
        else:
            data = data[:start] + rng.bytes(min(length, 3)) + data[start + length :]
    return data


@pytest.mark.parametrize("name", [candidate.name for candidate in formats()])
@settings(derandomize=True, deadline=None, max_examples=300)
@given(seed=st.integers(0, 2**32 - 1))
def test_damaged_files(tmp_path_factory: pytest.TempPathFactory, name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples = SAMPLES[name]
    data = damaged(rng, samples[int(rng.integers(0, len(samples)))])
    path: Path = tmp_path_factory.getbasetemp() / f"damaged-{name}"
    path.write_bytes(gzip.compress(data, mtime=0) if rng.random() < 0.2 else data)
    for forced in (None, name):
        message, nodes = "", 0
        try:
            nodes = read_graph(path, format=forced).topology.n
        except UserError as error:
            message = str(error)
        assert nodes >= 1 or (str(path) in message and "\n" not in message)
