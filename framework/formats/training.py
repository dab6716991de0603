"""From the graph of an inference to that of a training step: the forward and the backward pass of one microbatch.

Where a file states what the backward pass takes (measured seconds, operations, sizes of gradients), that counts. The
rest follows from the operators, by these rules:

*Gradients.* A tensor has a gradient of its own size if a parameter lies behind it (its producer uses one, or a tensor
with a gradient) and one of its consumers is differentiable; comparisons, indices and shapes are not. A parameter that
is a single number is a constant. The gradient is one more tensor of the graph: a stage that reads a tensor from outside
sends the gradient back, and one that hands a tensor over receives it, once, however many stages it comes from, as the
tensor is sent once, however many stages read it.

*Operations.* The gradient of a product (of matrices, a convolution, attention, a recurrent layer) takes as many
operations as the product for each of its two operands that has a gradient: twice as many where both have one, so that a
training step takes three times an inference. That of any other operator takes as many as the operator. What a node
accesses grows by the same factor, and so do measured seconds where only those of the forward pass are known. Sources:
Narayanan et al., SC 2021, appendix ("the backward pass requires double the number of FLOPs"); Kaplan et al., 2020.

*Activations.* Products, normalisations and most other operators need their inputs again for the backward pass; a few,
such as softmax, need their result; sums, views and copies need nothing. A factor is needed where the other one has a
gradient. A view of a tensor is that tensor. A stage
keeps each tensor that one of its nodes needs, once. Recurrent layers keep more inside than is counted here.

*Parameters* that do not fit into the fast memory cross the link three times: for the forward pass, for the backward
pass, and as gradients.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from framework.errors import UserError
from framework.model.arrays import IntArray
from framework.model.graph import BoolArray, FloatArray, ModelGraph, PhysicalCosts
from framework.model.shared import shared_by
from framework.model.topology import Topology, build_topology, stable_topological_order
from framework.model.training import Training, TrainingStep
from framework.wording import counted

STREAMS = 3
"""How often a parameter beyond the fast memory crosses the link: forwards, backwards, and its gradient."""

SCALAR_BYTES = 8
"""What one number takes at most; such a parameter is a constant."""

_PRODUCT = re.compile(
    r"conv(?!ert)|matmul|gemm|attention|einsum|lstm|gru$|gru_|^_?rnn|(^|_)(mm|bmm|addmm|baddbmm|mv|addmv|dot)$|^linear$"
)
_ATTENTION = re.compile(r"attention")
_CONSTANT = re.compile(
    r"^(arg(max|min|sort)|shape|size|nonzero|eq(ual)?|ne|notequal|ge|gt|le|lt|less\w*|greater\w*|not|and|or|xor"
    r"|logical_\w+|bitwise_\w+|isnan|isinf|is(nan|inf)|sign|floor|ceil|round|detach|stop_?gradient|one_?hot|bucketize"
    r"|searchsorted|arange|range|zeros\w*|ones\w*|full\w*|constantofshape|randn?\w*|bernoulli|multinomial)$"
)
_VIEW = re.compile(
    r"^(reshape|_?unsafe_view|view\w*|transpose|t|permute|expand(dims)?|squeeze|unsqueeze|flatten|unflatten|slice"
    r"|strided_?slice|select|split\w*|chunk|unbind|unstack|identity|alias|as_strided|narrow|getitem|movedim|swapaxes"
    r"|diagonal|unfold)$"
)
_BY_ELEMENT = re.compile(r"^(mul|div|multiply|divide|realdiv|truediv)$")
_NEEDS_RESULT = re.compile(r"^_*((log_?|safe_)?softmax|softmaxv\d|relu6?|sigmoid|tanh|exp|sqrt|rsqrt|reciprocal)$")
_NEEDS_NOTHING = re.compile(
    r"^_*(add(n|v2)?|sub|rsub|sum|reduce_?sum|mean|reduce_?mean|neg|cat|concat(v2)?|stack|pack|clone|copy|contiguous|to"
    r"|to_copy|cast|pad\w*|constant_pad_nd|mirrorpad|\w*av(era)?gpool\w*|\w*avg_pool\w*|upsample\w*|resize\w*"
    r"|interpolate\w*|repeat\w*|tile|roll|flip|reverse|pixel_shuffle|depthtospace|spacetodepth|gather\w*|index\w*|take"
    r"|embedding\w*|scatter\w*|dropout\w*|where|masked_fill|biasadd|bias_add|im2col|col2im)$"
)


def operator_kind(op: str) -> str:
    """Return an operator's name without its domain, overload and case: ``aten.addmm`` is ``addmm``."""
    return re.split(r"\.|::|/", op.removesuffix(".default"))[-1].lower()


def is_product(kind: str) -> bool:
    """Return whether an operator, as `operator_kind` calls it, is a product of two operands that may have gradients."""
    return bool(_PRODUCT.search(kind))


def training_graph(graph: ModelGraph, training: Training) -> ModelGraph:
    """Return the graph of a training step.

    Raises
    ------
    UserError
        If the graph carries prices, or is that of a training step already.
    """
    costs, top = graph.costs, graph.topology
    if not isinstance(costs, PhysicalCosts):
        hint = "give a graph with FLOPs and bytes, or with seconds"
        raise UserError(
            "this graph carries its own prices, which say nothing of training", where=graph.source, hint=hint
        )
    if graph.step is not None:
        raise UserError("this is the graph of a training step already", where=graph.source, hint="drop `training`")
    kinds = [operator_kind(op) for op in graph.ops]
    gradients = _Gradients(graph, costs, kinds)
    passes = gradients.passes()
    known = ~np.isnan(costs.backward_flops) & (costs.flops > 0)
    passes[known] = costs.backward_flops[known] / costs.flops[known]
    seconds, estimated = costs.seconds * (1 + passes), ~np.isnan(costs.seconds) & np.isnan(costs.backward_seconds)
    seconds = np.where(np.isnan(costs.backward_seconds), seconds, costs.seconds + costs.backward_seconds)
    back = np.flatnonzero(gradients.bytes > 0)
    rows = [(int(top.producer[t]), gradients.users[t]) for t in back.tolist()]
    lengths = [len(users) for _, users in rows]
    needed = _activations(top, kinds, gradients)
    remark = "costs are those of a training step: the forward and the backward pass of a microbatch"
    if estimated.any():
        remark += f"; the backward time of {counted(int(estimated.sum()), 'node')} is a multiple of the forward time"
    return replace(
        graph,
        topology=build_topology(
            top.n,
            np.concatenate((top.producer, np.array([u for u, _ in rows], np.int64))),
            np.concatenate((top.consumer_ptr, top.pins + np.cumsum(lengths, dtype=np.int64))),
            np.concatenate((top.consumers, *(np.array(users, np.int64) for _, users in rows))),
        ),
        costs=replace(
            costs,
            flops=costs.flops * (1 + passes),
            accessed_bytes=costs.accessed_bytes * (1 + passes),
            seconds=seconds,
            tensor_bytes=np.concatenate((costs.tensor_bytes, gradients.bytes[back])),
            device_seconds={name: times * (1 + passes) for name, times in costs.device_seconds.items()},
            backward_flops=np.zeros(0),
            backward_seconds=np.zeros(0),
            gradient_bytes=np.zeros(0),
            streams=STREAMS,
        ),
        step=TrainingStep(
            training=training,
            gradients=top.m,
            activations=shared_by([sorted(users) for _, users in needed]),
            activation_bytes=costs.tensor_bytes[[t for t, _ in needed]],
        ),
        remarks=(*graph.remarks, remark),
    )


class _Gradients:
    """Which nodes of a graph have gradients, which tensors, and which consumers these come back from.

    Attributes
    ----------
    active
        ``[n]`` whether a node runs backwards.
    bytes
        ``[m]`` size of the gradient of each tensor; 0 for none.
    users
        For each tensor the consumers that its gradient comes back from.
    """

    def __init__(self, graph: ModelGraph, costs: PhysicalCosts, kinds: list[str]) -> None:
        top = graph.topology
        self._top, self._kinds = top, kinds
        self._learned = _learned(graph, costs)
        differentiable = np.array([not _CONSTANT.match(kind) for kind in kinds], np.bool_)
        self.active: BoolArray = np.zeros(top.n, np.bool_)
        self.bytes: FloatArray = np.zeros(top.m)
        self._read: list[list[int]] = [[] for _ in range(top.n)]
        made: list[list[int]] = [[] for _ in range(top.n)]
        ptr = top.consumer_ptr.tolist()
        rows = [top.consumers[ptr[t] : ptr[t + 1]].tolist() for t in range(top.m)]
        for t, row in enumerate(rows):
            made[int(top.producer[t])].append(t)
            for v in row:
                self._read[v].append(t)
        self.users = [[v for v in row if differentiable[v]] for row in rows]
        for v in stable_topological_order(top).tolist():
            behind = self._learned[v] or any(self.bytes[t] > 0 for t in self._read[v])
            stated = [t for t in made[v] if not np.isnan(costs.gradient_bytes[t])]
            self.active[v] = behind and differentiable[v]
            if len(stated) and len(stated) == len(made[v]):
                self.active[v] = bool(costs.gradient_bytes[stated].any())
            for t in made[v]:
                if t in stated:
                    self.bytes[t] = costs.gradient_bytes[t]
                elif self.active[v]:
                    self.bytes[t] = costs.tensor_bytes[t]
                if not self.users[t]:
                    self.bytes[t] = 0.0

    def needs(self, v: int, t: int) -> bool:
        """Return whether the gradients of node v are computed from tensor t, which it reads."""
        kind = self._kinds[v]
        if not self.active[v] or _VIEW.match(kind) or _NEEDS_RESULT.match(kind) or _NEEDS_NOTHING.match(kind):
            return False
        by_element = bool(_BY_ELEMENT.match(kind))
        if not (by_element or is_product(kind)) or _ATTENTION.search(kind) or self._learned[v]:
            return True
        # An operand is needed for the gradient of the other one; with itself, a tensor is the only one that is read.
        others = [other for other in self._read[v] if other != t]
        return any(bool(self.bytes[other] > 0) for other in others) if others else not by_element

    def passes(self) -> FloatArray:
        """Return how often the operations of each node are repeated backwards, ``[n]``."""
        passes = np.zeros(self._top.n)
        for v in np.flatnonzero(self.active).tolist():
            if not is_product(self._kinds[v]):
                passes[v] = 1
                continue
            arriving = sum(bool(self.bytes[t] > 0) for t in self._read[v])
            operands = int(self._learned[v]) + arriving
            if not self._learned[v] and len(self._read[v]) == 1:
                # Both operands are made of the same tensor.
                operands = 2
            passes[v] = min(2, operands)
        return passes


def _learned(graph: ModelGraph, costs: PhysicalCosts) -> BoolArray:
    """Return which nodes use parameters that may be trained, ``[n]``."""
    learned = costs.parameter_bytes > SCALAR_BYTES
    shared = graph.shared.pins[costs.shared_bytes[graph.shared.pins] > SCALAR_BYTES]
    if len(shared):
        learned[graph.shared.users[costs.shared_bytes[graph.shared.pins] > SCALAR_BYTES]] = True
    moves = np.array([bool(_VIEW.match(operator_kind(op)) or _CONSTANT.match(operator_kind(op))) for op in graph.ops])
    return np.asarray(learned & ~moves)


def _activations(top: Topology, kinds: list[str], gradients: _Gradients) -> list[tuple[int, set[int]]]:
    """Return the tensors that are needed backwards, and by which nodes of the forward pass."""
    root = _roots(top, kinds)
    needed: dict[int, set[int]] = {}
    ptr = top.consumer_ptr.tolist()
    for t in range(top.m):
        u = int(top.producer[t])
        if gradients.active[u] and (_NEEDS_RESULT.match(kinds[u]) or _ATTENTION.search(kinds[u])):
            needed.setdefault(root[t], set()).add(u)
        for v in top.consumers[ptr[t] : ptr[t + 1]].tolist():
            if gradients.needs(v, t):
                needed.setdefault(root[t], set()).add(v)
    return sorted(needed.items())


def _roots(top: Topology, kinds: list[str]) -> list[int]:
    """Return the tensor that each tensor is a view of; itself where it is none."""
    first: IntArray = np.full(top.n, -1, np.int64)
    for t in range(top.m - 1, -1, -1):
        first[top.consumers[top.consumer_ptr[t] : top.consumer_ptr[t + 1]]] = t
    root = list(range(top.m))
    order = np.empty(top.n, np.int64)
    order[stable_topological_order(top)] = np.arange(top.n)
    for t in np.argsort(order[top.producer], kind="stable").tolist():
        u = int(top.producer[t])
        if _VIEW.match(kinds[u]) and first[u] >= 0:
            root[t] = root[int(first[u])]
    return root
