"""The process in which floating-point solvers run: reads a model, returns bounds and solutions, and waits for the next.

A separate process isolates the run from a solver that exceeds its time limit, crashes, or writes to the terminal. HiGHS
cannot be interrupted through MathOpt, but its process can be ended. Started by `framework.structure.solvers.mathopt`.
"""

from __future__ import annotations

import datetime
import signal
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
REPORT_GAIN = 0.01
"""By what share a solution on the way is better than the one reported before it: no clock, so that runs repeat."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MipJob:
    """A model in floating numbers, and how to solve it.

    `relaxed` asks for its linear relaxation and its duals; `interior`, for those of an interior point.
    """

    lower: FloatArray
    upper: FloatArray
    integer: NDArray[np.bool_]
    row_of: NDArray[np.int64]
    column_of: NDArray[np.int64]
    factor: FloatArray
    row_lower: FloatArray
    row_upper: FloatArray
    objective: int | None
    solver: str = "highs"
    seconds: float = 1.0
    threads: int = 1
    seed: int = 0
    relaxed: bool = False
    interior: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MipReport:
    """What a solver says, on the way (`status` empty) or at its end.

    Attributes
    ----------
    status
        Name of MathOpt's termination reason.
    bound
        The solver's own dual bound, undiscounted; None if it is not finite.
    values
        The best solution.
    detail
        What went wrong, if anything.
    duals
        ``[rows]`` dual values of a relaxation solved to optimality.
    """

    status: str
    bound: float | None
    values: FloatArray | None
    detail: str = ""
    duals: FloatArray | None = None


def serve(descriptor: int) -> None:
    """Answer jobs until the other end closes."""
    _die_with_parent()
    # Imported while the other side is still building its model.
    import ortools.math_opt.python.mathopt  # noqa: F401

    connection: Connection[MipReport, MipJob] = Connection(descriptor)
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        try:
            report = _solve(job, connection)
        except Exception as error:
            report = MipReport(status="FAILED", bound=None, values=None, detail=f"{type(error).__name__}: {error}")
        connection.send(report)


def _die_with_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform.startswith("linux"):
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _solve(job: MipJob, connection: Any) -> MipReport:
    from ortools.math_opt.python import mathopt

    model = _model(job)
    variables = list(model.variables())

    def vector(values: Any) -> FloatArray:
        return np.array([values[variable] for variable in variables], np.float64)

    arguments: dict[str, Any] = {}
    if job.solver == "scip" and not job.relaxed and job.objective is not None:
        objective, last = variables[job.objective], float("inf")

        def pass_on(data: mathopt.CallbackData) -> mathopt.CallbackResult:
            nonlocal last
            if data.solution is not None and data.solution[objective] < (1 - REPORT_GAIN) * last:
                last = data.solution[objective]
                bound = _finite(data.mip_stats.dual_bound)
                connection.send(MipReport(status="", bound=bound, values=vector(data.solution)))
            return mathopt.CallbackResult()

        arguments["cb"] = pass_on
        arguments["callback_reg"] = mathopt.CallbackRegistration(events={mathopt.Event.MIP_SOLUTION})
    kind = mathopt.SolverType.HIGHS if job.solver == "highs" else mathopt.SolverType.GSCIP
    result = mathopt.solve(model, kind, params=_parameters(job), **arguments)
    found = result.has_primal_feasible_solution()
    duals = None
    if (
        job.relaxed
        and result.termination.reason is mathopt.TerminationReason.OPTIMAL
        and result.has_dual_feasible_solution()
    ):
        values = result.dual_values()
        duals = np.array([values[row] for row in model.linear_constraints()], np.float64)
    return MipReport(
        status=result.termination.reason.name,
        bound=_finite(result.termination.objective_bounds.dual_bound),
        values=vector(result.variable_values()) if found else None,
        detail=result.termination.detail,
        duals=duals,
    )


def _model(job: MipJob) -> Any:
    from ortools.math_opt import model_pb2, sparse_containers_pb2
    from ortools.math_opt.python import mathopt

    proto = model_pb2.ModelProto(
        variables=model_pb2.VariablesProto(
            ids=range(len(job.lower)),
            lower_bounds=job.lower.tolist(),
            upper_bounds=job.upper.tolist(),
            integers=(job.integer & (not job.relaxed)).tolist(),
        ),
        linear_constraints=model_pb2.LinearConstraintsProto(
            ids=range(len(job.row_lower)),
            lower_bounds=job.row_lower.tolist(),
            upper_bounds=job.row_upper.tolist(),
        ),
        linear_constraint_matrix=sparse_containers_pb2.SparseDoubleMatrixProto(
            row_ids=job.row_of.tolist(), column_ids=job.column_of.tolist(), coefficients=job.factor.tolist()
        ),
    )
    if job.objective is not None:
        proto.objective.linear_coefficients.ids.append(job.objective)
        proto.objective.linear_coefficients.values.append(1.0)
    return mathopt.Model.from_model_proto(proto)


def _parameters(job: MipJob) -> Any:
    from ortools.math_opt.python import mathopt
    from ortools.math_opt.solvers import highs_pb2

    time_limit = None if job.seconds == float("inf") else datetime.timedelta(seconds=job.seconds)
    # A gap means nothing to a relaxation, and HiGHS refuses to be told one.
    parameters = mathopt.SolveParameters(time_limit=time_limit)
    if not job.relaxed:
        parameters.relative_gap_tolerance = 1e-6
    if job.solver == "highs":
        # MathOpt's own fields for threads and seed are refused or ignored for HiGHS. Its presolve and its pool of cuts
        # are off, or as good as off: with them it lost optima (`framework.structure.solvers.mathopt`).
        integers = {"threads": job.threads, "random_seed": job.seed % (1 << 31)}
        if job.relaxed:
            strings = {"solver": "ipm", "run_crossover": "off"} if job.interior else {}
        else:
            strings = {"presolve": "off"}
            integers["mip_pool_soft_limit"] = 1
        parameters.highs = highs_pb2.HighsOptionsProto(int_options=integers, string_options=strings)
    else:
        parameters.threads = job.threads
        parameters.random_seed = job.seed % (1 << 31)
    return parameters


def _finite(bound: float) -> float | None:
    return float(bound) if abs(bound) < 1e18 else None
