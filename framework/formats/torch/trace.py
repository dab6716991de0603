"""Recording a model's forward pass on the meta device: which operators run, on what, and what they yield.

`Recorder` sees every operator after torch has decomposed composite ones. Conventions:

* An operator that depends on an input of the model, or that draws random numbers during the forward pass, becomes a
  node. All others compute constants; they are folded into the nodes that use them.
* A view is not a node if it has at least as many elements as what it views (reshape, transpose, expand); a view of a
  part (slice, select, split) is a node without cost, so that what is sent between stages is the part.
* A write in place makes a new version of the whole storage; whoever reads it later depends on the last write.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch._ops import HigherOrderOperator
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from framework.formats.torch.control import run_control
from framework.formats.torch.flops import operator_flops
from framework.formats.torch.guesses import Guesses
from framework.formats.torch.leaving import Leavings
from framework.formats.torch.operators import (
    DATA_DEPENDENT,
    GATHERS,
    OVERWRITERS,
    RANDOM,
    SEPARATING,
    SHAPED_LIKE,
    UNIFORM,
    UNKNOWN,
    filled_with,
    is_composite,
    operator_name,
    run_on_meta,
    takes_device,
    written_arguments,
)
from framework.formats.torch.values import (
    LARGEST_KNOWN,
    Charge,
    Output,
    Values,
    address,
    covers_storage,
    nbytes,
    occupied_bytes,
)

_META = torch.device("meta")


@dataclass(slots=True, kw_only=True, eq=False)
class TracedNode:
    """One node of a trace.

    Attributes
    ----------
    op, path
        Operator with its namespace; the module that ran it.
    flops
        Floating point operations.
    output_bytes
        Size of each output.
    inputs
        The outputs it uses, each once.
    charges
        Stored bytes of the constants it uses, by what they are a part of.
    bytes_read, bytes_written
        What it accesses; None written means its outputs.
    is_view
        Whether it only names a part of its input.
    """

    op: str
    path: str
    flops: int = 0
    output_bytes: list[int] = field(default_factory=list)
    inputs: list[Output] = field(default_factory=list)
    charges: dict[Charge, int] = field(default_factory=dict)
    bytes_read: int = 0
    bytes_written: int | None = None
    is_view: bool = False


class Recorder(TorchDispatchMode):
    """Records the operators of a forward pass.

    Parameters
    ----------
    routed_share
        See `Guesses`.
    """

    supports_higher_order_operators = True

    def __init__(self, routed_share: float = 1.0) -> None:
        super().__init__()
        self.nodes: list[TracedNode] = []
        self.values = Values()
        self.guesses = Guesses(self.values, routed_share)
        self.leavings = Leavings()
        self.in_forward = False
        self.autocast = False
        self.left_out_flops: Counter[str] = Counter()
        self._paths: list[str] = []

    @contextmanager
    def forward_of(self, module: torch.nn.Module) -> Iterator[None]:
        """Record what happens within as the module's forward pass."""
        names = {id(part): name for name, part in module.named_modules()}

        def enter(part: torch.nn.Module, _: Any) -> None:
            self._paths.append(names.get(id(part), self._paths[-1] if self._paths else ""))

        def leave(*_: Any) -> None:
            self._paths.pop()

        handles = [
            register_module_forward_pre_hook(enter),
            register_module_forward_hook(leave, always_call=True),
        ]
        self.in_forward = True
        try:
            yield
        finally:
            self.in_forward = False
            for handle in handles:
                handle.remove()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        keywords = dict(kwargs or {})
        if any(hasattr(kind, "__tensor_flatten__") for kind in types):
            return NotImplemented  # The subclass says which operators run on the tensors within.
        if isinstance(func, HigherOrderOperator):
            with self:
                return run_control(self.guesses, func, args, keywords)
        name = operator_name(func)
        if takes_device(func) and (keywords.get("device") is not None or not _tensors((args, keywords))):
            keywords["device"] = _META
        if keywords.get("pin_memory"):
            keywords["pin_memory"] = False
        if name in ("lift_fresh", "lift"):
            return args[0]
        args, keywords = tree_map(
            lambda leaf: self.values.lift(leaf) if isinstance(leaf, torch.Tensor) else leaf, (list(args), keywords)
        )
        if name in ("_local_scalar_dense", "is_nonzero"):
            self.read_values(args[0], "item", array=False)
            return self.guesses.scalar(args[0], conjunction=self._is_conjunction(args[0]))
        if name == "equal":
            return self.guesses.equal(args[0], args[1])
        if name == "_assert_tensor_metadata":
            return None  # Of an exported program: it also asserts the device.
        if name == "_nested_tensor_from_mask_left_aligned":
            return False  # True permits a faster path, on nested tensors, which have no meta twins.
        if name == "_to_copy" and _changes_nothing(args[0], keywords):
            return args[0]
        if is_composite(func):  # As in inference mode, and within higher-order operators.
            with self:
                return func.decompose(*args, **keywords)
        return self._call(func, name, args, keywords)

    def read_values(self, tensor: torch.Tensor, what: str, *, array: bool) -> None:
        """Take note that Python reads the values of a tensor; see `Leavings.note`."""
        record = self.values.record(self.values.lift(tensor))
        if record.live:
            self.leavings.note(what, array=array)
        else:
            self.values.read_by_python |= record.parameters

    def _call(self, func: Any, name: str, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
        inputs = _tensors((args, keywords))
        written = list(written_arguments(func, args, keywords))
        out: Any = NotImplemented
        real: Any = None
        if name in DATA_DEPENDENT:
            real = self._compute(func, args, keywords)
            out = self.guesses.result(name, func, args, keywords) if real is None else tree_map(_meta_twin, real)
        if out is NotImplemented:
            out = run_on_meta(func, name, args, keywords)
        if name in SEPARATING:
            # The parts share storage, but are promised to be used as if they did not; in-place writes rely on it.
            out = tree_map(_meta_twin, out)
        if name in SHAPED_LIKE:
            real = self._filled(name, args, out)
        elif real is None and name not in RANDOM and name not in UNKNOWN and _is_small(out):
            real = self._compute(func, args, keywords)
        before = {address(tensor) for tensor in inputs}
        self._record(func, name, args, keywords, out, inputs, written)
        self._keep_values(name, out, real, before, written, args)
        return out

    # Values

    def _compute(self, func: Any, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
        """Run an operator on the values of its arguments, in place where it writes; None if one is unknown."""
        complete = True

        def value(leaf: Any) -> Any:
            nonlocal complete
            if not isinstance(leaf, torch.Tensor):
                return leaf
            known = self.values.known(leaf)
            complete = complete and known is not None
            return known

        real_args, real_keywords = tree_map(value, (list(args), keywords))
        if not complete:
            return None
        if "device" in real_keywords:
            real_keywords["device"] = torch.device("cpu")
        try:
            return func(*real_args, **real_keywords)
        except (RuntimeError, NotImplementedError, IndexError, ValueError):
            # The values are a help; that the operator is possible at all, its meta run decides.
            return None

    def _filled(self, name: str, args: Sequence[Any], out: torch.Tensor) -> torch.Tensor | None:
        number = filled_with(name, args)
        if name == "empty_like" and not out.is_floating_point() and not out.is_complex():
            number = 0  # As good as any; indices are often written into such tensors one by one.
        if number is None or out.numel() > LARGEST_KNOWN:
            return None
        return torch.full(out.shape, number, dtype=out.dtype)

    def _keep_values(
        self, name: str, out: Any, real: Any, before: set[int], written: Sequence[torch.Tensor], args: Sequence[Any]
    ) -> None:
        if real is None:
            for tensor in written:
                self.values.forget(tensor)
            if name == "copy" and covers_storage(args[0]):
                source = self.values.known(args[1]) if isinstance(args[1], torch.Tensor) else None
                if source is not None:
                    self.values.set_known(args[0], source)
            return
        for tensor, values in zip(_tensors(out), _tensors(real), strict=False):
            if address(tensor) not in before and tensor.shape == values.shape and tensor.dtype == values.dtype:
                self.values.set_known(tensor, values)

    def _is_conjunction(self, tensor: torch.Tensor) -> bool:
        producer = self.values.producer(tensor)
        return producer is not None and self.nodes[producer[0]].op == "aten.all"

    # Nodes

    def _record(
        self,
        func: Any,
        name: str,
        args: Sequence[Any],
        keywords: Mapping[str, Any],
        out: Any,
        inputs: Sequence[torch.Tensor],
        written: Sequence[torch.Tensor],
    ) -> None:
        outputs = _tensors(out)
        live = [] if name in SHAPED_LIKE else [tensor for tensor in inputs if self.values.record(tensor).live]
        if not live and not (self.in_forward and name in RANDOM):
            if self.in_forward:
                self.left_out_flops[f"{func.namespace}.{name}"] += operator_flops(func, args, keywords, out, inputs)
            self._record_constant(name, inputs, outputs, written)
            if self.in_forward and not written and name not in RANDOM | UNKNOWN:
                self.values.note_computation(func, (args, keywords), outputs)
            return
        sources = {address(tensor): tensor for tensor in inputs}
        if outputs and not written and all(address(tensor) in sources for tensor in outputs):
            self._record_views(func, name, outputs, sources)
            return
        node = TracedNode(op=f"{func.namespace}.{name}", path=self._paths[-1] if self._paths else "")
        node.is_view = name in SEPARATING
        self._read_inputs(node, name, inputs, outputs, written)
        node.flops = operator_flops(func, args, keywords, out, live)
        self._add(node)
        self._write_outputs(node, [*outputs, *written], sources, written)

    def _record_constant(
        self,
        name: str,
        inputs: Sequence[torch.Tensor],
        outputs: Sequence[torch.Tensor],
        written: Sequence[torch.Tensor],
    ) -> None:
        sources = {address(tensor) for tensor in inputs}
        records = [self.values.record(tensor) for tensor in inputs]
        origins = frozenset[int]().union(*(record.parameters for record in records))
        uniform = name in UNIFORM or (bool(records) and all(record.uniform for record in records))
        for tensor in outputs:
            if address(tensor) not in sources:
                record = self.values.record(tensor)
                record.parameters = frozenset() if name in UNIFORM else origins
                record.uniform = uniform
        for tensor in _distinct(written):
            record = self.values.record(tensor)
            record.version += 1
            record.parameters |= origins
            record.uniform = uniform and covers_storage(tensor)

    def _record_views(
        self, func: Any, name: str, outputs: Sequence[torch.Tensor], sources: Mapping[int, torch.Tensor]
    ) -> None:
        node = TracedNode(op=f"{func.namespace}.{name}", path=self._paths[-1] if self._paths else "", is_view=True)
        parts = []
        for tensor in outputs:
            source = sources[address(tensor)]
            if not self.values.record(tensor).live:
                continue
            origin = self.values.producer(source)
            if tensor.numel() >= source.numel() or nbytes(tensor) >= occupied_bytes(source):
                self.values.set_view(tensor, origin)
                continue
            parts.append(tensor)
            if origin is not None and origin not in node.inputs:
                node.inputs.append(origin)
        if parts:
            index = self._add(node)
            for tensor in parts:
                node.output_bytes.append(nbytes(tensor))
                self.values.set_view(tensor, (index, len(node.output_bytes) - 1))

    def _read_inputs(
        self,
        node: TracedNode,
        name: str,
        inputs: Sequence[torch.Tensor],
        outputs: Sequence[torch.Tensor],
        written: Sequence[torch.Tensor],
    ) -> None:
        targets = {address(tensor) for tensor in written}
        for position, tensor in enumerate(inputs):
            record = self.values.record(tensor)
            replaced = name in OVERWRITERS and any(tensor is target for target in written)
            size = occupied_bytes(tensor)
            read = min(size, nbytes(outputs[0])) if name in GATHERS and not position and outputs else size
            if record.live:
                if replaced and covers_storage(tensor):
                    continue
                producer = record.producer if address(tensor) in targets else self.values.producer(tensor)
                if producer is not None and producer not in node.inputs:
                    node.inputs.append(producer)
                node.bytes_read += 0 if replaced else read
            elif not record.uniform and not replaced:
                node.charges |= self.values.charges(tensor)
                node.bytes_read += read
            elif record.number in self.values.parameters or not covers_storage(tensor):
                # A buffer that is written, as a cache of keys and values is, must be stored, and so must the rest of
                # what is replaced in part.
                node.charges |= self.values.stored(tensor)

    def _write_outputs(
        self,
        node: TracedNode,
        tensors: Sequence[torch.Tensor],
        sources: Mapping[int, torch.Tensor],
        written: Sequence[torch.Tensor],
    ) -> None:
        index = len(self.nodes) - 1
        targets = {address(tensor) for tensor in written}
        for tensor in _distinct(tensors):
            record = self.values.record(tensor)
            if address(tensor) in targets:
                record.version += 1
                node.bytes_written = (node.bytes_written or 0) + occupied_bytes(tensor)
                node.output_bytes.append(tensor.untyped_storage().nbytes())
            elif address(tensor) in sources:
                if record.live:
                    self.values.set_view(tensor, self.values.producer(sources[address(tensor)]))
                continue
            else:
                node.output_bytes.append(nbytes(tensor))
            record.live = True
            record.producer = (index, len(node.output_bytes) - 1)

    def _add(self, node: TracedNode) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _distinct(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return one tensor per storage."""
    return list({address(tensor): tensor for tensor in reversed(tensors)}.values())[::-1]


def _meta_twin(leaf: Any) -> Any:
    return torch.empty_like(leaf, device="meta") if isinstance(leaf, torch.Tensor) else leaf


def _is_small(out: Any) -> bool:
    return all(tensor.numel() <= LARGEST_KNOWN for tensor in _tensors(out))


def _changes_nothing(tensor: torch.Tensor, keywords: Mapping[str, Any]) -> bool:
    """Return whether a copy only moves a tensor between devices."""
    return keywords.get("dtype") in (None, tensor.dtype) and keywords.get("memory_format") in (
        None,
        torch.preserve_format,
    )
