"""What `pipebound verify` shows: one row a claim, and in words what is proven and what is not."""

from __future__ import annotations

from collections.abc import Sequence

from framework.portfolio.verification import NOT_CHECKED, Check
from framework.report.console import open_console, styled
from framework.report.layout import FactTable
from framework.wording import choose, counted

_MARKS = {"ok": ("ok", "green"), "unproven": ("unproven", "yellow"), "failed": ("FAILED", "bold red")}


def print_verification(checks: Sequence[Check]) -> None:
    """Print one row a check, what nobody checks, and the verdict."""
    console = open_console()
    table = FactTable()
    table.texts("", "claim")
    table.texts("finding", most=80)
    for check in checks:
        table.row(styled(*_MARKS[check.state]), check.what, check.detail)
    console.print(table)
    console.print(f"Taken as told: {', '.join(NOT_CHECKED)}.", style="dim")
    states = [check.state for check in checks]
    style = "bold red" if "failed" in states else "yellow" if "unproven" in states else "green"
    console.print(summary(checks), style=style)


def summary(checks: Sequence[Check]) -> str:
    """Say in one sentence how many checks passed, failed, and how many bounds nothing proves."""
    failed = sum(check.state == "failed" for check in checks)
    unproven = sum(check.state == "unproven" for check in checks)
    if failed:
        return f"{failed} of {counted(len(checks), 'check')} failed."
    passed = f"{counted(len(checks) - unproven, 'check')} passed"
    if not unproven:
        return f"{passed}; everything claimed is proven."
    bounds = sum(check.state == "unproven" and check.what.startswith("dual bound") for check in checks)
    if bounds < unproven:
        return f"{passed}; the file is of an earlier version, and its bounds are not checked."
    verb = choose(bounds, "is", "are")
    return f"{passed}; {counted(bounds, 'bound')} {verb} not independently checked (no certificate)."
