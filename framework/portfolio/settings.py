"""What a caller of `solve` may choose, and what it lends to the run: one value each, handed on whole."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from framework.errors import UserError
from framework.model.device_chain import Devices
from framework.model.pricing import Quantised
from framework.portfolio.compilation import OnCompile, say_plainly
from framework.portfolio.context.board import Board
from framework.portfolio.records import GraphInput
from framework.portfolio.run_options import RunOptions
from framework.signals import Interrupt


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a graph is bounded and partitioned.

    Attributes
    ----------
    device
        What prices the graph: one device for every stage, or one for each; None for a graph that carries its prices.
    entry
        A registered portfolio, formulation or strategy, as ``name:param=value``; or formulations and strategies with
        commas between them, which run side by side.
    budget
        Seconds for everything but compilation.
    gap
        Relative gap at which to stop.
    seed
        Seed of every member.
    workers
        Processes at a time; None for the number of cores.
    memory_bytes
        Limit of each member; None for a fair share of the machine.
    presolve
        Whether to apply exact reductions first.
    plugin_files
        Files that register entries.
    """

    device: Devices | None = None
    entry: str = "default"
    budget: float = 30.0
    gap: float = 0.0
    seed: int = 0
    workers: int | None = None
    memory_bytes: int | None = None
    presolve: bool = True
    plugin_files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        amounts = (
            ("budget", self.budget, 0 < self.budget < math.inf, "a positive number of seconds"),
            ("gap", self.gap, 0 <= self.gap < math.inf, "a share such as 0.01"),
            ("workers", self.workers, self.workers is None or self.workers >= 1, "a number of processes"),
            (
                "memory_bytes",
                self.memory_bytes,
                self.memory_bytes is None or self.memory_bytes > 0,
                "a number of bytes",
            ),
        )
        for name, value, fits, wanted in amounts:
            if not fits:
                raise UserError(f"`{name}` is {value!r}", hint=f"give {wanted}")

    def options(self, started: float) -> RunOptions:
        """Return the limits and targets of a run that began at `started`, on the clock of `time.monotonic`."""
        return RunOptions(
            started=started,
            budget=self.budget,
            gap=self.gap,
            seed=self.seed,
            memory_bytes=self.memory_bytes,
            presolve=self.presolve,
            plugin_files=self.plugin_files,
            **({} if self.workers is None else {"workers": self.workers}),
        )


class Watcher(Protocol):
    """Told of a run while it lasts."""

    @property
    def on_compile(self) -> OnCompile | None:
        """As in a `Session`."""

    def __call__(self, board: Board, label: str, words: str) -> None:
        """Take a report: the board, who spoke, and their words."""


Watch = Callable[[str, int], AbstractContextManager[Watcher]]
"""Opens the watcher of a run, given its title and its number of stages."""


def _ignore(board: Board, label: str, words: str) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What surrounds a run: its clock, who watches it, who may end it, and what is known of its graph.

    Attributes
    ----------
    started
        Beginning of the run on the clock of `time.monotonic`; None for now.
    graph_input
        Where the graph came from, for the result file.
    priced
        What `check_runs` returned for the graph; None to price it.
    on_change
        Called with the board, who spoke, and their words after every report.
    on_compile
        Told how far it is when kernels are compiled, which happens once and is not part of the budget; None to leave
        that to the members, within the budget.
    interrupt
        Notes the signals that end the run; its watch begins once everything is checked.
    cutoff
        A dual bound, in ticks, at which to stop: nobody asks for partitions that cost as much. None for none.
    """

    started: float | None = None
    graph_input: GraphInput | None = None
    priced: Quantised | None = None
    on_change: Callable[[Board, str, str], None] = _ignore
    on_compile: OnCompile | None = say_plainly
    interrupt: Interrupt = field(default_factory=Interrupt)
    cutoff: int | None = None
