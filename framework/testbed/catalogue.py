"""The catalogue of bundled graphs and their subsets; listing it loads no graph."""

from __future__ import annotations

import difflib
import hashlib
import json
from dataclasses import dataclass
from functools import cache

from framework.errors import UserError
from framework.testbed.bundled import DATA, bundled_path
from framework.testbed.regal import regal_like_names

__all__ = ["SUBSETS", "CatalogueRow", "bundled_graphs", "bundled_path", "subset_names"]

SUBSETS = {
    "smoke": "a dozen small graphs, one a task area: seconds",
    "core": "about 60, spread over sizes, task areas and families",
    "full": "all bundled graphs",
    "training": "40 of the families that portfolios may be tuned on",
    "regal-like": "64 generated random graphs, 50 to 200 nodes",
}
"""The named subsets; each of `smoke`, `core`, `full` holds the one before it."""

_TRAINING_SIZE = 40
_TRAINING_NODES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueRow:
    """What is known of a bundled graph without loading it.

    Attributes
    ----------
    name
        ``testbed:name`` stands for it on the command line.
    family, task
        The architecture's family, of which there are at most three graphs; vision, language, ...
    source
        Package, version and, where it was made from one, file.
    nodes, tensors
        Numbers of nodes, and of tensors with a consumer.
    width, depth
        Largest number of nodes no two of which depend on each other; nodes on the longest path.
    flops, parameter_bytes
        Totals of one inference; a parameter that several nodes use counts once.
    parameters
        Number of the module's parameters, tied ones once.
    module_bytes, used_bytes
        Size of the module's parameters and buffers, and of the parts of them that the graph uses, each once;
        None for graphs that were not made from a module.
    guesses
        How many decisions that depend on weights were guessed: routing, detection, lengths.
    batch, dtype
        Batch size, and the type most parameters have.
    structure
        `structure_digest` of the graph; no two rows share one.
    sha256
        `ModelGraph.sha256` of the graph.
    subsets
        The smaller subsets that it belongs to.
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
    parameters: int
    module_bytes: int | None
    used_bytes: int | None
    guesses: int
    batch: int | None
    dtype: str | None
    structure: str
    sha256: str
    subsets: tuple[str, ...]

    @property
    def is_guessed(self) -> bool:
        """Whether some of its control flow was guessed."""
        return self.guesses > 0


@cache
def bundled_graphs() -> tuple[CatalogueRow, ...]:
    """Return the catalogue, by name."""
    rows = json.loads((DATA / "catalogue.json").read_text(encoding="utf-8"))
    return tuple(CatalogueRow(**row | {"subsets": tuple(row["subsets"])}) for row in rows)


def subset_names(subset: str) -> tuple[str, ...]:
    """Return the names of a subset's graphs; ``testbed:`` before a name makes it readable.

    Raises
    ------
    UserError
        If there is no such subset.
    """
    if subset == "regal-like":
        return regal_like_names()
    if subset == "training":
        return _training_names()
    if subset not in SUBSETS:
        near = difflib.get_close_matches(subset, SUBSETS, 1)
        raise UserError(
            f"no subset is called {subset!r}",
            hint=f"did you mean {near[0]}?" if near else f"choose one of {', '.join(SUBSETS)}",
        )
    return tuple(row.name for row in bundled_graphs() if subset == "full" or subset in row.subsets)


def is_training(family: str) -> bool:
    """Whether a family is in the half that portfolios may be tuned on; the other half is for measuring them."""
    return hashlib.sha256(family.encode()).digest()[0] % 2 == 0


@cache
def _training_names() -> tuple[str, ...]:
    """Return one graph each of some families of the training half: large enough to be hard, small enough to repeat."""
    largest: dict[str, CatalogueRow] = {}
    for row in bundled_graphs():
        if is_training(row.family) and row.nodes >= _TRAINING_NODES:
            best = largest.get(row.family)
            if best is None or row.nodes > best.nodes:
                largest[row.family] = row
    rows = sorted(largest.values(), key=lambda row: hashlib.sha256(row.name.encode()).digest())
    return tuple(sorted(row.name for row in rows[:_TRAINING_SIZE]))
