"""Partitions of programs, and their stages run without processes; imported only where torch is installed."""

from __future__ import annotations

from typing import Any

import torch

from framework.deploy.torch.folding import fold
from framework.deploy.torch.stages import returned_tensors, value_names


def run_in_turn(program: Any, stages: Any) -> list[Any]:
    """Run stages one after the other, each on copies of what it is sent, as processes do."""
    values = {call.name: value for call, value in zip(program.inputs, program.arguments, strict=True)}
    for stage in stages:
        given = [program.arguments[i] for i in stage.fed]
        given += [values[name].clone() for name in stage.received]
        with torch.no_grad():
            results = fold(stage.module).module(*given)
        values |= dict(zip(stage.outputs, results, strict=True))
    names = value_names(program)
    return [values[names[leaf]] for leaf in returned_tensors(program)]


def even(program: Any, stages: int) -> list[int]:
    n = len(program.roots)
    return [i * stages // n for i in range(n)]
