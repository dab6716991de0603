"""`profile` of exported programs: seconds of every node on this machine, one call at a time, on one thread.

A node's time is the median of its repetitions. Views and constants are free: they are computed with the tensors that
they show, or once and for all. What the whole program takes beyond the sum of its nodes (the Python between them, and
the views) is shared out evenly among the nodes that compute something; if the sum is larger, all are scaled down. If
sum and whole differ by more than `AGREES`, a warning says so.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from framework.deploy.measurement import FEWEST, Measurement, check_repetitions, disturbed, fewer_repetitions
from framework.deploy.neighbours import busy_neighbours
from framework.deploy.torch.folding import fold
from framework.deploy.torch.link import Link, measure_link
from framework.deploy.torch.model import TorchModel, open_torch_model
from framework.deploy.torch.timers import CLOCKS, ForwardTimer, TrainingTimer, run_backward
from framework.errors import UserError
from framework.formats.torch.export.files import quietly
from framework.formats.torch.export.graph import costs_of_calls
from framework.model.device import Device
from framework.model.graph import FloatArray, ModelGraph, PhysicalCosts
from framework.registry import load_plugin_file, loaded_files
from framework.wording import counted

AGREES = 0.1
"""The nodes' times and that of the whole program may differ by this share of the latter."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TorchProfile(Measurement):
    """What was measured of a program; `overhead` may be less than nothing, and operators are nodes that compute.

    The graph has `backward_seconds` if gradients were measured.

    Attributes
    ----------
    link
        What handing a tensor over to another process takes.
    clock, backward
        What seconds are (`CLOCKS`), and whether gradients are part of them.
    neighbours
        Processes that ran the same program meanwhile.
    dims
        Sizes of open dimensions that are not those of the example inputs.
    """

    link: Link
    clock: str
    backward: bool
    neighbours: int
    dims: Mapping[str, int]

    @property
    def link_bandwidth(self) -> float:
        """Bytes per second between stages."""
        return self.link.bandwidth

    @property
    def link_latency(self) -> float:
        """Seconds of each tensor between stages beside its bytes."""
        return self.link.latency

    @property
    def device(self) -> Device:
        """What prices the graph: it hands tensors over as this machine does."""
        return Device(
            name="measured",
            link_bandwidth=self.link.bandwidth,
            link_latency=self.link.latency,
            source="what `pipebound profile` measured",
        )

    def note(self) -> dict[str, Any]:
        """Return what a graph file should keep of how it was measured."""
        return {
            "runtime": "torch",
            "torch": torch.__version__,
            "dims": dict(self.dims),
            "clock": self.clock,
            "backward": self.backward,
            "neighbours": self.neighbours,
            "link_bandwidth": self.link.bandwidth,
            "link_latency": self.link.latency,
            **Measurement.note(self),
        }


def profile_program(
    model: TorchModel,
    *,
    warm_up: int = 3,
    repetitions: int = 20,
    neighbours: int = 0,
    clock: str = "cpu",
    backward: bool = False,
    kv_tokens: int = 0,
    budget: float = math.inf,
    link: Link | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> TorchProfile:
    """Measure a program with its example inputs, on one thread.

    Parameters
    ----------
    warm_up, repetitions
        Runs that are not, and that are measured.
    neighbours
        Processes that run the same program meanwhile; one less than the stages is what a pipeline will see. Where there
        are fewer cores they share them, which only the clock ``cpu`` can bear.
    clock
        ``cpu`` for the seconds that the thread had of a core, which other programs disturb least; ``wall`` for those
        that passed.
    backward
        Whether to measure gradients too.
    kv_tokens
        Tokens whose keys and values attention keeps as state; 0 for none.
    budget
        Seconds for the whole; there are fewer repetitions where it is short, at least `FEWEST`.
    link
        What handing tensors over takes, where that is known.

    Raises
    ------
    UserError
        If the program has no weights, a call fails, or neighbours do not start.
    """
    check_repetitions(repetitions, warm_up)
    if clock not in CLOCKS:
        raise UserError(f"there is no clock {clock!r}", hint=f"choose one of {', '.join(CLOCKS)}")
    deadline = time.monotonic() + budget
    arguments = model.feed()
    graph = model.read_graph(model.dims, kv_tokens=kv_tokens)
    how = _How(warm_up=warm_up, repetitions=repetitions, clock=clock, backward=backward, deadline=deadline)
    with _neighbours(model, neighbours, how):
        runs = _measure(model, arguments, how, say)
    say("measuring how tensors are handed over")
    costs = graph.costs
    assert isinstance(costs, PhysicalCosts)
    # Forward and backward passes, one after the other: the second half is empty where there are only forward ones.
    medians = np.median(np.concatenate((runs.nodes, runs.backward)), axis=1)
    low, middle, high = (float(v) for v in np.quantile(runs.whole, (0.25, 0.5, 0.75)))
    kernels, n = float(medians.sum()), len(runs.nodes)
    computing = [*runs.computing, *(n + node for node in runs.computing if len(medians) > n and medians[n + node] > 0)]
    seconds = _shared_out(medians, computing, middle)
    measured = replace(costs, seconds=seconds[:n], backward_seconds=seconds[n:])
    return TorchProfile(
        graph=replace(graph, costs=measured),
        latency=(low, middle, high),
        kernels=kernels,
        overhead=middle - kernels,
        operators=_rows(graph, runs),
        link=measure_link(clock) if link is None else link,
        repetitions=len(runs.whole),
        warm_up=warm_up,
        clock=clock,
        backward=backward,
        neighbours=neighbours,
        dims=dict(model.dims),
        remarks=tuple(fewer_repetitions(len(runs.whole), repetitions, budget)),
        warnings=tuple(_warnings((low, middle, high), kernels)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _How:
    """How a program is measured: `deadline` is on the clock of `time.monotonic`."""

    warm_up: int
    repetitions: int
    clock: str
    backward: bool
    deadline: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Runs:
    """Seconds of the nodes forwards, and backwards if that was measured, ``[n, repetitions]``, and of the whole.

    `computing` are the nodes that compute something.
    """

    nodes: FloatArray
    backward: FloatArray
    whole: list[float]
    computing: list[int]


@contextmanager
def _neighbours(model: TorchModel, count: int, how: _How) -> Iterator[None]:
    """Keep so many processes busy with a program, which they load from a copy: it may be in no file."""
    with tempfile.TemporaryDirectory(prefix="pipebound-") as folder:
        path = Path(folder) / model.path.name
        if count:
            with quietly():
                torch.export.save(model.program.exported, path)
        load = partial(_loaded, path, dict(model.dims), how.backward, loaded_files())
        with busy_neighbours(count, load, str(model.path), share_cores=how.clock == "cpu"):
            yield


def _loaded(path: Path, dims: Mapping[str, int], backward: bool, plugin_files: Sequence[str]) -> Callable[[], object]:
    """Return what runs a program once on one thread, for a neighbour; plugins may bring its operators."""
    torch.set_num_threads(1)
    for file in plugin_files:
        load_plugin_file(file)
    model = open_torch_model(path, dims)
    return partial(_run_whole, fold(model.program.module).module, model.feed(), backward)


def _run_whole(module: torch.fx.GraphModule, arguments: list[Any], backward: bool) -> None:
    if backward:
        run_backward(module, arguments)
    else:
        with torch.no_grad():
            module(*arguments)


def _measure(model: TorchModel, arguments: list[Any], how: _How, say: Callable[[str], None]) -> _Runs:
    program = model.program
    with quietly():
        costs, _ = costs_of_calls(program)
    folded = fold(program.module)
    nodes = {folded.calls[call]: node for call, node in program.node_of.items() if not costs[call].is_view}
    now, warm_up = CLOCKS[how.clock], how.warm_up
    timer = (TrainingTimer if how.backward else ForwardTimer)(folded.module, set(nodes), now)
    whole: list[float] = []
    say(f"{counted(warm_up, 'run')} to warm up, {how.repetitions} to measure")
    with one_thread(), quietly():
        for i in range(warm_up + how.repetitions):
            if i >= warm_up + FEWEST and time.monotonic() > how.deadline:
                break
            try:
                timer.run_once(arguments)
                begun = now()
                _run_whole(folded.module, arguments, how.backward)
                whole.append(now() - begun)
            except Exception as error:  # whatever an operator raises
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise UserError(f"the program does not run: {reason}", where=str(model.path)) from error
    samples = np.zeros((2 if how.backward else 1, len(program.roots), len(whole) - warm_up))
    for call, node in nodes.items():
        for half, times in zip(samples, (timer.seconds, timer.backward), strict=False):
            half[node] += np.array(times[call][warm_up:])
    return _Runs(
        nodes=samples[0],
        backward=samples[1] if how.backward else samples[0][:0],
        whole=whole[warm_up:],
        computing=sorted(set(nodes.values())),
    )


def _shared_out(medians: FloatArray, computing: Sequence[int], whole: float) -> FloatArray:
    total = float(medians.sum())
    if total > whole:
        return np.asarray(medians * (whole / total), np.float64)
    seconds = medians.copy()
    seconds[list(computing)] += (whole - total) / max(1, len(computing))
    return seconds


def _rows(graph: ModelGraph, runs: _Runs) -> tuple[dict[str, Any], ...]:
    rows = []
    for node in runs.computing:
        name = graph.node_names[node]
        samples = runs.nodes[node] + (runs.backward[node] if len(runs.backward) else 0.0)
        quartiles = [round(float(v), 9) for v in np.quantile(samples, (0.25, 0.5, 0.75))]
        rows.append({"name": name, "op": graph.ops[node], "quartiles": quartiles, "nodes": [name]})
    return tuple(rows)


def _warnings(latency: tuple[float, float, float], kernels: float) -> list[str]:
    middle = latency[1]
    found = disturbed(latency, "the whole program")
    if abs(kernels - middle) > AGREES * middle:
        found.append(
            f"the nodes add up to {1e3 * kernels:.4g} ms, and the whole program takes {1e3 * middle:.4g} ms: the "
            "difference was shared out among the nodes"
        )
    return found


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread, as a stage does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
