"""`solve` and `solve_many`, as a program calls them: any graph, settings that travel whole, progress if wanted."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from framework.api.inputs import GraphLike, complete_settings, refuse_entries_of_script, take_graph
from framework.api.progress import ProgressLike, watch_for
from framework.errors import UserError
from framework.input_files import reading_deadline
from framework.model.graph import ModelGraph
from framework.model.instance import MAX_STAGES
from framework.model.pricing import quantise
from framework.portfolio.constraints import Constraints
from framework.portfolio.reading import HoldsPartition
from framework.portfolio.result import Result
from framework.portfolio.settings import Session, Settings
from framework.portfolio.solve import check_entries
from framework.portfolio.solve import solve as run_portfolio
from framework.signals import Interrupt


def solve(
    graph: GraphLike,
    stages: int,
    *,
    settings: Settings | None = None,
    constraints: Constraints | None = None,
    start: Result | str | None = None,
    progress: ProgressLike = False,
) -> Result:
    """Prove a dual bound of a graph, and find a partition.

    Ctrl-C ends the run, and returns what is proved and found by then.

    Parameters
    ----------
    graph
        A `ModelGraph`; the path of a graph file, or ``testbed:NAME``; a ``networkx.DiGraph`` (see `from_networkx`); a
        torch module or ``ExportedProgram`` that needs no example inputs (see `from_torch`).
    stages
        Number of stages k, at least 1.
    settings
        How, and for how long; `Settings` says what holds by default. Without a device, a graph of FLOPs and bytes is
        priced by the measured bandwidth of its profile, or by the device ``reference``.
    constraints
        What is fixed beforehand.
    start
        An earlier result whose partition to start from; ``"testbed-record"`` is the best known one of a graph of the
        testbed.
    progress
        True shows the run while it lasts; a function is called with a `Progress` after every report.

    Raises
    ------
    UserError
        For anything the caller can mend.
    """
    settings, constraints = settings or Settings(), constraints or Constraints()
    check_stages([stages])
    return next(_solve_each(graph, [stages], settings, constraints, start, progress, Interrupt()))


def solve_many(
    graphs: Iterable[GraphLike],
    stages: int | Sequence[int],
    *,
    settings: Settings | None = None,
    constraints: Constraints | None = None,
    progress: ProgressLike = False,
) -> Iterator[tuple[GraphLike, Result | UserError]]:
    """Solve several graphs, one after the other, in processes that are kept from one to the next.

    Yields each graph with its result as soon as that is there. A graph that cannot be read or solved is yielded with
    the error, and the others go on. Ctrl-C ends the run at hand, whose result is the last.

    Parameters
    ----------
    graphs
        As for `solve`.
    stages
        Number of stages, or several: then there is a result for each.
    settings, constraints, progress
        As for `solve`; the budget is that of each run.

    Raises
    ------
    UserError
        For what is wrong whatever the graph.
    """
    settings, constraints = settings or Settings(), constraints or Constraints()
    numbers = [stages] if isinstance(stages, int) else list(stages)
    check_stages(numbers)
    check_entries([settings.entry], numbers, settings.plugin_files)
    return _solve_all(graphs, numbers, settings, constraints, progress)


def _solve_all(
    graphs: Iterable[GraphLike],
    stages: list[int],
    settings: Settings,
    constraints: Constraints,
    progress: ProgressLike,
) -> Iterator[tuple[GraphLike, Result | UserError]]:
    interrupt = Interrupt()
    for graph in graphs:
        try:
            for result in _solve_each(graph, stages, settings, constraints, None, progress, interrupt):
                yield graph, result
                if interrupt.happened:
                    return
        except UserError as error:
            yield graph, error


def _solve_each(
    graph: GraphLike,
    stages: list[int],
    settings: Settings,
    constraints: Constraints,
    start: HoldsPartition | str | None,
    progress: ProgressLike,
    interrupt: Interrupt,
) -> Iterator[Result]:
    """Yield the result of a graph for each number of stages; the first run pays for reading the graph."""
    started = time.monotonic()
    model, source = take_graph(graph, reading_deadline(started, settings.budget))
    settings = complete_settings(settings, model, source)
    check_entries([settings.entry], stages, settings.plugin_files)
    refuse_entries_of_script(settings.entry)
    priced = quantise(model, settings.device)
    for k in stages:
        first = _partition_of(start, model, k) if isinstance(start, str) else start
        with watch_for(progress, settings.budget, priced.rounding)(model.name, k) as watcher:
            session = Session(
                started=started,
                graph_input=source,
                priced=priced,
                on_change=watcher,
                on_compile=watcher.on_compile,
                interrupt=interrupt,
            )
            result = run_portfolio(model, k, settings=settings, constraints=constraints, start=first, session=session)
        yield result
        started = time.monotonic()


def _partition_of(start: str, graph: ModelGraph, stages: int) -> HoldsPartition:
    from framework.records.start import TESTBED_RECORD, recorded_partition

    if start != TESTBED_RECORD:
        raise UserError(f"`start` is {start!r}", hint=f"give a Result, read_result(path), or {TESTBED_RECORD!r}")
    return recorded_partition(graph, stages)


def check_stages(stages: list[int]) -> None:
    """Refuse numbers of stages that are none.

    Raises
    ------
    UserError
        For the first one.
    """
    if not stages:
        raise UserError("`stages` is empty", hint="name at least one number of stages")
    for k in stages:
        if type(k) is not int or not 1 <= k <= MAX_STAGES:
            raise UserError(f"{k!r} is no number of stages", hint=f"give integers from 1 to {MAX_STAGES} for `stages`")
