"""The `regal-like` set: names of the generated random graphs that studies use."""

from __future__ import annotations

from framework.model.graph import ModelGraph
from framework.testbed.random_graphs import FAMILIES, regal_graph, regal_name

SIZES = (50, 100, 150, 200)
SEEDS = range(100, 116)


def regal_names(nodes: int = 150) -> tuple[str, ...]:
    """Return the 16 names of one size, seeds 100 to 115 over the four families in turn.

    With 150 nodes these are the graphs of the reported comparison. Each name stands for its graph wherever a file
    does: ``pipebound solve testbed:regal-er-150-100``.
    """
    families = tuple(FAMILIES)
    return tuple(regal_name(families[i % len(families)], nodes, seed) for i, seed in enumerate(SEEDS))


def regal_comparison() -> tuple[ModelGraph, ...]:
    """Return the 16 graphs of 150 nodes, four per family, that reported comparisons use."""
    families = tuple(FAMILIES)
    return tuple(regal_graph(families[i % len(families)], 150, seed) for i, seed in enumerate(SEEDS))


def regal_like_names() -> tuple[str, ...]:
    """Return the names of the whole set: 16 graphs of each size."""
    return tuple(name for nodes in SIZES for name in regal_names(nodes))
