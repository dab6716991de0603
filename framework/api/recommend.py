"""`recommend`: solve a graph for several numbers of stages, and say how many are worth having."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from framework.api.inputs import GraphLike, complete_settings, refuse_entries_of_script, take_graph
from framework.api.progress import ProgressLike, watch_for
from framework.api.solve import check_stages
from framework.bounds import SIMPLE
from framework.deploy.tuning.arrangements import Arrangements, choices_of, search
from framework.deploy.tuning.recommend import Bound, Recommendation
from framework.deploy.tuning.recommend import recommend as make_table
from framework.errors import UserError
from framework.input_files import reading_deadline
from framework.model.device_chain import DeviceChain
from framework.model.graph import ModelGraph
from framework.model.pricing import quantise
from framework.portfolio.constraints import Constraints
from framework.portfolio.result import Result
from framework.portfolio.settings import Session, Settings, Watch
from framework.portfolio.solve import Run, check_runs, solve
from framework.report.tables import verdict
from framework.signals import Interrupt
from framework.wording import counted

_BASE = 0
"""Key of the run that speed-ups are over, below all numbers of stages."""


def recommend(
    graph: GraphLike,
    stages: Iterable[int] = range(1, 9),
    *,
    settings: Settings | None = None,
    constraints: Constraints | None = None,
    any_order: bool = False,
    progress: ProgressLike = False,
) -> Recommendation:
    """Say how the bottleneck falls with the number of stages, where that stops paying, and whether to optimise on.

    Ctrl-C ends it; it recommends from the numbers of stages solved by then.

    Parameters
    ----------
    graph
        As for `solve`, best a profile of a model.
    stages
        Numbers of stages. Those without a partition, and those that have not the stage of a pin, are left out.
    settings
        For each number of stages.
    constraints
        What is fixed beforehand. With a memory limit or pins, speed-ups are over one stage that is free of both.
    any_order
        Where the device of the settings is a chain of different ones, a number of stages stands for all ways to use so
        many of them: in their order, or in any.
    progress
        As for `solve`.

    Raises
    ------
    UserError
        For anything the caller can mend, and where no number of stages has a partition.
    """
    started = time.monotonic()
    settings, constraints = settings or Settings(), constraints or Constraints()
    numbers = sorted(set(stages))
    check_stages(numbers)
    model, source = take_graph(graph, reading_deadline(started, settings.budget))
    settings = complete_settings(settings, model, source)
    watch = watch_for(progress, settings.budget, quantise(model, settings.device).rounding)
    with Interrupt().watch(from_begin=True) as interrupt:
        found = survey(
            model,
            numbers,
            settings=settings,
            constraints=constraints,
            session=Session(graph_input=source, interrupt=interrupt),
            watch=watch,
            any_order=any_order,
        )
    if found.answer is None:
        raise UserError("no number of stages has a partition", hint=" ".join(found.left_out.values()))
    return found.answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """Results for several numbers of stages.

    Attributes
    ----------
    answer
        What they recommend; None where none of them has a partition.
    left_out
        Why some numbers of stages are not part of it, by number.
    contradicted
        Whether a dual bound stands above a verified partition: a bug.
    """

    answer: Recommendation | None
    left_out: Mapping[int, str]
    contradicted: bool


def survey(
    graph: ModelGraph,
    numbers: Sequence[int],
    *,
    settings: Settings,
    constraints: Constraints,
    session: Session,
    watch: Watch,
    any_order: bool = False,
) -> Survey:
    """Solve a graph for several numbers of stages, ascending, and make a recommendation of the results.

    Where the device is a chain of different ones, a number of stages stands for all ways to use so many of them.

    Parameters
    ----------
    any_order
        Whether the devices of a chain may be used in any order.
    session
        Of every run; its interrupt ends the one under way and leaves out the others.

    Raises
    ------
    UserError
        For anything the caller can mend, before the first run.
    """
    if isinstance(settings.device, DeviceChain):
        return _survey_devices(graph, numbers, settings.device, settings, constraints, session, watch, any_order)
    able, left_out = _without_pinned_stage(numbers, constraints.pins)
    # What speed-ups are over; nothing is open about one stage.
    free = replace(constraints, pins=(), memory_limit=None)
    runs = {_BASE: Run(stages=1, entry=SIMPLE, constraints=free)} if free != constraints else {}
    runs |= {k: Run(stages=k, entry=settings.entry, constraints=constraints) for k in (able if runs else {1, *able})}
    session = replace(session, priced=check_runs(graph, runs.values(), settings=settings))
    refuse_entries_of_script(settings.entry)
    results: dict[int, Result] = {}
    for key in sorted(runs):
        run = runs[key]
        with watch(graph.name, run.stages) as watcher:
            results[key] = solve(
                graph,
                run.stages,
                settings=replace(settings, entry=run.entry),
                constraints=run.constraints,
                session=replace(session, on_change=watcher, on_compile=watcher.on_compile),
            )
        if session.interrupt.happened:
            break
    solved = [results[k] for k in able if k in results]
    wanted = [result for result in solved if result.incumbent_ticks is not None]
    left_out |= {result.stages: verdict(result) for result in solved if result.incumbent_ticks is None}
    return Survey(
        answer=make_table(wanted, results[min(results)], left_out) if wanted else None,
        left_out=left_out,
        contradicted=any(result.contradictions for result in results.values()),
    )


def _survey_devices(
    graph: ModelGraph,
    numbers: Sequence[int],
    chain: DeviceChain,
    settings: Settings,
    constraints: Constraints,
    session: Session,
    watch: Watch,
    any_order: bool,
) -> Survey:
    """Solve a graph on every choice of so many devices of a chain, for each number."""
    able, left_out = _without_pinned_stage([k for k in numbers if k <= len(chain.devices)], constraints.pins)
    refuse_entries_of_script(settings.entry)
    free = replace(constraints, pins=(), memory_limit=None)
    found: dict[int, Arrangements] = {}
    for k in [_BASE, *able] if free != constraints or 1 not in able else able:
        found[k] = search(
            graph,
            choices_of(chain.devices, max(1, k), any_order=any_order),
            settings=replace(settings, entry=SIMPLE if k == _BASE else settings.entry),
            constraints=free if k == _BASE else constraints,
            session=replace(session, started=None),
            watch=watch,
        )
        if session.interrupt.happened:
            break
    single = found[min(found)].best
    best = {k: found[k].best for k in able if k in found}
    wanted = [result for result in best.values() if result is not None]
    left_out |= {k: f"No partition was found for {counted(k, 'device')}." for k in best if best[k] is None}
    lowest = {k: Bound(in_ticks=found[k].lowest.in_ticks, in_unit=found[k].lowest.bound) for k in best}
    return Survey(
        answer=make_table(wanted, single, left_out, lowest) if wanted and single is not None else None,
        left_out=left_out,
        contradicted=any(one.contradicted for one in found.values()),
    )


def _without_pinned_stage(
    numbers: Sequence[int], pins: tuple[tuple[str, int], ...]
) -> tuple[list[int], dict[int, str]]:
    """Return the numbers of stages that have the stage of every pin, and why the others are left out."""
    name, last = max(pins, key=lambda pair: pair[1], default=("", 0))
    able = [k for k in numbers if k > last]
    if not able:
        raise UserError(
            f"node {name!r} is pinned to stage {last}, and `stages` ends at {numbers[-1]}",
            hint=f"stages are counted from 0: give at least {counted(last + 1, 'stage')}",
        )
    return able, {k: f"Left out k = {k}: node {name!r} is pinned to stage {last}." for k in numbers if k <= last}
