"""Shared parameters along chains of ideals: what an ideal holds, what the rest needs, and what a stage has so far.

A stage J - I holds a shared parameter if one of its users is in J and not in I. Along a walk that adds nodes to a stage
one by one, what it holds only grows. An ideal I holds the parameters with a user in I, the rest those with a user
outside: stages before and after I hold at least that much together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from framework.model.arrays import IntArray, row_pointers
from framework.model.graph import BoolArray
from framework.model.instance import Instance
from framework.model.shared import SharedParameters, rename_users
from framework.structure.bit_sets import holds
from framework.structure.ideals.lattice import IdealLattice, Lattice
from framework.structure.kernel import allocating_kernel, inlined_kernel, kernel


class Shared(NamedTuple):
    """The shared parameters each node uses, and who uses each; their costs and sizes."""

    used_ptr: IntArray
    used: IntArray
    user_ptr: IntArray
    users: IntArray
    cost: IntArray
    sizes: IntArray


class Unions(NamedTuple):
    """What the nodes of each ideal hold, and what all other nodes do; ``[ideals]``, shared parameters once in each."""

    inside: IntArray
    outside: IntArray


def shared_of(instance: Instance) -> Shared:
    """Return the shared parameters of an instance for kernels; sizes are 0 where there is no hard limit."""
    shared, limit = instance.shared, instance.stage_limit
    sizes = np.zeros(len(shared), np.int64) if limit is None else limit.shared_sizes
    return Shared(*shared.of_nodes(instance.n), shared.ptr, shared.users, instance.shared_cost, sizes)


def held_by(instance: Instance, placed: BoolArray, others: BoolArray) -> Instance:
    """Return the relaxation in which only some nodes hold shared parameters, once for each stage with such a node.

    A parameter that none of these uses is charged to one other user (see `Instance.charged`), if there is one. No stage
    holds more than in truth: it is charged with a parameter only if it holds a user of it, and once.

    Parameters
    ----------
    placed
        ``[n]`` the nodes that hold.
    others
        ``[n]`` the nodes that parameters may be charged to.
    """
    shared, unequal, nodes = instance.shared, instance.unequal, np.arange(instance.n, dtype=np.int64)
    if not len(shared):
        return instance
    payer = shared.payers(np.where(others, instance.work + instance.parameter_cost, -1))
    holds = np.bincount(shared.pins[placed[shared.users]], minlength=len(shared)) > 0
    charged = (shared.users == payer[shared.pins]) & others[shared.users]
    kept = np.where(holds[shared.pins], placed[shared.users], charged)
    rows = SharedParameters(ptr=row_pointers(shared.pins[kept], len(shared)), users=shared.users[kept])
    renamed = rename_users(rows, nodes, instance.n, instance.shared_cost)
    if unequal is not None:
        on_each = rename_users(rows, nodes, instance.n, *unequal.shared_cost)
        unequal = replace(
            unequal,
            parameter_cost=unequal.parameter_cost + np.stack(on_each.private),
            shared_cost=np.stack(on_each.sizes),
        )
    return replace(
        instance,
        shared=renamed.shared,
        shared_cost=renamed.sizes[0],
        parameter_cost=instance.parameter_cost + renamed.private[0],
        unequal=unequal,
    )


def unions(lattice: IdealLattice, shared: Shared, own: IntArray, sizes: IntArray) -> Unions:
    """Return what is held inside and outside of each ideal of a complete lattice.

    Parameters
    ----------
    own
        ``[ideals]`` what the nodes of each ideal hold alone.
    sizes
        Of each shared parameter, in the same unit.
    """
    inside, outside = own.copy(), own[-1] - own
    if len(sizes):
        _fill_unions(lattice.arrays, shared, sizes, inside, outside)
    return Unions(inside, outside)


@allocating_kernel
def _fill_unions(lattice: Lattice, shared: Shared, sizes: IntArray, inside: IntArray, outside: IntArray) -> None:
    """Add the shared parameters; an ideal has those of an ideal below it, and what the node between them brings."""
    ideals = len(inside)
    more = np.zeros(ideals, np.int64)
    less = np.full(ideals, -1, np.int64)
    less[0] = 0
    total = sizes.sum()
    for ideal in range(ideals):
        inside[ideal] += more[ideal]
        outside[ideal] += total - less[ideal]
        for e in range(lattice.edge_ptr[ideal], lattice.edge_ptr[ideal + 1]):
            v, there = lattice.edge_node[e], lattice.edge_ideal[e]
            if less[there] >= 0:
                continue
            more[there], less[there] = more[ideal], less[ideal]
            for i in range(shared.used_ptr[v], shared.used_ptr[v + 1]):
                q = shared.used[i]
                first, last = True, True
                for x in range(shared.user_ptr[q], shared.user_ptr[q + 1]):
                    if shared.users[x] != v:
                        if holds(lattice.bits, ideal, shared.users[x]):
                            first = False
                        else:
                            last = False
                    if not (first or last):
                        break
                if first:
                    more[there] += sizes[q]
                if last:
                    less[there] += sizes[q]


def largest_outside(lattice: IdealLattice, worksets: IntArray) -> IntArray:
    """Return the largest working set of the nodes outside of each ideal of a complete lattice, ``[ideals]``."""
    largest = np.zeros(len(lattice), np.int64)
    if worksets.any():
        _fill_largest_outside(lattice.arrays, worksets, largest)
    return largest


@kernel
def _fill_largest_outside(lattice: Lattice, worksets: IntArray, largest: IntArray) -> None:
    """Outside of an ideal are the nodes that can be added next, and what is outside once one of them is added."""
    for ideal in range(len(largest) - 1, -1, -1):
        for e in range(lattice.edge_ptr[ideal], lattice.edge_ptr[ideal + 1]):
            more = max(worksets[lattice.edge_node[e]], largest[lattice.edge_ideal[e]])
            largest[ideal] = max(largest[ideal], more)


@inlined_kernel
def hold(shared: Shared, users: IntArray, v: int) -> tuple[int, int]:
    """Add a node to a stage with so many users of each parameter; return cost and size of what it brings."""
    cost = size = 0
    for i in range(shared.used_ptr[v], shared.used_ptr[v + 1]):
        q = shared.used[i]
        if users[q] == 0:
            cost += shared.cost[q]
            size += shared.sizes[q]
        users[q] += 1
    return cost, size


@inlined_kernel
def release(shared: Shared, users: IntArray, v: int) -> None:
    """Take a node out of the stage."""
    for i in range(shared.used_ptr[v], shared.used_ptr[v + 1]):
        users[shared.used[i]] -= 1
