"""What all readers share: numbers checked by column, and a builder that refuses what no graph may hold.

A reader turns a file into nodes, tensors and columns of costs; whether these make a graph (unique ids, no
dangling reference, no self loop, finite non-negative costs, no cycle) is decided here and in `ModelGraph`, once.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

import numpy as np

from framework.errors import UserError
from framework.fields import shown
from framework.input_files import check_deadline
from framework.model.arrays import IntArray, prefix_sums
from framework.model.graph import FloatArray, ModelGraph, PhysicalCosts, PricedCosts
from framework.model.shared import SharedParameters
from framework.model.topology import build_topology

MISSING = object()
"""Stands in a column for a field that the file does not have (JSON null is None)."""

_CHECKED_EVERY = 1 << 10
"""Nodes, tensors or edges between two looks at the clock."""

_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1


def column(values: Sequence[object], field: str, place: Callable[[int], str], where: str) -> IntArray | FloatArray:
    """Turn one value per node (or tensor) into an array: int64 if all are integers, else float64.

    Parameters
    ----------
    values
        Anything a file may hold; numpy's scalars count as numbers, booleans and strings do not.
    field
        What the column is called in the file.
    place
        Describes row ``i``, for the error.
    where
        The file.

    Raises
    ------
    UserError
        If an entry is missing, is no number, or is an integer beyond 64 bits, or if no time is left to read. Sign and
        finiteness are left to `ModelGraph`.
    """
    check_deadline(where)
    kinds = set(map(type, values))
    if kinds <= {int} or kinds == {float}:
        # An integer beyond 64 bits is named below.
        with suppress(OverflowError):
            return np.array(values, np.int64) if kinds <= {int} else np.array(values, np.float64) + 0.0
    cleaned: list[int | float] = []
    whole = True
    for i, value in enumerate(values):
        kind = type(value)
        if kind is float:
            whole = False
            cleaned.append(value)  # type: ignore[arg-type]
            continue
        number = value if kind is int else _as_number(value)
        if number is None:
            raise _no_number(value, field, place(i), where)
        if isinstance(number, float):
            whole = False
        elif not _INT64_MIN <= number <= _INT64_MAX:  # type: ignore[operator]
            raise UserError(
                f"{field} is an integer beyond 64 bits", where=f"{where}, {place(i)}", hint="use a larger unit"
            )
        cleaned.append(number)  # type: ignore[arg-type]
    if whole:
        return np.array(cleaned, np.int64)
    # Adding zero turns -0.0 into 0.0: equal graphs must have equal digests.
    return np.array(cleaned, np.float64) + 0.0


def float_column(values: Sequence[object], field: str, place: Callable[[int], str], where: str) -> FloatArray:
    """Return `column` as float64, for physical costs."""
    return column(values, field, place, where).astype(np.float64)


def _as_number(value: object) -> int | float | None:
    if isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, numbers.Integral):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) else None


def _no_number(value: object, field: str, place: str, where: str) -> UserError:
    if value is MISSING:
        return UserError(f"there is no {field!r}", where=f"{where}, {place}", hint="give a number")
    return UserError(f"{field} is {shown(value)}", where=f"{where}, {place}", hint="give a number")


def objects_of(top: dict[str, Any], field: str, where: str) -> list[dict[str, Any]]:
    """Return a list of objects that a JSON object holds under `field`; raises `UserError` if it is none."""
    rows = top.get(field, MISSING)
    if not isinstance(rows, list):
        said = f"there is no list {field!r}" if rows is MISSING else f"{field} is {shown(rows)}"
        raise UserError(said, where=where, hint="give a list of objects")
    for i, row in enumerate(rows):
        if not isinstance(row, dict):
            raise UserError(f"this is {shown(row)}", where=f"{where}, {field}[{i}]", hint="give an object")
    return rows


class GraphBuilder:
    """Collects the nodes and tensors of one file, in its order.

    Parameters
    ----------
    where
        The file, for errors.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.names: list[str] = []
        self._ops: list[str] = []
        self._index: dict[Hashable, int] = {}
        self._taken: set[str] = set()
        self._producers: list[int] = []
        self._row_lengths: list[int] = []
        self._consumers: list[int] = []

    def add_node(self, key: Hashable, *, name: str, op: str = "", place: str) -> int:
        """Add a node and return its index.

        Parameters
        ----------
        key
            What the file's edges call it; must be new.
        name
            What people call it; must be new.
        place
            Where it stands in the file, for errors.
        """
        index = len(self.names)
        if index % _CHECKED_EVERY == 0:
            check_deadline(self.where)
        if self._index.setdefault(key, index) != index:
            raise UserError(
                f"the id {key!r} is used twice", where=f"{self.where}, {place}", hint="ids must be distinct"
            )
        self._taken.add(name)
        if len(self._taken) == index:
            raise UserError(
                f"two nodes are called {name!r}", where=f"{self.where}, {place}", hint="names must be distinct"
            )
        self.names.append(name)
        self._ops.append(op)
        return index

    def add_nodes(self, names: Sequence[str], ops: Sequence[str]) -> bool:
        """Add all nodes of a file that calls them by their positions; if that fails, add none and return False."""
        taken = set(names)
        if self.names or len(taken) < len(names):
            return False
        check_deadline(self.where)
        self.names, self._ops, self._taken = list(names), list(ops), taken
        places = range(len(names))
        self._index = dict(zip(places, places, strict=True))
        return True

    def add_tensors(self, producers: Sequence[object], consumers: Sequence[object]) -> bool:
        """Add tensors by the positions of nodes; if anything is wrong with any of them, add none and return False."""
        kinds = (set(map(type, producers)), set(map(type, consumers)))
        if not (kinds[0] <= {int} and kinds[1] <= {list}):
            return False
        rows: Sequence[list[object]] = consumers  # type: ignore[assignment]
        flat = list(chain.from_iterable(rows))
        check_deadline(self.where)
        if not set(map(type, flat)) <= {int}:
            return False
        try:
            heads, tails = np.array(producers, np.int64), np.array(flat, np.int64)
        except OverflowError:
            return False
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        of_tail = np.repeat(heads, lengths)
        ends = np.concatenate((heads, tails))
        if (len(ends) and (ends.min() < 0 or ends.max() >= len(self.names))) or bool((of_tail == tails).any()):
            return False
        tensor = np.repeat(np.arange(len(rows)), lengths)
        if bool(((tails[1:] <= tails[:-1]) & (tensor[1:] == tensor[:-1])).any()):
            order = np.lexsort((tails, tensor))
            tails, tensor = tails[order], tensor[order]
            first = np.concatenate(([True], (tails[1:] != tails[:-1]) | (tensor[1:] != tensor[:-1])))
            tails, lengths = tails[first], np.bincount(tensor[first], minlength=len(rows))
        self._producers.extend(heads.tolist())
        self._row_lengths.extend(lengths.tolist())
        self._consumers.extend(tails.tolist())
        return True

    def node(self, key: Hashable, *, place: str) -> int:
        """Return the index of the node that an edge calls `key`."""
        index = self._index.get(key)
        if index is None:
            raise UserError(
                f"there is no node {key!r}", where=f"{self.where}, {place}", hint="add the node or remove the edge"
            )
        return index

    def add_tensor(self, producer: int, consumers: Iterable[int], *, place: str) -> None:
        """Add a tensor; a consumer that uses it twice is named once, and the producer may not consume it."""
        if len(self._producers) % _CHECKED_EVERY == 0:
            check_deadline(self.where)
        row = sorted(set(consumers))
        if producer in row:
            raise self._self_loop(producer, place)
        self._producers.append(producer)
        self._row_lengths.append(len(row))
        self._consumers.extend(row)

    def add_edges(self, edges: Sequence[tuple[Hashable, Hashable]], place: Callable[[int], str]) -> list[int]:
        """Add one tensor for each node that has out-edges, consumed by all their heads; repeated edges are one.

        Parameters
        ----------
        edges
            Pairs (tail, head) of node ids.
        place
            Describes edge ``i``, for errors.

        Returns
        -------
        producers
            The tensors' producers, ascending.
        """
        heads: dict[int, set[int]] = {}
        for i, (tail_key, head_key) in enumerate(edges):
            if i % _CHECKED_EVERY == 0:
                check_deadline(self.where)
            tail, head = self._index.get(tail_key), self._index.get(head_key)
            if tail is None or head is None or tail == head:
                tail, head = self.node(tail_key, place=place(i)), self.node(head_key, place=place(i))
                raise self._self_loop(tail, place(i))
            heads.setdefault(tail, set()).add(head)
        producers = sorted(heads)
        for tail in producers:
            self.add_tensor(tail, heads[tail], place=self.describe(tail))
        return producers

    def _self_loop(self, node: int, place: str) -> UserError:
        return UserError(
            f"node {self.names[node]!r} consumes its own output",
            where=f"{self.where}, {place}",
            hint="remove the self loop",
        )

    def describe(self, index: int) -> str:
        """Describe a node as the place of an error."""
        return f"node {self.names[index]!r}"

    def describe_tensor(self, index: int) -> str:
        """Describe a tensor as the place of an error."""
        return f"tensor {index} (of node {self.names[self._producers[index]]!r})"

    def build(
        self,
        costs: PhysicalCosts | PricedCosts,
        *,
        name: str,
        source: str,
        batch: int | None = None,
        dtype: str | None = None,
        default_stages: int | None = None,
        remarks: Sequence[str] = (),
        node_ids: Sequence[int | str] = (),
        shared: SharedParameters | None = None,
        shared_names: Sequence[str] = (),
    ) -> ModelGraph:
        """Return the graph; raises `UserError` naming the file if it is empty, cyclic or has an impossible cost."""
        check_deadline(self.where)
        pointers = prefix_sums(self._row_lengths)
        try:
            return ModelGraph(
                name=name,
                source=source,
                node_names=tuple(self.names),
                ops=tuple(self._ops),
                topology=build_topology(
                    len(self.names),
                    np.array(self._producers, np.int64),
                    pointers,
                    np.array(self._consumers, np.int64),
                ),
                costs=costs,
                batch=batch,
                dtype=dtype,
                default_stages=default_stages,
                remarks=tuple(remarks),
                node_ids=tuple(node_ids),
                shared=SharedParameters() if shared is None else shared,
                shared_names=tuple(shared_names),
            )
        except UserError as error:
            raise UserError(error.what, where=self.where, hint=error.hint) from None
