"""What tolls add to the bounds of a core, and how many steps it takes to read one backwards, as ratios.

    scripts/bench tolls [--set ideals=30000]

Each graph of the testbed is priced for the reference device and reduced. On one core of so many ideals, without tolls,
with tolls, and without tolls backwards, bisection finds the highest threshold that any variant refutes, between the
simple bound and the best slicing. Cells: that threshold / the best slicing, and the steps of deciding the slicing's own
bottleneck, in those it takes forwards without tolls. Where nothing has a toll, both first columns are the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from figures import Figures

from framework.errors import OutOfTimeError
from framework.formats import read_graph
from framework.model.device import load_device
from framework.model.pricing import price
from framework.model.problem import Problem
from framework.portfolio.context.local import run_entry
from framework.registry import load_plugins, registry
from framework.structure.fluid.chain_dp import FluidSearch
from framework.structure.fluid.core import build_core
from framework.structure.fluid.memory_bound import crowded_nodes
from framework.structure.fluid.reversal import read_backwards
from framework.structure.fluid.selection import FluidChoice
from framework.structure.fluid.variants import Variant
from framework.structure.poset.closure import closure
from framework.structure.primal.initial_interval import simple_bound
from framework.structure.reduction.dominance import reduce_exact

PAIRS = (
    "transformers-bart@8",
    "transformers-dia@4",
    "transformers-dia@8",
    "transformers-dia@16",
    "published-whisper-large-v3@16",
    "openclip-coca_vit-b-32@8",
    "transformers-mask2former@16",
    "diffusers-dittransformer2dmodel@16",
    "diffusers-dittransformer2dmodel@32",
    "diffusers-fluxtransformer2dmodel@16",
    "timm-sequencer2d_s@16",
)
PRECISION = 1e-4
MOST_STEPS = 300_000_000
"""Steps after which a decision counts as open: some ten seconds."""
WEIGHT_BIAS = 3.0


def measure(ideals: int, pairs: Sequence[str] = PAIRS) -> Sequence[Figures]:
    """Return one row for each pair of a graph and a number of stages."""
    load_plugins()
    rows = []
    device = load_device("reference")
    for pair in pairs:
        name, stages = pair.rsplit("@", 1)
        problem = Problem(instance=reduce_exact(price(read_graph(f"testbed:{name}"), device)), stages=int(stages))
        rows.append((f"`{name}`", stages, *_cells(problem, ideals)))
    columns = ("graph", "k", "without", "with", "backwards", "steps", "steps backwards")
    title = f"cores of at most {ideals} ideals"
    return (Figures(name="thresholds", title=title, columns=columns, rows=tuple(rows)),)


def _cells(problem: Problem, ideals: int) -> list[str]:
    """Return the thresholds reached and the ratios of steps."""
    instance = problem.instance
    _, board = run_entry(registry.create("slice-graph"), problem, seconds=5.0)
    sliced = board.interval.incumbent
    reach = closure(instance)
    crowded = crowded_nodes(instance, reach, sliced)
    mask, lattice = FluidChoice(instance, weight_bias=WEIGHT_BIAS / simple_bound(problem), reach=reach).choose(ideals)
    plain = build_core(instance, mask, tolled=False)
    searches = (
        FluidSearch(plain, lattice, crowded),
        FluidSearch(build_core(instance, mask), lattice, crowded),
        FluidSearch(*read_backwards(plain, lattice), crowded),
    )
    reached = [f"{_highest_refuted(search, problem, sliced) / sliced:.5f}" for search in searches]
    steps = [_steps(search, problem, sliced) for search in searches]
    return [*reached, *(f"{count / max(1, steps[0]):.4f}" for count in steps[1:])]


def _highest_refuted(search: FluidSearch, problem: Problem, sliced: int) -> int:
    """Return the highest threshold found that some variant refutes."""
    low, high = simple_bound(problem) - 1, sliced
    while high - low > PRECISION * sliced:
        middle = (low + high) // 2
        if any(_refutes(search, problem, middle, variant) for variant in search.variants):
            low = middle
        else:
            high = middle
    return low


def _refutes(search: FluidSearch, problem: Problem, threshold: int, variant: Variant) -> bool:
    end = search.steps + MOST_STEPS
    try:
        return search.decide(problem.useful_stages, threshold, lambda: search.steps > end, variant=variant) is None
    except OutOfTimeError:
        return False


def _steps(search: FluidSearch, problem: Problem, threshold: int) -> int:
    before = search.steps
    for variant in search.variants:
        _refutes(search, problem, threshold, variant)
    return search.steps - before
