"""Build the bundled graphs from the light models in the onnx package's own backend test data.

    python scripts/testbed/build_onnx_graphs.py [--output FOLDER]

Each of the nine models is read with the ONNX reader and written as a native graph: topology, FLOPs and sizes, no
weights. The result depends on the version of the onnx package alone, which every graph names as its source; the same
version gives the same content. scripts/build_testbed builds them with all others, and the catalogue of all.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import onnx

from framework.formats.native import write_native
from framework.formats.onnx.reader import read
from framework.testbed import bundled

LIGHT_MODELS = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
FAMILIES = {
    "bvlc_alexnet": "alexnet",
    "densenet121": "densenet",
    "inception_v1": "inception",
    "inception_v2": "inception",
    "resnet50": "resnet",
    "shufflenet": "shufflenet",
    "squeezenet": "squeezenet",
    "vgg19": "vgg",
    "zfnet512": "zfnet",
}


def build(output: Path) -> list[str]:
    """Write all graphs to a folder; return their names."""
    output.mkdir(parents=True, exist_ok=True)
    for name in sorted(FAMILIES):
        model = LIGHT_MODELS / f"light_{name}.onnx"
        graph = replace(
            read(model), name=name, source=f"onnx {onnx.__version__}, backend test data, {model.stem}", remarks=()
        )
        write_native(graph, output / f"{name}{bundled.SUFFIX}")
    return sorted(FAMILIES)


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the bundled graphs from the onnx package's light models.")
    parser.add_argument("--output", type=Path, default=bundled.DATA, help="folder to write to (default: the package's)")
    print(*build(parser.parse_args().output), sep="\n")


if __name__ == "__main__":
    main()
