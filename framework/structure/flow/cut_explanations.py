"""Explanations of transfer costs (for Benders cuts): small node sets that force a minimum cut of a given cost.

If the nodes of A are in a stage and those of B are not, the stage pays at least the minimum cut between them, over sets
that are convex around one node of A (`framework.structure.flow.convex_cuts`). An *explanation* is such a pair and its
minimum cut. It is found from a stage of too high cost by removing ever smaller parts of A and B, as long as the minimum
cut stays above the cost that the stage can pay for transfers. An explanation depends on neither work nor threshold, and
holds for every stage of every partition.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.structure.flow.convex_cuts import NodeCuts


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A stage with `inside` in it, `before` in earlier and `after` in later ones pays `transfer` ticks or more."""

    inside: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    transfer: int


class Explainer:
    """Finds explanations for stages of one instance.

    Raises
    ------
    OutOfTimeError
        From either method, if `should_stop` returns true.
    """

    def __init__(self, instance: Instance, should_stop: Callable[[], bool] = lambda: False) -> None:
        self._instance = instance
        self._cuts = NodeCuts(instance, should_stop=should_stop)
        self._nothing = np.zeros(instance.n, np.int64)

    def explain(self, stage_of: IntArray, stage: int, room: int) -> Explanation:
        """Explain why a stage pays more than `room` ticks for transfers, which it must do."""
        members = np.flatnonzero(stage_of == stage)
        others = np.flatnonzero(stage_of != stage)
        # Nodes without a pin on the boundary contribute nothing to the flow: they go first.
        anchor = int(members[len(members) // 2])
        inside = self._shrink(members, lambda kept: self._exceeds(kept, others, anchor, room), anchor)
        outside = self._shrink(others, lambda kept: self._exceeds(inside, kept, anchor, room), None)
        transfer = self._cuts.minimise(self._nothing, inside=inside, outside=outside, anchors=[anchor]).value
        earlier = stage_of[outside] < stage
        return Explanation(
            inside=tuple(inside.tolist()),
            before=tuple(outside[earlier].tolist()),
            after=tuple(outside[~earlier].tolist()),
            transfer=int(transfer),
        )

    def _exceeds(self, inside: IntArray, outside: IntArray, anchor: int, room: int) -> bool:
        cut = self._cuts.minimise(self._nothing, inside=inside, outside=outside, anchors=[anchor], limit=room + 1)
        return cut.value > room

    def _shrink(self, nodes: IntArray, holds: Callable[[IntArray], bool], keep: int | None) -> IntArray:
        """Leave out halves, quarters, ... of the nodes as long as it holds."""
        size = max(1, len(nodes) // 2)
        while True:
            start = 0
            while start < len(nodes):
                kept = np.concatenate((nodes[:start], nodes[start + size :]))
                if keep is not None and keep not in kept:
                    kept = np.sort(np.append(kept, keep))
                if len(kept) < len(nodes) and holds(kept):
                    nodes = kept
                    # The anchor may have been put back to where it was left out.
                    start += int(keep is not None and start < len(nodes) and nodes[start] == keep)
                else:
                    start += size
            if size == 1:
                return nodes
            size = max(1, size // 2)
