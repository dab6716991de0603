"""Two thousand random problems against exhaustion: every method, every bound, every partition.

Four hundred of them are quick enough for every run of the tests. A few slow methods see a share of them here;
`scripts/exhaust.py` shows all of them to every method.
"""

from __future__ import annotations

import pytest

from framework.contracts import Feature
from framework.registry import Kind, load_plugins, registry
from framework.structure.reduction.dominance import reduce_exact
from framework.testing.brute_force import brute_force_optimum
from framework.testing.conformance import assert_true
from framework.testing.instances import random_problem

load_plugins()
PROBLEMS = 2000
SHARES = [pytest.param(share, marks=[pytest.mark.slow] if share > 1 else []) for share in range(10)]
EXACT = {"ideal-dp", "cp-sat"}
RARELY, SOMETIMES = 40, 5
SLOW = {"counting", "lagrangian", "multilevel", "soc", "weave", "window-propagation"}
"""Methods that take a tenth of a second and more on any problem: they see one in `RARELY`."""
MEDIUM = {
    *("annealing", "benders", "bisection", "brkga", "brkga-10000", "column-enumeration", "column-generation", "cp-sat"),
    *("fixing", "lp", "nested-cuts", "sdp", "spreading-metric", "stage-cover", "sweep"),
}
"""Methods that take more than some hundredths of a second: they see one in `SOMETIMES`."""
METHODS = [
    entry.name
    for kind in (Kind.FORMULATION, Kind.STRATEGY)
    for entry in registry.entries(kind)
    if not entry.name.startswith("test-") and entry.features & {Feature.DUAL, Feature.PRIMAL}
]


def seeds_of(share: int) -> range:
    return range(share * PROBLEMS // len(SHARES), (share + 1) * PROBLEMS // len(SHARES))


@pytest.mark.parametrize("share", SHARES)
def test_all_methods_against_exhaustion(share: int) -> None:
    assert set(METHODS) >= EXACT | SLOW | MEDIUM
    for seed in seeds_of(share):
        problem = random_problem(seed)
        for name in METHODS:
            if seed % (RARELY if name in SLOW else SOMETIMES if name in MEDIUM else 1) == 0:
                assert_true(name, problem, exact=name in EXACT, label=f"random_problem({seed})", seed=seed)


@pytest.mark.parametrize("share", SHARES)
def test_exact_reductions_keep_the_optimum(share: int) -> None:
    for seed in seeds_of(share):
        problem = random_problem(seed)
        reduced = type(problem)(instance=reduce_exact(problem.instance), stages=problem.stages)
        assert brute_force_optimum(reduced) == brute_force_optimum(problem), f"random_problem({seed})"
