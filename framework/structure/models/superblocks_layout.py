"""How the stages of a superblock model are grouped (`framework.structure.models.superblocks`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How stages are grouped, and what a group may cost.

    Attributes
    ----------
    sizes
        Stages in each group, in order.
    joined
        Two groups of unknown sizes that share one limit, with the sum of their sizes known; such a layout has no
        windows, since nobody knows which stages lie before a boundary.
    unlimited
        Groups that may cost anything; for models of a single stage and what surrounds it.
    """

    sizes: tuple[int, ...]
    joined: tuple[int, int] | None = None
    unlimited: tuple[int, ...] = ()

    def boundaries(self) -> tuple[int, ...]:
        """Return the number of stages before each boundary between groups."""
        return tuple(np.cumsum(self.sizes)[:-1].tolist())


def even_layout(stages: int, groups: int) -> Layout:
    """Return `groups` groups of nearly equal size, the larger ones in the middle."""
    groups = min(stages, groups)
    size, rest = divmod(stages, groups)
    larger = sorted(range(groups), key=lambda s: (abs(2 * s - (groups - 1)), s))[:rest]
    return Layout(sizes=tuple(size + (s in larger) for s in range(groups)))


def bottleneck_layout(stages: int) -> Layout:
    """Return the groups "stages before the bottleneck, it, stages after it" with its position open."""
    return Layout(sizes=(stages - 1, 1, 0), joined=(0, 2))


def guess_layout(stages: int, guess: int) -> Layout:
    """Return the groups "stages before `guess`, it, stages after it", without empty ones; `guess` from 0."""
    return Layout(sizes=tuple(size for size in (guess, 1, stages - 1 - guess) if size))
