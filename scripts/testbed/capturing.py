"""Capture the candidates of one source, each in a process of its own with limits of time and memory.

    python scripts/testbed/capturing.py SOURCE --output FOLDER [--only NAME ...] [--again] [--seconds S]

Writes FOLDER/NAME.graph.json.xz for each graph and one line per candidate, in their order, to FOLDER/SOURCE.jsonl: what
is known of the graph, or the reason why there is none. Candidates that stand there already are not tried again unless
--again is given.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import deque
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

os.environ |= {"PYTORCH_JIT": "0", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
# No weights, no version checks: whatever asks the network is told at once that there is none.
os.environ |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")

import numpy
import stubs
import torch
from candidates import SOURCES, Candidate, candidates

from framework.errors import UserError
from framework.formats.native import write_native
from framework.formats.torch.reader import Capture, capture

SECONDS = 180
MEMORY = 10 << 30
FEWEST_NODES = 8
MOST_NODES = 30_000


def main() -> None:
    parser = argparse.ArgumentParser(description="Capture the candidates of one source.")
    parser.add_argument("source", choices=SOURCES)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--only", nargs="*", help="names of candidates")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start none after so long; exit with 3")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    parser.add_argument("--again", action="store_true", help="try also what stands in the log already")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    log = options.output / f"{options.source}.jsonl"
    rows = {} if options.again or not log.exists() else {row["name"]: row for row in read_log(log)}
    warnings.filterwarnings("ignore")
    stubs.install()
    torch.set_num_threads(1)
    pending = [
        candidate
        for candidate in candidates(options.source)
        if candidate.name not in rows and (not options.only or candidate.name in options.only)
    ]
    start = time.monotonic()
    running: deque[Attempt] = deque()
    while pending or running:
        is_late = time.monotonic() - start > options.seconds
        if pending and not is_late and len(running) < options.jobs:
            running.append(Attempt(pending.pop(0), options.source, options.output))
        elif running:
            row = running.popleft().finish()
            rows[row["name"]] = row
            with log.open("a", encoding="utf-8") as stream:
                print(json.dumps(row), file=stream)
            said = row.get("failure") or f"{row['nodes']} nodes, {row['seconds']:.1f} s"
            print(f"{row['name']}: {said}", flush=True)
        else:
            sys.exit(3)
    ordered = [rows[candidate.name] for candidate in candidates(options.source) if candidate.name in rows]
    log.write_text("".join(f"{json.dumps(row)}\n" for row in ordered), encoding="utf-8")


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a log."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class Attempt:
    """The capture of one candidate, under way in a child process."""

    def __init__(self, candidate: Candidate, source: str, output: Path) -> None:
        self._row: dict[str, Any] = {
            "name": candidate.name,
            "family": candidate.family,
            "task": candidate.task,
            "package": candidate.package,
            "source": source,
            "full": candidate.full,
        }
        self._start = time.monotonic()
        self._reader, writer = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            os.close(self._reader)
            _child(candidate, output, writer)
        os.close(writer)

    def finish(self) -> dict[str, Any]:
        """Wait for the end and return the candidate's row of the log."""
        with os.fdopen(self._reader, encoding="utf-8") as stream:
            said = stream.read()
        _, status = os.waitpid(self._child, 0)
        row = self._row
        if said:
            row |= json.loads(said)
        elif os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGALRM, signal.SIGXCPU):
            row["failure"] = f"not done in {SECONDS} s"
        else:
            row["failure"] = f"the process ended with status {status}"
        return row | {"seconds": round(time.monotonic() - self._start, 2)}


def _child(candidate: Candidate, output: Path, writer: int) -> None:
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        signal.alarm(SECONDS)
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        said = json.dumps(_capture(candidate, output))
    except BaseException as error:
        said = json.dumps({"failure": _reason(error)})
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        stream.write(said)
    os._exit(0)


def _capture(candidate: Candidate, output: Path) -> dict[str, Any]:
    attempt, result = _first_success(candidate)
    graph = result.graph
    if not FEWEST_NODES <= graph.topology.n <= MOST_NODES:
        raise UserError(f"{graph.topology.n} nodes", hint=f"wanted are {FEWEST_NODES} to {MOST_NODES}")
    write_native(graph, output / f"{candidate.name}.graph.json.xz")
    return {
        "nodes": graph.topology.n,
        "attempt": attempt,
        "sha256": graph.named_sha256(),
        "parameters": result.parameters,
        "module_bytes": result.module_bytes,
        "used_bytes": result.used_bytes,
        "guesses": dict(result.guesses),
        "left_out_flops": dict(result.left_out_flops),
        "unused": _largest(result.unused),
        "unused_bytes": sum(result.unused.values()),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }


def _first_success(candidate: Candidate) -> tuple[int, Capture]:
    version = metadata.version(candidate.package)
    first: Exception | None = None
    for attempt, inputs in enumerate(candidate.inputs):
        for seed in (random.seed, numpy.random.seed, torch.manual_seed):
            seed(0)
        try:
            return attempt, capture(
                candidate.build,
                inputs,
                name=candidate.name,
                source=f"{candidate.package} {version}",
                batch=candidate.batch,
                routed_share=candidate.routed_share,
            )
        except UserError as error:
            first = first or error
    assert first is not None
    raise first


def _largest(unused: Any) -> dict[str, int]:
    """Return the bytes of unused parameters by the first two parts of their names, the largest three."""
    groups: dict[str, int] = {}
    for name, size in unused.items():
        group = ".".join(name.split(".")[:2])
        groups[group] = groups.get(group, 0) + size
    return dict(sorted(groups.items(), key=lambda item: -item[1])[:3])


def _reason(error: BaseException) -> str:
    cause = error.__cause__ or error
    frames: Sequence[traceback.FrameSummary] = traceback.extract_tb(cause.__traceback__)
    inner = [frame for frame in frames if "site-packages" in frame.filename] or list(frames)
    place = f" ({Path(inner[-1].filename).name}:{inner[-1].lineno})" if inner else ""
    return " ".join(f"{type(cause).__name__}: {cause}".split())[:300] + place


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
