"""Choose among captured graphs, measure the chosen, and write the testbed's data and catalogue.

    python scripts/testbed/catalogue.py --captured FOLDER [--output FOLDER] [--left-out FILE]

FOLDER holds what scripts/testbed/capturing.py wrote. The nine graphs of scripts/testbed/build_onnx_graphs.py are always
in, under their own names. Of graphs of equal structure the first is kept, in the order of the sources; of a family at
most three: graphs of published depth first, then the largest, the smallest and the middle one. Everything that is left
out goes, with the reason, to a table.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import build_onnx_graphs

from framework.formats.native import read
from framework.model.device import load_device
from framework.model.graph import ModelGraph, PhysicalCosts
from framework.model.pricing import price
from framework.structure.poset.width import depths, width
from framework.testbed import bundled
from framework.testbed.catalogue import CatalogueRow
from framework.testbed.structure import structure_digest

SOURCES = (
    "torchvision",
    "timm",
    "published",
    "transformers",
    "diffusers",
    "smp",
    "monai",
    "torchaudio",
    "openclip",
    "pyg",
    "deepctr",
    "xtransformers",
)
"""The order in which equal graphs yield to each other."""

PER_FAMILY = 3
CORE, SMOKE = 60, 12
LARGEST_SMOKE = 400
CORE_BOUNDS = (60, 120, 200, 300, 450, 700, 1000, 1500, 2500, 5000)

Left = list[tuple[str, str, str]]


def main() -> None:
    parser = argparse.ArgumentParser(description="Choose among captured graphs and write the testbed.")
    parser.add_argument("--captured", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=bundled.DATA)
    parser.add_argument("--left-out", type=Path, help="write what is left out, and why, to this .csv file")
    options = parser.parse_args()
    left: Left = []
    rows = onnx_rows(options.captured)
    rows += captured_rows(options.captured, {row.structure: row.name for row in rows}, left)
    rows = choose(rows, left)
    rows = with_subsets(rows)
    write(rows, options.captured, options.output)
    if options.left_out:
        with options.left_out.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(("name", "package", "reason"))
            writer.writerows(sorted(left))
    sizes = [path.stat().st_size for path in options.output.iterdir()]
    print(
        f"{len(rows)} graphs, {len({row.family for row in rows})} families, {len({row.task for row in rows})} areas, "
        f"{sum(row.nodes > 1000 for row in rows)} above 1000 nodes, largest {max(row.nodes for row in rows)}; "
        f"{sum(sizes) / 1e6:.2f} MB; {len(left)} left out"
    )


def onnx_rows(captured: Path) -> list[CatalogueRow]:
    """Build the graphs of the onnx package and describe them."""
    rows = []
    for name in build_onnx_graphs.build(captured):
        graph = read(captured / f"{name}{bundled.SUFFIX}")
        facts: dict[str, Any] = {"family": build_onnx_graphs.FAMILIES[name], "task": "vision"}
        row = describe(graph, facts)
        rows.append(replace(row, parameters=row.parameter_bytes // 4, module_bytes=None, used_bytes=None))
    return rows


def captured_rows(captured: Path, known: dict[str, str], left: Left) -> list[CatalogueRow]:
    """Describe the captured graphs that differ in structure from all before them."""
    rows = []
    for source in SOURCES:
        log = captured / f"{source}.jsonl"
        for line in log.read_text(encoding="utf-8").splitlines():
            facts = json.loads(line)
            if "failure" in facts:
                left.append((facts["name"], facts["package"], facts["failure"]))
                continue
            row = describe(read(captured / f"{facts['name']}{bundled.SUFFIX}"), facts)
            other = known.setdefault(row.structure, row.name)
            if other != row.name:
                left.append((row.name, facts["package"], f"the same structure as {other}"))
            else:
                rows.append(row)
    return rows


def describe(graph: ModelGraph, facts: dict[str, Any]) -> CatalogueRow:
    """Return the row of a graph, given what its capture said."""
    costs = graph.costs
    assert isinstance(costs, PhysicalCosts)
    instance = price(graph, load_device("reference"))
    return CatalogueRow(
        name=graph.name,
        family=facts["family"],
        task=facts["task"],
        source=graph.source,
        nodes=graph.topology.n,
        tensors=graph.topology.m,
        width=width(instance),
        depth=int(depths(instance).max()) + 1,
        flops=int(costs.flops.sum()),
        parameter_bytes=parameter_bytes(graph),
        parameters=facts.get("parameters", 0),
        module_bytes=facts.get("module_bytes"),
        used_bytes=facts.get("used_bytes"),
        guesses=sum(facts.get("guesses", {}).values()),
        batch=graph.batch,
        dtype=graph.dtype,
        structure=structure_digest(graph),
        sha256=graph.named_sha256(),
        subsets=("full",) if facts.get("full") else (),
    )


def parameter_bytes(graph: ModelGraph) -> int:
    """Return the bytes of a graph's parameters, shared ones once."""
    costs = graph.costs
    assert isinstance(costs, PhysicalCosts)
    return int(costs.parameter_bytes.sum()) + int(costs.shared_bytes.sum())


def choose(rows: Sequence[CatalogueRow], left: Left) -> list[CatalogueRow]:
    """Keep at most three graphs of a family; a row marked ``full`` is of published depth."""
    families: dict[str, list[CatalogueRow]] = defaultdict(list)
    for row in rows:
        families[row.family].append(row)
    kept = []
    for members in families.values():
        ranked = _ranked(sorted(members, key=lambda row: (row.nodes, row.name)))
        kept += ranked[:PER_FAMILY]
        for row in ranked[PER_FAMILY:]:
            left.append((row.name, row.source.split()[0], f"its family, {row.family}, is represented"))
    return sorted((replace(row, subsets=()) for row in kept), key=lambda row: row.name)


def _ranked(members: Sequence[CatalogueRow]) -> list[CatalogueRow]:
    order = [row for row in members if row.source.startswith("onnx ")]
    order += [row for row in reversed(members) if row.subsets]
    order = list(dict.fromkeys(order))
    rest = [row for row in members if row not in order]
    if rest:
        order += [rest[-1], rest[0], rest[len(rest) // 2], *rest]
    return list(dict.fromkeys(order))


def with_subsets(rows: Sequence[CatalogueRow]) -> list[CatalogueRow]:
    """Mark the rows of `core`, and among them those of `smoke`."""
    core = core_of(rows)
    smoke = smoke_of(core)
    return [
        replace(row, subsets=(("smoke",) if row.name in smoke else ()) + (("core",) if row in core else ()))
        for row in rows
    ]


def core_of(rows: Sequence[CatalogueRow]) -> list[CatalogueRow]:
    """Return rows spread over sizes, then task areas; never two of a family.

    Sizes fall into bins that take turns; within a bin, the task area that has the fewest rows so far is served, and in
    it the row whose name has the smallest digest: a choice without intent.
    """
    bins: list[list[CatalogueRow]] = [[] for _ in range(len(CORE_BOUNDS) + 1)]
    for row in sorted(rows, key=_lot):
        bins[sum(row.nodes >= bound for bound in CORE_BOUNDS)].append(row)
    chosen: list[CatalogueRow] = []
    served: dict[str, int] = defaultdict(int)
    families: set[str] = set()
    while len(chosen) < CORE and any(bins):
        for members in bins:
            members[:] = [row for row in members if row.family not in families]
            if members and len(chosen) < CORE:
                row = min(members, key=lambda row: served[row.task])
                served[row.task] += 1
                families.add(row.family)
                chosen.append(row)
    return chosen


def smoke_of(core: Sequence[CatalogueRow]) -> set[str]:
    """Return the names of a dozen small graphs, of as many task areas as there are."""
    small = sorted((row for row in core if row.nodes <= LARGEST_SMOKE), key=_lot)
    seen: dict[str, int] = defaultdict(int)
    ranked = []
    for row in small:
        ranked.append((seen[row.task], len(ranked), row.name))
        seen[row.task] += 1
    return {name for _, _, name in sorted(ranked)[:SMOKE]}


def _lot(row: CatalogueRow) -> tuple[bool, str]:
    # The well-known graphs of the onnx package come first in their bin.
    return not row.source.startswith("onnx "), hashlib.sha256(row.name.encode()).hexdigest()


def write(rows: Sequence[CatalogueRow], captured: Path, output: Path) -> None:
    """Replace the graphs and the catalogue in a folder."""
    output.mkdir(parents=True, exist_ok=True)
    wanted = {f"{row.name}{bundled.SUFFIX}" for row in rows}
    for path in output.glob(f"*{bundled.SUFFIX}"):
        if path.name not in wanted:
            path.unlink()
    for name in sorted(wanted):
        shutil.copyfile(captured / name, output / name)
    write_catalogue(rows, output)


def write_catalogue(rows: Sequence[CatalogueRow], output: Path) -> None:
    """Write the catalogue into a folder."""
    lines = ",\n".join(json.dumps(asdict(row)) for row in rows)
    (output / "catalogue.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
