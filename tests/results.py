"""Results made by hand, for tests of what shows them."""

from __future__ import annotations

from typing import Any

from framework.bounds import Reason, Termination
from framework.model.exact import Rounding
from framework.portfolio.constraints import Constraints
from framework.portfolio.records import GraphRecord, Status
from framework.portfolio.result import Result


def made_result(**fields: Any) -> Result:
    """Return a result of a graph of three nodes in two stages, found at once and not proven optimal, with changes."""
    usual: dict[str, Any] = {
        "graph": GraphRecord(name="made", sha256="0", nodes=3),
        "device": None,
        "stages": 2,
        "entry": "default",
        "constraints": Constraints(),
        "unit": "ms",
        "rounding": Rounding(ticks_per_unit=1.0, exact=True),
        "dual_bound": 4.0,
        "dual_ticks": 4,
        "incumbent": 5.0,
        "incumbent_ticks": 5,
        "relative_gap": 0.2,
        "ratio": 0.8,
        "status": Status.TIME_LIMIT,
        "termination": Termination(reason=Reason.FINISHED),
        "stage_of": (0, 0, 1),
        "node_names": ("a", "b", "c"),
        "node_ids": (),
        "stage_costs": (),
        "bounds": (),
        "incumbent_source": "balanced",
        "trajectory": (),
        "presolve": None,
        "members": (),
        "faults": (),
        "over_limit": {},
        "contradictions": (),
        "remarks": (),
        "seed": 0,
        "budget": 10.0,
        "seconds": 1.0,
    }
    return Result(**{**usual, **fields})
