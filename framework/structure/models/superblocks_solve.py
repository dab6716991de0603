"""One superblock model with one solver: the unit, the call, and what it proves in ticks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from framework.model.problem import Partition, Problem, Windows, bottleneck
from framework.structure.models.superblocks import SuperblockModel, SuperblockParts, TransferCut
from framework.structure.models.superblocks_assignment import AssignmentModel
from framework.structure.models.superblocks_layout import Layout
from framework.structure.poset.topological_orders import order_of_partition
from framework.structure.primal.slicing import Slicer
from framework.structure.solvers.cp_sat import cp_unit, solve_cp
from framework.structure.solvers.linear_model import Solution
from framework.structure.solvers.mathopt import mip_unit, solve_mip, start_solver

Solver = Literal["highs", "scip", "cp-sat"]
_END_EARLY = 0.5
"""Seconds kept back at most, so that a solver ends, and is heard, before the deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What a solver may use.

    Attributes
    ----------
    remaining, should_stop
        As in `framework.contracts.Context`.
    """

    remaining: Callable[[], float]
    should_stop: Callable[[], bool]
    threads: int = 1
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """What is asked of a layout.

    Attributes
    ----------
    upper
        Ticks: the T that is fixed, or the largest of interest.
    minimise
        Whether T is to be minimised.
    lower
        Ticks: a dual bound that holds already.
    windows, prefix_work, least_work_of, transfer_cuts
        See `SuperblockModel`; the bound of an answer is one on the work of `least_work_of` where that is given.
    """

    upper: int
    minimise: bool
    lower: int = 0
    windows: Windows | None = None
    prefix_work: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
    least_work_of: tuple[int, ...] = ()
    transfer_cuts: Sequence[TransferCut] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """A solution in ticks.

    Attributes
    ----------
    solution
        As the solver gave it, `bound` in ticks.
    groups
        ``[n]`` group of each node in the best solution.
    """

    solution: Solution
    groups: NDArray[np.int64] | None = None


def ask(
    parts: SuperblockParts,
    layout: Layout,
    question: Question,
    *,
    solver: Solver,
    effort: Effort,
    assignment: bool = False,
    take: Callable[[Answer], None] = lambda answer: None,
) -> Answer:
    """Build the model of a layout and solve it.

    Parameters
    ----------
    assignment
        Whether to write the model in assignment variables.
    take
        Called with what is found on the way.

    Raises
    ------
    OutOfTimeError
        If `effort` is spent while the model is built.
    """
    instance = parts.instance
    if solver == "cp-sat":
        capacity = instance.capacity if instance.can_overflow else 0
        unit = cp_unit(question.upper, sum(layout.sizes) if layout.joined else max(layout.sizes), capacity)
    else:
        start_solver()
        unit = mip_unit(question.upper)
    model = SuperblockModel(
        parts,
        layout,
        upper=question.upper,
        minimise=question.minimise,
        lower=question.lower,
        unit=unit,
        windows=question.windows,
        prefix_work=question.prefix_work,
        least_work_of=question.least_work_of,
        transfer_cuts=question.transfer_cuts,
        should_stop=effort.should_stop,
    )
    rewritten = AssignmentModel(model, should_stop=effort.should_stop) if assignment else None

    def answer(solution: Solution) -> Answer:
        bound = None if solution.bound is None else solution.bound * unit
        if bound is not None and question.minimise:
            bound = min(bound, question.upper)
        values = solution.values
        if values is not None and rewritten is not None:
            values = rewritten.cumulative(values)
        return Answer(
            solution=replace(solution, bound=bound, values=values),
            groups=None if values is None else model.groups(values),
        )

    linear = model.model if rewritten is None else rewritten.model
    remaining = effort.remaining()
    seconds = remaining - min(_END_EARLY, remaining / 10) if remaining != float("inf") else remaining
    if solver == "cp-sat":
        return answer(
            solve_cp(
                linear,
                seconds=seconds,
                threads=effort.threads,
                seed=effort.seed,
                should_stop=effort.should_stop,
                take=lambda solution: take(answer(solution)),
            )
        )
    return answer(
        solve_mip(
            linear,
            solver=solver,
            base=model.upper,
            margin=not question.minimise,
            seconds=seconds,
            threads=effort.threads,
            seed=effort.seed,
            should_stop=effort.should_stop,
            take=lambda solution: take(answer(solution)),
        )
    )


def partition_of_groups(problem: Problem, groups: NDArray[np.int64], *, upper: int) -> Partition | None:
    """Return a partition below `upper` ticks that respects the order of the groups, if slicing finds one.

    Groups of one stage each are a partition themselves; any others give a topological order to slice, if stages are
    equal.
    """
    candidate = Partition(stage_of=groups)
    try:
        if bottleneck(problem, candidate) < upper:
            return candidate
    except ValueError:
        # Out of range only for joined groups; backwards only beyond the solver's tolerance.
        pass
    if not problem.instance.is_uniform:
        return None
    top = problem.instance.topology
    producer = np.repeat(top.producer, np.diff(top.consumer_ptr))
    if bool((groups[producer] > groups[top.consumers]).any()):
        return None
    order = order_of_partition(problem.instance, candidate)
    sliced = Slicer(problem.instance, order).solve(problem.useful_stages, upper=upper)
    return None if sliced is None else sliced.partition
