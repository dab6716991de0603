"""Sections of a graph in which the number of stages is limited by memory, not by work.

Nodes comparable to all others cut a graph into *sections*: every partition takes one section after the other. A section
of work w and parameters p needs about w / T stages for its work and p / capacity for its parameters. It is *crowded*
(memory-bound) if the second number is larger. Counting parameters against the capacity strengthens the relaxation in
crowded sections and weakens it in the others, so they are counted in crowded sections only
(`framework.structure.fluid.chain_dp`).

This choice is a heuristic: bounds that use it are valid for any set of nodes. Source: this project.
"""

from __future__ import annotations

import numpy as np

from framework.model.instance import Instance
from framework.structure.poset.closure import BoolArray, Closure

LEAST_ROOMY = 0.02
"""Share of all work outside crowded sections, at least, for the difference between sections to be worth anything."""


def crowded_nodes(instance: Instance, reach: Closure, threshold: int) -> BoolArray | None:
    """Return the mask ``[n]`` of the nodes in crowded sections, or None if those are none, or almost everything.

    Parameters
    ----------
    reach
        The closure of the instance.
    threshold
        About what a stage costs, in ticks.
    """
    if not instance.can_overflow:
        return None
    n = instance.n
    ancestors = np.bitwise_count(reach.ancestors).sum(axis=1, dtype=np.int64)
    descendants = np.bitwise_count(reach.descendants).sum(axis=1, dtype=np.int64)
    series = np.sort(ancestors[ancestors + descendants == n - 1])
    # A node comparable to all with a ancestors comes just before those with more than a.
    section = np.searchsorted(series, ancestors, side="left") + np.searchsorted(series, ancestors, side="right")
    work = np.bincount(section, weights=instance.work)
    parameters = np.bincount(section, weights=instance.parameter_cost)
    crowded: BoolArray = (parameters * threshold > work * instance.capacity)[section]
    roomy = float(instance.work[~crowded].sum())
    return crowded if crowded.any() and roomy > LEAST_ROOMY * instance.total_work else None
