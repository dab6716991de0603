"""The covering program restricted to the stages known so far; the dual solution is one price per node.

Source: Dantzig and Wolfe, 1960.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.graph import FloatArray
from framework.structure.pricing.network import RoleArray

if TYPE_CHECKING:
    import highspy

_SLACK_COST = 3.0
"""Price above which no node goes."""
_LARGEST = 10
"""Columns of the program, as a multiple of the nodes, before it is thinned out."""
_SLICE_SECONDS = 0.2
"""Time between two looks at the clock while it is solved."""


class RestrictedMaster:
    """The linear program: the fewest stages, in fractions, that hold each node at least once.

    Parameters
    ----------
    n
        Number of nodes.
    """

    def __init__(self, n: int) -> None:
        import highspy

        self._n = n
        model = highspy.Highs()
        model.setOptionValue("output_flag", False)
        model.setOptionValue("threads", 1)
        nothing = (np.zeros(0, np.int32), np.zeros(0))
        for _ in range(n):
            model.addRow(1.0, highspy.kHighsInf, 0, *nothing)
        for v in range(n):
            model.addCol(_SLACK_COST, 0.0, highspy.kHighsInf, 1, np.array([v], np.int32), np.ones(1))
        self._model: highspy.Highs = model

    def add(self, columns: list[RoleArray]) -> None:
        """Add stages, 0/1 vectors ``[n]``; thin out those of large reduced cost when there are too many."""
        for column in columns:
            rows = np.flatnonzero(column).astype(np.int32)
            self._model.addCol(1.0, 0.0, float("inf"), len(rows), rows, np.ones(len(rows)))
        if self._model.getNumCol() > _LARGEST * self._n + 200:
            self._thin_out()

    def solve(self, should_stop: Callable[[], bool] = lambda: False) -> tuple[float, FloatArray]:
        """Return the optimum and the prices.

        Raises
        ------
        OutOfTimeError
            If `should_stop` returns true.
        """
        import highspy

        while True:
            self._model.setOptionValue("time_limit", self._model.getRunTime() + _SLICE_SECONDS)
            self._model.run()
            if self._model.getModelStatus() != highspy.HighsModelStatus.kTimeLimit:
                break
            if should_stop():
                raise OutOfTimeError("stopped while the covering program was solved")
        duals = np.maximum(np.array(self._model.getSolution().row_dual, np.float64), 0.0)
        return float(self._model.getInfo().objective_function_value), duals

    def _thin_out(self) -> None:
        reduced = np.zeros(self._model.getNumCol())
        known = np.array(self._model.getSolution().col_dual)
        reduced[: len(known)] = known
        reduced[: self._n] = 0.0
        worst = np.argsort(-reduced)[: len(reduced) // 2]
        dropped = np.sort(worst[reduced[worst] > 1e-6])
        self._model.deleteCols(len(dropped), dropped.astype(np.int32))
