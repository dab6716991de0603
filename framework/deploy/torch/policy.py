"""A solved partition for PyTorch's own pipelines: the `split_policy` of `torch.distributed.pipelining`.

PyTorch's `pipeline` exports the module once more and does not make it functional, so a view that is written in place
after a cut would be read unmodified by later stages. The policy therefore returns the functional program that was
solved, with the parameters of the module that `pipeline` was given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import fx

from framework.errors import UserError
from framework.formats.torch.export.program import Program, attribute_of, module_path
from framework.portfolio.reading import stages_of
from framework.portfolio.result import Result


def partition_of(result: Result, names: Sequence[str]) -> list[int]:
    """Return the stage of each node of a program, from a result of it, or of a graph with the same nodes.

    Parameters
    ----------
    names
        Names of the nodes of the program.

    Raises
    ------
    UserError
        If the result holds no partition, or is of a graph with another number of nodes.
    """
    if result.stage_of is None:
        raise UserError("the result holds no partition", where=result.graph.name)
    if result.graph.nodes != len(names):
        raise UserError(
            f"the result is of {result.graph.nodes} nodes, and the program has {len(names)}",
            where=result.graph.name,
            hint="solve this program, or a profile of it",
        )
    return [int(stage) for stage in stages_of(result, len(names))]


def split_policy(program: Program, stage_of: Sequence[int]) -> Callable[[fx.GraphModule], fx.GraphModule]:
    """Return the `split_policy` for `torch.distributed.pipelining.pipeline` that cuts at the stages of a partition.

    Parameters
    ----------
    program
        The program that was solved, exported with inputs of the size of one microbatch.
    stage_of
        Stage of each of its nodes.

    Raises
    ------
    UserError
        If the partition leaves a stage empty, or the program writes its buffers. The policy itself refuses modules that
        the program was not exported from.
    """
    if program.states:
        buffer = min(program.states)
        raise UserError(
            f"the program writes its buffer {buffer!r}", where=program.name, hint="run its stages with `pipeline`"
        )
    stages = max(stage_of) + 1
    empty = sorted(set(range(stages)) - set(stage_of))
    if empty:
        raise UserError(f"stage {empty[0]} is empty", where=program.name, hint="solve for fewer stages")

    def policy(traced: fx.GraphModule) -> fx.GraphModule:
        _check_same(traced, program)
        graph = _Marked(program, stage_of).graph()
        targets = {str(call.target) for call in graph.nodes if call.op == "get_attr"}
        made = fx.GraphModule({target: attribute_of(traced, target) for target in sorted(targets)}, graph)
        made.meta = dict(traced.meta)
        _name_modules(graph, traced)
        return made

    return policy


def _name_modules(graph: fx.Graph, traced: fx.GraphModule) -> None:
    """Say of each call that it is one of the outermost module; of those that use a tied parameter, the one it is in.

    PyTorch makes a module of the calls of each module, which follow each other; a stage may have some of them only, or
    in another order. And it finds a tied parameter by the module that uses it. Parameters keep their names.
    """
    names: dict[int, list[str]] = {}
    for name, parameter in traced.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    times: dict[str, int] = {}
    for call in graph.nodes:
        own, call_path = {"": ("", torch.nn.Module)}, module_path(call)
        call.meta["nn_module_stack"] = own
        for used in call.all_input_nodes if call.op == "call_function" else ():
            tied = names.get(id(attribute_of(traced, str(used.target))), []) if used.op == "get_attr" else []
            if len(tied) > 1:
                parents = [name.rpartition(".")[0] for name in (str(used.target), *tied)]
                path = call_path if call_path in parents else parents[0]
                number = times[path] = times.get(path, -1) + 1
                path = f"{path}@{number}" if number else path
                own[path] = (path, torch.nn.Module)
                break


def _check_same(traced: fx.GraphModule, program: Program) -> None:
    inputs = [node.name for node in traced.graph.nodes if node.op == "placeholder"]
    ours = [node.name for node in program.inputs]
    missing = [
        str(node.target)
        for node in program.module.graph.nodes
        if node.op == "get_attr" and not _has(traced, str(node.target))
    ]
    if inputs != ours or missing:
        what = f"its inputs are {', '.join(inputs)}" if inputs != ours else f"it has no {missing[0]!r}"
        raise UserError(
            f"the module is not the one that was exported: {what}",
            where=program.name,
            hint="export and solve the module that `pipeline` is given, with the same arguments",
        )


def _has(module: torch.nn.Module, path: str) -> bool:
    try:
        attribute_of(module, path)
    except AttributeError:
        return False
    return True


class _Marked:
    """The graph of a program in the order of its stages, with the marks of `pipe_split` between them."""

    def __init__(self, program: Program, stage_of: Sequence[int]) -> None:
        self._program = program
        self._home = {call: int(stage_of[node]) for call, node in program.node_of.items()}
        self._last = max(stage_of)
        self._graph = fx.Graph()
        self._copies: dict[fx.Node, fx.Node] = {}
        self._sent: dict[fx.Node, fx.Node] = {}

    def graph(self) -> fx.Graph:
        """Return the graph."""
        import torch.distributed.pipelining

        calls = list(self._program.module.graph.nodes)
        for call in calls:
            if call.op == "placeholder" or (call.op == "get_attr" and call.users):
                self._copies[call] = self._graph.node_copy(call)
        returned = [leaf for leaf in self._program.results if isinstance(leaf, fx.Node)]
        for stage in range(self._last + 1):
            mine = {call for call, home in self._home.items() if home == stage}
            asked = [*mine, *(leaf for leaf in returned if stage == self._last and leaf not in self._home)]
            constants = {one for call in asked for one in self._program.constants_of(call)}
            constants |= {call for call in asked if call not in self._home}
            local: dict[fx.Node, fx.Node] = {}
            value = partial(self._value, local, stage)
            for call in calls:
                if call in mine or (call in constants and call.op == "call_function"):
                    local[call] = self._graph.node_copy(call, value)
            self._copies |= {call: made for call, made in local.items() if call in mine}
            self._send(mine, stage)
            if stage == 0:
                self._send_inputs()
            if stage < self._last:
                self._graph.call_function(torch.ops.pippy._pipe_split.default, ())
            else:
                output = fx.node.map_arg(calls[-1].args[0], value)
                self._graph.output(output)
        self._graph.lint()
        return self._graph

    def _value(self, local: dict[fx.Node, fx.Node], stage: int, call: fx.Node) -> fx.Node:
        if call in local:
            return local[call]
        away = self._home.get(call, 0) != stage and call.op != "get_attr"
        return self._sent.get(call, self._copies[call]) if away else self._copies[call]

    def _send(self, mine: set[fx.Node], stage: int) -> None:
        """Make contiguous what later stages use: neither gloo nor nccl sends anything else."""
        returned = set(self._program.results)
        for call in [call for call in self._program.node_of if call in mine]:
            later = any(self._home.get(user, stage) != stage for user in call.users)
            later = later or (call in returned and stage < self._last)
            if later and isinstance(call.meta.get("val"), torch.Tensor):
                self._sent[call] = self._clone(call)

    def _send_inputs(self) -> None:
        """Hand inputs that later stages use through the first stage, which alone is given them."""
        for call in self._program.inputs:
            later = any(self._home.get(user, 0) for user in call.users)
            if (later or call in self._program.results) and isinstance(call.meta.get("val"), torch.Tensor):
                self._sent[call] = self._clone(call)

    def _clone(self, call: fx.Node) -> fx.Node:
        clone = torch.ops.aten.clone.default
        made = self._graph.call_function(clone, (self._copies[call],), {"memory_format": torch.contiguous_format})
        made.meta = {**call.meta, "val": call.meta["val"].clone(memory_format=torch.contiguous_format)}
        return made
