"""Portfolios as tables: a TOML file says which entries run when, on which sizes of graphs and numbers of stages.

    [mine]
    summary = "Minimum cuts first, then CP-SAT on small graphs"

    [[mine.members]]
    entry = "anchored-cut"

    [[mine.members]]
    entry = "cp-sat"
    after = ["anchored-cut"]
    share = 0.5
    max_nodes = 300

A file may hold several portfolios. The built-in ones are such a file; ``--portfolio FILE`` registers those of another.
Everything in a file is checked when it is read; docs/portfolios.md lists the fields.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast, get_args

from framework.contracts import Feature
from framework.errors import UserError
from framework.fields import Fields
from framework.input_files import read_text
from framework.model.problem import Problem
from framework.portfolio.members import Member, Space
from framework.registry import Entry, Kind, load_plugin_file, load_plugins, registry

SUFFIX = ".toml"
_HANDED_ON = frozenset({Feature.DUAL, Feature.PRIMAL, Feature.EXACT})
"""What a portfolio can do if one of its members can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Whole numbers from `least` on, up to `most` or without an upper end."""

    least: int
    most: int | None = None

    def __contains__(self, number: int) -> bool:
        return self.least <= number and (self.most is None or number <= self.most)

    def meets(self, other: Range) -> bool:
        """Whether some number lies in both."""
        return max(self.least, other.least) in self and max(self.least, other.least) in other


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRow:
    """A member, and the problems it is meant for.

    Attributes
    ----------
    stages, nodes
        Numbers of stages, and numbers of nodes of the graph.
    where
        Its place in the file, for errors.
    """

    member: Member
    stages: Range
    nodes: Range
    where: str

    def suits(self, problem: Problem) -> bool:
        """Whether the member is meant for a problem."""
        return problem.stages in self.stages and problem.instance.n in self.nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class PortfolioTable:
    """One portfolio of a file.

    Attributes
    ----------
    features
        What the file says that it can do; None where it says nothing.
    where
        Its place in the file, for errors.
    """

    name: str
    summary: str
    reference: str
    features: frozenset[Feature] | None
    rows: tuple[MemberRow, ...]
    where: str

    def members(self, problem: Problem) -> tuple[Member, ...]:
        """Return the members that are meant for a problem, in their order, waiting for each other only."""
        members: list[Member] = []
        for row in self.rows:
            if row.suits(problem):
                chosen = {member.label for member in members}
                after = tuple(label for label in row.member.after if label in chosen)
                members.append(replace(row.member, after=after))
        return tuple(members)

    def check_entries(self) -> None:
        """Create the entry of every row once.

        Raises
        ------
        UserError
            For the first that is not registered, is a portfolio itself, or is refused.
        """
        for row in self.rows:
            check_member(row.member.entry, f"{row.where}.entry")


def check_member(entry: str, where: str) -> None:
    """Create an entry that is to be a member of a portfolio; a UserError says at `where` why it cannot be one."""
    try:
        registry.create(entry)
    except UserError as error:
        raise UserError(str(error), where=where) from None
    if registry.get(entry.partition(":")[0].strip()).kind is Kind.PORTFOLIO:
        raise UserError(f"{entry} is a portfolio itself", where=where, hint="name formulations and strategies")


def parse_portfolios(text: str, file: str) -> tuple[PortfolioTable, ...]:
    """Read the portfolios of a TOML document; `file` is what errors call it.

    Whether the entries exist is not looked at here: see `PortfolioTable.check_entries`.

    Raises
    ------
    UserError
        For no TOML, no portfolio, an unknown key, a value of the wrong kind, a name in `after` that no row before has,
        or two rows of one name that would run together.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"not a TOML file: {error}", where=file) from None
    top = Fields(document, file)
    tables = tuple(_portfolio(top.table(name), name) for name in document)
    if not tables:
        raise UserError(
            "holds no portfolio", where=file, hint="write [[NAME.members]] with entry = ... for each member"
        )
    return tables


def read_portfolios(path: str | Path) -> tuple[PortfolioTable, ...]:
    """Read a file of portfolios; errors as of `parse_portfolios`."""
    return parse_portfolios(read_text(path), str(path))


def register_portfolios(tables: Iterable[PortfolioTable], module: str = __name__) -> None:
    """Register portfolios under their names; `module` is where documentation says that they come from."""
    for table in tables:
        features = table.features
        if features is None:
            able = [registry.features_of(row.member.entry) for row in table.rows]
            features = _HANDED_ON & frozenset().union(*able) | {Feature.ANYTIME}
        entry = Entry(
            name=table.name,
            kind=Kind.PORTFOLIO,
            factory=_portfolio_class(table, module),
            features=features,
            summary=table.summary,
            reference=table.reference,
            members=tuple(dict.fromkeys(row.member.entry for row in table.rows)),
        )
        try:
            registry.add(entry)
        except UserError as error:
            raise UserError(error.what, where=table.where, hint=error.hint) from None


_registered: dict[str, tuple[str, ...]] = {}
"""Names of the portfolios of each file that was loaded."""


def load_portfolio_file(path: str | Path) -> tuple[str, ...]:
    """Register the portfolios of a file, once, and return their names.

    Raises
    ------
    UserError
        As `parse_portfolios`, or for an entry that is not registered or a name that is taken.
    """
    key = str(Path(path).resolve())
    if key not in _registered:
        tables = read_portfolios(path)
        for table in tables:
            table.check_entries()
        register_portfolios(tables)
        _registered[key] = tuple(table.name for table in tables)
    return _registered[key]


def load_entries(plugin_files: Sequence[str] = ()) -> None:
    """Register the built-in entries, those of installed plugins, and those of files: Python, or portfolios in TOML.

    Raises
    ------
    UserError
        If a file is missing or wrong.
    """
    load_plugins()
    python = python_files(plugin_files)
    for path in python:
        load_plugin_file(path)
    # Last, since portfolios may name entries of any of the other files.
    for path in plugin_files:
        if path not in python:
            load_portfolio_file(path)


def python_files(plugin_files: Sequence[str]) -> tuple[str, ...]:
    """Return the files that a member needs: a portfolio is no member."""
    return tuple(path for path in plugin_files if Path(path).suffix != SUFFIX)


def _portfolio_class(table: PortfolioTable, module: str) -> type:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Listed:
        """A portfolio that a table lists."""

        def members(self, problem: Problem, workers: int) -> tuple[Member, ...]:
            """Return the members of the table that are meant for a problem."""
            return table.members(problem)

    Listed.__module__, Listed.__qualname__ = module, table.name
    return Listed


def _portfolio(fields: Fields, name: str) -> PortfolioTable:
    features = None if fields.null("features") else frozenset(_features(fields))
    rows: list[MemberRow] = []
    for row in fields.rows("members"):
        rows.append(_row(row, rows))
    if not rows:
        raise fields.error("members", "the list is empty", "name at least one")
    table = PortfolioTable(
        name=name,
        summary=fields.text("summary", "a portfolio of a file"),
        reference=fields.text("reference", "", empty=True),
        features=features,
        rows=tuple(rows),
        where=fields.where(),
    )
    fields.finish()
    return table


def _row(row: Fields, before: Sequence[MemberRow]) -> MemberRow:
    names = [other.member.label for other in before]
    after = row.texts("after", ())
    for i, name in enumerate(after):
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            known = f"those before are {', '.join(dict.fromkeys(names))}" if names else "leave it out of the first row"
            raise row.error(
                f"after[{i}]", f"no row before this one is {name!r}", f"did you mean {near[0]}?" if near else known
            )
    space = "reduced" if row.null("space") else row.choice("space", get_args(Space))
    share = row.number("share", 1.0)
    if not 0 < share <= 1:
        raise row.error("share", f"{share:g} is no share of the budget", "choose one above 0, up to 1")
    lower, upper = _gaps(row)
    read = MemberRow(
        member=Member(
            entry=row.text("entry"),
            name=row.text("name", "", empty=True),
            after=tuple(after),
            share=share,
            min_gap=lower,
            max_gap=upper,
            space=cast(Space, space),
            threads=row.integer("threads", 1, least=1),
            inline=_inline(row, after),
        ),
        stages=_range(row, "stages", least=1),
        nodes=_range(row, "nodes", least=0),
        where=row.where(),
    )
    row.finish()
    for i, other in enumerate(before):
        same_name = other.member.label == read.member.label
        if same_name and other.stages.meets(read.stages) and other.nodes.meets(read.nodes):
            raise row.error(
                "name",
                f"{read.member.label!r} is the name of members[{i}] too, and both would run on some graphs",
                "give one another name, or other sizes",
            )
    return read


def _gaps(row: Fields) -> tuple[float, float]:
    lower, upper = row.number("min_gap", 0.0, least=0.0), row.number("max_gap", 1.0, least=0.0)
    for key, gap in (("min_gap", lower), ("max_gap", upper)):
        if gap > 1:
            raise row.error(key, f"{gap:g} is no relative gap", "choose one from 0 to 1: 0.05 for 5%")
    if upper < lower:
        raise row.error("max_gap", f"{upper:g} is less than min_gap = {lower:g}")
    return lower, upper


def _inline(row: Fields, after: Sequence[str]) -> bool:
    inline = row.flag("inline", False)
    if inline and after:
        raise row.error("inline", "a member that runs inline waits for no other", "drop `after`")
    return inline


def _range(row: Fields, size: str, least: int) -> Range:
    lower = row.integer(f"min_{size}", least, least=least)
    upper = None if row.null(f"max_{size}") else row.integer(f"max_{size}", least=least)
    if upper is not None and upper < lower:
        raise row.error(f"max_{size}", f"{upper} is less than min_{size} = {lower}")
    return Range(least=lower, most=upper)


def _features(fields: Fields) -> Iterator[Feature]:
    for i, word in enumerate(fields.texts("features")):
        if word not in list(Feature):
            raise fields.error(f"features[{i}]", f"{word!r} is no feature", f"the features are {', '.join(Feature)}")
        yield Feature(word)
