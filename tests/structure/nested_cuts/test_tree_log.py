"""Rows of a tree: settled choices and branches come in preorder, what is open stands for its bound."""

from __future__ import annotations

import numpy as np

from framework.structure.nested_cuts.costs import Multipliers
from framework.structure.nested_cuts.tree_log import WINDOWS, NodeLog, leaf_of, rows_of

ONE, OTHER = (1, 0, 0, 0), (0, 1, 0, 0)


def test_a_leaf_holds_the_multipliers_of_loads_then_those_of_overflow() -> None:
    assert leaf_of(Multipliers(loads=np.array([3, 4]), overflow=np.array([0, 2]))) == (3, 4, 0, 2)


def test_rows_come_in_preorder() -> None:
    open_node, refuted = NodeLog(ONE), NodeLog(OTHER, end=WINDOWS)
    root = NodeLog(WINDOWS, end=((5, 0), open_node, refuted))
    assert rows_of(root, 10) == [[5, 0], list(ONE), []]
    # Node 7 cannot be up to 0, so it is beyond; node 8 cannot be beyond, so it is up to 0.
    root.settled = [(7, 0, True, ONE), (8, 0, False, OTHER)]
    assert rows_of(root, 10) == [[7, 0], list(ONE), [8, 0], [5, 0], list(ONE), [], list(OTHER)]
    root.end = OTHER
    assert rows_of(root, 10) == [[7, 0], list(ONE), [8, 0], list(OTHER), list(OTHER)]


def test_too_many_rows_are_none() -> None:
    root = NodeLog(WINDOWS, end=((5, 0), NodeLog(ONE), NodeLog(ONE)))
    assert rows_of(root, 3) == [[5, 0], list(ONE), list(ONE)]
    assert rows_of(root, 1) is None
