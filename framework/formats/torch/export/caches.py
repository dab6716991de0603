"""Keys and values that attention keeps of earlier tokens, as far as the shapes of an exported program tell.

An attention call reads queries, keys and values of shape ``[..., heads, tokens, size]``. Where heads of keys serve
several heads of queries, they may be repeated before the call: of what a chain of calls that only move data leads back
to, the fewest elements count, since a cache holds them before they are repeated.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import fx

from framework.errors import UserError
from framework.formats.torch.export.program import Program, operator_label
from framework.wording import counted

_MOVES = frozenset(
    ["clone", "contiguous", "expand", "permute", "reshape", "squeeze", "t", "transpose", "unsqueeze", "view"]
)


def kept_bytes(program: Program, members: Sequence[Sequence[fx.Node]], tokens: int) -> tuple[list[int], list[str]]:
    """Return the bytes that each node keeps of so many tokens, and remarks on them; nothing for 0 tokens.

    Raises
    ------
    UserError
        If no node keeps anything.
    """
    if not tokens:
        return [], []
    state = [tokens * sum(map(_of_token, calls)) for calls in members]
    keeping = sum(size > 0 for size in state)
    if not keeping:
        raise UserError(
            "no call of the program is known as attention, so nothing keeps keys and values",
            where=program.name,
            hint="leave `kv_tokens` out, or export it with scaled_dot_product_attention",
        )
    said = counted(keeping, "attention node keeps", "attention nodes keep")
    return state, [f"{said} keys and values of {tokens:,} tokens: {sum(state):,} bytes"]


def _of_token(call: fx.Node) -> int:
    """Return the bytes that a call keeps of each token of a sequence; 0 if it is no attention."""
    name = operator_label(call).partition(".")[2].lstrip("_")
    used = [one for one in call.args if isinstance(one, fx.Node)]
    if not name.startswith("scaled_dot_product") or name.endswith("backward") or len(used) < 3:
        return 0
    return sum(map(_of_source, used[1:3]))


def _of_source(call: fx.Node) -> int:
    given = call.meta.get("val")
    if not isinstance(given, torch.Tensor) or given.dim() < 3:
        return 0
    # Sizes that are open cancel out: what precedes the heads, and the tokens.
    wide = int(given.shape[-3]) * int(given.shape[-1])
    fewest, source = wide, call
    while operator_label(source).partition(".")[2] in _MOVES and source.all_input_nodes:
        source = source.all_input_nodes[0]
        value = source.meta.get("val")
        if not isinstance(value, torch.Tensor):
            break
        # Of as many elements as the call reads, this is the share that there is before heads are repeated.
        times = given.numel() / value.numel()
        fewest = min(fewest, round(wide / float(times)))
    return fewest * int(given.element_size())
