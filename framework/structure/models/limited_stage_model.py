"""The model of `framework.structure.models.stages_cp` with a hard limit on what a stage holds, exactly.

One more row a stage: the sizes of the nodes in it, and of the shared parameters it holds, and its largest working set
sum to at most the stage's limit L. Working sets are counted as in the rows of costs; a stage without nodes is charged
the smallest that a node in it can have, and where that is too much, no node is let in instead. Sizes are divided by
their greatest common divisor d first, and L by d rounded down: a sum of multiples of d is at most L exactly if it is at
most d floor(L / d). Where numbers are still too large for CP-SAT (see `framework.structure.models.stages_cp`), the row
is written in two digits as there.
"""

from __future__ import annotations

import math
from itertools import chain
from typing import Any

from framework.structure.models.stages_cp import SAFE_RESOLUTION, StageModel, Terms


class LimitedStageModel(StageModel):
    """A `StageModel` that keeps to `Instance.stage_limit`; the same model where there is none."""

    def _add_limits(self) -> None:
        super()._add_limits()
        limit = self.problem.instance.stage_limit
        if limit is None:
            return
        worksets = limit.worksets.tolist()
        # What each stage holds if all that is kept for microbatches counts as often as it has some in flight.
        times = limit.in_flight.tolist() or [0] * self.k
        folded = {often: limit.times(often) for often in sorted(set(times))}
        sizes = {often: own.sizes.tolist() for often, own in folded.items()}
        shared_sizes = {often: own.shared_sizes.tolist() for often, own in folded.items()}
        divisor = math.gcd(*chain(*sizes.values(), *shared_sizes.values()), *worksets) or 1
        most = (limit.rooms(self.k) // divisor).tolist()
        rows: list[Terms] = [[] for _ in range(self.k)]
        for v in range(self.problem.instance.n):
            for b in range(self.earliest[v], self.latest[v] + 1):
                if size := sizes[times[b]][v]:
                    # A node beyond the limit breaks any row it is in, by however much: clipping keeps numbers small.
                    clipped = min(size // divisor, most[b] + 1)
                    rows[b] += [(self._literal(v, b), clipped), (self._literal(v, b - 1), -clipped)]
        for b, (terms, held) in enumerate(zip(rows, self._held, strict=True)):
            self._tick()
            once = shared_sizes[times[b]]
            terms += [(literal, min(once[q] // divisor, most[b] + 1)) for q, literal in held if once[q]]
            clipped_sets = [min(size // divisor, most[b] + 1) for size in worksets]
            least = self._add_worksets(b, clipped_sets, terms, most[b] + 1)
            if least > most[b]:
                self._keep_empty(b)
            else:
                self._add_at_most(terms, most[b] - least)

    def _keep_empty(self, b: int) -> None:
        for v in range(self.problem.instance.n):
            self._add_clause([self._literal(v, b)], [self._literal(v, b - 1)])

    def _add_at_most(self, terms: Terms, most: int) -> None:
        """Add that the terms sum to at most `most`, in two digits where that is large."""
        base = max(1, -(-most // SAFE_RESOLUTION))
        if base == 1:
            self.model.add(_weighted(terms) <= most)
            return
        high = [(literal, int(math.copysign(abs(size) // base, size))) for literal, size in terms]
        low = [(literal, size - base * digit) for (literal, size), (_, digit) in zip(terms, high, strict=True)]
        limit, rest = divmod(most, base)
        carry = self.model.new_int_var(0, len(terms) + 1, "")
        full = self.model.new_bool_var("")
        self.model.add(_weighted(low) <= base * carry + base - 1)
        self.model.add(_weighted(high) + carry <= limit)
        self.model.add(_weighted(high) + carry <= limit - 1).only_enforce_if(full.negated())
        self.model.add(_weighted(low) <= base * carry + rest).only_enforce_if(full)


def _weighted(terms: Terms) -> Any:
    from ortools.sat.python import cp_model

    constant = sum(size for literal, size in terms if literal is True)
    free = [(literal, size) for literal, size in terms if not isinstance(literal, bool) and size]
    return cp_model.LinearExpr.weighted_sum([literal for literal, _ in free], [size for _, size in free]) + constant
