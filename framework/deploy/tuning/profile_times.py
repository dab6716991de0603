"""From the events of onnxruntime's profiler to seconds of operators that agree with an unprofiled inference.

The profiler writes an event for every operator, those inside the bodies of If, Loop and Scan included, and writing it
takes longer than a small operator. For an operator of the main graph that lies outside its own time. For a body it lies
inside the time of the node that holds it: a Loop of 200 steps with ten operators each may seem 25 times as slow as it
is. So the number of events inside each node with a body is counted, and what the operators add up to beyond an
inference without the profiler is taken off in proportion to it. What is still too much (the profiled runs were slower
for another reason) is scaled down evenly.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from framework.formats.onnx.wiring import subgraphs
from framework.model.graph import FloatArray

NOTED = 0.9
"""A scaling below this is worth a remark."""

_KERNEL = "_kernel_time"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OperatorTimes:
    """Times of the operators of a rewritten graph.

    Attributes
    ----------
    samples
        ``[operators, repetitions]`` seconds, corrected; an operator that did not run (another branch) has zeros.
    between
        Seconds of an inference between its operators.
    remarks
        What was done to the times.
    """

    samples: FloatArray
    between: float
    remarks: tuple[str, ...]

    @property
    def medians(self) -> FloatArray:
        """``[operators]`` median seconds."""
        return np.asarray(np.median(self.samples, axis=1), np.float64)


def operator_times(
    rewritten: onnx.GraphProto, events: Sequence[Mapping[str, Any]], latency: Sequence[float]
) -> OperatorTimes:
    """Return times whose medians, with what lies between operators, add up to no more than the median latency.

    Parameters
    ----------
    rewritten
        The graph that ran.
    events
        What the profiler wrote.
    latency
        Seconds of inferences without the profiler, as many as there are profiled ones to use: the last.
    """
    samples, inside = _samples(rewritten, events, len(latency))
    middle = float(np.median(latency))
    between, remarks = 0.0, []
    events_inside = np.median(inside, axis=1)
    excess = float(np.median(samples, axis=1).sum()) - middle
    if excess > 0 and events_inside.any():
        each = excess / float(events_inside.sum())
        samples = np.maximum(0.0, samples - each * inside)
        # What lies between operators cannot be told from what the profiler adds, and stays with the bodies.
        remarks.append(
            f"the profiler slowed the nodes with bodies down: {1e6 * each:.3g} us were taken off for each of the "
            f"{events_inside.sum():.0f} operators that run inside them"
        )
    else:
        between = max(0.0, min(latency) - float(samples.sum(axis=0).min()))
    total = float(np.median(samples, axis=1).sum()) + between
    factor = min(1.0, middle / total) if total else 1.0
    if factor < NOTED:
        remarks.append(
            f"operators took {1e3 * total:.4g} ms with the profiler, an inference {1e3 * middle:.4g} ms without: all "
            f"times were scaled by {factor:.2f}"
        )
    return OperatorTimes(samples=factor * samples, between=factor * between, remarks=tuple(remarks))


def _samples(
    rewritten: onnx.GraphProto, events: Sequence[Mapping[str, Any]], repetitions: int
) -> tuple[FloatArray, FloatArray]:
    """Return ``[operators, repetitions]`` seconds, and the number of events inside each."""
    names = {node.name for node in rewritten.node}
    holders = {node.name for node in rewritten.node if subgraphs(node)}
    kernels = [
        (str(event["name"]).removesuffix(_KERNEL), float(event["ts"]), float(event["dur"]), event["args"])
        for event in events
        if event.get("cat") == "Node" and str(event.get("name", "")).endswith(_KERNEL)
    ]
    # Runs are one after the other on one thread: what holds bodies never overlaps, but for holders inside of them.
    spans: list[tuple[float, float]] = []
    for begin, end in sorted((ts, ts + dur) for name, ts, dur, _ in kernels if name in holders):
        if not spans or end > spans[-1][1]:
            spans.append((begin, end))
    starts = [begin for begin, _ in spans]
    counts = [0] * len(spans)
    durations: dict[str, dict[int, list[tuple[float, int]]]] = {name: {} for name in names}
    outer = []
    for name, ts, dur, arguments in kernels:
        span = bisect_right(starts, ts) - 1
        within = span >= 0 and ts < spans[span][1] and ts + dur <= spans[span][1]
        if within and (name not in holders or (ts, ts + dur) != spans[span]):
            counts[span] += 1
        elif name in names:
            outer.append((name, ts, dur, arguments))
    for name, ts, dur, arguments in outer:
        span = bisect_right(starts, ts) - 1
        count = counts[span] if name in holders and span >= 0 else 0
        durations[name].setdefault(int(arguments["node_index"]), []).append((dur * 1e-6, count))
    # Rewriting may give two nodes one name; their numbers, at least, are in the order of the graph.
    left = {name: [held[number] for number in sorted(held)] for name, held in durations.items()}
    rows = [left[node.name].pop(0) if left[node.name] else [] for node in rewritten.node]
    padded = [([(0.0, 0)] * repetitions + values)[-repetitions:] for values in rows]
    both = np.array(padded, np.float64).reshape(len(rewritten.node), repetitions, 2)
    return both[:, :, 0], both[:, :, 1]
