"""Exported torch programs from Python: measuring them, and using a partition of one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.errors import UserError
from framework.portfolio.result import Result

if TYPE_CHECKING:
    from framework.deploy.split.manifest import Manifest
    from framework.deploy.torch.model import TorchModel
    from framework.deploy.torch.profile import TorchProfile
    from framework.deploy.torch.stages import Stage

_IN_MEMORY = Path("program.pt2")


def profile(
    exported: Any,
    *,
    repetitions: int = 20,
    warm_up: int = 3,
    neighbours: int = 0,
    clock: str = "cpu",
    backward: bool = False,
    output: str | os.PathLike[str] | None = None,
) -> TorchProfile:
    """Measure an exported program, or a file of one, call by call on one thread; its `graph` can be solved.

    Parameters
    ----------
    repetitions, warm_up
        Runs that are measured, and runs before them.
    neighbours
        Processes that run the program meanwhile, as the other stages will: one less than there are stages.
    clock
        ``cpu`` for seconds of a core, ``wall`` for those that passed.
    backward
        Whether to add the seconds of gradients.
    output
        A graph file to write, which `solve` prices with the link that was measured.

    Raises
    ------
    UserError
        If torch is not installed, or the program cannot be read or run.
    """
    model = _model(exported)
    from framework.deploy.measurement import write_profile
    from framework.deploy.torch.profile import profile_program

    found = profile_program(
        model, warm_up=warm_up, repetitions=repetitions, neighbours=neighbours, clock=clock, backward=backward
    )
    if output is not None:
        write_profile(found, Path(output))
    return found


def stages(exported: Any, result: Result) -> list[Stage]:
    """Return the stages of a result as modules that share the parameters of the program.

    Raises
    ------
    UserError
        If the result is not of this program or a profile of it, or cuts what cannot be sent.
    """
    model = _model(exported)
    from framework.deploy.torch.stages import cut_program

    return cut_program(model.program, _partition(model, result))


def split(path: str | os.PathLike[str], result: Result, output: str | os.PathLike[str]) -> Manifest:
    """Write the stages of a result as files, as the command `split` does, and return their manifest.

    Parameters
    ----------
    path
        The file of the program.
    output
        Folder for the stages.

    Raises
    ------
    UserError
        As `stages`, or if the folder holds something else.
    """
    if not isinstance(path, str | os.PathLike):
        hint = "write it with torch.export.save; `stages` returns modules"
        raise UserError("a split is made of a file, to be compared with later", hint=hint)
    model = _model(path)
    from framework.deploy.split.assignment import assign
    from framework.deploy.torch.split import split_program

    assignment = assign(model, result)
    return split_program(model, assignment.stage_of, Path(output), predicted=assignment.predicted)


def split_policy(exported: Any, result: Result) -> Callable[[Any], Any]:
    """Return the `split_policy` for ``torch.distributed.pipelining.pipeline`` that cuts as a result says.

    Parameters
    ----------
    exported
        The program that was solved, exported with inputs of the size of one microbatch.

    Raises
    ------
    UserError
        As `stages`, or if a stage is empty, or the program writes its buffers.
    """
    model = _model(exported)
    from framework.deploy.torch.policy import split_policy as policy

    return policy(model.program, _partition(model, result))


def split_spec(exported: Any, result: Result) -> dict[str, Any]:
    """Return the `split_spec` for ``torch.distributed.pipelining.pipeline``, if all cuts lie between modules.

    Raises
    ------
    UserError
        As `stages`, or naming a cut that lies inside a module.
    """
    model = _model(exported)
    from torch.distributed.pipelining import SplitPoint

    from framework.layouts.modules import Placement
    from framework.layouts.split_spec import split_spec as points

    placement = Placement.of(model.read_graph({}), _partition(model, result), result.stages)
    return {name: SplitPoint[point] for name, point in points(placement).items()}


def _model(exported: Any) -> TorchModel:
    from framework.formats.torch.export.files import program_of, require_torch

    torch = require_torch()
    in_file = isinstance(exported, str | os.PathLike)
    if not in_file and not isinstance(exported, torch.export.ExportedProgram):
        hint = "pipebound.torch.export(module, args, kwargs) makes one"
        raise UserError(f"a {type(exported).__name__} is no exported program", hint=hint)
    from framework.deploy.torch.model import TorchModel

    return TorchModel(path=Path(exported) if in_file else _IN_MEMORY, program=program_of(exported))


def _partition(model: TorchModel, result: Result) -> Sequence[int]:
    from framework.deploy.torch.policy import partition_of

    return partition_of(result, model.node_names)
