"""Replaying a log: the graph is priced again, every step is made again, and what comes out is said in words."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from framework.errors import UserError
from framework.model.graph import ModelGraph
from framework.model.pricing import quantise
from framework.proof.cores.fixing import filtered, fixing
from framework.proof.cores.program import core_program
from framework.proof.given import constrained
from framework.proof.ideals import ideal_program
from framework.proof.log import REDUCTIONS, OtherVersionError, ProofLog, Step
from framework.proof.lp import lp_dual
from framework.proof.nested import nested_cuts
from framework.proof.problem import PlainProblem, RefusedError, plain_problem
from framework.proof.reductions import anchor, charge, contract, hold, merge, narrow, uniform
from framework.proof.spreading import spreading_metric
from framework.proof.stages import anchored_cut, counting_shares, stage_prices, threshold_contract, windows
from framework.proof.sums import packing, simple, tensor_count


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing that was done: what, what came out, and how long it took."""

    what: str
    found: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What became of a log.

    Attributes
    ----------
    rows
        What was done, in its order.
    proven
        The bound that the steps prove, in ticks; None if one of them fails.
    bottleneck
        What the partition of the log costs, in ticks; None without one.
    fault
        Why the log does not show what it says; empty if it does.
    """

    rows: tuple[Row, ...]
    proven: int | None
    bottleneck: int | None = None
    fault: str = ""

    @property
    def optimal(self) -> bool:
        """Whether the partition of the log is proven optimal."""
        return not self.fault and self.bottleneck is not None and self.proven == self.bottleneck

    def lines(self) -> list[str]:
        """Return a line for each thing that was done, and the verdict."""
        wide = max((len(row.what) for row in self.rows), default=0)
        said = [f"{row.what:<{wide}}  {row.seconds:8.2f} s  {row.found}" for row in self.rows]
        return [*said, self._verdict()]

    def _verdict(self) -> str:
        """Return in one sentence what the log shows."""
        if self.fault:
            return f"The proof does not hold: {self.fault}."
        if self.optimal:
            return f"The proof holds: the partition is optimal, at {self.proven} ticks."
        best = "" if self.bottleneck is None else f", and the partition costs {self.bottleneck}"
        return f"The proof holds: no partition costs less than {self.proven} ticks{best}."


def unproven(error: OtherVersionError) -> str:
    """Return in one sentence what a log of another version shows."""
    return f"Unproven, and not shown to be false: {error}."


def replay(log: ProofLog, graph: ModelGraph, *, plain: bool = False) -> Replay:
    """Check a log on its graph.

    Parameters
    ----------
    plain
        Whether to compile nothing.

    Raises
    ------
    UserError
        If the log is of another graph, or the device that it names cannot price the graph.
    """
    if not graph.is_called(log.graph):
        raise UserError("the proof is of another graph", where=graph.source, hint="its sha256 is not the one stated")
    watch, rows = _Watch(), list[Row]()
    try:
        problem, node_of = problem_of(log, graph)
        detail = f"{problem.n} nodes, {len(problem.tensors)} tensors, {log.stages} stages"
        rows.append(watch.row("read and price the graph", detail))
        bottleneck = None
        if log.stage_of is not None:
            bottleneck = problem.bottleneck(_stage_of_nodes(log.stage_of, node_of))
            rows.append(watch.row("price the partition", f"its most expensive stage costs {bottleneck} ticks"))
        proven = _follow(problem, log.steps, rows, watch, plain)
    except RefusedError as error:
        return Replay(rows=tuple(rows), proven=None, fault=str(error))
    fault = "" if proven >= log.bound else f"the steps prove {proven} ticks, and the log says {log.bound}"
    if bottleneck is not None and bottleneck < proven:
        fault = f"the partition costs {bottleneck} ticks, less than the bound of {proven}: a rule is wrong"
    return Replay(rows=tuple(rows), proven=proven, bottleneck=bottleneck, fault=fault)


def problem_of(log: ProofLog, graph: ModelGraph) -> tuple[PlainProblem, list[int]]:
    """Return the problem that a log is about, and the node of it that each node of the graph is.

    Raises
    ------
    UserError, RefusedError
        If device or constraints are not of such a graph; if no partition obeys them.
    """
    instance = quantise(graph, log.device).instance
    node_of = instance.node_of_input.tolist()
    problem = constrained(plain_problem(instance, log.stages), graph, node_of, log.given, log.device)
    return problem, [problem.node_of[v] for v in node_of]


def proven_by(problem: PlainProblem, steps: Sequence[Step], *, plain: bool = False) -> int:
    """Return the bound that steps prove, in ticks.

    Raises
    ------
    RefusedError
        If one of them does not hold.
    """
    return _follow(problem, steps, [], _Watch(), plain)


class _Watch:
    """Makes rows, each with the time since the last one."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def row(self, what: str, found: str) -> Row:
        now = time.perf_counter()
        self._last, seconds = now, now - self._last
        return Row(what=what, found=found, seconds=seconds)


def _follow(problem: PlainProblem, steps: Sequence[Step], rows: list[Row], watch: _Watch, plain: bool) -> int:
    # What a reduction keeps of partitions within a threshold proves nothing beyond. Of the given problem so many stages
    # are one of the present problem, whose costs are their sum at most.
    most, merged = math.inf, 1
    for number, step in enumerate(steps, 1):
        what = f"step {number}: {step.rule}"
        try:
            if step.rule in REDUCTIONS:
                problem = _reduced(problem, step, plain)
                if step.rule in ("threshold-contract", "filter"):
                    most = min(most, -(-(step.data["threshold"] + 1) // merged))
                elif step.rule == "merge":
                    merged *= step.data["factor"]
                rows.append(watch.row(what, f"{problem.n} nodes are left, {len(problem.tensors)} tensors"))
                continue
            bound, detail = _bound(problem, step, plain)
        except RefusedError as error:
            raise RefusedError(f"{what}: {error}") from error
        bound = int(min(-(-bound // merged), most))
        rows.append(watch.row(what, f"no partition costs less than {bound} ticks{detail and f' ({detail})'}"))
        return bound
    raise RefusedError("no step proves a bound")


def _reduced(problem: PlainProblem, step: Step, plain: bool = False) -> PlainProblem:
    data = step.data
    match step.rule:
        case "contract":
            return contract(problem, **data)
        case "charge":
            return charge(problem, **data)
        case "uniform":
            return uniform(problem)
        case "hold":
            return hold(problem, **data)
        case "anchor":
            return anchor(problem, **data)
        case "threshold-contract":
            return threshold_contract(problem, **data)
        case "filter":
            return filtered(problem, **data, plain=plain)
        case "merge":
            return merge(problem, **data)
        case _:
            return narrow(problem)


def _bound(problem: PlainProblem, step: Step, plain: bool) -> tuple[int, str]:
    data = step.data
    if step.rule not in ("ideal-program", "core-program", "fixing"):
        problem.check_alike()
    match step.rule:
        case "simple":
            return simple(problem), ""
        case "tensor-count":
            return tensor_count(problem), ""
        case "packing":
            return packing(problem, **data), ""
        case "windows":
            return windows(problem, **data), ""
        case "anchored-cut":
            return anchored_cut(problem, **data), ""
        case "stage-prices":
            return stage_prices(problem, **data)
        case "counting-shares":
            return counting_shares(problem, **data)
        case "spreading-metric":
            return spreading_metric(problem, **data)
        case "lp-dual":
            return lp_dual(problem, **data)
        case "nested-cuts":
            return nested_cuts(problem, **data)
        case "fixing":
            return fixing(problem, **data, plain=plain)
        case "core-program":
            return core_program(problem, **data, plain=plain)
        case _:
            return ideal_program(problem, **data, plain=plain)


def _stage_of_nodes(stage_of: Sequence[int], node_of_input: Sequence[int]) -> list[int]:
    """Return the stage of each node of the problem, given those of the nodes of the file."""
    if len(stage_of) != len(node_of_input):
        raise RefusedError("the partition is not of this graph")
    stages = dict(zip(node_of_input, stage_of, strict=True))
    if any(stages[node] != stage for stage, node in zip(stage_of, node_of_input, strict=True)):
        raise RefusedError("the partition separates nodes that must share a stage")
    return [stages[node] for node in range(len(stages))]
