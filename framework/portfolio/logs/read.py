"""What a proof log says of the result that it stands beside."""

from __future__ import annotations

from pathlib import Path as File

from framework.model.device_chain import figures_only
from framework.model.graph import ModelGraph
from framework.model.module_paths import Path, matching_modules, module_paths
from framework.portfolio.constraints import Constraints
from framework.portfolio.proofs import Proof
from framework.portfolio.result import Result
from framework.proof.check import Replay, replay, unproven
from framework.proof.given import Given
from framework.proof.log import OtherVersionError, ProofLog, read_log


def given_of(constraints: Constraints, graph: ModelGraph) -> Given:
    """Return constraints as proof logs state them: modules as the sets of their nodes."""
    modules: dict[Path, list[str]] = {}
    if constraints.whole_modules:
        paths = matching_modules(module_paths(graph.node_names), constraints.whole_modules, graph.source)
        for name, module in zip(graph.node_names, paths, strict=True):
            if module is not None:
                modules.setdefault(module, []).append(name)
    return Given(
        same_stage=(*constraints.same_stage, *map(tuple, modules.values())),
        no_cut=constraints.no_cut,
        pins=constraints.pins,
        memory_limit=constraints.memory_limit,
        memory_counts=constraints.memory_counts,
    )


def logged_proof(log: ProofLog, result: Result, graph: ModelGraph) -> tuple[Proof, Replay]:
    """Replay a log, and return what it proves of a result, and how.

    Raises
    ------
    UserError
        If the log is of another graph.
    """
    found = replay(log, graph)
    fault = found.fault
    if not fault and (log.stages, figures_only(log.device)) != (result.stages, figures_only(result.device)):
        fault = "it is of another number of stages, or of another device"
    if not fault and log.given not in (Given(), given_of(result.constraints, graph)):
        fault = "it is of the problem with other constraints"
    proved = None if fault else found.proven
    return Proof(
        source="the proof", soundness="checked", claimed=log.bound, proved=proved, fault=fault, by="log"
    ), found


def proof_in(file: File, result: Result, graph: ModelGraph) -> tuple[Proof, list[str]]:
    """Read a log and replay it: return what it proves of a result, and what there is to say of each step.

    Raises
    ------
    UserError
        If it cannot be read, or is of another graph.
    """
    try:
        proof, found = logged_proof(read_log(file), result, graph)
    except OtherVersionError as error:
        unread = Proof(source="the proof", soundness="not checked", claimed=None, proved=None, unread=str(error))
        return unread, [unproven(error)]
    return proof, found.lines()
