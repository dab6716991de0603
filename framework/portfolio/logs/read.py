"""What a proof log says of the result that it stands beside."""

from __future__ import annotations

from framework.model.graph import ModelGraph
from framework.portfolio.constraints import given_of
from framework.portfolio.proofs import Proof
from framework.portfolio.result import Result
from framework.proof.check import Replay, replay
from framework.proof.given import Given
from framework.proof.log import ProofLog


def logged_proof(log: ProofLog, result: Result, graph: ModelGraph) -> tuple[Proof, Replay]:
    """Replay a log, and return what it proves of a result, and how.

    Raises
    ------
    UserError
        If the log is of another graph.
    """
    found = replay(log, graph)
    fault = found.fault
    if not fault and (log.stages != result.stages or log.device != result.device):
        fault = "it is of another number of stages, or of another device"
    if not fault and log.given not in (Given(), given_of(result.constraints)):
        fault = "it is of the problem with other constraints"
    proved = None if fault else found.proven
    return Proof(
        source="the proof", soundness="checked", claimed=log.bound, proved=proved, fault=fault, by="log"
    ), found
