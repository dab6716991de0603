"""Each sink shows text of others as it stands; only one module knows how."""

from __future__ import annotations

import ast
import sys
from html.parser import HTMLParser
from io import StringIO

import pytest

from framework.cli import run
from framework.report import escape
from framework.report.console import PlainConsole, status_line, styled
from tests.conftest import REPOSITORY

MARKUP = "[/red]x[bold] :warning: [link=http://x]y[/link]"
CONTROL = "a\x1b[31mb\nc\rd\te\x00f\x7fg\x9bh"
BIDI = "user\u202egnp.exe\u2066\u200b\ufeff"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Überschicht 1/Größe", "Überschicht 1/Größe"),
        ("层/卷积", "层/卷积"),
        (MARKUP, MARKUP),
        (CONTROL, r"a\x1b[31mb\nc\rd\te\x00f\x7fg\x9bh"),
        (BIDI, r"user\u202egnp.exe\u2066\u200b\ufeff"),
        ("file\udcff", r"file\udcff"),
        ("a\u2028b\U000e0001", r"a\u2028b\U000e0001"),
    ],
)
def test_a_terminal_shows_what_it_would_obey(text: str, shown: str) -> None:
    assert escape.terminal(text) == shown
    shown.encode()


@pytest.mark.parametrize("text", [MARKUP, CONTROL, BIDI, "[/]", "x\\", "\\[bold]", "{0}"])
def test_a_console_prints_names_as_they_are(text: str) -> None:
    buffer = StringIO()
    console = PlainConsole(file=buffer, width=300, markup=False, emoji=False, highlight=False, force_terminal=True)
    console.print(text)
    console.print(styled(text, "bold"))
    console.print(f"note: {text}", style="yellow")
    assert buffer.getvalue().count(escape.terminal(text)) == 3
    with status_line(text, quiet=True) as say:
        say(text)


@pytest.mark.parametrize("text", ["$", "$x_1$", r"\$a$", r"a\\$b$c$", r"$\frac$", "_hidden", "a\nb", r"\write18{id}"])
def test_matplotlib_draws_text_and_no_formula(text: str) -> None:
    from matplotlib import rc_context
    from matplotlib.cbook import is_math_text
    from matplotlib.figure import Figure

    from framework.report.plots.canvas import TYPE

    with rc_context(TYPE):
        figure = Figure()
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], label=escape.mathtext(text))
        legend = axes.legend()
        (shown,) = legend.get_texts()
        buffer = StringIO()
        figure.savefig(buffer, format="svg")
    assert not is_math_text(shown.get_text())
    drawn = escape.html(text).replace("&quot;", '"')
    assert drawn in buffer.getvalue()


def test_latex_commands_and_row_ends_are_text() -> None:
    assert escape.latex(r"\input{/etc/passwd}%") == r"\textbackslash{}input\{/etc/passwd\}\%"
    assert escape.latex("[2em]*\n") == r"{[}2em{]}{*}\textbackslash{}n"
    assert escape.latex_label("tab:x}\\input{y}%") == "tab:x-input-y-"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\r1", "\uff1d1"])
def test_spreadsheets_compute_nothing(text: str) -> None:
    assert escape.csv_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["a=b", "conv-1", "", "x@y", "[/red]"])
def test_harmless_cells_stay(text: str) -> None:
    assert escape.csv_cell(text) == text


def test_html_is_text() -> None:
    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.text, self.tags = "", 0

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.tags += 1

        def handle_data(self, data: str) -> None:
            self.text += data

    nasty = "</td><script>alert('1')</script>&amp;\"\x00"
    reader = Reader()
    reader.feed(f"<td>{escape.html(nasty)}</td>")
    assert (reader.tags, reader.text) == (1, escape.terminal(nasty))


def test_markdown_cells_and_code_hold_together() -> None:
    assert escape.markdown("a|b*c*\n<x>") == r"a\|b\*c\*\\n\<x\>"
    assert escape.markdown_code("a|b") == r"`a\|b`"
    assert escape.markdown_code("x``y`") == "``` x``y` ```"


def test_file_names_stay_in_their_folder() -> None:
    assert escape.file_name("../../etc/passwd") == "_.._etc_passwd"
    assert escape.file_name("-rf") == "rf"
    assert escape.file_name("/") == "_"
    assert len(escape.file_name("x" * 1000)) == 120


def test_of_a_long_name_both_ends_are_shown() -> None:
    assert escape.shortened("abcdefghij", 5) == "ab…ij"
    assert escape.shortened("abc", 5) == "abc"


def test_one_place_makes_consoles_tables_and_escapes() -> None:
    """Names reach a sink through `framework.report.console`, `layout` and `escape`, and no other way."""
    allowed = {
        "rich.console.Console": {"console.py", "layout.py", "tables.py", "live.py"},
        # The bar of `live` names registered entries, which are made of letters, digits and hyphens.
        "rich.table.Table": {"layout.py", "live.py"},
        "rich.markup": set(),
        "html.escape": set(),
        "csv": {"export.py", "rows.py"},
    }
    for folder in ("report", "cli"):
        for path in sorted((REPOSITORY / "framework" / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.module:
                    modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
                for module in modules:
                    assert path.name in allowed.get(module, {path.name}), f"{path.name} imports {module}"


def test_words_of_damaged_files_are_shortened(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert escape.short_words(f"a {'9' * 300} b") == f"a {'9' * 300} b"
    assert escape.short_words(f"a {'8' * 150}{'9' * 1000} b") == f"a {'8' * 149}…{'9' * 150} b"
    monkeypatch.setattr(sys, "argv", ["pipebound", "inspect", "testbed:resnet50", "--budget", "9" * 5000])
    assert run() == 2
    line = capsys.readouterr().err
    assert 300 < len(line) < 500
    assert line.count("\n") == 1


def test_commands_echo_nothing_that_was_not_cleaned() -> None:
    """What a command writes itself is a constant, JSON, or went through `terminal`."""
    # What these say is made of numbers and versions.
    skipped = {"versions.py", "warm.py"}
    for path in sorted((REPOSITORY / "framework" / "cli").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) not in ("typer.echo", "print"):
                continue
            words = [value for value in ast.walk(node.args[0]) if isinstance(value, ast.FormattedValue | ast.Name)]
            source = ast.unparse(node.args[0])
            safe = not words or "terminal(" in source or source.startswith("json.dumps(") or "__version__" in source
            # JSON of a result, which escapes what is not ASCII.
            safe = safe or source.endswith(".to_json()")
            assert safe or path.name in skipped, f"{path.name}:{node.lineno}: {source}"
