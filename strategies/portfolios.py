"""The built-in portfolios, read from ``portfolios.toml``: which entry runs when is data, not code."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, cast, get_args

from framework.contracts import Feature
from framework.errors import UserError
from framework.fields import Fields, shown
from framework.model.problem import Problem
from framework.portfolio.members import Member, Space
from framework.registry import register_portfolio, registry


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads(files("strategies").joinpath("portfolios.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRow:
    """A member, and the problems it is meant for.

    Attributes
    ----------
    stages, nodes
        The fewest and the most; None for any.
    """

    member: Member
    stages: tuple[int, int] | None
    nodes: tuple[int, int] | None

    def suits(self, problem: Problem) -> bool:
        """Whether the member is meant for a problem."""
        pairs = ((self.stages, problem.stages), (self.nodes, problem.instance.n))
        return all(limits is None or limits[0] <= size <= limits[1] for limits, size in pairs)


def read_rows(rows: Iterable[Mapping[str, Any]], where: str) -> tuple[MemberRow, ...]:
    """Read rows as in ``portfolios.toml``: the fields of a `Member`, and `stages` and `nodes`, the fewest and the most.

    Raises
    ------
    UserError
        For an unknown field, a value of the wrong kind, an entry that cannot be created, or a name in `after` that no
        row before it has.
    """
    read: list[MemberRow] = []
    for i, table in enumerate(rows):
        row = Fields(table, where, f"members[{i}]")
        entry = row.text("entry")
        after = row.texts("after", ())
        names = [other.member.label for other in read]
        for name in after:
            if name not in names:
                near = difflib.get_close_matches(name, names, 1)
                raise row.error(
                    "after", f"no row before this one is {name!r}", f"did you mean {near[0]}?" if near else ""
                )
        stages, nodes = _limits(row, "stages"), _limits(row, "nodes")
        try:
            registry.create(entry)
        except UserError as error:
            raise row.error("entry", str(error)) from None
        try:
            member = Member(
                entry=entry,
                name=row.text("name", "", empty=True),
                after=tuple(after),
                share=row.number("share", 1.0),
                space=cast(Space, row.choice("space", get_args(Space)) if row.has("space") else "reduced"),
                threads=row.integer("threads", 1, least=1),
            )
        except ValueError as error:
            raise row.error("", str(error)) from None
        row.finish()
        read.append(MemberRow(member=member, stages=stages, nodes=nodes))
    return tuple(read)


def chosen_members(rows: Iterable[MemberRow], problem: Problem) -> tuple[Member, ...]:
    """Return the members of the rows that are meant for a problem, in their order, waiting for each other only."""
    members: list[Member] = []
    for row in rows:
        if row.suits(problem):
            chosen = {member.label for member in members}
            after = tuple(label for label in row.member.after if label in chosen)
            members.append(replace(row.member, after=after))
    return tuple(members)


def _limits(row: Fields, size: str) -> tuple[int, int] | None:
    if row.null(size):
        return None
    limits = row.integer_list(size, least=0)
    if len(limits) != 2 or limits[0] > limits[1]:
        raise row.error(size, f"{shown(limits)} is no pair of the fewest and the most")
    return limits[0], limits[1]


@cache
def built_in_rows(name: str) -> tuple[MemberRow, ...]:
    """Return the rows of a built-in portfolio; entries must be registered by now."""
    table = Fields(_tables()[name], "portfolios.toml", name)
    rows = read_rows([row.everything() for row in table.rows("members")], f"portfolios.toml: {name}")
    for key in ("summary", "reference"):
        table.text(key)
    table.finish()
    return rows


@register_portfolio(
    "default",
    features=[Feature.DUAL, Feature.PRIMAL, Feature.EXACT, Feature.ANYTIME],
    summary=_tables()["default"]["summary"],
    reference=_tables()["default"]["reference"],
)
@dataclass(frozen=True, slots=True, kw_only=True)
class Default:
    """What `pipebound solve` runs unless told otherwise."""

    def members(self, problem: Problem, workers: int) -> tuple[Member, ...]:
        """Return the members listed under ``[default]``."""
        return chosen_members(built_in_rows("default"), problem)


@register_portfolio(
    "paper",
    features=[Feature.DUAL, Feature.PRIMAL, Feature.ANYTIME],
    summary=_tables()["paper"]["summary"],
    reference=_tables()["paper"]["reference"],
)
@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """The paper's own method and nothing of ours: on the original graph, without reductions."""

    def members(self, problem: Problem, workers: int) -> tuple[Member, ...]:
        """Return the members listed under ``[paper]``."""
        return chosen_members(built_in_rows("paper"), problem)
