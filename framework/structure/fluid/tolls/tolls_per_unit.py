"""Separation costs of each unit by itself: what a stage runs at most, if units that stay away from their owner pay.

`framework.structure.fluid.tolls.separation_costs` defines units, owners and tolls, and uses the least toll and the most
weight of all tolled units. Where their weights differ much, as those of embedding tables do, that is little: here every
unit i has its own weight w_i and toll c_i.

Let a stage have room R for fluid and tolls, and own the units O. Let m_i be the share, by weight, of unit i in O that
the stage does not run, and S the fluid nodes that it runs. The stage pays c_i for each i in O with m_i > 0, and for
each unit that it does not own and runs something of. So

    a(S) + sum of c_i over O where m_i > 0 + sum of c_j over units j not in O with some node in S  <=  R.      (1)

Count a node v of unit i as u(v) = a(v) + d(v), with integers 0 <= d(v) <= c_i a(v) / w_i rounded down, so that all d of
unit i come to d_i <= c_i. Nodes of no unit count as a(v). Of a unit j that is not owned the stage runs d-weight at most
c_j, which it pays. Of unit i in O it runs d-weight d_i - d(missing). With (1)

    u(S)  <=  R + d(O) - sum over O where m_i > 0 of (c_i + d(missing of i)).

As d(missing of i) >= 0 is at least m_i c_i less one tick for each of the n_i nodes of i, each term of this sum is at
least 2 m_i e_i with e_i = max(0, c_i - n_i): if m_i < 1/2 because c_i >= 2 m_i c_i, and otherwise because
c_i + m_i c_i - n_i >= 2 m_i c_i - 2 m_i n_i. So

    u(S)  <=  R + d(O) - 2 sum of m_i e_i over O.                                                             (2)

If w(O) > R, some units must be missing: by (1) w(O) - sum of m_i w_i <= a(S) <= R - sum of m_i c_i, that is

    sum over O of m_i (w_i - c_i)  >=  w(O) - R.

The sum in (2) is then at least the optimum of a fractional knapsack over all units, owned or not, with w_i > c_i, in
the order of e_i / (w_i - c_i). That is a table of prefix sums. If even all of them do not suffice, there is no such
stage.

*The common tensor*, of cost f: a stage after the one of its producer pays f as well if it contains a core node that
takes it; and if not, it pays f or runs no fluid node that takes it, hence cuts each unit F in O that is fed by it, and
(1) gives u(S) <= R + d(O) - d(F). The stage of the producer pays f if a later one has a core node that takes it.

*Different devices.* With c_i the lowest of the costs of unit i on all devices, in the weights of the stages on them,
(1) holds for a stage on any device, in its own room, and so does what follows. f is that of the device.

The value of the program, Mx, Mn and X count u. So the room of a stage for fluid is at most R + d(O), which takes the
place of R where the limits of `framework.structure.fluid.chain_dp` compare what is left with what the stages left can
hold: in the table of ideals, the weight of an ideal is less by d(owned in it).

Source: this project; the knapsack bound is that of Dantzig (1957).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from framework.model.arrays import IntArray
from framework.structure.kernel import kernel

SAFE = 1.0 - 1e-9
"""Factor by which a quotient of doubles is lowered: far more than its error."""


class UnitTolls(NamedTuple):
    """The tolls of the units of some fluid, and the table of the knapsack.

    Attributes
    ----------
    toll
        ``[fluid]`` d of each node, in ticks; 0 in no unit.
    tolled
        ``[fluid]`` which nodes are in units with a toll.
    prefixes
        ``[2, units]`` sums over the first units in the order of the knapsack: of w - c, and of e.
    """

    toll: IntArray
    tolled: IntArray
    prefixes: IntArray


def tolls_per_unit(unit: IntArray, cost: IntArray, weight: IntArray) -> UnitTolls:
    """Return the tolls of all units.

    Parameters
    ----------
    unit
        ``[fluid]`` the unit of each fluid node, -1 for none.
    cost
        ``[units]`` what cutting each costs a stage, in the unit of the weights; on whatever device it runs.
    weight
        ``[fluid]`` what each fluid node weighs, a.
    """
    members = np.flatnonzero(unit >= 0)
    total = np.zeros(len(cost), np.int64)
    np.add.at(total, unit[members], weight[members])
    size = np.bincount(unit[members], minlength=len(total)).astype(np.int64)
    tolled = np.zeros(len(weight), np.int64)
    toll = np.zeros(len(weight), np.int64)
    for v in members.tolist():
        own = unit[v]
        if total[own] and cost[own]:
            tolled[v] = 1
            # Whole numbers of Python: the product may need more than 64 bits.
            toll[v] = int(cost[own]) * int(weight[v]) // int(total[own])
    freed = total - cost
    least = np.maximum(0, cost - size)
    units = np.flatnonzero((size > 0) & (total > 0) & (cost > 0) & (freed > 0))
    units = units[np.argsort(least[units] / freed[units], kind="stable")]
    return UnitTolls(toll, tolled, np.stack((np.cumsum(freed[units]), np.cumsum(least[units]))))


@kernel
def least_missing_tolls(prefixes: IntArray, missing: int) -> int:
    """Return the least tolls of units that free so much weight, rounded down; -1 if all of them free less."""
    count = prefixes.shape[1]
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if prefixes[0, middle] < missing:
            low = middle + 1
        else:
            high = middle
    if low == count:
        return -1
    weight = cost = 0
    if low:
        weight, cost = prefixes[0, low - 1], prefixes[1, low - 1]
    part = (missing - weight) / (prefixes[0, low] - weight)
    return cost + int((prefixes[1, low] - cost) * part * SAFE)


@kernel
def run_by_unit(room: int, owned: int, owned_tolls: int, prefixes: IntArray) -> int:
    """Return the most fluid, in u, that a stage runs with so much room R; negative if there is too little."""
    if room < 0:
        return -1
    if owned <= room:
        return room + owned_tolls
    least = least_missing_tolls(prefixes, owned - room)
    return -1 if least < 0 else room + owned_tolls - 2 * least
