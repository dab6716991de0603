"""Splits in the words of other tools, read as the stage of each node of a graph.

A split may be the name of a naive one (`framework.layouts.naive`), text, or a file:

* a result of this program;
* CSV with the columns node and stage;
* JSON: a device map as accelerate has it, ``{"model.layers.0": 0}``; the modules of each stage as torchtitan takes
  them, ``[["tok_embeddings", "layers.0"], ["layers.1"]]``; a split spec of torch.distributed.pipelining,
  ``{"layers.4": "BEGINNING"}``; parts as DeepSpeed counts them, ``[0, 4, 8]``; or ``{"node": stage}``;
* numbers of layers as vLLM takes them, ``4,8,8,4``, alone or as ``VLLM_PP_LAYER_PARTITION=4,8,8,4``;
* a layout as Megatron-LM takes it, ``Et*3|(tt|)*2tL``.

What a file of modules or layers leaves open runs where its inputs are: in the latest stage that it reads from.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from framework.errors import UserError
from framework.fields import shown
from framework.input_files import read_text
from framework.layouts.blocks import Blocks, blocks_of
from framework.layouts.megatron import layout_stages
from framework.layouts.naive import NAMED, named_split
from framework.model.arrays import IntArray
from framework.model.graph import ModelGraph
from framework.model.instance import MAX_STAGES
from framework.model.module_paths import module_paths
from framework.model.topology import stable_topological_order
from framework.portfolio.reading import parse_result, stages_of

VLLM = "VLLM_PP_LAYER_PARTITION"
_COUNTS = re.compile(r"\s*\d{1,9}\s*(,\s*\d{1,9}\s*)*", re.ASCII)
_POINTS = ("BEGINNING", "END")
_NO_STAGES = ("cpu", "disk", "meta")
_OPEN = -1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """A split to judge.

    Attributes
    ----------
    name
        What it is called in tables.
    stage_of
        ``[n]`` stage of each node of the graph.
    stages
        Number of stages that it was made for.
    """

    name: str
    stage_of: IntArray
    stages: int


Given: TypeAlias = str | Mapping[str, Any] | Sequence[Any]
"""The name, text or file of a split, or what a JSON file of it would hold."""


def most_stages(splits: Sequence[Given], graph: ModelGraph, layers: Sequence[str] = ()) -> int:
    """Return the largest number of stages that splits have by themselves.

    Raises
    ------
    UserError
        If all are names, which make as many as are asked for.
    """
    own = [
        read_split(given, graph, None, layers).stages
        for given in splits
        if not (isinstance(given, str) and given in NAMED)
    ]
    if not own:
        raise UserError("the number of stages is missing", hint="give `stages`: the splits named do not say it")
    return max(own)


def read_split(given: Given, graph: ModelGraph, stages: int | None, layers: Sequence[str] = ()) -> Split:
    """Return a split by its name, its text or its file; a program may also give what a JSON file would hold.

    Parameters
    ----------
    stages
        Number of stages, at least as many as the split has; None for those. A name needs one.
    layers
        Which modules are layers, as for `blocks_of`.

    Raises
    ------
    UserError
        If it cannot be read, names what the graph does not have, or has more stages.
    """
    name, where = (given, given) if isinstance(given, str) else ("given", "the split")
    if isinstance(given, str) and given in NAMED:
        if stages is None:
            raise UserError(f"{given} needs a number of stages", hint="give `stages`")
        return Split(name=given, stage_of=named_split(given, graph, stages, layers), stages=stages)
    reader = _Reader(graph, tuple(layers), where)
    if not isinstance(given, str):
        stage_of = reader.document(given)
    elif _is_file(given):
        name, stage_of = Path(given).name, reader.text(read_text(Path(given)))
    elif _COUNTS.fullmatch(given) or "|" in given or VLLM in given:
        stage_of = reader.text(given)
    elif Path(given).suffix or "/" in given:
        raise UserError("there is no such file", where=given)
    else:
        # Refuses, with the names there are.
        stage_of = named_split(given, graph, 1)
    own = max(int(stage_of.max()) + 1, reader.stages)
    if stages is not None and own > stages:
        raise UserError(f"the split has {own} stages, and {stages} are asked for", where=where, hint="drop `stages`")
    return Split(name=name, stage_of=stage_of, stages=own if stages is None else stages)


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:
        # A layout may be longer than any name of a file.
        return False


class _Reader:
    """Reads one split of a graph."""

    def __init__(self, graph: ModelGraph, layers: tuple[str, ...], where: str) -> None:
        self.graph, self.layers, self.where = graph, layers, where
        self.stages = 0
        """Number of stages that the text speaks of, the last of which may be empty."""

    def text(self, text: str) -> IntArray:
        """Read the text of a file."""
        plain = text.strip()
        if plain[:1] in ("{", "["):
            try:
                document = json.loads(plain)
            except (ValueError, RecursionError) as error:
                raise self._error(f"not JSON: {error}") from None
            return self.document(document)
        partition = re.fullmatch(rf"(?:export\s+)?{VLLM}=[\"']?([^\"']*)[\"']?", plain)
        counts = partition[1] if partition else plain
        if _COUNTS.fullmatch(counts):
            return self._counts([int(count) for count in counts.split(",")])
        layout = re.fullmatch(r"(?:--pipeline-model-parallel-layout[ =])?[\"']?([EtmL|,*()\d\s]+)[\"']?", plain)
        if layout and "|" in plain:
            return self._layout(layout[1])
        return self._csv(text)

    def document(self, document: Any) -> IntArray:
        """Read what a JSON file holds."""
        if isinstance(document, Mapping) and document:
            if document.get("format") == "pipebound-result":
                return self._result(document)
            if isinstance(document.get("parts"), list):
                return self._parts(document["parts"], document.get("layers"))
            if all(value in _POINTS for value in document.values()):
                return self._split_spec(document)
            return self._device_map(document)
        if isinstance(document, Sequence) and document:
            if all(type(item) is int for item in document):
                return self._parts(list(document), None)
            if all(isinstance(item, list | tuple) and all(isinstance(name, str) for name in item) for item in document):
                self.stages = len(document)
                return self._modules({str(name): b for b, names in enumerate(document) for name in names})
        raise self._error("this is no split that is known", "see docs/layouts.md")

    def _error(self, what: str, hint: str = "") -> UserError:
        return UserError(what, where=self.where, hint=hint)

    def _result(self, document: Mapping[str, Any]) -> IntArray:
        result = parse_result(json.dumps(document))
        self.stages = result.stages
        if result.node_names == self.graph.node_names:
            return stages_of(result, self.graph.topology.n)
        return self._nodes(result.stage_of_name)

    def _csv(self, text: str) -> IntArray:
        stage_of: dict[str, int] = {}
        try:
            rows = [row for row in csv.reader(io.StringIO(text)) if row]
        except csv.Error as error:
            raise self._error(f"not CSV: {error}") from None
        for number, row in enumerate(rows, 1):
            if len(row) < 2 or not re.fullmatch(r"\s*\d{1,9}\s*", row[1], re.ASCII):
                if number == 1 and len(row) >= 2:
                    continue
                raise self._error(f"row {number} is no pair of a node and a stage", "write node,stage")
            if row[0] in stage_of:
                raise self._error(f"row {number}: node {shown(row[0])} is there twice")
            stage_of[row[0]] = self._stage(int(row[1]))
        return self._nodes(stage_of)

    def _nodes(self, stage_of: Mapping[str, int]) -> IntArray:
        names = self.graph.node_names
        missing = next((name for name in names if name not in stage_of), None)
        if missing is not None:
            raise self._error(f"it has no stage for the node {missing!r}")
        known = set(names)
        stranger = next((name for name in stage_of if name not in known), None)
        if stranger is not None:
            raise self._error(f"the graph has no node {stranger!r}")
        return np.array([stage_of[name] for name in names], np.int64)

    def _stage(self, stage: int) -> int:
        if not 0 <= stage < MAX_STAGES:
            raise self._error(f"{stage} is no stage", f"count stages from 0, {MAX_STAGES} at most")
        return stage

    def _device_map(self, document: Mapping[str, Any]) -> IntArray:
        places: dict[str, int | str] = {}
        for key, value in document.items():
            if type(value) is int:
                places[str(key)] = value
            elif isinstance(value, str):
                number = re.fullmatch(r"(?:\w+:)?(\d{1,9})", value, re.ASCII)
                places[str(key)] = int(number[1]) if number else value
            else:
                raise self._error(f"{shown(key)}: {shown(value)} is no device", 'write {"module": 0}')
        found = set(places.values())
        away = sorted(str(place) for place in found if place in _NO_STAGES)
        if away and len(found) > 1:
            raise self._error(f"some modules are on {away[0]!r}, which is no stage", "judge a map without offloading")
        rank = {place: i for i, place in enumerate(sorted(found, key=lambda place: (isinstance(place, str), place)))}
        self.stages = len(rank)
        return self._modules({key: rank[place] for key, place in places.items()})

    def _modules(self, of_module: Mapping[str, int]) -> IntArray:
        """Give each node the stage of the innermost module around it that has one; a key may also be a node."""
        names, used = self.graph.node_names, set[str]()
        stage_of = np.full(len(names), _OPEN, np.int64)
        for v, (name, path) in enumerate(zip(names, module_paths(names), strict=True)):
            keys = [name, *(".".join(path[:i]) for i in range(len(path), -1, -1))]
            key = next((key for key in keys if key in of_module), None)
            if key is not None:
                used.add(key)
                stage_of[v] = of_module[key]
        if not used:
            raise self._error("it names no module and no node of the graph", "see 'pipebound inspect'")
        return self._filled(stage_of)

    def _filled(self, stage_of: IntArray) -> IntArray:
        """Let what is left open run in the latest stage that it reads from."""
        top = self.graph.topology
        for v in stable_topological_order(top).tolist():
            if stage_of[v] == _OPEN:
                before = stage_of[top.preds[top.pred_ptr[v] : top.pred_ptr[v + 1]]]
                stage_of[v] = before.max() if len(before) else 0
        return stage_of

    def _blocks(self) -> Blocks:
        return blocks_of(self.graph, self.layers, one_list=True)

    def _counts(self, counts: Sequence[int]) -> IntArray:
        blocks = self._blocks()
        if sum(counts) != len(blocks.layers):
            raise self._error(
                f"the numbers of layers add up to {sum(counts)}, and the model has {len(blocks.layers)} layers, from "
                f"{blocks.layers[0]!r} to {blocks.layers[-1]!r}",
                "say with `layers` which modules are layers",
            )
        self.stages = len(counts)
        self._stage(len(counts) - 1)
        of_layer = [b for b, count in enumerate(counts) for _ in range(count)]
        stages = np.array([0, *of_layer, len(counts) - 1], np.int64)
        return stages[blocks.of_node]

    def _layout(self, layout: str) -> IntArray:
        blocks = self._blocks()
        try:
            first, of_layer, last, self.stages = layout_stages(layout)
        except ValueError as error:
            raise self._error(str(error)) from None
        if len(of_layer) != len(blocks.layers):
            raise self._error(
                f"the layout has {len(of_layer)} layers, and the model has {len(blocks.layers)}",
                "say with `layers` which modules are layers",
            )
        return np.array([first, *of_layer, last], np.int64)[blocks.of_node]

    def _parts(self, parts: Sequence[Any], layers: Any) -> IntArray:
        right = len(parts) > 1 and all(type(part) is int for part in parts)
        if not right or parts[0] != 0 or any(a > b for a, b in pairwise(parts)):
            raise self._error("parts begin with 0 and never fall: [0, 4, 8]", "write counts of layers as 4,4")
        self.stages = len(parts) - 1
        self._stage(self.stages - 1)
        if isinstance(layers, list) and all(isinstance(name, str) for name in layers):
            if parts[-1] != len(layers):
                raise self._error(f"the last part ends at {parts[-1]}, and there are {len(layers)} layers")
            of_module = {name: b for b in range(self.stages) for name in layers[parts[b] : parts[b + 1]]}
            return self._modules(of_module)
        blocks = self._blocks()
        count = len(blocks.layers)
        if parts[-1] not in (count, count + 1, count + 2):
            raise self._error(
                f"the last part ends at {parts[-1]}, and the model has {count} layers",
                'give {"parts": [...], "layers": [...]} with the names of your layers',
            )
        rows = [b for b in range(self.stages) for _ in range(parts[b], parts[b + 1])]
        # What DeepSpeed's list holds besides layers: first the embedding, then the head.
        front = parts[-1] > count
        of_layer = rows[front : front + count]
        return np.array([rows[0], *of_layer, rows[-1]], np.int64)[blocks.of_node]

    def _split_spec(self, spec: Mapping[str, str]) -> IntArray:
        """Cut the order in which the nodes run where the modules begin and end."""
        order = stable_topological_order(self.graph.topology)
        paths = module_paths(self.graph.node_names)
        begins = np.zeros(len(paths) + 1, np.int64)
        for key, point in spec.items():
            wanted = tuple(key.split("."))
            inside = [i for i, v in enumerate(order.tolist()) if paths[v][: len(wanted)] == wanted]
            if not inside:
                raise self._error(f"no node ran in a module {key!r}")
            begins[inside[0] if point == "BEGINNING" else inside[-1] + 1] += 1
        self.stages = len(spec) + 1
        stage_of = np.empty(len(paths), np.int64)
        stage_of[order] = np.cumsum(begins)[:-1]
        return stage_of
