"""StageLimit: a hard limit on what the stages of a partition hold."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from framework.model.arrays import IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StageLimit:
    """A hard limit on what a stage holds; stages that hold more are forbidden, whatever they cost.

    A limit on memory is in bytes. A pin is a limit as well: of the nodes called anchors a stage may hold one. What a
    stage holds only grows with its nodes.

    In training a stage keeps activations until their gradients come back, once for each microbatch that it has in
    flight, which is not the same number for all stages. Such an instance has `Instance.unequal`, with kinds of devices
    that tell stages with different numbers apart.

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
    in_flight
        ``[stages]`` how often each stage holds what is kept; empty where nothing is.
    kept, shared_kept
        ``[n]`` and for each shared parameter: what a stage that holds it keeps for each microbatch in flight. None are
        given where it is nothing.
    """

    sizes: IntArray
    limit: int
    anchors: IntArray
    shared_sizes: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    worksets: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    reserved: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    in_flight: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    kept: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    shared_kept: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        for name in ("worksets", "kept"):
            if not len(getattr(self, name)):
                object.__setattr__(self, name, np.zeros_like(self.sizes))
        if not len(self.shared_kept):
            object.__setattr__(self, "shared_kept", np.zeros_like(self.shared_sizes))

    @property
    def additive(self) -> int:
        """The most that the sizes in a stage may sum to: what is left beside the smallest of all working sets."""
        return max(0, self.limit - int(self.worksets.min()))

    def times(self, in_flight: int) -> StageLimit:
        """Return the limit of a stage with so many microbatches in flight, as one of sizes alone."""
        return replace(
            self,
            sizes=self.sizes + in_flight * self.kept,
            shared_sizes=self.shared_sizes + in_flight * self.shared_kept,
            in_flight=self.in_flight[:0],
            kept=np.zeros_like(self.sizes),
            shared_kept=np.zeros_like(self.shared_sizes),
        )

    @property
    def same_for_all(self) -> StageLimit:
        """The relaxation in which every stage may hold as much as any, with as few microbatches in flight as any."""
        fewest = int(self.in_flight.min()) if len(self.in_flight) else 0
        return replace(self.times(fewest), reserved=self.reserved[:0])

    def rooms(self, stages: int) -> IntArray:
        """Return the limit of each of so many stages, ``[stages]``."""
        return self.limit - (self.reserved if len(self.reserved) else np.zeros(stages, np.int64))
