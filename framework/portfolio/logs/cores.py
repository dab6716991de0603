"""Writing what cores refute, from the certificates of the methods that made them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from framework.model.arrays import IntArray
from framework.proof.cores.fixing import PARTS
from framework.proof.log import BOUNDS, Step, is_current

NUMBERS = ("threshold", "ways")
"""The parts of a round that hold no nodes."""


def core_program_of(data: Mapping[str, Any], number: IntArray) -> Step | None:
    """Return the step of a core that refutes a threshold; None if the certificate is of another version.

    Parameters
    ----------
    number
        How a log numbers the nodes of the instance that the certificate is of.
    """
    if not is_current("core-program", data.get("version")):
        return None
    order = number.tolist()
    return Step(
        rule="core-program",
        data={
            **{name: data[name] for name in BOUNDS["core-program"]},
            "order": [] if order == sorted(order) else order,
            "fluid": number[data["fluid"]].tolist(),
            "backwards": bool(data["backwards"]),
            "by_unit": bool(data["by_unit"]),
            "some": number[data["some"]].tolist(),
            "chains": [number[chain].tolist() for chain in data["chains"]],
            "units": [number[unit].tolist() for unit in data["units"]],
            "common": number[data["common"]].tolist(),
        },
    )


def fixing_of(data: Mapping[str, Any], number: IntArray) -> Step | None:
    """Return the step of rounds of fixing; `number` and None as in `core_program_of`."""
    if not is_current("fixing", data.get("version")):
        return None
    rounds = []
    for at, items in enumerate(data["rounds"]):
        part = PARTS[at % len(PARTS)]
        if part in NUMBERS:
            rounds.append(list(items))
        elif part in ("branches", "units"):
            rounds.append(_renamed_lists(items, number, 3 if part == "branches" else 1))
        else:
            rounds.append(number[np.array(items, np.int64)].tolist())
    return Step(rule="fixing", data={"threshold": data["threshold"], "rounds": rounds})


def _renamed_lists(items: Sequence[int], number: IntArray, sizes: int) -> list[int]:
    """Return lists of nodes, each with so many numbers before it, the product of the first two its length."""
    at, renamed = 0, list[int]()
    while at < len(items):
        first = at + sizes
        at = first + math.prod(items[at : at + min(2, sizes)])
        renamed += [*items[first - sizes : first], *number[np.array(items[first:at], np.int64)].tolist()]
    return renamed
