"""Registers the portfolios of ``portfolio_variants.toml``, for the study that tunes `default` (``tuning.toml``)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from framework.contracts import Feature
from framework.model.problem import Problem
from framework.portfolio.members import Member
from framework.registry import register_portfolio
from strategies.portfolios import chosen_members, read_rows

_VARIANTS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def _register(name: str, table: Mapping[str, Any]) -> None:
    @register_portfolio(
        name,
        features=[Feature.DUAL, Feature.PRIMAL, Feature.ANYTIME],
        summary=table["summary"],
        reference=table["reference"],
    )
    @dataclass(frozen=True, slots=True, kw_only=True)
    class _Variant:
        """A portfolio under trial."""

        def members(self, problem: Problem, workers: int) -> tuple[Member, ...]:
            """Return the members listed in the file."""
            return chosen_members(read_rows(table["members"], f"portfolio_variants.toml: {name}"), problem)


for _name, _table in _VARIANTS.items():
    _register(_name, _table)
