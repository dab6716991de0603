"""The loop that runs a study: runs without a stored result go to an executor, and their results into the store."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from framework.errors import UserError
from framework.study.executor import Executor
from framework.study.lock import writer_lock
from framework.study.plan import Plan, PlannedRun, make_plan
from framework.study.spec import StudySpec
from framework.study.store import DiskFullError, Store
from framework.study.task import Finished, make_task

POLL_SECONDS = 0.2


@dataclass(slots=True)
class Progress:
    """How far a study is; changed in place as it runs.

    Attributes
    ----------
    planned, done
        Runs of the plan, and those of them that are in the store.
    failed
        Runs recorded in this session that have no result.
    solving, busy
        Seconds that this session's runs spent solving, and that they took from hand-over to return.
    """

    planned: int
    done: int
    session: int = 0
    failed: int = 0
    lost: int = 0
    solving: float = 0.0
    busy: float = 0.0
    last: str = ""
    started: float = field(default_factory=time.monotonic)

    @property
    def overhead(self) -> float | None:
        """What the study adds to solving, as a share of it; None before the first run."""
        return None if self.solving <= 0 else (self.busy - self.solving) / self.solving

    @property
    def seconds_left(self) -> float | None:
        """Estimate from the pace of this session."""
        if not self.session:
            return None
        return (self.planned - self.done) * (time.monotonic() - self.started) / self.session

    def as_dict(self) -> dict[str, object]:
        """Return the counts and the overhead as JSON-compatible data."""
        counts = {name: getattr(self, name) for name in ("planned", "done", "session", "failed", "lost")}
        return {**counts, "solving_seconds": self.solving, "busy_seconds": self.busy, "overhead": self.overhead}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenStudy:
    """A study whose store is locked and whose plan is made."""

    plan: Plan
    store: Store
    open_runs: tuple[PlannedRun, ...]


@contextmanager
def open_study(
    spec: StudySpec, *, any_code: bool, retry_failed: bool, say: Callable[[str], None] = lambda words: None
) -> Iterator[OpenStudy]:
    """Lock the store, make the plan, and find out what is still to be done.

    Raises
    ------
    UserError
        For a mistake in the spec, or a store that somebody else is writing to.
    """
    with writer_lock(spec.store):
        try:
            # The names in the spec are checked before a file is made.
            plan = make_plan(spec, say=say) if not spec.store.exists() else None
            store = Store(spec.store, spec)
        except DiskFullError as error:
            raise _disk_full(spec, str(error)) from error
        try:
            if plan is None:
                plan = make_plan(spec, is_priced=store.is_priced, say=say)
            if retry_failed:
                store.forget_failed()
            open_runs = store.set_plan(plan, spec, any_code=any_code)
            yield OpenStudy(plan=plan, store=store, open_runs=tuple(open_runs))
        except DiskFullError as error:
            raise _disk_full(spec, str(error)) from error
        finally:
            store.close()


def run_study(
    spec: StudySpec,
    study: OpenStudy,
    executor: Executor,
    *,
    on_change: Callable[[Progress], None] = lambda progress: None,
    interrupted: Callable[[], bool] = lambda: False,
    proofs: Path | None = None,
) -> Progress:
    """Run everything that is open; on an interrupt, end at once and keep what has finished.

    A run counts as done when it is in the store, which is one transaction. Whatever was under way when this ends
    starts anew next time; nothing that is in the store does. Runs write their proof logs into the folder `proofs`.

    Raises
    ------
    UserError
        If the disk is full. Everything that had finished is saved, except what the message names.
    """
    plan = study.plan
    progress = Progress(planned=len(plan.runs), done=len(plan.runs) - len(study.open_runs))
    waiting = deque(study.open_runs)
    under_way: dict[str, PlannedRun] = {}
    attempts: Counter[str] = Counter()
    folder = "" if proofs is None else str(proofs.absolute())
    on_change(progress)
    while (waiting or under_way) and not interrupted():
        for _ in range(min(executor.room, len(waiting))):
            run = waiting.popleft()
            under_way[run.key] = run
            attempts[run.key] += 1
            executor.submit(make_task(run, plan.settings, plan.code, folder))
        finished = executor.wait(POLL_SECONDS)
        for i, answer in enumerate(finished):
            run = under_way.pop(answer.key)
            if _was_cut_short(answer) and (interrupted() or attempts[run.key] < plan.settings.attempts):
                progress.lost += 1
                waiting.appendleft(run)
                continue
            try:
                study.store.record(run, answer, code=plan.code, attempts=attempts[run.key])
            except DiskFullError as error:
                raise _disk_full(spec, str(error), unsaved=len(finished) - i) from error
            _note(progress, run, answer)
        if finished and not study.store.has_reserve:
            raise _disk_full(spec, "the reserve had to be given up")
        on_change(progress)
    return progress


def _was_cut_short(answer: Finished) -> bool:
    """Whether the run did not end by itself: its worker died, or somebody interrupted it."""
    return answer.lost or (answer.document is not None and answer.document["status"] == "interrupted")


def _note(progress: Progress, run: PlannedRun, answer: Finished) -> None:
    progress.done += 1
    progress.session += 1
    ending = answer.error or ("" if answer.document is None else str(answer.document["status"]).replace("_", " "))
    progress.last = f"{run.graph.name}, k = {run.stages}, {run.choice.label}: {ending}"
    if answer.document is None:
        progress.failed += 1
    else:
        progress.solving += float(answer.document["seconds"])
        progress.busy += answer.wall


def _disk_full(spec: StudySpec, detail: str, unsaved: int = 0) -> UserError:
    lost = f"; {unsaved} finished runs could not be saved and will be done again" if unsaved else ""
    return UserError(
        f"the disk is full ({detail}){lost}",
        where=str(spec.store),
        hint="free some space and start again; everything else that had finished is saved",
    )
