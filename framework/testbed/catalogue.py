"""The catalogue of bundled graphs; listing it loads no graph."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

from framework.formats.bundled import DATA, bundled_path

__all__ = ["CatalogueRow", "bundled_graphs", "bundled_path"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueRow:
    """What is known of a bundled graph without loading it.

    Attributes
    ----------
    name
        ``testbed:name`` stands for it on the command line.
    family, task
        The architecture's family; vision, language, ...
    source
        Package, version and file it was made from.
    nodes, tensors
        Numbers of nodes, and of tensors with a consumer.
    width, depth
        Largest number of nodes no two of which depend on each other; nodes on the longest path.
    flops, parameter_bytes
        Totals of one inference.
    batch, dtype
        Batch size, and the type most parameters have.
    sha256
        `ModelGraph.sha256` of the graph.
    """

    name: str
    family: str
    task: str
    source: str
    nodes: int
    tensors: int
    width: int
    depth: int
    flops: int
    parameter_bytes: int
    batch: int | None
    dtype: str | None
    sha256: str


@cache
def bundled_graphs() -> tuple[CatalogueRow, ...]:
    """Return the catalogue, by name."""
    rows = json.loads((DATA / "catalogue.json").read_text(encoding="utf-8"))
    return tuple(CatalogueRow(**row) for row in rows)
