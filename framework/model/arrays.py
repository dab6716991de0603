"""Index arithmetic on int64 arrays: prefix sums, rows of pointers and items, permutations, union-find, mixed bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

IntArray: TypeAlias = NDArray[np.int64]
_Words = TypeVar("_Words", np.uint64, NDArray[np.uint64])
"""One word of 64 bits, or an array of them."""

SPLITMIX_STEP = 0x9E3779B97F4A7C15
"""What splitmix64 adds from one number to the next."""


def prefix_sums(values: IntArray | Sequence[int]) -> IntArray:
    """Return the sums of the first 0, 1, ... of n values, ``[n + 1]``: the pointers of rows that have these lengths."""
    sums = np.zeros(len(values) + 1, np.int64)
    np.cumsum(values, out=sums[1:])
    return sums


def take_rows(ptr: IntArray, items: IntArray, rows: IntArray) -> tuple[IntArray, IntArray]:
    """Return the pair (ptr, items) that holds the given rows in the given order."""
    return take_slices(ptr[rows], ptr[rows + 1] - ptr[rows], items)


def take_slices(starts: IntArray, lengths: IntArray, items: IntArray) -> tuple[IntArray, IntArray]:
    """Return the pair (ptr, items) of rows that begin in `items` where `starts` says, in the given order."""
    ptr = prefix_sums(lengths)
    return ptr, items[np.arange(ptr[-1]) + np.repeat(starts - ptr[:-1], lengths)]


def row_pointers(rows: IntArray, n: int) -> IntArray:
    """Return the ``[n + 1]`` pointers of n rows, given the row of every item."""
    return prefix_sums(np.bincount(rows, minlength=n))


def ranks(order: IntArray) -> IntArray:
    """Return the position of each element of a permutation, ``[n]``."""
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order), dtype=np.int64)
    return rank


def distinct(values: IntArray) -> IntArray:
    """Return the values without repetitions, ascending.

    A stable sort is fast where much is in order already, as it mostly is here. The `unique` of numpy is not, and loads
    more of numpy.
    """
    ordered = np.sort(values, kind="stable")
    kept: IntArray = ordered[np.concatenate((np.ones(len(ordered[:1]), np.bool_), ordered[1:] != ordered[:-1]))]
    return kept


def sum_by(keys: IntArray, values: IntArray, n: int) -> IntArray:
    """Return the sum of the values of each key, ``[n]``."""
    sums = np.zeros(n, np.int64)
    np.add.at(sums, keys, values)
    return sums


def largest_by(keys: IntArray, values: IntArray, n: int) -> IntArray:
    """Return the largest value of each key, ``[n]``, 0 for a key without any; nothing where there are no values."""
    if not len(values):
        return values
    largest = np.zeros(n, np.int64)
    np.maximum.at(largest, keys, values)
    return largest


def merge_equal_tensors(
    producer: IntArray, consumer_ptr: IntArray, consumers: IntArray, tensor_cost: IntArray
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Merge tensors that agree in producer and consumers, adding their costs.

    There may be several costs of each tensor, ``[kinds, m]``.

    Rows of `consumers` must be ascending and not empty. The result is sorted by producer, then by number of
    consumers, then by a fixed digest of the row: independent of the order given.
    """
    if not len(producer):
        return producer, consumer_ptr, consumers, tensor_cost
    order, firsts = merge_equal_rows(producer, consumer_ptr, consumers)
    kept = order[firsts]
    return (
        producer[kept],
        *take_rows(consumer_ptr, consumers, kept),
        np.add.reduceat(tensor_cost[..., order], firsts, -1),
    )


def merge_equal_rows(key: IntArray, ptr: IntArray, items: IntArray) -> tuple[IntArray, IntArray]:
    """Return an order of the rows in which equal ones, with equal keys, are neighbours, and where each kind begins.

    Rows must be ascending and not empty; they are sorted as `merge_equal_tensors` says.
    """
    if not len(key):
        return key, key
    lengths = np.diff(ptr)
    digest = np.add.reduceat(scrambled(items.astype(np.uint64)), ptr[:-1])
    order = np.lexsort((digest, lengths, key))
    before, after = order[:-1], order[1:]
    equal = (key[before] == key[after]) & (lengths[before] == lengths[after]) & (digest[before] == digest[after])
    suspects = np.flatnonzero(equal)
    if len(suspects):
        taken, left = take_rows(ptr, items, before[suspects])
        _, right = take_rows(ptr, items, after[suspects])
        equal[suspects] = ~np.logical_or.reduceat(left != right, taken[:-1])
    return order, np.flatnonzero(np.concatenate(([True], ~equal)))


def find_root(parent: IntArray | list[int], v: int) -> int:
    """Return the root of a node in a forest of parents, of which a root is its own; paths are halved on the way."""
    while parent[v] != v:
        parent[v] = parent[parent[v]]
        v = parent[v]
    return v


def scrambled(words: _Words) -> _Words:
    """Return 64 well-mixed bits of each word (the finaliser of splitmix64), as numpy does it and as numba compiles it.

    Sums of them tell sets apart, and those of multiples of `SPLITMIX_STEP` are random.
    """
    x = words + np.uint64(SPLITMIX_STEP)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
