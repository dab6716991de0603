"""The glossary is linked from every page, defines each term once, and speaks of words that the code uses."""

from __future__ import annotations

import re

import pytest

from tests.conftest import REPOSITORY

DOCS = REPOSITORY / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if path.name != "glossary.md")
ROW = re.compile(r"^\| (?!term |word )([^|]+) \|.*\|$", re.MULTILINE)


def sections() -> dict[str, list[str]]:
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    return {part.split("\n", 1)[0]: ROW.findall(part) for part in text.split("\n## ")[1:]}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_page_links_to_it(page: object) -> None:
    assert re.search(r"\]\((\.\./)?glossary\.md\)", (DOCS / str(page)).read_text(encoding="utf-8"))


def test_the_readme_links_to_it() -> None:
    assert "](docs/glossary.md)" in (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_terms_are_defined_once_and_sorted() -> None:
    found = sections()
    assert len(found) == 4
    for terms in found.values():
        assert terms == sorted(terms, key=str.lower)
    every = [term for terms in found.values() for part in terms for term in part.split(", ")]
    assert len(every) > 80
    assert len(every) == len(set(every))


@pytest.mark.parametrize("word", [word for part in sections()["Words of this project"] for word in part.split(", ")])
def test_words_of_our_own_are_used(word: str) -> None:
    """A word that the code has given up is no longer worth a definition."""
    pattern = re.compile(rf"\b{word}s?\b", re.IGNORECASE)
    sources = (
        path for name in ("framework", "strategies", "formulations") for path in (REPOSITORY / name).rglob("*.py")
    )
    assert any(pattern.search(path.read_text(encoding="utf-8")) for path in sources)
