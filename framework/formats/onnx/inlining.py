"""Before anything is read of an ONNX model: functions are inlined, and so is the branch that a constant takes.

What stays is the same for everyone who reads the file, so that its nodes have the same positions and names in `solve`
and in `split`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import onnx
from onnx import helper, inliner, numpy_helper

from framework.errors import UserError
from framework.formats.onnx.shapes.limits import check_functions
from framework.formats.onnx.wiring import all_graphs, check_order, subgraphs
from framework.wording import counted


def prepared(model: onnx.ModelProto, where: str) -> tuple[onnx.ModelProto, list[str]]:
    """Return a model without functions and without branches on constants, and remarks that say so.

    Parameters
    ----------
    where
        The file, for errors.

    Raises
    ------
    UserError
        If a value has no origin or several, is used too early, or functions cannot be inlined.
    """
    remarks = []
    for graph in all_graphs(model.graph):
        _check_text(graph, where)
    for function in model.functions:
        for node in function.node:
            _check_node_text(node, where)
    if model.functions:
        check_functions(model, where)
        what = counted(len(model.functions), "function of the model was", "functions of the model were")
        remarks.append(f"{what} inlined")
        try:
            model = inliner.inline_local_functions(model)
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"its functions cannot be inlined: {reason}", where=where, hint="check the model with onnx.checker"
            ) from None
    check_order(model.graph, where)
    taken = 0
    while (found := _constant_branch(model.graph)) is not None:
        _replace(model.graph, *found)
        taken += 1
    if taken:
        what = counted(taken, "branch on a constant (If) was", "branches on a constant (If) were")
        remarks.append(f"{what} replaced by what is taken")
    return model, remarks


def _check_text(graph: onnx.GraphProto, where: str) -> None:
    """Refuse names that are no UTF-8 text: protobuf hands these on as bytes, which nothing below expects."""
    for node in graph.node:
        _check_node_text(node, where)
    values = [*graph.input, *graph.output, *graph.value_info]
    names = [entry.name for entry in (*values, *graph.initializer, *(s.values for s in graph.sparse_initializer))]
    names += [dim.dim_param for value in values for dim in value.type.tensor_type.shape.dim]
    _refuse_bytes(names, where)


def _check_node_text(node: onnx.NodeProto, where: str) -> None:
    _refuse_bytes([node.name, node.op_type, node.domain, *node.input, *node.output], where)
    _refuse_bytes([held.name for held in node.attribute], where)


def _refuse_bytes(names: Iterable[object], where: str) -> None:
    for name in names:
        if not isinstance(name, str):
            raise UserError(f"the name {name!r} is no text", where=where, hint="the file is damaged")


def _constant_branch(graph: onnx.GraphProto) -> tuple[int, onnx.GraphProto] | None:
    """Return the position of the first If whose condition the model stores, and the branch it takes."""
    known: dict[str, bool] | None = None
    for position, node in enumerate(graph.node):
        if node.op_type != "If" or node.domain not in ("", "ai.onnx") or not node.input:
            continue
        known = _stored_conditions(graph) if known is None else known
        if node.input[0] in known:
            wanted = "then_branch" if known[node.input[0]] else "else_branch"
            branch = next((held.g for held in node.attribute if held.name == wanted and held.HasField("g")), None)
            if branch is not None and len(branch.output) >= len(node.output):
                return position, branch
    return None


def _stored_conditions(graph: onnx.GraphProto) -> dict[str, bool]:
    known: dict[str, bool] = {}
    for tensor in graph.initializer:
        _note(known, tensor.name, tensor)
    for node in graph.node:
        if node.op_type == "Constant" and node.output:
            for held in node.attribute:
                if held.name == "value":
                    _note(known, node.output[0], held.t)
        elif node.op_type in ("Identity", "Not", "Squeeze", "Unsqueeze", "Reshape", "Cast") and node.output:
            before = known.get(node.input[0]) if node.input else None
            if before is not None:
                known[node.output[0]] = before != (node.op_type == "Not")
    return known


def _note(known: dict[str, bool], name: str, tensor: onnx.TensorProto) -> None:
    if tensor.data_type != onnx.TensorProto.BOOL or tensor.data_location == onnx.TensorProto.EXTERNAL:
        return
    if not (tensor.raw_data or tensor.int32_data) or int(np.prod(tensor.dims)) != 1:
        return
    try:
        known[name] = bool(numpy_helper.to_array(tensor).item())
    except ValueError:
        return


def _replace(graph: onnx.GraphProto, position: int, branch: onnx.GraphProto) -> None:
    """Put a branch in the place of its If: its values keep their names where nothing else has them."""
    node = graph.node[position]
    body = onnx.GraphProto()
    body.CopyFrom(branch)
    outputs = list(node.output)
    prefix = node.name or outputs[0]
    taken = _names(graph, position)
    names = {tensor.name for tensor in body.initializer} | {s.values.name for s in body.sparse_initializer}
    made = {name for inner in body.node for name in inner.output if name}
    renamed: dict[str, str] = {}
    bridges = []
    for output, value in zip(outputs, body.output, strict=False):
        if value.name in made and value.name not in renamed and output:
            renamed[value.name] = output
        elif output:
            bridges.append((value.name, output))
    for name in sorted((names | made) - set(renamed)):
        if name in taken or name in renamed.values():
            renamed[name] = _fresh(f"{prefix}/{name}", taken | names | made | set(renamed.values()))
    _rename(body, renamed)
    inlined = list(body.node)
    inlined += [
        helper.make_node("Identity", [renamed.get(inner, inner)], [output], name=_fresh(f"{prefix}/{output}", taken))
        for inner, output in bridges
    ]
    nodes = [*graph.node[:position], *inlined, *graph.node[position + 1 :]]
    graph.ClearField("node")
    graph.node.extend(nodes)
    graph.initializer.extend(body.initializer)
    graph.sparse_initializer.extend(body.sparse_initializer)
    stated = {value.name for value in (*graph.value_info, *graph.output, *graph.input)}
    graph.value_info.extend(
        value
        for value in (*body.value_info, *body.output)
        if value.name in renamed.values() and value.name not in stated
    )
    graph.value_info.extend(
        value for value in body.value_info if value.name not in renamed.values() and value.name not in stated
    )


def _names(graph: onnx.GraphProto, position: int) -> set[str]:
    """Return the names of all values of a graph and of the bodies inside it, except those inside one node."""
    names = {value.name for value in (*graph.input, *graph.output)}
    names |= {tensor.name for tensor in graph.initializer} | {s.values.name for s in graph.sparse_initializer}
    for i, node in enumerate(graph.node):
        names |= {*node.input, *node.output}
        for held in subgraphs(node) if i != position else []:
            for inner in all_graphs(held):
                names |= {tensor.name for tensor in inner.initializer} | {value.name for value in inner.input}
                names |= {name for part in inner.node for name in part.output}
    return names


def _fresh(name: str, taken: set[str]) -> str:
    number, found = 0, name
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found


def _rename(graph: onnx.GraphProto, renamed: Mapping[str, str]) -> None:
    """Rename values of a graph, and where the bodies inside it use them."""
    for held in all_graphs(graph):
        for tensor in (*held.initializer, *(sparse.values for sparse in held.sparse_initializer)):
            tensor.name = renamed.get(tensor.name, tensor.name)
        for value in (*held.input, *held.output, *held.value_info):
            value.name = renamed.get(value.name, value.name)
        for node in held.node:
            for field in (node.input, node.output):
                names = [renamed.get(name, name) for name in field]
                del field[:]
                field.extend(names)
