"""What attention keeps from one step to the next: the keys and values of all tokens so far, of each head that has some.

How many bytes a token takes follows from shapes: of the cache that a node is given or returns, else of its keys and
values, else of its queries and the numbers of heads. Where some nodes of a model have a cache, only these keep one:
the others attend within one step (an encoder), or to keys that never change (cross-attention).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import onnx

from framework.errors import UserError
from framework.formats.onnx.operators.rules import CONTRIB_DOMAIN, DEFAULT_DOMAINS
from framework.formats.onnx.operators.standard import Types, attribute, shape
from framework.wording import choose, counted


class _Slots(NamedTuple):
    """Where an operator has its cache, as positions of inputs: the past, of keys and of values, or one for both.

    The present ones are the outputs after the first. `keys` and `values` are None where they are made of the first
    input, by `weights`.
    """

    past: tuple[int, ...]
    keys: int | None = 1
    values: int | None = 2
    weights: int | None = None

    @property
    def present(self) -> tuple[int, ...]:
        """The outputs."""
        return tuple(range(1, 1 + len(self.past)))


_CONTRIB = {
    "Attention": _Slots((4,), None, None, 1),
    "DecoderMaskedMultiHeadAttention": _Slots((5, 6)),
    "DecoderMaskedSelfAttention": _Slots((4,), None, None, 1),
    "GroupQueryAttention": _Slots((3, 4)),
    "MultiHeadAttention": _Slots((6, 7)),
    "QAttention": _Slots((8,), None, None, 1),
    "SparseAttention": _Slots((3, 4)),
}
_STANDARD = {"Attention": _Slots((4, 5))}


class Kept(NamedTuple):
    """What an attention node keeps of each token.

    Attributes
    ----------
    bits
        Of keys and values together; 0 where the sizes are unknown.
    cached
        Whether it is given what it kept, or returns what it will.
    """

    bits: int
    cached: bool


def kept_per_token(node: onnx.NodeProto, inputs: Types, outputs: Types) -> Kept | None:
    """Return what a node keeps of each token; None for one that is no attention."""
    table = _CONTRIB if node.domain == CONTRIB_DOMAIN else _STANDARD if node.domain in DEFAULT_DOMAINS else {}
    slots = table.get(node.op_type)
    if slots is None:
        return None
    names = [*(list(node.input)[i : i + 1] for i in slots.past), *(list(node.output)[i : i + 1] for i in slots.present)]
    cached = any(name != [""] and name for name in names)
    bits = _of_cache(slots, inputs, outputs) or _of_keys(node, slots, inputs)
    return Kept(bits or _of_weights(node, slots, inputs, outputs), cached)


def state_of(nodes: Sequence[Kept | None], tokens: int, labels: Sequence[str]) -> tuple[list[int], list[str]]:
    """Return the bytes that each node keeps of so many tokens, and remarks on them.

    Raises
    ------
    UserError
        If no node keeps anything.
    """
    any_cached = any(node is not None and node.cached for node in nodes)
    keeping = [i for i, node in enumerate(nodes) if node is not None and (node.cached or not any_cached)]
    known = [i for i in keeping if (node := nodes[i]) is not None and node.bits]
    if not known:
        raise UserError(
            "no attention with known heads was found, so nothing keeps keys and values",
            hint="leave `kv_tokens` out, or state state_bytes in a native graph",
        )
    state = [0] * len(nodes)
    for i in known:
        node = nodes[i]
        assert node is not None
        state[i] = -(-tokens * node.bits // 8)
    said = f"{counted(len(known), 'attention node keeps', 'attention nodes keep')} keys and values of {tokens:,} tokens"
    remarks = [f"{said}: {sum(state):,} bytes"]
    if unknown := sorted(set(keeping) - set(known)):
        names = _named(labels[i] for i in unknown)
        what = f"{counted(len(unknown), 'attention node')} of unknown sizes {choose(len(unknown), 'keeps', 'keep')}"
        remarks.append(f"{what} nothing: {names}")
    return state, remarks


def _named(labels: Iterable[str]) -> str:
    names = [repr(label) for label in labels]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _of_cache(slots: _Slots, inputs: Types, outputs: Types) -> int:
    """Read the sizes off a cache: (batch, heads, tokens, size), or (2, batch, heads, tokens, size) for both."""
    for types, positions in ((inputs, slots.past), (outputs, slots.present)):
        shapes = [shape(types, i)[-4:] for i in positions]
        if all(len(size) == 4 for size in shapes):
            elements = sum(size[1] * size[3] for size in shapes) * (2 if len(positions) == 1 else 1)
            return elements * _bits(types, positions[0])
    return 0


def _of_keys(node: onnx.NodeProto, slots: _Slots, inputs: Types) -> int:
    """Read the sizes off keys and values, or off what they are packed with."""
    if slots.keys is None or slots.values is None:
        return 0
    keys, values, query = shape(inputs, slots.keys), shape(inputs, slots.values), shape(inputs, 0)
    if len(keys) == 5:
        # Both in one: (batch, tokens, heads, 2, size).
        return keys[2] * keys[3] * keys[4] * _bits(inputs, slots.keys)
    if keys and values:
        return (_width(keys) + _width(values)) * _bits(inputs, slots.keys)
    if len(query) == 5:
        # All three in one: (batch, tokens, heads, 3, size).
        return query[2] * 2 * query[4] * _bits(inputs, 0)
    heads, kept = int(attribute(node, "num_heads", 0)), int(attribute(node, "kv_num_heads", 0))
    if len(query) == 3 and heads and kept and not keys:
        return 2 * kept * (query[2] // (heads + 2 * kept)) * _bits(inputs, 0)
    return 0


def _width(size: tuple[int, ...]) -> int:
    """Return the elements of a token: (batch, tokens, all heads) or (batch, heads, tokens, size)."""
    return size[1] * size[3] if len(size) == 4 else size[-1]


def _of_weights(node: onnx.NodeProto, slots: _Slots, inputs: Types, outputs: Types) -> int:
    """Read the sizes off the weights that project one input to queries, keys and values."""
    weights = () if slots.weights is None else shape(inputs, slots.weights)
    if not weights:
        return 0
    sizes = [int(size) for size in attribute(node, "qkv_hidden_sizes", [])] or [weights[-1] // 3] * 3
    return sum(sizes[1:3]) * (_bits(outputs, 0) or _bits(inputs, 0))


def _bits(types: Types, index: int) -> int:
    found = types[index] if index < len(types) else None
    return 0 if found is None else found.bits
