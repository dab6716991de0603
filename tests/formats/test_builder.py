from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from framework.errors import UserError
from framework.fields import shown
from framework.formats.builder import MISSING, GraphBuilder, column
from framework.model.graph import PricedCosts


def place(i: int) -> str:
    return f"row {i}"


def test_columns_of_integers_stay_integers() -> None:
    whole = column([1, np.int32(2), 2**63 - 1], "f", place, "x")
    assert whole.dtype == np.int64
    assert whole.tolist() == [1, 2, 2**63 - 1]
    mixed = column([1, 0.5, np.float32(0.25), Fraction(1, 8)], "f", place, "x")
    assert mixed.dtype == np.float64
    assert mixed.tolist() == [1, 0.5, 0.25, 0.125]
    assert column([], "f", place, "x").dtype == np.int64


def test_negative_zero_is_zero() -> None:
    assert column([-0.0], "f", place, "x").tobytes() == np.zeros(1).tobytes()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (MISSING, "x, row 1: there is no 'f' (give a number)"),
        (None, "x, row 1: f is null (give a number)"),
        ("7", 'x, row 1: f is "7" (give a number)'),
        (True, "x, row 1: f is true (give a number)"),
        ({"a": 1}, 'x, row 1: f is {"a": 1} (give a number)'),
        (2**63, "x, row 1: f is an integer beyond 64 bits (use a larger unit)"),
        (-(2**63) - 1, "x, row 1: f is an integer beyond 64 bits (use a larger unit)"),
    ],
)
def test_what_is_no_number(value: object, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        column([0, value], "f", place, "x")
    assert str(caught.value) == expected


def test_long_values_are_shown_in_part() -> None:
    assert shown("a" * 100) == '"' + "a" * 36 + "..."
    assert shown({1, 2}) == "{1, 2}"


def test_repeated_consumers_and_edges_are_one() -> None:
    builder = GraphBuilder("x")
    for key in "abc":
        builder.add_node(key, name=key, place=key)
    builder.add_tensor(0, [2, 1, 2], place="t")
    assert builder.add_edges([("b", "c"), ("a", "c"), ("b", "c"), ("a", "b")], place) == [0, 1]
    zeros, ones = np.zeros(3, np.int64), np.ones(3, np.int64)
    graph = builder.build(
        PricedCosts(unit="ms", work=zeros, parameter_cost=zeros, tensor_cost=ones, capacity=None), name="g", source="s"
    )
    assert graph.topology.producer.tolist() == [0, 0, 1]
    assert graph.topology.consumer_ptr.tolist() == [0, 2, 4, 5]
    assert graph.topology.consumers.tolist() == [1, 2, 1, 2, 2]


def test_errors_of_the_graph_name_the_file() -> None:
    builder = GraphBuilder("file.json")
    builder.add_node(1, name="a", place="first")
    costs = np.array([-1.0])
    with pytest.raises(UserError, match=r"^file.json: node 'a': work is -1 \(costs must be finite and not negative\)$"):
        builder.build(
            PricedCosts(unit="ms", work=costs, parameter_cost=costs, tensor_cost=np.zeros(0), capacity=None),
            name="g",
            source="a paper",
        )
    with pytest.raises(UserError, match=r"^file.json, e: there is no node 2 "):
        builder.node(2, place="e")
    with pytest.raises(UserError, match=r"^file.json, row 0: node 'a' consumes its own output"):
        builder.add_edges([(1, 1)], place)
    with pytest.raises(UserError, match=r"^file.json, row 0: there is no node 2"):
        builder.add_edges([(1, 2)], place)
