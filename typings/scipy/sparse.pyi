"""The part of scipy.sparse this project uses; scipy ships no types."""

from typing import Any

def csr_matrix(entries: Any, shape: tuple[int, int]) -> Any: ...
