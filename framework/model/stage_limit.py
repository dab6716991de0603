"""StageLimit: a hard limit on what the stages of a partition hold."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from framework.model.arrays import IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StageLimit:
    """A hard limit on what a stage holds; stages that hold more are forbidden, whatever they cost.

    A limit on memory is in bytes. A pin is a limit as well: of the nodes called anchors a stage may hold one. What a
    stage holds only grows with its nodes.

    Attributes
    ----------
    sizes
        ``[n]`` what each node adds, at least 0, in a unit of its own (bytes, where it is about memory).
    limit
        Largest sum of sizes in a stage, with its largest working set.
    anchors
        ``[stages]`` the node that only the stage of that number may hold; empty where nothing is pinned.
    shared_sizes
        What each shared parameter of the instance adds, once, to a stage that holds a user.
    worksets
        ``[n]`` what each node needs besides while it runs. Nodes of a stage run one after the other, so a stage needs
        the largest of its nodes, not the sum. None are given where it is nothing.
    reserved
        ``[stages]`` how much less each stage may hold than the limit says; empty where all may hold the same.
    """

    sizes: IntArray
    limit: int
    anchors: IntArray
    shared_sizes: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    worksets: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    reserved: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        if not len(self.worksets):
            object.__setattr__(self, "worksets", np.zeros_like(self.sizes))

    @property
    def additive(self) -> int:
        """The most that the sizes in a stage may sum to: what is left beside the smallest of all working sets."""
        return max(0, self.limit - int(self.worksets.min()))

    def rooms(self, stages: int) -> IntArray:
        """Return the limit of each of so many stages, ``[stages]``."""
        return self.limit - (self.reserved if len(self.reserved) else np.zeros(stages, np.int64))
