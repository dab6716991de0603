"""Integer linear models solved by SCIP or HiGHS (OR-Tools' MathOpt) in their own process; bounds are lowered a little.

Costs are divided so that the bottleneck is about `MAGNITUDE`, for which the tolerances of the solvers (about 1e-6) are
suitable. Entries ask SCIP unless told otherwise: HiGHS (of OR-Tools 9.15, and its own release 1.14) calls some integer
programs of ten or twenty columns "optimal" at up to 1.29 times their optimum, or infeasible, for some seeds. It does so
with bottlenecks of about 1 most often, with and without presolve, but no longer if its pool may hold one cut only; so
it is asked without presolve and pool (tests/structure/solvers/test_mathopt.py; docs/exactness.md has figures).

A bound is the solver's dual bound, never the objective of a solution, and is used only if the solver ended normally. It
is lowered by `DISCOUNT` and then rounded up to the next integer. In a model without objective or with a fixed limit,
every row of costs gets `SLACK` more room, so that the solver does not call a partition infeasible that fits exactly.
Both margins are stated, not proven: these bounds have soundness `tolerance`.
"""

from __future__ import annotations

import atexit
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from framework.structure.solvers.linear_model import OPEN, LinearModel, Solution, Status
from framework.structure.solvers.mathopt_worker import FloatArray, MipJob, MipReport

MipSolver = Literal["highs", "scip"]
MAGNITUDE = 1024
"""What bottlenecks are about, in the units of cost that a solver sees."""
DISCOUNT = 2e-6
"""Taken off a dual bound, relative to the base."""
SLACK = 5e-6
"""Added to the limits of cost rows of a model whose bottleneck is fixed, relative to the base and to the limit."""
FINEST = 1 << 29
"""Largest base: HiGHS drops matrix entries below 1e-9, so costs are whole multiples of 1 / 2^29 of the base."""
GRACE_SECONDS = 0.1
"""How long a solver may go on after it should have stopped before its process is killed."""
_POLL_SECONDS = 0.02
_ENDED = {
    "OPTIMAL": Status.OPTIMAL,
    "FEASIBLE": Status.STOPPED,
    "NO_SOLUTION_FOUND": Status.STOPPED,
    "INFEASIBLE": Status.INFEASIBLE,
    # All columns are bounded.
    "INFEASIBLE_OR_UNBOUNDED": Status.INFEASIBLE,
}
_GONE = {"killed": Status.STOPPED, "died": Status.FAILED}


def mip_unit(upper: int) -> int:
    """Return the ticks per coarse tick that keep `upper` (ticks) below `FINEST` coarse ticks."""
    return max(1, -(-upper // FINEST))


def start_solver() -> None:
    """Start the solver's process, if it does not run yet; it loads while the caller builds its model."""
    _Worker.get()


def solve_mip(
    model: LinearModel,
    *,
    solver: MipSolver,
    base: int,
    margin: bool | None = None,
    seconds: float,
    threads: int = 1,
    seed: int = 0,
    should_stop: Callable[[], bool] = lambda: False,
    take: Callable[[Solution], None] = lambda solution: None,
) -> Solution:
    """Solve a model and return what the solver says at its end.

    Parameters
    ----------
    base
        What the bottleneck is about, in the model's units of cost.
    margin
        Whether cost rows are given `SLACK`; by default where there is no objective.
    seconds
        Time limit given to the solver; the process is killed if `should_stop` holds for long.
    take
        Called with what is found on the way.
    """
    if model.infeasible:
        return Solution(status=Status.INFEASIBLE)
    job = _job(model, max(1, base), magnitude=MAGNITUDE, margin=model.objective is None if margin is None else margin)
    job = replace(job, solver=solver, seconds=max(0.01, seconds), threads=threads, seed=seed)
    report = _run(job, should_stop, lambda report: take(_solution(report, model, max(1, base))))
    return Solution(status=_GONE[report]) if isinstance(report, str) else _solution(report, model, max(1, base))


class Relaxed(NamedTuple):
    """A solved linear relaxation: ``[rows]`` dual values, ``[columns]`` values, those of costs divided by the base."""

    duals: FloatArray
    values: FloatArray


def solve_relaxation(
    model: LinearModel,
    *,
    base: int,
    seconds: float,
    threads: int = 1,
    seed: int = 0,
    interior: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> Relaxed | None:
    """Solve the linear relaxation; None if it was not solved.

    With `interior` they come from an interior-point method without crossover: faster where rows are dense, and less
    precise. They belong to the model divided by `base` as above: by weak duality they prove something only after
    `framework.structure.solvers.safe_dual_bound` has rounded and evaluated them exactly.
    """
    job = _job(model, max(1, base), magnitude=1, margin=False)
    scale = row_scales(model)
    job = replace(
        job,
        factor=job.factor * scale[model.row_of],
        row_lower=job.row_lower * scale,
        row_upper=job.row_upper * scale,
        seconds=max(0.01, seconds),
        threads=threads,
        seed=seed,
        relaxed=True,
        interior=interior,
    )
    report = _run(job, should_stop, lambda report: None)
    if isinstance(report, str) or report.duals is None or report.values is None:
        return None
    return Relaxed(duals=report.duals * scale, values=report.values)


def row_scales(model: LinearModel) -> FloatArray:
    """Return what rows that are not weighed are multiplied by, so that their largest coefficient is about 1."""
    largest = np.ones(model.rows)
    np.maximum.at(largest, model.row_of, np.abs(model.factor).astype(np.float64))
    return np.where(model.row_weighed, 1.0, 1.0 / largest)


def _run(
    job: MipJob, should_stop: Callable[[], bool], take: Callable[[MipReport], None]
) -> MipReport | Literal["killed", "died"]:
    """Hand a job to the solver's process and wait for its last report."""
    if _Worker.threads not in (0, job.threads):
        # HiGHS keeps the number of threads it once started with, and refuses another one.
        _Worker.drop()
    _Worker.threads = job.threads
    worker = _Worker.get()
    if not worker.send(job):
        return "died"
    stopping: float | None = None
    while True:
        report = worker.receive()
        if report is not None and report.status:
            return report
        if report is not None:
            take(report)
        elif not worker.alive:
            _Worker.drop()
            return "died"
        if should_stop():
            stopping = stopping or time.monotonic()
            if time.monotonic() - stopping > GRACE_SECONDS:
                _Worker.drop()
                return "killed"


def _job(model: LinearModel, base: int, *, magnitude: int, margin: bool) -> MipJob:
    unit = base / magnitude
    column_scale = np.where(model.weighed, unit, 1.0)
    row_scale = np.where(model.row_weighed, 1.0 / unit, 1.0)
    row_lower = np.where(model.row_lower <= -OPEN, -math.inf, model.row_lower * row_scale)
    row_upper = np.where(model.row_upper >= OPEN, math.inf, model.row_upper * row_scale)
    if margin:
        room = SLACK * np.maximum(magnitude, np.abs(row_upper))
        room = np.where(model.row_weighed & np.isfinite(row_upper), room, 0.0)
        row_upper = row_upper + room
    return MipJob(
        lower=model.lower / column_scale,
        upper=model.upper / column_scale,
        integer=model.integer,
        row_of=model.row_of,
        column_of=model.column_of,
        factor=model.factor.astype(np.float64) * row_scale[model.row_of] * column_scale[model.column_of],
        row_lower=row_lower,
        row_upper=row_upper,
        objective=model.objective,
    )


def _solution(report: MipReport, model: LinearModel, base: int) -> Solution:
    status = _ENDED.get(report.status, Status.STOPPED if not report.status else Status.FAILED)
    bound = None
    if model.objective is not None and report.bound is not None and status in (Status.OPTIMAL, Status.STOPPED):
        bound = math.ceil((report.bound - DISCOUNT * max(MAGNITUDE, abs(report.bound))) * (base / MAGNITUDE))
    return Solution(status=status, bound=bound, values=report.values)


class _Worker:
    """The one solver process of this process."""

    _current: _Worker | None = None
    threads: int = 0

    def __init__(self) -> None:
        here, there = Pipe()
        root = str(Path(__file__).resolve().parents[3])
        code = (
            f"import sys; sys.path.insert(0, {root!r}); from framework.structure.solvers.mathopt_worker import serve; "
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"{code}serve({there.fileno()})"],
            pass_fds=[there.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        there.close()
        self._connection: Any = here
        self._owner = os.getpid()

    @classmethod
    def get(cls) -> _Worker:
        """Return a running worker of this process: a forked child does not share its parent's."""
        current = cls._current
        if current is None or current._owner != os.getpid() or not current.alive:
            cls._current = current = cls()
        return current

    @classmethod
    def drop(cls) -> None:
        """End the worker at once."""
        current, cls._current = cls._current, None
        if current is not None and current._owner == os.getpid():
            current._process.kill()
            current._process.wait()
            current._connection.close()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def send(self, job: MipJob) -> bool:
        """Hand over a job; False if the process is gone."""
        try:
            self._connection.send(job)
        except OSError:
            return False
        return True

    def receive(self) -> MipReport | None:
        """Wait a moment for a report."""
        try:
            if self._connection.poll(_POLL_SECONDS):
                report: MipReport = self._connection.recv()
                return report
        except (EOFError, OSError):
            self._process.kill()
            self._process.wait()
        return None


atexit.register(_Worker.drop)
