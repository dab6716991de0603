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


def measure_link(clock: str = "cpu") -> Link:
    """Stream small and large tensors from one process to another, as stages do, and return what they take.

    Other programs only add to it: the shortest round counts.

    Parameters
    ----------
    clock
        One of `framework.deploy.torch.timers.CLOCKS`: the seconds of a core that the busier end takes, or those that
        pass from one tensor to the next.

    Raises
    ------
    UserError
        If a process does not start, or dies.
    """
    field = "used" if clock == "cpu" else "passed"
    with World(2, "the link between stages") as world:

        def seconds(items: int, nbytes: int) -> float:
            orders = [Stream(items=items, nbytes=nbytes)] * 2
            rounds = [world.ask(list(orders)) for _ in range(ROUNDS)]
            return float(min(max(getattr(end, field) for end in ends) for ends in rounds))

        small, large = seconds(ITEMS, SMALL), seconds(LARGE_ITEMS, LARGE)
    bandwidth = (LARGE - SMALL) / max(large - small, 1e-9)
    return Link(latency=float(f"{small:.3g}"), bandwidth=float(f"{bandwidth:.3g}"))
