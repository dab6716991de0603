"""PyTorch: export a module, read, measure and split the program, and run its stages.

    import pipebound
    import pipebound.torch

    exported = pipebound.torch.export(module, (images,))
    result = pipebound.solve(pipebound.torch.profile(exported).graph, 4)
    modules = [stage.module for stage in pipebound.torch.stages(exported, result)]

Programs are those of ``torch.export``. torch itself is imported when a function here is called.
"""

from __future__ import annotations

from framework.api.torch import profile as profile
from framework.api.torch import split as split
from framework.api.torch import split_policy as split_policy
from framework.api.torch import split_spec as split_spec
from framework.api.torch import stages as stages
from framework.formats.torch.export.files import export as export
from framework.formats.torch.export.files import read as read

__all__ = ["export", "profile", "read", "split", "split_policy", "split_spec", "stages"]
