"""Graphs of the testbed as their records see them: priced with one device, and partitions priced on that."""

from __future__ import annotations

from dataclasses import dataclass

from framework.errors import UserError
from framework.formats import BUNDLED_SCHEME, read_graph
from framework.model.arrays import IntArray
from framework.model.device import Device, load_device
from framework.model.graph import ModelGraph
from framework.model.instance import Instance
from framework.model.pricing import quantise
from framework.model.problem import Partition, Problem, stage_costs
from framework.portfolio.constraints import on_instance
from framework.records.pair import DEVICE, STAGES, GraphRecords, PairRecord, stages_of_runs
from framework.testbed.catalogue import bundled_graphs


@dataclass(frozen=True, slots=True, kw_only=True)
class PosedGraph:
    """A graph of the testbed, priced with the device of the records.

    Attributes
    ----------
    name
        Its name in the catalogue.
    instance_sha256
        Digest of `instance`.
    """

    name: str
    graph: ModelGraph
    device: Device
    instance: Instance
    instance_sha256: str
    ticks_per_second: float

    def no_records(self) -> GraphRecords:
        """Return the records of this graph before anything is known."""
        return GraphRecords(
            graph=self.name,
            sha256=self.graph.named_sha256(),
            instance=self.instance_sha256,
            ticks_per_second=self.ticks_per_second,
            pairs={},
        )

    def bottleneck(self, stage_of: IntArray, stages: int) -> int:
        """Price a partition with the evaluator; return its bottleneck in ticks.

        Raises
        ------
        ValueError
            If it is no partition of the graph into so many stages.
        """
        if len(stage_of) != self.graph.topology.n:
            raise ValueError(f"it is of {len(stage_of)} nodes, the graph has {self.graph.topology.n}")
        if int(stage_of.min()) < 0 or int(stage_of.max()) >= stages:
            raise ValueError(f"it has a stage {int(stage_of.max())}, the stages are 0 to {stages - 1}")
        problem = Problem(instance=self.instance, stages=stages)
        stage, _ = on_instance(problem, stage_of)
        return stage_costs(problem, Partition(stage_of=stage)).bottleneck


def pose(name: str) -> PosedGraph:
    """Read a bundled graph and price it with the device of the records.

    Raises
    ------
    UserError
        If there is none of that name.
    """
    graph, device = read_graph(f"{BUNDLED_SCHEME}{name}"), load_device(DEVICE)
    quantised = quantise(graph, device)
    return PosedGraph(
        name=name,
        graph=graph,
        device=device,
        instance=quantised.instance,
        instance_sha256=quantised.instance.sha256(),
        ticks_per_second=quantised.rounding.ticks_per_unit,
    )


def recordable_pairs() -> dict[str, tuple[int, ...]]:
    """Return the numbers of stages that each bundled graph can have records of: no more than it has nodes."""
    return {row.name: tuple(k for k in STAGES if k <= row.nodes) for row in bundled_graphs()}


def check_digest(records: GraphRecords) -> None:
    """Refuse records of a graph that the catalogue no longer has, without reading the graph.

    Raises
    ------
    UserError
        If there is no such graph, or it has another digest.
    """
    row = next((row for row in bundled_graphs() if row.name == records.graph), None)
    if row is None:
        raise UserError("the testbed has no such graph", where=f"the records of {records.graph}")
    if row.sha256 != records.sha256:
        what = f"they are of another graph: its digest was {records.sha256[:16]}..., and is {row.sha256[:16]}..."
        raise UserError(what, where=f"the records of {records.graph}", hint="remove them, and fill them again")


def faults_of_graph(records: GraphRecords, posed: PosedGraph) -> list[str]:
    """Return what the records say wrongly of the graph: its digest, that of its prices, and the scale of ticks."""
    today = posed.no_records()
    return [
        f"{what} was {str(said)[:16]} when the records were made, and is {str(found)[:16]}"
        for what, said, found in (
            ("the digest of the graph", records.sha256, today.sha256),
            ("the digest of its instance", records.instance, today.instance),
            ("the number of ticks in a second", records.ticks_per_second, today.ticks_per_second),
        )
        if said != found
    ]


def faults_of_pair(pair: PairRecord, posed: PosedGraph) -> list[str]:
    """Price the partition of a record again; return what the record says wrongly, nothing if it is right."""
    faults = []
    if pair.best is not None:
        try:
            ticks = posed.bottleneck(stages_of_runs(pair.best.runs, posed.graph), pair.stages)
        except ValueError as error:
            return [f"the partition is none: {error}"]
        if ticks != pair.best.ticks:
            faults.append(f"the bottleneck is {ticks}, the record says {pair.best.ticks}")
        if pair.bounds and pair.bounds[0].ticks > ticks:
            faults.append(f"the dual bound {pair.bounds[0].ticks} exceeds the bottleneck {ticks}")
    return faults
