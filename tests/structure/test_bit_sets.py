"""Bit sets against sets of numbers."""

from __future__ import annotations

import numpy as np

from framework.structure.bit_sets import contains, has, holds, which_are_in


def test_members_are_those_whose_bits_are_set() -> None:
    sets = [set(), {0, 63, 64, 130}, set(range(1, 140, 3))]
    bits = np.zeros((3, 3), np.uint64)
    for row, members in enumerate(sets):
        for v in members:
            bits[row, v // 64] |= np.uint64(1 << v % 64)
    nodes = np.arange(140)
    for row, members in enumerate(sets):
        assert {v for v in range(140) if contains(bits, row, v)} == members
        assert {v for v in range(140) if holds(bits, row, v)} == members
        assert {v for v in range(140) if has(bits[row], v)} == members
        assert nodes[which_are_in(bits[row], nodes)].tolist() == sorted(members)
