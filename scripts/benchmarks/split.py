"""Memory of `pipebound split` on a generated model of about 1 GB, inline and with external data.

    python scripts/benchmarks/split.py [--megabytes 1024] [--folder FOLDER]

Each split runs in a process of its own; the figure is the largest resident set of that process, as the kernel
counts it, over the size of the model.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from framework.deploy.onnx_model import open_model
from framework.deploy.weights import write_with_weights

LAYERS = 16


def write_model(folder: Path, megabytes: int, *, external: bool) -> Path:
    """Write a chain of matrix products whose weights have the given size together."""
    width = round((megabytes * 1e6 / 4 / LAYERS) ** 0.5)
    nodes, weights = [], []
    for i in range(LAYERS):
        nodes.append(helper.make_node("MatMul", [f"h{i}", f"w{i}"], [f"m{i}"], name=f"product{i}"))
        nodes.append(helper.make_node("Relu", [f"m{i}"], [f"h{i + 1}"], name=f"relu{i}"))
        weights.append(TensorProto(name=f"w{i}", data_type=TensorProto.FLOAT, dims=[width, width]))
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("h0", TensorProto.FLOAT, ["N", width])],
        [helper.make_tensor_value_info(f"h{LAYERS}", TensorProto.FLOAT, ["N", width])],
        weights,
    )
    bare = folder / "bare.onnx"
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), bare)
    inline = folder / "inline.onnx"
    write_with_weights(open_model(bare), inline)
    if not external:
        return inline
    path = folder / "external.onnx"
    onnx.save_model(onnx.load(inline), path, save_as_external_data=True, location="external.weights")
    inline.unlink()
    return path


def split_peak(model: Path, folder: Path, cut: int) -> dict[str, float]:
    """Split after layer `cut` in a process of its own; return peak bytes and seconds."""
    code = (
        "import json, time\n"
        "from pathlib import Path\n"
        "from framework.deploy.onnx_model import open_model\n"
        "from framework.deploy.split.split import split_model\n"
        "started = time.monotonic()\n"
        f"stage_of = [int(i >= {2 * cut}) for i in range({2 * LAYERS})]\n"
        f"split_model(open_model({str(model)!r}), stage_of, Path({str(folder)!r}), dims={{'N': 1}})\n"
        # Not getrusage: its maximum survives exec, and would be that of this script.
        "status = Path('/proc/self/status').read_text()\n"
        "peak = int(status.split('VmHWM:')[1].split()[0]) * 1024\n"
        "print(json.dumps({'peak': peak, 'seconds': time.monotonic() - started}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory of split on a large model.")
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--folder", type=Path, default=None, help="where to write (needs three times the size)")
    arguments = parser.parse_args()
    for external in (False, True):
        with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
            folder = Path(name)
            model = write_model(folder, arguments.megabytes, external=external)
            size = sum(path.stat().st_size for path in folder.iterdir() if path.suffix in (".onnx", ".weights"))
            for what, cut in (("even halves", LAYERS // 2), ("all in one stage", 0)):
                started = time.monotonic()
                figures = split_peak(model, folder / f"stages{cut}", cut)
                print(
                    f"{'external' if external else 'inline'} weights, {what}: model {size / 1e6:.0f} MB, "
                    f"peak {figures['peak'] / 1e6:.0f} MB = {figures['peak'] / size:.2f}x, "
                    f"{figures['seconds']:.1f} s ({time.monotonic() - started:.1f} s with start-up)",
                    flush=True,
                )


if __name__ == "__main__":
    main()
