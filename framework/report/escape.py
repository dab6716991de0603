"""Names of others on their way out: one function a sink, so that text is shown and never obeyed.

Names of nodes, files, studies and entries, units, and remarks that quote them come from files that anybody may have
written. Nothing is dropped: what a sink would obey is written so that it shows what it is.
"""

from __future__ import annotations

import html as standard_html
import re
import unicodedata

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories that move the cursor, turn the direction of reading, break lines, or cannot be encoded."""
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    # After the end of a row, brackets would be its distance to the next, and a star would keep a page together.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
}
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$])")


def terminal(text: str) -> str:
    r"""Return text of one line: control characters, line breaks and changes of direction as ``\x1b``, ``\n``, ..."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(char) if unicodedata.category(char) in _UNSEEN else char for char in text)


def _visible(char: str) -> str:
    named = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}.get(char)
    if named is not None:
        return named
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shortened(text: str, most: int) -> str:
    """Return at most so many characters of a text, its middle left out: both ends of a name tell it apart."""
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def short_words(text: str, most: int = 300) -> str:
    """Return text whose words have at most so many characters: a damaged file may hold numbers of a million digits."""
    return re.sub(rf"\S{{{most + 1},}}", lambda word: shortened(word[0], most), text)


def mathtext(text: str) -> str:
    """Return text that matplotlib draws as it stands: no formulas, and no label that a legend leaves out."""
    plain = terminal(text).replace("$", r"\$")
    return f" {plain}" if plain.startswith("_") else plain


def latex(text: str) -> str:
    """Return text that LaTeX sets as it stands."""
    return "".join(_LATEX.get(char, char) for char in terminal(text))


def latex_label(text: str) -> str:
    r"""Return a name for ``\label``: letters, digits, dots, colons and hyphens stay, the rest becomes hyphens."""
    return re.sub(r"[^A-Za-z0-9.:-]+", "-", text)


def csv_cell(text: str) -> str:
    """Return a cell that a spreadsheet shows and does not compute: a formula gets an apostrophe in front of it."""
    return f"'{text}" if text.lstrip().startswith(_FORMULA) or text[:1] in ("\t", "\r") else text


def html(text: str) -> str:
    """Return text for an element or a quoted attribute of HTML."""
    return standard_html.escape(terminal(text))


def markdown(text: str) -> str:
    """Return text that Markdown shows as it stands, also within a table."""
    return _MARKDOWN.sub(r"\\\1", terminal(text))


def markdown_code(text: str) -> str:
    """Return text as code of one line; its fence is longer than any run of backticks within."""
    plain = terminal(text).replace("|", "\\|")
    fence = "`" * (max(map(len, re.findall("`+", plain)), default=0) + 1)
    space = " " if plain.startswith("`") or plain.endswith("`") else ""
    return f"{fence}{space}{plain}{space}{fence}"


def file_name(text: str, *, most: int = 120) -> str:
    """Return a name for a file in a folder of ours: no separators, no leading dot or hyphen, never empty."""
    return re.sub(r"[^A-Za-z0-9_.=-]+", "_", text)[:most].lstrip(".-") or "_"
