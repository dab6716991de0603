"""Union-find against components grown one by one."""

from __future__ import annotations

import numpy as np
import pytest

from framework.model import arrays
from framework.structure.union_find import find_root


@pytest.mark.parametrize("seed", range(10))
def test_roots_are_equal_where_components_are(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parent, listed, component = np.arange(20), list(range(20)), np.arange(20)
    for u, v in rng.integers(0, 20, (12, 2)).tolist():
        parent[find_root(parent, u)] = find_root(parent, v)
        listed[arrays.find_root(listed, u)] = arrays.find_root(listed, v)
        component[component == component[u]] = component[v]
        roots = [find_root(parent, x) for x in range(20)]
        assert roots == [arrays.find_root(listed, x) for x in range(20)]
        assert all((roots[x] == roots[y]) == (component[x] == component[y]) for x in range(20) for y in range(20))
