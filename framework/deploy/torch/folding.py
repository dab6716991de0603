"""What of a program does not change from item to item, computed once before it runs."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import fx

from framework.formats.torch.export.program import attribute_of, is_random, is_tensor_valued, states_of


class Folded(NamedTuple):
    """A module whose constants are stored, and its calls by those of the module that it was made from."""

    module: fx.GraphModule
    calls: dict[fx.Node, fx.Node]


def fold(module: fx.GraphModule) -> Folded:
    """Return a module that computes the same from the values of constants; it shares the parameters.

    A constant depends on no input, on no buffer that is written, and on no random number. One that is computed from a
    parameter stays a parameter, so that its users can be timed in training. The result takes its inputs one by one and
    returns a flat tuple.
    """
    states = states_of(module)
    values: dict[fx.Node, Any] = {}
    graph, calls, held = fx.Graph(), dict[fx.Node, fx.Node](), dict[str, Any]()
    for call in module.graph.nodes:
        fixed = call.op == "call_function" and is_tensor_valued(call) and not is_random(call)
        if call.op == "get_attr" and str(call.target) not in states:
            values[call] = attribute_of(module, str(call.target))
        elif fixed and all(used in values for used in call.all_input_nodes):
            values[call] = _value(call, values)
    for call in module.graph.nodes:
        if call not in values:
            calls[call] = graph.node_copy(call, lambda used: calls[used])
            if call.op == "get_attr":
                held[str(call.target)] = attribute_of(module, str(call.target))
        elif any(user not in values for user in call.users):
            name = str(call.target) if call.op == "get_attr" else f"constant_{call.name}"
            held[name] = values[call]
            calls[call] = graph.get_attr(name)
            calls[call].meta = dict(call.meta)
    return Folded(fx.GraphModule(held, graph), calls)


def _value(call: fx.Node, values: dict[fx.Node, Any]) -> Any:
    arguments, keywords = fx.node.map_arg((call.args, call.kwargs), lambda used: values[used])
    with torch.no_grad():
        value = call.target(*arguments, **keywords)
    used = [values[one] for one in call.all_input_nodes]
    learned = any(isinstance(one, torch.nn.Parameter) and one.requires_grad for one in used)
    real = isinstance(value, torch.Tensor) and value.is_floating_point()
    return torch.nn.Parameter(value) if learned and real else value
