"""The page on proofs says how many lines of the checker each rule rests on."""

from __future__ import annotations

from framework.proof.log import BOUNDS, REDUCTIONS
from tests.conftest import REPOSITORY, module_of

lines = module_of(REPOSITORY / "scripts" / "proof_lines.py")


def test_the_table_of_the_page_is_that_of_the_code() -> None:
    assert lines.table() in (REPOSITORY / "docs" / "proofs.md").read_text(encoding="utf-8"), (
        "run scripts/proof_lines.py --write"
    )


def test_every_rule_is_counted_with_what_it_calls() -> None:
    count = {name: own for name, own, _ in lines.rows()}
    assert {f"`{rule}`" for rule in (*REDUCTIONS, *BOUNDS)} < count.keys()
    assert count["`simple`"] < count["`ideal-program`"] < count["`core-program`"] < count["`fixing`"]
    assert count["`fixing`"] < count["all of the checker"]


def test_comments_and_docstrings_are_no_code() -> None:
    text = '"""One."""\n\nX = 1\n# Two.\ndef f() -> int:\n    """Three."""\n    return (\n        X  # four\n    )\n'
    assert lines.code_lines(text) == {3, 5, 7, 8, 9}
