"""Writing the proof log of a result: after the run, from its certificates, its members, and the reduction made again.

Nothing is searched here, and nothing is checked: `framework.proof` does that, and shares no code with this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from framework.bounds import SIMPLE, Certificate
from framework.entry_spec import EntrySpec
from framework.errors import UserError
from framework.model.arrays import IntArray
from framework.model.graph import ModelGraph
from framework.model.instance import Instance
from framework.model.pricing import quantise
from framework.portfolio.records import BoundRecord
from framework.portfolio.result import Result
from framework.proof.log import ProofLog, Step
from framework.structure.ideals.lattice import count_ideals
from framework.structure.reduction.dominance import moves_of_reduction

IDEAL_DP = "ideal-dp"
MOST_IDEALS = 100_000
"""A bound that no rule covers is written as an ideal program where there are no more: they are counted at once."""
_COVERED = (IDEAL_DP, SIMPLE, "packing", "anchored-cut", "stage-cover", "counting")


def proof_of(result: Result, graph: ModelGraph) -> ProofLog:
    """Return a log of the best bound of a result that rules of logs can express.

    Its `bound` is below that of the result where a method proved that which has no rule yet.

    Raises
    ------
    UserError
        Where nothing can be logged: with constraints, on different devices, or without a bound.
    """
    where = graph.source or graph.name
    instance = quantise(graph, result.device).instance
    if str(result.constraints) or instance.unequal is not None or instance.stage_limit is not None:
        raise UserError(
            "proofs of problems with constraints, or on different devices, cannot be written yet", where=where
        )
    writer = _Writer(instance, {member.name: member.entry for member in result.members})
    for bound in sorted(result.bounds, key=lambda bound: (-bound.ticks, bound.certificate is None)):
        steps = writer.steps_of(bound)
        if steps is not None:
            return ProofLog(
                graph=graph.sha256(),
                read_as=_read_as(result),
                device=result.device,
                stages=result.stages,
                bound=bound.ticks,
                steps=tuple(steps),
                stage_of=result.stage_of,
            )
    raise UserError(
        "no bound of the result has a proof that can be written", where=where, hint=f"run {', '.join(_COVERED)}"
    )


def _read_as(result: Result) -> dict[str, Any]:
    """Return how the file of the graph was read, where that is not as by default."""
    origin = result.graph.input
    if origin is None:
        return {}
    given: dict[str, Any] = {"dims": dict(origin.dims), "training": origin.training, "drop_unused": origin.drop_unused}
    return {name: value for name, value in given.items() if value}


class _Writer:
    """Turns bounds on an instance, on its reduction, or on relaxations of either, into steps."""

    def __init__(self, instance: Instance, entries: Mapping[str, str]) -> None:
        self.instance, self.entries = instance, entries

    def steps_of(self, bound: BoundRecord) -> list[Step] | None:
        """Return steps that prove a bound; None where no rule does."""
        certificate = bound.certificate
        posed = None if certificate is None else self._posed(certificate.instance)
        if certificate is not None and posed is not None:
            last = _last_step(certificate, posed[1])
            if last is not None:
                return [*posed[0], last]
        spec = EntrySpec.parse(self.entries.get(bound.source, bound.source))
        exact = spec.name == IDEAL_DP and "epsilon" not in dict(spec.arguments)
        if exact or self._is_narrow:
            return [*self._contraction, Step(rule="ideal-program", data={"threshold": bound.ticks - 1})]
        return None

    @cached_property
    def _is_narrow(self) -> bool:
        """Whether there are few ideals: then the ideal program refutes all that is below the optimum."""
        return count_ideals(self._reduced, max_ideals=MOST_IDEALS)[1]

    def _posed(self, digest: str) -> tuple[list[Step], IntArray] | None:
        """Return the steps that lead to the instance of a certificate, and how a log numbers its nodes."""
        for reduced in (False, True):
            steps = list(self._contraction) if reduced else []
            instance = self._reduced if reduced else self.instance
            number = _numbering(instance) if reduced else np.arange(instance.n)
            for charged in (False, True):
                relaxed = instance.charged() if charged else instance
                path = [*steps, *(self._charge(instance, reduced, number) if charged and len(instance.shared) else [])]
                for narrowed in (False, True):
                    if narrowed:
                        narrow = [Step(rule="narrow")] if len(relaxed.working_cost) else []
                        relaxed, path = relaxed.without_worksets(), [*path, *narrow]
                    if relaxed.sha256() == digest:
                        return path, number
        return None

    @cached_property
    def _contraction(self) -> list[Step]:
        moves = self._reduction[1]
        return [Step(rule="contract", data={"moves": [v for move in moves for v in move]})] if moves else []

    @property
    def _reduced(self) -> Instance:
        return self._reduction[0]

    @cached_property
    def _reduction(self) -> tuple[Instance, list[tuple[int, int]]]:
        return moves_of_reduction(self.instance)

    def _charge(self, instance: Instance, reduced: bool, number: IntArray) -> list[Step]:
        """Return the step that lets one user pay for each shared parameter of the given instance.

        The log knows the shared parameters of the original, those that one node is left to use included.
        """
        payers = dict(
            zip(
                _users(instance, np.arange(instance.n)),
                instance.shared.payers(instance.work + instance.parameter_cost).tolist(),
                strict=True,
            )
        )
        holders = _users(self.instance, instance.node_of_input if reduced else np.arange(instance.n))
        return [Step(rule="charge", data={"payers": [int(number[payers.get(row, min(row))]) for row in holders]})]


def _users(instance: Instance, node_of: IntArray) -> list[frozenset[int]]:
    shared = instance.shared
    return [frozenset(node_of[shared.users[shared.ptr[q] : shared.ptr[q + 1]]].tolist()) for q in range(len(shared))]


def _numbering(instance: Instance) -> IntArray:
    """Return the number that a log gives each node of an instance: by the smallest input that it holds."""
    first = np.full(instance.n, len(instance.node_of_input), np.int64)
    np.minimum.at(first, instance.node_of_input, np.arange(len(instance.node_of_input), dtype=np.int64))
    ranks = np.empty(instance.n, np.int64)
    ranks[np.argsort(first)] = np.arange(instance.n)
    return ranks


def _last_step(certificate: Certificate, number: IntArray) -> Step | None:
    """Return the step that a certificate is; None for kinds without a rule."""
    data = certificate.data
    if not any(data.get("tree", data.get("trees", [1]))):
        # Stage windows alone refute it: they have no rule.
        return None
    match certificate.kind:
        case "simple":
            return None if data else Step(rule="simple")
        case "packing":
            return Step(rule="packing", data={**data, "with_parameters": bool(data["with_parameters"])})
        case "anchored-cut":
            return Step(rule="anchored-cut", data={"node": int(number[data["anchor"]]), "share": data["theta_64"]})
        case "stage-cover":
            return Step(
                rule="stage-prices",
                data={
                    "threshold": data["threshold"],
                    "prices": _by_number(data["prices"], number),
                    "theta": data["theta"],
                    "order": number[data["order"]].tolist(),
                    "tree": _renamed(data["tree"], number),
                },
            )
        case "counting":
            trees = [_renamed(tree, number) for tree in data["trees"]]
            return Step(
                rule="counting-shares",
                data={
                    "threshold": data["threshold"],
                    "weights": _by_number(data["weights"], number),
                    "bounds": _by_number(data["bounds"], number),
                    "trees": [trees[v] for v in np.argsort(number)],
                },
            )
        case _:
            return None


def _by_number(values: Sequence[int], number: IntArray) -> list[int]:
    return [values[v] for v in np.argsort(number)]


def _renamed(tree: Sequence[int], number: IntArray) -> list[int]:
    """Return a tree with the nodes that it branches on as the log numbers them."""
    rows = [list(tree[i : i + 3]) for i in range(0, len(tree), 3)]
    return [x for a, b, c in rows for x in ((int(number[a]), b, c) if b == -1 else (a, b, c))]
