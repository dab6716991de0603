"""Where stages run, and what connects them: on cores with gloo, or on a GPU each with nccl.

A GPU computes while the thread that feeds it goes on: seconds there are those that pass until what was asked of its
present stream is done. Tensors that are received on other streams meanwhile are not waited for.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import distributed, fx

from framework.errors import UserError
from framework.formats.torch.export.program import attribute_of


class Backend(StrEnum):
    """What connects stages; `AUTO` is nccl where torch has a GPU for each of them."""

    AUTO = "auto"
    GLOO = "gloo"
    NCCL = "nccl"


def choose_backend(name: str, stages: int) -> Backend:
    """Return what connects so many stages: what is wanted, or what torch has.

    Raises
    ------
    UserError
        If there is no such backend, or nccl is wanted, and torch says that it cannot be had.
    """
    if name not in list(Backend):
        raise UserError(f"there is no backend {name!r}", hint=f"choose one of {', '.join(Backend)}")
    wanted, missing = Backend(name), _missing_for_nccl(stages)
    if wanted is Backend.NCCL and missing:
        raise UserError(f"nccl cannot connect {stages} stages: {missing}", hint="choose gloo, which runs on cores")
    if wanted is Backend.AUTO:
        return Backend.GLOO if missing else Backend.NCCL
    return wanted


def _missing_for_nccl(stages: int) -> str:
    """Return what torch lacks to give each stage a GPU; empty for nothing."""
    if not torch.cuda.is_available():
        return "torch finds no GPU"
    if not distributed.is_nccl_available():
        return "this torch is built without nccl"
    count = torch.cuda.device_count()
    return "" if count >= stages else f"torch finds {count} of them"


@dataclass(frozen=True, slots=True)
class Place:
    """The device that a stage runs on."""

    device: torch.device

    @staticmethod
    def of(backend: Backend, rank: int) -> Place:
        """Return the place of a stage: the GPU of its number, or the cores."""
        return Place(torch.device("cuda", rank)) if backend is Backend.NCCL else CORES

    @property
    def on_cores(self) -> bool:
        """Whether it is the CPU."""
        return bool(self.device.type == "cpu")

    def busy(self) -> float:
        """Return a clock: seconds that this thread had of a core, or that a GPU needs until all is done."""
        return time.thread_time() if self.on_cores else self.passed()

    def passed(self) -> float:
        """Return the time once all that was asked for is computed."""
        if not self.on_cores:
            torch.cuda.current_stream(self.device).synchronize()
        return time.perf_counter()

    def put(self, value: Any) -> Any:
        """Return a value there: a tensor, or what is none."""
        return value.to(self.device) if isinstance(value, torch.Tensor) else value

    def put_module(self, module: fx.GraphModule) -> fx.GraphModule:
        """Return a module that computes there: itself on cores, else a copy of its tensors and calls."""
        if self.on_cores:
            return module
        graph, held = fx.Graph(), dict[str, Any]()
        calls: dict[fx.Node, fx.Node] = {}
        moved: dict[int, Any] = {}
        for call in module.graph.nodes:
            calls[call] = graph.node_copy(call, lambda used: calls[used])
            if call.op == "get_attr":
                value = attribute_of(module, str(call.target))
                # What is one tensor stays one.
                if id(value) not in moved:
                    moved[id(value)] = self._held(value)
                held[str(call.target)] = moved[id(value)]
            elif call.op == "call_function":
                self._direct(calls[call])
        return fx.GraphModule(held, graph)

    def _held(self, value: Any) -> Any:
        if isinstance(value, torch.nn.Parameter):
            return torch.nn.Parameter(self.put(value.detach()), requires_grad=value.requires_grad)
        return self.put(value)

    def _direct(self, call: fx.Node) -> None:
        """Let a call make its result there: one that names a device, or makes a tensor of nothing."""

        def there(value: Any) -> Any:
            return self.device if isinstance(value, torch.device) else value

        call.args = fx.node.map_aggregate(call.args, there)
        call.kwargs = fx.node.map_aggregate(call.kwargs, there)
        names = {argument.name for argument in getattr(getattr(call.target, "_schema", None), "arguments", ())}
        if "device" in names and call.kwargs.get("device") is None and not _takes_tensors(call):
            call.kwargs = {**call.kwargs, "device": self.device}


def _takes_tensors(call: fx.Node) -> bool:
    return any(isinstance(used.meta.get("val"), torch.Tensor) for used in call.all_input_nodes)


CORES = Place(torch.device("cpu"))
