"""ModelGraph: a model as a file describes it, before any device prices it.

Either its costs are *physical* (FLOPs, bytes, perhaps measured seconds), and a `Device` prices them, or they
are *priced* already in one unit of the file's own.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from framework.errors import UserError
from framework.model.arrays import IntArray
from framework.model.shared import SharedParameters
from framework.model.topology import Topology, find_cycle
from framework.model.training import TrainingStep
from framework.wording import counted

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PhysicalCosts:
    """What a device needs to know to price a graph.

    Attributes
    ----------
    flops
        ``[n]`` floating point operations per inference (a multiply-add is two).
    parameter_bytes, accessed_bytes
        ``[n]`` size of the parameters that the node alone uses; bytes read and written when the node runs, all of its
        parameters included.
    seconds
        ``[n]`` measured running time; NaN where there is none and the roofline decides.
    tensor_bytes
        ``[m]`` size of each tensor.
    shared_bytes
        Size of each shared parameter (`ModelGraph.shared`).
    device_seconds
        Running times on certain devices, by their names, ``[n]`` each; NaN where `seconds` or the roofline decides.
    state_bytes, workspace_bytes
        ``[n]`` what a node keeps from one inference to the next (a cache of keys and values, a recurrent state), which
        is never streamed; what it needs besides inputs and outputs while it runs. None are given where it is nothing.
    backward_flops, backward_seconds, gradient_bytes
        What training takes beside an inference: operations and measured time of the gradients of each node, ``[n]``,
        and the size of the gradient that goes back for each tensor, ``[m]``. NaN, or none given, where that is not
        known and `framework.formats.training` has to derive it.
    streams
        How often parameters beyond the fast memory cross the link for an input.
    """

    flops: FloatArray
    parameter_bytes: FloatArray
    accessed_bytes: FloatArray
    seconds: FloatArray
    tensor_bytes: FloatArray
    shared_bytes: FloatArray = field(default_factory=lambda: np.zeros(0))
    state_bytes: FloatArray = field(default_factory=lambda: np.zeros(0))
    workspace_bytes: FloatArray = field(default_factory=lambda: np.zeros(0))
    device_seconds: Mapping[str, FloatArray] = field(default_factory=dict)
    backward_flops: FloatArray = field(default_factory=lambda: np.zeros(0))
    backward_seconds: FloatArray = field(default_factory=lambda: np.zeros(0))
    gradient_bytes: FloatArray = field(default_factory=lambda: np.zeros(0))
    streams: int = 1

    def __post_init__(self) -> None:
        for name, size, absent in (
            ("state_bytes", len(self.flops), 0.0),
            ("workspace_bytes", len(self.flops), 0.0),
            ("backward_flops", len(self.flops), math.nan),
            ("backward_seconds", len(self.flops), math.nan),
            ("gradient_bytes", len(self.tensor_bytes), math.nan),
        ):
            if not len(getattr(self, name)):
                object.__setattr__(self, name, np.full(size, absent))

    def seconds_on(self, device: str | None) -> FloatArray:
        """Return the running times measured on a device, ``[n]``, else anywhere; NaN where there is none."""
        own = None if device is None else self.device_seconds.get(device)
        return self.seconds if own is None else np.where(np.isnan(own), self.seconds, own)

    @property
    def knows_training(self) -> bool:
        """Whether something is known of what training takes."""
        columns = (self.backward_flops, self.backward_seconds, self.gradient_bytes)
        return not all(np.isnan(column).all() for column in columns)

    @property
    def holds_more(self) -> bool:
        """Whether some node has state or workspace."""
        return bool(self.state_bytes.any() or self.workspace_bytes.any())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PricedCosts:
    """Costs in one unit of time already; integer arrays stay integers all the way.

    Attributes
    ----------
    unit
        Name of the unit, for reports ("ms", "ticks", ...).
    work, parameter_cost
        ``[n]`` running time; time to stream the parameters in that the node alone uses.
    tensor_cost
        ``[m]`` time to send the tensor over a link once.
    capacity
        Parameter cost that a stage keeps in fast memory for free; None where there is no overflow.
    shared_cost
        Time to stream each shared parameter in (`ModelGraph.shared`).
    """

    unit: str
    work: IntArray | FloatArray
    parameter_cost: IntArray | FloatArray
    tensor_cost: IntArray | FloatArray
    capacity: int | float | None
    shared_cost: IntArray | FloatArray = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelGraph:
    """A validated computation graph: non-empty, acyclic, with finite non-negative costs.

    Attributes
    ----------
    name, source
        What it is, where it comes from (both for people).
    node_names, ops
        One per node, in the order of the input file.
    topology
        Its nodes and tensors; not necessarily numbered topologically.
    costs
        Physical or priced costs.
    batch, dtype
        As the file states them; informative.
    default_stages
        Number of stages that the file suggests, if it does.
    node_ids
        What the file calls its nodes where these are not their names; empty otherwise.
    remarks
        What the reader wants the user to know (for instance that some operators' costs are guessed).
    shared
        The parameters that several nodes use, and which those are.
    shared_names
        One per shared parameter; empty where they have none.
    step
        What is known besides if this is the graph of a training step; None for an inference.
    """

    name: str
    source: str
    node_names: tuple[str, ...]
    ops: tuple[str, ...]
    topology: Topology
    costs: PhysicalCosts | PricedCosts
    batch: int | None = None
    dtype: str | None = None
    default_stages: int | None = None
    remarks: tuple[str, ...] = ()
    node_ids: tuple[int | str, ...] = ()
    shared: SharedParameters = field(default_factory=SharedParameters)
    shared_names: tuple[str, ...] = ()
    step: TrainingStep | None = None

    def __repr__(self) -> str:
        size = f"{counted(self.topology.n, 'node')}, {counted(self.topology.m, 'tensor')}"
        costs = "FLOPs and bytes" if isinstance(self.costs, PhysicalCosts) else f"costs in {self.costs.unit}"
        return f"<ModelGraph {self.name}: {size}, {costs}>"

    def __post_init__(self) -> None:
        n = self.topology.n
        if n == 0:
            raise UserError("the graph has no nodes", where=self.source)
        if not (len(self.node_names) == len(self.ops) == n):
            raise ValueError("node_names and ops must have one entry per node")
        self._check_costs()
        if not self.topology.is_topological and (cycle := find_cycle(self.topology)):
            shown = [self.node_names[v] for v in [*cycle[:6], *([] if len(cycle) > 6 else cycle[:1])]]
            tail = " -> ..." if len(cycle) > 6 else ""
            raise UserError(
                f"the graph has a cycle of {counted(len(cycle), 'node')}: {' -> '.join(shown)}{tail}",
                where=self.source,
                hint="a pipeline needs an acyclic graph; unroll or cut the loop",
            )

    def _check_costs(self) -> None:
        per_node: dict[str, NDArray[np.generic]]
        if isinstance(self.costs, PhysicalCosts):
            per_node = {
                "flops": self.costs.flops,
                "parameter_bytes": self.costs.parameter_bytes,
                "accessed_bytes": self.costs.accessed_bytes,
                "state_bytes": self.costs.state_bytes,
                "workspace_bytes": self.costs.workspace_bytes,
                "seconds": np.nan_to_num(self.costs.seconds, nan=0.0, posinf=np.inf, neginf=-np.inf),
            }
            for device, seconds in self.costs.device_seconds.items():
                per_node[f"seconds on {device}"] = np.nan_to_num(seconds, nan=0.0, posinf=np.inf, neginf=-np.inf)
            for name in ("backward_flops", "backward_seconds"):
                per_node[name] = np.nan_to_num(getattr(self.costs, name), nan=0.0, posinf=np.inf, neginf=-np.inf)
            gradients = np.nan_to_num(self.costs.gradient_bytes, nan=0.0, posinf=np.inf, neginf=-np.inf)
            per_tensor: dict[str, NDArray[np.generic]] = {
                "bytes": self.costs.tensor_bytes,
                "gradient_bytes": gradients,
            }
            shared: NDArray[np.generic] = self.costs.shared_bytes
        else:
            per_node = {"work": self.costs.work, "parameter_cost": self.costs.parameter_cost}
            per_tensor = {"cost": self.costs.tensor_cost}
            shared = self.costs.shared_cost
            capacity = self.costs.capacity
            if capacity is not None and not 0 <= capacity < math.inf:
                raise UserError(f"capacity is {capacity}", where=self.source, hint="give a number >= 0")
        for name, values in per_node.items():
            self._check_values(name, values, self.topology.n, lambda v: f"node {self.node_names[v]!r}")
        for name, values in per_tensor.items():
            self._check_values(name, values, self.topology.m, self._tensor_place)
        self._check_values("its size", shared, len(self.shared), self._shared_place)
        if len(self.shared) and not 0 <= int(self.shared.users.min()) <= int(self.shared.users.max()) < self.topology.n:
            raise ValueError("a shared parameter has a user that is no node")

    def _tensor_place(self, tensor: int) -> str:
        return f"a tensor of node {self.node_names[self.topology.producer[tensor]]!r}"

    def _shared_place(self, parameter: int) -> str:
        return f"shared parameter {self.shared_names[parameter] if self.shared_names else parameter!r}"

    def _check_values(
        self, field: str, values: NDArray[np.generic], expected: int, place: Callable[[int], str]
    ) -> None:
        if len(values) != expected:
            raise ValueError(f"{field} must have {expected} entries, not {len(values)}")
        numbers = values.astype(np.float64)
        bad = np.flatnonzero(~(np.isfinite(numbers) & (numbers >= 0)))
        if len(bad):
            i = int(bad[0])
            raise UserError(
                f"{place(i)}: {field} is {numbers[i]:g}",
                where=self.source,
                hint="costs must be finite and not negative",
            )

    @property
    def parameters_of_nodes(self) -> FloatArray:
        """``[n]`` bytes (or cost) of parameters per node, each shared one charged to its heaviest user: for reports."""
        costs = self.costs
        if isinstance(costs, PhysicalCosts):
            return _charged(self.shared, costs.parameter_bytes, costs.shared_bytes, costs.accessed_bytes)
        return _charged(self.shared, costs.parameter_cost, costs.shared_cost, costs.work)

    def sha256(self) -> str:
        """Digest of structure and costs (nodes' names and order included), whatever file they are in.

        The graph's own name is left out: for many formats it is the name of the file, which anybody may change.
        """
        return self._digest((self.node_names, self.ops))

    def named_sha256(self) -> str:
        """Digest that the graph's name is part of, by which the testbed and the stores of studies know it.

        Result files had this one before the name was left out.
        """
        return self._digest((self.name, self.node_names, self.ops))

    def is_called(self, sha256: str) -> bool:
        """Whether a result file with this digest, of any version of this program, is of this graph."""
        return sha256 in (self.sha256(), self.named_sha256())

    def _digest(self, names: tuple[object, ...]) -> str:
        digest = hashlib.sha256()
        digest.update(repr(names).encode())
        for array in (self.topology.producer, self.topology.consumer_ptr, self.topology.consumers):
            digest.update(array.tobytes())
        if isinstance(self.costs, PhysicalCosts):
            arrays: tuple[FloatArray, ...] = (
                self.costs.flops,
                self.costs.parameter_bytes,
                self.costs.accessed_bytes,
                self.costs.seconds,
                self.costs.tensor_bytes,
            )
            if self.costs.holds_more:
                arrays += (self.costs.state_bytes, self.costs.workspace_bytes)
            for physical in arrays:
                digest.update(physical.tobytes())
            if self.costs.knows_training:
                arrays = (self.costs.backward_flops, self.costs.backward_seconds, self.costs.gradient_bytes)
                digest.update(b"".join(array.tobytes() for array in arrays))
            if self.step is not None:
                digest.update(b"".join((repr(self.costs.streams).encode(), *self.step.arrays())))
            for device in sorted(self.costs.device_seconds):
                digest.update(device.encode() + self.costs.device_seconds[device].tobytes())
        else:
            digest.update(repr((self.costs.unit, self.costs.capacity)).encode())
            for priced in (self.costs.work, self.costs.parameter_cost, self.costs.tensor_cost):
                digest.update(priced.tobytes())
        if len(self.shared):
            sizes = self.costs.shared_bytes if isinstance(self.costs, PhysicalCosts) else self.costs.shared_cost
            digest.update(self.shared.ptr.tobytes() + self.shared.users.tobytes() + sizes.tobytes())
        return digest.hexdigest()


def _charged(
    shared: SharedParameters, own: IntArray | FloatArray, sizes: IntArray | FloatArray, weight: IntArray | FloatArray
) -> FloatArray:
    total = own.astype(np.float64)
    np.add.at(total, shared.payers(weight), sizes)
    return total
