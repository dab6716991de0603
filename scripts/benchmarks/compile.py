"""CPU seconds that numba spends on each kernel: which are dear, and which are compiled in several versions.

Usage: python scripts/benchmarks/compile.py [NAME...]

NAME is an entry, or `reductions`; all of them by default. Everything is compiled in this process, from an empty folder.
The seconds of a kernel are its own: those of the kernels it calls are counted there. `versions` beyond one for Python
and one for other kernels mean that arguments come in several types.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import defaultdict
from typing import Any


def main() -> None:
    """Compile, and print a table, the dearest first."""
    from numba.core import event

    class Stopwatch(event.Listener):
        """Adds up own seconds of each kernel; compilations nest."""

        def __init__(self) -> None:
            self.open: list[list[float]] = []
            self.seconds: dict[str, list[float]] = defaultdict(list)

        def on_start(self, event: Any) -> None:
            self.open.append([time.process_time(), 0.0])

        def on_end(self, event: Any) -> None:
            started, inside = self.open.pop()
            whole = time.process_time() - started
            if self.open:
                self.open[-1][1] += whole
            function = event.data["dispatcher"].py_func
            self.seconds[f"{function.__module__}.{function.__name__}"].append(whole - inside)

    stopwatch = Stopwatch()
    event.register("numba:compile", stopwatch)
    from framework.portfolio.compilation import all_names
    from framework.portfolio.precompile import compile_one
    from framework.registry import load_plugins

    load_plugins()
    print(f"{'entry':<48}{'kernels':>9}{'CPU s':>9}")
    for name in sys.argv[1:] or all_names():
        started = time.process_time()
        count = compile_one(name)
        print(f"{name:<48}{count:>9}{time.process_time() - started:>9.2f}", flush=True)
    print(f"\n{'kernel':<48}{'versions':>9}{'CPU s':>9}")
    rows = sorted(stopwatch.seconds.items(), key=lambda row: -sum(row[1]))
    for kernel, seconds in rows:
        print(f"{kernel.removeprefix('framework.structure.'):<48}{len(seconds):>9}{sum(seconds):>9.2f}")
    versions = sum(len(seconds) for _, seconds in rows)
    print(f"{'all':<48}{versions:>9}{sum(map(sum, stopwatch.seconds.values())):>9.2f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ.pop("NUMBA_CACHE_DIR", None)
        os.environ["PIPEBOUND_CACHE"] = folder
        main()
