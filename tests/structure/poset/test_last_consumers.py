"""Last consumers against their definition by sets of descendants."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from framework.model.instance import Instance
from framework.structure.poset.closure import closure
from framework.structure.poset.last_consumers import last_consumers
from framework.testing.instances import random_instance, random_layered_instance
from tests.structure.plain_definitions import descendants, stage_vectors, tensor_rows


def _plain(instance: Instance) -> list[list[int]]:
    """Return the consumers of each tensor that are no ancestors of another one."""
    after = descendants(instance)
    return [
        [v for v in consumers if not any(after[v] >> other & 1 for other in consumers)]
        for _, consumers in tensor_rows(instance)
    ]


def _marked(instance: Instance) -> list[list[int]]:
    top = instance.topology
    last = last_consumers(instance, closure(instance))
    assert len(last) == top.pins
    ptr = top.consumer_ptr.tolist()
    return [top.consumers[a:b][last[a:b]].tolist() for a, b in pairwise(ptr)]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, derandomize=True, deadline=None)
def test_they_are_the_consumers_with_no_other_consumer_after_them(seed: int) -> None:
    instance = random_instance(seed, max_nodes=12)
    assert _marked(instance) == _plain(instance)


def test_nodes_beyond_one_word_of_a_bit_set() -> None:
    instance = random_layered_instance(3, 150, width=70)
    expected = _plain(instance)
    assert sum(map(len, expected)) < instance.topology.pins
    assert _marked(instance) == expected


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, derandomize=True, deadline=None)
def test_a_tensor_has_been_read_when_they_have_read_it(seed: int) -> None:
    instance = random_instance(seed, max_nodes=6)
    marked = _marked(instance)
    for stage_of in stage_vectors(instance, 3):
        for last, (_, consumers) in zip(marked, tensor_rows(instance), strict=True):
            assert max(stage_of[v] for v in last) == max(stage_of[v] for v in consumers)
