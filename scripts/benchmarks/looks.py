"""The longest CPU time that entries let pass between two looks at the clock: by so much they may overrun.

    python scripts/benchmarks/looks.py [--budget 6] [--stages 8] [--entries core-fluid fixing ...] GRAPH ...

Each entry runs alone, in a process of its own, on the graph as it stands, with so many CPU seconds; what it needs is
compiled first. CPU time is what counts, so that the load of the machine does not matter. `late` is the CPU time after
the deadline; gaps of more than `--least` seconds are listed with the places that looked before and after.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback

from framework.bounds import Certificate, Soundness
from framework.contracts import run_and_report
from framework.formats import read_graph
from framework.model.device import DEFAULT_DEVICE, load_device
from framework.model.graph import PhysicalCosts
from framework.model.pricing import price
from framework.model.problem import Partition, Problem, bottleneck
from framework.portfolio.precompile import compile_one
from framework.registry import Kind, load_plugins, registry
from framework.structure.primal.initial_interval import balanced_partition, simple_bound

SHOWN = 3
WALL = 20
"""Wall-clock seconds for each CPU second, at most: solvers in processes of their own use none of this one's."""


class Watch:
    """A context that counts CPU seconds, and notes how long nobody looks."""

    seed, threads = 0, 1

    def __init__(self, problem: Problem, budget: float, least: float) -> None:
        self._problem, self._least = problem, least
        self.dual, self._best = simple_bound(problem), balanced_partition(problem)
        self.incumbent = bottleneck(problem, self._best)
        self.gaps: list[tuple[float, str, str]] = []
        self._place = "the start"
        self._last = time.process_time()
        self.end, self._wall = self._last + budget, time.monotonic() + WALL * budget

    def look(self) -> None:
        now = time.process_time()
        frames = traceback.extract_stack(limit=4)[:-2] if now - self._last > self._least else []
        caller = sys._getframe(1).f_back or sys._getframe(1)
        place = f"{os.path.basename(caller.f_code.co_filename)}:{caller.f_lineno}"
        if frames:
            path = " < ".join(f"{os.path.basename(frame.filename)}:{frame.lineno}" for frame in reversed(frames))
            self.gaps.append((now - self._last, self._place, path))
        self._place, self._last = place, time.process_time()

    def remaining(self) -> float:
        self.look()
        return max(0.0, min(self.end - time.process_time(), self._wall - time.monotonic()))

    def should_stop(self) -> bool:
        return self.remaining() <= 0 or self.dual >= self.incumbent

    def best_partition(self) -> Partition:
        return self._best

    def report_dual(self, value: int, soundness: Soundness, certificate: Certificate | None = None) -> None:
        self.dual = max(self.dual, value)

    def report_partition(self, partition: Partition) -> None:
        value = bottleneck(self._problem, partition)
        if value < self.incumbent:
            self.incumbent, self._best = value, partition

    def progress(self, message: str) -> None:
        """Nobody reads it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graphs", nargs="+")
    parser.add_argument("--budget", type=float, default=6.0)
    parser.add_argument("--stages", type=int, default=8)
    parser.add_argument("--least", type=float, default=0.4)
    parser.add_argument("--entries", nargs="*")
    arguments = parser.parse_args()
    load_plugins()
    names = arguments.entries or [entry.name for entry in registry.entries() if entry.kind is not Kind.PORTFOLIO]
    for path in arguments.graphs:
        graph = read_graph(path)
        device = load_device(DEFAULT_DEVICE) if isinstance(graph.costs, PhysicalCosts) else None
        problem = Problem(instance=price(graph, device), stages=arguments.stages)
        print(f"{path}: {problem.instance.n} nodes, k = {arguments.stages}", flush=True)
        for name in names:
            child = os.fork()
            if not child:
                try:
                    measure(name, problem, arguments.budget, arguments.least)
                except Exception:
                    traceback.print_exc()
                sys.stdout.flush()
                os._exit(0)
            os.waitpid(child, 0)


def measure(name: str, problem: Problem, budget: float, least: float) -> None:
    """Run an entry and print its line."""
    compile_one(name)
    entry = registry.create(name)
    problem = registry.problem_for(entry, problem)
    watch = Watch(problem, budget, least)
    termination = run_and_report(entry, problem, watch).termination
    watch.look()
    late = time.process_time() - watch.end
    print(f"  {name:20} late {late:+6.2f}  {termination.reason.value} {termination.detail[:60]}")
    for seconds, before, after in sorted(watch.gaps, reverse=True)[:SHOWN]:
        print(f"    {seconds:.2f} s without a look, from {before} to {after}")


if __name__ == "__main__":
    main()
