"""What callers give for a graph and a device, and the entries that they defined themselves."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from framework.errors import UserError
from framework.formats import read_graph
from framework.model.device import DEFAULT_DEVICE, load_device
from framework.model.device_chain import Devices
from framework.model.graph import ModelGraph, PhysicalCosts
from framework.portfolio.records import GraphInput
from framework.portfolio.settings import Settings
from framework.registry import EntrySpec, files_of_callers, load_plugins, registry, split_entries

if TYPE_CHECKING:
    import networkx


class TorchModule(Protocol):
    """A ``torch.nn.Module`` whose forward pass takes no arguments."""

    def forward(self) -> Any:
        """Run it."""


class TorchProgram(Protocol):
    """A ``torch.export.ExportedProgram``, which carries its example inputs."""

    def module(self) -> Any:
        """Return the module."""


GraphLike: TypeAlias = "ModelGraph | str | os.PathLike[str] | networkx.DiGraph[Any] | TorchModule | TorchProgram"
"""A graph, a file of one or ``testbed:NAME``, or what a graph can be made of without being told more."""


def take_graph(graph: GraphLike, deadline: float | None = None) -> tuple[ModelGraph, GraphInput | None]:
    """Return a graph, and how it was read if it came from a file.

    Parameters
    ----------
    deadline
        As for `framework.formats.read_graph`.

    Raises
    ------
    UserError
        If it is nothing that a graph can be made of.
    """
    if isinstance(graph, ModelGraph):
        return graph, None
    if isinstance(graph, str | os.PathLike):
        path = os.fspath(graph)
        # One of them may bring the format.
        load_plugins()
        return read_graph(path, deadline=deadline), GraphInput(path=path)
    made = _from_networkx(graph) or _from_torch(graph)
    if made is None:
        raise UserError(
            f"a {type(graph).__name__} is no graph",
            hint="give a path, a ModelGraph, a networkx.DiGraph or a torch module",
        )
    return made, None


def _from_networkx(graph: Any) -> ModelGraph | None:
    networkx = sys.modules.get("networkx")
    if networkx is None or not isinstance(graph, networkx.Graph):
        return None
    from framework.formats.networkx import from_networkx

    return from_networkx(graph)


def _from_torch(graph: Any) -> ModelGraph | None:
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    if isinstance(graph, torch.export.ExportedProgram):
        from framework.formats.torch.export import files

        return files.read(graph)
    if not isinstance(graph, torch.nn.Module):
        return None
    from framework.formats.torch.reader import read

    try:
        return read(graph)
    except UserError as error:
        hint = "if it needs inputs: pipebound.from_torch(module, example_inputs) makes a graph of it"
        raise UserError(error.what, where=error.where, hint=hint) from error


def choose_device(graph: ModelGraph, source: GraphInput | None, device: Devices | None) -> Devices | None:
    """Return what prices a graph: the device that is given, the measured one of a profile, or the usual one.

    Raises
    ------
    UserError
        If a device is given, and the graph carries its own prices.
    """
    if not isinstance(graph.costs, PhysicalCosts):
        if device is not None:
            raise UserError("this graph carries its own prices", where=graph.source, hint="leave out `device`")
        return None
    if device is not None:
        return device
    from framework.formats.profile_note import measured_device

    measured = None if source is None else measured_device(graph, source.path)
    return measured or load_device(DEFAULT_DEVICE)


def complete_settings(settings: Settings, graph: ModelGraph, source: GraphInput | None) -> Settings:
    """Return settings with a device, and with the files that members must load to know the entries of the caller."""
    files = [os.path.abspath(path) for path in settings.plugin_files]
    return replace(
        settings,
        device=choose_device(graph, source, settings.device),
        plugin_files=tuple(dict.fromkeys([*files, *files_of_callers()])),
    )


def refuse_entries_of_script(*entries: str) -> None:
    """Refuse entries that only the running script or notebook knows: members are processes of their own.

    Raises
    ------
    UserError
        For the first one.
    """
    for text in (part for entry in entries for part in split_entries(entry)):
        name = EntrySpec.parse(text).name
        if registry.get(name).factory.__module__ == "__main__":
            raise UserError(
                f"{name} is defined in the running script or notebook, where the processes that run it do not find it",
                hint="write it to a file of its own and name that in `plugin_files`",
            )
        if inner := registry.inner_of(text):
            refuse_entries_of_script(inner)
