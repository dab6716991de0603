"""What the options of several commands say of a graph: which it is, how it is read, and what prices it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from framework.cli import options as opt
from framework.errors import UserError
from framework.units import parse_latency

if TYPE_CHECKING:  # numpy would triple the time of `pipebound --help`
    from framework.model.device_chain import Devices
    from framework.model.graph import ModelGraph
    from framework.model.training import Training
    from framework.portfolio.records import GraphInput


class StepOptions(NamedTuple):
    """What is said of training."""

    given: bool
    microbatches: int | None = None
    optimizer_states: int | None = None

    def training(self) -> Training | None:
        """Return how the model is trained; None for an inference.

        Raises
        ------
        UserError
            If something is said of training, and not that there is any.
        """
        from framework.model.training import ADAM, Training

        if not self.given:
            for option, value in zip(("--microbatches", "--optimizer-states"), self[1:], strict=True):
                if value is not None:
                    raise UserError("this is about training", where=option, hint="add --training")
            return None
        states = ADAM if self.optimizer_states is None else self.optimizer_states
        return Training(microbatches=self.microbatches, optimizer_states=states)


class NamedDevices(NamedTuple):
    """What --device or --devices names: the devices, or None; and how many, None if one is for all stages."""

    devices: Devices | None = None
    number: int | None = None


def named_devices(text: str | None) -> NamedDevices:
    """Read the devices that an option names, and their files: once for each command."""
    from framework.model.device_chain import load_devices

    return NamedDevices() if text is None else NamedDevices(*load_devices(text))


class GraphOptions(NamedTuple):
    """The options that say which graph is read, how, and what prices it, in the order of `solve`, as they were given.

    Attributes
    ----------
    path, format, dims, step, drop_unused, kv_tokens
        As for `read_input`.
    named, bandwidth, link_latency, fast_memory, activations
        As for `choose_device`.
    """

    path: str
    named: NamedDevices
    bandwidth: str | None
    link_latency: str | None
    fast_memory: str | None
    activations: bool
    format: str | None
    dims: list[str] | None
    step: StepOptions
    drop_unused: bool
    kv_tokens: str | None

    def read(
        self, plugin_files: Sequence[str], *, started: float | None = None, budget: float | None = None
    ) -> tuple[ModelGraph, GraphInput, Devices | None]:
        """Return the graph, where it came from, and what prices it, within the budget of a command if it has one."""
        graph, source = read_input(
            self.path,
            format=self.format,
            dims=self.dims,
            training=self.step.training(),
            drop_unused=self.drop_unused,
            kv_tokens=opt.parse_tokens(self.kv_tokens),
            plugin_files=plugin_files,
            started=started,
            budget=budget,
        )
        priced_by = choose_device(
            graph,
            self.path,
            named=self.named,
            bandwidth=self.bandwidth,
            link_latency=self.link_latency,
            fast_memory=self.fast_memory,
            activations=self.activations,
        )
        return graph, source, priced_by


def read_input(
    path: str,
    *,
    format: str | None,
    dims: list[str] | None,
    training: Training | None = None,
    drop_unused: bool = False,
    kv_tokens: int = 0,
    plugin_files: Sequence[str] = (),
    started: float | None = None,
    budget: float | None = None,
) -> tuple[ModelGraph, GraphInput]:
    """Read a graph as the options say, within the budget of the command that began at `started`, if it has one.

    Its format may be that of a plugin.
    """
    from framework.formats import read_graph
    from framework.input_files import reading_deadline
    from framework.portfolio.portfolio_file import load_entries
    from framework.portfolio.records import GraphInput

    load_entries(plugin_files)
    deadline = None if budget is None else reading_deadline(time.monotonic() if started is None else started, budget)
    values = opt.parse_dims(dims)
    graph = read_graph(
        path,
        format=format,
        dims=values,
        training=training or False,
        drop_unused=drop_unused,
        kv_tokens=kv_tokens,
        deadline=deadline,
    )
    return graph, GraphInput(
        path=path, format=format, dims=values, training=training, drop_unused=drop_unused, kv_tokens=kv_tokens
    )


def read_graph_of(
    origin: Mapping[str, Any],
    result_file: Path,
    *,
    graph: str | None,
    format: str | None,
    dims: list[str] | None,
    plugin_files: Sequence[str] = (),
) -> ModelGraph:
    """Read the graph of a result file again, as the result says, or from where the options say.

    Parameters
    ----------
    origin
        What the document of the result says of its graph.
    graph, format, dims
        What was given for each.
    """
    from framework.model.training import Training

    sizes = {**origin.get("dims", {}), **opt.parse_dims(dims)}
    model, _ = read_input(
        graph or _path(origin, result_file),
        format=format or (None if graph else origin.get("format")),
        dims=[f"{name}={value}" for name, value in sizes.items()],
        training=Training.of(origin),
        drop_unused=bool(origin.get("drop_unused", False)),
        kv_tokens=int(origin.get("kv_tokens", 0)),
        plugin_files=plugin_files,
    )
    return model


def choose_device(
    graph: ModelGraph,
    path: str,
    *,
    named: NamedDevices,
    bandwidth: str | None,
    link_latency: str | None,
    fast_memory: str | None,
    activations: bool = False,
) -> Devices | None:
    """Return the device, or those of the stages, to price the graph of a file with; None where it carries its prices.

    A profile states how fast tensors are handed over where it was measured, which counts unless the options say else.
    """
    from framework.formats.profile_note import measured_device
    from framework.model.device import DEFAULT_DEVICE, load_device
    from framework.model.graph import PhysicalCosts

    if not isinstance(graph.costs, PhysicalCosts):
        if named.devices or bandwidth or link_latency or fast_memory or activations:
            raise UserError(
                "this graph carries its own prices",
                where=graph.source,
                hint="drop --device, --bandwidth, --link-latency, --fast-memory, --activations",
            )
        return None
    link_bandwidth = None if bandwidth is None else opt.parse_size("--bandwidth", bandwidth)
    base: Devices | None = named.devices or measured_device(graph, path, link_bandwidth)
    if base is None:
        base = load_device(DEFAULT_DEVICE)
    return base.override(
        link_bandwidth=link_bandwidth,
        link_latency=None if link_latency is None else _parse_latency(link_latency),
        fast_memory=None if fast_memory is None else opt.parse_size("--fast-memory", fast_memory),
        activations=activations or None,
    )


def choose_stages(stages: list[int] | None, devices: int | None) -> list[int]:
    """Return the numbers of stages: what -k says, or as many as there are devices, if these have a number.

    Raises
    ------
    UserError
        If neither says, or both say different things.
    """
    if devices is None:
        if not stages:
            raise UserError(
                "the number of stages is missing", hint="give -k, or a device for each stage with --devices"
            )
        return stages
    if any(k != devices for k in stages or ()):
        raise UserError(f"--devices names {devices} devices, and -k says {stages}", hint="drop -k")
    return [devices]


def _parse_latency(text: str) -> float:
    try:
        return parse_latency(text)
    except UserError as error:
        raise UserError(error.what, where="--link-latency", hint=error.hint) from None


def _path(origin: Mapping[str, Any], result_file: Path) -> str:
    """Return where the graph of a result is, as the result says; relative paths start at the current folder."""
    from framework.formats import BUNDLED_SCHEME

    path = origin.get("path")
    if path is None:
        raise UserError("the result names no graph file", where=str(result_file), hint="give --graph FILE")
    if not path.startswith(BUNDLED_SCHEME) and not Path(path).exists():
        raise UserError(
            f"the graph of the result, {path}, is not here", where=str(result_file), hint="give --graph FILE"
        )
    return str(path)
