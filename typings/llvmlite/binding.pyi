"""What `framework.structure.kernel_compiler` uses of llvmlite's modules of code."""

from typing import Any

Linkage: Any

def parse_assembly(text: str) -> Any: ...
