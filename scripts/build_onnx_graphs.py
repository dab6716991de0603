"""Build the bundled graphs from the light models in the onnx package's own backend test data.

    .venv/bin/python scripts/build_onnx_graphs.py [--output FOLDER]

Each of the nine models is read with the ONNX reader and written as a native graph: topology, FLOPs and sizes, no
weights. Beside them goes catalogue.json, which describes them without their being loaded. The result depends on the
version of the onnx package alone, which every graph names as its source; the same version gives the same content.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
from scipy.sparse import csr_array  # type: ignore[import-untyped]
from scipy.sparse.csgraph import maximum_bipartite_matching  # type: ignore[import-untyped]

from framework.formats import bundled
from framework.formats.native import write_native
from framework.formats.onnx import read
from framework.model.graph import ModelGraph, PhysicalCosts
from framework.model.topology import Topology
from framework.testbed.catalogue import CatalogueRow

LIGHT_MODELS = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
FAMILIES = {
    "bvlc_alexnet": "AlexNet",
    "densenet121": "DenseNet",
    "inception_v1": "Inception",
    "inception_v2": "Inception",
    "resnet50": "ResNet",
    "shufflenet": "ShuffleNet",
    "squeezenet": "SqueezeNet",
    "vgg19": "VGG",
    "zfnet512": "ZFNet",
}


def build(output: Path) -> list[CatalogueRow]:
    """Write all graphs and the catalogue to a folder; return the catalogue."""
    output.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, family in sorted(FAMILIES.items()):
        model = LIGHT_MODELS / f"light_{name}.onnx"
        graph = replace(
            read(model), name=name, source=f"onnx {onnx.__version__}, backend test data, {model.stem}", remarks=()
        )
        write_native(graph, output / f"{name}{bundled.SUFFIX}")
        rows.append(describe(graph, family))
    lines = ",\n".join(json.dumps(asdict(row)) for row in rows)
    (output / "catalogue.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    return rows


def describe(graph: ModelGraph, family: str) -> CatalogueRow:
    costs = graph.costs
    assert isinstance(costs, PhysicalCosts)
    before = ancestors(graph.topology)
    return CatalogueRow(
        name=graph.name,
        family=family,
        task="vision",
        source=graph.source,
        nodes=graph.topology.n,
        tensors=graph.topology.m,
        width=width(before),
        depth=depth(graph.topology),
        flops=int(costs.flops.sum()),
        parameter_bytes=int(costs.parameter_bytes.sum()),
        batch=graph.batch,
        dtype=graph.dtype,
        sha256=graph.sha256(),
    )


def ancestors(topology: Topology) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Return for each node (row) which nodes lie before it; nodes are in topological order."""
    before = np.zeros((topology.n, topology.n), bool)
    for v in range(topology.n):
        for u in topology.preds[topology.pred_ptr[v] : topology.pred_ptr[v + 1]]:
            before[v] |= before[u]
            before[v, u] = True
    return before


def width(before: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> int:
    """Return the largest antichain: by Dilworth, n minus a maximum matching of comparable pairs."""
    matching = maximum_bipartite_matching(csr_array(before), perm_type="column")
    return int(len(before) - np.count_nonzero(matching >= 0))


def depth(topology: Topology) -> int:
    """Return the number of nodes on the longest path; nodes are in topological order."""
    longest = np.ones(topology.n, np.int64)
    for v in range(topology.n):
        row = topology.preds[topology.pred_ptr[v] : topology.pred_ptr[v + 1]]
        longest[v] += longest[row].max(initial=0)
    return int(longest.max())


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the bundled graphs from the onnx package's light models.")
    parser.add_argument("--output", type=Path, default=bundled.DATA, help="folder to write to (default: the package's)")
    for row in build(parser.parse_args().output):
        print(
            f"{row.name}: {row.nodes} nodes, {row.tensors} tensors, width {row.width}, depth {row.depth}, "
            f"{row.flops / 1e9:.3f} GFLOP, {row.parameter_bytes / 1e6:.2f} MB of parameters"
        )


if __name__ == "__main__":
    main()
