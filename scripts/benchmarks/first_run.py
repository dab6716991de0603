"""What the first run costs: `solve` and `warm` with an empty cache, and once more.

Usage: python scripts/benchmarks/first_run.py [GRAPH]

Prints wall seconds and CPU seconds of all processes together, and the first run as a multiple of the second. Compare
CPU seconds: other programs on the machine change the wall seconds.
"""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
import tempfile
import time

from framework.kernel_cache import NUMBA_VARIABLE, VARIABLE

_SUBREAPER = 36


def measure(command: list[str], folder: str) -> tuple[float, float]:
    """Run a command with its cache in a folder; return wall and CPU seconds, of daemons that it leaves too."""
    environment = {name: value for name, value in os.environ.items() if name != NUMBA_VARIABLE} | {VARIABLE: folder}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "framework", *command], env=environment, stdout=subprocess.DEVNULL, check=True
    )
    wall = time.monotonic() - started
    # The fork server ends by itself, and is then a child of this process.
    while True:
        try:
            os.wait()
        except ChildProcessError:
            break
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure both commands twice, each pair from an empty folder."""
    graph = sys.argv[1] if len(sys.argv) > 1 else "testbed:inception_v1"
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    print(f"{'command':<34}{'run':>6}{'wall s':>9}{'CPU s':>9}{'ratio':>8}")
    for command in (["solve", graph, "-k", "4"], ["warm"]):
        with tempfile.TemporaryDirectory() as folder:
            first = measure(command, folder)
            second = measure(command, folder)
        for run, (wall, cpu) in (("first", first), ("second", second)):
            print(f"{' '.join(command):<34}{run:>6}{wall:>9.1f}{cpu:>9.1f}{cpu / second[1]:>8.1f}", flush=True)


if __name__ == "__main__":
    main()
