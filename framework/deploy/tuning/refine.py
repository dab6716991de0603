"""`refine`: from a split to one whose measured throughput is no worse than that of any other split tried."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from framework.deploy.pipeline.turns import FEWEST
from framework.deploy.runtime import Optimization
from framework.deploy.split.assignment import Splittable
from framework.deploy.split.folder import check_target, origin_of
from framework.deploy.split.manifest import GRAPH, WHOLE, Manifest
from framework.deploy.tuning.bench import PipelineBench
from framework.deploy.tuning.search import Candidate, Outcome, search
from framework.deploy.tuning.solved import Solved, read_solved
from framework.deploy.tuning.subjects import open_subject
from framework.deploy.tuning.trial import Subject, Whole
from framework.deploy.weights import WEIGHTS_SUFFIX
from framework.errors import UserError
from framework.formats.native import native_text
from framework.formats.profile_note import NOTE
from framework.input_files import reading_deadline, reading_until
from framework.layouts.naive import naive_partitions
from framework.model.arrays import IntArray
from framework.model.device import Device
from framework.model.graph import PhysicalCosts
from framework.model.memory import memory_rows
from framework.portfolio.settings import Session, Settings
from framework.portfolio.solve import solve
from framework.signals import Interrupt
from framework.wording import counted

BUDGET = 120.0
MOST_SOLVE_SECONDS = 10.0
WRITING_SHARE = 0.05
"""Share of the budget for writing the winner and checking it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Refinement:
    """What `refine` did.

    Attributes
    ----------
    manifest
        The winner, written; None if no split was measured before the run was interrupted.
    device
        What prices the corrected graph: bandwidth and latency of its links are corrected too.
    items
        Items in a batch at most.
    remarks
        What the user should know.
    """

    model: str
    stages: int
    outcome: Outcome
    manifest: Manifest | None
    device: Device
    items: int
    interrupted: bool
    remarks: tuple[str, ...]

    def over_best_naive(self, candidate: Candidate) -> float | None:
        """Return the throughput over that of the best naive split; None where either was not measured."""
        best = self.outcome.best_naive
        return None if best is None or candidate.timing is None else best.relative / candidate.relative

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-compatible data."""
        outcome = self.outcome
        factors = np.quantile(outcome.correction.node, (0, 0.25, 0.5, 0.75, 1)).tolist()
        return {
            "model": self.model,
            "stages": self.stages,
            "items": self.items,
            "winner": None if outcome.winner is None else outcome.winner.name,
            "why": outcome.why,
            "throughput_over_best_naive": None if outcome.winner is None else self.over_best_naive(outcome.winner),
            "solves": outcome.solves,
            "converged": outcome.converged,
            "raced": outcome.raced,
            "interrupted": self.interrupted,
            "candidates": [self._row(candidate) for candidate in outcome.candidates],
            "node_factor_quartiles": factors,
            "link_factor": outcome.correction.link,
            "link_bandwidth": self.device.link_bandwidth,
            "link_latency": self.device.link_latency,
            "folder": None if self.manifest is None else str(self.manifest.folder),
            "remarks": list(self.remarks),
        }

    def _row(self, candidate: Candidate) -> dict[str, Any]:
        timing = candidate.timing
        busy = [] if timing is None else timing.stage_seconds.tolist()
        return {
            "name": candidate.name,
            "same_as": candidate.aliases,
            "naive": candidate.naive,
            "allowed": candidate.allowed,
            "predicted": candidate.predicted,
            "corrected": candidate.corrected,
            "period": None if timing is None else timing.period,
            "period_quartiles": None if timing is None else np.quantile(timing.periods, (0.25, 0.75)).tolist(),
            "finalist": candidate.finalist,
            "rounds": 0 if timing is None else len(timing.periods),
            "busy": [None if np.isnan(value) else value for value in busy],
            "throughput_over_best_naive": self.over_best_naive(candidate),
            "failure": candidate.failure or None,
        }


def refine_split(
    manifest: Manifest,
    output: Path,
    *,
    model_path: Path | None = None,
    rounds: int = 4,
    race_rounds: int = 16,
    items: int | None = None,
    budget: float = BUDGET,
    optimization: Optimization = Optimization.ALL,
    affinity: bool = True,
    seed: int = 0,
    workers: int | None = None,
    force: bool = False,
    say: Callable[[str], None] = lambda text: None,
    interrupt: Interrupt | None = None,
) -> Refinement:
    """Correct the costs of a split's graph by what its stages take, solve again, and write the split that wins.

    Parameters
    ----------
    manifest
        The split to start from.
    output
        Folder for the winner: new, empty, or with an earlier split of the same model (which is replaced).
    model_path
        The unsplit model; the manifest knows where it was.
    rounds
        How often to solve with corrected costs at most.
    race_rounds
        Batches of each split in the last race, at least 5.
    items
        Items in a batch, by default as many as the unsplit model does in half a second.
    budget
        Seconds for all of it. Where it is short there are fewer and shorter turns of measurements; a split is measured
        in one round at least, whatever that takes.
    seed
        Of inputs and of the solver.
    force
        Replace the stages of another model too.
    interrupt
        Notes Ctrl-C: the best split so far is then written.

    Raises
    ------
    UserError
        If the split knows no graph in seconds, the model is gone, or no split can be run.
    """
    interrupt = interrupt or Interrupt()
    deadline = time.monotonic() + (1 - WRITING_SHARE) * budget
    _check_output(manifest, output, force)
    opened = open_subject(manifest, model_path=model_path, optimization=optimization, affinity=affinity, seed=seed)
    with interrupt.watch(), contextlib.ExitStack() as stack:
        with reading_until(reading_deadline(time.monotonic(), budget)):
            subject = stack.enter_context(opened)
            model = subject.model
            problem = read_solved(manifest, model)
        given = _partition(manifest, model, problem.stages)
        say("starting the unsplit model")
        single = subject.unsplit()
        per_batch = max(items, problem.stages + FEWEST) if items else single.batch_items(problem.stages)

        with PipelineBench(
            subject=subject,
            stages=problem.stages,
            items=per_batch,
            fit_items=items is None,
            deadline=deadline,
            interrupted=lambda: interrupt.happened,
            say=say,
        ) as bench:
            naive = naive_partitions(problem.graph, problem.stages) if problem.stages > 1 else {}
            ask = partial(_propose, bench=bench, seed=seed, workers=workers, interrupt=interrupt)
            outcome = search(problem, given, naive, bench, ask, rounds=rounds, race_rounds=race_rounds, say=say)
        if outcome.winner is None and not interrupt.happened:
            raise _no_split_error(outcome, model)
        corrected = problem.corrected(outcome.correction)
        assert corrected.device is not None
        written = None
        if outcome.winner is not None:
            say("writing the winner")
            written = _write(output, manifest, subject, corrected, outcome, outcome.winner, force)
        return Refinement(
            model=model.path.name,
            stages=problem.stages,
            outcome=outcome,
            manifest=written,
            device=corrected.device,
            items=per_batch,
            interrupted=interrupt.happened,
            remarks=_remarks(manifest, problem, outcome, single),
        )


def _check_output(manifest: Manifest, output: Path, force: bool) -> None:
    """Check that the winner may be written where it is to be."""
    if output.resolve() == manifest.folder.resolve():
        raise UserError("this is the split to refine itself", where=str(output), hint="give another folder")
    stages = [manifest.folder / name for name in manifest.file_names()]
    check_target(output, _origin(manifest), inputs=stages, force=force)


def _propose(
    corrected: Solved, *, bench: PipelineBench, seed: int, workers: int | None, interrupt: Interrupt
) -> IntArray | None:
    """Return the best partition of the corrected costs that is found in the time that the bench allows."""
    settings = Settings(
        device=corrected.device, budget=bench.solve_seconds(MOST_SOLVE_SECONDS), seed=seed, workers=workers
    )
    result = solve(
        corrected.graph,
        corrected.stages,
        settings=settings,
        constraints=corrected.constraints,
        session=Session(interrupt=interrupt),
    )
    found = result.stage_of
    return None if found is None else np.array(found, np.int64)


def _partition(manifest: Manifest, model: Splittable, stages: int) -> IntArray:
    """Return the partition of a manifest, numbered as it was solved; nodes that were left out are in the last stage."""
    number = {name: row["stage"] for row in manifest.stages for name in row["nodes"]}
    known = [number[name] for name in model.node_names if name in number]
    if len(known) != len(number) or (len(known) < len(model.node_names) and not manifest.empty_stages):
        raise UserError("the stages are not of this model", where=str(model.path), hint="split it again")
    return np.array([number.get(name, stages - 1) for name in model.node_names], np.int64)


def _no_split_error(outcome: Outcome, model: Splittable) -> UserError:
    """Return what to say where no split could be run."""
    reasons = [candidate.failure for candidate in outcome.candidates if candidate.failure]
    return UserError(f"no split can be run: {reasons[0] if reasons else outcome.why}", where=str(model.path))


def _origin(manifest: Manifest) -> Path:
    return origin_of(manifest.folder, manifest.document).absolute()


def _write(
    output: Path,
    manifest: Manifest,
    subject: Subject,
    corrected: Solved,
    outcome: Outcome,
    winner: Candidate,
    force: bool,
) -> Manifest:
    """Write the winner as a split, with the graph of corrected costs beside it."""
    assert corrected.device is not None
    model = subject.model
    predicted = {
        "unit": "s",
        "bottleneck": corrected.bottleneck(winner.stage_of),
        "dual_bound": None,
        "status": "refined",
        "stages": corrected.stages,
        "stage_costs": corrected.stage_rows(winner.stage_of),
        "stage_memory": memory_rows(corrected.graph, winner.stage_of, corrected.stages),
        "graph": str((output / GRAPH).resolve()),
        "device": corrected.device.as_dict(),
        "constraints": corrected.constraints.as_dict() if corrected.constraints else None,
    }

    def complete(written: Manifest) -> Manifest:
        document = dict(written.document)
        if manifest.document["model"]["weights"] == "generated" and model.path.parent.name == WHOLE:
            # The split must not depend on the folder of another one.
            (written.folder / WHOLE).mkdir(exist_ok=True)
            shutil.copyfile(model.path, written.folder / WHOLE / model.path.name)
            beside = model.path.with_suffix(WEIGHTS_SUFFIX)
            if beside.is_file():
                shutil.copyfile(beside, written.folder / WHOLE / beside.name)
            document["model"] = {**document["model"], "path": f"{WHOLE}/{model.path.name}", "weights": "generated"}
        document["remarks"] = list(dict.fromkeys([*manifest.document["remarks"], *document["remarks"]]))
        document["refined"] = {
            "winner": winner.name,
            "same_as": winner.aliases,
            "naive": winner.naive,
            "why": outcome.why,
            "from": os.path.relpath(manifest.folder.resolve(), output.resolve()),
        }
        _write_graph(corrected, outcome, written.folder / GRAPH)
        return replace(written, document=document)

    return subject.write(
        winner.stage_of,
        output,
        predicted=predicted,
        source=_origin(manifest),
        force=force,
        complete=complete,
    )


def _write_graph(corrected: Solved, outcome: Outcome, path: Path) -> None:
    assert corrected.device is not None
    refined = {
        "solves": outcome.solves,
        "link_factor": outcome.correction.link,
        "link_bandwidth": corrected.device.link_bandwidth,
        "link_latency": corrected.device.link_latency,
    }
    text = native_text(corrected.graph, {NOTE: {**corrected.note, "refined": refined}})
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot be written: {error.strerror}", where=str(path)) from None


def _remarks(manifest: Manifest, problem: Solved, outcome: Outcome, single: Whole) -> tuple[str, ...]:
    remarks = list(manifest.document["remarks"])
    cores = len(os.sched_getaffinity(0))
    if problem.stages > cores:
        remarks.append(
            f"{counted(problem.stages, 'stage')} share {counted(cores, 'core')}: their times include waiting "
            "for a core, and say little of a machine with enough of them"
        )
    for candidate in outcome.candidates:
        if candidate.failure:
            remarks.append(f"{candidate.name} was left out: {candidate.failure}")
        elif candidate.naive and not candidate.allowed:
            remarks.append(f"{candidate.name} breaks a constraint of the result, and cannot win")
    costs = problem.graph.costs
    if isinstance(costs, PhysicalCosts) and np.isnan(costs.seconds).any():
        remarks.append("the graph holds no measured times: a profile is a better start than a roofline")
    if not single.finite:
        remarks.append("the model's results are not finite, so that equal results prove little")
    return tuple(remarks)
