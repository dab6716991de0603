"""The built-in portfolios: ``portfolios.toml`` lists which entries run, in which order and on which sizes."""

from __future__ import annotations

from importlib.resources import files

from framework.portfolio.portfolio_file import parse_portfolios, register_portfolios

_FILE = "portfolios.toml"

BUILT_IN = parse_portfolios(files("strategies").joinpath(_FILE).read_text(encoding="utf-8"), _FILE)

register_portfolios(BUILT_IN, __name__)
