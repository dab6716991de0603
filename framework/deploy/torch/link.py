"""What handing a tensor over takes with gloo: seconds for each tensor, and bytes per second."""

from __future__ import annotations

from typing import NamedTuple

from framework.deploy.torch.stage_process import Stream
from framework.deploy.torch.world import World

SMALL, LARGE = 4, 4 << 20
ITEMS, LARGE_ITEMS, ROUNDS = 200, 20, 5


class Link(NamedTuple):
    """Seconds that each tensor takes beside its bytes, and bytes per second."""

    latency: float
    bandwidth: float


def measure_link() -> Link:
    """Stream small and large tensors from one process to another, as stages do, and return what they take.

    Other programs only add to it: the shortest round counts.

    Raises
    ------
    UserError
        If a process does not start, or dies.
    """
    with World(2, "the link between stages") as world:

        def seconds(items: int, nbytes: int) -> float:
            orders = [Stream(items=items, nbytes=nbytes)] * 2
            return float(min(max(world.ask(list(orders))) for _ in range(ROUNDS)))

        small, large = seconds(ITEMS, SMALL), seconds(LARGE_ITEMS, LARGE)
    bandwidth = (LARGE - SMALL) / max(large - small, 1e-9)
    return Link(latency=float(f"{small:.3g}"), bandwidth=float(f"{bandwidth:.3g}"))
