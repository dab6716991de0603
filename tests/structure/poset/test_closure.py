"""Reachability against sets, in one block and in many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import OutOfTimeError
from framework.model.instance import Instance, instance_from_lists
from framework.structure.poset import closure as module
from framework.structure.poset.closure import closure, indices, redundant_edges, transitive_reduction
from framework.testing.instances import random_instance, random_layered_instance

seeds = st.integers(0, 2**32 - 1)


def _successors(instance: Instance) -> list[list[int]]:
    top = instance.topology
    return [top.succs[top.succ_ptr[v] : top.succ_ptr[v + 1]].tolist() for v in range(instance.n)]


def _descendants(instance: Instance) -> list[set[int]]:
    reached: list[set[int]] = [set() for _ in range(instance.n)]
    for v, row in reversed(list(enumerate(_successors(instance)))):
        for u in row:
            reached[v] |= {u} | reached[u]
    return reached


def _check(instance: Instance) -> None:
    expected = _descendants(instance)
    found = closure(instance)
    for v in range(instance.n):
        assert found.descendants_of(v).tolist() == sorted(expected[v])
        assert found.ancestors_of(v).tolist() == [u for u in range(instance.n) if v in expected[u]]
    edges = [(u, v) for u, row in enumerate(_successors(instance)) for v in row]
    needless = [any(v in expected[s] for s in _successors(instance)[u]) for u, v in edges]
    assert redundant_edges(instance).tolist() == needless
    kept = [edge for edge, drop in zip(edges, needless, strict=True) if not drop]
    tails, heads = transitive_reduction(instance)
    assert list(zip(tails.tolist(), heads.tolist(), strict=True)) == kept


@given(seeds)
@settings(max_examples=100, derandomize=True, deadline=None)
def test_small_graphs(seed: int) -> None:
    _check(random_instance(seed, 12))


@pytest.mark.parametrize("width", [3, 200])
def test_several_words(width: int) -> None:
    _check(random_layered_instance(7, 300, width=width))


def test_blocks_of_columns_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WORD_OPERATIONS", 1500)
    monkeypatch.setattr(module, "_EDGE_BLOCK_WORDS", 700)
    _check(random_layered_instance(8, 300, width=40))


def test_is_ancestor_is_strict() -> None:
    found = closure(instance_from_lists([1, 1, 1, 1], [(0, 1, [1]), (1, 1, [2])]))
    assert [[found.is_ancestor(u, v) for v in range(4)] for u in range(4)] == [
        [False, True, True, False],
        [False, False, True, False],
        [False, False, False, False],
        [False, False, False, False],
    ]


def test_indices_of_all_words() -> None:
    row = np.zeros(3, np.uint64)
    row[0], row[2] = np.uint64(1), np.uint64(1 << 63)
    assert indices(row).tolist() == [0, 191]


def test_stops_when_told() -> None:
    instance = random_layered_instance(1, 50, width=10)
    with pytest.raises(OutOfTimeError):
        closure(instance, should_stop=lambda: True)
    with pytest.raises(OutOfTimeError):
        redundant_edges(instance, should_stop=lambda: True)
