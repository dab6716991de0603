"""Entries for tests of studies: one that takes its time, one that takes its host down."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

from framework.bounds import Outcome, Reason, Termination
from framework.contracts import Context, Feature
from framework.model.problem import Problem
from framework.registry import register_formulation


@register_formulation("test-takes", features=[Feature.DUAL], summary="takes so many seconds, then ends")
@dataclass(frozen=True, slots=True, kw_only=True)
class Takes:
    seconds: float = 0.3
    tag: int = 0

    def bound(self, problem: Problem, context: Context) -> Outcome:
        time.sleep(self.seconds)
        return Outcome(termination=Termination(reason=Reason.FINISHED))


@register_formulation("test-kills-its-host", features=[Feature.DUAL], summary="kills every process of its host")
@dataclass(frozen=True, slots=True, kw_only=True)
class KillsItsHost:
    def bound(self, problem: Problem, context: Context) -> Outcome:
        os.killpg(0, signal.SIGKILL)
        return Outcome(termination=Termination(reason=Reason.FINISHED))
