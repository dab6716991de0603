"""Whether a split gives the results of the unsplit model, judged twice where rounding or chance have a say.

What ran is compared first. A result that differs by more than its type allows is judged a second time, since a rounding
becomes a step in quantised models, a cut undoes fusions that round elsewhere, and a deep model may magnify all that. It
passes if (a) with onnxruntime's rewriting off, split and unsplit model agree, but for a few times what the unsplit
model makes of inputs that are changed by one unit in the last place; and (b) as it ran, it is no farther from the
unsplit model than a few times that, or what the rewriting itself changes in the unsplit model.

A result that depends on random numbers cannot be compared as it ran: each source of them gets the same seed in both,
and then they are compared with the rewriting off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.deploy.onnx_model import ModelFile
from framework.deploy.pipeline.compare import (
    TOLERANCE,
    UNITS,
    Difference,
    Results,
    allowed_differences,
    compare,
    difference,
    worst_of,
)
from framework.deploy.pipeline.in_order import run_in_order, run_plain
from framework.deploy.randomness import random_sources
from framework.deploy.runtime import Feed
from framework.deploy.split.manifest import Manifest

STEPS = 4
"""A split may be this many times as far from the unsplit model as that is from itself, rounded elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What comparing a split with the unsplit model has shown.

    Attributes
    ----------
    difference
        Of what ran, without what depends on random numbers.
    equal
        Whether the split computes what the model does.
    remarks
        What was judged otherwise than by what ran.
    """

    difference: Difference
    equal: bool
    remarks: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class Judge:
    """Compares splits of one model with it.

    Parameters
    ----------
    model, feed
        The unsplit model and its inputs.
    expected
        Its results, as it ran.
    """

    model: ModelFile
    feed: Feed
    expected: Sequence[tuple[str, NDArray[Any]]]
    _allowed: dict[str, float] = field(default_factory=dict)
    _sources: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _noise: dict[str, float] = field(default_factory=dict)
    _plain: list[tuple[str, NDArray[Any]]] | None = None
    _seeded: list[tuple[str, NDArray[Any]]] | None = None

    def __post_init__(self) -> None:
        self._allowed = allowed_differences(self.model)
        drawn = random_sources(self.model.proto.graph)
        self._sources = {name: drawn[name] for name in self._allowed if name in drawn}

    def judge(self, manifest: Manifest, found: Sequence[Results]) -> Verdict:
        """Compare the results of batches of a split."""
        fixed = {name: value for name, value in self._allowed.items() if name not in self._sources}
        shown = worst_of(compare(results, self.expected, fixed) for results in found)
        equal, remarks = shown.equal, []
        if not equal:
            equal, remark = self._second_look(manifest, found, fixed, shown)
            remarks.append(remark)
        if self._sources:
            again, remark = self._with_seeds(manifest)
            equal = equal and again
            remarks.append(remark)
        return Verdict(difference=shown, equal=equal, remarks=tuple(remarks))

    def _second_look(
        self, manifest: Manifest, found: Sequence[Results], fixed: dict[str, float], shown: Difference
    ) -> tuple[bool, str]:
        if self._plain is None:
            self._plain = run_plain(self.model, self.feed)
            rounded = dict(run_plain(self.model, _rounded(self.feed, max(fixed.values()))))
            self._noise = {name: difference(rounded.get(name), array) for name, array in self._plain}
        itself = dict(self._plain)
        moved = {name: difference(itself.get(name), array) for name, array in self.expected if name in fixed}
        close = {name: max(value, STEPS * self._noise[name]) for name, value in fixed.items()}
        wider = {name: max(value, STEPS * moved[name]) for name, value in close.items()}
        plain = compare(run_in_order(manifest, self.feed), self._plain, close)
        equal = plain.equal and worst_of(compare(results, self.expected, wider) for results in found).equal
        agrees = "agree" if plain.equal else "differ too"
        return equal, (
            f"{shown.name!r} differs by {shown.worst:.1e}, more than {shown.allowed:.1e}; with onnxruntime's rewriting "
            f"off the results {agrees} ({plain.value:.1e}); in the unsplit model, the rewriting changes this result by "
            f"{moved[shown.name]:.1e}, and a last digit of the inputs by {self._noise[shown.name]:.1e}"
        )

    def _with_seeds(self, manifest: Manifest) -> tuple[bool, str]:
        if self._seeded is None:
            self._seeded = run_plain(self.model, self.feed, seeded=True)
        allowed = {name: value for name, value in self._allowed.items() if name in self._sources}
        seeded = compare(run_in_order(manifest, self.feed, seeded=True), self._seeded, allowed)
        nodes = list(dict.fromkeys(node for nodes in self._sources.values() for node in nodes))
        named = ", ".join(map(repr, nodes[:4])) + (f" and {len(nodes) - 4} more" if len(nodes) > 4 else "")
        results = ", ".join(map(repr, self._sources))
        return seeded.equal, (
            f"{results}: random numbers of {named}; compared with one seed for each of them and the rewriting off "
            f"(largest difference {seeded.value:.1e}), not as it ran"
        )


def _rounded(feed: Feed, allowed: float) -> Feed:
    """Return inputs that differ by a unit in the last place of the coarsest type in the model."""
    unit = allowed / UNITS if allowed > TOLERANCE else 2.0**-24
    rng = np.random.default_rng(0)
    changed = {}
    for name, array in feed.items():
        signs = 2 * rng.integers(0, 2, array.shape) - 1
        whole = array.dtype.kind in "biuSUO"
        changed[name] = array if whole else (array.astype(np.float64) * (1 + 2 * unit * signs)).astype(array.dtype)
    return changed
