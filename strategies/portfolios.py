"""The built-in portfolios, read from ``portfolios.toml``: which entry runs when is data, not code."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from framework.contracts import Feature
from framework.model.problem import Problem
from framework.portfolio.members import Member
from framework.registry import register_portfolio


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads(files("strategies").joinpath("portfolios.toml").read_text(encoding="utf-8"))


def chosen_members(rows: Iterable[Mapping[str, Any]], problem: Problem) -> tuple[Member, ...]:
    """Return the members of the rows that are meant for a problem, in their order.

    Parameters
    ----------
    rows
        As in ``portfolios.toml``: the fields of a `Member`, and `stages` and `nodes`, the fewest and the most each.
    """
    members: list[Member] = []
    for row in rows:
        sizes = {"stages": problem.stages, "nodes": problem.instance.n}
        if any(name in row and not row[name][0] <= size <= row[name][1] for name, size in sizes.items()):
            continue
        chosen = {member.label for member in members}
        arguments: dict[str, Any] = {key: value for key, value in row.items() if key not in sizes}
        arguments["after"] = tuple(label for label in row.get("after", ()) if label in chosen)
        members.append(Member(**arguments))
    return tuple(members)


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
        return chosen_members(_tables()["default"]["members"], problem)


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
        return chosen_members(_tables()["paper"]["members"], problem)
