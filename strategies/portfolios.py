"""The built-in portfolios: ``portfolios.toml`` lists which entries run, in which order and on which sizes."""

from __future__ import annotations

from importlib.resources import files

from framework.errors import UserError
from framework.portfolio.portfolio_file import parse_portfolios, register_portfolios

_FILE = "portfolios.toml"

BUILT_IN = parse_portfolios(files("strategies").joinpath(_FILE).read_text(encoding="utf-8"), _FILE)

for _table in BUILT_IN:
    if _table.features is None:
        # They cannot be collected from the members: this module is imported before some of these are registered.
        raise UserError(f"the portfolio {_table.name!r} states no features", where=_FILE, hint="add a key `features`")

register_portfolios(BUILT_IN, __name__)
