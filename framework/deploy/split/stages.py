"""Cutting an ONNX graph into the graphs of its stages.

* A node of the model graph is one ONNX node; it goes to the stage that the partition says, with its name, and with its
  subgraphs. What a subgraph takes from around it counts as used by the node.
* A node that computes constants is copied to every stage that uses its result, directly or through other constants,
  and so are initializers: a weight that two stages share is in both. A constant that is a result of the model goes to
  the last stage.
* A stage's inputs are the values it uses and neither computes nor holds; its outputs are what later stages use and the
  results of the model that it computes. Names of values stay, so the tensor that leaves one stage is the one of
  the same name that enters another.
* A DequantizeLinear with constant scale and zero point is computed in every stage that uses its result, and so is not
  cut from its users: onnxruntime computes such pairs in integers, and what crosses is the exact integer tensor.
* A node that no result of the model depends on is in no stage, unless asked for.
* Nodes keep the order of the model, which is topological, so each stage's order is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx

from framework.deploy.onnx_model import ModelFile
from framework.errors import UserError
from framework.formats.onnx.wiring import unused_nodes, used_values
from framework.wording import counted


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stage:
    """One stage of a model.

    Attributes
    ----------
    number
        Its number in the partition; empty stages have no `Stage`.
    proto
        Its model; heavy weights are referred to as in the whole model.
    nodes
        Names of the nodes of the model graph that the partition puts there.
    copies
        Names of nodes of other stages that are computed here too.
    left_out
        Those of `nodes` that are not computed here: nothing uses them, or only other stages, which have copies.
    inputs, outputs
        Names of the values that enter and leave it.
    """

    number: int
    proto: onnx.ModelProto
    nodes: tuple[str, ...]
    copies: tuple[str, ...]
    left_out: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def cut_model(
    model: ModelFile, stage_of: Sequence[int], dims: Mapping[str, int], *, keep_unused: bool = False
) -> list[Stage]:
    """Return the stages of a partition that are not empty, in order.

    Parameters
    ----------
    stage_of
        Stage of each node of the model graph.
    dims
        Sizes of symbolic dimensions; needed only where a shape cannot be inferred without them.
    keep_unused
        Whether to keep nodes that no result of the model depends on.

    Raises
    ------
    UserError
        If the partition does not fit the model, sends a tensor back, or cuts a tensor of unknown type.
    """
    return _Cutter(model, stage_of, dims, keep_unused).cut()


class _Cutter:
    def __init__(self, model: ModelFile, stage_of: Sequence[int], dims: Mapping[str, int], keep_unused: bool) -> None:
        if len(stage_of) != len(model.placed):
            raise UserError(
                f"the partition has {counted(len(stage_of), 'node')}, the model {len(model.placed)}",
                where=str(model.path),
            )
        self._model = model
        self._dims = dims
        self._graph = model.proto.graph
        self._stage_at = {position: stage_of[i] for i, (position, _) in enumerate(model.placed)}
        self._maker = {name: i for i, node in enumerate(self._graph.node) for name in node.output if name}
        self._results = [value.name for value in self._graph.output]
        self._numbers = sorted(set(stage_of))
        self._users: dict[str, set[int]] = {}
        self._computed: dict[int, set[int]] = {}
        unused = set() if keep_unused else set(unused_nodes(self._graph, self._graph.node))
        # Users come after what they use, so that it is known where they are.
        for position in sorted(self._stage_at, reverse=True):
            if position not in unused:
                self._place(position)

    def cut(self) -> list[Stage]:
        return [self._stage(number) for number in self._numbers]

    def _place(self, position: int) -> None:
        """Decide in which stages a node is computed, and note what it uses there."""
        node, own = self._graph.node[position], self._stage_at[position]
        homes = {own}
        if self._follows_its_users(node):
            users = {stage for name in node.output for stage in self._users.get(name, ())}
            late = [stage for stage in users if stage < own]
            homes = users | ({own} if late or not users or set(node.output) & set(self._results) else set())
            homes -= set(late)
        self._computed[position] = homes
        for name in used_values(node):
            self._users.setdefault(name, set()).update(homes)

    def _follows_its_users(self, node: onnx.NodeProto) -> bool:
        """Whether a node is copied to the stages that use its result: a DequantizeLinear with constant scales."""
        constants = self._model.constants
        return node.op_type == "DequantizeLinear" and all(not name or name in constants for name in node.input[1:])

    def _home(self, value: str) -> int | None:
        """Return the stage that a value comes from; None for constants and inputs of the model."""
        position = self._maker.get(value)
        homes = self._computed.get(-1 if position is None else position)
        return min(homes) if homes else None

    def _stage(self, number: int) -> Stage:
        constants = self._model.constants
        own = [position for position, homes in self._computed.items() if number in homes]
        used = dict.fromkeys(name for position in sorted(own) for name in used_values(self._graph.node[position]))
        made = [name for position in sorted(own) for name in self._graph.node[position].output if name]
        fixed = [name for name in used if name in constants]
        outputs = [name for name in made if self._leaves(name, number)]
        if number == self._numbers[-1]:
            held = [name for name in self._results if name in constants]
            fixed += held
            outputs += [name for name in held if name not in outputs]
        inputs = [name for name in used if name not in constants and name not in made]
        for name in inputs:
            home = self._home(name)
            if home is not None and home > number:
                raise UserError(
                    f"stage {number} uses {name!r}, which stage {home} computes",
                    where=str(self._model.path),
                    hint="the partition is not of this model",
                )
        positions, stored = self._constant_parts(fixed)
        proto = self._assemble(number, sorted({*own, *positions}), stored, inputs, outputs)
        names = dict(self._model.placed)
        assigned = [position for position, stage in self._stage_at.items() if stage == number]
        return Stage(
            number=number,
            proto=proto,
            nodes=tuple(names[position] for position in sorted(assigned)),
            copies=tuple(names[position] for position in sorted(set(own) - set(assigned))),
            left_out=tuple(names[position] for position in sorted(set(assigned) - set(own))),
            inputs=tuple(inputs),
            outputs=tuple(outputs),
        )

    def _leaves(self, value: str, number: int) -> bool:
        """Whether a stage that computes a value hands it over, or gives it as a result."""
        position = self._maker[value]
        homes = self._computed[position]
        if value in self._results and number == (self._stage_at[position] if len(homes) > 1 else min(homes)):
            return True
        return bool(self._users.get(value, set()) - homes)

    def _constant_parts(self, values: Sequence[str]) -> tuple[set[int], set[str]]:
        """Return the positions of the nodes, and the names of the initializers, that constants are computed from."""
        positions: set[int] = set()
        stored: set[str] = set()
        todo = list(values)
        while todo:
            name = todo.pop()
            position = self._maker.get(name)
            if position is None:
                stored.add(name)
            elif position not in positions:
                positions.add(position)
                todo += used_values(self._graph.node[position])
        return positions, stored

    def _assemble(
        self, number: int, positions: Sequence[int], stored: set[str], inputs: Sequence[str], outputs: Sequence[str]
    ) -> onnx.ModelProto:
        whole = self._model.proto
        proto = onnx.ModelProto(
            ir_version=whole.ir_version,
            producer_name=whole.producer_name,
            producer_version=whole.producer_version,
            domain=whole.domain,
            model_version=whole.model_version,
            opset_import=whole.opset_import,
            metadata_props=whole.metadata_props,
        )
        graph = proto.graph
        graph.name = f"{self._graph.name or 'model'}.stage{number}"
        graph.node.extend(self._graph.node[position] for position in positions)
        graph.initializer.extend(tensor for tensor in self._graph.initializer if tensor.name in stored)
        graph.sparse_initializer.extend(s for s in self._graph.sparse_initializer if s.values.name in stored)
        graph.input.extend(self._typed(name) for name in inputs)
        # Old models, and those with defaults that a user may override, list initializers as inputs too.
        graph.input.extend(value for value in self._graph.input if value.name in stored)
        graph.output.extend(self._typed(name) for name in outputs)
        inside = {name for node in graph.node for name in node.output} - set(outputs)
        graph.value_info.extend(value for value in self._graph.value_info if value.name in inside)
        known = inside | stored | set(inputs) | set(outputs)
        graph.quantization_annotation.extend(
            note for note in self._graph.quantization_annotation if note.tensor_name in known
        )
        return proto

    def _typed(self, name: str) -> onnx.ValueInfoProto:
        declared = self._model.open_types.get(name)
        if declared is not None and declared.WhichOneof("value") == "tensor_type":
            tensor = declared.tensor_type
            if tensor.elem_type and tensor.HasField("shape"):
                return onnx.ValueInfoProto(name=name, type=declared)
        values = self._model.bound_values(self._dims)
        found, kind = values.get(name), values.element_type(name)
        if found is None or not kind:
            raise UserError(
                f"the partition cuts {name!r}, whose type is unknown",
                where=str(self._model.path),
                hint="store its type and shape in the file's value_info",
            )
        # At these sizes only: the number of dimensions is all that holds for every size.
        return onnx.helper.make_tensor_value_info(name, kind, [None] * len(found.shape))
