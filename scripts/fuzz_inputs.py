"""Sound inputs of every kind, small; results, stages and a store are made by the commands themselves."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

MODEL = """<ir_version: 8, opset_import: ["": 17]> net (float[2, 4] x, bool c) => (float[2, 3] y, float[2, 4] z)
    <float[4, 4] w = {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3}, float[4, 3] v, int64[2] two = {-1, 4}> {
    h = MatMul (x, w)
    s = Reshape (h, two)
    t = If (c) <then_branch = a () => (float[2, 4] p) { p = Relu (s) },
                else_branch = b () => (float[2, 4] q) { q = Tanh (s) }>
    m = Constant <value = int64 {3}> ()
    z = Loop (m, c, t) <body = l (int64 i, bool g, float[2, 4] r) => (bool k, float[2, 4] o) {
        k = Identity (g) o = Add (r, h) }>
    y = MatMul (z, v)
    }"""
PLAIN = """<ir_version: 8, opset_import: ["": 17]> plain (float[1, 3, 8, 8] x) => (float[1, 4, 4, 4] y)
    <float[4, 3, 3, 3] w, float[4] b> {
    c = Conv <pads = [1, 1, 1, 1], kernel_shape = [3, 3]> (x, w, b)
    r = Relu (c)
    q = Sigmoid (c)
    a = Mul (r, q)
    y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (a)
    }"""
NATIVE = {
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
        {"name": "d", "op": "Mul", "flops": 7, "parameter_bytes": 9, "accessed_bytes": 2},
    ],
    "tensors": [
        {"producer": 0, "bytes": 16, "consumers": [1, 2]},
        {"producer": 1, "bytes": 0, "consumers": [2]},
        {"producer": 2, "bytes": 3, "consumers": [3]},
    ],
}
PRICED = {
    "format": "pipebound-graph",
    "version": 1,
    "cost_unit": "ms",
    "capacity": 5,
    "nodes": [{"work": 3, "parameter_cost": 1}, {"work": 4, "parameter_cost": 0}, {"work": 2.5, "parameter_cost": 7}],
    "tensors": [{"producer": 0, "cost": 2, "consumers": [1, 2]}, {"producer": 1, "cost": 0.5, "consumers": [2]}],
}
LAYERS = {
    "format": "pipebound-graph",
    "version": 1,
    "name": "layers",
    "cost_unit": "ms",
    "nodes": [
        {"name": name, "op": "x", "work": 1 + v, "parameter_cost": 0}
        for v, name in enumerate(("embed.x", "layers.0.x", "layers.1.x", "head.x"))
    ],
    "tensors": [{"producer": v, "cost": 1, "consumers": [v + 1]} for v in range(3)],
}
SPLITS = {
    "layers.csv": "node,stage\nembed.x,0\nlayers.0.x,0\nlayers.1.x,1\nhead.x,1\n",
    "layers.device-map.json": '{"embed": 0, "layers.0": 0, "layers.1": 1, "head": 1}',
    "layers.parts.json": '{"parts": [0, 2, 4], "layers": ["embed", "layers.0", "layers.1", "head"]}',
    "layers.vllm.txt": "VLLM_PP_LAYER_PARTITION=1,1\n",
    "layers.megatron.txt": "Et|tL\n",
}
PARTITIONING = {
    "maxFPGAs": 3,
    "maxCPUs": 1,
    "maxSizePerFPGA": 5.0,
    "nodes": [
        {"id": 7, "name": "a", "fpgaLatency": 1.5, "cpuLatency": 9.0, "size": 1.0, "colorClass": 1},
        {"id": 3, "name": "b", "fpgaLatency": 2.0, "isBackwardNode": 1, "colorClass": 1},
        {"id": 5, "name": "c", "fpgaLatency": 0.0, "supportedOnFpga": False, "colorClass": 2},
    ],
    "edges": [
        {"sourceId": 7, "destId": 5, "cost": 0.25},
        {"sourceId": 7, "destId": 3, "cost": 0.5},
        {"sourceId": 3, "destId": 5, "cost": 0.125},
    ],
}
PIPEDREAM = """\
node2 -- LSTM(8, 8) -- forward_compute_time=2.0, backward_compute_time=4.0, activation_size=[6.0; 1.0], parameter_size=5
node1 -- Input0 -- forward_compute_time=0.000, backward_compute_time=0.000, activation_size=3.0, parameter_size=0.000
node3 -- Add -- forward_compute_time=1e-3, backward_compute_time=0, activation_size=1e6, parameter_size=0 -- stage_id=1
\tnode1 -- node2
\tnode2 -- node3
\tnode1 -- node3
"""
COST_GRAPH = """\
node { name: "_SOURCE" }
node {
  name: "split" id: 4 control_input: 0 compute_cost: 58 device_persistent_memory_size: 30
  output_info { size: 55 alias_input_port: -1 dtype: DT_FLOAT shape { dim { size: 5 } dim { size: 11 } } }
  output_info { size: 7 alias_input_port: -1 }
}
node {
  name: "relu" id: 9 input_info { preceding_node: 4 } output_info { size: 55 alias_input_port: 0 } compute_cost: 3 }
node {
  name: "end" id: 2 control_input: [0, 9] is_final: true
  input_info { preceding_node: 4 preceding_port: 1 }
  input_info { preceding_node: 9 }
}
cost { cost: 1.5 dimension: "things" }
"""
DEVICE = """\
name = "toy"
peak_flops = 4e12
memory_bandwidth = 100e9
link_bandwidth = 16e9
fast_memory = 16777216
source = "by hand"
"""
NETWORK = {
    "nodes": [
        ["a", {"work": 1.5, "output_size": 3, "parameter_size": 2, "op": "Conv"}],
        ["b", {"work": 2, "output_size": 0, "parameter_size": 0}],
        ["c", {"work": 0, "output_size": 1, "parameter_size": 1e9}],
    ],
    "edges": [["a", "b"], ["b", "c"], ["a", "c"]],
    "unit": "ms",
    "capacity": 5,
}


def make_inputs(folder: Path) -> None:
    """Write the sound inputs into a folder; results, stages and the store are made by the commands."""
    from onnx import parser

    documents: dict[str, Any] = {
        "native.graph.json": NATIVE,
        "priced.graph.json": PRICED,
        "layers.graph.json": LAYERS,
        "partitioning.json": PARTITIONING,
        "network.json": NETWORK,
    }
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document), encoding="utf-8")
    texts = {"pipedream.graph.txt": PIPEDREAM, "cost.pbtxt": COST_GRAPH, "device.toml": DEVICE}
    for name, text in (texts | SPLITS).items():
        (folder / name).write_text(text, encoding="utf-8")
    for name, text in {"plain.onnx": PLAIN, "model.onnx": MODEL}.items():
        (folder / name).write_bytes(_with_weights(parser.parse_model(text)))
    native, priced = (json.dumps(document).encode() for document in (NATIVE, PRICED))
    (folder / "native.graph.json.gz").write_bytes(gzip.compress(native, mtime=0))
    (folder / "priced.graph.json.xz").write_bytes(lzma.compress(priced))
    os.mkfifo(folder / "fifo")
    study = {"graphs": '["priced.graph.json", "native.graph.json"]', "entries": '["simple", "ideal-dp"]'}
    fixed = 'name = "tiny"\nstages = [2, 3]\nbudgets = ["2s"]\nstore = "store.sqlite"\ndevices = ["reference"]\n'
    (folder / "study.toml").write_text(fixed + "".join(f"{k} = {v}\n" for k, v in study.items()), encoding="utf-8")
    solve = ("-k", "2", "--budget", "60s", "--no-presolve")
    for arguments in (
        ("solve", "native.graph.json", *solve, "--with", "ideal-dp", "-o", "result-native.json"),
        ("solve", "plain.onnx", *solve, "--with", "slice-graph", "-o", "result-plain.json"),
        ("solve", "priced.graph.json", *solve, "--with", "ideal-dp", "-o", "result-priced.json"),
        ("solve", "priced.graph.json", *solve, "--with", "counting", "-o", "result-counting.json"),
        ("split", "plain.onnx", "result-plain.json", "-o", "stages"),
        ("study", "run", "study.toml", "--jobs", "1", "--no-warm"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "framework", *arguments],
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(arguments)} failed with {done.returncode}: {done.stderr[-2000:]}")


def environment() -> dict[str, str]:
    """Return the environment of a process that runs the command from this checkout."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))}


def _with_weights(model: Any) -> bytes:
    """Serialise a model; weights that the text declares without values are zeros."""
    import numpy as np
    from onnx import numpy_helper

    for value in list(model.graph.value_info):
        shape = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        model.graph.initializer.append(numpy_helper.from_array(np.zeros(shape, np.float32), value.name))
        model.graph.value_info.remove(value)
    data: bytes = model.SerializeToString()
    return data
