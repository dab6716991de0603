"""Sections of a graph in which the number of stages is limited by memory, not by work.

Nodes comparable to all others cut a graph into *sections*: every partition takes one section after the other. A section
of work w and parameters p needs about w / T stages for its work and p / capacity for its parameters. It is *crowded*
(memory-bound) if the second number is larger. Counting parameters against the capacity strengthens the relaxation in
crowded sections and weakens it in the others, so they are counted in crowded sections only
(`framework.structure.fluid.chain_dp`).

On different devices a section needs about as many stages as one would of an average stage: the mean, over all stages,
of what a stage does of its work within T, and of its parameters within the capacity. A shared parameter counts in each
section with a user.

This choice is a heuristic: bounds that use it are valid for any set of nodes. Source: this project.
"""

from __future__ import annotations

import numpy as np

from framework.model.instance import Instance
from framework.structure.poset.closure import BoolArray, Closure

LEAST_ROOMY = 0.02
"""Share of all work outside crowded sections, at least, for the difference between sections to be worth anything."""

SMALLEST = 1e-9
"""Work or parameters of a section that has none: any share of that fits."""


def crowded_nodes(instance: Instance, reach: Closure, threshold: int) -> BoolArray | None:
    """Return the mask ``[n]`` of the nodes in crowded sections, or None if those are none, or almost everything.

    Parameters
    ----------
    reach
        The closure of the instance.
    threshold
        About what a stage costs, in ticks.
    """
    priced, n = instance.on_each_device(), instance.n
    if not any(row.can_overflow for row in priced):
        return None
    ancestors = np.bitwise_count(reach.ancestors).sum(axis=1, dtype=np.int64)
    descendants = np.bitwise_count(reach.descendants).sum(axis=1, dtype=np.int64)
    series = np.sort(ancestors[ancestors + descendants == n - 1])
    # A node comparable to all with a ancestors comes just before those with more than a.
    section = np.searchsorted(series, ancestors, side="left") + np.searchsorted(series, ancestors, side="right")
    count = int(section.max()) + 1
    stages = np.ones(1, np.int64) if instance.unequal is None else np.bincount(instance.unequal.device)
    # The share of each section that a stage works through, and that it holds, summed over all stages.
    done, held, anything = np.zeros(count), np.zeros(count), np.zeros(count, np.bool_)
    for many, row in zip(stages.tolist(), priced, strict=True):
        work = np.bincount(section, weights=row.work)
        parameters = np.bincount(section, weights=row.parameter_cost) + row.shared.sums(row.shared_cost, section, count)
        done += many * threshold / np.maximum(work, SMALLEST)
        held += many * row.bounded_capacity / np.maximum(parameters, SMALLEST)
        anything |= parameters > 0
    crowded: BoolArray = (anything & (held < done))[section]
    roomy = float(instance.work[~crowded].sum())
    return crowded if crowded.any() and roomy > LEAST_ROOMY * instance.total_work else None
