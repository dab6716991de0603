"""Tables at every width: the numbers of a row are there whole."""

from __future__ import annotations

from io import StringIO

import pytest

from framework.report.console import PIPED_WIDTH, PlainConsole, open_console
from framework.report.layout import FactTable

ROWS = (
    (
        "8",
        "time limit",
        "123456.789",
        "1.23457e+08",
        "99.99%",
        ">.9999",
        "1234 s",
        "bisection:over=core-fluid (solver)",
    ),
    ("1024", "optimal", "0.5", "0.5", "0%", "1.0000", "0.01 s", "simple"),
)
NUMBERS = (0, 2, 3, 4, 5, 6)


def table() -> FactTable:
    made = FactTable("StatefulPartitionedCall/resnet50/[/red]: 143 nodes", caption="1 more stage is empty")
    made.numbers("k")
    made.texts("status")
    made.numbers("dual bound", "incumbent", "gap", "ratio", "time")
    made.texts("bound by")
    for row in ROWS:
        made.row(*row, style="bold")
    return made


def printed(width: int, made: FactTable) -> list[str]:
    buffer = StringIO()
    console = PlainConsole(file=buffer, width=width, force_terminal=True, color_system=None, markup=False)
    console.print(made)
    return buffer.getvalue().splitlines()


@pytest.mark.parametrize("width", [24, 30, 40, 50, 60, 70, 80, 90, 100, 120, 200])
def test_no_number_is_cut_at_any_width(width: int) -> None:
    lines = printed(width, table())
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)
    words = "\n".join(lines).replace("\n", " ").split()
    for row in ROWS:
        for i in NUMBERS:
            number = row[i].removesuffix(" s")
            assert number in words, (width, number, lines)


@pytest.mark.parametrize("width", [24, 40, 60, 80, 120])
def test_folded_text_is_all_there(width: int) -> None:
    text = "".join("".join(line.split()) for line in printed(width, table()))
    for word in ("time", "limit", "optimal", "simple"):
        assert word in text


def test_headings_stay_on_one_line_where_text_can_give_way() -> None:
    lines = printed(88, table())
    assert any("dual bound" in line and "incumbent" in line for line in lines)


def test_where_no_table_fits_each_row_is_a_block() -> None:
    lines = printed(40, table())
    assert [line.split() for line in lines if line.startswith("dual bound")] == [
        ["dual", "bound", "123456.789"],
        ["dual", "bound", "0.5"],
    ]


def test_a_pipe_has_no_width(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    console = open_console()
    assert console.width == PIPED_WIDTH
    console.print(table())
    console.print("a remark of " + "many words " * 40)
    lines = capsys.readouterr().out.splitlines()
    assert any(all(word in line for word in ROWS[0]) for line in lines)
    assert sum("many words" in line for line in lines) == 1
    monkeypatch.setenv("COLUMNS", "60")
    assert open_console().width == 60
