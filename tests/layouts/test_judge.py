"""Judgements: the price is exact, and no split is nearer to the best possible than it is said to be at most."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from framework.errors import UserError
from framework.layouts.judge import judge
from framework.layouts.read import Split, read_split
from framework.model.device import Device
from framework.model.pricing import price
from framework.model.problem import Problem
from framework.portfolio.constraints import Constraints
from framework.portfolio.settings import Settings
from framework.registry import load_plugins
from framework.report.console import printed
from framework.report.splits.judgement import at_least, at_most, print_judgement, said_of
from framework.testing.brute_force import brute_force_optimum
from tests.layouts.graphs import layered, of_edges

DEVICE = Device(name="test", link_bandwidth=1e6)
SETTINGS = Settings(device=DEVICE, entry="simple", budget=20, workers=1)


def test_a_split_is_at_least_as_near_to_the_optimum_as_is_said() -> None:
    load_plugins()
    rng = np.random.default_rng(1)
    seconds = [float(value) / 1000 for value in rng.integers(1, 9, 9)]
    graph = layered(1, seconds=seconds)
    splits = [read_split(name, graph, 2) for name in ("operators", "parameters")]
    splits.append(Split(name="first", stage_of=np.array([0, *[1] * 8], np.int64), stages=2))
    judgement = judge(graph, splits, settings=SETTINGS, constraints=Constraints())
    instance = price(graph, DEVICE)
    optimum = instance.in_units(brute_force_optimum(Problem(instance=instance, stages=2)))
    assert judgement.result.dual_bound is not None
    assert judgement.result.dual_bound <= optimum * (1 + 1e-9)
    for split in judgement.splits:
        assert split.from_best is not None
        assert split.from_found is not None
        assert split.bottleneck <= (1 + split.from_best) * judgement.result.dual_bound
        assert split.bottleneck / optimum - 1 <= split.from_best + 1e-9
        assert split.from_found <= split.bottleneck / optimum - 1 + 1e-9
        assert split.bottleneck == max(row.total for row in split.stage_costs)
    # Stage 1 of the last split runs everything but the first node, and receives one tensor of a millisecond.
    assert judgement.splits[2].bottleneck == pytest.approx(sum(seconds[1:]) + 1e-3)
    shown = printed(lambda console: print_judgement(judgement, console))
    assert "from the best possible" in shown
    assert "first" in shown
    assert "proved by simple" in shown
    assert [row["name"] for row in judgement.as_dict()["splits"]] == ["operators", "parameters", "first"]


def test_a_split_that_breaks_a_constraint_is_not_compared() -> None:
    load_plugins()
    graph = layered(2)
    splits = [read_split("even-layers", graph, 2), read_split("operators", graph, 3)]
    splits[1] = replace(splits[1], stages=2, stage_of=np.minimum(splits[1].stage_of, 1))
    constraints = Constraints(whole_modules=("layers.*",))
    judgement = judge(graph, splits, settings=SETTINGS, constraints=constraints)
    whole, cut = judgement.splits
    assert not whole.breaks
    assert whole.from_best is not None
    assert "apart from a node that must share its stage" in cut.breaks
    assert cut.from_best is None
    assert "breaks a constraint" in said_of(cut, judgement)
    held = judge(graph, splits[:1], settings=SETTINGS, constraints=Constraints(memory_limit=6))
    assert "holds" in held.splits[0].breaks


def test_what_is_no_pipeline_is_refused_by_name() -> None:
    graph = of_edges(["a", "b"], [(0, 1)])
    split = Split(name="mine", stage_of=np.array([1, 0], np.int64), stages=2)
    with pytest.raises(UserError, match=r"mine: this is no pipeline: 'b' in stage 0 reads 'a' of the later stage 1"):
        judge(graph, [split], settings=SETTINGS, constraints=Constraints())


@pytest.mark.parametrize(
    ("share", "most", "least"),
    [
        (0.0, "0%", "0%"),
        (0.1412, "14.2%", "14.1%"),
        (0.00231, "0.24%", "0.23%"),
        (1e-9, "1.1e-7%", "1.0e-7%"),
        (2.5, "250.0%", "250.0%"),
    ],
)
def test_percentages_are_rounded_to_the_safe_side(share: float, most: str, least: str) -> None:
    assert at_most(share) == most
    assert at_least(share) == least
