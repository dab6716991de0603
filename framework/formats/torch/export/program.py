"""An exported program as a graph of calls: which are nodes, which compute constants, what they are called.

The program is made functional first, so that no operator writes into a tensor that another stage may read. Conventions:

* A *live* call depends on the values of an input, on a buffer that the program writes, or draws random numbers. Each
  one is a node, but for `getitem`, which belongs to what it takes apart, and for sizes, which belong to what they
  measure.
* All other calls compute constants (of parameters, of sizes); they are copied to whoever uses them.
* What no output depends on is left out: assertions, for instance.
* A node is called by the module that it comes from and its operator: ``layer1.0.conv1.conv2d``.
"""

from __future__ import annotations

import inspect
import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch.utils._pytree import tree_flatten, tree_leaves

from framework.errors import UserError
from framework.formats.torch.export.sizes import resized
from framework.formats.torch.naming import distinct_labels
from framework.formats.torch.operators import RANDOM

_CALL_NUMBER = re.compile(r"@\d+$")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Program:
    """A functional program, and its nodes.

    Attributes
    ----------
    name
        For reports.
    module
        The program with its parameters; it writes nothing but its own buffers.
    exported
        The functional program that `module` is of.
    arguments
        Values of its inputs, as the program was exported with or of other sizes, ``[inputs]``; what is no tensor is as
        it is.
    inputs
        The placeholders, in the order of `arguments`.
    results
        What it returns, flat: calls, inputs, or plain values.
    roots
        The calls that are nodes of the model graph, in its order.
    node_of
        The node that each live call belongs to.
    labels
        Names of the nodes.
    states
        Names of the buffers that it writes.
    """

    name: str
    module: fx.GraphModule
    exported: torch.export.ExportedProgram
    arguments: tuple[Any, ...]
    inputs: tuple[fx.Node, ...]
    results: tuple[Any, ...]
    roots: tuple[fx.Node, ...]
    node_of: Mapping[fx.Node, int]
    labels: tuple[str, ...]
    states: frozenset[str]

    def members(self) -> list[list[fx.Node]]:
        """Return the calls that belong to each node, in the order in which they run."""
        rows: list[list[fx.Node]] = [[] for _ in self.roots]
        for call, node in self.node_of.items():
            rows[node].append(call)
        return rows

    def constants_of(self, call: fx.Node) -> list[fx.Node]:
        """Return all that a call needs besides live calls and inputs: stored tensors, and what is computed of them.

        Sizes are computed of inputs, which are part of the answer, in the order of the program.
        """
        found: set[fx.Node] = set()
        pending = [used for used in call.all_input_nodes if used not in self.node_of]
        while pending:
            used = pending.pop()
            if used not in found:
                found.add(used)
                pending += used.all_input_nodes
        return [node for node in self.module.graph.nodes if node in found] if found else []

    def stored(self, node: fx.Node) -> Any:
        """Return what a `get_attr` call fetches."""
        return attribute_of(self.module, str(node.target))


def attribute_of(module: torch.nn.Module, path: str) -> Any:
    """Return what a module holds under a dotted name."""
    held: Any = module
    for part in path.split("."):
        held = getattr(held, part)
    return held


def open_program(exported: torch.export.ExportedProgram, name: str, dims: Mapping[str, int] | None = None) -> Program:
    """Return a program in functional form, with its nodes, at other sizes of open dimensions if these are given.

    Raises
    ------
    UserError
        If it cannot be made functional, writes to an input, has no live call, or no open dimension of a name.
    """
    try:
        with torch.no_grad():
            functional = exported.run_decompositions({})
            module = unlifted(functional)
    except Exception as error:  # whatever torch raises where it cannot trace the program once more
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"torch cannot make the program functional: {reason}", where=name) from error
    _reshape(module)
    calls = list(module.graph.nodes)
    inputs = tuple(node for node in calls if node.op == "placeholder")
    results = tuple(tree_leaves(calls[-1].args[0], is_leaf=lambda leaf: isinstance(leaf, fx.Node)))
    for target in _written(module):
        if target.op == "placeholder":
            raise UserError(f"the program writes to its input {target.name!r}", where=name, hint="return a copy of it")
    states = states_of(module)
    needed = _needed(calls)
    live = _live(calls, states) & needed
    root_of = {call: call for call in calls if call in live}
    for call in root_of:
        above = _joins(call, live)
        if above is not None:
            root_of[call] = root_of[above]
    roots = tuple(call for call in calls if root_of.get(call) is call)
    if not roots:
        raise UserError("nothing that the program returns depends on an input", where=name)
    number = {root: i for i, root in enumerate(roots)}
    return Program(
        name=name,
        module=module,
        exported=functional,
        arguments=resized(functional, inputs, _arguments(functional, name, len(inputs)), dims or {}, name),
        inputs=inputs,
        results=results,
        roots=roots,
        node_of={call: number[root] for call, root in root_of.items()},
        labels=tuple(distinct_labels([(module_path(root), operator_label(root)) for root in roots])),
        states=states,
    )


def unlifted(exported: torch.export.ExportedProgram) -> fx.GraphModule:
    """Return the module of a program, without the checks of its inputs that newer versions of torch add."""
    checks = "check_guards" in inspect.signature(exported.module).parameters
    module = exported.module(check_guards=False) if checks else exported.module()
    assert isinstance(module, fx.GraphModule)
    return module


def _reshape(module: fx.GraphModule) -> None:
    """Turn views into reshapes, which copy where a tensor lies otherwise than when the program was exported.

    Attention lies in memory as its device and its inputs like it, and what crosses between stages is contiguous.
    """
    for call in module.graph.nodes:
        if call.target in (torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default):
            call.target = torch.ops.aten.reshape.default
    module.recompile()


def module_path(call: fx.Node) -> str:
    """Return the path of the innermost module that a call comes from; empty for the outermost one."""
    stack = list((call.meta.get("nn_module_stack") or {}).values())
    path = str(stack[-1][0]) if stack else ""
    return _CALL_NUMBER.sub("", path.removeprefix("L['self'].").removeprefix("L['self']"))


def operator_label(call: fx.Node) -> str:
    """Return an operator with its namespace: ``aten.conv2d``."""
    target = call.target
    if isinstance(target, torch._ops.OpOverload):
        return f"{target.namespace}.{target._overloadpacket.__name__}"
    if isinstance(target, torch._ops.HigherOrderOperator):
        return f"higher_order.{target.name()}"
    return f"{getattr(target, '__module__', '').strip('_')}.{getattr(target, '__name__', call.name)}"


def is_tensor_valued(call: fx.Node) -> bool:
    """Return whether a call yields a tensor, or a sequence of values that holds some."""
    return any(isinstance(leaf, torch.Tensor) for leaf in tree_leaves(call.meta.get("val")))


def is_random(call: fx.Node) -> bool:
    """Return whether a call draws random numbers."""
    return operator_label(call).partition(".")[2].rstrip("_") in RANDOM


def states_of(module: fx.GraphModule) -> frozenset[str]:
    """Return the names of the buffers that a functional module writes."""
    return frozenset(str(target.target) for target in _written(module) if target.op == "get_attr")


def _written(module: fx.GraphModule) -> Iterator[fx.Node]:
    """Yield what a module writes to; in a functional one these are copies into buffers or inputs, at its end."""
    for call in module.graph.nodes:
        if call.target is torch.ops.aten.copy_.default and isinstance(call.args[0], fx.Node):
            yield call.args[0]


def _needed(calls: Sequence[fx.Node]) -> set[fx.Node]:
    needed = {call for call in calls if call.op == "output" or call.target is torch.ops.aten.copy_.default}
    for call in reversed(calls):
        if call in needed:
            needed.update(call.all_input_nodes)
    return needed


def _live(calls: Sequence[fx.Node], states: frozenset[str]) -> set[fx.Node]:
    sources = {call for call in calls if call.op == "placeholder"}
    states_read = {call for call in calls if call.op == "get_attr" and str(call.target) in states}
    sizes = {call for call in sources if not is_tensor_valued(call)}
    live: set[fx.Node] = set()
    for call in calls:
        if call.op != "call_function":
            continue
        used = call.all_input_nodes
        if not is_tensor_valued(call) and used and all(one in sizes or one in sources for one in used):
            sizes.add(call)
        elif any(
            one in live or one in states_read or (one in sources and one not in sizes) for one in used
        ) or is_random(call):
            live.add(call)
    return live


def _joins(call: fx.Node, live: set[fx.Node]) -> fx.Node | None:
    """Return the live call whose node this one belongs to; None if it is a node of its own."""
    above = [used for used in call.all_input_nodes if used in live]
    if len(above) != 1:
        return None
    taken_apart = call.target is operator.getitem and isinstance(above[0].meta.get("val"), list | tuple)
    return (
        above[0] if taken_apart or call.target is torch.ops.aten.copy_.default or not is_tensor_valued(call) else None
    )


def _arguments(exported: torch.export.ExportedProgram, name: str, expected: int) -> tuple[Any, ...]:
    given = exported.example_inputs
    if given is None:
        raise UserError("the program holds no example inputs", where=name, hint="export it again, and save that")
    positional, keywords = given
    # The program takes keywords in an order of its own.
    order = exported.call_spec.in_spec.unflatten([*range(exported.call_spec.in_spec.num_leaves)])[1]
    leaves = tree_flatten((tuple(positional), {key: keywords[key] for key in order}))[0]
    if len(leaves) != expected:
        raise UserError(f"the program has {expected} inputs, and its examples {len(leaves)}", where=name)
    return tuple(leaves)
