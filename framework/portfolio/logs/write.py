"""Writing the proof log of a result: after the run, from its certificates, its members, and the reduction made again.

Nothing is searched here, and nothing is checked: `framework.proof` does that, and shares no code with this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from framework.bounds import SIMPLE, Certificate, Limit
from framework.entry_spec import EntrySpec
from framework.errors import UserError
from framework.model.arrays import IntArray
from framework.model.device_chain import figures_only
from framework.model.graph import ModelGraph
from framework.model.instance import Instance
from framework.model.pricing import quantise
from framework.portfolio.constraints import constrain
from framework.portfolio.logs.cores import core_program_of, fixing_of
from framework.portfolio.logs.multipliers import lp_dual_of, metric_of
from framework.portfolio.logs.read import given_of
from framework.portfolio.members import MemberReport
from framework.portfolio.records import BoundRecord
from framework.portfolio.result import Result
from framework.proof.log import BOUNDS, ProofLog, Step, is_current
from framework.structure.ideals.lattice import count_ideals
from framework.structure.reduction.dominance import moves_of_reduction

IDEAL_DP = "ideal-dp"
FEW_IDEALS = "few-ideals"
MOST_IDEALS = 100_000
"""A bound that no rule covers is written as an ideal program where there are no more: they are counted at once."""
_COVERED = (
    IDEAL_DP,
    FEW_IDEALS,
    SIMPLE,
    "packing",
    "tensor-count",
    "anchored-cut",
    "stage-cover",
    "counting",
    "nested-cuts",
    "merged",
    "spreading-metric",
    "lp",
    "core-fluid",
    "fixing",
)


def proof_of(result: Result, graph: ModelGraph) -> ProofLog:
    """Return a log of the best bound of a result that rules of logs can express.

    Its `bound` is below that of the result where a method proved that which has no rule yet.

    Raises
    ------
    UserError
        Where nothing can be logged: no bound of the result has a rule.
    """
    where = graph.source or graph.name
    priced = quantise(graph, result.device).instance
    instance = constrain(priced, graph, result.constraints, result.stages, result.device)
    of_priced = np.empty(priced.n, np.int64)
    of_priced[priced.node_of_input] = instance.node_of_input
    limited = result.constraints.memory_limit is not None
    entries = {member.name: member.entry for member in result.members}
    writer = _Writer(priced, instance, of_priced, entries, limited=limited)
    if any(_met_too_many_ideals(member) for member in result.members):
        writer.is_narrow = False
    for bound in sorted(result.bounds, key=lambda bound: (-bound.ticks, bound.certificate is None)):
        steps = writer.steps_of(bound)
        if steps is not None:
            return ProofLog(
                graph=graph.sha256(),
                read_as=_read_as(result),
                device=figures_only(result.device),
                stages=result.stages,
                given=given_of(result.constraints, graph),
                bound=bound.ticks,
                steps=tuple(steps),
                stage_of=result.stage_of,
            )
    raise UserError(
        "no bound of the result has a proof that can be written", where=where, hint=f"run {', '.join(_COVERED)}"
    )


def _met_too_many_ideals(member: MemberReport) -> bool:
    """Whether a member of a run has found out that there are more ideals than a log is written for."""
    return member.entry.split(":")[0] == IDEAL_DP and (
        "max_" not in member.entry and member.termination.limit in (Limit.SIZE, Limit.MEMORY)
    )


def _read_as(result: Result) -> dict[str, Any]:
    """Return how the file of the graph was read, where that is not as by default."""
    origin = result.graph.input
    if origin is None:
        return {}
    given: dict[str, Any] = {
        "dims": dict(origin.dims),
        **({} if origin.training is None else origin.training.as_dict()),
        "drop_unused": origin.drop_unused,
        "kv_tokens": origin.kv_tokens,
    }
    return {name: value for name, value in given.items() if value}


class _Writer:
    """Turns bounds on an instance, on its reduction, or on relaxations of either, into steps.

    Parameters
    ----------
    priced, instance
        The graph, priced; and with what is fixed beforehand.
    of_priced
        ``[nodes of the priced graph]`` the node of the instance that each is: a log numbers nodes by the smallest.
    entries
        What each member of the run ran.
    limited
        Whether a limit on memory takes the place of streaming.
    """

    def __init__(
        self,
        priced: Instance,
        instance: Instance,
        of_priced: IntArray,
        entries: Mapping[str, str],
        *,
        limited: bool = False,
    ) -> None:
        self.priced, self.instance, self.of_priced, self.entries = priced, instance, of_priced, entries
        self.limited = limited

    def steps_of(self, bound: BoundRecord) -> list[Step] | None:
        """Return steps that prove a bound; None where no rule does."""
        certificate = bound.certificate
        posed = None if certificate is None else self._posed(certificate.instance)
        if certificate is not None and posed is not None:
            last = steps_of(certificate, posed[1])
            if last is not None:
                return [*posed[0], *last]
        spec = EntrySpec.parse(self.entries.get(bound.source, bound.source))
        exact = spec.name == FEW_IDEALS or (spec.name == IDEAL_DP and "epsilon" not in dict(spec.arguments))
        if exact or self.is_narrow:
            return [*self._contraction, Step(rule="ideal-program", data={"threshold": bound.ticks - 1})]
        return None

    @cached_property
    def is_narrow(self) -> bool:
        """Whether there are few ideals: then the ideal program refutes all that is below the optimum."""
        return count_ideals(self._reduced, max_ideals=MOST_IDEALS)[1]

    def _posed(self, digest: str) -> tuple[list[Step], IntArray] | None:
        """Return the steps that lead to the instance of a certificate, and how a log numbers its nodes."""
        for reduced in (False, True):
            steps = list(self._contraction) if reduced else []
            instance, number = (self._reduced, self._reduced_number) if reduced else (self.instance, self._number)
            # Parameters that count towards a limit are none of the priced graph: nobody is charged for them here.
            for charged in (False, True) if len(instance.shared) and instance.stage_limit is None else (False,):
                relaxed = instance.charged() if charged else instance.without_limit()
                path = [*steps, *(self._charge(instance, reduced, number) if charged else [])]
                smaller = relaxed.uniform()
                if smaller is not relaxed:
                    if relaxed.sha256() == digest:
                        return path, number
                    if relaxed.without_worksets().sha256() == digest:
                        return [*path, Step(rule="narrow")], number
                    relaxed = smaller
                if self.priced.unequal is not None:
                    # Also where kinds cost the same and only their limits differ.
                    path = [*path, Step(rule="uniform")]
                path += self._limits(instance)
                if relaxed.sha256() == digest:
                    return path, number
                if relaxed.without_worksets().sha256() == digest:
                    return [*path, Step(rule="narrow")], number
        return None

    def _limits(self, instance: Instance) -> list[Step]:
        """Return the steps that make parameters of a limit, and nodes of pins, as entries without limits see them."""
        limit, steps = instance.stage_limit, list[Step]()
        if limit is None:
            return steps
        amount, pinned = instance.capacity, len(limit.anchors) > 0
        anchored = pinned and bool((instance.parameter_cost[limit.anchors] == amount).all())
        if self.limited and instance.can_overflow and not anchored:
            steps.append(Step(rule="hold", data={"amount": amount}))
        if pinned:
            steps.append(Step(rule="anchor", data={"amount": amount if anchored else 0}))
        return steps

    @cached_property
    def _contraction(self) -> list[Step]:
        moves = self._number[np.array(self._reduction[1], np.int64)].ravel().tolist()
        return [Step(rule="contract", data={"moves": moves})] if moves else []

    @cached_property
    def _number(self) -> IntArray:
        return _numbering(self.of_priced, self.instance.n)

    @cached_property
    def _reduced_number(self) -> IntArray:
        return _numbering(self._reduced.node_of_input[self.of_priced], self._reduced.n)

    @property
    def _reduced(self) -> Instance:
        return self._reduction[0]

    @cached_property
    def _reduction(self) -> tuple[Instance, list[tuple[int, int]]]:
        return moves_of_reduction(self.instance)

    def _charge(self, instance: Instance, reduced: bool, number: IntArray) -> list[Step]:
        """Return the step that lets one user pay for each shared parameter of the given instance.

        The log knows the shared parameters of the priced graph, those that one node is left to use included.
        """
        payers = dict(
            zip(
                _users(instance, np.arange(instance.n)),
                instance.shared.payers(instance.work + instance.parameter_cost).tolist(),
                strict=True,
            )
        )
        holders = _users(self.priced, instance.node_of_input[self.of_priced] if reduced else self.of_priced)
        return [Step(rule="charge", data={"payers": [int(number[payers.get(row, min(row))]) for row in holders]})]


def _users(instance: Instance, node_of: IntArray) -> list[frozenset[int]]:
    shared = instance.shared
    return [frozenset(node_of[shared.users[shared.ptr[q] : shared.ptr[q + 1]]].tolist()) for q in range(len(shared))]


def _numbering(of_priced: IntArray, n: int) -> IntArray:
    """Return the number that a log gives each node of an instance: by the smallest priced node that it holds.

    Nodes that hold none, anchors of stages without pins, come last: no step names them.
    """
    first = np.full(n, len(of_priced), np.int64)
    np.minimum.at(first, of_priced, np.arange(len(of_priced), dtype=np.int64))
    ranks = np.empty(n, np.int64)
    ranks[np.argsort(first, kind="stable")] = np.arange(n)
    return ranks


def steps_of(certificate: Certificate, number: IntArray) -> list[Step] | None:
    """Return the steps that a certificate is, `number` as in `step_of`: one, or two if it is of a contracted instance.

    None for kinds without a rule.
    """
    steps, data = list[Step](), dict(certificate.data)
    if "node_of" in data and certificate.kind == "fixing":
        node_of = np.array(data.pop("node_of"), np.int64)
        rest = {kind: data.pop(kind) for kind in set(data) - {"version", "threshold", "rounds"}}
        rounds_made = fixing_of(data, number)
        ((kind, shown),) = rest.items()
        last_ones = steps_of(Certificate(kind=kind, data=shown), _of_merged(node_of, number))
        if rounds_made is None or last_ones is None:
            return None
        return [replace(rounds_made, rule="filter"), *last_ones]
    if "node_of" in data:
        rounds = [number[np.array(pairs, np.int64)].tolist() for pairs in data.pop("rounds")]
        steps.append(Step(rule="threshold-contract", data={"threshold": data["threshold"], "rounds": rounds}))
        number = _of_merged(np.array(data.pop("node_of"), np.int64), number)
    if certificate.kind == "merged":
        factor = data.pop("factor")
        ((kind, of_smaller),) = data.items()
        last_ones = steps_of(Certificate(kind=kind, data=of_smaller), number)
        return last_ones and [Step(rule="merge", data={"factor": factor}), *last_ones]
    last = step_of(replace(certificate, data=data), number)
    return None if last is None else [*steps, last]


def _of_merged(node_of: IntArray, number: IntArray) -> IntArray:
    """Return the number that a log gives each node that several became: by the smallest number of what it holds."""
    return _numbering(node_of[np.argsort(number)], int(node_of.max()) + 1)


def step_of(certificate: Certificate, number: IntArray) -> Step | None:
    """Return the step that a certificate is; None for kinds without a rule.

    Parameters
    ----------
    number
        ``[n]`` how the log numbers the nodes of the instance that it speaks of.
    """
    data = certificate.data
    refuting = {"stage-cover": "tree", "counting": "trees", "spreading-metric": "multipliers"}
    if certificate.kind in refuting and not any(data.get(refuting[certificate.kind], ())):
        # Stage windows alone refute it.
        return Step(rule="windows", data={"threshold": data["threshold"]})
    match certificate.kind:
        case "simple":
            return None if data else Step(rule="simple")
        case "tensor-count":
            return None if data else Step(rule="tensor-count")
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
        case "spreading-metric":
            return metric_of(data, number)
        case "lp":
            return lp_dual_of(data, number)
        case "nested-cuts":
            if not is_current("nested-cuts", data.get("version")):
                return None
            tree = [[int(number[row[0]]), row[1]] if len(row) == 2 else row for row in data["tree"]]
            tensors = [number[ends].tolist() for ends in data["tensors"]]
            kept = {name: data[name] for name in BOUNDS["nested-cuts"]}
            return Step(rule="nested-cuts", data={**kept, "tree": tree, "tensors": tensors})
        case "core-fluid":
            return core_program_of(data, number)
        case "fixing":
            return fixing_of(data, number)
        case _:
            return None


def _by_number(values: Sequence[int], number: IntArray) -> list[int]:
    return [values[v] for v in np.argsort(number)]


def _renamed(tree: Sequence[int], number: IntArray) -> list[int]:
    """Return a tree with the nodes that it branches on as the log numbers them."""
    rows = [list(tree[i : i + 3]) for i in range(0, len(tree), 3)]
    return [x for a, b, c in rows for x in ((int(number[a]), b, c) if b == -1 else (a, b, c))]
