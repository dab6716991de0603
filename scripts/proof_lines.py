"""How many lines of the checker of proofs each rule rests on: python scripts/proof_lines.py [--write].

Counted are the lines with code, without comments and docstrings, of all functions, classes and constants of
`framework/proof` that a rule reaches, directly or through others. `--write` puts the table into docs/proofs.md.
"""

from __future__ import annotations

import argparse
import ast
import io
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

from framework.proof.log import BOUNDS, REDUCTIONS

REPOSITORY = Path(__file__).resolve().parent.parent
CHECKER, PAGE = REPOSITORY / "framework" / "proof", REPOSITORY / "docs" / "proofs.md"
BEGIN, END = "<!-- lines: scripts/proof_lines.py --write -->", "<!-- end of lines -->"
NOT_NEEDED = ("shorten",)
"""Modules that no proof rests on."""
COMMONEST = ("contract", "ideal-program")
"""The rules of most logs."""
SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
Name = tuple[str, str]
"""A module and what it defines."""


class Checker:
    """What the modules of the checker define, how long each definition is, and what it uses."""

    def __init__(self) -> None:
        self.lines: dict[Name, int] = {}
        self.uses: dict[Name, set[Name]] = {}
        self.rules: dict[str, set[Name]] = {}
        for path in sorted(CHECKER.rglob("*.py")):
            if path.stem not in NOT_NEEDED:
                self._read(path)

    def _read(self, path: Path) -> None:
        module = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
        text = path.read_text(encoding="utf-8")
        tree, code = ast.parse(text), code_lines(text)
        known = {
            alias.asname or alias.name: (node.module or "", alias.name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("framework.proof")
            for alias in node.names
        }
        known |= {name: (module, name) for node in tree.body for name in _defined(node)}
        for node in tree.body:
            for name in _defined(node):
                self.lines[module, name] = len(code & set(range(_first_line(node), (node.end_lineno or 0) + 1)))
                self.uses[module, name] = _used(node, known) - {(module, name)}
        if module == "framework.proof.check":
            for node in ast.walk(tree):
                if isinstance(node, ast.match_case) and isinstance(node.pattern, ast.MatchValue):
                    rule = ast.literal_eval(node.pattern.value)
                    self.rules[rule] = set[Name]().union(*(_used(statement, known) for statement in node.body))
            # What is left when all other rules have been named.
            self.rules["narrow"] = {known["narrow"]}
            self.rules["ideal-program"] = {known["ideal_program"]}

    def reached(self, start: Iterable[Name], without: Iterable[Name] = ()) -> set[Name]:
        """Return what some definitions rest on, themselves included."""
        seen, waiting = set(without), [name for name in start if name not in without]
        found = set[Name]()
        while waiting:
            name = waiting.pop()
            if name not in seen and name in self.lines:
                seen.add(name)
                found.add(name)
                waiting += self.uses[name]
        return found

    def count(self, names: Iterable[Name]) -> int:
        """Return how many lines some definitions have."""
        return sum(self.lines[name] for name in names)


def code_lines(text: str) -> set[int]:
    """Return the numbers of the lines that hold code."""
    lines = set[int]()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in SILENT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def _defined(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            yield from (name.id for name in ast.walk(target) if isinstance(name, ast.Name))


def _first_line(node: ast.stmt) -> int:
    decorators = node.decorator_list if isinstance(node, ast.FunctionDef | ast.ClassDef) else []
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _used(node: ast.AST, known: dict[str, Name]) -> set[Name]:
    return {known[name.id] for name in ast.walk(node) if isinstance(name, ast.Name) and name.id in known}


def rows() -> list[tuple[str, int, int]]:
    """Return of each rule its name, the lines that only rules need, and these with what every proof needs."""
    checker = Checker()
    check, log = "framework.proof.check", "framework.proof.log"
    given = ("framework.proof.given", "constrained")
    # What carries rules out leads to all of them.
    branches = {(check, "_reduced"), (check, "_bound"), given}
    every = checker.reached([(check, "replay"), (log, "read_log")], without=branches)
    base = checker.count(every) + checker.count(branches - {given})
    found = [("what every proof needs", base, base)]
    own = checker.count(checker.reached([given]) - every)
    found.append(("what is fixed beforehand", own, base + own))
    for rules in (COMMONEST, *((rule,) for rule in (*REDUCTIONS, *BOUNDS))):
        starts = set[Name]().union(*(checker.rules[rule] for rule in rules))
        own = checker.count(checker.reached(starts) - every)
        found.append((" and ".join(f"`{rule}`" for rule in rules), own, base + own))
    everything = checker.count(checker.lines)
    return [*found, ("all of the checker", everything, everything)]


def table() -> str:
    """Return the table of the page."""
    head = ["| rule | lines | with what every proof needs |", "|---|---|---|"]
    return "\n".join([*head, *(f"| {name} | {own} | {total} |" for name, own, total in rows())])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    if not parser.parse_args().write:
        print(table())
        return
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
