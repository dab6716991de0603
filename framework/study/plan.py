"""The plan of a study: all its runs in the order in which they start, each with a key by which it is stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from framework.errors import UserError
from framework.model.device import DEFAULT_DEVICE, load_device
from framework.model.device_chain import DeviceChain, Devices, load_devices
from framework.portfolio.portfolio_file import load_entries
from framework.portfolio.solve import check_entries
from framework.registry import EntrySpec, registry, split_entries
from framework.study.code_version import code_version
from framework.study.graphs import StudyGraph, choose_graphs, describe_graphs
from framework.study.spec import DeviceChoice, EntryChoice, RunSettings, StudySpec


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """One run of a study.

    Attributes
    ----------
    key
        Digest of everything that decides what the run does: graph, device figures, stages, entry with all its
        parameters, seed, budget, limits, and the code version unless the key is free of it.
    identity
        The same without the code version: runs of other code versions can stand in for this one.
    device
        One for all stages, or one for each; None where the graph carries its own prices.
    """

    key: str
    identity: str
    graph: StudyGraph
    device: Devices | None
    stages: int
    choice: EntryChoice
    parameters: str
    seed: int
    budget: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All runs of a study.

    Attributes
    ----------
    left_out
        Pairs of graph and stages that were dropped because there are more stages than nodes.
    """

    runs: tuple[PlannedRun, ...]
    settings: RunSettings
    code: str
    left_out: int


def make_plan(
    spec: StudySpec,
    *,
    is_priced: Callable[[str], bool | None] = lambda sha256: None,
    say: Callable[[str], None] = lambda words: None,
) -> Plan:
    """Look up everything a spec names and return the runs it asks for.

    All runs of a pair of graph and stages are neighbours, and pairs of a graph too; graphs come in an order
    that depends on their digest only, so that a report on an unfinished study is no report on the letter A.

    Raises
    ------
    UserError
        For the first entry, parameter, device, subset or graph that does not exist, with its place in the spec.
    """
    load_entries(spec.run.plugin_files)
    parameters = {choice.label: entry_parameters(choice, spec.stages) for choice in spec.entries}
    devices = [_device(choice) for choice in spec.devices]
    longest = max(budget for choice in spec.entries for budget in choice.budgets)
    graphs = describe_graphs(choose_graphs(spec), is_priced=is_priced, say=say, budget=longest)
    graphs = _unique(graphs)
    code = code_version(spec.run.plugin_files)
    runs: dict[str, PlannedRun] = {}
    left_out = 0
    for place, graph in enumerate(sorted(graphs, key=lambda graph: graph.sha256)):
        entries = [choice for choice in spec.entries if choice.most_graphs is None or place < choice.most_graphs]
        for device in _devices_of(graph, devices):
            for stages in spec.stages:
                if stages > graph.nodes and not spec.run.more_stages_than_nodes:
                    left_out += 1
                    continue
                if isinstance(device, DeviceChain) and len(device.devices) != stages:
                    continue
                for seed in spec.seeds:
                    for choice in entries:
                        for budget in choice.budgets:
                            run = _planned(spec.run, graph, device, stages, choice, parameters, seed, budget, code)
                            runs.setdefault(run.key, run)
    if not runs:
        hint = "every graph has fewer nodes than stages, or there are other numbers of devices"
        raise UserError("asks for no run", where=str(spec.path), hint=hint)
    return Plan(runs=tuple(runs.values()), settings=spec.run, code=code, left_out=left_out)


def entry_parameters(choice: EntryChoice, stages: tuple[int, ...]) -> str:
    """Return name and all parameters of an entry, defaults included, as canonical JSON.

    Raises
    ------
    UserError
        If there is no such entry or parameter, or a portfolio has such a member, with its place in the spec.
    """
    try:
        check_entries([choice.entry], stages)
        described = [_described(text) for text in split_entries(choice.entry)]
    except UserError as error:
        raise UserError(str(error), where=choice.where) from error
    return _canonical(described[0] if len(described) == 1 else {"members": described})


def _described(text: str) -> dict[str, Any]:
    entry = registry.create(text)
    name = EntrySpec.parse(text).name
    values = {parameter.name: getattr(entry, parameter.name) for parameter in registry.get(name).parameters()}
    return {"name": name, "parameters": values}


def device_figures(device: Devices | None) -> dict[str, Any] | None:
    """Return what of devices decides prices; their names and sources do not.

    A latency of 0 is left out: devices had none at first, and runs stored then keep their keys.
    """
    if device is None:
        return None
    if isinstance(device, DeviceChain):
        return {"stages": list(device.kind_of_stage), "kinds": [device_figures(kind) for kind in device.kinds]}
    left_out = {"name", "source"} if device.link_latency else {"name", "source", "link_latency"}
    return {name: value for name, value in device.as_dict().items() if name not in left_out}


def _planned(
    settings: RunSettings,
    graph: StudyGraph,
    device: Devices | None,
    stages: int,
    choice: EntryChoice,
    parameters: dict[str, str],
    seed: int,
    budget: float,
    code: str,
) -> PlannedRun:
    facts = {
        "graph": graph.sha256,
        "device": device_figures(device),
        "stages": stages,
        "entry": parameters[choice.label],
        "seed": seed,
        "budget": budget,
        "presolve": choice.presolve,
        "workers": settings.workers,
        "gap": settings.gap,
        "memory": settings.memory_bytes,
    }
    return PlannedRun(
        key=_digest({**facts, "code": code}),
        identity=_digest(facts),
        graph=graph,
        device=device,
        stages=stages,
        choice=choice,
        parameters=parameters[choice.label],
        seed=seed,
        budget=budget,
    )


def _devices_of(graph: StudyGraph, named: Sequence[Devices]) -> Sequence[Devices | None]:
    """Return what prices a graph: nothing, what the spec names, or what `solve` takes by default."""
    if graph.priced:
        return [None]
    return named or [graph.measured or load_device(DEFAULT_DEVICE)]


def _unique(graphs: list[StudyGraph]) -> list[StudyGraph]:
    """Keep one of graphs that are equal; the first collection wins."""
    kept: dict[str, StudyGraph] = {}
    for graph in graphs:
        kept.setdefault(graph.sha256, graph)
    return list(kept.values())


def _device(choice: DeviceChoice) -> Devices:
    try:
        devices, _ = load_devices(choice.device)
        device = devices.override(
            link_bandwidth=choice.link_bandwidth,
            link_latency=choice.link_latency,
            fast_memory=choice.fast_memory,
            activations=choice.activations,
        )
    except UserError as error:
        where = f"{choice.where}: {error.where}" if error.where else choice.where
        raise UserError(error.what, where=where, hint=error.hint) from error
    if not choice.label:
        return device
    if isinstance(device, DeviceChain):
        raise UserError("a chain of devices has no label of its own", where=choice.where, hint="drop the label")
    return replace(device, name=choice.label)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def _digest(value: Any) -> str:
    return hashlib.sha256(_canonical(value).encode()).hexdigest()[:32]
