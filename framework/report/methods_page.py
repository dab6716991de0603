"""The methods reference: one section for each registered entry, written from its docstrings."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterable
from pathlib import Path

from framework.registry import Entry, Kind, registry
from framework.report.groups import Group, grouped

BUILT_IN = ("formulations", "strategies")
"""Packages whose entries the page describes; a researcher's own are not in it."""
_STRUCTURE = re.compile(r"`framework\.structure\.([a-z_]+(?:\.[a-z_0-9]+)*)")
_HEADINGS = {Kind.FORMULATION: "Formulations", Kind.STRATEGY: "Strategies", Kind.PORTFOLIO: "Portfolios"}

_HEAD = """# Methods

What `pipebound` can bound, solve and search with. This page is written by `scripts/build_docs` from the registry and
the docstrings beside the code; do not edit it. `name:parameter=value` on the command line sets a parameter. An entry
that is marked *exact* closes the gap given enough time; *decision* means that `bisection:over=NAME` can drive it.
Terms are defined in the [glossary](glossary.md).
"""


def methods_page() -> str:
    """Return the page in Markdown, for the built-in entries that are registered."""
    entries = [entry for entry in registry.entries() if entry.factory.__module__.split(".")[0] in BUILT_IN]
    parts = [_HEAD, _overview(entries)]
    for kind in Kind:
        chosen = [entry for entry in entries if entry.kind is kind]
        if chosen:
            parts.append(f"## {_HEADINGS[kind]}\n")
            parts += [_section(entry) for entry in chosen]
    parts.append(_appendix(entries))
    return "\n".join(parts).rstrip() + "\n"


def _overview(entries: Iterable[Entry]) -> str:
    """Return a table for each use: entries that a portfolio runs, those to be studied, and the portfolios."""
    portfolios = [entry for entry in entries if entry.kind is Kind.PORTFOLIO]
    groups = [
        *grouped(entry for entry in entries if entry not in portfolios),
        Group(title="", entries=tuple(portfolios)),
    ]
    lines = []
    for group in groups:
        title = f"Formulations and strategies {group.title}" if group.title else "Portfolios"
        lines += [f"**{title}**", "", "| entry | kind | features | in a line |", "|---|---|---|---|"]
        for entry in group.entries:
            summary = f"{entry.summary}. Use: {entry.purpose}" if entry.purpose else entry.summary
            lines.append(f"| [{entry.name}](#{entry.name}) | {entry.kind} | {_features(entry)} | {_cell(summary)} |")
        lines.append("")
    return "\n".join(lines)


def _section(entry: Entry) -> str:
    lines = [f"### {entry.name}", "", f"{entry.summary[0].upper()}{entry.summary[1:].rstrip('.')}.", ""]
    lines.append(f"*{entry.kind.capitalize()}; {_features(entry)}; `{entry.factory.__module__.replace('.', '/')}.py`.*")
    if entry.reference:
        lines[-1] += f" *Source: {entry.reference}.*"
    lines += ["", *_use(entry)]
    parameters = entry.parameters()
    if parameters:
        described = _attributes(entry.factory)
        lines += ["| parameter | type | default | meaning |", "|---|---|---|---|"]
        for item in parameters:
            meaning = _cell(described.get(item.name, ""))
            lines.append(f"| `{item.name}` | {_cell(item.type_name)} | `{item.default!r}` | {meaning} |")
        lines.append("")
    lines += [_docstring(entry.factory.__module__), ""]
    return "\n".join(lines)


def _use(entry: Entry) -> list[str]:
    """Return the paragraph about the portfolios that run an entry, and what it is good for."""
    portfolios = registry.portfolios_of(entry.name)
    said = [f"Run by {' and '.join(f'`{name}`' for name in portfolios)}."] if portfolios else []
    if entry.purpose:
        said.append(f"Use: {entry.purpose}.")
    return [" ".join(said), ""] if said else []


def _appendix(entries: Iterable[Entry]) -> str:
    """Return the docstrings of the structure modules that the entries refer to, and those that these refer to."""
    import framework.structure

    folder = Path(framework.structure.__path__[0])
    modules = {entry.factory.__module__ for entry in entries}
    waiting = [name for module in sorted(modules) for name in _STRUCTURE.findall(_docstring(module))]
    found: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        path = _source_of(folder, name)
        if path is None or (name := ".".join(path.relative_to(folder).with_suffix("").parts)) in found:
            continue
        # Read, not imported: kernels take a while to load, and nothing here needs them.
        found[name] = inspect.cleandoc(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "")
        waiting += _STRUCTURE.findall(found[name])
    lines = ["## The structure they rest on", ""]
    for name, text in sorted(found.items()):
        lines += [f"### framework.structure.{name}", "", text, ""]
    return "\n".join(lines)


def _source_of(folder: Path, name: str) -> Path | None:
    """Return the file of a dotted module name, or of the module that holds the function named."""
    path = folder.joinpath(*name.split("."))
    return next((file for file in (path.with_suffix(".py"), path.parent.with_suffix(".py")) if file.is_file()), None)


def _docstring(module: str) -> str:
    return inspect.cleandoc(importlib.import_module(module).__doc__ or "")


def _attributes(factory: type) -> dict[str, str]:
    """Return what numpydoc docstrings say of each attribute, inherited ones included; ``a, b`` share their text."""
    described: dict[str, str] = {}
    for base in reversed(factory.__mro__):
        described |= _own_attributes(base)
    return described


def _own_attributes(factory: type) -> dict[str, str]:
    _, _, section = inspect.cleandoc(factory.__doc__ or "").partition("Attributes\n----------\n")
    described: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        if line and not line.startswith(" "):
            names = [name.strip() for name in line.split(":")[0].split(",")]
        else:
            for name in names:
                described[name] = f"{described.get(name, '')} {line.strip()}".strip()
    return described


def _features(entry: Entry) -> str:
    return ", ".join(sorted(entry.features)) or "-"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
