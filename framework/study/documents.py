"""From a result document to the rows of the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from framework.bounds import SIMPLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Projected:
    """What tables hold of a document; tuples are rows without the run's id."""

    columns: Mapping[str, Any] = field(default_factory=dict)
    bounds: list[tuple[Any, ...]] = field(default_factory=list)
    trajectory: list[tuple[Any, ...]] = field(default_factory=list)
    faults: list[tuple[Any, ...]] = field(default_factory=list)
    contradictions: list[tuple[Any, ...]] = field(default_factory=list)


def projected(document: Mapping[str, Any] | None) -> Projected:
    """Return the rows of a document; none for None."""
    if document is None:
        return Projected()
    bounds = document["bounds"]
    best: Mapping[str, Any] = max(bounds, key=lambda row: int(row["ticks"]), default={})
    # The entry `simple` reports under the same name, and more than the start where it works on a reduced graph.
    is_start = document["portfolio"].partition(":")[0] == SIMPLE
    own = [int(row["ticks"]) for row in bounds if row["source"] != SIMPLE or is_start]
    scale = float(document["ticks_per_unit"])
    added = int((document.get("rounding") or {}).get("stage_ticks", 0))

    # Ticks are below 2^46: rounding undoes the conversion to the unit exactly.
    def dual_ticks(value: float | None) -> int | None:
        return None if value is None else round(value * scale)

    def incumbent_ticks(value: float | None) -> int | None:
        if value is None or value == document["incumbent"]:
            return None if value is None else int(document["incumbent_ticks"])
        return round(value * scale) - added

    simple = next((dual_ticks(dual) for _, dual, _, source in document["trajectory"] if source == SIMPLE), None)
    return Projected(
        columns={
            "unit": document["unit"],
            "ticks_per_unit": scale,
            "status": document["status"],
            "reason": document["termination"]["reason"],
            "limit_name": document["termination"]["limit"],
            "detail": document["termination"]["detail"],
            "dual": document["dual_bound_ticks"],
            "dual_source": best.get("source"),
            "soundness": best.get("soundness"),
            "simple": simple,
            "own": max(own, default=None),
            "incumbent": document["incumbent_ticks"],
            "incumbent_source": document["incumbent_source"],
            "seconds": document["seconds"],
        },
        bounds=[
            (row["source"], int(row["ticks"]), row["soundness"], row["seconds"], (row["certificate"] or {}).get("kind"))
            for row in bounds
        ],
        trajectory=[
            (step, seconds, dual_ticks(dual), incumbent_ticks(incumbent), source)
            for step, (seconds, dual, incumbent, source) in enumerate(document["trajectory"])
        ],
        faults=[(row["member"], row["detail"]) for row in document["faults"]],
        contradictions=[
            (row["source"], row["dual_bound_ticks"], row["incumbent_ticks"], row["incumbent_source"])
            for row in document["contradictions"]
        ],
    )
