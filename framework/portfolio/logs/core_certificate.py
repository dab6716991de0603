"""Certificates of `core-fluid`: what a checker has to be told to refute a threshold again, with a core of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from framework.proof.log import CHANGED
from framework.structure.filtering.noted import common_of, units_of, way_of
from framework.structure.fluid.hierarchy import ReadyCore
from framework.structure.fluid.variants import Counted


def certificate_of(ready: ReadyCore, threshold: int) -> dict[str, Any] | None:
    """Return the data of the rule *core program* for the latest variant that refuted a threshold with a core.

    None where no rule covers that: with limits, and with ties.
    """
    variant, search = ready.order.latest, ready.search
    if ready.instance.stage_limit is not None or variant.tied:
        return None
    crowded = search.crowded if variant.counted == Counted.CROWDED else None
    counted, grain, *weights = way_of(variant, ready.instance)
    return {
        "version": CHANGED["core-program"],
        "threshold": threshold,
        "order": [],
        "fluid": ready.core.fluid.tolist(),
        "backwards": int(ready.backwards),
        "counted": counted,
        "some": [] if crowded is None else np.flatnonzero(crowded).tolist(),
        "grain": grain,
        "weights": weights,
        "chains": [chain.nodes.tolist() for chain in ready.way.chains],
        "units": [nodes.tolist() for nodes in units_of(search.core)],
        "common": common_of(search.core).tolist(),
        "by_unit": int(variant.by_unit),
    }
