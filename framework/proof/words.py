"""What is printed when a proof log is replayed: a line for each step, and the verdict."""

from __future__ import annotations

from framework.proof.check import Replay
from framework.proof.log import OtherVersionError


def lines(found: Replay) -> list[str]:
    """Return a line for each thing that was done, and the verdict."""
    wide = max((len(row.what) for row in found.rows), default=0)
    said = [f"{row.what:<{wide}}  {row.seconds:8.2f} s  {row.found}" for row in found.rows]
    return [*said, verdict(found)]


def verdict(found: Replay) -> str:
    """Return in one sentence what a log shows."""
    if found.fault:
        return f"The proof does not hold: {found.fault}."
    if found.optimal:
        return f"The proof holds: the partition is optimal, at {found.proven} ticks."
    best = "" if found.bottleneck is None else f", and the partition costs {found.bottleneck}"
    return f"The proof holds: no partition costs less than {found.proven} ticks{best}."


def unproven(error: OtherVersionError) -> str:
    """Return in one sentence what a log of another version shows."""
    return f"Unproven, and not shown to be false: {error}."
