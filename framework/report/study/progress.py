"""The live display of a running study; plain lines in a pipe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from framework.report.console import open_console
from framework.report.escape import terminal
from framework.report.numbers import percent
from framework.study.study import Progress as StudyProgress
from framework.wording import counted

LINE_SECONDS = 30.0
"""How often a study says in a pipe that it is alive."""


def duration(seconds: float | None) -> str:
    """Write a duration as people say it: 45 s, 12 min, 3 h 20 min."""
    if seconds is None:
        return "-"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def progress_line(progress: StudyProgress) -> str:
    """Say in one line how far a study is."""
    words = [f"{progress.done} of {counted(progress.planned, 'run')}"]
    if progress.failed:
        words.append(f"{progress.failed} failed")
    if progress.lost:
        words.append(f"{progress.lost} lost and tried again")
    if progress.overhead is not None:
        words.append(f"overhead {percent(progress.overhead)}")
    if progress.seconds_left is not None and progress.done < progress.planned:
        words.append(f"{duration(progress.seconds_left)} left")
    return ", ".join(words)


@contextmanager
def study_progress(name: str, *, quiet: bool) -> Iterator[Callable[[StudyProgress], None]]:
    """Show a study while it runs: a bar on a terminal, a line now and then in a pipe, nothing when `quiet`."""
    console = open_console(stderr=True)
    if quiet:
        yield lambda progress: None
        return
    if not console.is_terminal:
        said = time.monotonic()

        def say(progress: StudyProgress) -> None:
            nonlocal said
            if time.monotonic() > said + LINE_SECONDS:
                said = time.monotonic()
                console.print(f"{name}: {progress_line(progress)}")

        yield say
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[words]}", markup=False), console=console) as bar:
        task = bar.add_task(terminal(name), words="")

        def show(progress: StudyProgress) -> None:
            words = terminal(f"{duration(progress.seconds_left)} left  {progress.last}")
            bar.update(task, completed=progress.done, total=progress.planned, words=words)

        yield show
