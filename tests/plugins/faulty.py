"""Entries that misbehave in every way a member can; loaded with --plugin by the tests of the runner."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from framework.bounds import Outcome, Reason, Soundness, Termination
from framework.contracts import Context, Feature
from framework.model.problem import Partition, Problem
from framework.registry import register_formulation

STARTED = "PIPEBOUND_TEST_STARTED"
"""Names a file that test-waits writes its process id to."""
FINISHED = Termination(reason=Reason.FINISHED)


@register_formulation("test-raises", features=[Feature.DUAL], summary="raises after a true bound")
@dataclass(frozen=True, slots=True, kw_only=True)
class Raises:
    def bound(self, problem: Problem, context: Context) -> Outcome:
        context.report_dual(1, Soundness.EXACT)
        raise RuntimeError("as planned")


@register_formulation("test-killed", features=[Feature.DUAL], summary="is killed after a true bound")
@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    def bound(self, problem: Problem, context: Context) -> Outcome:
        context.report_dual(2, Soundness.EXACT)
        os.kill(os.getpid(), signal.SIGKILL)
        return Outcome(termination=FINISHED)


@register_formulation("test-aborts", features=[Feature.DUAL], summary="aborts with words, as C++ does")
@dataclass(frozen=True, slots=True, kw_only=True)
class Aborts:
    def bound(self, problem: Problem, context: Context) -> Outcome:
        os.write(2, b"terminate called: as planned\n")
        os.abort()


@register_formulation("test-eats", features=[Feature.DUAL], summary="eats memory without end")
@dataclass(frozen=True, slots=True, kw_only=True)
class Eats:
    def bound(self, problem: Problem, context: Context) -> Outcome:
        context.report_dual(3, Soundness.EXACT)
        eaten = []
        while True:
            eaten.append(np.ones(1 << 22))


@register_formulation("test-hangs", features=[Feature.DUAL], summary="never looks at its deadline")
@dataclass(frozen=True, slots=True, kw_only=True)
class Hangs:
    def bound(self, problem: Problem, context: Context) -> Outcome:
        context.report_dual(4, Soundness.EXACT)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(60)


@register_formulation("test-stops", features=[Feature.DUAL], summary="stops itself in the middle of a report")
@dataclass(frozen=True, slots=True, kw_only=True)
class Stops:
    def bound(self, problem: Problem, context: Context) -> Outcome:
        context.report_dual(5, Soundness.EXACT)
        os.kill(os.getpid(), signal.SIGSTOP)
        return Outcome(termination=FINISHED)


@register_formulation("test-lies", features=[Feature.DUAL], summary="claims what cannot be")
@dataclass(frozen=True, slots=True, kw_only=True)
class Lies:
    wait: float = 0.0

    def bound(self, problem: Problem, context: Context) -> Outcome:
        time.sleep(self.wait)
        context.report_dual(1 << 50, Soundness.EXACT)
        return Outcome(termination=FINISHED)


@register_formulation("test-misplaces", features=[Feature.PRIMAL], summary="reports an invalid partition")
@dataclass(frozen=True, slots=True, kw_only=True)
class Misplaces:
    def bound(self, problem: Problem, context: Context) -> Outcome:
        stages = np.zeros(problem.instance.n, np.int64)
        stages[0] = problem.stages + 5
        context.report_partition(Partition(stage_of=stages))
        return Outcome(termination=FINISHED)


@register_formulation("test-waits", features=[Feature.DUAL], summary="waits for the end, politely")
@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    def bound(self, problem: Problem, context: Context) -> Outcome:
        if path := os.environ.get(STARTED):
            Path(path).write_text(str(os.getpid()), encoding="utf-8")
        while not context.should_stop():
            time.sleep(0.01)
        return Outcome(termination=Termination(reason=Reason.INTERRUPTED))
