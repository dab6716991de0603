"""Parameters and their users, as readers meet them: what one node uses alone, and what several nodes share."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from framework.errors import UserError
from framework.fields import shown
from framework.formats.builder import MISSING, GraphBuilder, column
from framework.model.arrays import IntArray
from framework.model.graph import FloatArray
from framework.model.shared import SharedParameters, shared_by
from framework.wording import counted


class Shared(NamedTuple):
    """Shared parameters of a graph: their users, names (empty, or one each), and sizes."""

    users: SharedParameters
    names: tuple[str, ...]
    sizes: IntArray | FloatArray


class ParameterUses:
    """Collects which node uses which parameter, in a reader that tells parameters apart by a key of its own."""

    def __init__(self) -> None:
        self._users: dict[Hashable, set[int]] = {}
        self._bytes: dict[Hashable, int] = {}
        self._names: dict[Hashable, str] = {}

    def add(self, key: Hashable, node: int, nbytes: int, name: str = "") -> None:
        """Say that a node uses a parameter of so many bytes; the size that is said last counts."""
        self._users.setdefault(key, set()).add(node)
        self._bytes[key] = nbytes
        self._names[key] = name

    def private(self, n: int) -> FloatArray:
        """Return the bytes of the parameters that each of n nodes uses alone, ``[n]``."""
        own = [0] * n
        for key, users in self._users.items():
            if len(users) == 1:
                own[next(iter(users))] += self._bytes[key]
        return np.array(own, np.float64)

    def shared(self) -> Shared:
        """Return the parameters with several users, in the order of their first use; those of no bytes are left out."""
        keys = [key for key, users in self._users.items() if len(users) > 1 and self._bytes[key]]
        return Shared(
            shared_by([sorted(self._users[key]) for key in keys]),
            tuple(self._names[key] for key in keys),
            np.array([self._bytes[key] for key in keys], np.float64),
        )


def remark_on_parts(counting: Mapping[str, int], stored: Mapping[str, int], total: int) -> list[str]:
    """Say how many bytes count of parameters that are nowhere used whole, if that matters.

    Parameters
    ----------
    counting, stored
        Bytes that count and bytes of all of it, by the name of the parameter.
    total
        Bytes of all parameters; less than a thousandth of them does not matter.
    """
    partly = [name for name in stored if counting[name] < stored[name]]
    used, whole = sum(counting[name] for name in partly), sum(stored[name] for name in partly)
    if whole - used <= total // 1000:
        return []
    names = ", ".join(map(repr, partly[:3])) + (f" and {len(partly) - 3} more" if len(partly) > 3 else "")
    what = counted(len(partly), "parameter only a part is used", "parameters only parts are used")
    return [f"of {what} (rows of a table, or what is computed from them), {used} of {whole} bytes: {names}"]


def read_shared(rows: object, field: str, builder: GraphBuilder) -> Shared:
    """Read the list of shared parameters of a native graph.

    Parameters
    ----------
    rows
        What the file holds under ``parameters``: objects with `users` (positions of nodes), a size, perhaps a name.
    field
        What their size is called: ``bytes``, or ``cost`` in a priced graph.
    """
    where = builder.where
    if not isinstance(rows, list):
        raise UserError(f"parameters is {shown(rows)}", where=where, hint="give a list of objects")
    users, names, sizes = [], [], []
    for i, row in enumerate(rows):
        place = f"parameters[{i}]"
        if not isinstance(row, dict):
            raise UserError(f"this is {shown(row)}", where=f"{where}, {place}", hint="give an object")
        users.append(_users(row.get("users", MISSING), place, builder))
        name = row.get("name", "")
        if not isinstance(name, str):
            raise UserError(f"name is {shown(name)}", where=f"{where}, {place}", hint="give a string")
        names.append(name)
        sizes.append(row.get(field, MISSING))
    return Shared(
        shared_by(users), tuple(names) if any(names) else (), column(sizes, field, lambda i: f"parameters[{i}]", where)
    )


def _users(listed: Any, place: str, builder: GraphBuilder) -> Sequence[int]:
    where = f"{builder.where}, {place}"
    if not isinstance(listed, list) or not listed:
        said = "there is no 'users'" if listed is MISSING else f"users is {shown(listed)}"
        raise UserError(said, where=where, hint="give the positions of the nodes that use it")
    for position in listed:
        if type(position) is not int:
            raise UserError(f"users holds {shown(position)}", where=where, hint="give the position of a node, from 0")
    return [builder.node(position, place=f"{place}, users") for position in listed]


def rows_of(
    shared: SharedParameters, names: Sequence[str], field: str, sizes: Sequence[object]
) -> list[dict[str, object]]:
    """Return what `read_shared` reads."""
    ptr, users = shared.ptr.tolist(), shared.users.tolist()
    return [
        {field: size, "users": users[ptr[q] : ptr[q + 1]]} | ({"name": names[q]} if names else {})
        for q, size in enumerate(sizes)
    ]
