"""`profile`: measured seconds per operator on this machine, merged into the model graph.

The model runs on one thread, as a stage of a pipeline does. An operator's time is its median over the repetitions: a
program that interrupts a run strikes few of its operators, so medians of operators stand more than that of the whole.
What the runtime spends between operators is taken from the least disturbed runs, with and without the profiler, and
shared evenly among the operators.
"""

from __future__ import annotations

import gzip
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from framework.deploy.assignment import NOTE
from framework.deploy.fusion import groups, spread_times
from framework.deploy.model import ModelFile, open_model
from framework.deploy.neighbours import busy_neighbours
from framework.deploy.runnable import runnable
from framework.deploy.runtime import Optimization, open_session, random_feed, run_session
from framework.deploy.weights import missing_weights, write_with_weights
from framework.errors import UserError
from framework.formats.native import native_text
from framework.formats.onnx_wire import pieces, write_pieces
from framework.model.graph import FloatArray, ModelGraph, PhysicalCosts

COPY_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Profile:
    """What was measured.

    Attributes
    ----------
    graph
        The model graph with `seconds` for every node.
    latency, kernels, overhead
        Seconds of one inference: quartiles without the profiler; the sum of its operators' medians; what is between
        operators. The nodes' times add up to the latter two.
    operators
        Of each node that the runtime executed: name, type, quartiles in seconds, the model's nodes behind it.
    copy_bandwidth
        Bytes per second at which one core copies what is in no cache of its own.
    remarks
        What the user should know.
    """

    graph: ModelGraph
    latency: tuple[float, float, float]
    kernels: float
    overhead: float
    operators: tuple[dict[str, Any], ...]
    copy_bandwidth: float
    repetitions: int
    warm_up: int
    neighbours: int
    optimization: Optimization
    dims: dict[str, int]
    remarks: tuple[str, ...]

    @property
    def spread(self) -> float:
        """Interquartile range of the latency over its median."""
        low, middle, high = self.latency
        return (high - low) / middle

    @property
    def link_bandwidth(self) -> float:
        """What to give ``--bandwidth``: handing a tensor over costs about three more passes over it.

        It is read from another core's cache, and onnxruntime changes its layout for the stage's operators, both ways.
        """
        return self.copy_bandwidth / 3

    def note(self) -> dict[str, Any]:
        """Return what a graph file should keep of how it was measured."""
        return {
            "dims": self.dims,
            "optimization": str(self.optimization),
            "warm_up": self.warm_up,
            "repetitions": self.repetitions,
            "neighbours": self.neighbours,
            "latency_quartiles": list(self.latency),
            "kernel_seconds": self.kernels,
            "overhead_seconds": self.overhead,
            "copy_bandwidth": self.copy_bandwidth,
            "operators": list(self.operators),
        }


def profile_model(
    model: ModelFile,
    *,
    dims: Mapping[str, int] | None = None,
    warm_up: int = 3,
    repetitions: int = 20,
    neighbours: int = 0,
    optimization: Optimization = Optimization.ALL,
    seed: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> Profile:
    """Measure a model; generated weights and inputs stand in for what it lacks.

    Parameters
    ----------
    dims
        Sizes of symbolic dimensions.
    warm_up, repetitions
        Runs that are not, and that are measured.
    neighbours
        Processes that run the same model meanwhile; one less than the stages is what a pipeline will see.
    seed
        Of generated weights and inputs.

    Raises
    ------
    UserError
        If onnxruntime is not installed or refuses the model, or an input's shape is open.
    """
    if repetitions < 3 or warm_up < 0:
        raise UserError("too few repetitions", mend="give at least --repetitions 3 and --warm-up 0")
    sizes = dict(dims or {})
    graph = model.read_graph(sizes)
    remarks: list[str] = []
    with tempfile.TemporaryDirectory(prefix="pipebound-") as name:
        folder = Path(name)
        missing = missing_weights(model)
        if missing:
            remarks.append(f"the model has no weights: {len(missing)} tensors were generated, seed {seed}")
            say(remarks[-1])
            model = write_with_weights(model, folder / "weights.onnx", seed)
        model = _with_names(model, folder / "named.onnx")
        feed = random_feed(model, sizes, seed)
        say(f"{warm_up} runs to warm up, {repetitions} to measure")
        plain = open_session(model.path, optimization=optimization)
        session = open_session(model.path, optimization=optimization, profile=folder / "run")
        latency = []
        with busy_neighbours(neighbours, runnable(model), feed, optimization):
            for _ in range(warm_up + repetitions):
                # In turns, so that a change of the machine's mood strikes both.
                run_session(session, feed, str(model.path))
                started = time.perf_counter()
                run_session(plain, feed, str(model.path))
                latency.append(time.perf_counter() - started)
        latency = latency[warm_up:]
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        rewritten = onnx.load(str(folder / "run.onnx"), load_external_data=False).graph
        samples = _samples(rewritten, events, repetitions)
        members = groups(model, rewritten)
    medians = np.median(samples, axis=1)
    overhead = max(0.0, min(latency) - float(samples.sum(axis=0).min()))
    costs = graph.costs
    assert isinstance(costs, PhysicalCosts)
    weight = costs.flops / costs.flops.sum() if costs.flops.any() else costs.flops
    weight = weight + costs.accessed_bytes / max(1.0, costs.accessed_bytes.sum())
    each = medians + overhead / max(1, len(medians))
    seconds = spread_times(each.tolist(), members, weight.tolist(), graph.topology.n)
    low, middle, high = (float(v) for v in np.quantile(latency, (0.25, 0.5, 0.75)))
    return Profile(
        graph=replace(graph, costs=replace(costs, seconds=np.array(seconds))),
        latency=(low, middle, high),
        kernels=float(medians.sum()),
        overhead=overhead,
        operators=_operator_rows(rewritten, samples, members, graph),
        copy_bandwidth=_copy_bandwidth(),
        repetitions=repetitions,
        warm_up=warm_up,
        neighbours=neighbours,
        optimization=optimization,
        dims=sizes,
        remarks=tuple(remarks),
    )


def write_profile(profile: Profile, path: Path) -> None:
    """Write the measured graph as a native graph file, with a note of how it was measured.

    Raises
    ------
    UserError
        If the file cannot be written.
    """
    note = json.dumps(profile.note(), separators=(",", ":"), allow_nan=False)
    data = native_text(profile.graph).replace("{", f'{{"{NOTE}": {note},\n', 1).encode()
    try:
        path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    except OSError as error:
        raise UserError(f"cannot be written: {error.strerror or error}", where=str(path)) from None


def _with_names(model: ModelFile, target: Path) -> ModelFile:
    """Return a model whose nodes all have names of their own, since the profiler tells them by name."""
    names = [node.name for node in model.proto.graph.node]
    if all(names) and len(set(names)) == len(names):
        return model
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    for position, node in enumerate(proto.graph.node):
        node.name = f"constant#{position}"
    for position, label in model.placed:
        proto.graph.node[position].name = label
    write_pieces(pieces(proto, model.source_of), target)
    return open_model(target)


def _samples(rewritten: onnx.GraphProto, events: Sequence[Mapping[str, Any]], repetitions: int) -> FloatArray:
    """Return ``[operators, repetitions]`` seconds; an operator that did not run (another branch) has zeros."""
    durations: dict[str, dict[int, list[float]]] = {node.name: {} for node in rewritten.node}
    for event in events:
        name = str(event.get("name", ""))
        if event.get("cat") == "Node" and name.endswith("_kernel_time"):
            # Nodes inside a subgraph have events of their own, already within that of the node that holds them.
            held = durations.get(name.removesuffix("_kernel_time"))
            if held is not None:
                held.setdefault(int(event["args"]["node_index"]), []).append(float(event["dur"]) * 1e-6)
    # Rewriting may give two nodes one name; their numbers, at least, are in the order of the graph.
    left = {name: [held[number] for number in sorted(held)] for name, held in durations.items()}
    rows = [left[node.name].pop(0) if left[node.name] else [] for node in rewritten.node]
    padded = [([0.0] * repetitions + values)[-repetitions:] for values in rows]
    return np.array(padded).reshape(len(rewritten.node), repetitions)


def _operator_rows(
    rewritten: onnx.GraphProto, samples: FloatArray, members: Sequence[Sequence[int]], graph: ModelGraph
) -> tuple[dict[str, Any], ...]:
    rows = []
    for node, times, group in zip(rewritten.node, samples, members, strict=True):
        quartiles = [round(float(v), 9) for v in np.quantile(times, (0.25, 0.5, 0.75))]
        behind = [graph.node_names[v] for v in group]
        rows.append({"name": node.name, "op": node.op_type, "quartiles": quartiles, "nodes": behind})
    return tuple(rows)


def _copy_bandwidth() -> float:
    """Measure how fast one core copies, in pieces too large for its own cache."""
    source = np.ones(16 * COPY_BYTES, np.uint8)
    target = np.empty(COPY_BYTES, np.uint8)
    times = []
    for i in range(16):
        part = source[i * COPY_BYTES : (i + 1) * COPY_BYTES]
        started = time.perf_counter()
        np.copyto(target, part)
        times.append(time.perf_counter() - started)
    return COPY_BYTES / float(np.median(times))
