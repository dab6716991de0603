"""The part of numba's compiler that `framework.structure.kernel_compiler` builds on."""

from typing import Any

class Compiler:
    state: Any
    def define_pipelines(self) -> Any: ...
