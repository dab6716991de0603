"""Fill, unite and check the records of the testbed (framework/testbed/data/records).

    python scripts/records.py fill --budget 10s --seconds 3600      run `default` on pairs that are missing or open
    python scripts/records.py fill --from-store STORE...            take what a study's store holds
    python scripts/records.py fill --from-result RESULT...          take result files of this project's own runs
    python scripts/records.py unite FOLDER                          take what is better in another folder of records
    python scripts/records.py verify [--sample 100 --seed 1]        price all partitions, or a sample, again
    python scripts/records.py pages                                 write docs/records.md and docs/records from them

`fill` runs pairs of the smallest graphs first (`--widest`: those with the widest gap), one core a pair, as many at a
time as there are cores. It starts from the recorded partition where there is one, verifies what comes out, lets the
independent checker replay its proof log, and saves each pair at once: kill it whenever you like, and start it again.
Pairs that are proven optimal are left out, and those that had a run with as large a budget before, unless `--again`.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import sys
import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from framework.errors import UserError
from framework.model.device import load_device
from framework.portfolio.portfolio_file import load_entries
from framework.portfolio.reading import read_result_document
from framework.records.considering import consider, current_records
from framework.records.files import FOLDER, all_records, read_records, recorded_names, records_path, write_records
from framework.records.improving import ContradictionError, united
from framework.records.offers import CHECK_SECONDS, Circumstances, Trust, name_of_graph
from framework.records.pair import DEVICE, STAGES, Evidence, GraphRecords, PairRecord
from framework.records.posing import PosedGraph, check_digest, faults_of_graph, faults_of_pair, pose, recordable_pairs
from framework.report.records.pages import area_pages, blocks
from framework.report.records.rows import record_rows
from framework.report.records.table import change_words
from framework.study.analysis.data import reading
from framework.study.code_version import code_version
from framework.study.local import LocalExecutor
from framework.study.task import Finished, Task
from framework.testbed.catalogue import bundled_graphs, subset_names
from framework.units import parse_seconds

DOCS = Path(__file__).resolve().parent.parent / "docs"
MOST_WAITING = 8
"""Results that may wait to be checked before the next run begins."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    fill = commands.add_parser("fill", help="run pairs, or take results")
    fill.add_argument("--budget", default="10s", help="time for each pair (10s)")
    fill.add_argument("--seconds", type=float, default=float("inf"), help="start no run after so many seconds")
    fill.add_argument("--subset", action="append", default=[], help="graphs of a subset; repeatable")
    fill.add_argument("--graph", action="append", default=[], help="a graph; repeatable")
    fill.add_argument("-k", type=int, action="append", default=[], help="a number of stages; repeatable")
    fill.add_argument("--entry", default="default", help="what to run (default)")
    fill.add_argument("--workers", type=int, default=1, help="cores of each run (1)")
    fill.add_argument("--jobs", type=int, default=None, help="runs at a time (as many as fit the cores)")
    fill.add_argument("--widest", action="store_true", help="pairs with the widest gap first")
    fill.add_argument("--open", action="store_true", help="only pairs that have a record, which is open")
    fill.add_argument("--again", action="store_true", help="also pairs that had a run with as large a budget")
    fill.add_argument("--seed", type=int, default=0)
    fill.add_argument("--no-warm", action="store_true", help="do not compile kernels first")
    fill.add_argument("--check-seconds", type=float, default=CHECK_SECONDS, help="most time for a log; 0: none")
    fill.add_argument("--keep-logs", type=Path, help="folder for the proof logs that hold")
    fill.add_argument("--from-store", type=Path, nargs="+", default=[], metavar="STORE")
    fill.add_argument("--from-result", type=Path, nargs="+", default=[], metavar="RESULT")
    unite = commands.add_parser("unite", help="take what is better in another folder of records")
    unite.add_argument("folder", type=Path)
    verify = commands.add_parser("verify", help="price partitions again")
    verify.add_argument("--sample", type=int, help="so many pairs only, drawn at random")
    verify.add_argument("--seed", type=int, default=0)
    pages = commands.add_parser("pages", help="write the pages of the documentation")
    for command in (fill, unite, verify, pages):
        command.add_argument("--records", type=Path, default=FOLDER, help="folder of the records (the package's)")
    given = parser.parse_args()
    try:
        return COMMANDS[given.command](given)
    except UserError as error:
        print(f"records: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def fill_records(given: argparse.Namespace) -> int:
    """Run pairs, or take what stores and result files hold."""
    load_entries(())
    taker = Taker(given.records, given.check_seconds, given.keep_logs)
    if given.from_store or given.from_result:
        for where, date, document in _stored(given.from_store, given.from_result):
            say(taker.take(document, where, date))
    else:
        run_pairs(given, taker)
    print(f"{taker.better} better, {taker.taken} results, {taker.refused} refused")
    return 1 if taker.contradictions else 0


class Taker:
    """Puts results into the records, one after the other; several threads may call it."""

    def __init__(self, folder: Path, check_seconds: float, keep_logs: Path | None) -> None:
        self._folder, self._check_seconds, self._keep_logs = folder, check_seconds, keep_logs
        self._lock = threading.Lock()
        self.taken = self.better = self.refused = self.contradictions = 0

    def take(self, document: Mapping[str, Any], where: str, date: str) -> str:
        """Take a result and return what became of it."""
        name = f"{document['graph']['name']}, k = {document['stages']}"
        given = Circumstances(
            where=where,
            date=date,
            trust=Trust.OWN_RUN,
            check_seconds=self._check_seconds,
            keep_logs=self._keep_logs,
        )
        with self._lock:
            self.taken += 1
            try:
                if self._is_known(document, where):
                    return f"{name}: nothing better"
                posed = posed_graph(name_of_graph(document, where))
                found = consider(document, posed, current_records(posed, self._folder), given)
            except ContradictionError as error:
                self.contradictions += 1
                return f"{name}: CONTRADICTION: {error}"
            except UserError as error:
                self.refused += 1
                return f"{name}: refused: {error}"
            write_records(found.records, self._folder)
            words = change_words(found.change, found.records)
            self.better += bool(words)
        return f"{name}: {'; '.join(words) or 'nothing better'}"

    def _is_known(self, document: Mapping[str, Any], where: str) -> bool:
        """Whether the record is as good as what a result says, which nobody needs to verify then."""
        path = records_path(name_of_graph(document, where), self._folder)
        pair = read_records(path).pairs.get(document["stages"]) if path.exists() else None
        if pair is None or pair.best is None or not pair.bounds or pair.longest < document["budget_seconds"]:
            return False
        dual, incumbent = document["dual_bound_ticks"], document["incumbent_ticks"]
        has_bound = dual is None or (pair.bounds[0].evidence is Evidence.LOG and pair.bounds[0].ticks >= dual)
        return has_bound and (incumbent is None or pair.best.ticks <= incumbent)


@lru_cache(maxsize=2)
def posed_graph(name: str) -> PosedGraph:
    return pose(name)


def _stored(stores: Sequence[Path], results: Sequence[Path]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield place, date and document of the results of stores and of files: of each store graph by graph."""
    for store in stores:
        with reading(store) as connection:
            rows = connection.execute(
                "SELECT runs.key, finished_at, document FROM documents JOIN runs ON runs.id = run_id"
                " JOIN graphs ON graphs.id = graph_id ORDER BY graphs.nodes, graphs.name, stages, dual DESC"
            )
            for key, finished, packed in rows:
                yield f"{store}: run {key[:8]}", finished[:10], _unpacked(packed, f"{store}: run {key[:8]}")
    for path in results:
        made = time.strftime("%Y-%m-%d", time.gmtime(path.stat().st_mtime)) if path.exists() else ""
        yield str(path), made, read_result_document(path)


def _unpacked(packed: bytes, where: str) -> Mapping[str, Any]:
    try:
        document: Mapping[str, Any] = json.loads(zlib.decompress(packed))
    except (zlib.error, ValueError, sqlite3.Error) as error:
        raise UserError(f"its document is damaged: {error}", where=where) from error
    return document


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A pair to run."""

    graph: str
    sha256: str
    nodes: int
    stages: int
    gap: float
    recorded: bool


def pairs_to_run(given: argparse.Namespace, budget: float) -> list[Pair]:
    """Return the pairs that are missing or open, smallest graphs first, or widest gaps."""
    names = {name.removeprefix("testbed:") for name in given.graph}
    names |= {name for subset in given.subset for name in subset_names(subset)}
    rows = {row.name: row for row in bundled_graphs()}
    for name in sorted(names - set(rows)):
        raise UserError("no bundled graph is called so", where=name, hint="'pipebound testbed list' names them")
    for k in set(given.k) - set(STAGES):
        raise UserError(f"there are no records of {k} stages", hint=f"choose from {', '.join(map(str, STAGES))}")
    recorded = set(recorded_names(given.records))
    pairs = []
    for name, numbers in recordable_pairs().items():
        if names and name not in names:
            continue
        known: Mapping[int, PairRecord] = {}
        if name in recorded:
            records = read_records(records_path(name, given.records))
            check_digest(records)
            known = records.pairs
        for k in numbers:
            record = known.get(k)
            if (given.k and k not in given.k) or (record is None and given.open):
                continue
            if record is not None and (not record.is_open or (record.longest >= budget and not given.again)):
                continue
            gap = None if record is None else record.interval.relative_gap
            row = rows[name]
            pairs.append(
                Pair(
                    graph=name,
                    sha256=row.sha256,
                    nodes=row.nodes,
                    stages=k,
                    gap=1.0 if gap is None else gap,
                    recorded=record is not None and record.best is not None,
                )
            )
    return sorted(pairs, key=lambda pair: (-pair.gap if given.widest else 0, pair.nodes, pair.graph, pair.stages))


def run_pairs(given: argparse.Namespace, taker: Taker) -> None:
    """Run all pairs that are to be run, and take what comes out."""
    budget = parse_seconds(given.budget)
    waiting = pairs_to_run(given, budget)[::-1]
    total, started = len(waiting), time.monotonic()
    print(f"{total} pairs to run, {budget:g} s each at most", flush=True)
    if not waiting:
        return
    executor = LocalExecutor(given.workers, given.jobs, warm=not given.no_warm)
    checks: list[Future[str]] = []
    with ThreadPoolExecutor(1) as checker:
        try:
            under_way: dict[str, Pair] = {}
            while under_way or (waiting and time.monotonic() - started < given.seconds):
                may_start = time.monotonic() - started < given.seconds and len(checks) <= MOST_WAITING
                for _ in range(min(executor.room, len(waiting)) if may_start else 0):
                    pair = waiting.pop()
                    task = _task(pair, given, budget)
                    under_way[task.key] = pair
                    executor.submit(task)
                for answer in executor.wait(0.2):
                    pair = under_way.pop(answer.key)
                    checks.append(checker.submit(_take, taker, pair, answer))
                done = [check for check in checks if check.done()]
                checks = [check for check in checks if not check.done()]
                _report(done, total - len(waiting) - len(under_way) - len(checks), total, started)
        finally:
            executor.close()
        _report(checks, total - len(waiting), total, started)


def _task(pair: Pair, given: argparse.Namespace, budget: float) -> Task:
    return Task(
        key=f"{pair.graph} {pair.stages}",
        path=f"testbed:{pair.graph}",
        format=None,
        dims={},
        training=False,
        drop_unused=False,
        sha256=pair.sha256,
        device=load_device(DEVICE).as_dict(),
        stages=pair.stages,
        entry=given.entry,
        seed=given.seed,
        budget=budget,
        presolve=True,
        gap=0.0,
        workers=given.workers,
        memory_bytes=None,
        plugin_files=(),
        code=code_version(),
        records=str(given.records.absolute()) if pair.recorded else "",
    )


def _take(taker: Taker, pair: Pair, answer: Finished) -> str:
    if answer.document is None:
        return f"{pair.graph}, k = {pair.stages}: failed: {answer.error}"
    return taker.take(answer.document, "the run", time.strftime("%Y-%m-%d", time.gmtime()))


def _report(done: Sequence[Future[str]], count: int, total: int, started: float) -> None:
    for check in done:
        say(f"{count}/{total}, {time.monotonic() - started:.0f} s: {check.result()}")


def say(line: str) -> None:
    print(line, flush=True)


def unite_records(given: argparse.Namespace) -> int:
    """Take from another folder what is better there."""
    code = changed = 0
    for other in all_records(given.folder):
        path = records_path(other.graph, given.records)
        mine = read_records(path) if path.exists() else None
        if mine is None:
            mine = GraphRecords(
                graph=other.graph,
                sha256=other.sha256,
                instance=other.instance,
                ticks_per_second=other.ticks_per_second,
                pairs={},
            )
        if (mine.sha256, mine.instance, mine.ticks_per_second) != (
            other.sha256,
            other.instance,
            other.ticks_per_second,
        ):
            raise UserError("the two are of different versions of the graph", where=str(path))
        for k, pair in other.pairs.items():
            try:
                change = united(mine.pairs.get(k, PairRecord(stages=k)), pair)
            except ContradictionError as error:
                code = 1
                say(f"{other.graph}: CONTRADICTION: {error}")
                continue
            mine = mine.with_pair(change.pair)
            if words := change_words(change, mine):
                changed += 1
                say(f"{other.graph}, k = {k}: {'; '.join(words)}")
        write_records(mine, given.records)
    print(f"{changed} pairs are better")
    return code


def verify_records(given: argparse.Namespace) -> int:
    """Price partitions again, and compare digests and bounds; 1 if anything is wrong."""
    started = time.monotonic()
    chosen = [(records.graph, k) for records in all_records(given.records) for k in records.pairs]
    if given.sample is not None and given.sample < len(chosen):
        chosen = sorted(random.Random(given.seed).sample(chosen, given.sample))
    wrong = 0
    for name, k in chosen:
        records = read_records(records_path(name, given.records))
        posed = posed_graph(name)
        for fault in [*faults_of_graph(records, posed), *faults_of_pair(records.pairs[k], posed)]:
            wrong += 1
            say(f"{name}, k = {k}: {fault}")
    print(f"{len(chosen)} records checked in {time.monotonic() - started:.0f} s, {wrong} faults")
    return 1 if wrong else 0


def write_pages(given: argparse.Namespace) -> int:
    """Write what docs/records.md says of the records, and the pages of the task areas."""
    rows = record_rows(folder=given.records)
    page = DOCS / "records.md"
    text = page.read_text(encoding="utf-8")
    for name, block in blocks(rows).items():
        begin, end = f"<!-- begin: {name} -->\n", f"<!-- end: {name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise UserError(f"there is no block {name}", where=str(page))
        text = f"{before}{begin}{block}\n{end}{after}"
    page.write_text(text, encoding="utf-8")
    for path, area in area_pages(rows).items():
        (DOCS / path).parent.mkdir(exist_ok=True)
        (DOCS / path).write_text(area, encoding="utf-8")
    return 0


COMMANDS = {"fill": fill_records, "unite": unite_records, "verify": verify_records, "pages": write_pages}

if __name__ == "__main__":
    sys.exit(main())
