"""Fuzz what reads a user's input: graphs of all formats, results, manifests, studies, stores, devices, texts.

    python scripts/fuzz.py --mutations 10000 --seed 0 --keep /tmp/findings
    python scripts/fuzz.py --replay /tmp/findings/000123-result

Each mutation runs in the process of a worker, under a limit of memory and time. A finding is a traceback, an exit code
that means nothing (other than 0, 1, 2, 3, 4, 130), a refusal of several lines, a hang, or a worker that died. Mutations
follow from the seed; results and stores are made anew, so the times within them differ. Exits with 1 on findings.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import resource
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from fuzz_inputs import ROOT, environment, make_inputs
from fuzz_surfaces import SURFACES, mutate, mutated_text, place

CODES = (0, 1, 2, 3, 4, 130)
TRACEBACK = "Traceback (most recent call last)"
STALE_AFTER = 500
"""A worker is replaced after so many mutations, so that what it holds on to does not count against a later one."""


def case_of(seed: int, index: int) -> tuple[Random, str]:
    """Return the random numbers and the surface of a mutation."""
    rng = Random(f"{seed}/{index}")
    names = list(SURFACES)
    return rng, rng.choices(names, [SURFACES[name].share for name in names])[0]


def commands_of(rng: Random, name: str, inputs: Path, folder: Path) -> tuple[list[str], list[list[str]], Path | None]:
    """Write a mutated input, and return the command that reads it, those that may follow, and its path."""
    if name == "texts":
        return mutated_text(rng), [], None
    surface = SURFACES[name]
    base = rng.choice(surface.bases)
    data = mutate(rng, surface, (inputs / base).read_bytes(), folder / "scratch")
    path = place(name, base, data, inputs, folder)
    then = rng.choice(surface.then) if surface.then and rng.random() < surface.often else ()
    return list(rng.choice(surface.commands)), [list(command) for command in then], path


def run_case(seed: int, index: int, inputs: Path, folder: Path) -> dict[str, Any]:
    """Run one mutation and say what became of it."""
    rng, name = case_of(seed, index)
    first, then, path = commands_of(rng, name, inputs, folder)
    kept = None if path is None else path.read_bytes()
    started = time.monotonic()
    code, detail, arguments = 0, "", first
    for arguments in (first, *then):
        filled = [
            word.replace("{dir}", str(folder)).replace("{in}", str(path)) if "{" in word else word for word in arguments
        ]
        code, detail = run_command(filled)
        if code != 0 or detail:
            break
    if detail and path is not None and kept is not None:
        path.write_bytes(kept)
    return {
        "index": index,
        "surface": name,
        "arguments": arguments if code or detail else first,
        "file": None if path is None else path.name,
        "accepted": code != 2,
        "finding": detail,
        "seconds": time.monotonic() - started,
    }


def run_command(arguments: list[str]) -> tuple[int, str]:
    """Run a command in this process; return its exit code, and what is wrong with how it ended, if anything is."""
    before = os.fstat(2).st_size if _is_file(2) else 0
    out, err = io.StringIO(), io.StringIO()
    code: int | str | None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = _dispatch(arguments)
        except SystemExit as stop:
            code = 0 if stop.code is None else stop.code if isinstance(stop.code, int) else str(stop.code)
        except BaseException:
            return 1, traceback.format_exc()
    said = err.getvalue()
    if _is_file(2):
        with open("/proc/self/fd/2", "rb") as file:
            file.seek(before)
            said += file.read().decode("utf-8", "replace")
    if TRACEBACK in said or TRACEBACK in out.getvalue():
        return 1, f"{out.getvalue()[-2000:]}\n{said[-6000:]}"
    if code not in CODES:
        return 1, f"exit code {code!r}\n{said[-3000:]}"
    if code == 2 and "Usage:" not in said and not re.fullmatch(r"[^\n]+\n", said.rpartition("\r")[2]):
        return 1, f"a refusal of several lines, or of none:\n{said[-3000:]}"
    return int(code), ""


def _is_file(descriptor: int) -> bool:
    import stat

    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _convert_once() -> None:
    """Let typer convert the commands once, not at every call."""
    import typer.main

    import framework.cli

    framework.cli.app = typer.main.get_command(framework.cli.app)  # type: ignore[assignment]


def _dispatch(arguments: list[str]) -> int:
    from framework.cli import run
    from framework.errors import UserError

    if not arguments[0].startswith("@"):
        sys.argv = ["pipebound", *arguments]
        return run()
    try:
        _read_by_library(arguments[0], Path(arguments[1]))
    except UserError as error:
        print(f"pipebound: {error}", file=sys.stderr)
        return 2
    return 0


def _read_by_library(kind: str, path: Path) -> None:
    from framework.deploy.split.manifest import read_manifest

    if kind == "@manifest":
        read_manifest(path.parent)
        return
    import networkx

    from framework.formats.networkx import from_networkx

    try:
        document = json.loads(path.read_bytes())
        graph = networkx.DiGraph()
        graph.add_nodes_from((node, attributes) for node, attributes in document["nodes"])
        graph.add_edges_from((tail, head) for tail, head in document["edges"])
        options = {key: document.get(key) for key in ("unit", "capacity")}
    except Exception:  # networkx itself refuses it, so no such graph can be given.
        return
    from_networkx(graph, **options)


def work(seed: int, inputs: Path, memory: int) -> None:
    """Run the mutations whose numbers come on standard input, and answer each with a line."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        os.dup2(log.fileno(), 1)
    os.chdir(inputs)
    sys.path.insert(0, str(ROOT))
    _convert_once()
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    for line in sys.stdin:
        folder = Path(tempfile.mkdtemp(prefix="case-", dir=inputs.parent))
        answer = run_case(seed, int(line), inputs, folder)
        answer["folder"] = str(folder)
        print(json.dumps(answer), file=answers, flush=True)


@dataclass
class Worker:
    """A process that runs mutations, one at a time."""

    process: subprocess.Popen[str]
    index: int | None = None
    since: float = 0.0
    done: int = 0

    def give(self, index: int) -> None:
        """Hand over a mutation."""
        assert self.process.stdin is not None
        self.index, self.since = index, time.monotonic()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{index}\n")
            self.process.stdin.flush()

    def end(self) -> None:
        """Kill the process and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class Tally:
    """What became of the mutations of one surface."""

    mutations: int = 0
    accepted: int = 0
    refused: int = 0
    seconds: float = 0.0
    findings: Counter[str] = field(default_factory=Counter)


class Driver:
    """Hands mutations to workers and collects what they found."""

    def __init__(self, options: argparse.Namespace, inputs: Path) -> None:
        self.options = options
        self.inputs = inputs
        self.tallies = {name: Tally() for name in SURFACES}
        self.suspects: deque[int] = deque()
        self.kinds: dict[str, list[int]] = {}
        self.done = 0

    def run(self) -> None:
        """Run all mutations; a hang is tried once more alone, with three times the time, before it counts."""
        first = self.options.first
        numbers = range(first, first + self.options.mutations)
        chosen = self.options.surface
        queue = deque(i for i in numbers if not chosen or case_of(self.options.seed, i)[1] in chosen)
        self._run_through(queue, self.options.workers, self.options.seconds)
        self._run_through(self.suspects, 1, 3 * self.options.seconds, last=True)

    def _run_through(self, queue: deque[int], workers: int, seconds: float, *, last: bool = False) -> None:
        selector = selectors.DefaultSelector()
        running = 0
        while queue or running:
            while queue and running < workers:
                running += self._start(selector, queue)
            for key, _ in selector.select(timeout=0.2):
                worker: Worker = key.data
                line = worker.process.stdout.readline() if worker.process.stdout else ""
                running -= not self._answered(selector, worker, line, queue)
            for key in list(selector.get_map().values()):
                worker = key.data
                if time.monotonic() - worker.since > seconds:
                    running -= 1
                    self._drop(selector, worker)
                    assert worker.index is not None
                    if last:
                        self._count_lost(worker.index, f"hang: no answer after {seconds:.0f} s")
                    else:
                        self.suspects.append(worker.index)

    def _start(self, selector: selectors.BaseSelector, queue: deque[int]) -> int:
        command = [sys.executable, __file__, "--work", str(self.inputs), "--seed", str(self.options.seed)]
        command += ["--memory", str(self.options.memory)]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=environment() | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "COLUMNS": "100"},
        )
        worker = Worker(process)
        worker.give(queue.popleft())
        selector.register(process.stdout, selectors.EVENT_READ, worker)  # type: ignore[arg-type]
        return 1

    def _answered(self, selector: selectors.BaseSelector, worker: Worker, line: str, queue: deque[int]) -> bool:
        """Take an answer; return whether the worker goes on."""
        assert worker.index is not None
        if not line:
            self._drop(selector, worker)
            self._count_lost(worker.index, f"the worker died ({worker.process.returncode})")
            return False
        answer = json.loads(line)
        self._count(answer)
        shutil.rmtree(answer["folder"], ignore_errors=True)
        worker.done += 1
        if not queue or worker.done >= STALE_AFTER:
            self._drop(selector, worker)
            return False
        worker.give(queue.popleft())
        return True

    def _drop(self, selector: selectors.BaseSelector, worker: Worker) -> None:
        selector.unregister(worker.process.stdout)  # type: ignore[arg-type]
        worker.end()

    def _count(self, answer: dict[str, Any]) -> None:
        tally = self.tallies[answer["surface"]]
        tally.mutations += 1
        tally.seconds += answer["seconds"]
        self.done += 1
        if self.done % 500 == 0:
            print(f"{self.done} mutations", file=sys.stderr, flush=True)
        if not answer["finding"]:
            tally.accepted += answer["accepted"]
            tally.refused += not answer["accepted"]
            return
        kind = _kind(answer["finding"])
        tally.findings[kind] += 1
        self.kinds.setdefault(f"{answer['surface']}: {kind}", []).append(answer["index"])
        if self.options.keep:
            kept = Path(self.options.keep) / f"{answer['index']:06d}-{answer['surface']}"
            kept.mkdir(parents=True, exist_ok=True)
            if answer["file"]:
                shutil.copy(Path(answer["folder"]) / answer["file"], kept / answer["file"])
            (kept / "case.json").write_text(json.dumps(answer, indent=1), encoding="utf-8")
            (kept / "finding.txt").write_text(answer["finding"], encoding="utf-8", errors="replace")

    def _count_lost(self, index: int, what: str) -> None:
        """Count a mutation that never answered; its input is made again, to be kept."""
        folder = Path(tempfile.mkdtemp(prefix="case-", dir=self.inputs.parent))
        rng, name = case_of(self.options.seed, index)
        first, then, path = commands_of(rng, name, self.inputs, folder)
        answer = {"index": index, "surface": name, "arguments": first, "then": then, "finding": what, "seconds": 0.0}
        self._count(answer | {"file": path.name if path else None, "accepted": False, "folder": str(folder)})

    def table(self) -> str:
        """Return what became of the mutations, by surface, and the kinds of findings."""
        lines = [f"{'input':24}{'mutations':>10}{'accepted':>10}{'refused':>10}{'findings':>10}{'s each':>10}"]
        rows = [*self.tallies.items()]
        total = Tally()
        for _, tally in rows:
            total.mutations += tally.mutations
            total.accepted += tally.accepted
            total.refused += tally.refused
            total.seconds += tally.seconds
            total.findings += tally.findings
        for name, tally in [*rows, ("all", total)]:
            numbers = (tally.mutations, tally.accepted, tally.refused, tally.findings.total())
            each = tally.seconds / max(1, tally.mutations)
            lines.append(f"{name:24}" + "".join(f"{number:>10}" for number in numbers) + f"{each:>10.3f}")
        for kind, found in sorted(self.kinds.items(), key=lambda item: -len(item[1])):
            lines.append(f"{len(found):>6} {kind} (first: {found[0]})")
        return "\n".join(lines)


def _kind(finding: str) -> str:
    """Return what a finding has in common with others: its error, and the line of this project that it came from."""
    frames = re.findall(r'File "[^"]*?((?:framework|formulations|strategies)/[^"]*)", line (\d+)', finding)
    last = next((line for line in reversed(finding.splitlines()) if line.strip()), "")
    if TRACEBACK not in finding:
        return finding.splitlines()[0][:120]
    return f"{last[:100]} at {frames[-1][0]}:{frames[-1][1]}" if frames else last[:120]


def replay(path: Path, memory: int) -> int:
    """Run a kept finding again in this process, and show what it says."""
    case = json.loads((path / "case.json").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as scratch:
        inputs, folder = Path(scratch) / "inputs", Path(scratch) / "case"
        inputs.mkdir()
        folder.mkdir()
        make_inputs(inputs)
        if case["file"]:
            target = place(case["surface"], case["file"], (path / case["file"]).read_bytes(), inputs, folder)
        os.chdir(inputs)
        sys.path.insert(0, str(ROOT))
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
        words = [word.replace("{dir}", str(folder)) for word in case["arguments"]]
        words = [word.replace("{in}", str(target)) if case["file"] else word for word in words]
        print("pipebound", *words)
        code = _dispatch(words)
        print(f"exit code {code}")
    return 0 if code in CODES else 1


def main() -> int:
    """Run the mutations and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutation")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--memory", type=int, default=3 * 10**9, help="bytes of data that a worker may hold")
    parser.add_argument("--seconds", type=float, default=60.0, help="time that a mutation may take")
    parser.add_argument("--surface", action="append", choices=SURFACES, help="only mutations of this kind of input")
    parser.add_argument("--keep", help="folder for the inputs of findings")
    parser.add_argument("--replay", type=Path, help="run a kept finding again, and show its traceback")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work is not None:
        work(options.seed, options.work, options.memory)
        return 0
    if options.replay is not None:
        return replay(options.replay, options.memory)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        inputs = Path(scratch) / "inputs"
        inputs.mkdir()
        make_inputs(inputs)
        driver = Driver(options, inputs)
        driver.run()
    print(driver.table())
    return 1 if driver.kinds else 0


if __name__ == "__main__":
    sys.exit(main())
