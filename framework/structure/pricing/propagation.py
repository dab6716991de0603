"""Constraint propagation for one stage: closes a partial in/out assignment under convexity and exclusions at T.

A node on a path between two nodes that are in is in; a node separated from a node that is in by a node that is out is
out. If u and v share no stage at T and u is in, v is out. A net that no stage of u covers at T is *open* if u is in:
one of its pins is outside, so the stage pays for it if any pin is inside.

Source: this project.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from framework.structure.bit_sets import BitArray
from framework.structure.kernel import kernel
from framework.structure.poset.closure import BoolArray, pack_sets
from framework.structure.pricing.network import IN, OUT, Network, RoleArray, Shape, has


class Rules(NamedTuple):
    """What cannot happen at the threshold asked about; rows are bit sets, no rows mean nothing is known.

    Row v of `apart` holds the nodes that share no stage with v, row v of `uncovered` the nets no stage of v covers.
    """

    apart: BitArray
    uncovered: BitArray


def rules_of(apart: BoolArray, uncovered: BoolArray) -> Rules:
    """Pack ``[n, n]`` and ``[n, nets]`` flags; ``[0, 0]`` for what is not known."""
    return Rules(apart=pack_sets(apart), uncovered=pack_sets(uncovered))


NO_RULES = rules_of(np.zeros((0, 0), np.bool_), np.zeros((0, 0), np.bool_))


@kernel
def close_roles(shape: Shape, rules: Rules, roles: RoleArray, network: Network) -> bool:
    """Fill `status` and `opened` with what roles and rules imply for convex sets; return False if no set fits."""
    below, above, blocked, status = network.below, network.above, network.blocked, network.status
    n, words = len(roles), len(below)
    for word in range(words):
        below[word] = above[word] = blocked[word] = 0
    for v in range(n):
        status[v] = roles[v]
        if roles[v] == IN:
            for word in range(words):
                below[word] |= shape.descendants[v, word]
                above[word] |= shape.ancestors[v, word]
    for v in range(n):
        if has(below, v) and has(above, v):
            if roles[v] == OUT:
                return False
            status[v] = IN
    if not _apply_rules(rules, network):
        return False
    for v in range(n):
        if status[v] == OUT and has(below, v):
            for word in range(words):
                blocked[word] |= shape.descendants[v, word]
        elif status[v] == OUT and has(above, v):
            for word in range(words):
                blocked[word] |= shape.ancestors[v, word]
    for v in range(n):
        if has(blocked, v):
            if status[v] == IN:
                return False
            status[v] = OUT
    return True


@kernel
def _apply_rules(rules: Rules, network: Network) -> bool:
    """Put out what is apart from a node in, open what no stage of such a node covers; return False if they clash."""
    status, opened, ruled_out, bare = network.status, network.opened, network.ruled_out, network.bare
    for t in range(len(opened)):
        opened[t] = 0
    if len(rules.apart):
        for word in range(len(ruled_out)):
            ruled_out[word] = 0
        for v in range(len(status)):
            if status[v] == IN:
                for word in range(len(ruled_out)):
                    ruled_out[word] |= rules.apart[v, word]
        for v in range(len(status)):
            if has(ruled_out, v):
                if status[v] == IN:
                    return False
                status[v] = OUT
    if len(rules.uncovered):
        for word in range(len(bare)):
            bare[word] = 0
        for v in range(len(status)):
            if status[v] == IN:
                for word in range(len(bare)):
                    bare[word] |= rules.uncovered[v, word]
        for t in range(len(opened)):
            if has(bare, t):
                opened[t] = 1
    return True
