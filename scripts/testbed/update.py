"""Replace graphs of the testbed by captured ones that differ in their parameters alone.

    python scripts/testbed/update.py --captured FOLDER [--output FOLDER]

FOLDER holds what scripts/testbed/capturing.py wrote. A graph whose nodes, tensors, operations, bytes accessed or sizes
of tensors are others than those of the testbed's graph of that name is left alone and named: it wants a rebuild
(scripts/build_testbed). Of a graph that is replaced the catalogue's row follows.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from catalogue import parameter_bytes, write_catalogue

from framework.formats.native import read
from framework.model.graph import ModelGraph, PhysicalCosts
from framework.testbed import bundled
from framework.testbed.catalogue import bundled_graphs
from framework.wording import counted


def main() -> None:
    parser = argparse.ArgumentParser(description="Replace graphs of the testbed that differ in their parameters alone.")
    parser.add_argument("--captured", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=bundled.DATA)
    options = parser.parse_args()
    rows = {row.name: row for row in bundled_graphs()}
    same, left = 0, []
    print("| graph | MB before | MB now | MB of the module |\n|---|---|---|---|")
    for facts in successes(options.captured):
        row = rows.get(facts["name"])
        if row is None:
            continue
        name = f"{row.name}{bundled.SUFFIX}"
        graph = read(options.captured / name)
        differing = differences(read(bundled.DATA / name), graph)
        if differing:
            left.append(f"{row.name}: {', '.join(differing)}")
            continue
        changes = {key: facts[key] for key in ("parameters", "module_bytes", "used_bytes")}
        changed = replace(row, parameter_bytes=parameter_bytes(graph), sha256=graph.named_sha256(), **changes)
        shutil.copyfile(options.captured / name, options.output / name)
        if changed == row:
            same += 1
            continue
        rows[row.name] = changed
        sizes = (row.parameter_bytes, changed.parameter_bytes, facts["module_bytes"])
        print(f"| {row.name} | {' | '.join(f'{size / 1e6:.2f}' for size in sizes)} |")
    write_catalogue(list(rows.values()), options.output)
    print(f"{counted(same, 'graph')} as before, {counted(len(left), 'graph')} left alone")
    for line in left:
        print(f"left alone, {line}")
    sys.exit(1 if left else 0)


def successes(captured: Path) -> Iterator[dict[str, Any]]:
    """Yield what the logs say of the graphs that were captured."""
    for log in sorted(captured.glob("*.jsonl")):
        for line in log.read_text(encoding="utf-8").splitlines():
            facts = json.loads(line)
            if "failure" not in facts:
                yield facts


def differences(before: ModelGraph, now: ModelGraph) -> list[str]:
    """Return what two graphs differ in, parameters and remarks apart."""
    old, new = before.costs, now.costs
    assert isinstance(old, PhysicalCosts)
    assert isinstance(new, PhysicalCosts)
    first, second = before.topology, now.topology
    pairs: dict[str, tuple[Any, Any]] = {
        "source": (before.source, now.source),
        "batch": (before.batch, now.batch),
        "element type": (before.dtype, now.dtype),
        "names of nodes": (before.node_names, now.node_names),
        "operators": (before.ops, now.ops),
        "producers": (first.producer, second.producer),
        "consumers": (first.consumer_ptr, second.consumer_ptr),
        "consumers of tensors": (first.consumers, second.consumers),
        "operations": (old.flops, new.flops),
        "bytes accessed": (old.accessed_bytes, new.accessed_bytes),
        "sizes of tensors": (old.tensor_bytes, new.tensor_bytes),
    }
    return [what for what, (one, other) in pairs.items() if not np.array_equal(one, other)]


if __name__ == "__main__":
    main()
