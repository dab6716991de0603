"""Control flow that torch holds in higher-order operators, as in exported programs: branches, loops, regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from framework.errors import UserError
from framework.formats.torch.guesses import Guesses

_REGIONS = frozenset(
    {
        "hints_wrapper",
        "inductor_compiled_code",
        "invoke_subgraph",
        "tag_activation_checkpoint",
        "wrap",
        "wrap_activation_checkpoint",
        "wrap_with_autocast",
        "wrap_with_set_grad_enabled",
    }
)
"""Operators that run one function on the arguments that follow it."""


def run_control(guesses: Guesses, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Run a higher-order operator: the branch that is taken, the trips of a loop, the inside of a region.

    A condition that is unknown is guessed as `Guesses.scalar` does; a loop whose condition is unknown runs once.

    Raises
    ------
    UserError
        If the operator is none of these.
    """
    name = func.name()
    if name == "cond":
        predicate, then, otherwise, operands = args
        return (then if bool(predicate) else otherwise)(*operands)
    if name == "while_loop":
        return _run_loop(guesses, *args, **kwargs)
    if name in _REGIONS:
        place = next(i for i, argument in enumerate(args) if callable(argument))
        operands = args[place + 1 :]
        if name == "invoke_subgraph":
            operands = operands[1:]
        elif name == "hints_wrapper":
            operands = operands[0]
        keywords = {} if name == "hints_wrapper" else kwargs
        return args[place](*operands, **keywords)
    raise UserError(f"the higher-order operator {name} is not followed", hint="write what it does with plain operators")


def _run_loop(
    guesses: Guesses, condition: Any, body: Any, carried: Sequence[Any], additional: Sequence[Any] = ()
) -> tuple[Any, ...]:
    state = tuple(carried)
    while True:
        goes_on = condition(*state, *additional)
        unknown = isinstance(goes_on, torch.Tensor) and not guesses.is_known(goes_on)
        if unknown:
            guesses.count["while_loop"] += 1
        elif not bool(goes_on):
            return state
        state = tuple(body(*state, *additional))
        if unknown:
            return state
