"""What handing a tensor over takes with gloo: seconds for each tensor, and bytes per second."""

from __future__ import annotations

import statistics
from typing import NamedTuple

from framework.deploy.torch.stage_process import Stream, Streamed
from framework.deploy.torch.world import World

SMALL, LARGE = 4, 4 << 20
ITEMS, LARGE_ITEMS, ROUNDS = 100, 20, 5
PAUSE = 2e-3
"""Seconds of a core that both ends compute between tensors, where seconds of a core are measured."""


class Link(NamedTuple):
    """Seconds that each tensor takes beside its bytes, and bytes per second."""

    latency: float
    bandwidth: float


def measure_link(clock: str = "cpu") -> Link:
    """Stream small and large tensors from one process to another, as stages do, and return what they take.

    Parameters
    ----------
    clock
        One of `framework.deploy.torch.timers.CLOCKS`. With ``cpu``, the seconds of a core that the busier end takes
        beside computing, the median of some rounds; with ``wall``, those that pass from one tensor to the next, in the
        shortest round, since other programs only add to them.

    Raises
    ------
    UserError
        If a process does not start, or dies.
    """
    on_cores = clock == "cpu"
    with World(2, "the link between stages") as world:

        def seconds(items: int, nbytes: int) -> float:
            orders = [Stream(items=items, nbytes=nbytes, pause=PAUSE if on_cores else 0.0)] * 2
            rounds: list[list[Streamed]] = [world.ask(list(orders)) for _ in range(ROUNDS)]
            if on_cores:
                return statistics.median(max(end.used for end in ends) for ends in rounds)
            return min(max(end.passed for end in ends) for ends in rounds)

        small, large = seconds(ITEMS, SMALL), seconds(LARGE_ITEMS, LARGE)
    bandwidth = (LARGE - SMALL) / max(large - small, 1e-9)
    return Link(latency=float(f"{small:.3g}"), bandwidth=float(f"{bandwidth:.3g}"))
