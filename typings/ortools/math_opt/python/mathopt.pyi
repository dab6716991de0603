"""The part of MathOpt this project uses; OR-Tools marks none of its packages as typed."""

import datetime
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any

from ortools.math_opt.model_pb2 import ModelProto
from ortools.math_opt.solvers.highs_pb2 import HighsOptionsProto

class Variable: ...
class LinearConstraint: ...

class Model:
    @staticmethod
    def from_model_proto(proto: ModelProto) -> Model: ...
    def variables(self) -> Iterable[Variable]: ...
    def linear_constraints(self) -> Iterable[LinearConstraint]: ...

class SolverType(Enum):
    HIGHS = ...
    GSCIP = ...

class Event(Enum):
    MIP_SOLUTION = ...

class SolveParameters:
    threads: int | None
    random_seed: int | None
    relative_gap_tolerance: float | None
    highs: HighsOptionsProto
    def __init__(self, *, time_limit: datetime.timedelta | None = ...) -> None: ...

class CallbackRegistration:
    def __init__(self, *, events: set[Event]) -> None: ...

class CallbackData:
    solution: Mapping[Variable, float] | None
    mip_stats: Any

class CallbackResult: ...

class TerminationReason(Enum):
    OPTIMAL = ...

class ObjectiveBounds:
    dual_bound: float

class Termination:
    reason: TerminationReason
    objective_bounds: ObjectiveBounds
    detail: str

class SolveResult:
    termination: Termination
    def has_primal_feasible_solution(self) -> bool: ...
    def variable_values(self) -> Mapping[Variable, float]: ...
    def has_dual_feasible_solution(self) -> bool: ...
    def dual_values(self) -> Mapping[LinearConstraint, float]: ...

def solve(
    opt_model: Model,
    solver_type: SolverType,
    *,
    params: SolveParameters | None = ...,
    callback_reg: CallbackRegistration | None = ...,
    cb: Callable[[CallbackData], CallbackResult] | None = ...,
) -> SolveResult: ...
