"""`solve`: from a graph and a number of stages to a verified result, in one call."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any

from framework.bounds import Reason, Termination
from framework.contracts import Feature
from framework.errors import UserError
from framework.model.device import Device
from framework.model.graph import ModelGraph
from framework.model.pricing import price
from framework.model.problem import Problem
from framework.portfolio.board import Board
from framework.portfolio.constraints import Constraints, constrain, starting_partition, why_infeasible
from framework.portfolio.members import Member, Portfolio
from framework.portfolio.result import GraphInput, Result, build_result
from framework.portfolio.runner import MemberReport, Runner, RunOptions
from framework.registry import EntrySpec, Kind, load_plugin_file, load_plugins, registry


@dataclass(slots=True)
class Interrupt:
    """Whether the user asked the run to end (Ctrl-C or SIGTERM)."""

    happened: bool = field(default=False)

    @contextmanager
    def watch(self) -> Iterator[Interrupt]:
        """Note the signals instead of raising; in any thread but the main one signals stay as they are."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return

        def note(signum: int, frame: FrameType | None) -> None:
            self.happened = True

        before: dict[int, Any] = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def solve(
    graph: ModelGraph,
    stages: int,
    *,
    device: Device | None = None,
    entry: str = "default",
    budget: float = 30.0,
    gap: float = 0.0,
    seed: int = 0,
    workers: int | None = None,
    memory_bytes: int | None = None,
    presolve: bool = True,
    constraints: Constraints | None = None,
    start: Result | None = None,
    plugin_files: tuple[str, ...] = (),
    started: float | None = None,
    graph_input: GraphInput | None = None,
    on_change: Callable[[Board, str, str], None] = lambda board, label, words: None,
    interrupt: Interrupt | None = None,
) -> Result:
    """Bound and partition a graph.

    Parameters
    ----------
    graph, device
        What to split, and what prices it (None for graphs that carry their prices).
    stages
        Number of stages k, at least 1.
    entry
        A registered portfolio, formulation or strategy, as ``name:param=value``.
    budget
        Seconds for everything, from `started` on.
    gap
        Relative gap at which to stop.
    workers
        Processes at a time; the number of cores by default.
    memory_bytes
        Limit of each member.
    presolve
        Whether to apply exact reductions first.
    constraints
        What is fixed beforehand.
    start
        An earlier result whose partition to start from.
    started
        Beginning of the run on the clock of `time.monotonic`; now by default.
    on_change
        Called with the board, who spoke, and their words after every report.

    Raises
    ------
    UserError
        For anything the caller can mend.
    """
    started = time.monotonic() if started is None else started
    load_plugins()
    for path in plugin_files:
        load_plugin_file(path)
    options = RunOptions(
        started=started,
        budget=budget,
        gap=gap,
        seed=seed,
        memory_bytes=memory_bytes,
        presolve=presolve,
        plugin_files=plugin_files,
        **({} if workers is None else {"workers": workers}),
    )
    constraints = constraints or Constraints()
    problem = Problem(instance=constrain(price(graph, device), graph, constraints, stages), stages=stages)
    first = None if start is None else starting_partition(problem, graph, start)
    members, skipped = _able(portfolio_members(entry, problem, options.workers), problem)
    if not members:
        raise UserError(
            f"{entry} keeps to no pins and no memory limit", mend="see the feature `limits` in pipebound list"
        )
    with (interrupt or Interrupt()).watch() as watched:
        runner = Runner(
            problem, members, options, start=first, on_change=on_change, interrupted=lambda: watched.happened
        )
        record = runner.run()
    if record.termination.reason is Reason.INFEASIBLE and (why := why_infeasible(graph, constraints, stages)):
        record = replace(record, termination=Termination(reason=Reason.INFEASIBLE, detail=why))
    record = replace(record, members=record.members + skipped)
    return build_result(
        graph=graph,
        graph_input=graph_input,
        device=device,
        board=runner.board,
        record=record,
        options=options,
        portfolio=entry,
        constraints=constraints.as_dict() if constraints else None,
    )


def _able(members: tuple[Member, ...], problem: Problem) -> tuple[tuple[Member, ...], tuple[MemberReport, ...]]:
    """Return the members to run, and reports of those that could only find partitions which break a hard limit."""
    if problem.instance.stage_limit is None:
        return members, ()
    able: list[Member] = []
    skipped: list[MemberReport] = []
    for member in members:
        entry = registry.get(EntrySpec.parse(member.entry).name)
        if entry.supports(Feature.LIMITS) or entry.supports(Feature.DUAL):
            able.append(member)
            continue
        why = Termination(
            reason=Reason.UNSUPPORTED, detail="skipped: it proves no bounds, and keeps to no pins and no memory limit"
        )
        skipped.append(
            MemberReport(
                name=member.label, entry=member.entry, seconds=0.0, termination=why, details={}, peak_bytes=None
            )
        )
    return tuple(able), tuple(skipped)


def portfolio_members(entry: str, problem: Problem, workers: int) -> tuple[Member, ...]:
    """Return the members of a portfolio, or the one member that a formulation or strategy is.

    Every member's entry is created once here, so that a mistake in a name or a parameter shows at once.
    """
    spec = EntrySpec.parse(entry)
    if registry.get(spec.name).kind is not Kind.PORTFOLIO:
        registry.create(spec)
        return (Member(entry=entry),)
    portfolio: Portfolio = registry.create(spec)
    members = portfolio.members(problem, workers)
    for member in members:
        registry.create(member.entry)
    return members
