"""`profile`: measured seconds per operator on this machine, merged into the model graph.

The model runs on one thread, as a stage of a pipeline does. An operator's time is its median over the repetitions: a
program that interrupts a run disturbs few of its operators, so medians of operators are more stable than that of the
whole. What the runtime spends between operators is taken from the least disturbed runs, with and without the profiler,
and shared evenly among the operators. The nodes' times never add up to more than an inference takes without the
profiler: see `framework.deploy.tuning.profile_times`.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from framework.deploy.measurement import FEWEST, Measurement, check_repetitions, disturbed, fewer_repetitions
from framework.deploy.neighbours import busy_neighbours
from framework.deploy.onnx_model import ModelFile
from framework.deploy.pipeline.hand_over import hand_over_seconds
from framework.deploy.runnable import Runnable, runnable
from framework.deploy.runtime import Feed, Optimization, open_session, random_feed, run_session
from framework.deploy.tuning.fusion import groups, spread_times
from framework.deploy.tuning.profile_times import OperatorTimes, operator_times
from framework.deploy.weights import missing_weights, write_with_weights
from framework.formats.profile_note import HAND_OVER_PASSES
from framework.input_files import reading_deadline, reading_until
from framework.model.graph import ModelGraph, PhysicalCosts
from framework.wording import counted

COPY_BYTES = 4 << 20

SHARE, SEEN_SECONDS = 0.9, 0.1
"""Nor is one of a process that had less of a core than this, seen for long enough to tell."""

UNEXPLAINED = 0.2
"""Nor are operators that leave more than this share of an inference unexplained."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Profile(Measurement):
    """What was measured with onnxruntime; the latency without its profiler. Nodes add up to `kernels` and `overhead`.

    Attributes
    ----------
    copy_bandwidth
        Bytes per second at which one core copies what is in no cache of its own.
    link_latency
        Seconds that handing over a tensor to another process takes beside its bytes.
    core_share
        CPU time over elapsed time of the measured runs: 1 where no other program took the core away, or where they
        were too short to tell.
    """

    copy_bandwidth: float
    link_latency: float
    neighbours: int
    optimization: Optimization
    dims: dict[str, int]
    core_share: float

    @property
    def link_bandwidth(self) -> float:
        """What the graph is priced with by default: see `framework.formats.profile_note.stated_bandwidth`."""
        return self.copy_bandwidth / HAND_OVER_PASSES

    def note(self) -> dict[str, Any]:
        """Return what a graph file should keep of how it was measured."""
        return {
            "dims": self.dims,
            "optimization": str(self.optimization),
            "neighbours": self.neighbours,
            "copy_bandwidth": self.copy_bandwidth,
            "link_latency": self.link_latency,
            "core_share": self.core_share,
            **Measurement.note(self),
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
    budget: float = math.inf,
    drop_unused: bool = False,
    kv_tokens: int = 0,
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
    budget
        Seconds for the whole; there are fewer repetitions where it is short, at least `FEWEST`.
    drop_unused
        Whether to leave out nodes that no output depends on, as `split` does: they are not run, and cost nothing.
    kv_tokens
        As for `framework.formats.read_graph`.

    Raises
    ------
    UserError
        If onnxruntime is not installed or refuses the model, or an input's shape is open.
    """
    check_repetitions(repetitions, warm_up)
    deadline = time.monotonic() + budget
    sizes = dict(dims or {})
    with reading_until(reading_deadline(time.monotonic(), budget)):
        graph = model.read_graph(sizes, drop_unused=drop_unused, kv_tokens=kv_tokens)
    if drop_unused:
        model = model.without_unused()
    remarks: list[str] = []
    with tempfile.TemporaryDirectory(prefix="pipebound-") as name:
        folder = Path(name)
        missing = missing_weights(model)
        if missing:
            what = counted(len(missing), "tensor was", "tensors were")
            remarks.append(f"the model has no weights: {what} generated, seed {seed}")
            say(remarks[-1])
            model = write_with_weights(model, folder / "weights.onnx", seed)
        feed = random_feed(model, sizes, seed)
        runs = _measure(model, feed, folder, warm_up, repetitions, neighbours, optimization, deadline, say)
        remarks += fewer_repetitions(len(runs.latency), repetitions, budget)
        rewritten = onnx.load(str(folder / "run.onnx"), load_external_data=False).graph
        times = operator_times(rewritten, runs.events, runs.latency)
        index = {label: i for i, label in enumerate(graph.node_names)}
        members = [[index[model.node_names[v]] for v in group] for group in groups(model, rewritten)]
    remarks += times.remarks
    costs = graph.costs
    assert isinstance(costs, PhysicalCosts)
    weight = costs.flops / costs.flops.sum() if costs.flops.any() else costs.flops
    weight = weight + costs.accessed_bytes / max(1.0, costs.accessed_bytes.sum())
    each = times.medians + times.between / max(1, len(times.medians))
    seconds = spread_times(each.tolist(), members, weight.tolist(), graph.topology.n)
    low, middle, high = (float(v) for v in np.quantile(runs.latency, (0.25, 0.5, 0.75)))
    return Profile(
        graph=replace(graph, costs=replace(costs, seconds=np.array(seconds))),
        latency=(low, middle, high),
        kernels=float(times.medians.sum()),
        overhead=times.between,
        operators=_operator_rows(rewritten, times, members, graph),
        copy_bandwidth=_copy_bandwidth(),
        link_latency=float(f"{hand_over_seconds():.3g}"),
        repetitions=len(runs.latency),
        warm_up=warm_up,
        neighbours=neighbours,
        optimization=optimization,
        dims=sizes,
        core_share=runs.core_share,
        remarks=tuple(remarks),
        warnings=tuple(_warnings(runs, (low, middle, high), float(times.medians.sum()) + times.between)),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Runs:
    """Seconds of the measured inferences without the profiler, and the events of as many with it."""

    latency: list[float]
    events: list[dict[str, Any]]
    core_share: float


def _measure(
    model: ModelFile,
    feed: Feed,
    folder: Path,
    warm_up: int,
    repetitions: int,
    neighbours: int,
    optimization: Optimization,
    deadline: float,
    say: Callable[[str], None],
) -> _Runs:
    loaded = runnable(model)
    where = str(model.path)
    plain = open_session(loaded, optimization=optimization)
    session = open_session(loaded, optimization=optimization, profile=folder / "run")
    # The weights of the rewritten model are never looked at.
    (folder / "run.weights").unlink(missing_ok=True)
    latency: list[float] = []
    with busy_neighbours(neighbours, partial(_opened, loaded, feed, optimization), where):
        say(f"{counted(warm_up, 'run')} to warm up, {repetitions} to measure")
        for i in range(warm_up + repetitions):
            if i == warm_up:
                begun, used = time.perf_counter(), time.process_time()
            if len(latency) >= warm_up + FEWEST and time.monotonic() > deadline:
                break
            # In turns, so that what else the machine does disturbs both.
            run_session(session, feed, where)
            started = time.perf_counter()
            run_session(plain, feed, where)
            latency.append(time.perf_counter() - started)
        elapsed = time.perf_counter() - begun
        share = (time.process_time() - used) / elapsed if elapsed > SEEN_SECONDS else 1.0
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return _Runs(latency=latency[warm_up:], events=events, core_share=min(1.0, share))


def _opened(model: Runnable, feed: Feed, optimization: Optimization) -> Callable[[], object]:
    """Return what runs a model once, for a neighbour."""
    return partial(run_session, open_session(model, optimization=optimization), feed, str(model.path))


def _warnings(runs: _Runs, latency: tuple[float, float, float], explained: float) -> list[str]:
    """Return what speaks against trusting the times."""
    middle = latency[1]
    found = disturbed(latency, "an inference")
    if runs.core_share < SHARE:
        found.append(
            f"do not trust this: the model had {runs.core_share:.0%} of a core, other programs had the rest; "
            "profile again when they are done"
        )
    if explained < (1 - UNEXPLAINED) * middle:
        found.append(
            f"do not trust this: operators and what lies between them explain {1e3 * explained:.4g} ms of the "
            f"{1e3 * middle:.4g} ms of an inference; the least disturbed one took {1e3 * min(runs.latency):.4g} ms, so "
            "that the rest went to other programs. The nodes' times are those of undisturbed operators"
        )
    return found


def _operator_rows(
    rewritten: onnx.GraphProto, times: OperatorTimes, members: Sequence[Sequence[int]], graph: ModelGraph
) -> tuple[dict[str, Any], ...]:
    rows = []
    for node, seconds, group in zip(rewritten.node, times.samples, members, strict=True):
        quartiles = [round(float(v), 9) for v in np.quantile(seconds, (0.25, 0.5, 0.75))]
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
