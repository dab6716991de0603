"""Seconds of the kernels that take records of arrays, in two checkouts, by ratio within one run.

    python scripts/benchmarks/kernels.py OTHER_CHECKOUT [--repeats 15]

Each is measured on three instances:

* `advance` is a decision of `ideal-dp`, `walk` one of `core-fluid` with a third of the nodes as fluid, `expand` the
  enumeration of all ideals. Thresholds are just below what is feasible, where a decision walks most.
* `price` is a proof of `stage-cover` by branch and bound, `verify` the check of its record, `grow` the greedy search
  for stages; `weigh` is a threshold that `counting` tries.
* `survey` is the search for violated rows of `spreading-metric`.
* `capacities` and `probe` set the capacities of `nested-cuts` and try its choices.
* `flow` is a maximum flow from chain to chain; `order` the greedy minimum cut order; `reduce_width` the greedy width
  reduction; `layout` lays an instance out along an order, `slice` finds the best slicing; `place` rounds what `core-
  fluid` finds.
* `pair`, `dominate` and `exchange` find nodes to contract and branches to put in order. Like `flow` up to `anneal`,
  they work on several copies of the instance side by side.

Both checkouts keep a process of their own. They take turns, and the best CPU seconds of each count: other programs on
the machine do not change the ratio much. Answers and steps must be the same.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from kernel_cases import INSTANCES, KERNELS, Case, instance_of

HERE = Path(__file__).parents[2]


def main() -> None:
    """Ask both checkouts in turn and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--kernels", nargs="+", choices=KERNELS, default=list(KERNELS))
    parser.add_argument("--instances", nargs="+", choices=INSTANCES, default=list(INSTANCES))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sides = [_start(place.resolve(), folder) for place in (HERE, arguments.other)]
        print(f"{'kernel':<12}{'instance':<18}{'steps':>12}{'here s':>9}{'other s':>9}{'ratio':>8}")
        for kernel in arguments.kernels:
            for name in arguments.instances:
                found = [[_ask(side, kernel, name) for side in sides] for _ in range(arguments.repeats + 1)][1:]
                if len({json.dumps(answer[1:]) for pair in found for answer in pair}) > 1:
                    sys.exit(f"{kernel} on {name}: the answers differ")
                here, other = (min(pair[side][0] for pair in found) for side in (0, 1))
                steps = found[0][0][2]
                print(f"{kernel:<12}{name:<18}{steps:>12}{here:>9.4f}{other:>9.4f}{here / other:>8.3f}", flush=True)
        for side in sides:
            side.stdin.close()
            side.wait()


def _start(checkout: Path, folder: str) -> Any:
    """Start a process that runs this file with the sources of a checkout."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "PIPEBOUND_CACHE": folder, _WORKER: "1"}
    return subprocess.Popen(
        [sys.executable, __file__], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _ask(side: Any, kernel: str, name: str) -> list[Any]:
    side.stdin.write(json.dumps([kernel, name]) + "\n")
    side.stdin.flush()
    answer: list[Any] = json.loads(side.stdout.readline())
    return answer


def _serve() -> None:
    """Answer questions: CPU seconds, answer, steps."""
    cases: dict[tuple[str, str], Case] = {}
    for line in sys.stdin:
        kernel, name = json.loads(line)
        if (kernel, name) not in cases:
            cases[kernel, name] = KERNELS[kernel](kernel, instance_of(*INSTANCES[name]))
        started = time.process_time()
        answer, steps = cases[kernel, name]()
        print(json.dumps([time.process_time() - started, answer, steps]), flush=True)


_WORKER = "PIPEBOUND_KERNELS_WORKER"

if __name__ == "__main__":
    if os.environ.get(_WORKER):
        _serve()
    else:
        main()
