"""Check graphs of the catalogue against torch itself, each captured again in a process of its own.

    python scripts/testbed/check.py [--count N] [--only NAME ...]

For a sample that is the same every time: the digest is that of the catalogue (a rebuild changes nothing); operations of
matrix products, convolutions and attention equal those that torch's FlopCounterMode counts; and for models without
guessed control flow, nodes and edges equal those of a graph that make_fx derives. A check that does not apply to a
model says why.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import capturing  # first: it cuts the network off
import stubs
import torch
from candidates import SOURCES, Candidate, candidates
from torch.utils._pytree import tree_map
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from framework.formats.native import read
from framework.formats.torch.reader import capture
from framework.model.graph import ModelGraph, PhysicalCosts
from framework.testbed.catalogue import CatalogueRow, bundled_graphs
from framework.wording import counted
from tests.formats.fx_edges import derive

LARGEST_DERIVED = 1500


def main() -> None:
    parser = argparse.ArgumentParser(description="Check graphs of the testbed against torch itself.")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--only", nargs="*", help="names of graphs")
    options = parser.parse_args()
    stubs.install()
    torch.set_num_threads(1)
    rows = [row for row in bundled_graphs() if not row.source.startswith("onnx ")]
    if options.only:
        rows = [row for row in rows if row.name in options.only]
    else:
        rows = sorted(rows, key=lambda row: hashlib.sha256(row.name.encode()).digest())[: options.count]
    wanted = {row.name: row for row in rows}
    totals: Counter[str] = Counter()
    for source in SOURCES:
        if not any(name.startswith(source) for name in wanted):
            continue
        for candidate in candidates(source):
            if candidate.name in wanted:
                verdicts = in_child(candidate, source, wanted[candidate.name])
                totals.update(verdict.split(":")[0].split(",")[0] for verdict in verdicts)
                print(f"{candidate.name}: {'; '.join(verdicts)}", flush=True)
    verdicts = ", ".join(f"{verdict} {count}" for verdict, count in sorted(totals.items()))
    print(f"{counted(len(rows), 'graph')}: {verdicts}")
    if any("DIFFERENT" in verdict for verdict in totals):
        sys.exit(1)


def in_child(candidate: Candidate, source: str, row: CatalogueRow) -> list[str]:
    """Return the verdicts of all checks of one graph."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        try:
            said = "\n".join(verdicts_of(candidate, source, row))
        except BaseException as error:
            said = f"check DIFFERENT: {type(error).__name__}: {str(error)[:200]}".replace("\n", " ")
        with os.fdopen(writer, "w", encoding="utf-8") as stream:
            stream.write(said)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as stream:
        said = stream.read()
    os.waitpid(child, 0)
    return said.splitlines() or ["check DIFFERENT: the process ended"]


def verdicts_of(candidate: Candidate, source: str, row: CatalogueRow) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        found = capturing.Attempt(candidate, source, Path(folder)).finish()
        if "failure" in found:
            return [f"digest DIFFERENT: {found['failure']}"]
        graph = read(Path(folder) / f"{candidate.name}.graph.json.xz")
    verdicts = [f"digest {'equal' if found['sha256'] == row.sha256 else 'DIFFERENT'}"]
    verdicts.append(compare_operations(graph, found["left_out_flops"], candidate, found["attempt"]))
    if row.guesses:
        return [*verdicts, "edges not compared: control flow is guessed"]
    if row.nodes > LARGEST_DERIVED:
        return [*verdicts, "edges not compared: too many nodes"]
    try:
        return [*verdicts, compare_edges(graph, *on_meta(candidate, found["attempt"]))]
    except Exception as error:
        # Some models branch on values, which plain meta tensors do not have.
        return [*verdicts, f"edges not compared: plain meta tensors fail with {type(error).__name__}"]


def on_meta(candidate: Candidate, attempt: int) -> tuple[torch.nn.Module, Sequence[Any], dict[str, Any]]:
    with torch.device("meta"):
        model = candidate.build().eval()
    inputs, keywords = candidate.inputs[attempt](model)
    inputs, keywords = tree_map(
        lambda leaf: leaf.to("meta") if isinstance(leaf, torch.Tensor) else leaf, (list(inputs), dict(keywords))
    )
    return model, inputs, keywords


class Counted(torch.nn.Module):
    """A model whose forward pass torch counts; what it counts is kept in `counts`."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model
        self.counts: dict[str, int] = {}

    def forward(self, *inputs: Any, **keywords: Any) -> Any:
        with FlopCounterMode(display=False) as counter:
            result = self.model(*inputs, **keywords)
        self.counts = {str(op): count for op, count in counter.get_flop_counts().get("Global", {}).items() if count}
        return result


def compare_operations(graph: ModelGraph, folded: dict[str, int], candidate: Candidate, attempt: int) -> str:
    """Compare with what torch counts, on plain meta tensors if the model runs on these, else while it is traced."""
    try:
        model, inputs, keywords = on_meta(candidate, attempt)
        counted_model = Counted(model)
        with torch.no_grad(), torch.device("meta"):
            counted_model(*inputs, **keywords)
    except Exception:
        made: list[Counted] = []

        def build() -> Counted:
            made.append(Counted(candidate.build()))
            return made[0]

        capture(build, lambda model: candidate.inputs[attempt](model.model), routed_share=candidate.routed_share)
        counted_model = made[0]
    theirs = counted_model.counts
    costs = graph.costs
    assert isinstance(costs, PhysicalCosts)
    counted = {str(packet) for packet in flop_registry}
    ours: Counter[str] = Counter({op: flops for op, flops in folded.items() if op in counted and flops})
    for op, flops in zip(graph.ops, costs.flops.tolist(), strict=True):
        if op in counted and flops:
            ours[op] += int(flops)
    if dict(ours) == theirs:
        return f"operations equal, {sum(ours.values())}"
    return f"operations DIFFERENT: {sum(ours.values())} here, {sum(theirs.values())} by torch"


def compare_edges(graph: ModelGraph, model: torch.nn.Module, inputs: Sequence[Any], keywords: Any) -> str:
    names = list(keywords)
    tensors = [*inputs, *(keywords[name] for name in names)]
    if not all(isinstance(value, torch.Tensor) for value in tensors):
        tensors = [value for value in tensors if isinstance(value, torch.Tensor)]
    constants = {name: value for name, value in keywords.items() if not isinstance(value, torch.Tensor)}
    given = [name for name in names if name not in constants]

    class Positional(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *values: torch.Tensor) -> Any:
            count = len(values) - len(given)
            return self.model(*values[:count], **dict(zip(given, values[count:], strict=True)), **constants)

    top = graph.topology
    ours = {(u, int(v)) for u in range(top.n) for v in top.succs[top.succ_ptr[u] : top.succ_ptr[u + 1]]}
    for functional in (True, False):
        with torch.device("meta"):
            operators, edges = derive(Positional(), tensors, functional=functional)
        if [op.partition(".")[2] for op in graph.ops] == operators and ours == edges:
            return "edges equal"
    return f"edges DIFFERENT: {top.n} nodes and {len(ours)} edges here, {len(operators)} and {len(edges)} by make_fx"


if __name__ == "__main__":
    main()
