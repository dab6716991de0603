"""Shortening a proof after the fact: leave things out, and keep what the checker then still accepts.

Nothing here needs to be believed, and the checker does not need it: a shorter proof is checked as any other is. Items
of lists are left out in runs, long ones first (delta debugging: Zeller and Hildebrandt 2002); branches of trees become
leaves. What takes more than twice as long to check, and more than half a second, is not taken, however short.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any

from framework.proof.check import proven_by
from framework.proof.cores.fixing import PARTS
from framework.proof.log import BOUNDS, LISTS, Step
from framework.proof.problem import PlainProblem, RefusedError
from framework.proof.reductions import contract
from framework.proof.stages import BRANCHES

SLOWER, AT_LEAST = 2, 0.5
"""A shorter proof takes at most so many times as long to check; or so many seconds, if that is more."""
LEAVES = 3
"""Leaves of a branch that are tried in its place."""
LOADING = ("_frozen_importlib", "_frozen_importlib_external", "importlib", "numba", "llvmlite")
"""Packages that would be left half done where they are interrupted."""
AGAIN = 0.05
"""Seconds after which it is tried again to interrupt what takes too long."""
WHOLE = 0
TOGETHER = {
    "moves": 2,
    "arcs": 2,
    "fluid": 1,
    "some": 1,
    "chains": 1,
    "units": 1,
    "rows": 1,
    "cliques": 1,
    "order": WHOLE,
    "common": WHOLE,
    "branches": WHOLE,
}
"""How many items of a list belong together; all, where only the whole list can be left out."""
WITHOUT_NODES = ("uniform", "narrow", "hold", "merge", "ideal-program", "simple", "tensor-count", "packing", "windows")
"""Steps that name no nodes, so that those before them may number them anew."""


class _TooLongError(Exception):
    """Checking takes longer than it may."""


class Shortener:
    """Looks for steps that prove a bound as well, and hold less.

    Parameters
    ----------
    steps
        Those of a log of the problem.
    seconds
        Of the process, after which no more is tried.
    plain
        Whether to compile nothing.

    Attributes
    ----------
    steps
        The shortest ones so far.

    Raises
    ------
    RefusedError
        If the steps do not prove the bound.
    """

    def __init__(
        self, problem: PlainProblem, steps: Sequence[Step], bound: int, *, seconds: float = 60.0, plain: bool = False
    ) -> None:
        self.problem, self.steps, self.bound, self.plain = problem, list(steps), bound, plain
        started = time.process_time()
        if not self._holds(self.steps):
            raise RefusedError("the steps prove less than the log says")
        now = time.process_time()
        self._end, self._most = now + seconds, max(AT_LEAST, SLOWER * (now - started))

    def run(self) -> list[Step]:
        """Shorten each step, the last one first; return what is left."""
        for at in reversed(range(len(self.steps))):
            rule, later = self.steps[at].rule, [step.rule for step in self.steps[at + 1 :]]
            anchored = rule == "contract" and later == ["anchored-cut"]
            if "contract" in rule and not anchored and not set(later) <= set(WITHOUT_NODES):
                continue
            for name, value in self.steps[at].data.items():
                if name in ("tree", "trees"):
                    self._prune(at, name)
                elif name == "rounds":
                    self._thin_out_rounds(at)
                elif name in TOGETHER:
                    self._drop_runs(at, [name], TOGETHER[name] or len(value))
        self.steps = [step for step in self.steps if step.rule != "contract" or step.data["moves"]]
        return self.steps

    def _thin_out_rounds(self, at: int) -> None:
        """Leave out what can be of the lists of `fixing` and of `threshold-contract`."""
        fixes = self.steps[at].rule in ("fixing", "filter")
        self._drop_runs(at, ["rounds"], len(PARTS) if fixes else 1)
        for i, row in enumerate(self.steps[at].data["rounds"]):
            part = PARTS[i % len(PARTS)] if fixes else "moves"
            size = 2 + 2 * len(self.problem.kinds) if part == "ways" else len(row) if part == "units" else 0
            if part != "threshold" and row:
                self._drop_runs(at, ["rounds", i], size or TOGETHER[part] or len(row))

    def _drop_runs(self, at: int, place: Sequence[Any], size: int) -> None:
        """Leave out runs of items of a list, so many of which belong together: all, half of them, a quarter, ..."""
        items = _at(self.steps[at].data, place)
        run = len(items) - len(items) % max(1, size)
        while run >= max(1, size):
            first = 0
            while first < len(items):
                fewer = items[:first] + items[first + run :]
                if self._try(at, place, fewer):
                    items = fewer
                else:
                    first += run
            run = run // 2 - run // 2 % size

    def _prune(self, at: int, name: str) -> None:
        """Put leaves in the place of branches of a tree, or of trees, the largest first."""
        nested = BOUNDS[self.steps[at].rule].get("tree") == LISTS
        for place in [[name]] if name == "tree" else [[name, i] for i in range(len(self.steps[at].data[name]))]:
            items = _at(self.steps[at].data, place)
            rows = items if nested else [items[i : i + 3] for i in range(0, len(items), 3)]
            i = 0
            while i < len(rows):
                end = _end_of_branch(rows, i)
                leaves = list(dict.fromkeys(tuple(row) for row in rows[i:end] if not _branches(row)))
                for leaf in leaves[:LEAVES] if end > i + 1 else ():
                    fewer = [*rows[:i], list(leaf), *rows[end:]]
                    if self._try(at, place, fewer if nested else [x for row in fewer for x in row]):
                        rows = fewer
                        break
                i += 1

    def _try(self, at: int, place: Sequence[Any], value: list[Any]) -> bool:
        """Put a value into a step if the steps still prove the bound; return whether they do."""
        if time.process_time() > self._end:
            return False
        steps, step = list(self.steps), self.steps[at]
        data = dict(step.data)
        if len(place) == 2:
            value = [value if i == place[1] else row for i, row in enumerate(data[place[0]])]
        steps[at] = replace(step, data={**data, place[0]: value})
        try:
            with _at_most(self._most):
                if steps[-1].rule == "anchored-cut" and step.rule == "contract":
                    steps[-1] = self._renamed(steps[-1], step, steps[at])
                if not self._holds(steps):
                    return False
        except (RefusedError, _TooLongError):
            return False
        self.steps = steps
        return True

    def _holds(self, steps: Sequence[Step]) -> bool:
        return proven_by(self.problem, steps, plain=self.plain) >= self.bound

    def _renamed(self, cut: Step, before: Step, now: Step) -> Step:
        """Return an anchored cut with its node as another contraction numbers it."""
        first = contract(self.problem, **before.data).node_of.index(cut.data["node"])
        return replace(cut, data={**cut.data, "node": contract(self.problem, **now.data).node_of[first]})


def _at(data: Any, place: Sequence[Any]) -> list[Any]:
    for key in place:
        data = data[key]
    return list(data)


def _branches(row: Sequence[int]) -> bool:
    """Whether a row of a tree is no leaf."""
    return len(row) == 2 or (len(row) == 3 and row[1] == BRANCHES)


def _end_of_branch(rows: Sequence[Sequence[int]], start: int) -> int:
    """Return where in preorder what begins with a row ends."""
    open_ends, i = 1, start
    while open_ends and i < len(rows):
        open_ends += 1 if _branches(rows[i]) else -1
        i += 1
    return i


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Raise `_TooLongError` in what takes more seconds of the process, once nothing is being loaded or compiled."""

    def end(number: int, frame: FrameType | None) -> None:
        while frame is not None:
            if frame.f_globals.get("__name__", "").partition(".")[0] in LOADING:
                signal.setitimer(signal.ITIMER_VIRTUAL, AGAIN)
                return
            frame = frame.f_back
        raise _TooLongError

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
