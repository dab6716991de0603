"""Fields of documents: each mistake is one error that names the file and the dotted field."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from framework.errors import UserError
from framework.fields import Fields, shown
from framework.formats.document import read_document

Take = Callable[[Fields], Any]
DEEP: list[Any] = []
for _ in range(5000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("value", "take", "what"),
    [
        (True, lambda f: f.integer("x", least=0), "true is no integer of at least 0"),
        (4.7, lambda f: f.integer("x", least=0), "4.7 is no integer of at least 0"),
        (4.0, lambda f: f.integer("x", least=0), "4.0 is no integer of at least 0"),
        (-1, lambda f: f.integer("x", least=0), "-1 is no integer of at least 0"),
        (9, lambda f: f.integer("x", least=0, most=8), "9 is more than 8"),
        ("4", lambda f: f.integer("x", least=0), '"4" is no integer of at least 0'),
        (10**5000, lambda f: f.text("x"), "a huge int is no text"),
        (10**5000, lambda f: f.number("x"), "a huge int is no number"),
        (math.nan, lambda f: f.number("x"), "NaN is no number"),
        (math.inf, lambda f: f.number("x", least=0), "Infinity is no number of at least 0"),
        (True, lambda f: f.number("x"), "true is no number"),
        (None, lambda f: f.number("x"), "null is no number"),
        (None, lambda f: f.text("x"), "null is no text"),
        (7, lambda f: f.text("x"), "7 is no text"),
        (" ", lambda f: f.text("x"), '" " is no text'),
        (1, lambda f: f.flag("x"), "1 is neither true nor false"),
        ("optimall", lambda f: f.choice("x", ["optimal", "unknown"]), "did you mean optimal?"),
        ([], lambda f: f.choice("x", ["optimal"]), "[] is not known"),
        ({}, lambda f: f.entries("x"), "{} is no list"),
        ([1, 2.5], lambda f: f.integer_list("x", least=0), "x[1]: 2.5 is no integer"),
        (["a", 1], lambda f: f.texts("x"), "x[1]: 1 is no text"),
        ([{}, 3], lambda f: f.rows("x"), "x[1]: 3 is no table of fields"),
        ([1, 1], lambda f: f.items("x"), "x[1]: 1 is there twice"),
        (DEEP, lambda f: f.text("x"), "is no text"),
        (3, lambda f: f.table("x"), "x: 3 is no table of fields"),
        ("y" * 5000, lambda f: f.integer("x", least=0), '"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy... is no integer'),
    ],
    ids=map(str, range(26)),
)
def test_each_mistake_is_one_short_line_with_its_place(value: Any, take: Take, what: str) -> None:
    with pytest.raises(UserError) as caught:
        take(Fields({"x": value}, "a.json"))
    line = str(caught.value)
    assert what in line
    assert line.startswith("a.json: x")
    assert "\n" not in line
    assert len(line) < 200


def test_a_field_without_a_default_must_be_there() -> None:
    takes: list[Take] = [
        lambda f: f.text("x"),
        lambda f: f.flag("x"),
        lambda f: f.integer("x", least=0),
        lambda f: f.number("x"),
        lambda f: f.entries("x"),
        lambda f: f.rows("x"),
        lambda f: f.texts("x"),
        lambda f: f.choice("x", ["a"]),
        lambda f: f.null("x", absent=False),
    ]
    for take in takes:
        with pytest.raises(UserError, match=r"a\.json: x: is missing"):
            take(Fields({}, "a.json"))


def test_what_nobody_took_is_an_error() -> None:
    fields = Fields({"name": "a", "nmae": "b"}, "a.json", "graph")
    assert fields.text("name") == "a"
    with pytest.raises(UserError, match=r"a\.json: graph\.nmae: there is no such key \(did you mean name\?\)"):
        fields.finish()


def test_values_come_as_they_are() -> None:
    fields = Fields({"i": 3, "n": 3, "t": "", "l": [0, 0], "o": [{"p": 1}], "z": None}, "a.json")
    assert (fields.integer("i", least=0), fields.number("n"), fields.text("t", empty=True)) == (3, 3.0, "")
    assert fields.integer_list("l", least=0) == [0, 0]
    assert [row.integer("p", least=0) for row in fields.rows("o")] == [1]
    assert fields.null("z", absent=False)
    fields.finish()


def test_shown_is_short_whatever_the_value() -> None:
    assert all(len(shown(value)) <= 40 for value in (DEEP, 10**5000, "x" * 100, {1: object()}, math.nan))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", "not valid JSON"),
        ("[" * 100_000, "nested too deep"),
        ('{"a": ' * 100_000, "nested too deep"),
        ("[]", "[] is no table of fields"),
        ("{}", "not a pipebound-result"),
        ('{"format": "pipebound-result"}', "version null is not known"),
        ('{"format": "pipebound-result", "version": true}', "version true is not known"),
        ('{"format": "pipebound-result", "version": 1.0}', "version 1.0 is not known"),
        ('{"format": "pipebound-result", "version": 1, "version": 1}', "the key 'version' twice"),
        ('{"format": ["pipebound-result"], "version": 1}', "not a pipebound-result"),
        ('{"format": "pipebound-result", "version": 1' + "0" * 5000 + "}", "not valid JSON"),
    ],
)
def test_a_document_says_what_it_is(content: str, what: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        read_document(path, format="pipebound-result", version=1, hint="solve writes one")
    assert what in str(caught.value)
    assert str(path) in str(caught.value)
    path.write_text(json.dumps({"format": "pipebound-result", "version": 1, "rest": 5}))
    assert read_document(path, format="pipebound-result", version=1, hint="").rest() == {"rest": 5}
