"""The documentation site: built by `scripts/build_docs` into build/site, read from there without a server."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from sphinx.application import Sphinx  # noqa: E402

from framework import __version__  # noqa: E402

project = "pipebound"
author = "The pipebound authors"
copyright = author
version = release = __version__

extensions = ["sphinx.ext.autodoc", "numpydoc", "myst_nb"]
exclude_patterns = ["figures", "images"]
suppress_warnings = ["mystnb.unknown_mime_type"]

# Pages are the Markdown files that a browser of the repository shows as well.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
# Notebooks are shown with the outputs they are committed with; tests execute them.
nb_execution_mode = "off"

# Docstrings are numpydoc, with single back quotes for names.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_type_aliases = {name: name for name in ("IntArray", "FloatArray", "BoolArray", "BitArray", "PathLike")}
maximum_signature_line_length = 88
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
add_module_names = False

html_theme = "furo"
html_title = f"pipebound {__version__}"
html_copy_source = False
html_show_sourcelink = False
# Files that `scripts/build_docs` makes for download.
html_extra_path = ["../build/extra"]

LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#|mailto:)([^)\s#]+)(#[^)\s]*)?\)")
WHOLE_FILES = {
    "overview": "README.md",
    "contributing": "CONTRIBUTING.md",
    "release": "RELEASE.md",
    "changelog": "CHANGELOG.md",
}
"""Pages that stand for a file outside this folder; what they hold themselves is for readers of the repository."""


def read_source(app: Sphinx, name: str, source: list[str]) -> None:
    """Put the file that a page stands for in its place, and name files that the site does not hold by their paths."""
    here = Path(app.srcdir, name).parent
    folder = here
    if name in WHOLE_FILES:
        file = ROOT / WHOLE_FILES[name]
        app.env.note_dependency(str(file))
        source[0] = file.read_text(encoding="utf-8")
        folder = ROOT

    def inside(match: re.Match[str]) -> str:
        mark, words, path, anchor = match.groups()
        target = Path(os.path.normpath(folder / path))
        page = next((page for page, file in WHOLE_FILES.items() if ROOT / file == target), None)
        if page:
            path = os.path.relpath(Path(app.srcdir, f"{page}.md"), here)
        elif target.is_relative_to(app.srcdir):
            path = os.path.relpath(target, here)
        else:
            path = str(target.relative_to(ROOT))
            return f"`{path}`" if words == path else f"{words} (`{path}`)"
        return f"{mark}[{words}]({path}{anchor or ''})"

    source[0] = LINK.sub(inside, source[0])


def literal_formulas(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Mark the indented formulas and trees of module docstrings as literal: they are no reStructuredText."""
    if what != "module":
        return
    marked: list[str] = []
    before = ""
    for line in lines:
        if line.startswith("    ") and not before.strip() and marked and not before.startswith("    "):
            last = next((text for text in reversed(marked) if text.strip()), "")
            if not last.startswith(" ") and not last.endswith("::"):
                marked += ["::", ""]
        marked.append(line)
        before = line
    lines[:] = marked


def setup(app: Sphinx) -> None:
    """Connect what is above to the build."""
    app.connect("source-read", read_source)
    app.connect("autodoc-process-docstring", literal_formulas)
