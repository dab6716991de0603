"""Cutting a program into the modules of its stages.

* A live call goes to the stage of its node. Constants are copied to every stage that uses them, and so are the stored
  tensors that they are computed from: a weight that two stages share is in both. Sizes are computed again in each
  stage, from the inputs of the program.
* A stage's inputs are inputs of the program and tensors of earlier stages; it is sent the latter by those stages
  themselves, also over several stages in between. Its outputs are what later stages use, contiguous, and what the
  program returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from framework.errors import UserError
from framework.formats.torch.export.program import Program, attribute_of, is_tensor_valued


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stage:
    """One stage of a program.

    Attributes
    ----------
    number
        Its number in the partition; empty stages have no `Stage`.
    module
        Takes its inputs one by one, and returns a tuple of its outputs.
    nodes
        Names of its nodes.
    fed
        Positions of the inputs of the program that it takes, first of all.
    received, outputs
        Names of the values that it takes after those, and of those that it returns.
    """

    number: int
    module: fx.GraphModule
    nodes: tuple[str, ...]
    fed: tuple[int, ...]
    received: tuple[str, ...]
    outputs: tuple[str, ...]


def returned_tensors(program: Program) -> list[fx.Node]:
    """Return the tensors that a program returns, in its order; one may be there twice."""
    return [leaf for leaf in program.results if isinstance(leaf, fx.Node) and is_tensor_valued(leaf)]


def value_names(program: Program) -> dict[fx.Node, str]:
    """Return a name for each value that can leave a stage, and for the inputs.

    That of a node's result is the node's, numbered where there are several.
    """
    constants = [leaf for leaf in returned_tensors(program) if leaf not in program.node_of and leaf.op != "placeholder"]
    names = {call: f"{call.name} (constant)" for call in constants} | {call: call.name for call in program.inputs}
    taken = set(names.values())
    for label, calls in zip(program.labels, program.members(), strict=True):
        whole = [call for call in calls if isinstance(call.meta.get("val"), torch.Tensor)]
        for i, call in enumerate(whole):
            name = label if len(whole) == 1 else f"{label}:{i}"
            while name in taken:
                name += "'"
            taken.add(name)
            names[call] = name
    return names


def cut_program(program: Program, stage_of: Sequence[int]) -> list[Stage]:
    """Return the stages of a partition that are not empty, in order.

    Parameters
    ----------
    stage_of
        Stage of each node of the model graph.

    Raises
    ------
    UserError
        If the partition does not fit the program, sends a tensor back, cuts a number, or parts those who use a buffer
        that the program writes.
    """
    if len(stage_of) != len(program.roots):
        raise UserError("the partition is of another program", where=program.name)
    return _Cutter(program, stage_of).cut()


class _Cutter:
    def __init__(self, program: Program, stage_of: Sequence[int]) -> None:
        self._program = program
        self._calls = list(program.module.graph.nodes)
        self._home = {call: int(stage_of[node]) for call, node in program.node_of.items()}
        self._stages = sorted({int(stage) for stage in stage_of})
        self._names = value_names(program)
        self._crossing = self._crossings()
        self._check_states()

    def cut(self) -> list[Stage]:
        return [self._stage(number) for number in self._stages]

    def _crossings(self) -> dict[fx.Node, set[int]]:
        """Return the stages that use each value of another stage."""
        users: dict[fx.Node, set[int]] = {}
        for call, stage in self._home.items():
            for used in call.all_input_nodes:
                origin = self._home.get(used, stage)
                if origin == stage:
                    continue
                label = self._program.labels[self._program.node_of[used]]
                to = self._program.labels[self._program.node_of[call]]
                if origin > stage:
                    raise UserError(f"the partition sends {label!r} back to {to!r}", where=self._program.name)
                if used not in self._names:
                    what = "a number" if not is_tensor_valued(used) else "a sequence of tensors"
                    raise UserError(
                        f"the partition cuts {what} that {label!r} hands to {to!r}",
                        where=self._program.name,
                        hint=f"solve with `--same-stage '{label},{to}'`",
                    )
                users.setdefault(used, set()).add(stage)
        return users

    def _check_states(self) -> None:
        """Refuse partitions in which two stages hold a buffer that one of them writes."""
        held: dict[str, fx.Node] = {}
        for call in self._home:
            for constant in self._program.constants_of(call):
                if str(constant.target) not in self._program.states:
                    continue
                first = held.setdefault(str(constant.target), call)
                if self._home[first] != self._home[call]:
                    names = [self._program.labels[self._program.node_of[one]] for one in (first, call)]
                    raise UserError(
                        f"{names[0]!r} and {names[1]!r} use the buffer {constant.target!r}, which the program writes",
                        where=self._program.name,
                        hint=f"solve with `--same-stage '{','.join(names)}'`",
                    )

    def _stage(self, number: int) -> Stage:
        mine = [call for call in self._calls if self._home.get(call) == number]
        returned = self._returned(number)
        copied = {leaf for leaf in returned if leaf not in self._home}
        for call in [*mine, *copied]:
            copied.update(self._program.constants_of(call))
        used = {one for call in [*mine, *copied] for one in call.all_input_nodes}
        fed = [i for i, one in enumerate(self._program.inputs) if one in used]
        received = [call for call in self._calls if number in self._crossing.get(call, ())]
        sent = [call for call in mine if call in self._crossing]
        outputs = list(dict.fromkeys([*sent, *returned]))
        graph, copies, held = fx.Graph(), dict[fx.Node, fx.Node](), dict[str, Any]()
        for call in [*(self._program.inputs[i] for i in fed), *received]:
            copies[call] = graph.placeholder(call.name)
            copies[call].meta = dict(call.meta)
        for call in self._calls:
            if self._home.get(call) == number or (call in copied and call.op != "placeholder"):
                copies[call] = graph.node_copy(call, lambda one: copies[one])
                if call.op == "get_attr":
                    held[str(call.target)] = attribute_of(self._program.module, str(call.target))
        graph.output(tuple(self._leaving(graph, call, copies[call]) for call in outputs))
        graph.lint()
        return Stage(
            number=number,
            module=fx.GraphModule(held, graph),
            nodes=tuple(dict.fromkeys(self._program.labels[self._program.node_of[call]] for call in mine)),
            fed=tuple(fed),
            received=tuple(self._names[call] for call in received),
            outputs=tuple(self._names[call] for call in outputs),
        )

    def _leaving(self, graph: fx.Graph, call: fx.Node, copy: fx.Node) -> fx.Node:
        if call not in self._crossing:
            return copy
        # What is sent while the next item runs must not be a view of a buffer that the program writes.
        operator = torch.ops.aten.clone if self._program.states else torch.ops.aten.contiguous
        keywords = {"memory_format": torch.contiguous_format}
        return graph.call_function(operator.default, (copy,), keywords)

    def _returned(self, number: int) -> list[fx.Node]:
        """Return what the program returns that this stage computes; the last one also has the constants."""
        leaves = [leaf for leaf in returned_tensors(self._program) if leaf.op != "placeholder"]
        last = number == self._stages[-1]
        return [leaf for leaf in leaves if self._home.get(leaf, number if last else None) == number]
