"""Limits on the work of each prefix of stages at a threshold, propagated from stage to stage.

Every stage costs at least its work. So at threshold T the first j of k stages hold at most j T, and at least
W - (k - j) T, since the others hold no more. Any better limit h_b on the work of stage b, wherever it comes from,
carries over:

    most[j] <= most[j-1] + h_(j-1),    least[j] >= least[j+1] - h_j.

T is refuted if some least exceeds its most, or if all stages together hold less than W.
"""

from __future__ import annotations

import numpy as np


class PrefixWork:
    """Limits on the work of the first j stages, for one threshold.

    Attributes
    ----------
    least, most
        ``[stages + 1]`` ticks, never falling.
    stage
        ``[stages]`` ticks: the most work of each stage.
    """

    def __init__(self, stages: int, total_work: int, threshold: int) -> None:
        count = np.arange(stages + 1, dtype=np.int64)
        self.total = total_work
        self.most = np.minimum(total_work, count * threshold)
        self.least = np.maximum(0, total_work - (stages - count) * threshold)
        self.stage = np.full(stages, min(threshold, total_work), np.int64)

    @property
    def possible(self) -> bool:
        """Whether the limits leave room for all the work."""
        return not bool((self.least > self.most).any()) and int(self.stage.sum()) >= self.total

    def limit_prefix(self, stages: int, *, least: int = 0, most: int | None = None) -> None:
        """Note limits on the work of the first `stages` stages, and carry them over."""
        self.least[stages] = max(int(self.least[stages]), least)
        if most is not None:
            self.most[stages] = min(int(self.most[stages]), most)
        self._carry_over()

    def limit_stage(self, stage: int, most: int) -> None:
        """Note a limit on the work of one stage, and carry it over."""
        self.stage[stage] = min(int(self.stage[stage]), most)
        self._carry_over()

    def _carry_over(self) -> None:
        for j in range(len(self.stage)):
            self.most[j + 1] = min(self.most[j + 1], self.most[j] + self.stage[j])
        for j in range(len(self.stage) - 1, -1, -1):
            self.least[j] = max(self.least[j], self.least[j + 1] - self.stage[j])
        self.least = np.maximum.accumulate(self.least)
        self.most = np.minimum.accumulate(self.most[::-1])[::-1]
        # What lies between two prefixes is in one stage.
        self.stage = np.minimum(self.stage, np.maximum(0, self.most[1:] - self.least[:-1]))
