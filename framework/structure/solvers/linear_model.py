"""Integer linear models as arrays: built in batches, free of any solver, exact until a solver is chosen.

Columns are 0/1 or integers in [lower, upper]; rows are integer combinations of columns between integer limits. A term
may also name a constant, `ZERO` or `ONE`, where a window has decided a variable: the builder moves it to the right-hand
side, so that whoever writes a row need not know which variables are left.

A *weighed* row is counted in units of cost, a *weighed* column is a cost itself; a floating solver divides both by a
base to make the bottleneck about 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from framework.model.arrays import IntArray

ZERO, ONE = -1, -2
"""Stand for a constant in the place of a column."""

OPEN = 1 << 62
"""No limit on this side of a row."""
NAMED = 4
"""Numbers at most by which a row is named."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearModel:
    """Minimise one column, or nothing, subject to rows.

    Attributes
    ----------
    lower, upper
        ``[columns]`` bounds.
    integer
        ``[columns]`` whether a floating solver must keep the column integer; the others are integer by themselves
        in some optimum.
    weighed
        ``[columns]`` whether the column is a cost.
    row_of, column_of, factor
        ``[entries]`` the matrix, sorted by row, then column; no entry twice, none zero.
    row_lower, row_upper
        ``[rows]`` limits; beyond `OPEN` there is none.
    row_weighed
        ``[rows]`` whether the row is counted in units of cost.
    objective
        The column to minimise, or None to ask for any solution.
    infeasible
        Whether some row cannot hold whatever the columns are.
    """

    lower: IntArray
    upper: IntArray
    integer: NDArray[np.bool_]
    weighed: NDArray[np.bool_]
    row_of: IntArray
    column_of: IntArray
    factor: IntArray
    row_lower: IntArray
    row_upper: IntArray
    row_weighed: NDArray[np.bool_]
    objective: int | None
    infeasible: bool

    @property
    def columns(self) -> int:
        """Number of columns."""
        return len(self.lower)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.row_lower)


class Status(StrEnum):
    """How a solver left a model."""

    OPTIMAL = "optimal"
    """Solved: the best solution, or any solution of a model without objective, is in hand."""
    INFEASIBLE = "infeasible"
    """There is no solution."""
    STOPPED = "stopped"
    """A limit or the caller ended it; what it proved until then holds."""
    FAILED = "failed"
    """The solver is not sure of itself; nothing may be concluded."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solution:
    """What a solver says of a model.

    Attributes
    ----------
    status
        How it ended.
    bound
        Lower bound on the objective, an integer in the model's units of cost, rounded so that it may be believed.
    values
        ``[columns]`` of the best solution found.
    """

    status: Status
    bound: int | None = None
    values: NDArray[np.float64] | None = None


class ModelBuilder:
    """Collects columns and rows, many at a time.

    Attributes
    ----------
    names
        ``[rows, 4]`` of the model that was built: what rows are called, filled up with 0; -1 where they have no name.
    """

    def __init__(self) -> None:
        self.names: IntArray = np.zeros((0, NAMED), np.int64)
        self._names: list[tuple[int, tuple[int | IntArray, ...]]] = []
        self._columns: list[tuple[IntArray, IntArray, bool, bool]] = []
        self._count = 0
        self._entries: list[tuple[IntArray, IntArray, IntArray]] = []
        self._limits: list[tuple[IntArray, IntArray, bool]] = []
        self._rows = 0

    def add_columns(
        self, count: int, *, lower: int = 0, upper: int = 1, integer: bool = False, weighed: bool = False
    ) -> IntArray:
        """Add columns with common bounds; return their indices."""
        self._columns.append((np.full(count, lower, np.int64), np.full(count, upper, np.int64), integer, weighed))
        self._count += count
        return np.arange(self._count - count, self._count, dtype=np.int64)

    def add_rows(
        self,
        terms: Sequence[tuple[IntArray, int]],
        *,
        lower: int = -OPEN,
        upper: int = OPEN,
        names: tuple[int | IntArray, ...] = (),
    ) -> None:
        """Add one row per position of the arrays in `terms`: the sum of factor * column over all terms."""
        count = len(terms[0][0])
        rows = np.arange(count, dtype=np.int64)
        self.add_sparse_rows(
            np.tile(rows, len(terms)),
            np.concatenate([column for column, _ in terms]),
            np.concatenate([np.full(count, factor, np.int64) for _, factor in terms]),
            lower=np.full(count, lower, np.int64),
            upper=np.full(count, upper, np.int64),
            names=names,
        )

    def add_sparse_rows(
        self,
        row: IntArray,
        column: IntArray,
        factor: IntArray,
        *,
        lower: IntArray,
        upper: IntArray,
        weighed: bool = False,
        names: tuple[int | IntArray, ...] = (),
    ) -> None:
        """Add rows from entries (row, column, factor), rows numbered from 0 within this call; entries add up."""
        self._names.append((len(lower), names))
        constant = np.zeros(len(lower), np.int64)
        ones = column == ONE
        np.add.at(constant, row[ones], factor[ones])
        free = column >= 0
        self._entries.append((row[free] + self._rows, column[free], factor[free]))
        self._limits.append((_shift(lower, constant), _shift(upper, constant), weighed))
        self._rows += len(lower)

    def build(self, objective: int | None = None) -> LinearModel:
        """Merge entries, drop rows that nothing can break, and say whether some row cannot hold."""
        lower = _joined([low for low, _, _, _ in self._columns])
        upper = _joined([high for _, high, _, _ in self._columns])
        row, column, factor = _merged(
            _joined([rows for rows, _, _ in self._entries]),
            _joined([columns for _, columns, _ in self._entries]),
            _joined([factors for _, _, factors in self._entries]),
            self._count,
        )
        row_lower = _joined([low for low, _, _ in self._limits])
        row_upper = _joined([high for _, high, _ in self._limits])
        row_weighed = np.repeat([weighed for *_, weighed in self._limits], [len(low) for low, *_ in self._limits])
        least, most = np.zeros(self._rows, np.int64), np.zeros(self._rows, np.int64)
        np.add.at(least, row, np.minimum(factor * lower[column], factor * upper[column]))
        np.add.at(most, row, np.maximum(factor * lower[column], factor * upper[column]))
        needed = (least < row_lower) | (most > row_upper)
        kept = needed[row]
        number = np.cumsum(needed) - 1
        self.names = np.concatenate([self.names[:0], *(_names(*row) for row in self._names)])[needed]
        return LinearModel(
            lower=lower,
            upper=upper,
            integer=np.repeat([integer for _, _, integer, _ in self._columns], [len(c[0]) for c in self._columns]),
            weighed=np.repeat([weighed for *_, weighed in self._columns], [len(c[0]) for c in self._columns]),
            row_of=number[row[kept]],
            column_of=column[kept],
            factor=factor[kept],
            row_lower=row_lower[needed],
            row_upper=row_upper[needed],
            row_weighed=row_weighed[needed].astype(np.bool_),
            objective=objective,
            infeasible=bool(((least > row_upper) | (most < row_lower)).any()),
        )


def _names(count: int, names: tuple[int | IntArray, ...]) -> IntArray:
    table = np.full((count, NAMED), 0 if names else -1, np.int64)
    for i, column in enumerate(names):
        table[:, i] = column
    return table


def _joined(parts: list[IntArray]) -> IntArray:
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _shift(limit: IntArray, constant: IntArray) -> IntArray:
    """Move constants to the right-hand side; what is open stays open."""
    return np.where(np.abs(limit) >= OPEN, limit, limit - constant)


def _merged(row: IntArray, column: IntArray, factor: IntArray, columns: int) -> tuple[IntArray, IntArray, IntArray]:
    """Add entries of the same place up and drop zeros."""
    key, place = np.unique(row * max(1, columns) + column, return_inverse=True)
    total = np.zeros(len(key), np.int64)
    np.add.at(total, place, factor)
    kept = total != 0
    return key[kept] // max(1, columns), key[kept] % max(1, columns), total[kept]
