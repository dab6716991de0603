"""`solve`: from a graph and a number of stages to a verified result, in one call."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from framework.bounds import Reason, Termination
from framework.contracts import Feature
from framework.errors import UserError
from framework.model.graph import ModelGraph
from framework.model.instance import instance_from_lists
from framework.model.pricing import WORST_ROUNDING, Quantised, check_rounding, quantise
from framework.model.problem import Partition, Problem, bottleneck, check_limit, stage_costs
from framework.portfolio.compilation import compile_for
from framework.portfolio.constraints import Constraints, constrain, obeyed, on_instance, why_infeasible
from framework.portfolio.members import Member, MemberReport, Portfolio
from framework.portfolio.portfolio_file import check_member, load_entries
from framework.portfolio.reading import HoldsPartition, stages_of
from framework.portfolio.result import Result, build_result
from framework.portfolio.runner import Runner
from framework.portfolio.settings import Session, Settings
from framework.registry import EntrySpec, Kind, registry, split_entries
from framework.structure.primal.initial_interval import balanced_partition, simple_bound
from framework.wording import counted


def solve(
    graph: ModelGraph,
    stages: int,
    *,
    settings: Settings | None = None,
    constraints: Constraints | None = None,
    start: HoldsPartition | None = None,
    session: Session | None = None,
) -> Result:
    """Bound and partition a graph.

    Parameters
    ----------
    graph
        What to split.
    stages
        Number of stages k, at least 1.
    settings
        How, and for how long; `Settings` says what holds by default.
    constraints
        What is fixed beforehand.
    start
        An earlier result, or a record, whose partition to start from.
    session
        What surrounds the run, for programs that watch it.

    Raises
    ------
    UserError
        For anything the caller can mend.
    """
    settings, session = settings or Settings(), session or Session()
    options = settings.options(time.monotonic() if session.started is None else session.started)
    options = replace(options, cutoff=session.cutoff)
    load_entries(settings.plugin_files)
    constraints = constraints or Constraints()
    priced = quantise(graph, settings.device) if session.priced is None else session.priced
    wanted = Run(stages=stages, entry=settings.entry, constraints=constraints, start=start)
    run = _prepare(wanted, graph, priced, options.workers)
    with session.interrupt.watch() as watched:
        runner = Runner(
            run.problem,
            run.members,
            options,
            start=run.start,
            on_change=session.on_change,
            interrupted=lambda: watched.happened,
            compile_for=compile_for(session.on_compile, unequal=run.problem.instance.unequal is not None),
        )
        record = runner.run()
        if record.termination.reason is Reason.INFEASIBLE:
            why = why_infeasible(graph, constraints, stages, settings.device)
            detail = f"no partition obeys {obeyed(constraints, settings.device)}" + (f": {why}" if why else "")
            record = replace(record, termination=Termination(reason=Reason.INFEASIBLE, detail=detail))
        record = replace(record, members=record.members + run.skipped)
        return build_result(
            graph=graph,
            graph_input=session.graph_input,
            device=settings.device,
            board=runner.board,
            rounding=priced.rounding,
            record=record,
            options=options,
            entry=settings.entry,
            constraints=constraints,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What tells the runs of one command on one graph apart."""

    stages: int
    entry: str = "default"
    constraints: Constraints = field(default_factory=Constraints)
    start: HoldsPartition | None = None


def check_runs(
    graph: ModelGraph,
    runs: Iterable[Run],
    *,
    settings: Settings,
) -> Quantised:
    """Refuse before the first run what `solve` would refuse at the last one; return the graph, priced, for `solve`.

    Entries are those of the runs, whatever the settings say.

    Raises
    ------
    UserError
        For anything the caller can mend.
    """
    load_entries(settings.plugin_files)
    priced = quantise(graph, settings.device)
    for run in runs:
        _prepare(run, graph, priced, settings.workers or 1)
    return priced


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    problem: Problem
    start: Partition | None
    members: tuple[Member, ...]
    skipped: tuple[MemberReport, ...]


def _prepare(run: Run, graph: ModelGraph, priced: Quantised, workers: int) -> _Prepared:
    problem = Problem(
        instance=constrain(priced.instance, graph, run.constraints, run.stages, priced.device), stages=run.stages
    )
    # Most of what would be refused at the end is refused here, before any budget is spent on it.
    unsure = priced.rounding.stage_ticks > WORST_ROUNDING * simple_bound(problem)
    if unsure and (value := bottleneck(problem, balanced_partition(problem))):
        check_rounding(priced.rounding, value, graph)
    first = None if run.start is None else starting_partition(problem, graph, run.start)
    chosen = portfolio_members(run.entry, problem, workers)
    if not chosen:
        raise UserError(
            f"{run.entry} has no member for {counted(run.stages, 'stage')} and {counted(problem.instance.n, 'node')}",
            hint="give a member without min_ and max_, or run another portfolio",
        )
    members, skipped = _able(chosen, problem)
    if not members:
        raise UserError(
            f"{run.entry} keeps to no pins and no memory limit", hint="see the feature `limits` in pipebound list"
        )
    return _Prepared(problem=problem, start=first, members=members, skipped=skipped)


def starting_partition(problem: Problem, graph: ModelGraph, start: HoldsPartition, where: str = "") -> Partition:
    """Return the partition of an earlier result as one of this problem.

    The result may be of another device, bandwidth, profile or number of stages, but must be of a graph with as many
    nodes; it has to obey the constraints of this problem.

    Raises
    ------
    UserError
        If it holds no partition, or one that this problem does not allow.
    """
    if start.stage_of is None:
        raise UserError("the result to start from holds no partition", where=where)
    of_input = stages_of(start, graph.topology.n)
    stage, apart = on_instance(problem, of_input)
    if apart is not None:
        raise UserError(
            f"the partition to start from separates {graph.node_names[apart]!r} from one that must share its stage, or "
            "has it elsewhere than it is pinned to",
            where=where,
            hint="drop `start`, or the constraint",
        )
    if of_input.min() < 0 or of_input.max() >= problem.stages:
        raise UserError(
            f"the partition to start from has {counted(int(of_input.max()) + 1, 'stage')}, not {problem.stages}",
            where=where,
            hint="start from one with no more stages",
        )
    partition = Partition(stage_of=stage)
    try:
        stage_costs(problem, partition)
    except ValueError as error:
        raise UserError(f"the partition to start from is not of this graph: {error}", where=where) from None
    try:
        check_limit(problem, partition)
    except ValueError as error:
        raise UserError(
            f"the partition to start from breaks a constraint: {error}",
            where=where,
            hint="drop `start`, or the constraint",
        ) from None
    return partition


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


def check_entries(entries: Sequence[str], stages: Sequence[int], plugin_files: tuple[str, ...] = ()) -> None:
    """Create all that entries name, portfolios' members and nested entries included, before anything runs.

    Parameters
    ----------
    stages
        Numbers of stages they are to be run for.
    plugin_files
        Files that register entries and portfolios.

    Raises
    ------
    UserError
        For the first name, parameter or value that is wrong.
    """
    load_entries(plugin_files)
    for entry in entries:
        # Which members a portfolio has may depend on the number of stages.
        for k in stages:
            problem = Problem(instance=instance_from_lists([1, 1], [(0, 1, [1])]), stages=k)
            portfolio_members(entry, problem, workers=1)


def portfolio_members(entry: str, problem: Problem, workers: int) -> tuple[Member, ...]:
    """Return the members of a portfolio, or what a list of formulations and strategies names: one or several.

    Every member's entry is created once here, so that a mistake in a name or a parameter shows at once.

    Raises
    ------
    UserError
        For a wrong name, parameter or value, a portfolio within a list, or an entry that a list has twice.
    """
    texts = split_entries(entry)
    if len(texts) > 1:
        for i, text in enumerate(texts):
            check_member(text, where=entry)
            if text in texts[:i]:
                raise UserError(f"{text} is there twice", where=entry, hint="name it once")
        return tuple(Member(entry=text) for text in texts)
    spec = EntrySpec.parse(entry)
    if registry.get(spec.name).kind is not Kind.PORTFOLIO:
        registry.create(spec)
        return (Member(entry=entry),)
    portfolio: Portfolio = registry.create(spec)
    members = portfolio.members(problem, workers)
    for member in members:
        registry.create(member.entry)
    return members
