"""Counts agree with their nouns, everywhere."""

from __future__ import annotations

import re

import pytest

from framework.wording import choose, counted, plural_of
from tests.conftest import REPOSITORY


@pytest.mark.parametrize(
    ("count", "noun", "words"),
    [
        (0, "node", "0 nodes"),
        (1, "node", "1 node"),
        (2, "entry", "2 entries"),
        (1, "entry", "1 entry"),
        (3, "array", "3 arrays"),
        (2, "box", "2 boxes"),
        (2, "branch", "2 branches"),
        (1200, "run", "1,200 runs"),
    ],
)
def test_a_number_with_its_noun(count: int, noun: str, words: str) -> None:
    assert counted(count, noun) == words


def test_verbs_agree_too() -> None:
    assert counted(1, "weight is", "weights are") == "1 weight is"
    assert counted(2, "weight is", "weights are") == "2 weights are"
    assert choose(1, "is", "are") == "is"
    assert plural_of("check") == "checks"


def test_no_number_stands_before_a_fixed_plural() -> None:
    """In an f-string a count is written by `counted`: ``{len(names)} nodes`` says "1 nodes" some day."""
    bare = re.compile(
        r"\{(?:len\([^{}]*\)|[a-z_.]*(?:count|counts|stages|runs|rounds|items|repetitions))(?::,)?\} [a-z]+s\b"
    )
    found = []
    for folder in ("framework/report", "framework/cli"):
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if bare.search(line):
                    found.append(f"{path.relative_to(REPOSITORY)}:{number}: {line.strip()}")
    assert not found
