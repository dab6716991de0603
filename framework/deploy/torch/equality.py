"""Whether stages return what the program returns: how far results may differ, by the types in the program.

The tolerances are those of `framework.deploy.pipeline.compare`; the coarsest type of a program counts for all that it
returns. What depends on random numbers is not compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import fx
from torch.utils._pytree import tree_leaves

from framework.deploy.pipeline.compare import COARSEST, TOLERANCE, UNITS, Difference, compare
from framework.deploy.torch.stages import returned_tensors, value_names
from framework.formats.torch.export.program import Program, is_random


def compare_results(
    program: Program, found: Mapping[str, NDArray[Any]], expected: Sequence[tuple[str, NDArray[Any]]]
) -> Difference:
    """Compare what stages return with what the program returns; inputs that it hands through are left out."""
    handed_through = {call.name for call in program.inputs}
    drawn = random_results(program)
    allowed = allowed_difference(program)
    names = [name for name, _ in expected if name not in handed_through and name not in drawn]
    return compare(found, expected, dict.fromkeys(names, allowed))


def allowed_difference(program: Program) -> float:
    """Return how far a result may differ, by the coarsest floating type of any value in the program."""
    values = [leaf for call in program.module.graph.nodes for leaf in tree_leaves(call.meta.get("val"))]
    kinds = {value.dtype for value in values if isinstance(value, torch.Tensor) and value.is_floating_point()}
    units = [UNITS * torch.finfo(kind).eps / 2 for kind in kinds]
    return float(min(COARSEST, max([TOLERANCE, *units])))


def random_results(program: Program) -> dict[str, list[str]]:
    """Return the results that depend on random numbers, with the nodes that draw them."""
    sources: dict[fx.Node, set[str]] = {}
    for call in program.module.graph.nodes:
        drawn = set().union(*(sources.get(used, set()) for used in call.all_input_nodes))
        if call in program.node_of and is_random(call):
            drawn.add(program.labels[program.node_of[call]])
        if drawn:
            sources[call] = drawn
    names = value_names(program)
    return {names[leaf]: sorted(sources[leaf]) for leaf in returned_tensors(program) if leaf in sources}
