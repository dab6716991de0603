"""The model graph of an exported program.

Sizes and operations are those of the program's example inputs: the calls run once more on the meta device, under the
`Recorder` that also reads modules, so that operators cost the same in both. A call accesses what it reads and what it
returns, whatever it is decomposed into; views cost nothing. A node is charged every stored tensor that it is computed
from, whole, since a stage that holds the node must hold that: what is one in memory is one here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_leaves

from framework.errors import UserError
from framework.formats.builder import GraphBuilder, float_column
from framework.formats.parameters import ParameterUses
from framework.formats.torch.export.caches import kept_bytes
from framework.formats.torch.export.gradients import Trained
from framework.formats.torch.export.program import Program, operator_label
from framework.formats.torch.operators import GATHERS
from framework.formats.torch.python_calls import PythonCalls
from framework.formats.torch.reader import remarks_of
from framework.formats.torch.subclasses import plain_tensors
from framework.formats.torch.trace import Recorder
from framework.formats.torch.values import address, nbytes, occupied_bytes
from framework.model.graph import ModelGraph, PhysicalCosts

NUMBER_BYTES = 8
"""What a size or another number takes that one node hands to another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCosts:
    """What one call costs at the sizes of the example inputs.

    Attributes
    ----------
    operations
        Its floating point operations, by the operators that it is decomposed into.
    accessed_bytes
        What it reads and returns; nothing for a view.
    output_bytes
        The size of what it returns; of the elements of a sequence, one each.
    is_view
        Whether all that it returns shares the memory of what it is given.
    """

    operations: Mapping[str, int]
    accessed_bytes: int
    output_bytes: tuple[int, ...]
    is_view: bool

    @property
    def flops(self) -> int:
        """All its operations."""
        return sum(self.operations.values())


def costs_of_calls(program: Program) -> tuple[dict[fx.Node, CallCosts], tuple[str, ...]]:
    """Return what each live call costs, and remarks.

    Raises
    ------
    UserError
        If a call does not run on the meta device.
    """
    recorder = Recorder()
    module = program.module
    own = [*module.named_parameters(), *module.named_buffers()]
    with torch.no_grad(), recorder:
        recorder.values.mark_parameters(own)
        arguments = [
            recorder.values.mark_input(leaf) if isinstance(leaf, torch.Tensor) else leaf for leaf in program.arguments
        ]
        with PythonCalls(recorder, [tensor for _, tensor in own]):
            recorder.in_forward = True
            meter = _Meter(program, recorder)
            try:
                meter.run(*arguments, enable_io_processing=False)
            except UserError as error:
                raise UserError(error.what, where=error.where or program.name, hint=error.hint) from error
            except Exception as error:
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise UserError(
                    f"{meter.running} does not run on the meta device: {reason}", where=program.name
                ) from error
    return meter.costs, tuple(remarks_of(recorder))


def build_graph(program: Program, *, source: str = "torch", kv_tokens: int = 0) -> ModelGraph:
    """Return the model graph of a program.

    Parameters
    ----------
    kv_tokens
        Tokens whose keys and values attention keeps; 0 for none.

    Raises
    ------
    UserError
        If a call does not run on the meta device, or nothing keeps keys and values.
    """
    costs, remarks = costs_of_calls(program)
    members = program.members()
    state, kept = kept_bytes(program, members, kv_tokens)
    builder = GraphBuilder(program.name)
    for label, root in zip(program.labels, program.roots, strict=True):
        builder.add_node(root.name, name=label, op=operator_label(root), place=f"call {root.name}")
    returned = {leaf for leaf in program.results if isinstance(leaf, fx.Node)}
    trained = Trained(program)
    tensor_bytes: list[int] = []
    gradient_bytes: list[int] = []
    for index, calls in enumerate(members):
        for call in calls:
            users = {program.node_of[user] for user in call.users if user in program.node_of} - {index}
            if users:
                builder.add_tensor(index, users, place=builder.describe(index))
                tensor_bytes.append(sum(costs[call].output_bytes) or NUMBER_BYTES)
                gradient_bytes.append(tensor_bytes[-1] if call in trained else 0)
    uses = _parameter_uses(program, members)
    private, shared = uses.private(len(members)), uses.shared()

    def numbers(values: Sequence[int], what: str) -> Any:
        return float_column(values, what, builder.describe, program.name)

    flops = [sum(costs[call].flops for call in calls) for calls in members]
    backward = [trained.operations(calls, own) for calls, own in zip(members, flops, strict=True)]
    return builder.build(
        PhysicalCosts(
            flops=numbers(flops, "its operations"),
            parameter_bytes=private,
            accessed_bytes=numbers([_accessed(calls, costs, returned) for calls in members], "bytes accessed"),
            seconds=np.full(len(members), math.nan),
            tensor_bytes=float_column(tensor_bytes, "its size", builder.describe_tensor, program.name),
            shared_bytes=shared.sizes.astype(np.float64),
            state_bytes=np.array(state, np.float64),
            backward_flops=np.array(backward if trained else [], np.float64),
            gradient_bytes=np.array(gradient_bytes if trained else [], np.float64),
        ),
        shared=shared.users,
        shared_names=shared.names,
        name=program.name,
        source=source,
        dtype=_dtype(program.module),
        remarks=[*remarks, *kept, *_unused(program, float(private.sum() + shared.sizes.sum()))],
    )


def stored_tensors(program: Program, calls: Sequence[fx.Node]) -> dict[int, tuple[str, int]]:
    """Return the storages that calls are computed from, by their addresses: a name, and the size in bytes."""
    found: dict[int, tuple[str, int]] = {}
    for call in calls:
        for constant in program.constants_of(call):
            held = program.stored(constant) if constant.op == "get_attr" else None
            if isinstance(held, torch.Tensor):
                for name, tensor in plain_tensors(str(constant.target), held):
                    found.setdefault(address(tensor), (name, int(tensor.untyped_storage().nbytes())))
    return found


class _Meter(fx.Interpreter):
    """Runs the calls of a program under a recorder, and notes what each live one costs."""

    def __init__(self, program: Program, recorder: Recorder) -> None:
        super().__init__(program.module, garbage_collect_values=True)
        self.costs: dict[fx.Node, CallCosts] = {}
        self.running = ""
        self._live = program.node_of
        self._recorder = recorder

    def run_node(self, n: fx.Node) -> Any:
        self.running = operator_label(n) if n.op == "call_function" else n.name
        if n not in self._live:
            return super().run_node(n)
        arguments = self.fetch_args_kwargs_from_env(n)
        given = [leaf for leaf in tree_leaves(arguments) if isinstance(leaf, torch.Tensor)]
        before = len(self._recorder.nodes)
        out = super().run_node(n)
        operations = Counter[str]()
        for traced in self._recorder.nodes[before:]:
            operations[traced.op] += traced.flops
        self.costs[n] = self._costs(n, given, out, operations)
        return self._laid_out(out, n.meta.get("val"))

    def _laid_out(self, out: Any, like: Any) -> Any:
        """Return a tensor that lies in memory as the program says: attention, for one, leaves it as its device likes.

        What follows was exported for that layout. Sizes that are open say nothing of it.
        """
        if not isinstance(out, torch.Tensor) or not isinstance(like, torch.Tensor):
            return out
        closed = all(isinstance(number, int) for number in (*like.shape, *like.stride()))
        if not closed or out.shape != like.shape or out.stride() == like.stride():
            return out
        values = self._recorder.values
        with _disable_current_modes():
            twin = torch.empty_strided(out.shape, like.stride(), dtype=out.dtype, device="meta")
        record = values.record(twin)
        record.live, record.producer = True, values.producer(out)
        return twin

    def _costs(self, n: fx.Node, given: list[torch.Tensor], out: Any, operations: Mapping[str, int]) -> CallCosts:
        outputs = [leaf for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
        sources = {address(self._recorder.values.lift(tensor)) for tensor in given}
        is_view = all(address(tensor) in sources for tensor in outputs)
        written = sum(map(nbytes, outputs))
        read = [occupied_bytes(tensor) for tensor in given]
        if read and operator_label(n).partition(".")[2] in GATHERS:
            read[0] = min(read[0], written)
        return CallCosts(
            operations=operations,
            accessed_bytes=0 if is_view else sum(read) + written,
            output_bytes=tuple(map(nbytes, outputs)),
            is_view=is_view,
        )


def _accessed(calls: Sequence[fx.Node], costs: Mapping[fx.Node, CallCosts], returned: set[fx.Node]) -> int:
    """Return the bytes that a node accesses; of a sequence, only the elements that somebody takes are written."""
    root = calls[0]
    taken = [call for call in calls[1:] if costs[call].is_view and (call.users or call in returned)]
    unused = sum(costs[root].output_bytes) - sum(sum(costs[call].output_bytes) for call in taken)
    total = sum(costs[call].accessed_bytes for call in calls)
    return total - max(0, unused) if taken and not costs[root].is_view else total


def _parameter_uses(program: Program, members: Sequence[Sequence[fx.Node]]) -> ParameterUses:
    uses = ParameterUses()
    for index, calls in enumerate(members):
        for key, (name, size) in stored_tensors(program, calls).items():
            uses.add(key, index, size, name)
    return uses


def _unused(program: Program, used: float) -> list[str]:
    """Say how many bytes of the module no node uses, if that matters."""
    storages = {
        address(part): int(part.untyped_storage().nbytes())
        for name, tensor in [*program.module.named_parameters(), *program.module.named_buffers()]
        for _, part in plain_tensors(name, tensor)
    }
    total = sum(storages.values())
    left = total - int(used)
    return [f"{left} bytes of parameters and buffers take no part in the outputs"] if left > total // 1000 else []


def _dtype(module: fx.GraphModule) -> str | None:
    elements = Counter[str]()
    for tensor in (*module.parameters(), *module.buffers()):
        elements[str(tensor.dtype).removeprefix("torch.")] += tensor.numel()
    return max(elements, key=lambda dtype: (elements[dtype], dtype)) if elements else None
