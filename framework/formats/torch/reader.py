"""PyTorch modules, from Python: the forward pass is traced on the meta device, so no weights are needed.

::

    from framework.formats import torch as torch_format

    graph = torch_format.read(lambda: MyModel(config), (torch.empty(1, 3, 224, 224, device="meta"),))

A function that builds the module builds it on the meta device: a model of any size takes no memory. A module that
exists already, or an ``ExportedProgram``, is read as it is, wherever its parameters are; it is not changed.

* Nodes are the operators that run when torch has decomposed composite ones; see `framework.formats.torch.trace` for
  views, constants and writes in place. The inputs are not nodes: the feed is free, as is fetching the results. What no
  output depends on is left out.
* Recurrent layers are unrolled: see `framework.formats.torch.recurrent`. Tensors that wrap others are followed inside.
* What forward computes outside torch (numpy, ``tolist``) cannot be followed: a remark or an error names the lines.
* The values of inputs on the meta device are unknown; those of others are used where the path of the computation
  depends on them (lengths, positions, tokens). Where it depends on values that only weights could tell, it is guessed,
  and a remark says how often; see `framework.formats.torch.guesses`.
* A parameter or buffer that several nodes use, as the steps of a recurrent layer do, is a shared parameter: whatever
  is one in memory is one here (`framework.formats.torch.parameters`). Remarks say of how many parameters only a part is
  used (rows of a table), and how many bytes of parameters and buffers no output depends on.
* Operations are counted by `framework.formats.torch.flops`: a multiply-add is two.
* A node is called by the module that runs it and its operator: ``layer1.0.conv1.convolution``.

torch is imported only when a module is read, and not installed with this package (``pip install pipebound[torch]``).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from framework.errors import UserError
from framework.formats.builder import GraphBuilder, float_column
from framework.formats.torch.naming import distinct_labels
from framework.model.graph import ModelGraph, PhysicalCosts

if TYPE_CHECKING:
    from framework.formats.torch.trace import Recorder, TracedNode


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """A graph, and what its trace tells beyond it.

    Attributes
    ----------
    graph
        The graph.
    parameters
        Number of elements of all parameters of the module, tied ones once.
    module_bytes
        Size of all parameters and buffers of the module, tied ones once.
    used_bytes
        Size of the parts of them that some node uses, each part once.
    unused
        Sizes of parameters and buffers that no node uses, by name.
    left_out_flops
        Operations that are not part of the graph, by operator: no input, or no output, depends on them.
    guesses
        How often each kind of unknown value was guessed.
    """

    graph: ModelGraph
    parameters: int
    module_bytes: int
    used_bytes: int
    unused: Mapping[str, int]
    left_out_flops: Mapping[str, int]
    guesses: Mapping[str, int]


def read(
    module: Any,
    example_inputs: Sequence[Any] | Mapping[str, Any] | Callable[[Any], tuple[Any, Any]] | None = None,
    example_keywords: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    source: str = "torch",
    batch: int | None = None,
    routed_share: float = 1.0,
) -> ModelGraph:
    """Read a torch module.

    Parameters
    ----------
    module
        A ``torch.nn.Module``, a function without arguments that builds one, or a ``torch.export.ExportedProgram``.
    example_inputs, example_keywords
        Arguments of its forward pass, tensors on the meta device or with values; containers may hold them. A single
        tensor is the only argument, a mapping holds keywords. In place of both, a function that is given the built
        module and returns them. An ``ExportedProgram`` carries its own.
    name, source
        For reports; the name is that of the module's class by default.
    batch
        The batch size that the inputs have; informative.
    routed_share
        Of a mixture of experts whose router is unknown: the share of tokens that one expert gets.

    Raises
    ------
    UserError
        If torch is not installed, the module fails to build or run, or nothing it returns depends on an input.
    """
    return capture(
        module, example_inputs, example_keywords, name=name, source=source, batch=batch, routed_share=routed_share
    ).graph


def capture(
    module: Any,
    example_inputs: Sequence[Any] | Mapping[str, Any] | Callable[[Any], tuple[Any, Any]] | None = None,
    example_keywords: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    source: str = "torch",
    batch: int | None = None,
    routed_share: float = 1.0,
) -> Capture:
    """Read a torch module as `read` does, and return also what became of its parameters."""
    try:
        import torch
        from torch.export import ExportedProgram
        from torch.utils._python_dispatch import _disable_current_modes
    except ImportError:
        raise UserError("torch is not installed", where=name or "", hint="pip install 'pipebound[torch]'") from None
    from framework.formats.torch.python_calls import PythonCalls
    from framework.formats.torch.subclasses import wrapped_on_meta
    from framework.formats.torch.trace import Recorder

    if not 0 < routed_share <= 1:
        raise UserError(f"routed_share is {routed_share}", where=name or "", hint="give a share above 0 and at most 1")
    if isinstance(module, ExportedProgram):
        if example_inputs is None and module.example_inputs is not None:
            example_inputs, example_keywords = module.example_inputs
        exported = module
        module = _run("unpacking the exported program", name or "torch", lambda: exported.module())
    recorder = Recorder(routed_share)
    with torch.no_grad(), recorder:
        model = module
        if not isinstance(module, torch.nn.Module) and callable(module):
            with PythonCalls(recorder):
                model = _run("building the module", name or "torch", module)
        if not isinstance(model, torch.nn.Module):
            raise UserError(f"this is a {type(model).__name__}, not a torch module", where=name or "")
        label = name or type(model).__name__
        own = [*model.named_parameters(), *model.named_buffers()]
        _run("reading its parameters", label, lambda: recorder.values.mark_parameters(own))
        arguments: Any = ()
        if callable(example_inputs) and not isinstance(example_inputs, torch.Tensor):
            name_inputs = example_inputs
            with _disable_current_modes():
                arguments, example_keywords = _run("naming the inputs", label, lambda: name_inputs(model))
        elif example_inputs is not None:
            arguments = example_inputs
        with wrapped_on_meta(model, recorder.values.lift), PythonCalls(recorder, [tensor for _, tensor in own]):
            results = _run_forward(recorder, model, label, arguments, example_keywords or {})
        leaves = _run("reading the results", label, lambda: _result_tensors(results))
        outputs = {recorder.values.producer(leaf) for leaf in map(recorder.values.lift, leaves)} - {None}
    nodes = _needed(recorder.nodes, {output[0] for output in outputs if output is not None})
    if not nodes:
        left = recorder.leavings.nothing_left()
        raise UserError(
            left.what if left else "nothing that it returns depends on an input through an operator",
            where=label,
            hint=left.hint if left else "give other example inputs",
        )
    return _capture(recorder, nodes, outputs, model, label, source, batch)


def _run_forward(recorder: Recorder, model: Any, label: str, arguments: Any, example_keywords: Any) -> Any:
    """Run the forward pass as in inference, and return what it returns."""
    import torch

    if isinstance(arguments, torch.Tensor):
        arguments = (arguments,)
    if isinstance(arguments, Mapping):
        arguments, example_keywords = (), {**arguments, **example_keywords}
    inputs, keywords = _run("reading the inputs", label, lambda: _live_inputs(recorder, arguments, example_keywords))
    training = [part for part in model.modules() if part.training]
    for part in training:
        part.training = False
    try:
        with recorder.forward_of(model):
            return _run("the forward pass", label, lambda: model(*inputs, **keywords))
    except UserError as error:
        if not any(isinstance(part, torch.jit.ScriptModule) for part in model.modules()):
            raise
        hint = "a TorchScript module is read where its operators allow it; else give the module that it was made from"
        raise UserError(error.what, where=error.where, hint=hint) from error
    finally:
        for part in training:
            part.training = True


def _run(what: str, where: str, function: Callable[[], Any]) -> Any:
    from framework.formats.torch.leaving import line_of

    try:
        return function()
    except UserError as error:
        raise UserError(error.what, where=error.where or where, hint=error.hint) from error
    except (Exception, SystemExit) as error:
        message = " ".join(str(error).split()) or "no message"
        message = message.rpartition("RuntimeError: ")[2] if "TorchScript interpreter" in message else message
        line = line_of(error)
        at = f" at {line}" if line else ""
        raise UserError(f"{what} failed{at}: {type(error).__name__}: {message[:300]}", where=where) from error


def _live_inputs(recorder: Recorder, inputs: Sequence[Any], keywords: Mapping[str, Any]) -> tuple[Any, Any]:
    import torch
    from torch.utils._python_dispatch import is_traceable_wrapper_subclass
    from torch.utils._pytree import tree_map

    from framework.formats.torch.subclasses import plain_tensors

    def live(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor):
            return leaf
        if is_traceable_wrapper_subclass(leaf):
            raise UserError(f"an input is a {type(leaf).__name__}", hint="give a plain tensor")
        ((_, plain),) = plain_tensors("an input", leaf)
        return recorder.values.mark_input(plain)

    live_inputs, live_keywords = tree_map(live, (tuple(inputs), dict(keywords)))
    return live_inputs, live_keywords


def _result_tensors(results: Any) -> list[Any]:
    """Return the tensors in what a model returned: containers, and objects with attributes (dataclasses)."""
    import torch
    from torch.utils._pytree import tree_leaves

    from framework.formats.torch.subclasses import plain_tensors

    found: list[Any] = []
    pending = tree_leaves(results)
    seen: set[int] = set()
    while pending:
        leaf = pending.pop()
        if id(leaf) in seen:
            continue
        seen.add(id(leaf))
        if isinstance(leaf, torch.Tensor):
            found += [tensor for _, tensor in plain_tensors("a result", leaf)]
        elif hasattr(leaf, "__dict__") and not isinstance(leaf, type | torch.nn.Module) and not callable(leaf):
            pending += tree_leaves(list(vars(leaf).values()))
    return found


def _needed(nodes: Sequence[TracedNode], results: set[int]) -> list[int]:
    """Return the nodes that some result depends on, in the order in which they ran."""
    needed: set[int] = set()
    pending = sorted(results)
    while pending:
        v = pending.pop()
        if v not in needed:
            needed.add(v)
            pending += [u for u, _ in nodes[v].inputs]
    return sorted(needed)


def _capture(
    recorder: Recorder,
    needed: Sequence[int],
    outputs: set[Any],
    model: Any,
    name: str,
    source: str,
    batch: int | None,
) -> Capture:
    from framework.formats.torch.parameters import parameter_uses, remarks_on_parameters, unused_parameters

    builder = GraphBuilder(name)
    nodes = [recorder.nodes[v] for v in needed]
    consumers: dict[Any, list[int]] = {}
    labels = distinct_labels([(node.path, node.op) for node in nodes])
    for index, (v, node) in enumerate(zip(needed, nodes, strict=True)):
        builder.add_node(v, name=labels[index], op=node.op, place=f"operator {v}")
        for output in node.inputs:
            consumers.setdefault(output, []).append(index)
    tensor_bytes: list[int] = []
    accessed: list[int] = []
    for index, (v, node) in enumerate(zip(needed, nodes, strict=True)):
        used = [j for j in range(len(node.output_bytes)) if (v, j) in consumers or (v, j) in outputs]
        for j in used:
            if (v, j) in consumers:
                builder.add_tensor(index, consumers[v, j], place=builder.describe(index))
                tensor_bytes.append(node.output_bytes[j])
        written = sum(node.output_bytes[j] for j in used) if node.bytes_written is None else node.bytes_written
        accessed.append(0 if node.is_view else node.bytes_read + written)
    charges = {charge: nbytes for node in nodes for charge, nbytes in node.charges.items()}
    uses = parameter_uses([node.charges for node in nodes], recorder.values)
    private, shared = uses.private(len(nodes)), uses.shared()
    left_out = recorder.left_out_flops.copy()
    for v in set(range(len(recorder.nodes))).difference(needed):
        left_out[recorder.nodes[v].op] += recorder.nodes[v].flops
    unused = unused_parameters(charges, recorder.values)

    def numbers(values: Sequence[int], what: str) -> Any:
        return float_column(values, what, builder.describe, name)

    graph = builder.build(
        PhysicalCosts(
            flops=numbers([node.flops for node in nodes], "the number of operations"),
            parameter_bytes=private,
            accessed_bytes=numbers(accessed, "the number of bytes accessed"),
            seconds=np.full(len(nodes), math.nan),
            tensor_bytes=float_column(tensor_bytes, "its size", builder.describe_tensor, name),
            shared_bytes=shared.sizes.astype(np.float64),
        ),
        shared=shared.users,
        shared_names=shared.names,
        name=name,
        source=source,
        batch=batch,
        dtype=_dtype(model),
        remarks=[
            *remarks_on_parameters(charges, recorder.values, sum(unused.values())),
            *remarks_of(recorder),
        ],
    )
    return Capture(
        graph=graph,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        module_bytes=recorder.values.parameter_bytes,
        used_bytes=int(private.sum() + shared.sizes.sum()),
        unused=unused,
        left_out_flops=dict(left_out),
        guesses=dict(recorder.guesses.count),
    )


def remarks_of(recorder: Recorder) -> list[str]:
    """Return what a recorder wants the user to know: guesses, autocast, lines that leave torch."""
    remarks = []
    guesses = recorder.guesses.count
    if guesses:
        listed = ", ".join(f"{kind} {count}" for kind, count in sorted(guesses.items()))
        remarks.append(f"control flow that depends on weights was guessed: {listed}")
    if recorder.autocast:
        remarks.append("autocast is not applied: tensors have the sizes that they have without it")
    left = recorder.leavings.remark()
    if left:
        remarks.append(left)
    return remarks


def _dtype(model: Any) -> str | None:
    elements = Counter[str]()
    for tensor in (*model.parameters(), *model.buffers()):
        elements[str(tensor.dtype).removeprefix("torch.")] += tensor.numel()
    return max(elements, key=lambda dtype: (elements[dtype], dtype)) if elements else None
