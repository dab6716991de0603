"""Rows of a tree: settled choices and branches come in preorder, what is open stands for its bound."""

from __future__ import annotations

import numpy as np

from framework.structure.nested_cuts.costs import Multipliers
from framework.structure.nested_cuts.tree_log import WINDOWS, Leaf, NodeLog, leaf_of, rows_of

ONE, OTHER = Leaf((1, 0, 0, 0)), Leaf((0, 1, 0, 0))


def test_a_leaf_holds_the_multipliers_of_loads_then_those_of_overflow() -> None:
    assert leaf_of(Multipliers(loads=np.array([3, 4]), overflow=np.array([0, 2]))).row == (3, 4, 0, 2)


def test_rows_come_in_preorder() -> None:
    open_node, refuted = NodeLog(ONE), NodeLog(OTHER, end=WINDOWS)
    root = NodeLog(WINDOWS, end=((5, 0), open_node, refuted))
    assert rows_of(root, 99) == ([[5, 0], list(ONE.row), []], [])
    # Node 7 cannot be up to 0, so it is beyond; node 8 cannot be beyond, so it is up to 0.
    root.settled = [(7, 0, True, ONE), (8, 0, False, OTHER)]
    assert rows_of(root, 99) == ([[7, 0], list(ONE.row), [8, 0], [5, 0], list(ONE.row), [], list(OTHER.row)], [])
    root.end = OTHER
    assert rows_of(root, 99) == ([[7, 0], list(ONE.row), [8, 0], list(OTHER.row), list(OTHER.row)], [])


def test_leaves_of_one_cut_have_one_row_of_shares() -> None:
    shares = np.ones((2, 3), np.int16)
    one, other = Leaf((1, 1, 1, 0, 0, 0), shares), Leaf((2, 1, 1, 0, 0, 0), shares.copy())
    root = NodeLog(WINDOWS, [(4, 1, True, one)], ((5, 0), NodeLog(one), NodeLog(other)))
    found = rows_of(root, 99)
    assert found is not None
    rows, tables = found
    assert rows == [[4, 1], [*one.row, 0], [5, 0], [*one.row, 0], [*other.row, 1]]
    assert tables == [one.shares, other.shares]


def test_too_many_numbers_are_none() -> None:
    root = NodeLog(WINDOWS, end=((5, 0), NodeLog(ONE), NodeLog(ONE)))
    assert rows_of(root, 8) == ([[5, 0], list(ONE.row), list(ONE.row)], [])
    assert rows_of(root, 3) is None
    root = NodeLog(WINDOWS, end=((5, 0), NodeLog(Leaf((1, 1, 1, 0, 0, 0), np.ones((9, 2), np.int16))), NodeLog(ONE)))
    assert rows_of(root, 20) is None
