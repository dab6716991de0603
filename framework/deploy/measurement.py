"""What every profile of a model has, whatever ran it: times of the whole and of its operators, and warnings."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from framework.errors import UserError
from framework.formats.native import native_text
from framework.formats.profile_note import NOTE
from framework.model.graph import ModelGraph

FEWEST = 3
"""Measured runs that a profile has at least, whatever the budget."""

SPREAD = 0.2
"""A latency whose quartiles are this far apart, over the median, is not to be trusted."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measurement:
    """A model graph with measured times, and how they were measured.

    Attributes
    ----------
    graph
        The model graph with `seconds` for every node.
    latency
        Quartiles of the seconds of one run of the whole model.
    kernels, overhead
        The sum of its operators' medians; what the whole takes beyond it.
    operators
        Of each operator that ran: name, type, quartiles in seconds, the model's nodes behind it.
    repetitions, warm_up
        Runs that were measured, and those before them that were not.
    remarks
        What was done to the times, and what the user should know.
    warnings
        Why the times should not be trusted; empty if nothing speaks against them.
    """

    graph: ModelGraph
    latency: tuple[float, float, float]
    kernels: float
    overhead: float
    operators: tuple[dict[str, Any], ...]
    repetitions: int
    warm_up: int
    remarks: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def spread(self) -> float:
        """Interquartile range of the latency over its median."""
        return spread_of(self.latency)

    def note(self) -> dict[str, Any]:
        """Return what a graph file should keep of how it was measured."""
        return {
            "warm_up": self.warm_up,
            "repetitions": self.repetitions,
            "latency_quartiles": list(self.latency),
            "kernel_seconds": self.kernels,
            "overhead_seconds": self.overhead,
            "operators": list(self.operators),
            "remarks": list(self.remarks),
            "warnings": list(self.warnings),
        }


def spread_of(latency: tuple[float, float, float]) -> float:
    """Return the interquartile range over the median, of quartiles."""
    low, middle, high = latency
    return (high - low) / middle


def check_repetitions(repetitions: int, warm_up: int) -> None:
    """Refuse to measure too little.

    Raises
    ------
    UserError
        If there are fewer than `FEWEST` repetitions.
    """
    if repetitions < FEWEST or warm_up < 0:
        raise UserError("too few repetitions", hint=f"give at least `repetitions={FEWEST}` and `warm_up=0`")


def fewer_repetitions(done: int, asked: int, budget: float) -> list[str]:
    """Return the remark that a budget ended the measurement early, if it did."""
    return [] if done == asked else [f"{done} of {asked} repetitions, for the budget of {budget:g} s"]


def disturbed(latency: tuple[float, float, float], what: str) -> list[str]:
    """Return the warning that quartiles are far apart, if they are."""
    if spread_of(latency) <= SPREAD:
        return []
    low, _, high = latency
    return [
        f"do not trust this: the quartiles of {what} are {1e3 * low:.4g} and {1e3 * high:.4g} ms; other programs or a "
        "changing clock rate disturb it"
    ]


def write_profile(profile: Measurement, path: Path) -> None:
    """Write the measured graph as a native graph file, with a note of how it was measured.

    Raises
    ------
    UserError
        If the file cannot be written.
    """
    data = native_text(profile.graph, {NOTE: profile.note()}).encode()
    try:
        path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    except OSError as error:
        raise UserError(f"cannot be written: {error.strerror or error}", where=str(path)) from None
