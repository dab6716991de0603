"""What is noted of rounds of filtering; tests/proof/test_fixing.py follows it with the checker of proofs."""

from __future__ import annotations

import numpy as np

from framework.model.instance import instance_from_lists
from framework.structure.filtering.noted import arcs_of, named, round_of_branches, round_of_core
from framework.structure.fluid.core import build_core
from framework.structure.fluid.variants import PLAIN, Counted, Variant
from framework.structure.reduction.contraction import contract, with_arcs


def test_a_node_goes_by_the_first_that_it_holds() -> None:
    instance = instance_from_lists([1] * 5, [(0, 1, [1]), (1, 1, [2])])
    merged = contract(instance, np.array([0, 1, 1, 3, 3]))
    names = named(np.arange(10, 15), merged)
    assert names[merged.node_of_input].tolist() == [10, 11, 11, 13, 13]


def test_arcs_tell_what_became_one_node_and_what_comes_first() -> None:
    # 4 becomes fluid. 1 and 2 become one node, and 3 comes after 0.
    instance = instance_from_lists([1] * 5, [(0, 1, [1, 2]), (0, 1, [4])])
    core = build_core(instance, np.arange(5) == 4)
    left = contract(with_arcs(instance, np.array([0, 3]), np.array([3, 4])), np.array([0, 1, 1, 3, 4]))
    arcs = arcs_of(np.arange(5) + 20, core, left)
    pairs = set(zip(arcs[::2], arcs[1::2], strict=True))
    assert pairs == {(21, 22), (22, 21), (20, 23)}


def test_a_round_says_how_a_core_is_read() -> None:
    instance = instance_from_lists([4, 3, 2, 1], [(0, 1, [1])])
    core, names = build_core(instance, np.arange(4) > 1), np.array([7, 5, 3, 1])
    crowded = np.array([True, False, False, True])
    variants = (PLAIN, Variant(counted=Counted.CROWDED, grain=1))
    said = round_of_core(9, names, core, variants, crowded)
    assert said == ([9], [7, 5, 3, 1], [3, 1], [], [], [0, 1, 2, 1], [7, 1], [], [], [])
    assert round_of_core(9, names, core, variants[:1], crowded) == (*said[:5], [0, 1], [], [], [], [])


def test_a_round_names_branches() -> None:
    runs = [([np.array([0, 1]), np.array([2, 3])], 1)]
    assert round_of_branches(9, np.array([4, 5, 6, 7]), runs)[-1] == [2, 2, 1, 4, 5, 6, 7]
