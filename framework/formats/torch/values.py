"""What is known of tensors on the meta device: which depend on an input, which hold parameters, which values are known.

A record is kept per storage, so views share it. A tensor that depends on an input of the model is *live*. All others
are constants; a constant remembers which parameters it was computed from. Tensors that can be computed without weights
(positions, masks, small buffers, inputs that came with values) carry their values in a real tensor beside the
meta one, so that ``.item()``, ``nonzero`` and branches on them work.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.utils._pytree import tree_flatten

from framework.formats.torch.subclasses import plain_tensors

LARGEST_KNOWN = 1 << 18
"""Values of storages with more elements are not carried along."""

Output = tuple[int, int]
"""A node, and which of its outputs."""


class Part(NamedTuple):
    """A constant that is not all of a parameter's storage: a part of one, or the result of a computation.

    Attributes
    ----------
    storage, version
        Number of its storage, and how often that was written.
    offset
        Where it begins, in elements.
    dims
        The sizes and strides, in elements, of its dimensions with several elements; sorted.
    """

    storage: int
    version: int
    offset: int
    dims: tuple[tuple[int, int], ...]


Charge = int | Part
"""A constant that a node uses: a whole parameter, by the number of its storage, or something else."""

_ViewKey = tuple[int, int, int, tuple[int, ...], tuple[int, ...]]


@dataclass(slots=True, eq=False)
class StorageRecord:
    """What is known of one storage.

    Attributes
    ----------
    storage
        Kept alive, so that its address stays its own.
    number
        Distinct per storage.
    version
        Number of writes into it so far.
    same_as
        The number of the storage that the same computation filled before; its own, if none did.
    live
        Whether it depends on an input.
    producer
        What wrote it last; None for constants and inputs.
    parameters
        Of a constant, the numbers of the parameters' storages it was computed from.
    uniform
        Whether a constant holds one value throughout; such need not be stored.
    known
        Its values, flat, if they are known.
    """

    storage: torch.UntypedStorage
    number: int
    same_as: int
    version: int = 0
    live: bool = False
    producer: Output | None = None
    parameters: frozenset[int] = frozenset()
    uniform: bool = False
    known: torch.Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter or buffer of the module: its name and size."""

    name: str
    nbytes: int


def occupied_bytes(tensor: torch.Tensor) -> int:
    """Return the bytes a tensor takes in memory; expanded dimensions count once."""
    count = 1
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        if stride != 0 or size == 0:
            count *= size
    return int(min(count * tensor.element_size(), tensor.untyped_storage().nbytes()))


def nbytes(tensor: torch.Tensor) -> int:
    """Return the bytes of a tensor's elements."""
    return int(tensor.numel() * tensor.element_size())


def address(tensor: torch.Tensor) -> int:
    """Return what tells the storages of living tensors apart."""
    return int(tensor.untyped_storage()._cdata)


def covers_storage(tensor: torch.Tensor) -> bool:
    """Return whether writing the tensor overwrites its whole storage."""
    return occupied_bytes(tensor) >= int(tensor.untyped_storage().nbytes())


class Values:
    """The records of all storages met in one trace."""

    def __init__(self) -> None:
        self.parameters: dict[int, Parameter] = {}
        self.read_by_python: set[int] = set()
        self._records: dict[int, StorageRecord] = {}
        self._numbered: list[StorageRecord] = []
        self._views: dict[_ViewKey, Output | None] = {}
        self._lifted: dict[int, tuple[torch.UntypedStorage, torch.Tensor]] = {}
        self._computed: dict[Hashable, int] = {}

    def record(self, tensor: torch.Tensor) -> StorageRecord:
        """Return the record of a meta tensor's storage; a new one says that it is a constant of unknown value."""
        key = address(tensor)
        found = self._records.get(key)
        if found is None:
            number = len(self._numbered)
            found = self._records[key] = StorageRecord(tensor.untyped_storage(), number, same_as=number)
            self._numbered.append(found)
        return found

    def records(self) -> Iterator[tuple[int, StorageRecord]]:
        """Yield all records by their numbers."""
        for record in self._numbered:
            yield record.number, record

    def origins(self, number: int) -> frozenset[int]:
        """Return the numbers of the parameters' storages that a constant's storage is, or was computed from."""
        return self._numbered[number].parameters

    def name(self, number: int) -> str:
        """Return the name of the parameter that a constant's storage is, or those that it was computed from."""
        parameter = self.parameters.get(number)
        if parameter is not None:
            return parameter.name
        return ", ".join(self.parameters[origin].name for origin in sorted(self.origins(number)))

    def mark_parameters(self, named: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Say which tensors are parameters or buffers of the module; tied ones are one."""
        for name, tensor in (plain for whole in named for plain in plain_tensors(*whole)):
            record = self.record(self.lift(tensor))
            if not record.live and record.number not in self.parameters:
                record.parameters = frozenset({record.number})
                record.uniform = False
                self.parameters[record.number] = Parameter(name=name, nbytes=record.storage.nbytes())

    @property
    def parameter_bytes(self) -> int:
        """Size of all parameters and buffers, tied ones once."""
        return sum(parameter.nbytes for parameter in self.parameters.values())

    def mark_input(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return a live meta tensor in place of an input; a real one's values are known if there are not too many."""
        with torch.utils._python_dispatch._disable_current_modes():
            twin = torch.empty_like(tensor, device="meta")
            self.record(twin).live = True
            if not tensor.is_meta:
                self.set_known(twin, tensor.detach().cpu())
        return twin

    def lift(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the meta twin of a real tensor; views of one storage get twins that share one."""
        if tensor.is_meta:
            return tensor
        with torch.utils._python_dispatch._disable_current_modes():
            storage = tensor.untyped_storage()
            entry = self._lifted.get(int(storage._cdata))
            if entry is None:
                count = storage.nbytes() // tensor.element_size()
                flat = torch.empty(count, dtype=tensor.dtype, device="meta")
                if count <= LARGEST_KNOWN and tensor.is_cpu:
                    # A copy: writes in place are repeated on known values, and the user's module must not change.
                    self.record(flat).known = torch.empty(0, dtype=tensor.dtype).set_(storage.clone())
                entry = self._lifted[int(storage._cdata)] = (storage, flat)
            flat = entry[1]
            if flat.dtype != tensor.dtype:
                return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
            return flat.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())

    # Values

    def known(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """Return the values of a tensor, as a view of what is known of its storage, or None."""
        if not tensor.is_meta:
            return tensor
        flat = self.record(tensor).known
        if flat is None or flat.dtype != tensor.dtype:
            return None
        return flat.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())

    def set_known(self, tensor: torch.Tensor, values: torch.Tensor) -> None:
        """Keep the values of a tensor that covers its storage, if there are not too many."""
        record = self.record(tensor)
        count = tensor.untyped_storage().nbytes() // tensor.element_size()
        if count > LARGEST_KNOWN or tensor.dtype.is_complex or not covers_storage(tensor):
            record.known = None
            return
        record.known = torch.zeros(count, dtype=tensor.dtype, device="cpu")
        view = record.known.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
        view.copy_(values)

    def forget(self, tensor: torch.Tensor) -> None:
        """Drop the values of a tensor's storage."""
        self.record(tensor).known = None

    # Producers

    def producer(self, tensor: torch.Tensor) -> Output | None:
        """Return what a live tensor comes from: the view it is, or the last writer of its storage."""
        record = self.record(tensor)
        return self._views.get(_view_key(tensor, record), record.producer)

    def set_view(self, tensor: torch.Tensor, output: Output | None) -> None:
        """Say what a view of a live tensor comes from, until its storage is written again."""
        self._views[_view_key(tensor, self.record(tensor))] = output

    def note_computation(self, func: Any, arguments: Any, results: Sequence[torch.Tensor]) -> None:
        """Take note of how constants were computed: one that is computed again is the same constant.

        A weight that a parametrisation computes from others is computed anew whenever its module runs.
        """
        leaves, spec = tree_flatten(arguments)
        key = (func, str(spec), tuple(map(self._identity, leaves)))
        for position, tensor in enumerate(results):
            record = self.record(tensor)
            if not record.version:
                record.same_as = self._computed.setdefault((key, position), record.same_as)

    def _identity(self, leaf: Any) -> Hashable:
        if not isinstance(leaf, torch.Tensor):
            return type(leaf), repr(leaf)
        record = self.record(leaf)
        number = record.number if record.version else record.same_as
        return number, record.version, leaf.storage_offset(), tuple(leaf.shape), leaf.stride(), leaf.dtype

    def stored(self, tensor: torch.Tensor) -> dict[Charge, int]:
        """Return the bytes of all parameters that a constant is a part of or computed from."""
        return {number: self.parameters[number].nbytes for number in self.record(tensor).parameters}

    def charges(self, tensor: torch.Tensor) -> dict[Charge, int]:
        """Return the stored bytes that a user of this constant needs, by what they are a part of.

        They are its own, or those of the parameters it is computed from if these are fewer; a constant that is computed
        from no parameter needs none.
        """
        record = self.record(tensor)
        own = occupied_bytes(tensor)
        origins = self.stored(tensor)
        if sum(origins.values()) < own or not origins:
            return origins
        if own == record.storage.nbytes() and record.number in origins:
            return {record.number: own}
        dims = sorted((size, stride) for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if size > 1)
        number = record.number if record.version else record.same_as
        return {Part(number, record.version, tensor.storage_offset(), tuple(dims)): own}


def _view_key(tensor: torch.Tensor, record: StorageRecord) -> _ViewKey:
    return (record.number, record.version, tensor.storage_offset(), tuple(tensor.shape), tuple(tensor.stride()))
