"""The runner: one budget over presolve and members, each in its own process, sharing one verified board.

Whatever happens to a member (a crash, a hang, a kill, a full memory, a false claim) costs that member only;
what it had reported before is kept, and the fault is named in the record of the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from typing import Any

from framework.bounds import SIMPLE, Certificate, Limit, Reason, Soundness, Termination
from framework.model.instance import Instance
from framework.model.problem import Partition, Problem, obeys, project
from framework.portfolio.clock import RunClock
from framework.portfolio.context.board import Board
from framework.portfolio.members import Member, MemberReport, RunRecord
from framework.portfolio.portfolio_file import python_files
from framework.portfolio.processes import wire
from framework.portfolio.processes.member_process import MemberProcess
from framework.portfolio.processes.shared_state import SharedState
from framework.portfolio.processes.worker import Job, run_inline
from framework.portfolio.run_options import RunOptions, default_memory_bytes
from framework.structure.primal.initial_interval import balanced_partition, simple_bound
from framework.structure.reduction.dominance import SMALL_NODES
from framework.wording import counted

POLL_SECONDS = 0.1
GRACE_SECONDS = 0.3
"""How long members may take to send their last reports once they are asked to end."""
PRESOLVE = "presolve"
_LOOKAHEAD = 2
"""Levels of members below those that start for which kernels are compiled along with theirs."""
LARGE_NODES = 50_000
"""With so many, presolve may take longer than all else: it is given a part of the time only, and meanwhile the first
member works on the original instance as well."""
LARGE_PRESOLVE_SHARE = 0.5
"""The part of the time left that presolve may take then."""
END_FACTOR = 8
"""Pricing the incumbent once more, writing the result and freeing memory take so many times as long as opening a run
does, on a large instance; measured, so that a busy machine is given more. It is kept for the end of the budget."""
START_FACTOR = 4
"""On a large instance members are only started if so many times what opening the run took is left: each gets a copy."""
LARGEST_END_SHARE = 0.25
"""The largest part of the budget that is kept for it."""

CompileFor = Callable[[Sequence[Member], Sequence[Member], Callable[[], bool]], None]


@dataclass(slots=True)
class Runner:
    """Runs the members of a portfolio on one problem.

    Parameters
    ----------
    problem
        The original problem.
    members
        In the order in which they should start.
    options
        Limits and targets.
    start
        A partition to start from beside the balanced one.
    on_change
        Called after every report with the board and the label and words of who spoke; for live displays.
    interrupted
        Polled; once true the run ends and keeps what it has.
    compile_for
        Called before members start, with these, with those that may start next, and with a question to ask from time
        to time: whether nobody waits any more. The clock stands meanwhile; members that run go on.
    """

    problem: Problem
    members: tuple[Member, ...]
    options: RunOptions
    start: Partition | None = None
    on_change: Callable[[Board, str, str], None] = lambda board, label, words: None
    interrupted: Callable[[], bool] = lambda: False
    compile_for: CompileFor = lambda now, soon, should_stop: None
    board: Board = field(init=False)
    _spaces: dict[str, tuple[Problem, SharedState]] = field(init=False, default_factory=dict)
    _running: dict[str, tuple[Member, MemberProcess]] = field(init=False, default_factory=dict)
    _reports: list[MemberReport] = field(init=False, default_factory=list)
    _reduced: Instance | None = field(init=False, default=None)
    _early: tuple[Member, ...] = field(init=False, default=())
    _ended: set[str] = field(init=False, default_factory=set)
    _clock: RunClock = field(init=False)
    _end_seconds: float = field(init=False, default=0.0)
    _start_seconds: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._clock = RunClock(self.options.started, self.options.budget)
        self.board = Board(self.problem, clock=self._clock)

    @property
    def deadline(self) -> float:
        """When members must have ended, on the clock of `time.monotonic`."""
        return self._clock.deadline - self._end_seconds

    def run(self) -> RunRecord:
        """Run until the gap is reached, every member has ended, the budget is spent, or the run is interrupted."""
        opened = time.monotonic()
        self._open_space("original", self.problem)
        self._start_from_scratch()
        if self._large:
            taken = time.monotonic() - opened
            self._end_seconds = min(END_FACTOR * taken, LARGEST_END_SHARE * self.options.budget)
            self._start_seconds = START_FACTOR * taken
        waiting = list(self.members)
        if self.options.presolve:
            presolve = Member(entry="", name=PRESOLVE, space="original", inline=self.problem.instance.n <= SMALL_NODES)
            self._early = self._before_presolve()
            waiting = [*self._early, presolve, *waiting]
        termination: Termination | None = None
        try:
            self._run_inline(waiting)
            while (termination := self._why_stop(waiting)) is None:
                self._start_members(waiting)
                self._wait()
                self._ended |= self._collect()
        finally:
            self._stop_members()
        return RunRecord(
            termination=termination or Termination(reason=Reason.INTERRUPTED),
            members=tuple(self._reports),
            seconds=self._clock(),
            reduced=self._reduced,
        )

    @property
    def _large(self) -> bool:
        return self.problem.instance.n >= LARGE_NODES

    def _before_presolve(self) -> tuple[Member, ...]:
        """Return what need not wait for presolve to end: on a large instance, a copy of the first member."""
        first = next((member for member in self.members if member.space == "reduced"), None)
        if first is None or not self._large or len(self.members) == 1:
            return ()
        return (replace(first, name=f"{first.label} (unreduced)", space="original", after=()),)

    def _would_repeat(self, member: Member) -> bool:
        """Whether a member would do again what one did that did not wait for presolve: nothing was reduced."""
        unreduced = self._reduced is None or self._reduced.n == self.problem.instance.n
        return PRESOLVE in self._ended and unreduced and any(member.entry == early.entry for early in self._early)

    def _open_space(self, name: str, problem: Problem) -> None:
        self._spaces[name] = (problem, SharedState(problem.instance.n))

    def _start_from_scratch(self) -> None:
        """Have both sides of the interval from the first moment, without a single kernel."""
        certificate = Certificate(kind=SIMPLE, data={}, instance=self.problem.instance.sha256())
        self.board.report_dual(
            simple_bound(self.problem), source=SIMPLE, soundness=Soundness.EXACT, certificate=certificate
        )
        partition = balanced_partition(self.problem)
        if obeys(self.problem, partition) and self.board.report_partition(partition, source="balanced"):
            self._publish(partition)
        if self.start is not None and self.board.report_partition(self.start, source="start"):
            self._publish(self.start)

    def _run_inline(self, waiting: list[Member]) -> None:
        """Run in this process what takes milliseconds there: where it settles the run, no other process is needed."""
        for member in [member for member in waiting if member.inline]:
            waiting.remove(member)
            if self._settled() is not None:
                continue
            if not member.suits(self.board.interval.relative_gap):
                self._leave_out(member)
                continue
            job, shared = self._job(member)
            started = time.monotonic()
            reports: list[wire.Report] = []
            end = run_inline(replace(job, memory_bytes=None), shared, reports.append, self.interrupted)
            self._take_in(member, reports)
            self._ended.add(member.label)
            self._note(member, time.monotonic() - started, end.termination, end.details)

    def _why_stop(self, waiting: list[Member]) -> Termination | None:
        settled = self._settled()
        if settled is not None:
            return settled
        if time.monotonic() >= self.deadline - (0.0 if self._running else self._start_seconds):
            return Termination(reason=Reason.LIMIT, limit=Limit.TIME)
        if not waiting and not self._running:
            return Termination(reason=Reason.FINISHED, detail="every member has ended")
        return None

    def _settled(self) -> Termination | None:
        """Return why the run ends, the time aside."""
        interval = self.board.interval
        if self.interrupted():
            return Termination(reason=Reason.INTERRUPTED)
        if interval.closed:
            return Termination(reason=Reason.OPTIMAL)
        if self.board.infeasible:
            return Termination(reason=Reason.INFEASIBLE, detail="no partition obeys the constraints")
        gap = interval.relative_gap
        if gap is not None and gap <= self.options.gap:
            return Termination(reason=Reason.LIMIT, limit=Limit.GAP, detail=f"relative gap {gap:.3g}")
        cutoff = self.options.cutoff
        if cutoff is not None and interval.dual is not None and interval.dual >= cutoff:
            return Termination(reason=Reason.LIMIT, limit=Limit.CUTOFF, detail="nobody asks for what costs as much")
        return None

    def _start_members(self, waiting: list[Member]) -> None:
        names = {member.label for member in waiting} | set(self._running)
        open_names = names - self._ended
        busy = sum(member.threads for member, _ in self._running.values())
        ready: list[Member] = []
        for member in list(waiting):
            if member not in self._early and self._would_repeat(member):
                waiting.remove(member)
                continue
            blocked = any(name in open_names for name in member.after)
            if member.label != PRESOLVE and member not in self._early and PRESOLVE in open_names:
                blocked = True
            if blocked or (busy and busy + member.threads > self.options.workers):
                continue
            if not member.suits(self.board.interval.relative_gap):
                waiting.remove(member)
                self._leave_out(member)
                # Those after it may start right away.
                open_names.discard(member.label)
                continue
            busy += member.threads
            ready.append(member)
        if not ready:
            return
        self._stand_while_compiling(ready, waiting)
        if self._settled() is None:
            for member in ready:
                waiting.remove(member)
                self._start(member)

    def _leave_out(self, member: Member) -> None:
        gap = self.board.interval.relative_gap
        words = "no partition is known" if gap is None else f"the gap is {100 * gap:.3g}%"
        self._note(member, 0.0, Termination(reason=Reason.FINISHED, detail=f"left out: {words}"), {})

    def _stand_while_compiling(self, ready: list[Member], waiting: list[Member]) -> None:
        """Have compiled what members need that are ready, and what the next two levels of members will need."""
        labels = {member.label for member in ready}
        soon: list[Member] = []
        for _ in range(_LOOKAHEAD):
            later = [member for member in waiting if member.label not in labels]
            open_names = {member.label for member in later}
            level = [member for member in later if not open_names.intersection(member.after)]
            soon += level
            labels |= {member.label for member in level}
        with self._clock.standing():
            self.compile_for(ready, soon, self._nobody_waits)

    def _nobody_waits(self) -> bool:
        """Take in reports of members that run meanwhile; return whether the run is over."""
        self._ended |= self._collect()
        return self._settled() is not None

    def _job(self, member: Member) -> tuple[Job, SharedState]:
        problem, shared = self._spaces.get(member.space, self._spaces["original"])
        now = time.monotonic()
        job = Job(
            entry=member.entry,
            problem=problem,
            deadline=min(self.deadline, now + self._seconds_of(member, now)),
            seed=self.options.seed,
            threads=member.threads,
            plugin_files=python_files(self.options.plugin_files),
            memory_bytes=self.options.memory_bytes or default_memory_bytes(self.options.workers),
        )
        return job, shared

    def _start(self, member: Member) -> None:
        job, shared = self._job(member)
        try:
            self._running[member.label] = (member, MemberProcess(member.label, job, shared))
        except Exception as error:
            fault = Termination(reason=Reason.FAULT, detail=f"could not start: {type(error).__name__}: {error}")
            self._note(member, 0.0, fault, {})

    def _seconds_of(self, member: Member, now: float) -> float:
        if member.label == PRESOLVE and self._large:
            return LARGE_PRESOLVE_SHARE * (self.deadline - now)
        return member.share * self.options.budget

    def _wait(self) -> None:
        handles: list[int] = []
        for _, process in self._running.values():
            handles += [process.sentinel] if process.inbox.closed else [process.inbox.descriptor, process.sentinel]
        left = max(0.0, self.deadline - time.monotonic())
        if handles:
            wait(handles, timeout=min(POLL_SECONDS, left))

    def _collect(self) -> set[str]:
        """Take in reports, end members that are over a limit, and return the labels of those that ended."""
        ended = set()
        for label, (member, process) in list(self._running.items()):
            alive = process.alive
            reports = process.inbox.receive()
            self._take_in(member, reports)
            process.note_end(reports)
            if not alive:
                self._take_in(member, process.finish())
                self._file(member, process)
                ended.add(label)
            elif time.monotonic() > process.job.deadline + GRACE_SECONDS:
                process.kill("did not end at its deadline, and was ended")
            elif process.job.memory_bytes and process.resident_bytes() > 1.25 * process.job.memory_bytes:
                process.kill(f"held more than its {process.job.memory_bytes / 2**20:.0f} MiB, and was ended")
        return ended

    def _take_in(self, member: Member, reports: list[wire.Report]) -> None:
        for report in reports:
            words = ""
            if isinstance(report, wire.DualReport):
                self.board.report_dual(
                    self._in_original(member, report.value),
                    source=member.label,
                    soundness=report.soundness,
                    certificate=report.certificate,
                )
            elif isinstance(report, wire.PartitionReport):
                self._take_partition(member, report)
            elif isinstance(report, wire.ReducedReport):
                self._reduced = report.instance
                self._open_space("reduced", Problem(instance=report.instance, stages=self.problem.stages))
                words = f"{counted(report.details['nodes_before'], 'node')} reduced to {report.instance.n}"
            elif isinstance(report, wire.ProgressReport):
                words = report.text
            self._publish()
            self.on_change(self.board, member.label, words)

    def _in_original(self, member: Member, value: int) -> int:
        """Return a dual bound of a member's space as one of the problem.

        They are the same, but what no stage of the reduced instance can cost more than is less there: a bound above it
        says that no partition obeys, and has to say so of the problem.
        """
        instance = self._spaces.get(member.space, self._spaces["original"])[0].instance
        if instance.stage_limit is not None and value > instance.largest_cost:
            return max(value, self.problem.instance.largest_cost + 1)
        return value

    def _take_partition(self, member: Member, report: wire.PartitionReport) -> None:
        stages = report.stage_of
        if member.space == "reduced" and self._reduced is not None:
            if stages.shape != (self._reduced.n,):
                self.board.rejected.append(
                    (member.label, f"a partition of {stages.shape}, not {self._reduced.n} nodes")
                )
                return
            stages = stages[self._reduced.node_of_input]
        if self.board.report_partition(Partition(stage_of=stages), source=member.label):
            self._publish(Partition(stage_of=stages))

    def _publish(self, partition: Partition | None = None) -> None:
        interval = self.board.interval
        for name, (problem, shared) in self._spaces.items():
            if partition is not None:
                mapped = partition if name == "original" else project(partition, problem.instance)
                if mapped is not None:
                    shared.publish_partition(mapped.stage_of)
            shared.publish(interval.dual, interval.incumbent)

    def _file(self, member: Member, process: MemberProcess) -> None:
        del self._running[member.label]
        termination = process.termination or Termination(reason=Reason.FAULT, detail="unknown")
        if process.was_terminated and self.interrupted():
            # A SIGTERM to the whole process group reaches members as well.
            termination = Termination(reason=Reason.INTERRUPTED, detail="ended with the run")
        seconds = time.monotonic() - process.started
        self._note(member, seconds, termination, process.details, process.peak_bytes)

    def _note(
        self,
        member: Member,
        seconds: float,
        termination: Termination,
        details: dict[str, Any],
        peak_bytes: int | None = None,
    ) -> None:
        """Keep how a member fared: by a fault, if it claimed too much."""
        if member.label in self.board.quarantined:
            detail = "claimed a dual bound above a verified incumbent; all its bounds are dropped"
            termination = Termination(reason=Reason.FAULT, detail=detail)
        self._reports.append(
            MemberReport(
                name=member.label,
                entry=member.entry or PRESOLVE,
                seconds=seconds,
                termination=termination,
                details=details,
                peak_bytes=peak_bytes,
            )
        )

    def _stop_members(self) -> None:
        """Ask members to end, take their last reports for a short while, then end them."""
        for _, shared in self._spaces.values():
            shared.cancel()
        settled = self.board.interval.closed or self.board.infeasible
        patience = time.monotonic() + (0.0 if settled else GRACE_SECONDS)
        while self._running and time.monotonic() < patience:
            self._wait_briefly()
            self._collect()
        for _, process in self._running.values():
            process.kill("")
        for member, process in list(self._running.values()):
            process.termination = process.termination or Termination(
                reason=Reason.INTERRUPTED, detail="ended with the run"
            )
            self._take_in(member, process.finish())
            self._file(member, process)

    def _wait_briefly(self) -> None:
        wait([process.sentinel for _, process in self._running.values()], timeout=0.02)
