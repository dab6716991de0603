"""What `pipebound verify` shows: one row a claim, and in words what is proven and what is not."""

from __future__ import annotations

from framework.portfolio.verification import NOT_CHECKED, Verification
from framework.report.console import Console, open_console, styled
from framework.report.layout import FactTable
from framework.wording import choose, counted

_MARKS = {"ok": ("ok", "green"), "unproven": ("unproven", "yellow"), "failed": ("FAILED", "bold red")}


def print_verification(found: Verification, console: Console | None = None) -> None:
    """Print one row a check, what nobody checks, and the verdict."""
    console = console or open_console()
    table = FactTable()
    table.texts("", "claim")
    table.texts("finding", most=80)
    for check in found.checks:
        table.row(styled(*_MARKS[check.state]), check.what, check.detail)
    console.print(table)
    console.print(f"Taken as told: {', '.join(NOT_CHECKED)}.", style="dim")
    style = {"false": "bold red", "unproven": "yellow", "proven": "green"}[found.verdict]
    console.print(summary(found), style=style)


def summary(found: Verification) -> str:
    """Say in one sentence how many checks passed, failed, and how many bounds nothing proves."""
    checks, unproven = found.checks, len(found.unproven)
    if found.failed:
        return f"{len(found.failed)} of {counted(len(checks), 'check')} failed."
    passed = f"{counted(len(checks) - unproven, 'check')} passed"
    if not unproven:
        return f"{passed}; everything claimed is proven."
    bounds = sum(check.what.startswith("dual bound") for check in found.unproven)
    if bounds < unproven:
        return f"{passed}; the file is of an earlier version, and its bounds are not checked."
    verb = choose(bounds, "is", "are")
    return f"{passed}; {counted(bounds, 'bound')} {verb} not independently checked (no certificate)."
