"""The problem behind a split: the graph that was solved, what priced it, and the constraints of the partition."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from framework.deploy.split.assignment import Splittable, fused_groups
from framework.deploy.split.manifest import Manifest
from framework.deploy.tuning.correction import Correction
from framework.errors import UserError
from framework.fields import Fields
from framework.formats import read_graph
from framework.formats.profile_note import read_note
from framework.model.arrays import IntArray
from framework.model.device import Device
from framework.model.device_chain import DeviceChain, read_devices
from framework.model.exact import exact_stage_costs
from framework.model.graph import FloatArray, ModelGraph, PhysicalCosts
from framework.model.pricing import price
from framework.model.problem import Partition, Problem, StageCosts, obeys, stage_costs
from framework.portfolio.constraints import Constraints, constrain, on_instance
from framework.portfolio.result import stage_rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solved:
    """A graph with costs in seconds, ready to be solved again.

    Attributes
    ----------
    graph, device
        What was solved and what priced it.
    stages
        Number of stages k.
    constraints
        All that the solved partition had to obey.
    fused
        Those of its `same_stage` sets that say only what onnxruntime fused: better kept, but no wish of the user.
    note
        What `pipebound profile` noted in the graph; empty if it is no profile.
    """

    graph: ModelGraph
    device: Device | None
    stages: int
    constraints: Constraints
    fused: tuple[tuple[str, ...], ...]
    note: dict[str, Any]

    def work(self) -> FloatArray:
        """Return ``[n]`` the seconds of each node, measured or by the roofline."""
        instance = price(self.graph, self.device)
        return np.asarray(instance.work[instance.node_of_input] / instance.ticks_per_unit, np.float64)

    def link_seconds(self, stage_of: IntArray) -> FloatArray:
        """Return ``[k]`` the seconds of each stage's transfers and streamed parameters."""
        costs, scale = self._costs(stage_of)
        return np.asarray((costs.inbound + costs.outbound + costs.overflow) / scale, np.float64)

    def stage_rows(self, stage_of: IntArray) -> list[dict[str, float]]:
        """Return the parts of every stage's cost in seconds, as in a result file."""
        streamed = self.constraints.memory_limit is None
        return stage_rows(exact_stage_costs(self.graph, self.device, stage_of, self.stages, streamed=streamed))

    def bottleneck(self, stage_of: IntArray) -> float:
        """Return the seconds of the slowest stage."""
        costs, scale = self._costs(stage_of)
        return costs.bottleneck / scale

    def _costs(self, stage_of: IntArray) -> tuple[StageCosts, float]:
        device = self.device
        if device is not None and self.constraints.memory_limit is not None:
            device = device.override(fast_memory=math.inf)
        instance = price(self.graph, device)
        stages = np.empty(instance.n, np.int64)
        stages[instance.node_of_input] = stage_of
        problem = Problem(instance=instance, stages=self.stages)
        return stage_costs(problem, Partition(stage_of=stages)), instance.ticks_per_unit

    def allows(self, stage_of: IntArray) -> bool:
        """Whether a partition obeys what the user fixed; undoing a fusion is allowed."""
        wishes = replace(
            self.constraints,
            same_stage=tuple(names for names in self.constraints.same_stage if names not in self.fused),
        )
        instance = constrain(price(self.graph, self.device), self.graph, wishes, self.stages)
        problem = Problem(instance=instance, stages=self.stages)
        stages, apart = on_instance(problem, stage_of)
        return apart is None and obeys(problem, Partition(stage_of=stages))

    def corrected(self, correction: Correction) -> Solved:
        """Return the problem with corrected costs: seconds of nodes, bandwidth and latency of transfers."""
        assert isinstance(self.graph.costs, PhysicalCosts)
        assert self.device is not None
        assert self.device.link_bandwidth is not None
        costs = replace(self.graph.costs, seconds=self.work() * correction.node)
        # Overflow is divided by the same bandwidth, so that it is corrected with the transfers.
        device = self.device.override(
            link_bandwidth=self.device.link_bandwidth / correction.link,
            link_latency=self.device.link_latency * correction.link,
        )
        return replace(self, graph=replace(self.graph, costs=costs), device=device)


def solved_graph(manifest: Manifest, model: Splittable) -> tuple[ModelGraph, Device | None] | None:
    """Return the graph that a split's partition was found on, in seconds, and its device; None if there is none.

    Raises
    ------
    UserError
        If there was one, and it cannot be read any more.
    """
    stored = manifest.document.get("predicted")
    if not stored or stored["unit"] != "s":
        return None
    path = stored["graph"]
    # Of the model itself the unsplit file has the graph, whether or not its weights were generated.
    own = path is None or Path(path).name == model.path.name
    if own:
        unused, tokens = stored.get("drop_unused", False), stored.get("kv_tokens", 0)
        graph = model.read_graph(manifest.dims, drop_unused=unused, kv_tokens=tokens)
    else:
        graph = read_graph(path)
    if graph.node_names != model.node_names:
        return None
    device = None if stored["device"] is None else read_devices(Fields(stored["device"], "the manifest", "device"))
    if isinstance(device, DeviceChain):
        raise UserError(
            "the split is for stages on different devices, and this machine is one", hint="measure on each device"
        )
    return graph, device


def read_solved(manifest: Manifest, model: Splittable) -> Solved:
    """Return the problem behind a split.

    Raises
    ------
    UserError
        If the manifest knows none in seconds, or its graph cannot be read.
    """
    where = str(manifest.folder)
    found = solved_graph(manifest, model)
    if found is None:
        raise UserError(
            "the split names no graph of this model in seconds, so its costs cannot be corrected",
            where=where,
            hint="split a result of the model or of its profile",
        )
    graph, device = found
    if not isinstance(graph.costs, PhysicalCosts) or device is None:
        raise UserError("the graph that was solved carries its own prices", where=where, hint="solve a profile")
    stored = manifest.document["predicted"]
    constraints = Constraints.from_dict(stored.get("constraints"))
    note = {} if stored["graph"] is None else read_note(stored["graph"])
    fused = fused_groups(stored["graph"]) if note.get("operators") is not None else ()
    return Solved(
        graph=graph,
        device=device,
        stages=int(stored["stages"]),
        constraints=constraints,
        fused=fused,
        note=note,
    )
