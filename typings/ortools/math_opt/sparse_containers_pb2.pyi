from collections.abc import Iterable

class SparseDoubleMatrixProto:
    def __init__(self, *, row_ids: Iterable[int], column_ids: Iterable[int], coefficients: Iterable[float]) -> None: ...
