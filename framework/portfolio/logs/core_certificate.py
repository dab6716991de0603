"""What a checker has to be told of a core that refutes a threshold: it makes core, nets and tables itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from framework.errors import OutOfTimeError
from framework.structure.fluid.chain_dp import FluidSearch
from framework.structure.fluid.core import build_core
from framework.structure.fluid.hierarchy import ReadyCore
from framework.structure.fluid.variants import Counted, Variant


def certificate_of(
    ready: ReadyCore, stages: int, threshold: int, should_stop: Callable[[], bool], *, closing: bool
) -> dict[str, Any] | None:
    """Return the data of the rule *core program* for the latest variant that refuted a threshold with a core.

    None where no rule covers that: with shared parameters, with constraints, or with tolls that are needed.

    Parameters
    ----------
    closing
        Whether the incumbent is as good as proven optimal then: only then it is tried without tolls, as that takes as
        long as another decision.
    """
    variant, search = ready.order.latest, ready.search
    # Shared parameters and different devices have a search of their own.
    if not isinstance(search, FluidSearch) or ready.instance.stage_limit is not None:
        return None
    if (search.core.unit >= 0).any():
        variant = replace(variant, by_unit=False)
        if not closing or not _refutes_without_tolls(ready, search, stages, threshold, variant, should_stop):
            return None
    some = search.crowded if variant.counted == Counted.CROWDED else None
    return {
        "threshold": threshold,
        "order": [],
        "fluid": ready.core.fluid.tolist(),
        "backwards": int(ready.backwards),
        "counted": int(variant.counted),
        "some": [] if some is None else np.flatnonzero(some).tolist(),
        "grain": variant.grain,
        "chains": [chain.nodes.tolist() for chain in ready.way.chains],
    }


def _refutes_without_tolls(
    ready: ReadyCore,
    search: FluidSearch,
    stages: int,
    threshold: int,
    variant: Variant,
    should_stop: Callable[[], bool],
) -> bool:
    """Whether a threshold is refuted if all tensors of a core with tolls are in its nets."""
    mask = np.zeros(ready.instance.n, np.bool_)
    mask[ready.core.fluid] = True
    further = () if variant.basic else (variant,)
    try:
        core = build_core(ready.instance, mask, ready.way.chains, tolled=False, should_stop=should_stop)
        again = FluidSearch(core, search.lattice, search.crowded, further, should_stop=should_stop)
        return again.decide(stages, threshold, should_stop, variant=variant) is None
    except OutOfTimeError:
        return False
