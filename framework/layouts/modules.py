"""A partition as launchers see it: whole modules, each in one stage, and the nodes that ran in none of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from framework.errors import UserError
from framework.layouts.blocks import NO_PATHS, layer_modules
from framework.model.graph import ModelGraph
from framework.model.module_paths import Path, dotted, is_element, module_paths
from framework.model.topology import stable_topological_order


class Module(NamedTuple):
    """A module whose nodes are all in one stage.

    Attributes
    ----------
    path, stage
        Which it is, and where.
    nodes
        Its nodes, in the order in which they run.
    """

    path: Path
    stage: int
    nodes: list[int]

    @property
    def name(self) -> str:
        """Its path as torch writes it."""
        return dotted(self.path)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placement:
    """A partition of a graph, and the modules that its nodes ran in.

    Attributes
    ----------
    graph, stage_of, stages
        The graph, the stage of each node, and the number of stages.
    order
        The nodes in the order in which they run: that of the file where it is topological.
    paths
        The module that ran each node.
    layers
        Modules that must not be cut because patterns name them; empty where there are no patterns.
    """

    graph: ModelGraph
    stage_of: tuple[int, ...]
    stages: int
    order: tuple[int, ...]
    paths: tuple[Path, ...]
    layers: frozenset[Path]

    @staticmethod
    def of(graph: ModelGraph, stage_of: Sequence[int], stages: int, layers: Sequence[str] = ()) -> Placement:
        """Return the placement of a partition.

        Parameters
        ----------
        layers
            Patterns of the modules that are layers; without any, elements of lists are.

        Raises
        ------
        UserError
            If a pattern names no module.
        """
        named = layer_modules(graph.node_names, layers, graph.source) if layers else []
        return Placement(
            graph=graph,
            stage_of=tuple(stage_of),
            stages=stages,
            order=tuple(stable_topological_order(graph.topology).tolist()),
            paths=tuple(module_paths(graph.node_names)),
            layers=frozenset(module for module in named if module is not None),
        )

    def modules(self, *, coarse: bool = False) -> list[Module]:
        """Return the whole modules in the order in which they begin: layers, and modules that hold no layers.

        Parameters
        ----------
        coarse
            Whether a module that holds layers stands for them where it is in one stage itself.

        Raises
        ------
        UserError
            If a cut goes through a layer, or through a module that holds no layers; or if the names of the nodes tell
            of no modules.
        """
        if not any(self.paths):
            raise UserError(
                "the names of the nodes tell of no modules",
                where=self.graph.source,
                hint=f"{NO_PATHS}; or write csv",
            )
        found = list(_Tree(self).whole((), coarse=coarse))
        place = {v: i for i, v in enumerate(self.order)}
        return sorted(found, key=lambda module: place[module.nodes[0]])

    def cut_error(self, path: Path, nodes: Sequence[int]) -> UserError:
        """Return the error that a cut goes through a module, with the cure."""
        first = nodes[0]
        other = next(v for v in nodes if self.stage_of[v] != self.stage_of[first])
        a, b = self.stage_of[first], self.stage_of[other]
        names = self.graph.node_names
        return UserError(
            f"the cut between stages {min(a, b)} and {max(a, b)} goes through the module {dotted(path)!r}: "
            f"{names[first]!r} is in stage {a}, {names[other]!r} in stage {b}",
            where=self.graph.name,
            hint=f"keep such modules whole: solve again with `whole_modules={self._pattern(path)}`",
        )

    def _pattern(self, path: Path) -> str:
        """Return a pattern of the modules like the one at a path: all elements of its list."""
        known = {other[:i] for other in self.paths for i in range(1, len(other) + 1)}
        depth = next((i for i in range(len(path)) if is_element(path[: i + 1], known)), None)
        if depth is None:
            return dotted(path)
        return dotted((*path[:depth], "*" if path[depth].isdecimal() else f"{path[depth].rpartition('_')[0]}_*"))


class _Tree:
    """The modules of a placement, from the model down."""

    def __init__(self, placement: Placement) -> None:
        self.placement = placement
        self.nodes: dict[Path, list[int]] = {}
        self.children: dict[Path, dict[Path, None]] = {}
        for v in placement.order:
            path = placement.paths[v]
            for depth in range(len(path) + 1):
                self.nodes.setdefault(path[:depth], []).append(v)
                if depth:
                    self.children.setdefault(path[: depth - 1], {})[path[:depth]] = None
        known = set(self.nodes) - {()}
        self.elements = placement.layers or {module for module in known if is_element(module, known)}

    def whole(self, path: Path, *, coarse: bool) -> Iterator[Module]:
        """Yield the whole modules within a module, itself included."""
        nodes, children = self.nodes[path], list(self.children.get(path, ()))
        stages = {self.placement.stage_of[v] for v in nodes}
        is_list = all(child in self.elements for child in children) and not any(
            self.placement.paths[v] == path for v in nodes
        )
        holds_layers = any(len(other) > len(path) and other[: len(path)] == path for other in self.elements)
        if path and len(stages) == 1 and not is_list and (coarse or path in self.elements or not holds_layers):
            yield Module(path, stages.pop(), nodes)
            return
        if path and len(stages) > 1 and (path in self.placement.layers or not holds_layers):
            raise self.placement.cut_error(path, nodes)
        for child in children:
            yield from self.whole(child, coarse=coarse)
