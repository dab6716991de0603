"""Long lists read in pieces give what the parser of whole files gives, or leave it to that."""

import json
from typing import Any

import pytest

from framework.errors import UserError
from framework.formats import json_tables
from framework.formats.builder import MISSING
from framework.formats.json_tables import Table, read_tables

FIELDS = {"rows": ("a", "b")}


def distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError
    return dict(pairs)


def tables(text: str) -> dict[str, Any] | None:
    return read_tables(text, FIELDS, distinct, lambda: None)


@pytest.fixture(autouse=True, params=[1, 10, 1000])
def short_pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_tables, "_PIECE", request.param)


@pytest.mark.parametrize("indent", [None, 1])
def test_rows_are_those_of_the_whole_parser(indent: int | None) -> None:
    rows: list[dict[str, object]] = [{"a": i, "c": "x"} for i in range(9)]
    rows += [{"b": "1: 2}, {3", "a": [{"a": 1}]}, {"b": None}, {}]
    text = json.dumps({"x": [1, {"y": 2}], "rows": rows, "other": 3}, indent=indent)
    top = tables(text)
    if top is None:
        # A piece ended inside a row: the parser of whole files is asked then.
        assert json_tables._PIECE < 1000
        return
    table = top.pop("rows")
    assert top == {"x": [1, {"y": 2}], "other": 3}
    assert table.count == len(rows)
    for field in ("a", "b"):
        assert table.values(field) == [row.get(field, MISSING) for row in rows]
        assert table.values(field, 7) == Table.of(rows, ("a", "b")).values(field, 7) == [r.get(field, 7) for r in rows]


def test_plain_rows_are_read_in_pieces() -> None:
    top = tables(json.dumps({"rows": [{"a": i, "b": -i} for i in range(50)]}))
    assert top is not None
    assert top["rows"].values("a") == list(range(50))


@pytest.mark.parametrize(
    "text",
    [
        '{"rows": [{"a": 1}, {"a": 1, "a": 2}]}',
        '{"rows": [{"a": 1, "a": 2}, {"a": 1}]}',
        '{"rows": [{"a": 1},]}',
        '{"rows": [{"a": 1},,{"a": 1}]}',
        '{"rows": [{"a": 1} {"a": 1}]}',
        '{"rows": [{"a": 1}, 3, {"a": 1}]}',
        '{"rows": [{"a": 1}, {"a": 1}',
        '{"rows": [{"a": 1}, {"a": 1}]',
        '{"rows": [{"a": 1}, {"a": 1}]} 1',
        '{"rows": [{"a": 1}], "rows": [{"a": 1}]}',
        '{"rows": [{"a": 1}], "x": {"y": 1, "y": 2}}',
        '{"rows": [{"a": 1}],}',
        '{"rows": [{"a": {"d": 1, "d": 2}}]}',
        '[{"rows": 1}]',
        "",
    ],
)
def test_mistakes_are_left_to_the_whole_parser(text: str) -> None:
    assert tables(text) is None


def test_the_clock_is_asked_after_every_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    def look() -> None:
        raise UserError("late")

    with pytest.raises(UserError, match="late"):
        read_tables('{"rows": [{"a": 1}]}', FIELDS, distinct, look)
