"""The superblock model in assignment variables: x[s, v] = "v is in group s", as the paper writes it.

It is the cumulative model under y[j, v] = x[1, v] + ... + x[j, v]; the last x of a node is one minus the others. The
two have the same solutions and the same linear relaxation; they differ in what a solver branches on and in how many
entries its matrix has. Source: Archer et al., ICML 2024, figure 3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from framework.errors import OutOfTimeError
from framework.structure.models.superblocks import SuperblockModel
from framework.structure.solvers.linear_model import OPEN, LinearModel


class AssignmentModel:
    """A superblock model rewritten; x takes the column of the y with the same group and node.

    Raises
    ------
    OutOfTimeError
        If `should_stop` struck first: the rewritten model has up to `stages` times as many entries.

    Attributes
    ----------
    model
        The linear model.
    """

    def __init__(self, superblocks: SuperblockModel, *, should_stop: Callable[[], bool] = lambda: False) -> None:
        self._should_stop = should_stop
        model, before = superblocks.model, superblocks.before[1:-1]
        groups, nodes = np.nonzero(before >= 0)
        order = np.lexsort((groups, nodes))
        # The columns of y node after node, each node's in the order of the groups.
        self._sequence = before[groups[order], nodes[order]]
        fresh = np.ones(len(order), np.bool_)
        fresh[1:] = np.diff(nodes[order]) != 0
        self._start = np.flatnonzero(fresh)[np.cumsum(fresh) - 1]
        self.model = self._rewrite(model, fresh)

    def cumulative(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn a solution into one of the superblock model, ``[columns]``."""
        if not len(self._sequence):
            return values
        running = np.cumsum(values[self._sequence])
        offset = (running - values[self._sequence])[self._start]
        turned = values.copy()
        turned[self._sequence] = running - offset
        return turned

    def _look(self) -> None:
        if self._should_stop():
            raise OutOfTimeError("stopped while a model was being rewritten")

    def _rewrite(self, model: LinearModel, fresh: NDArray[np.bool_]) -> LinearModel:
        place = np.full(model.columns, -1, np.int64)
        place[self._sequence] = np.arange(len(self._sequence))
        at = place[model.column_of]
        cumulative = at >= 0
        first = np.zeros(len(at), np.int64)
        first[cumulative] = self._start[at[cumulative]]
        count = np.where(cumulative, at - first + 1, 1)
        self._look()
        entry = np.repeat(np.arange(len(at)), count)
        step = np.arange(len(entry)) - np.repeat(np.cumsum(count) - count, count)
        column = model.column_of[entry]
        inside = cumulative[entry]
        column[inside] = self._sequence[(first[entry] + step)[inside]]
        # One row a node: its x add up to at most 1.
        rows = model.rows + np.cumsum(fresh) - 1
        row_of = np.concatenate((model.row_of[entry], rows))
        column = np.concatenate((column, self._sequence))
        factor = np.concatenate((model.factor[entry], np.ones(len(self._sequence), np.int64)))
        self._look()
        key, where = np.unique(row_of * max(1, model.columns) + column, return_inverse=True)
        self._look()
        total = np.zeros(len(key), np.int64)
        np.add.at(total, where, factor)
        self._look()
        kept = total != 0
        nodes = int(fresh.sum())
        return replace(
            model,
            row_of=key[kept] // max(1, model.columns),
            column_of=key[kept] % max(1, model.columns),
            factor=total[kept],
            row_lower=np.concatenate((model.row_lower, np.full(nodes, -OPEN))),
            row_upper=np.concatenate((model.row_upper, np.ones(nodes, np.int64))),
            row_weighed=np.concatenate((model.row_weighed, np.zeros(nodes, np.bool_))),
        )
