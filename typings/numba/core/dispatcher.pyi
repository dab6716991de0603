"""The part of numba's dispatchers that `framework.structure.kernel_compiler` uses."""

from typing import Any

class Dispatcher:
    _cache: Any
    get_call_template: Any
    get_overload: Any
    def __call__(self, *args: Any, **kws: Any) -> Any: ...
