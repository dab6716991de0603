"""What a result offers to the records: a partition that is priced again, and dual bounds with what they rest on.

A dual bound of somebody's result counts where its certificate is checked again here, or where the independent checker
replays a proof log: one that comes with the result, or one that is written from it. A bound that rests on a run alone
counts only where the run is this project's own (`Trust.OWN_RUN`), with the soundness that its method states.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from framework.bounds import Reason, Soundness
from framework.errors import UserError
from framework.formats import BUNDLED_SCHEME
from framework.model.device import Device
from framework.model.device_chain import Devices
from framework.portfolio.logs.read import logged_proof
from framework.portfolio.logs.write import proof_of
from framework.portfolio.proofs import Proof
from framework.portfolio.reading import as_result, stages_of
from framework.portfolio.result import Result
from framework.portfolio.verification import verify_document
from framework.proof.log import ProofLog, read_log, write_log
from framework.records.pair import BestPartition, Evidence, Origin, ProvedBound, stage_runs, strongest
from framework.records.posing import PosedGraph, recordable_pairs
from framework.testbed.catalogue import bundled_graphs

CHECK_SECONDS = 120.0
"""How long the independent checker may take for a log that was written from a result."""


class FalseResultError(UserError):
    """Something in a result is false."""


class Trust(Enum):
    """Whose a result is."""

    ANYBODY = "anybody"
    """Somebody's file: nothing in it is believed that cannot be checked."""
    OWN_RUN = "own run"
    """A run that the caller has made with this code: what its methods claim is recorded as they state it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a result has for the record of its pair.

    Attributes
    ----------
    graph, stages
        The pair.
    best
        Its partition; None without one.
    bounds
        Its dual bounds that count, the strongest ones.
    refused
        Why its best dual bound does not count; empty if it does.
    budget, seconds
        How long the run could take, and took.
    """

    graph: str
    stages: int
    best: BestPartition | None
    bounds: tuple[ProvedBound, ...]
    refused: str
    budget: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What is known of a result besides the file.

    Attributes
    ----------
    where
        The file, for errors.
    date, credit
        As for `Origin`.
    proof
        A proof log that came with it.
    check_seconds
        How long the checker may take for a log written from the result; 0 to write none.
    keep_logs
        Folder that logs which hold are kept in.
    """

    where: str
    date: str
    credit: str = ""
    trust: Trust = Trust.ANYBODY
    proof: Path | None = None
    check_seconds: float = CHECK_SECONDS
    keep_logs: Path | None = None


def name_of_graph(document: Mapping[str, Any], where: str) -> str:
    """Return the name of the bundled graph that a result is of, by the digest or the path in the file.

    Raises
    ------
    UserError
        If it is of none.
    """
    origin = document["graph"]
    names = {row.sha256: row.name for row in bundled_graphs()}
    path = str(origin.get("path") or "")
    for name in (names.get(origin["sha256"]), path.removeprefix(BUNDLED_SCHEME), origin["name"]):
        if name in names.values():
            return str(name)
    what = f"the graph {str(origin['name'])[:60]!r} is not in the testbed"
    raise UserError(what, where=where, hint="there are records of what `pipebound testbed list` names")


def offer_of(document: Mapping[str, Any], posed: PosedGraph, given: Circumstances) -> Offer:
    """Verify a result, and return what of it counts.

    Raises
    ------
    FalseResultError
        If something in it is false.
    UserError
        If it is not of a pair that has records.
    """
    result = as_result(document, given.where)
    _refuse_other_problems(result, posed, given.where)
    logged: list[Proof] = []
    log: ProofLog | None = None
    if given.proof is not None:
        log = read_log(given.proof)
        logged = [logged_proof(log, result, posed.graph)[0]]
    found = verify_document(document, posed.graph, logged)
    if found.failed:
        false = found.failed[0]
        raise FalseResultError(f"this is false in it: {false.what}: {false.detail}", where=given.where)
    best = _best(result, posed, given)
    bounds = _certified(result, found.proofs[: len(result.bounds)], given)
    if log is not None and logged[0].proved is not None:
        bounds.append(_logged(result, logged[0].proved, log, given))
    elif given.check_seconds > 0 and (made := _checked_log(result, posed, given)) is not None:
        bounds.append(_logged(result, made.bound, made, given))
    claimed, checked = result.dual_ticks or 0, max((bound.ticks for bound in bounds), default=0)
    refused = ""
    if claimed > checked:
        top = result.bounds[0]
        if given.trust is Trust.OWN_RUN:
            origin = _origin(result, top.source, given)
            stated = ProvedBound(ticks=claimed, soundness=top.soundness, evidence=Evidence.RUN, origin=origin)
            bounds.append(stated)
        else:
            refused = f"neither a certificate nor a proof log shows the bound {claimed} of {top.source}"
            refused += f"; {checked} is shown" if checked else ""
    return Offer(
        graph=posed.name,
        stages=result.stages,
        best=best,
        bounds=strongest(bounds),
        refused=refused,
        budget=result.seconds if result.termination.reason is Reason.INTERRUPTED else result.budget,
        seconds=result.seconds,
    )


def _refuse_other_problems(result: Result, posed: PosedGraph, where: str) -> None:
    """Refuse results that are of none of the problems that there are records of."""
    if not posed.graph.is_called(result.graph.sha256):
        raise UserError(f"it is of another graph than {posed.name}, or of another version of it", where=where)
    if result.earlier:
        raise UserError("an earlier version of pipebound made it", where=where, hint="solve again")
    if result.constraints:
        what = f"its partition had to obey {result.constraints}, and records are without constraints"
        raise UserError(what, where=where, hint="solve without them")
    if not _is_alike(result.device, posed.device):
        name = "no device" if result.device is None else result.device.name
        raise UserError(f"it is for {name}, and records are for {posed.device.name}", where=where)
    known = recordable_pairs()[posed.name]
    if result.stages not in known:
        numbers = ", ".join(map(str, known))
        raise UserError(f"there are no records of {result.stages} stages", where=where, hint=f"they are of {numbers}")


def _is_alike(first: Devices | None, second: Device) -> bool:
    """Whether two devices price alike: their names and sources do not matter."""
    return isinstance(first, Device) and replace(first, name=second.name, source=second.source) == second


def _best(result: Result, posed: PosedGraph, given: Circumstances) -> BestPartition | None:
    if result.stage_of is None:
        return None
    stage_of = stages_of(result, posed.graph.topology.n)
    return BestPartition(
        ticks=posed.bottleneck(stage_of, result.stages),
        runs=stage_runs(stage_of, posed.graph),
        origin=_origin(result, result.incumbent_source or result.entry, given),
    )


def _certified(result: Result, proofs: tuple[Proof, ...], given: Circumstances) -> list[ProvedBound]:
    """Return the bounds of a result whose certificates were checked."""
    return [
        ProvedBound(
            ticks=proof.proved,
            soundness=Soundness(proof.soundness),
            evidence=Evidence.CERTIFICATE,
            origin=_origin(result, proof.source, given),
        )
        for proof in proofs
        if proof.proved is not None
    ]


def _logged(result: Result, ticks: int, log: ProofLog, given: Circumstances) -> ProvedBound:
    # The log does not say which entry found it: that of the first bound of the result that it reaches.
    source = next((bound.source for bound in result.bounds if bound.ticks <= ticks), "proof")
    soundness = next((bound.soundness for bound in result.bounds if bound.ticks <= ticks), Soundness.EXACT)
    return ProvedBound(
        ticks=ticks,
        soundness=soundness,
        evidence=Evidence.LOG,
        origin=_origin(result, source, given),
        log=digest_of_log(log),
    )


def _origin(result: Result, source: str, given: Circumstances) -> Origin:
    version = str(result.environment.get("pipebound", "unknown"))
    return Origin(source=source, date=given.date, version=version, credit=given.credit)


def digest_of_log(log: ProofLog) -> str:
    """Return the SHA-256 digest of a proof log as `write_log` writes it, before packing."""
    text = json.dumps(log.as_dict(), separators=(",", ":"), allow_nan=False) + "\n"
    return hashlib.sha256(text.encode()).hexdigest()


def _checked_log(result: Result, posed: PosedGraph, given: Circumstances) -> ProofLog | None:
    """Write a proof log from a result and have it checked in a process of its own; None if that fails or takes long."""
    try:
        log = proof_of(result, posed.graph)
    except UserError:
        return None
    with tempfile.TemporaryDirectory(prefix="pipebound-proof-") as folder:
        path = Path(folder) / f"{posed.name}-k{result.stages}.proof.json.xz"
        write_log(log, path)
        command = [sys.executable, "-m", "framework.proof", str(path), f"{BUNDLED_SCHEME}{posed.name}"]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=given.check_seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return None
        if done.returncode:
            return None
        if given.keep_logs is not None:
            given.keep_logs.mkdir(parents=True, exist_ok=True)
            write_log(log, given.keep_logs / path.name)
    return log
