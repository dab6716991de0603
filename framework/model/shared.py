"""Shared parameters: which nodes use each parameter that more than one node uses.

A stage that holds a user of a parameter holds the parameter, once, however many of its users it holds: so the
parameters of a stage are a coverage function of its nodes, monotone and submodular. What a parameter costs or how many
bytes it has stands beside this, in the unit of whoever asks. Parameters of one node alone are part of that node.

*Relaxation.* If each shared parameter is charged to one of its users and to nobody else, no stage holds more than in
truth: it holds that user, and then the parameter, or it is charged nothing. So optima only fall, and every partition
stays a partition: whatever cannot count parameters once per stage bounds this (`SharedParameters.payers`).

Source: this project.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.model.arrays import IntArray, distinct, merge_equal_rows, prefix_sums, row_pointers, take_rows


def _none() -> IntArray:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class SharedParameters:
    """The users of each shared parameter; row `q` is ``users[ptr[q]:ptr[q + 1]]``.

    Attributes
    ----------
    ptr
        ``[parameters + 1]`` where the users of each parameter begin.
    users
        ``[pins]`` nodes; ascending and distinct in each row.
    """

    ptr: IntArray = field(default_factory=lambda: np.zeros(1, np.int64))
    users: IntArray = field(default_factory=_none)

    def __len__(self) -> int:
        return len(self.ptr) - 1

    @property
    def pins(self) -> IntArray:
        """``[pins]`` the parameter of each entry of `users`."""
        return np.repeat(np.arange(len(self), dtype=np.int64), np.diff(self.ptr))

    @cached_property
    def _by_user(self) -> tuple[IntArray, IntArray]:
        most = int(self.users.max()) + 1 if len(self.users) else 0
        return row_pointers(self.users, most), self.pins[np.argsort(self.users, kind="stable")]

    def of_nodes(self, n: int) -> tuple[IntArray, IntArray]:
        """Return the pair (ptr, parameters), ``[n + 1]`` and ``[pins]``: what each of n nodes uses, ascending."""
        if not len(self):
            return np.zeros(n + 1, np.int64), _none()
        ptr, parameters = self._by_user
        return np.concatenate((ptr, np.full(n + 1 - len(ptr), len(parameters), np.int64))), parameters

    def held(self, stage_of: IntArray) -> tuple[IntArray, IntArray]:
        """Return the pairs (parameter, stage that holds it) of a partition, each once."""
        if not len(self):
            return _none(), _none()
        stages = int(stage_of.max()) + 1
        pairs = distinct(self.pins * stages + stage_of[self.users])
        return pairs // stages, pairs % stages

    def sums(self, sizes: IntArray, stage_of: IntArray, stages: int) -> IntArray:
        """Return what each stage holds of shared parameters of the given sizes, ``[stages]``."""
        parameter, stage = self.held(stage_of)
        totals = np.zeros(stages, np.int64)
        np.add.at(totals, stage, sizes[parameter])
        return totals

    def payers(self, weight: IntArray | NDArray[np.float64]) -> IntArray:
        """Return the one user that each parameter is charged to in the relaxation: the heaviest, ``[parameters]``."""
        if not len(self):
            return _none()
        order = np.lexsort((self.users, -weight[self.users], self.pins))
        return self.users[order[self.ptr[:-1]]]


def joined(first: SharedParameters, second: SharedParameters) -> SharedParameters:
    """Return the rows of both."""
    ptr = np.concatenate((first.ptr, first.ptr[-1] + second.ptr[1:]))
    return SharedParameters(ptr=ptr, users=np.concatenate((first.users, second.users)))


def shared_by(rows: Sequence[Sequence[int]]) -> SharedParameters:
    """Return the parameters that the given nodes share, one row each."""
    users = [sorted(set(row)) for row in rows]
    return SharedParameters(
        ptr=prefix_sums([len(row) for row in users]),
        users=np.array([v for row in users for v in row], np.int64),
    )


class Renamed(NamedTuple):
    """Shared parameters in the names of other nodes.

    Attributes
    ----------
    shared
        Those that still have several users, rows with the same users merged.
    sizes
        Their sizes, ``[parameters]``, for each kind of size.
    private
        ``[n]`` what nodes now hold alone, for each kind of size.
    """

    shared: SharedParameters
    sizes: tuple[IntArray, ...]
    private: tuple[IntArray, ...]


def rename_users(shared: SharedParameters, name: IntArray, n: int, *sizes: IntArray) -> Renamed:
    """Give the users other names; users that get the same one become one user.

    Parameters
    ----------
    name
        What each node becomes.
    n
        Number of nodes afterwards.
    sizes
        One or more sizes of each parameter, ``[parameters]``; the result is the same for all of them.
    """
    if not len(shared):
        empty = tuple(np.zeros(0, np.int64) for _ in sizes)
        return Renamed(shared, empty, tuple(np.zeros(n, np.int64) for _ in sizes))
    pairs = distinct(shared.pins * n + name[shared.users])
    users = pairs % n
    ptr = row_pointers(pairs // n, len(shared))
    alone = np.diff(ptr) == 1
    private = []
    for size in sizes:
        own = np.zeros(n, np.int64)
        np.add.at(own, users[ptr[:-1][alone]], size[alone])
        private.append(own)
    kept = np.flatnonzero(np.diff(ptr) > 1)
    ptr, users = take_rows(ptr, users, kept)
    order, firsts = merge_equal_rows(np.zeros(len(kept), np.int64), ptr, users)
    merged = tuple(np.add.reduceat(size[kept][order], firsts) if len(kept) else _none() for size in sizes)
    ptr, users = take_rows(ptr, users, order[firsts])
    return Renamed(SharedParameters(ptr=ptr, users=users), merged, tuple(private))
