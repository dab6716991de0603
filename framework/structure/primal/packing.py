"""Dual feasible functions: how many stages a set of indivisible nodes needs at least.

A function u is *dual feasible* for a room C and a value U if numbers x_1, x_2, ... >= 0 that add up to at most C have
values u(x_1), u(x_2), ... that add up to at most U. Then stages of room C hold nodes of value U at most each, and k
stages are too few if all nodes together are worth more than k U. Three families, with integer sizes a and rooms C:

*Rounding*, for lambda >= 1: u(a) = floor(a / lambda), U = floor(C / lambda). Floors of numbers add up to at most the
floor of their sum.

*Complement*, for lambda >= 1 and m = floor(C / lambda): u(a) = 2 floor(a / lambda) for 2 a < C, m for 2 a = C, and
2 (m - floor((C - a) / lambda)) for 2 a > C; U = 2 m. At most one number is above C / 2. With one such, x, the others
add up to at most C - x and are worth at most 2 floor((C - x) / lambda). Without one, two halves are worth 2 m; one half
and others m + 2 floor(C / 2 / lambda) <= 2 m; and others alone 2 floor(C / lambda).

*Threshold*, for 0 <= K <= C / 2: u(a) = C for a > C - K, 0 for a < K, and a otherwise; U = C. Next to a number above
C - K there is only room for numbers below K.

Sources: Fekete and Schepers, 2001; Carlier, Clautiaux and Moukrim, 2007; Martello and Toth, 1990.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from framework.model.arrays import IntArray
from framework.model.problem import Problem

MOST_SIZES = 512
"""Distinct sizes that are counted, those with the most weight in sum first; leaving nodes out is a relaxation."""
MOST_DIVIDED, DIVISORS = 64, 12
"""Sizes whose fractions, down to a twelfth, serve as lambda."""
MOST_A_STAGE = 64
"""Largest number of nodes a stage for which counting nodes larger than an even share is tried."""


class Family(IntEnum):
    """Families of dual feasible functions."""

    ROUNDING = 0
    COMPLEMENT = 1
    THRESHOLD = 2


class Packing(NamedTuple):
    """Why k stages of cost at most T are too few: nodes count with their parameters or not, and are valued so."""

    with_parameters: bool
    family: Family
    parameter: int


def refute(problem: Problem, threshold: int) -> Packing | None:
    """Return a dual feasible function that refutes a threshold (ticks), if one of those tried does.

    A stage of cost at most T has work of at most T, and work and parameters of at most T + capacity, since its overflow
    is at least its parameters less the capacity.
    """
    instance, k = problem.instance, problem.useful_stages
    for with_parameters in (False, True) if instance.can_overflow else (False,):
        sizes, counts = _grouped(_sizes(problem, with_parameters))
        room = _room(problem, threshold, with_parameters)
        if room < 0:
            return Packing(with_parameters, Family.ROUNDING, 1)
        for family, parameters in _candidates(sizes, counts, room):
            values, most = _values(family, parameters, sizes, room)
            # Rounded up, as k times what a stage holds may leave 64 bits.
            proving = np.flatnonzero(-(-(values @ counts) // k) > most)
            if len(proving):
                return Packing(with_parameters, family, int(parameters[proving[0]]))
    return None


def refutes(problem: Problem, threshold: int, packing: Packing) -> bool:
    """Whether a dual feasible function refutes a threshold, over all nodes, in Python integers.

    Raises
    ------
    ValueError
        If it is no function of its family.
    """
    room, parameter = _room(problem, threshold, packing.with_parameters), packing.parameter
    if room < 0:
        return True
    if packing.family is Family.THRESHOLD:
        if not 0 <= 2 * parameter <= room:
            raise ValueError("the threshold of the dual feasible function is not between 0 and half of the room")
    elif parameter < 1:
        raise ValueError("the divisor of the dual feasible function is not positive")
    sizes = _sizes(problem, packing.with_parameters).tolist()
    total, most = _value_in_all(packing.family, parameter, sizes, room)
    return total > problem.useful_stages * most


def _sizes(problem: Problem, with_parameters: bool) -> IntArray:
    instance = problem.instance
    return instance.work + instance.parameter_cost if with_parameters else instance.work


def _room(problem: Problem, threshold: int, with_parameters: bool) -> int:
    return threshold + problem.instance.bounded_capacity if with_parameters else threshold


def _grouped(sizes: IntArray) -> tuple[IntArray, IntArray]:
    """Return the distinct sizes above 0 that matter most, and how many nodes have each."""
    distinct, counts = np.unique(sizes[sizes > 0], return_counts=True)
    if len(distinct) > MOST_SIZES:
        kept = np.sort(np.argsort(-(distinct * counts), kind="stable")[:MOST_SIZES])
        distinct, counts = distinct[kept], counts[kept]
    return distinct, counts.astype(np.int64)


def _candidates(sizes: IntArray, counts: IntArray, room: int) -> Iterator[tuple[Family, IntArray]]:
    heaviest = sizes[np.argsort(-(sizes * counts), kind="stable")[:MOST_DIVIDED]]
    fractions = (heaviest[:, None] // np.arange(1, DIVISORS + 1)).ravel()
    # More than an even share of the room: at most so many of these nodes fit into a stage.
    shares = room // np.arange(1, MOST_A_STAGE + 1) + 1
    divisors = np.unique(np.concatenate((fractions, shares)))
    divisors = divisors[divisors > 0]
    yield Family.ROUNDING, divisors
    yield Family.COMPLEMENT, divisors
    yield Family.THRESHOLD, np.unique(heaviest[2 * heaviest <= room])


def _values(family: Family, parameters: IntArray, sizes: IntArray, room: int) -> tuple[IntArray, IntArray]:
    """Return what each size is worth by each function, ``[functions, sizes]``, and how much a stage holds of that."""
    if family is Family.THRESHOLD:
        small, large = sizes < parameters[:, None], sizes > room - parameters[:, None]
        return np.where(large, room, np.where(small, 0, sizes)), np.full(len(parameters), room, np.int64)
    per = parameters[:, None]
    if family is Family.ROUNDING:
        return sizes // per, room // parameters
    most = room // per
    # Above the room a node fits nowhere: that is as good as filling a stage and more.
    above = 2 * (most - (room - sizes) // per)
    values = np.where(2 * sizes > room, above, np.where(2 * sizes == room, most, 2 * (sizes // per)))
    return values, 2 * most[:, 0]


def _value_in_all(family: Family, parameter: int, sizes: list[int], room: int) -> tuple[int, int]:
    """Return what all nodes are worth, and how much a stage holds of that, in Python integers."""
    if family is Family.THRESHOLD:
        return sum(room if a > room - parameter else 0 if a < parameter else a for a in sizes), room
    if family is Family.ROUNDING:
        return sum(a // parameter for a in sizes), room // parameter
    most = room // parameter
    total = 0
    for a in sizes:
        if 2 * a > room:
            total += 2 * (most - (room - a) // parameter)
        else:
            total += most if 2 * a == room else 2 * (a // parameter)
    return total, 2 * most
