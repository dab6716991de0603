"""Ties: what a stage pays for divisible nodes that it runs apart from the core nodes that their tensors lead to.

*Ties.* A net keeps, for each part of its cost, nodes that were taken out of it
(`framework.structure.fluid.nets.elimination`). Let m be such a part, A the pins of the net, and Q some of the fluid
nodes kept for it. Tensors that give m of their cost to this part, and to no other, connect A and Q. So a stage that has
some of A + Q but not all pays m, for all parts of all nets at once. Let its core nodes be D and its fluid nodes S.
Where D cuts A, m is counted among the nets of the core. Beyond that the stage pays m

    if D has none of A, but S some of Q;                                                                         (1)
    if D has all of A, but S not all of Q.                                                                       (2)

The second is used only where A is a single node, so that what follows is a sum over the nodes of D. Nets of a single
pin belong to this, although they cost the core nothing.

*Shares.* Share m out among the nodes of Q. Then (1) costs at least the shares of the nodes in S, and (2) at least those
of the nodes of Q that are not in S. Let r_v(x) be the shares of v in ties to x alone, and p_v(x) those in ties to x and
others; r_v and p_v the sums of all its shares of either sort; and r_v(D), p_v(D) the sums of those in ties with a pin
in D. With fluid that weighs a_v and room R for fluid and ties,

    sum over S of (a_v + r_v - r_v(D) + p_v - p_v(D)) + sum over all v not in S of r_v(D)  <=  R.                  (3)

*What a stage can run.* Add the product of (3) with any factor mu >= 0 to a(S): a(S) is at most mu R and the sum, over
all fluid nodes, of (1 - mu) a_v - mu (r_v + p_v) + mu (r_v(D) + p_v(D)) for those in S, and - mu r_v(D) for the others.
With A_v = (1 - mu) a_v - mu (r_v + p_v) and t = 2 r_v(D) + p_v(D), what v adds is in both cases at most

    max(0, A_v + mu t) - mu r_v(D)  <=  max(0, A_v) + s_v t - mu r_v(D),

where s_v is the slope of the chord from t = 0 to its largest value, 2 r_v + p_v: the left side is convex in t. For
nodes that cannot be in the stage, max(0, A_v) may be left out, as s_v >= 0. And t is at most the sum of 2 r_v(x) +
p_v(x) over the x in D. So a stage from the ideal I to the ideal J runs at most

    mu R + g(may be done with J) - g(must be done with I) + G(J) - G(I),                                          (4)
    g_v = max(0, A_v),      G(x) = sum over v of s_v (2 r_v(x) + p_v(x)) - mu r_v(x),

all of it rounded up. (What must be done with I may be done with J: so the difference of the two g is the sum over the
nodes that can be in the stage.) As R does, this depends on I, J and the device alone; the least over several mu, and R,
is what `framework.structure.fluid.chain_dp` takes for the room. For a node tied to one core node with the rate r = r_v
/ a_v, mu = 1 / (1 + r) says what it costs to run it elsewhere, and mu = 1 / (1 - r) what it costs not to run it there.

The tensors of a unit of fluid nodes, which are in no net (`framework.structure.fluid.tolls.separation_costs`), connect
it with its owners: so it is a tie as well, with these for A, and for the toll of the unit. Tolls and ties are never
added: the room is the least of what each allows, both computed from the same R. With stages on different devices there
are no ties. Shares and factors are heuristic: every choice is valid. Source: this project.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from framework.model.arrays import IntArray, take_rows
from framework.model.graph import FloatArray

UNIT = 1 << 10
"""Factors are multiples of its inverse."""
RATES = 5
"""Rates that factors are made for, two for each."""
MOST_FACTORS = 2 * RATES
LEAST_RATE, HIGHEST_RATE = 2e-3, 0.5
"""Ties of less per tick of weight bring nothing; higher ones are rare, and factors have to be finite."""
ROUNDS = 20
"""Rounds in which shares are evened out."""
TINY = 1e-300
"""What nothing is divided by less than."""
SAFE = 1e-10
"""What is rounded up is raised by so much of what it is computed from: more than the errors of sums of a million
doubles."""
LOWEST = 1e-12
"""What a rate is counted as at least where shares are evened out."""


class Ties(NamedTuple):
    """Ties of one core: what each costs, and its fluid nodes and core nodes, as rows."""

    cost: IntArray
    fluid_ptr: IntArray
    fluid: IntArray
    pin_ptr: IntArray
    pins: IntArray


class TiedFluid(NamedTuple):
    """What a stage can run by (4).

    Attributes
    ----------
    factors
        ``[factors]`` mu, in multiples of 1 / `UNIT`.
    inside
        ``[factors, fluid]`` g, in the unit of the weights.
    near
        ``[factors, core]`` G of each core node.
    """

    factors: IntArray
    inside: IntArray
    near: IntArray


class _Shares(NamedTuple):
    """Shares in ties, as rows: the tie, the fluid node, what it gets; and r_v, p_v of each fluid node."""

    tie: IntArray
    node: IntArray
    paid: FloatArray
    alone: FloatArray
    joint: FloatArray


def no_ties() -> Ties:
    """Return the ties of a core that has none."""
    nothing, start = np.zeros(0, np.int64), np.zeros(1, np.int64)
    return Ties(nothing, start, nothing, start, nothing)


def make_ties(rows: Iterable[tuple[int, Sequence[int], Sequence[int]]]) -> Ties:
    """Return ties, given the cost, the fluid nodes and the core nodes of each."""
    cost, fluid, fluid_ptr, pins, pin_ptr = list[int](), list[int](), [0], list[int](), [0]
    for paid, members, core in rows:
        cost.append(paid)
        fluid += members
        pins += core
        fluid_ptr.append(len(fluid))
        pin_ptr.append(len(pins))
    return Ties(*(np.array(items, np.int64) for items in (cost, fluid_ptr, fluid, pin_ptr, pins)))


def joined(first: Ties, second: Ties) -> Ties:
    """Return the ties of both."""
    ptr = (np.concatenate((a, a[-1] + b[1:])) for a, b in zip(first[1::2], second[1::2], strict=True))
    cost, fluid, pins = (np.concatenate(pair) for pair in zip(first[::2], second[::2], strict=True))
    return Ties(cost, next(ptr), fluid, next(ptr), pins)


def tied_fluid(ties: Ties, weight: IntArray, core_size: int) -> TiedFluid:
    """Return what ties allow a stage to run; without factors where they bring nothing.

    Parameters
    ----------
    ties
        Their costs in the unit of the weights.
    weight
        ``[fluid]`` what each fluid node weighs.
    core_size
        Number of core nodes.
    """
    shares = _share_out(ties, weight)
    total, most = shares.alone + shares.joint, 2 * shares.alone + shares.joint
    factors = _factors(total, weight)
    # A row for each share and each pin of its tie.
    pins = np.diff(ties.pin_ptr)[shares.tie]
    row = np.repeat(np.arange(len(pins)), pins)
    pin = take_rows(ties.pin_ptr, ties.pins, shares.tie)[1]
    node, once = shares.node[row], shares.paid[row]
    alone = np.where(pins[row] == 1, once, 0)
    inside, near = np.empty((len(factors), len(weight)), np.int64), np.empty((len(factors), core_size), np.int64)
    for i, factor in enumerate((factors / UNIT).tolist()):
        left, error = (1 - factor) * weight - factor * total, SAFE * (weight + most)
        run = np.maximum(0, left)
        inside[i] = np.where(left > -error, np.ceil(run + error), 0)
        slope = (np.maximum(0, left + factor * most) - run + error) / np.maximum(most, TINY)
        near[i] = np.ceil(np.bincount(pin, slope[node] * (once + alone) - (factor - SAFE) * alone, core_size))
    return TiedFluid(factors, inside, near)


def _share_out(ties: Ties, weight: IntArray) -> _Shares:
    """Return shares by which the nodes of a tie pay about the same for their weight, other ties included."""
    tie = np.repeat(np.arange(len(ties.cost)), np.diff(ties.fluid_ptr))
    heavy = weight[ties.fluid] > 0
    tie, node = tie[heavy], ties.fluid[heavy]
    cost, share = ties.cost[tie] * (1 - SAFE), weight[node].astype(np.float64)
    for last in [False] * ROUNDS + [True]:
        share /= np.maximum(np.bincount(tie, share, len(ties.cost)), TINY)[tie]
        if not last:
            rate = np.bincount(node, share * cost, len(weight)) / np.maximum(weight, 1)
            share /= np.sqrt(np.maximum(rate, LOWEST))[node]
    paid, one = share * cost, np.diff(ties.pin_ptr)[tie] == 1
    alone, joint = (np.bincount(node, paid * which, len(weight)).astype(np.float64) for which in (one, ~one))
    return _Shares(tie, node, paid, alone, joint)


def _factors(paid: FloatArray, weight: IntArray) -> IntArray:
    """Return factors for the rates at which most of the weight is tied: a quantile each."""
    rate = np.minimum(paid / np.maximum(weight, 1), HIGHEST_RATE)
    order = np.argsort(rate, kind="stable")
    order = order[rate[order] > LEAST_RATE]
    if not len(order):
        return np.zeros(0, np.int64)
    through = np.cumsum(weight[order])
    middle = (np.arange(RATES) + 0.5) / RATES * through[-1]
    rates = rate[order[np.searchsorted(through, middle)]]
    return np.unique((UNIT / np.concatenate((1 + rates, 1 - rates))).astype(np.int64))
