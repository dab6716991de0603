"""The specification of a study: a TOML file that lists graphs, devices, numbers of stages, entries and budgets.

    name = "first-study"
    graphs = ["testbed:resnet50", "models/*.onnx"]
    subsets = ["core"]
    devices = ["reference"]
    stages = [2, 4, 8]
    entries = ["simple", "ideal-dp:max_ideals=100000", { entry = "default", label = "ours" }]
    budgets = ["10s"]
    seeds = [0]

    [run]
    workers = 1

Everything is checked before anything runs; see docs/studies.md for all keys.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from framework.errors import UserError
from framework.fields import Fields, shown
from framework.input_files import read_text
from framework.model.instance import MAX_STAGES
from framework.units import parse_bytes, parse_latency, parse_seconds

DEFAULT_BUDGET = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphChoice:
    """A graph as the spec names it.

    Attributes
    ----------
    path
        ``testbed:NAME``, a path, or a pattern of paths.
    where
        Its place in the spec, for errors.
    format, dims, training, drop_unused
        As for `framework.formats.read_graph`.
    family
        For breakdowns; the catalogue's family or the graph's name where empty.
    """

    path: str
    where: str
    format: str | None = None
    dims: tuple[tuple[str, int], ...] = ()
    training: bool = False
    drop_unused: bool = False
    family: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryChoice:
    """An entry of the study.

    Attributes
    ----------
    entry
        ``name:param=value``.
    label
        What reports call it.
    where
        Its place in the spec, for errors.
    budgets
        Seconds; its own, or those of the study.
    presolve
        Whether exact reductions come first.
    most_graphs
        It runs on the first so many graphs in the order of the plan, which is that of their digests: a sample, the same
        each time. None: on all.
    """

    entry: str
    label: str
    where: str
    budgets: tuple[float, ...]
    presolve: bool
    most_graphs: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What holds for every run of a study.

    Attributes
    ----------
    workers
        Cores one run may use: members at a time times their threads.
    gap
        Relative gap at which a run stops.
    memory_bytes
        Limit of each member; None for a fair share of the machine.
    attempts
        How often a run whose worker was lost is tried before that is recorded as its fault.
    more_stages_than_nodes
        Whether to run pairs with more stages than the graph has nodes, which say little.
    plugin_files
        Absolute paths of Python files with entries, and of TOML files with portfolios.
    """

    workers: int
    gap: float
    memory_bytes: int | None
    attempts: int
    more_stages_than_nodes: bool
    plugin_files: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceChoice:
    """A device as the spec names it.

    Attributes
    ----------
    device
        A preset, or a .toml file.
    label
        Name in tables; the device's own where empty.
    where
        Its place in the spec, for errors.
    link_bandwidth, link_latency, fast_memory, activations
        Figures that replace those of the device, as with `--bandwidth`, `--link-latency`, `--fast-memory` and
        `--activations`; None to keep them.
    """

    device: str
    where: str
    label: str = ""
    link_bandwidth: float | None = None
    link_latency: float | None = None
    fast_memory: float | None = None
    activations: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySpec:
    """A validated spec; names of graphs, subsets, devices and entries are looked up by `framework.study.plan`.

    Attributes
    ----------
    path
        The file.
    store
        The SQLite file that takes the results.
    graphs, subsets, devices
        With their places in the spec. Without devices, graphs are priced as `solve` prices them: a profile with the
        bandwidth that it states, others with the reference device.
    slurm
        Arguments of `dask_jobqueue.SLURMCluster`, and ``jobs``.
    text
        The file's content, kept in the store.
    """

    path: Path
    name: str
    description: str
    store: Path
    graphs: tuple[GraphChoice, ...]
    subsets: tuple[tuple[str, str], ...]
    devices: tuple[DeviceChoice, ...]
    stages: tuple[int, ...]
    entries: tuple[EntryChoice, ...]
    seeds: tuple[int, ...]
    run: RunSettings
    slurm: Mapping[str, Any]
    text: str


def read_spec(path: Path) -> StudySpec:
    """Read and validate a spec.

    Raises
    ------
    UserError
        Naming the file and the key, with a hint.
    """
    try:
        text = read_text(path)
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"not a TOML file: {error}", where=str(path)) from error
    fields = Fields(table, str(path))
    run = fields.table("run")
    budgets = _budgets(fields, (DEFAULT_BUDGET,))
    presolve = run.flag("presolve", True)
    graphs = tuple(_graph(fields, *item) for item in _optional_items(fields, "graphs"))
    subsets = tuple((fields.where(key), _name(fields, key, item)) for key, item in _optional_items(fields, "subsets"))
    if not graphs and not subsets:
        raise UserError("names no graph", where=str(path), hint='give graphs = ["testbed:resnet50"] or subsets = [...]')
    entries = tuple(_entry(fields, key, item, budgets, presolve) for key, item in fields.items("entries"))
    _refuse_equal_labels(entries)
    stages = fields.integers("stages", least=1)
    for i, k in enumerate(stages):
        if k > MAX_STAGES:
            raise fields.error(f"stages[{i}]", f"{k} stages are too many", f"choose 1 to {MAX_STAGES}")
    spec = StudySpec(
        path=path,
        name=fields.text("name", path.stem),
        description=fields.text("description", path.stem),
        store=path.parent / fields.text("store", f"{path.stem}.sqlite"),
        graphs=graphs,
        subsets=subsets,
        devices=tuple(
            _device(fields, key, item, path.parent)
            for key, item in (fields.items("devices") if fields.has("devices") else [])
        ),
        stages=stages,
        entries=entries,
        seeds=fields.integers("seeds", (0,), least=0),
        run=_run_settings(run, path.parent),
        slurm=fields.table("slurm").rest(),
        text=text,
    )
    fields.finish()
    return spec


def only_subsets(spec: StudySpec, names: Sequence[str]) -> StudySpec:
    """Return the spec with these of its subsets only, and without graphs of its own.

    Raises
    ------
    UserError
        If the spec has no such subset.
    """
    known = [name for _, name in spec.subsets]
    for name in names:
        if name not in known:
            hint = f"it has: {', '.join(known)}" if known else "it names graphs only"
            raise UserError(f"`subset`: the spec has no subset '{name}'", where=str(spec.path), hint=hint)
    return replace(spec, graphs=(), subsets=tuple(item for item in spec.subsets if item[1] in names))


def _run_settings(run: Fields, folder: Path) -> RunSettings:
    memory = run.read("memory", parse_bytes)
    files = []
    for key, item in [*_optional_items(run, "plugins"), *_optional_items(run, "portfolios")]:
        file = (folder / _name(run, key, item)).resolve()
        if not file.is_file():
            raise run.error(key, f"there is no file {item}", "paths are relative to the spec")
        if (file.suffix == ".toml") != key.startswith("portfolios"):
            raise run.error(key, f"{item} is of the wrong kind", "plugins are Python files, portfolios TOML files")
        files.append(str(file))
    settings = RunSettings(
        workers=run.integer("workers", 1, least=1),
        gap=run.number("gap", 0.0, least=0.0, below=1.0),
        memory_bytes=None if memory is None else int(memory),
        attempts=run.integer("attempts", 3, least=1),
        more_stages_than_nodes=run.flag("more_stages_than_nodes", False),
        plugin_files=tuple(files),
    )
    run.finish()
    return settings


def _optional_items(fields: Fields, key: str) -> list[tuple[str, Any]]:
    return fields.items(key) if fields.has(key) else []


def _name(fields: Fields, key: str, item: Any) -> str:
    if not isinstance(item, str) or not item:
        raise fields.error(key, f"{shown(item)} is no name", "write it in quotes")
    return item


def _graph(fields: Fields, key: str, item: Any) -> GraphChoice:
    if not isinstance(item, dict):
        return GraphChoice(path=_name(fields, key, item), where=fields.where(key))
    inner = fields.inner(key, item)
    dims = inner.table("dims").rest()
    for name, size in dims.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise inner.error(f"dims.{name}", f"{shown(size)} is no size")
    choice = GraphChoice(
        path=inner.text("path"),
        where=fields.where(key),
        format=inner.text("format") if inner.has("format") else None,
        dims=tuple(sorted(dims.items())),
        training=inner.flag("training", False),
        drop_unused=inner.flag("drop_unused", False),
        family=inner.text("family") if inner.has("family") else "",
    )
    inner.finish()
    return choice


def _device(fields: Fields, key: str, item: Any, folder: Path) -> DeviceChoice:
    if not isinstance(item, dict):
        name = _name(fields, key, item)
        return DeviceChoice(device=_beside(name, folder), where=fields.where(key))
    inner = fields.inner(key, item)
    choice = DeviceChoice(
        device=_beside(inner.text("device"), folder),
        where=fields.where(key),
        label=inner.text("label") if inner.has("label") else "",
        link_bandwidth=inner.read("link_bandwidth", parse_bytes),
        link_latency=inner.read("link_latency", parse_latency),
        fast_memory=inner.read("fast_memory", parse_bytes),
        activations=inner.flag("activations") if inner.has("activations") else None,
    )
    inner.finish()
    return choice


def _beside(name: str, folder: Path) -> str:
    """Return a preset's name as it is, and a file's as it is found from the folder of the spec; so in lists of both."""
    parts = [part.strip().rpartition("*") for part in name.split(",")]
    return ",".join(
        f"{count}{star}{folder / device if device.endswith('.toml') else device}" for count, star, device in parts
    )


def _entry(fields: Fields, key: str, item: Any, budgets: tuple[float, ...], presolve: bool) -> EntryChoice:
    if not isinstance(item, dict):
        entry = _name(fields, key, item)
        return EntryChoice(entry=entry, label=entry, where=fields.where(key), budgets=budgets, presolve=presolve)
    inner = fields.inner(key, item)
    entry = inner.text("entry")
    choice = EntryChoice(
        entry=entry,
        label=inner.text("label", entry),
        where=fields.where(key),
        budgets=_budgets(inner, budgets),
        presolve=inner.flag("presolve", presolve),
        most_graphs=inner.integer("most_graphs", least=1) if inner.has("most_graphs") else None,
    )
    inner.finish()
    return choice


def _budgets(fields: Fields, default: tuple[float, ...]) -> tuple[float, ...]:
    seconds = [
        item if isinstance(item, float) else fields.parsed(key, item, parse_seconds)
        for key, item in fields.items("budgets", default)
    ]
    for i, value in enumerate(seconds):
        if not 0 < value < float("inf"):
            raise fields.error(f"budgets[{i}]", f"{value!r} is no time to run in", "give a positive time such as 30s")
    return tuple(seconds)


def _refuse_equal_labels(entries: tuple[EntryChoice, ...]) -> None:
    seen: dict[str, str] = {}
    for choice in entries:
        if choice.label in seen:
            raise UserError(
                f"the label {choice.label!r} is taken by {seen[choice.label].rpartition(': ')[2]}",
                where=choice.where,
                hint='give it another: { entry = "...", label = "..." }',
            )
        seen[choice.label] = choice.where
