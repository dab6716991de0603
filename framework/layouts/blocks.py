"""A model as a row of layers: which modules are layers, and what runs before, between and behind them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from framework.errors import UserError
from framework.model.arrays import IntArray
from framework.model.graph import ModelGraph
from framework.model.module_paths import Path, dotted, is_element, matching_modules, module_paths
from framework.model.topology import stable_topological_order

NO_PATHS = "read the torch module itself, or an ONNX model of torch.onnx.export"
"""What to do where names tell of no modules."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Blocks:
    """The layers of a graph in the order in which they begin, and the block that each node belongs to.

    Attributes
    ----------
    layers
        Paths of the modules that are layers.
    is_layer
        ``[n]`` whether a node ran in a layer.
    of_node
        ``[n]`` 0 for a node in front of all layers, i + 1 for one in layer i or between that and the next layer,
        ``len(layers) + 1`` for one behind the last layer.
    """

    layers: tuple[str, ...]
    is_layer: tuple[bool, ...]
    of_node: IntArray

    def stages(self, of_layer: Sequence[int]) -> IntArray:
        """Return the stage of each node, ``[n]``, given those of the layers.

        What is in front of all layers goes with the first one, what is behind them with the last one.
        """
        stages = np.array([of_layer[0], *of_layer, of_layer[-1]], np.int64)
        return stages[self.of_node]


def layer_modules(names: Sequence[str], patterns: Sequence[str], where: str = "") -> list[Path | None]:
    """Return for each node the layer that it ran in; None outside of all.

    Parameters
    ----------
    patterns
        Which modules are layers, as for `matching_modules`. Without any, all elements of lists of modules are
        (`is_element`), the outermost ones.

    Raises
    ------
    UserError
        If there are none.
    """
    paths = module_paths(names)
    if patterns:
        return matching_modules(paths, patterns, where)
    known = {path[:i] for path in paths for i in range(1, len(path) + 1)}
    elements = {module for module in known if is_element(module, known)}
    found = [next((path[:i] for i in range(1, len(path) + 1) if path[:i] in elements), None) for path in paths]
    if not any(found):
        hint = "say with `layers` which modules are layers" if any(paths) else NO_PATHS
        raise UserError("the names of the nodes tell of no layers", where=where, hint=hint)
    return found


def main_list(modules: Sequence[Path | None]) -> Path:
    """Return the list of modules whose elements ran the most nodes."""
    sizes = Counter(module[:-1] for module in modules if module is not None)
    return max(sizes, key=lambda path: sizes[path])


def blocks_of(graph: ModelGraph, patterns: Sequence[str] = (), *, one_list: bool = False) -> Blocks:
    """Return the layers of a graph, and the block of each node.

    Parameters
    ----------
    patterns
        As for `layer_modules`.
    one_list
        Whether only the elements of the list that ran the most nodes are layers, unless patterns say which are.

    Raises
    ------
    UserError
        If there are no layers, or they do not follow each other: one reads from another that begins after it.
    """
    modules = layer_modules(graph.node_names, patterns, graph.source)
    if one_list and not patterns:
        chosen = main_list(modules)
        modules = [module if module is not None and module[:-1] == chosen else None for module in modules]
    order = stable_topological_order(graph.topology).tolist()
    layers = list(dict.fromkeys(module for v in order if (module := modules[v]) is not None))
    place = {module: i + 1 for i, module in enumerate(layers)}
    of_node = [0 if module is None else place[module] for module in modules]
    top = graph.topology
    ptr, preds = top.pred_ptr.tolist(), top.preds.tolist()
    for v in order:
        before = max((u for u in preds[ptr[v] : ptr[v + 1]]), key=lambda u: of_node[u], default=None)
        if before is None:
            continue
        if modules[v] is None:
            of_node[v] = of_node[before]
        elif of_node[before] > of_node[v]:
            raise UserError(
                f"the layers do not follow each other: {graph.node_names[v]!r} in "
                f"{dotted(modules[v] or ())!r} reads {graph.node_names[before]!r}, which is behind "
                f"{dotted(layers[of_node[before] - 1])!r}",
                where=graph.source,
                hint="say with `layers` which modules are layers",
            )
    last = len(layers)
    for v, module in enumerate(modules):
        if module is None and of_node[v] == last:
            of_node[v] = last + 1
    return Blocks(
        layers=tuple(map(dotted, layers)),
        is_layer=tuple(module is not None for module in modules),
        of_node=np.array(of_node, np.int64),
    )
