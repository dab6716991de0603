"""Writing what cores refute, from the certificates of the methods that made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from framework.model.arrays import IntArray
from framework.proof.cores.fixing import PARTS
from framework.proof.log import Step

NUMBERS = ("threshold", "ways")
"""The parts of a round that hold no nodes."""


def core_program_of(data: Mapping[str, Any], number: IntArray) -> Step:
    """Return the step of a core that refutes a threshold.

    Parameters
    ----------
    number
        How a log numbers the nodes of the instance that the certificate is of.
    """
    order = number.tolist()
    return Step(
        rule="core-program",
        data={
            **data,
            "order": [] if order == sorted(order) else order,
            "fluid": number[data["fluid"]].tolist(),
            "backwards": bool(data["backwards"]),
            "some": number[data["some"]].tolist(),
            "chains": [number[chain].tolist() for chain in data["chains"]],
        },
    )


def fixing_of(data: Mapping[str, Any], number: IntArray) -> Step:
    """Return the step of rounds of fixing; `number` as in `core_program_of`."""
    rounds = []
    for at, items in enumerate(data["rounds"]):
        part = PARTS[at % len(PARTS)]
        if part in NUMBERS:
            rounds.append(list(items))
        elif part == "branches":
            rounds.append(_renamed_branches(items, number))
        else:
            rounds.append(number[np.array(items, np.int64)].tolist())
    return Step(rule="fixing", data={"threshold": data["threshold"], "rounds": rounds})


def _renamed_branches(items: Sequence[int], number: IntArray) -> list[int]:
    at, renamed = 0, list[int]()
    while at < len(items):
        first, at = at + 3, at + 3 + items[at] * items[at + 1]
        renamed += [*items[first - 3 : first], *number[np.array(items[first:at], np.int64)].tolist()]
    return renamed
