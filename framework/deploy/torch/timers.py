"""Interpreters that time the calls of a program one by one, forwards alone or backwards too."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import fx
from torch.utils._pytree import tree_leaves, tree_map

CLOCKS: Mapping[str, Callable[[], float]] = {"cpu": time.thread_time, "wall": time.perf_counter}
"""What seconds are: those that this thread had of a core, or those that passed."""


class ForwardTimer(fx.Interpreter):
    """Runs a module call by call, and times those that are given.

    Parameters
    ----------
    module
        A module of `fold`.
    timed
        Calls that are timed; the others are free.
    clock
        One of `CLOCKS`.

    Attributes
    ----------
    seconds, backward
        Of each call that is timed, for each run; backward is left empty where only forward passes are run.
    """

    def __init__(self, module: fx.GraphModule, timed: set[fx.Node], clock: Callable[[], float]) -> None:
        super().__init__(module, garbage_collect_values=True)
        self._learned: set[fx.Node] = set()
        self.seconds: dict[fx.Node, list[float]] = {call: [] for call in timed}
        self.backward: dict[fx.Node, list[float]] = {call: [] for call in timed}
        self._clock = clock

    def run_node(self, n: fx.Node) -> Any:
        """Run a call, and time it if it is one of those."""
        if n not in self.seconds:
            return super().run_node(n)
        arguments, keywords = self.fetch_args_kwargs_from_env(n)
        return self._timed(n, arguments, keywords)

    def run_once(self, arguments: list[Any]) -> None:
        """Run all calls once."""
        with torch.no_grad():
            self.run(*arguments, enable_io_processing=False)

    def _timed(self, n: fx.Node, arguments: Any, keywords: Any) -> Any:
        begun = self._clock()
        out = n.target(*arguments, **keywords)
        self.seconds[n].append(self._clock() - begun)
        return out


class TrainingTimer(ForwardTimer):
    """Times each call forwards, and the gradients of all that it is computed from backwards.

    Each call runs in a graph of its own, so that its gradients are not those of other calls. Inputs of the program have
    no gradients, nor has what no parameter that is trained lies behind: buffers, and what is computed of inputs alone.
    """

    def run_node(self, n: fx.Node) -> Any:
        """Run a call, and note whether its results have gradients."""
        out = super().run_node(n)
        if n.op == "get_attr":
            if isinstance(out, torch.nn.Parameter) and out.requires_grad:
                self._learned.add(n)
        elif any(used in self._learned for used in n.all_input_nodes):
            self._learned.add(n)
        return out

    def run_once(self, arguments: list[Any]) -> None:
        """Run all calls once, each with its gradients."""
        with torch.enable_grad():
            self.run(*arguments, enable_io_processing=False)

    def _timed(self, n: fx.Node, arguments: Any, keywords: Any) -> Any:
        learned = {
            id(one) for used in n.all_input_nodes if used in self._learned for one in tree_leaves(self.env[used])
        }

        def leaf(value: Any) -> Any:
            if not isinstance(value, torch.Tensor):
                return value
            real = value.is_floating_point() or value.is_complex()
            return value.detach().requires_grad_(real and id(value) in learned)

        given, named = tree_map(leaf, (arguments, keywords))
        begun = self._clock()
        out = n.target(*given, **named)
        seconds, backward = self._clock() - begun, 0.0
        results = [one for one in tree_leaves(out) if isinstance(one, torch.Tensor) and one.requires_grad]
        sources = [one for one in tree_leaves((given, named)) if isinstance(one, torch.Tensor) and one.requires_grad]
        if results and sources:
            gradients = [torch.ones_like(one) for one in results]
            begun = self._clock()
            torch.autograd.grad(results, sources, gradients, allow_unused=True)
            backward = self._clock() - begun
        self.seconds[n].append(seconds)
        self.backward[n].append(backward)
        return tree_map(lambda one: one.detach() if isinstance(one, torch.Tensor) else one, out)


def run_backward(module: fx.GraphModule, arguments: list[Any]) -> None:
    """Run a module, and the gradients of the sum of its results with respect to its parameters."""
    with torch.enable_grad():
        results = [
            one for one in tree_leaves(module(*arguments)) if isinstance(one, torch.Tensor) and one.requires_grad
        ]
        learned = [parameter for parameter in module.parameters() if parameter.requires_grad]
        if results and learned:
            torch.autograd.grad(results, learned, [torch.ones_like(one) for one in results], allow_unused=True)
