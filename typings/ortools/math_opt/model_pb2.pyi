from collections.abc import Iterable
from typing import Any

from ortools.math_opt.sparse_containers_pb2 import SparseDoubleMatrixProto

class VariablesProto:
    def __init__(
        self,
        *,
        ids: Iterable[int],
        lower_bounds: Iterable[float],
        upper_bounds: Iterable[float],
        integers: Iterable[bool],
    ) -> None: ...

class LinearConstraintsProto:
    def __init__(self, *, ids: Iterable[int], lower_bounds: Iterable[float], upper_bounds: Iterable[float]) -> None: ...

class ModelProto:
    objective: Any
    def __init__(
        self,
        *,
        variables: VariablesProto,
        linear_constraints: LinearConstraintsProto,
        linear_constraint_matrix: SparseDoubleMatrixProto,
    ) -> None: ...
