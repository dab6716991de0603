"""Seconds of the kernels that walk through lattices, in two checkouts, by ratio within one run.

    python scripts/benchmarks/kernels.py OTHER_CHECKOUT [--repeats 15]

`advance` is a decision of `ideal-dp`, `walk` one of `core-fluid` with a third of the nodes as fluid, `expand` the
enumeration of all ideals; each on three lattices. Both checkouts keep a process of their own. They take turns, and the
best CPU seconds of each count: other programs on the machine do not change the ratio much. Thresholds are just below
what is feasible, where a decision walks most; answers and steps must be the same.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

KERNELS = ("expand", "advance", "walk")
HERE = Path(__file__).parents[2]
LATTICES = {"4 chains of 18": (4, 18, 3), "3 chains of 45": (3, 45, 3), "6 chains of 6": (6, 6, 2)}
"""Chains, their length, and how far the tensors of a chain reach."""


def main() -> None:
    """Ask both checkouts in turn and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--kernels", nargs="+", choices=KERNELS, default=KERNELS)
    parser.add_argument("--lattices", nargs="+", choices=LATTICES, default=list(LATTICES))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sides = [_start(place.resolve(), folder) for place in (HERE, arguments.other)]
        print(f"{'kernel':<10}{'lattice':<18}{'steps':>12}{'here s':>9}{'other s':>9}{'ratio':>8}")
        for kernel in arguments.kernels:
            for lattice in arguments.lattices:
                found = [[_ask(side, kernel, lattice) for side in sides] for _ in range(arguments.repeats + 1)][1:]
                if len({json.dumps(answer[1:]) for pair in found for answer in pair}) > 1:
                    sys.exit(f"{kernel} on {lattice}: the answers differ")
                here, other = (min(pair[side][0] for pair in found) for side in (0, 1))
                steps = found[0][0][2]
                print(f"{kernel:<10}{lattice:<18}{steps:>12}{here:>9.4f}{other:>9.4f}{here / other:>8.3f}", flush=True)
        for side in sides:
            side.stdin.close()
            side.wait()


def _start(checkout: Path, folder: str) -> Any:
    """Start a process that runs this file with the sources of a checkout."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "PIPEBOUND_CACHE": folder, _WORKER: "1"}
    return subprocess.Popen(
        [sys.executable, __file__], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _ask(side: Any, kernel: str, lattice: str) -> list[Any]:
    side.stdin.write(json.dumps([kernel, lattice]) + "\n")
    side.stdin.flush()
    answer: list[Any] = json.loads(side.stdout.readline())
    return answer


def _serve() -> None:
    """Answer questions: CPU seconds, answer, steps."""
    cases: dict[tuple[str, str], Callable[[], tuple[bool, int]]] = {}
    for line in sys.stdin:
        kernel, lattice = json.loads(line)
        if (kernel, lattice) not in cases:
            cases[kernel, lattice] = _case(kernel, *LATTICES[lattice])
        started = time.process_time()
        answer, steps = cases[kernel, lattice]()
        print(json.dumps([time.process_time() - started, answer, steps]), flush=True)


def _case(kernel: str, chains: int, length: int, reach: int) -> Callable[[], tuple[bool, int]]:
    """Return what is measured: it gives an answer and the steps that it took."""
    import numpy as np

    from framework.model.instance import instance_from_lists
    from framework.structure.fluid.chain_dp import FluidSearch
    from framework.structure.fluid.core import build_core
    from framework.structure.ideals.chain_dp import ChainSearch
    from framework.structure.ideals.lattice import enumerate_ideals

    rng = np.random.default_rng(5)
    nodes = chains * length
    tensors = [
        (v, int(rng.integers(1, 9)), list(range(v + 1, min(v + reach, v - v % length + length))))
        for v in range(nodes)
        if v % length < length - 1
    ]
    tensors += [(v, 2, [v + length + 2]) for v in range(nodes - length) if v % length == 1]
    instance = instance_from_lists(
        rng.integers(5, 30, nodes).tolist(), tensors, parameter_cost=rng.integers(0, 9, nodes).tolist(), capacity=60
    )

    def never() -> bool:
        return False

    if kernel == "expand":

        def enumerate_all() -> tuple[bool, int]:
            lattice = enumerate_ideals(instance, max_ideals=10**6)
            return lattice.complete, len(lattice)

        return enumerate_all
    if kernel == "advance":
        search: Any = ChainSearch(instance, enumerate_ideals(instance, max_ideals=10**6))
    else:
        core = build_core(instance, rng.random(nodes) < 0.15)
        search = FluidSearch(core, enumerate_ideals(core.order, max_ideals=10**6))
    stages = 6
    low, high = instance.total_work // stages - 1, instance.total_work
    while high - low > 1:
        middle = (low + high) // 2
        if search.decide(stages, middle, never) is None:
            low = middle
        else:
            high = middle

    def decide() -> tuple[bool, int]:
        before = search.steps
        answer = search.decide(stages, low, never)
        return answer is None, search.steps - before

    return decide


_WORKER = "PIPEBOUND_KERNELS_WORKER"

if __name__ == "__main__":
    if os.environ.get(_WORKER):
        _serve()
    else:
        main()
