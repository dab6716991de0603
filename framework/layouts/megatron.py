"""Megatron-LM's ``--pipeline-model-parallel-layout``: stages between bars, a letter a layer.

``E`` is the embedding, ``t`` a decoder layer, ``L`` the loss, ``m`` a layer for multi-token prediction. ``t*3`` is
``ttt``, ``(tt|)*2`` is ``tt|tt|``, commas mean nothing, and a stage may be empty.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MOST_LETTERS = 100_000


def write_layout(first: int, of_layer: Sequence[int], last: int, stages: int) -> str:
    """Return the layout of layers in stages, without repetition marks, which all versions read.

    Parameters
    ----------
    first, last
        Stages of the embedding and of the loss.
    of_layer
        Stage of each decoder layer, none before the one of the layer before it.
    """
    rows = [""] * stages
    rows[first] += "E"
    for b in of_layer:
        rows[b] += "t"
    rows[last] += "L"
    return "|".join(rows)


def layout_stages(layout: str) -> tuple[int, list[int], int, int]:
    """Return the stage of the embedding, of each decoder layer and of the loss, and the number of stages.

    Raises
    ------
    ValueError
        If it is no layout, or has layers for multi-token prediction, which no graph of a forward pass shows.
    """
    plain = _expanded(re.sub(r"[\s,]", "", layout))
    if "m" in plain:
        raise ValueError("layers for multi-token prediction (m) are no part of the graph")
    if plain.count("E") > 1 or plain.count("L") > 1 or re.search(r"[^EtL|]", plain):
        raise ValueError("a layout has one E, one L, and t and | as often as needed")
    rows = plain.split("|")
    of_layer = [b for b, row in enumerate(rows) for _ in range(row.count("t"))]
    first = next((b for b, row in enumerate(rows) if "E" in row), 0)
    last = next((b for b, row in enumerate(rows) if "L" in row), len(rows) - 1)
    return first, of_layer, last, len(rows)


def _expanded(text: str) -> str:
    """Return a layout with its repetitions written out, innermost brackets first."""
    while found := re.search(r"\(([^()*]*)\)\*(\d+)|([A-Za-z|])\*(\d+)", text):
        inner, times = (found[1], int(found[2])) if found[2] else (found[3], int(found[4]))
        if len(text) + len(inner) * times > MOST_LETTERS:
            raise ValueError("the layout is too long")
        text = text[: found.start()] + inner * times + text[found.end() :]
    return text
