"""The member's side: one entry, mostly in a process of its own with a memory limit, reporting as it goes."""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from framework.bounds import Certificate, Limit, Outcome, Reason, Soundness, Termination
from framework.contracts import run_and_report
from framework.model.problem import Partition, Problem
from framework.portfolio.processes import wire
from framework.portfolio.processes.shared_state import SharedState
from framework.signals import leave_to_parent


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """Everything a member's process needs to know.

    Attributes
    ----------
    entry
        Entry spec; empty for the presolve job.
    problem
        The problem in the member's space.
    deadline
        On the clock of `time.monotonic`, which all processes of a machine share.
    plugin_files
        Files to load before the entry is looked up.
    memory_bytes
        Limit on the private memory of the process on top of what it has at start; None for no limit.
    """

    entry: str
    problem: Problem
    deadline: float
    seed: int
    threads: int
    plugin_files: tuple[str, ...]
    memory_bytes: int | None


@dataclass(slots=True)
class WorkerContext:
    """A `framework.contracts.Context` at the member's side.

    Parameters
    ----------
    send
        Takes the reports.
    interrupted
        Whether the user asked the run to end, where the member has to look for itself.
    """

    job: Job
    shared: SharedState
    send: Callable[[wire.Report], None]
    interrupted: Callable[[], bool] = lambda: False
    _last_dual: tuple[int, bool] = field(init=False, default=(-1, False))

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self.job.seed

    @property
    def threads(self) -> int:
        """Threads this member may use."""
        return self.job.threads

    @property
    def dual(self) -> int | None:
        """Best dual bound of the run, in ticks."""
        return self.shared.dual

    @property
    def incumbent(self) -> int | None:
        """Best incumbent of the run, in ticks."""
        return self.shared.incumbent

    def best_partition(self) -> Partition | None:
        """Return the best partition known in this member's space."""
        stages = self.shared.partition()
        return None if stages is None else Partition(stage_of=stages)

    def remaining(self) -> float:
        """Return the seconds left."""
        return max(0.0, self.job.deadline - time.monotonic())

    def should_stop(self) -> bool:
        """Whether the time is up, the run was cancelled, or the gap is closed."""
        if self.shared.cancelled or self.remaining() <= 0 or self.interrupted():
            return True
        dual, incumbent = self.shared.dual, self.shared.incumbent
        return dual is not None and incumbent is not None and dual >= incumbent

    def report_dual(self, value: int, soundness: Soundness, certificate: Certificate | None = None) -> None:
        """Send a lower bound, unless this member has sent one at least as good; one that can be checked is better."""
        worth = int(value), certificate is not None
        if worth > self._last_dual:
            self._last_dual = worth
            self.send(wire.DualReport(int(value), soundness, certificate))

    def report_partition(self, partition: Partition) -> None:
        """Send a partition."""
        self.send(wire.PartitionReport(partition.stage_of))

    def progress(self, message: str) -> None:
        """Send a few words."""
        self.send(wire.ProgressReport(message))


def run_job(job: Job, shared: SharedState, pipe: int) -> None:
    """Run the entry of a job, or presolve, in a process of its own, and report how it ended."""

    def send(report: wire.Report) -> None:
        wire.send(pipe, report)

    send(_attempt(job, WorkerContext(job, shared, send), traceback.print_exc))


def run_inline(
    job: Job, shared: SharedState, send: Callable[[wire.Report], None], interrupted: Callable[[], bool]
) -> wire.EndReport:
    """Run the entry of a job, or presolve, in the process of the run; return how it ended."""
    return _attempt(job, WorkerContext(job, shared, send, interrupted), lambda: None)


def _attempt(job: Job, context: WorkerContext, show_error: Callable[[], None]) -> wire.EndReport:
    try:
        _limit_memory(job.memory_bytes)
        outcome = _run_presolve(job, context) if not job.entry else _run_registered(job, context)
        termination, details = outcome.termination, dict(outcome.details)
    except MemoryError:
        limit = f"{(job.memory_bytes or 0) / 2**20:.0f} MiB"
        termination, details = Termination(reason=Reason.FAULT, detail=f"out of memory (limit {limit})"), {}
    except (Exception, SystemExit) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error} ({os.path.basename(last.filename)}:{last.lineno})"
        termination, details = Termination(reason=Reason.FAULT, detail=text), {}
        show_error()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return wire.EndReport(termination, details, peak)


def _run_registered(job: Job, context: WorkerContext) -> Outcome:
    from framework.registry import load_plugin_file, load_plugins, registry

    load_plugins()
    for path in job.plugin_files:
        load_plugin_file(path)
    entry = registry.create(job.entry)
    problem = registry.problem_for(entry, job.problem)
    return run_and_report(entry, problem, context)


def _run_presolve(job: Job, context: WorkerContext) -> Outcome:
    from framework.structure.reduction.dominance import reduce_exact

    before = job.problem.instance
    reduced = reduce_exact(before, should_stop=context.should_stop, load_kernels=False)
    details = {"nodes": reduced.n, "tensors": reduced.m, "nodes_before": before.n, "tensors_before": before.m}
    if context.should_stop():
        # A reduction cut short is valid, but nobody could make it again to check certificates against it.
        return Outcome(termination=Termination(reason=Reason.LIMIT, limit=Limit.TIME), details=details)
    context.send(wire.ReducedReport(reduced, details))
    return Outcome(termination=Termination(reason=Reason.FINISHED), details=details)


def _limit_memory(memory_bytes: int | None) -> None:
    if memory_bytes is None or not sys.platform.startswith("linux"):
        return
    with open("/proc/self/statm") as statm:
        data_pages = int(statm.read().split()[5])
    limit = data_pages * resource.getpagesize() + memory_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def enter_process(pipe: int) -> None:
    """Set a fresh member process up: Ctrl-C and hang-ups are the runner's business, and it dies with the runner.

    Its parent is the fork server, which outlives a runner that is killed as long as a member lives. So a thread waits
    for the other end of the pipe to vanish; only the runner holds that end.
    """
    leave_to_parent()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_reader, args=(pipe,), daemon=True).start()
    if sys.platform.startswith("linux"):
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _end_with_reader(pipe: int) -> None:
    """Wait until nobody can read the pipe any more, then end the process at once."""
    waiting = select.poll()
    waiting.register(pipe, 0)
    waiting.poll()
    os.kill(os.getpid(), signal.SIGKILL)
