"""From the names in a spec to graphs: subsets of the testbed, bundled graphs, files and patterns of files."""

from __future__ import annotations

import glob
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from framework.errors import UserError
from framework.formats import BUNDLED_SCHEME, read_graph
from framework.formats.profile_note import measured_device
from framework.input_files import reading_deadline
from framework.model.device import Device
from framework.model.graph import ModelGraph, PricedCosts
from framework.study.spec import GraphChoice, StudySpec
from framework.testbed import catalogue

T = TypeVar("T")

FILES = "graphs"
"""The set of graphs that a spec names one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyGraph:
    """A graph of a study.

    Attributes
    ----------
    choice
        How to read it.
    sha256
        `ModelGraph.sha256`.
    collection
        The subset it came with, or ``graphs``.
    family, task
        From the catalogue; for files the family is what the spec says, or the graph's name.
    priced
        Whether it carries its own prices, so that no device applies.
    measured
        What hands tensors over as fast as the machine that a profile was measured on; None for any other graph.
    """

    choice: GraphChoice
    sha256: str
    name: str
    collection: str
    family: str
    task: str
    nodes: int
    tensors: int
    priced: bool
    measured: Device | None = None


def graphs_of_subset(name: str) -> list[str]:
    """Return the names of the graphs of a testbed subset."""
    return list(catalogue.subset_names(name))


def choose_graphs(spec: StudySpec) -> list[tuple[str, GraphChoice]]:
    """Return (collection, choice) of every graph a spec names, each graph once, patterns expanded.

    Raises
    ------
    UserError
        For an unknown subset, an unknown bundled graph, or a pattern or path that matches nothing.
    """
    chosen: dict[str, tuple[str, GraphChoice]] = {}
    for where, subset in spec.subsets:
        for name in _at(where, partial(graphs_of_subset, subset)):
            path = f"{BUNDLED_SCHEME}{name}"
            chosen.setdefault(path, (subset, GraphChoice(path=path, where=where)))
    for choice in spec.graphs:
        for path in _expand(choice, spec.path.parent):
            chosen.setdefault(path, (FILES, replace(choice, path=path)))
    return list(chosen.values())


def describe_graphs(
    choices: Iterable[tuple[str, GraphChoice]],
    *,
    is_priced: Callable[[str], bool | None],
    say: Callable[[str], None],
    budget: float,
) -> list[StudyGraph]:
    """Find out what a plan must know of every graph; reads files, and bundled graphs only where it must.

    Parameters
    ----------
    is_priced
        What an earlier plan found out about the graph of a digest; None if nothing.
    say
        Called with the name of every graph that is read.
    budget
        Seconds that reading a graph may take.
    """
    rows = {f"{BUNDLED_SCHEME}{row.name}": row for row in catalogue.bundled_graphs()}
    graphs = []
    for collection, choice in choices:
        row = rows.get(choice.path)
        priced = None if row is None else is_priced(row.sha256)
        measured = None
        if row is not None and priced is not None:
            sha256, name, nodes, tensors = row.sha256, row.name, row.nodes, row.tensors
        else:
            say(choice.path)
            graph = _at(choice.where, partial(read_choice, choice, budget))
            measured = _at(choice.where, partial(measured_device, graph, choice.path))
            priced = isinstance(graph.costs, PricedCosts)
            sha256, name, nodes, tensors = graph.named_sha256(), graph.name, graph.topology.n, graph.topology.m
        graphs.append(
            StudyGraph(
                choice=choice,
                sha256=sha256,
                name=name if row is None else row.name,
                collection=collection,
                family=choice.family or (_generated_family(name) if row is None else row.family),
                task="" if row is None else row.task,
                nodes=nodes,
                tensors=tensors,
                priced=priced,
                measured=measured,
            )
        )
    return graphs


def read_choice(choice: GraphChoice, budget: float) -> ModelGraph:
    """Read a graph as a spec says, within a budget."""
    return read_graph(
        choice.path,
        format=choice.format,
        dims=dict(choice.dims) or None,
        training=choice.training,
        drop_unused=choice.drop_unused,
        deadline=reading_deadline(time.monotonic(), budget),
    )


def _expand(choice: GraphChoice, folder: Path) -> list[str]:
    if choice.path.startswith(BUNDLED_SCHEME):
        return [choice.path]
    # A file may well have brackets in its name, and so may its folder.
    if (folder / choice.path).is_file():
        return [str(folder / choice.path)]
    pattern = str(Path(glob.escape(str(folder))) / choice.path)
    found = sorted(glob.glob(pattern, recursive=True))
    if not found:
        what = "no file matches" if glob.has_magic(choice.path) else "there is no file"
        raise UserError(f"{what} {choice.path}", where=choice.where, hint="paths are relative to the spec")
    return [str(Path(path).resolve()) for path in found if Path(path).is_file()]


def _generated_family(name: str) -> str:
    """Return the family of a generated graph, whose name ends in its size and seed."""
    return re.sub(r"(-[0-9]+)+$", "", name)


def _at(where: str, look_up: Callable[[], T]) -> T:
    """Call `look_up`; an error of the user's gets the place in the spec."""
    try:
        return look_up()
    except UserError as error:
        place = f"{where}: {error.where}" if error.where else where
        raise UserError(error.what, where=place, hint=error.hint) from error
