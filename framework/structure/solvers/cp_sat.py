"""Integer linear models in CP-SAT: exact integers, so bounds need no discount.

CP-SAT 9.15 multiplies coefficients with bounds in its presolve (see `framework.structure.models.stages_cp`): a model
must be built with a unit from `cp_unit`, which keeps every limit of a cost row below `SAFE`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from framework.errors import OutOfTimeError
from framework.structure.solvers.linear_model import OPEN, LinearModel, Solution, Status

if TYPE_CHECKING:
    from ortools.sat.python import cp_model

SAFE = 1 << 28
"""Largest limit of a cost row: products of two such numbers stay far below 2^62."""
_POLL_SECONDS = 0.05
_CHECK_EVERY = 512


def cp_unit(upper: int, largest_group: int, capacity: int) -> int:
    """Return the ticks per coarse tick for an `upper` limit per stage and groups of at most so many stages.

    Parameters
    ----------
    upper, capacity
        Ticks; a capacity of 0 where there is no overflow.
    """
    return max(1, -(-largest_group * (upper + capacity + 1) // SAFE))


def solve_cp(
    model: LinearModel,
    *,
    seconds: float,
    threads: int = 1,
    seed: int = 0,
    should_stop: Callable[[], bool] = lambda: False,
    take: Callable[[Solution], None] = lambda solution: None,
) -> Solution:
    """Solve a model and return what CP-SAT says at its end.

    Parameters
    ----------
    take
        Called with bounds on the way.

    Raises
    ------
    OutOfTimeError
        If `should_stop` returns true while the model is handed over.
    """
    if model.infeasible:
        return Solution(status=Status.INFEASIBLE)
    translated, columns = translate(model, should_stop)
    limit = None if model.objective is None else int(model.upper[model.objective])

    def bound(value: float) -> int | None:
        return None if limit is None else min(int(value), limit)

    def pass_on(value: float) -> None:
        take(Solution(status=Status.STOPPED, bound=bound(value)))

    solver, name = solve_translated(
        translated,
        seconds=seconds,
        threads=threads,
        seed=seed,
        should_stop=should_stop,
        on_bound=None if limit is None else pass_on,
    )
    if name == "INFEASIBLE":
        return Solution(status=Status.INFEASIBLE)
    if name not in ("OPTIMAL", "FEASIBLE", "UNKNOWN"):
        return Solution(status=Status.FAILED)
    values = None
    if name != "UNKNOWN":
        values = np.array([solver.value(column) for column in columns], np.float64)
    done = name == "OPTIMAL" or (model.objective is None and values is not None)
    return Solution(
        status=Status.OPTIMAL if done else Status.STOPPED, bound=bound(solver.best_objective_bound), values=values
    )


def solve_translated(
    translated: cp_model.CpModel,
    *,
    seconds: float,
    threads: int,
    seed: int,
    should_stop: Callable[[], bool],
    on_bound: Callable[[float], None] | None = None,
) -> tuple[cp_model.CpSolver, str]:
    """Run CP-SAT until it ends, its time is up, or `should_stop` holds; return it and the name of its status."""
    from ortools.sat.python import cp_model

    solver = cp_model.CpSolver()
    solver.parameters.num_workers = threads
    solver.parameters.random_seed = seed % (1 << 31)
    if seconds != float("inf"):
        solver.parameters.max_time_in_seconds = max(0.01, seconds)
    if on_bound is not None:
        solver.best_bound_callback = on_bound
    finished = threading.Event()

    def watch() -> None:
        while not finished.wait(_POLL_SECONDS):
            if should_stop():
                solver.stop_search()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        return solver, str(solver.status_name(solver.solve(translated)))
    finally:
        finished.set()
        watcher.join()


def translate(model: LinearModel, should_stop: Callable[[], bool]) -> tuple[cp_model.CpModel, list[Any]]:
    """Return a model for CP-SAT and its variables, one per column; more may be added to it.

    Raises
    ------
    OutOfTimeError
        If `should_stop` returns true on the way.
    """
    from ortools.sat.python import cp_model

    translated = cp_model.CpModel()
    columns: list[Any] = [
        translated.new_bool_var("") if (low, high) == (0, 1) else translated.new_int_var(low, high, "")
        for low, high in zip(model.lower.tolist(), model.upper.tolist(), strict=True)
    ]
    starts = np.searchsorted(model.row_of, np.arange(model.rows + 1)).tolist()
    column_of, factor = model.column_of.tolist(), model.factor.tolist()
    lower, upper = model.row_lower.tolist(), model.row_upper.tolist()
    for row in range(model.rows):
        if row % _CHECK_EVERY == 0 and should_stop():
            raise OutOfTimeError("stopped while building the model")
        entries = slice(starts[row], starts[row + 1])
        row_columns, row_factors = [columns[c] for c in column_of[entries]], factor[entries]
        binary = all(model.lower[c] == 0 and model.upper[c] == 1 for c in column_of[entries])
        if binary and sorted(row_factors) == [-1, 1] and (lower[row], upper[row]) == (-OPEN, 0):
            translated.add_implication(*(row_columns if row_factors[0] == 1 else row_columns[::-1]))
            continue
        total = cp_model.LinearExpr.weighted_sum(row_columns, row_factors)
        if lower[row] > -OPEN:
            translated.add(total >= lower[row])
        if upper[row] < OPEN:
            translated.add(total <= upper[row])
    if model.objective is not None:
        translated.minimize(columns[model.objective])
    return translated, columns
