"""Constants of an ONNX graph and the nodes that use them: what is stored, and what is folded into its users.

A constant that is computed from others is the smaller of its result and what it is computed from. The result is one
parameter, known by its name; what it is computed from are several, each of which other nodes may use as well. Where
both have the same size, as a table and its transpose, the table is the parameter: so the nodes that use it share it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from framework.errors import UserError
from framework.formats.onnx.shapes.values import Values
from framework.formats.parameters import ParameterUses, remark_on_parts


class Constants:
    """What the nodes of one graph use of its constants.

    Parameters
    ----------
    values
        Types of the graph's values.
    origins
        For each constant, the stored ones that it is computed from (`constant_origins`).
    where
        The file, for errors.
    """

    def __init__(self, values: Values, origins: Mapping[str, Sequence[str]], where: str) -> None:
        self.uses = ParameterUses()
        self._values = values
        self._origins = origins
        self._where = where
        self._whole: set[str] = set()
        self._smaller: dict[str, None] = {}

    def use(self, name: str, node: int, place: str) -> int:
        """Say that a node uses a constant, and return its bytes."""
        result = self._values.get(name)
        stored = {origin: found.nbytes for origin in self._origins[name] if (found := self._values.get(origin))}
        if len(stored) == len(self._origins[name]) and (result is None or sum(stored.values()) <= result.nbytes):
            for origin, nbytes in stored.items():
                self.uses.add(origin, node, nbytes, origin)
            self._whole.update(stored)
            return sum(stored.values())
        if result is None:
            what, hint = self._values.why_unknown(name)
            raise UserError(f"the shape of the constant {name!r} {what}", where=f"{self._where}, {place}", hint=hint)
        self.uses.add(name, node, result.nbytes, name)
        self._smaller[name] = None
        return result.nbytes

    def remarks(self) -> list[str]:
        """Say how many bytes count of stored constants of which only smaller results are used."""
        size = self._values.nbytes
        counting: dict[str, int] = {}
        for name in self._smaller:
            origin = max(self._origins[name], key=size)
            if origin not in self._whole:
                counting[origin] = counting.get(origin, 0) + size(name)
        total = sum(map(size, {origin for origins in self._origins.values() for origin in origins}))
        return remark_on_parts(counting, {origin: size(origin) for origin in counting}, total)
