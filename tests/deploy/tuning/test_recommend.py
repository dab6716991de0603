"""The table by number of stages, its knee, and the advice."""

from __future__ import annotations

from typing import Any

import pytest

from framework.deploy.tuning.recommend import recommend
from framework.model.exact import Rounding
from framework.portfolio.records import Status
from framework.portfolio.result import Result
from framework.report.tables import verdict
from tests.results import made_result


def result(stages: int, dual: int, incumbent: int, **more: Any) -> Result:
    return made_result(
        **{
            "stages": stages,
            "rounding": Rounding(ticks_per_unit=10.0, exact=True),
            "dual_bound": dual / 10.0,
            "dual_ticks": dual,
            "incumbent": incumbent / 10.0,
            "incumbent_ticks": incumbent,
            "relative_gap": 1 - dual / incumbent,
            "status": Status.OPTIMAL if dual == incumbent else Status.TIME_LIMIT,
            "stage_of": tuple(range(stages)),
            **more,
        }
    )


def test_speed_ups_bounds_and_knee() -> None:
    single = result(1, 1000, 1000)
    table = [single, result(2, 510, 510), result(3, 400, 405), result(4, 400, 400)]
    answer = recommend(table, single)
    assert [choice.speedup for choice in answer.choices] == pytest.approx([1, 1000 / 510, 1000 / 405, 2.5])
    assert answer.choices[1].bottleneck == 51.0
    assert [choice.most for choice in answer.choices] == pytest.approx([1, 1000 / 510, 2.5, 2.5])
    # 405 is within 5% of 400, so the fourth stage buys next to nothing.
    assert answer.knee.stages == 3
    assert "1.2%" in answer.advice
    assert answer.advice.startswith("Perhaps")
    document = answer.as_dict()
    assert document["knee"] == 3
    assert document["choices"][3]["efficiency"] == pytest.approx(2.5 / 4)


def test_neighbours_help_each_other() -> None:
    """A partition into fewer stages serves for more, and a bound for more stages holds for fewer."""
    single = result(1, 1000, 1000)
    answer = recommend([result(4, 300, 700), result(2, 200, 600)], single)
    two, four = answer.choices
    assert (two.stages, two.bound, two.bottleneck) == (2, 30.0, 60.0)
    assert (four.bottleneck, four.used) == (60.0, 2)
    assert four.gap == pytest.approx(0.5)


def test_one_node_cannot_be_split() -> None:
    whole = {"stage_of": [0], "constraints": None}
    table = [result(1, 1000, 1000, **whole), result(4, 1000, 1000, **whole)]
    assert recommend(table, table[0]).advice.startswith("No: the graph is one node, which cannot be split")
    assert verdict(table[1]).startswith("The graph is one node, which cannot be split")


def test_a_node_that_is_nearly_all_cannot_be_split_either() -> None:
    table = [result(1, 1000, 1000), result(4, 995, 995)]
    words = "No: no number of stages here is faster than one stage by more than 0.5%."
    assert recommend(table, table[0]).advice.startswith(words)


@pytest.mark.parametrize(
    ("dual", "words"),
    [(500, "No: the partition into 2 stages is proven optimal."), (497, "No: no partition into 2 stages is better")],
)
def test_small_gaps_are_not_worth_more(dual: int, words: str) -> None:
    single = result(1, 1000, 1000)
    assert recommend([single, result(2, dual, 500)], single).advice.startswith(words)
