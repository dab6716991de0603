from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.model.device import Device
from framework.model.exact import Exact, Rounding, exact_bottleneck, exact_stage_costs, float_below
from framework.model.graph import ModelGraph, PhysicalCosts
from framework.registry import load_plugins
from framework.testing.wide_costs import assert_true_in_units, decimal, random_wide_graph
from tests.model.test_pricing import DEVICE, physical, priced

load_plugins()


@settings(derandomize=True, deadline=None)
@given(st.fractions(min_value=0, max_value=10**30), st.fractions(min_value=0, max_value=10**30))
def test_directed_rounding_holds_in_both_readings(value: Fraction, other: Fraction) -> None:
    below = float_below(value)
    assert Fraction(below) <= value
    assert decimal(below) <= value
    assert Fraction(math.nextafter(math.nextafter(below, math.inf), math.inf)) > value
    above = Exact(value, other).rounded_up()
    assert Fraction(above) >= value
    assert decimal(above) >= other
    assert Exact(Fraction(6, 10), Fraction(6, 10)).rounded_up() >= 0.6


def test_short_decimals_come_back_as_they_were() -> None:
    stages = exact_stage_costs(priced([0.6, 0.6, 0.6], [1e13, 1e13]), None, np.zeros(3, np.int64), 1)
    assert exact_bottleneck(stages).decimal == Fraction(9, 5)
    assert exact_bottleneck(stages).rounded_up() == 1.8
    assert stages[0].inbound.rounded_up() == 0.0


def test_every_part_of_a_stage_is_priced_from_the_definition() -> None:
    stages = exact_stage_costs(priced([1, 2, 4], [8, 16], [5, 6, 7], 11), None, np.array([0, 0, 1]), 3)
    assert [(float(s.work.binary), float(s.inbound.binary), float(s.outbound.binary)) for s in stages] == [
        (3, 0, 16),
        (4, 16, 0),
        (0, 0, 0),
    ]
    # 5 + 6 parameters fill the capacity of 11; 7 stay below it.
    assert [s.overflow.binary for s in stages] == [0, 0, 0]
    crowded = exact_stage_costs(priced([1, 2, 4], [8, 16], [5, 6, 7], 11), None, np.array([0, 0, 0]), 1)
    assert crowded[0].overflow.decimal == 7
    assert crowded[0].total.decimal == 7 + 7


def test_whole_numbers_beyond_floats_are_exact() -> None:
    large = (1 << 62) - 1
    stages = exact_stage_costs(priced([large, large], [1]), None, np.array([0, 0]), 1)
    assert stages[0].work.binary == 2 * large
    assert Fraction(stages[0].work.rounded_up()) >= 2 * large


def test_whole_floats_that_print_as_another_number_are_read_both_ways() -> None:
    large = 58723363012345672.0
    stage = exact_stage_costs(priced([large, 1.0], [1.0]), None, np.array([0, 0]), 1)[0]
    assert stage.work == Exact(Fraction(large) + 1, Fraction(repr(large)) + 1)
    assert stage.work.binary != stage.work.decimal


def test_sums_beyond_floats_are_rounded_outwards() -> None:
    beyond = Fraction(10) ** 309
    assert Exact(beyond, beyond).rounded_up() == math.inf
    assert float_below(beyond) < math.inf


def test_the_roofline_is_a_quotient_of_rational_numbers() -> None:
    third = Device(name="third", peak_flops=3.0, memory_bandwidth=7.0, link_bandwidth=11.0, fast_memory=2.0)
    graph = physical(
        flops=np.array([1.0, 1.0]),
        accessed_bytes=np.array([1.0, 7.0]),
        parameter_bytes=np.array([3.0, 0.0]),
        tensor_bytes=np.array([5.0]),
    )
    first, second = exact_stage_costs(graph, third, np.array([0, 1]), 2)
    assert first.work.binary == Fraction(1, 3)
    assert second.work.binary == 1
    assert first.outbound.binary == second.inbound.binary == Fraction(5, 11)
    assert first.overflow.binary == Fraction(1, 11)
    assert first.total.binary == Fraction(1, 3) + Fraction(5, 11) + Fraction(1, 11)
    measured = physical(seconds=np.array([0.1, np.nan]))
    stages = exact_stage_costs(measured, DEVICE, np.array([0, 1]), 2)
    assert stages[0].work == Exact(Fraction(0.1), Fraction(1, 10))
    assert isinstance(measured.costs, PhysicalCosts)


def test_rounding_lowers_bounds_and_raises_costs() -> None:
    rounding = Rounding(ticks_per_unit=10.0, exact=False, stage_ticks=3, parameter_ticks=1000)
    assert rounding.lower(0) == 0.0
    assert 0.7 > rounding.lower(7) >= 0.7 - 1e-9
    assert 1.0 < rounding.upper(7) <= 1.0 + 1e-9
    exact = Rounding(ticks_per_unit=1.0, exact=True)
    assert exact.lower(7) == exact.upper(7) == 7.0


@pytest.mark.parametrize("seed", [616, 1239])
def test_overflow_that_rounding_takes_away_is_said(seed: int) -> None:
    """In ticks all parameters fit; in the graph's own numbers they overflow by less than a tick."""
    assert assert_true_in_units("ideal-dp", seed)


def test_random_costs_span_many_orders_of_magnitude() -> None:
    widest = 0.0
    for seed in range(200):
        graph, _ = random_wide_graph(seed)
        assert isinstance(graph, ModelGraph)
        costs = [c for c in graph.costs.tensor_cost.tolist() if c] if hasattr(graph.costs, "tensor_cost") else []
        if costs:
            widest = max(widest, math.log10(max(costs)) - math.log10(min(costs)))
    assert widest > 15


@pytest.mark.parametrize("entry", ["simple", "ideal-dp", "anchored-cut", "slice-graph", "nested-cuts", "cp-sat"])
def test_bounds_and_partitions_are_true_in_the_unit_of_the_file(entry: str) -> None:
    accepted = sum(assert_true_in_units(entry, seed) for seed in range(250))
    assert accepted > 200
