"""The consumers of a tensor that come last: those that are no ancestors of another consumer of it.

In a partition, a tensor has been read by everyone exactly when its last consumers have read it.
"""

from __future__ import annotations

import numpy as np

from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.structure.bit_sets import BitArray, holds
from framework.structure.kernel import kernel
from framework.structure.poset.closure import BoolArray, Closure


def last_consumers(instance: Instance, reach: Closure) -> BoolArray:
    """Return which pins are last consumers: ``[pins]``, aligned with ``topology.consumers``."""
    top = instance.topology
    last = np.ones(top.pins, np.bool_)
    _mark(top.consumer_ptr, top.consumers, reach.descendants, last)
    return last


@kernel
def _mark(ptr: IntArray, consumers: IntArray, descendants: BitArray, last: BoolArray) -> None:
    for t in range(len(ptr) - 1):
        for i in range(ptr[t], ptr[t + 1]):
            # Descendants have larger indices, and rows are ascending.
            for j in range(i + 1, ptr[t + 1]):
                v = consumers[j]
                if holds(descendants, consumers[i], v):
                    last[i] = False
                    break
