"""A partition written for a launcher: split specs, modules of each stage, device maps, counts of layers, CSV, DOT.

What is written is read again (`framework.layouts.read`). Where the launcher would run a node elsewhere than the
partition says (a mask between modules, say, which launchers compute where its inputs are), a remark names it and prices
what the launcher will run; a layout that a launcher cannot run as a pipeline is refused.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from framework.errors import UserError
from framework.layouts.blocks import blocks_of
from framework.layouts.dot import dot_text
from framework.layouts.megatron import write_layout
from framework.layouts.modules import Module, Placement
from framework.layouts.read import VLLM, read_split
from framework.layouts.split_spec import split_spec
from framework.model.arrays import row_pointers
from framework.model.exact import exact_bottleneck, exact_stage_costs
from framework.model.graph import ModelGraph, PhysicalCosts
from framework.model.problem import cut_tensors
from framework.portfolio.reading import stages_of
from framework.portfolio.result import Result
from framework.wording import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A layout.

    Attributes
    ----------
    text
        The file.
    remarks
        What runs elsewhere than the partition says, and what that costs.
    """

    text: str
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A way to write a partition.

    Attributes
    ----------
    summary
        What it is, and for which tool.
    write
        Makes the text.
    modules
        Whether it speaks of modules, and so has to be read again.
    """

    summary: str
    write: Callable[[Placement, Sequence[str]], str]
    modules: bool = True


def placement_of(result: Result, graph: ModelGraph, layers: Sequence[str] = ()) -> Placement:
    """Return where the partition of a result has the nodes of its graph.

    Parameters
    ----------
    layers
        Patterns of the modules that are layers; by default those that the result kept whole.

    Raises
    ------
    UserError
        If the result holds no partition, or is of another graph.
    """
    if result.stage_of is None:
        raise UserError("the result holds no partition", where=result.graph.name)
    if not graph.is_called(result.graph.sha256):
        raise UserError(
            "this is not the graph that was solved", where=graph.source, hint="give `graph`, the file that was solved"
        )
    patterns = layers or result.constraints.whole_modules
    return Placement.of(graph, stages_of(result, graph.topology.n).tolist(), result.stages, patterns)


def write_split(result: Result, graph: ModelGraph, layout: str, layers: Sequence[str] = ()) -> Written:
    """Write the partition of a result.

    Parameters
    ----------
    layout
        One of `LAYOUTS`.
    layers
        As for `placement_of`.

    Raises
    ------
    UserError
        If a cut goes through a module, or the launcher cannot run it.
    """
    placement = placement_of(result, graph, layers)
    chosen = LAYOUTS[layout]
    patterns = layers or result.constraints.whole_modules
    text = chosen.write(placement, patterns)
    remarks = list(_moved(result, placement, layout, text, patterns)) if chosen.modules else []
    if layout in ("fqn-per-stage", "deepspeed"):
        remarks += _homeless(placement)
    return Written(text=text, remarks=tuple(remarks))


def _moved(result: Result, placement: Placement, layout: str, text: str, layers: Sequence[str]) -> tuple[str, ...]:
    """Read a layout again, and say which nodes it runs elsewhere, and at what cost."""
    graph = placement.graph
    if placement.stages == 1:
        return ()
    document = text.strip()
    given: Any = json.loads(document) if document[:1] in ("{", "[") else document.splitlines()[-1]
    again = read_split(given, graph, placement.stages, layers).stage_of
    moved = [v for v in range(graph.topology.n) if again[v] != placement.stage_of[v]]
    if not moved:
        return ()
    names = [f"{graph.node_names[v]} in stage {again[v]} instead of {placement.stage_of[v]}" for v in moved[:3]]
    told = ", ".join(names) + (f" and {len(moved) - 3} more" if len(moved) > 3 else "")
    try:
        cut_tensors(graph.topology, again, placement.stages)
    except ValueError as error:
        raise UserError(
            f"{layout} would run {told}: {error}",
            where=graph.name,
            hint="keep modules whole with `whole_modules`, or write another layout",
        ) from None
    streamed = result.constraints.memory_limit is None
    costs = exact_stage_costs(graph, result.device, again, placement.stages, streamed=streamed)
    price, before = exact_bottleneck(costs).rounded_up(), result.incumbent or 0.0
    change = f"its bottleneck is {price:.6g} {result.unit}, that of the result {before:.6g}"
    return (f"{layout} runs {counted(len(moved), 'node')} elsewhere: {told}; {change}",)


def _homeless(placement: Placement) -> Iterator[str]:
    """Say which nodes hold parameters, and ran in no module of the layout: their modules left no node of their own."""
    costs = placement.graph.costs
    inside = {v for module in placement.modules() for v in module.nodes}
    holds = placement.graph.parameters_of_nodes > 0 if isinstance(costs, PhysicalCosts) else ()
    for v in np.flatnonzero(holds).tolist():
        if v not in inside:
            yield (
                f"the parameters of {placement.graph.node_names[v]!r} are in no module that ran a node: add theirs to "
                f"stage {placement.stage_of[v]}"
            )


def _csv(placement: Placement, layers: Sequence[str]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("node", "stage"))
    writer.writerows(zip(placement.graph.node_names, placement.stage_of, strict=True))
    return out.getvalue()


def _dot(placement: Placement, layers: Sequence[str]) -> str:
    return dot_text(placement.graph, placement.stage_of, placement.stages)


def _fqn_per_stage(placement: Placement, layers: Sequence[str]) -> str:
    rows: list[list[str]] = [[] for _ in range(placement.stages)]
    for module in placement.modules():
        rows[module.stage].append(module.name)
    return json.dumps(rows, indent=1) + "\n"


def _device_map(placement: Placement, layers: Sequence[str]) -> str:
    modules = placement.modules(coarse=True)
    places = _around_parameters(placement, modules) | {module.name: module.stage for module in modules}
    return json.dumps(places, indent=1) + "\n"


def _around_parameters(placement: Placement, modules: Sequence[Module]) -> dict[str, int]:
    """Return the modules that are cut and have parameters of their own, and the stage of those."""
    costs = placement.graph.costs
    if not isinstance(costs, PhysicalCosts):
        return {}
    holds = placement.graph.parameters_of_nodes > 0
    inside = {v for module in modules for v in module.nodes}
    places: dict[tuple[str, ...], int] = {}
    for v in placement.order:
        path, stage = placement.paths[v], placement.stage_of[v]
        if v in inside or not holds[v]:
            continue
        if places.setdefault(path, stage) != stage:
            raise placement.cut_error(path, [u for u in placement.order if placement.paths[u] == path and holds[u]])
    # Those around others come first: what follows within them says otherwise.
    return {".".join(path): places[path] for path in sorted(places, key=len)}


def _split_spec(placement: Placement, layers: Sequence[str]) -> str:
    return json.dumps(split_spec(placement), indent=1) + "\n"


def _of_layers(placement: Placement, layers: Sequence[str]) -> tuple[list[int], list[str]]:
    """Return the stage of each layer, and its name."""
    # Refuses, by its name, a module that is cut.
    placement.modules()
    blocks = blocks_of(placement.graph, layers, one_list=True)
    stage_of, inside = np.array(placement.stage_of), np.array(blocks.is_layer)
    of_layer = []
    for i, name in enumerate(blocks.layers):
        nodes = np.flatnonzero((blocks.of_node == i + 1) & inside)
        if len(set(stage_of[nodes].tolist())) > 1:
            raise placement.cut_error(tuple(name.split(".")), nodes.tolist())
        of_layer.append(int(stage_of[nodes[0]]))
    for (a, first), (b, second) in pairwise(zip(of_layer, blocks.layers, strict=True)):
        if b < a:
            raise UserError(
                f"layer {second!r} is in stage {b}, and {first!r} in the later stage {a}: counts cannot say so",
                where=placement.graph.name,
                hint="write a device-map or fqn-per-stage instead",
            )
    return of_layer, list(blocks.layers)


def _vllm(placement: Placement, layers: Sequence[str]) -> str:
    of_layer, _ = _of_layers(placement, layers)
    counts = np.bincount(of_layer, minlength=placement.stages)
    return f"{VLLM}={','.join(map(str, counts.tolist()))}\n"


def _megatron(placement: Placement, layers: Sequence[str]) -> str:
    of_layer, _ = _of_layers(placement, layers)
    return write_layout(0, of_layer, placement.stages - 1, placement.stages) + "\n"


def _deepspeed(placement: Placement, layers: Sequence[str]) -> str:
    modules = placement.modules()
    for first, second in pairwise(modules):
        if second.stage < first.stage:
            raise UserError(
                f"{second.name!r} of stage {second.stage} runs after {first.name!r} of stage {first.stage}, and parts "
                "are ranges of the list of layers",
                where=placement.graph.name,
                hint="write a device-map or fqn-per-stage instead",
            )
    parts = row_pointers(np.array([module.stage for module in modules], np.int64), placement.stages)
    return json.dumps({"parts": parts.tolist(), "layers": [module.name for module in modules]}, indent=1) + "\n"


LAYOUTS: Mapping[str, Layout] = {
    "split-spec": Layout(summary="torch.distributed.pipelining: where modules begin a stage", write=_split_spec),
    "fqn-per-stage": Layout(summary="torchtitan: module_fqns_per_model_part", write=_fqn_per_stage),
    "device-map": Layout(summary="accelerate, transformers: device_map", write=_device_map),
    "vllm": Layout(summary="vLLM: VLLM_PP_LAYER_PARTITION", write=_vllm),
    "megatron": Layout(summary="Megatron-LM: --pipeline-model-parallel-layout", write=_megatron),
    "deepspeed": Layout(summary="DeepSpeed: parts of the layers of a PipelineModule", write=_deepspeed),
    "csv": Layout(summary="a row for each node: node,stage", write=_csv, modules=False),
    "dot": Layout(summary="Graphviz: a cluster for each stage, bytes at what is cut", write=_dot, modules=False),
}
"""Layouts that are text, by name."""
