"""`pipebound list`: what there is to choose from."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from framework.cli.options import JsonOption, PluginOption, PortfolioOption, plugin_paths


class Listable(StrEnum):
    """What can be listed."""

    ALL = "all"
    FORMULATIONS = "formulations"
    STRATEGIES = "strategies"
    PORTFOLIOS = "portfolios"
    DEVICES = "devices"
    FORMATS = "formats"
    TESTBED = "testbed"


def command(
    what: Annotated[Listable, typer.Argument(help="Which list.")] = Listable.ALL,
    plugin: PluginOption = None,
    portfolio: PortfolioOption = None,
    json_output: JsonOption = False,
) -> None:
    """List formulations, strategies, portfolios, devices, input formats and the testbed's subsets."""
    from framework.portfolio.portfolio_file import load_entries
    from framework.report.listings import listings, print_listings

    load_entries(plugin_paths(plugin, portfolio))
    chosen = [name for name in Listable if what in (Listable.ALL, name) and name is not Listable.ALL]
    tables = listings([str(name) for name in chosen])
    if json_output:
        typer.echo(json.dumps(tables, indent=1))
    else:
        print_listings(tables)
