"""`study report --live`: the report of a running study, again and again until it ends."""

from __future__ import annotations

import time
from pathlib import Path

from rich.live import Live

from framework.report.console import open_console
from framework.report.escape import terminal
from framework.report.study.tables import print_report, progress_words, report_view
from framework.signals import Interrupt
from framework.study.analysis.report import StudyReport, make_report
from framework.study.lock import is_being_written

_LOOK_SECONDS = 0.1


def follow(path: Path, *, every: float, everything: bool, subset: str | None = None) -> StudyReport:
    """Show the report every few seconds while a study writes to the store; return the last one.

    In a pipe one line a look tells how far it is, and the report comes at the end. Ctrl-C stops following, not
    the study.
    """
    console = open_console()
    report = make_report(path, subset)
    with Interrupt().watch() as interrupt:
        if console.is_terminal:
            with Live(
                report_view(report, console, everything=everything), console=console, auto_refresh=False, transient=True
            ) as live:
                while is_being_written(path) and _pause(every, interrupt):
                    report = make_report(path, subset)
                    live.update(report_view(report, console, everything=everything), refresh=True)
        else:
            while is_being_written(path):
                print(terminal(progress_words(report)), flush=True)
                if not _pause(every, interrupt):
                    break
                report = make_report(path, subset)
        if interrupt.happened:
            return report
    # What was written between the last look and the end of the study.
    report = make_report(path, subset)
    print_report(report, everything=everything)
    return report


def _pause(seconds: float, interrupt: Interrupt) -> bool:
    """Wait; return whether to go on."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and not interrupt.happened:
        time.sleep(min(left, _LOOK_SECONDS))
    return not interrupt.happened
