from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import UserError
from framework.model.device import Device
from framework.model.exact import Rounding
from framework.model.graph import ModelGraph, PhysicalCosts, PricedCosts
from framework.model.instance import MAX_TOTAL, UNLIMITED
from framework.model.pricing import TARGET_WORK, needs_device, price, quantise
from framework.model.topology import build_topology
from framework.portfolio.constraints import Constraints
from framework.portfolio.records import Status
from framework.portfolio.settings import Settings
from framework.portfolio.solve import solve


def chain(costs: PhysicalCosts | PricedCosts, n: int) -> ModelGraph:
    """A chain of n nodes with one tensor between neighbours."""
    return ModelGraph(
        name="chain",
        source="here",
        node_names=tuple(f"v{v}" for v in range(n)),
        ops=("",) * n,
        topology=build_topology(n, np.arange(n - 1), np.arange(n), np.arange(1, n)),
        costs=costs,
    )


def priced(work: Any, tensors: Any, parameters: Any = None, capacity: float | None = None) -> ModelGraph:
    costs = PricedCosts(
        unit="ms",
        work=np.array(work),
        parameter_cost=np.array(parameters if parameters is not None else [0] * len(work)),
        tensor_cost=np.array(tensors, np.int64 if not len(tensors) else None),
        capacity=capacity,
    )
    return chain(costs, len(work))


def physical(**changes: Any) -> ModelGraph:
    values = {
        "flops": np.array([8e9, 2e9]),
        "parameter_bytes": np.array([4e6, 2e6]),
        "accessed_bytes": np.array([1e6, 9e6]),
        "seconds": np.array([np.nan, np.nan]),
        "tensor_bytes": np.array([1e6]),
    }
    return chain(PhysicalCosts(**(values | changes)), 2)


DEVICE = Device(name="d", peak_flops=1e12, memory_bandwidth=1e9, link_bandwidth=1e8, fast_memory=1e6)


def test_integers_keep_their_unit() -> None:
    instance = price(priced([3, 4], [5], [6, 7], 8))
    assert (instance.unit, instance.ticks_per_unit) == ("ms", 1.0)
    assert instance.work.tolist() == [3, 4]
    assert instance.tensor_cost.tolist() == [5]
    assert instance.parameter_cost.tolist() == [6, 7]
    assert instance.capacity == 8
    assert instance.in_units(7) == 7.0
    assert price(priced([0, 0], [0])).total_work == 0


def test_integers_up_to_the_limit_stay_exact_and_beyond_are_scaled() -> None:
    quarter = MAX_TOTAL // 4
    exact = price(priced([quarter, quarter], [quarter]))
    assert exact.ticks_per_unit == 1.0
    assert exact.total_work == 2 * quarter
    scaled = price(priced([quarter, quarter], [quarter + 1]))
    assert scaled.ticks_per_unit < 1
    assert scaled.in_units(int(scaled.work[0])) == pytest.approx(quarter)
    largest = price(priced([2**63 - 1, 2**63 - 1], [2**63 - 1]))
    assert largest.in_units(int(largest.work[0])) == pytest.approx(2**63)


def test_fractions_are_scaled_to_about_the_target_and_rounded_down() -> None:
    instance = price(priced([0.1, 0.2], [1 / 3], [0.25, 0.0], 0.125))
    assert math.log10(instance.ticks_per_unit) == round(math.log10(instance.ticks_per_unit))
    assert TARGET_WORK / 10 <= instance.total_work <= TARGET_WORK * 10
    scale = instance.ticks_per_unit
    assert instance.work.tolist() == [round(0.1 * scale), round(0.2 * scale)]
    assert instance.tensor_cost.tolist() == [math.floor(scale / 3)]
    assert instance.capacity == round(0.125 * scale)
    assert price(priced([0.1, 0.2], [1 / 3], [0.25, 0.0], 1 / 7)).capacity == math.ceil(scale / 7)
    # One fractional cost, or a fractional capacity, is enough.
    assert price(priced([1, 2], [3], capacity=0.5)).ticks_per_unit > 1
    assert price(priced([1, 2], [3.0])).ticks_per_unit > 1


@pytest.mark.parametrize("dear", [1e9, 1e30, 10**15, 10**18])
def test_dear_tensors_count_as_more_than_everything_in_one_stage(dear: float) -> None:
    work = [3, 4, 5] if isinstance(dear, int) else [0.3, 0.4, 0.5]
    quantised = quantise(priced(work, [dear, 1], [7, 8, 9], 20))
    instance = quantised.instance
    assert quantised.rounding.capped_tensors == 1
    assert quantised.rounding.exact == isinstance(dear, int)
    everything = instance.total_work + instance.total_parameter_cost - instance.capacity
    assert everything < int(instance.tensor_cost.max()) <= everything * (1 + 1e-8) + 1
    assert instance.in_units(everything) == pytest.approx(sum(work) + 4)


def test_tensors_are_left_alone_where_they_fit() -> None:
    quantised = quantise(priced([3, 4], [10**12]))
    assert quantised.rounding == Rounding(ticks_per_unit=1.0, exact=True)
    assert quantised.instance.tensor_cost.tolist() == [10**12]


@pytest.mark.parametrize("large", [1e25, 2**62])
def test_parameters_that_always_fit_do_not_coarsen_the_tick(large: float) -> None:
    costs = priced([0.3, 0.4], [0.1], [large, 1], large * 2)
    instance = price(costs)
    assert instance.in_units(int(instance.work[0])) == pytest.approx(0.3, rel=1e-9)
    assert not instance.can_overflow


def test_costs_that_ticks_cannot_tell_apart_are_refused() -> None:
    with pytest.raises(UserError, match=r"^here: the costs span too many orders of magnitude.*check their units\)$"):
        solve(priced([1e-9, 1e-9], [0], [1e9, 1e9], 1.5e9), 2, settings=Settings(entry="ideal-dp", budget=300))


@pytest.mark.parametrize("magnitude", [1e-280, 1e-200, 1e-9, 1.0, 1e9, 1e200, 1e300])
def test_any_magnitude_is_priced(magnitude: float) -> None:
    instance = price(priced([magnitude, magnitude], [magnitude]))
    assert instance.total_work <= MAX_TOTAL
    assert instance.in_units(int(instance.work[0])) == pytest.approx(magnitude, rel=1e-9)


@pytest.mark.parametrize("magnitude", [5e-324, 1e-310])
def test_what_no_scale_makes_whole_is_refused(magnitude: float) -> None:
    with pytest.raises(UserError, match="may lose more than the bottleneck"):
        price(priced([magnitude, magnitude], [magnitude]))


def test_nothing_to_do_costs_nothing_whatever_transfers_cost() -> None:
    quantised = quantise(priced([0.0, 0.0, 0.0], [1e-12, 1e12]))
    assert quantised.instance.total_work == 0


@pytest.mark.parametrize("field", ["work", "parameters"])
def test_sums_beyond_floating_point_are_refused(field: str) -> None:
    costs: dict[str, Any] = {"work": [1.0, 1.0], "tensors": [1.0], "parameters": [1.0, 1.0], "capacity": 1.0}
    costs[field] = [1.7e308, 1.7e308]
    with pytest.raises(UserError, match=r"^here: the costs add up to infinity \(scale the costs down\)$"):
        price(priced(**costs))


def test_parameters_that_always_fit_may_add_up_beyond_floating_point() -> None:
    assert not price(priced([1.0, 1.0], [1.0], [1.7e308, 1.7e308])).can_overflow


def test_transfers_that_add_up_beyond_floating_point_are_capped_first() -> None:
    graph = priced([0.3, 0.4, 0.5], [1.7e308, 0.1])
    quantised = quantise(graph)
    instance = quantised.instance
    assert quantised.rounding.capped_tensors == 1
    assert instance.total_work < int(instance.tensor_cost.max()) <= instance.total_work * (1 + 1e-8) + 1
    best = solve(graph, 2, settings=Settings(entry="ideal-dp", budget=300))
    assert (best.status, best.stage_of) == (Status.OPTIMAL, (0, 0, 1))
    assert best.incumbent == pytest.approx(0.8)


def test_a_partition_that_has_to_cut_what_no_float_holds_is_refused_in_one_line() -> None:
    graph, settings = priced([0.3, 0.4, 0.5], [1.7e308, 1.7e308]), Settings(entry="cp-sat", budget=300)
    once = solve(graph, 2, settings=settings, constraints=Constraints(pins=(("v0", 0), ("v1", 1))))
    assert once.incumbent == pytest.approx(1.7e308)
    assert once.dual_bound is not None
    assert 1 < once.dual_bound < 3
    twice = Constraints(pins=(("v0", 0), ("v1", 1), ("v2", 2)))
    told = r"^here: the best partition found cuts transfers that cost more than a floating-point number holds \(.*\)$"
    with pytest.raises(UserError, match=told):
        solve(graph, 3, settings=settings, constraints=twice)


def test_capacity_beyond_the_limit_is_unlimited() -> None:
    assert price(priced([0.5, 0.5], [0.5], [0.5, 0.5], 1e300)).capacity == UNLIMITED
    assert price(priced([1, 1], [1], [1, 1], 2**62)).capacity == UNLIMITED
    assert price(priced([0.5, 0.5], [0.5])).capacity == UNLIMITED


def test_roofline() -> None:
    instance = price(physical(), DEVICE)
    seconds = [instance.in_units(int(w)) for w in instance.work]
    assert instance.unit == "s"
    assert seconds == [pytest.approx(8e-3), pytest.approx(9e-3)]
    assert instance.in_units(int(instance.tensor_cost[0])) == pytest.approx(1e-2)
    assert [instance.in_units(int(p)) for p in instance.parameter_cost] == [pytest.approx(4e-2), pytest.approx(2e-2)]
    assert instance.in_units(instance.capacity) == pytest.approx(1e-2)


def test_measured_seconds_win() -> None:
    graph = physical(seconds=np.array([0.5, np.nan]))
    assert needs_device(graph)
    instance = price(graph, DEVICE)
    assert [instance.in_units(int(w)) for w in instance.work] == [pytest.approx(0.5), pytest.approx(9e-3)]
    measured = physical(seconds=np.array([0.5, 0.0]))
    assert not needs_device(measured)
    link = Device(name="link", link_bandwidth=1e6)
    assert price(measured, link).capacity == UNLIMITED
    assert not needs_device(priced([1], []))


def test_unlimited_memory() -> None:
    assert price(physical(), DEVICE.override(fast_memory=math.inf)).capacity == UNLIMITED
    assert price(physical(), DEVICE.override(fast_memory=0)).capacity == 0


def test_missing_figures_are_asked_for() -> None:
    with pytest.raises(UserError, match=r"no link bandwidth is given.*a `device` that has one"):
        price(physical())
    with pytest.raises(UserError, match="no link bandwidth is given"):
        price(physical(), Device(name="d", peak_flops=1e12))
    with pytest.raises(UserError, match="node 'v1' has no measured time, and device d no peak_flops"):
        price(physical(seconds=np.array([1.0, np.nan])), Device(name="d", link_bandwidth=1.0))


@settings(derandomize=True, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_quantisation_rounds_down_and_says_how_much(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 6))
    work, parameters = rng.random(n) * 10.0 ** rng.integers(-12, 12), rng.random(n)
    tensors = rng.random(n - 1) * 10.0 ** rng.integers(-6, 6)
    try:
        quantised = quantise(priced(work, tensors, parameters, float(rng.random())))
    except UserError:
        return
    instance, lost = quantised.instance, 0.0
    whole = [(work, instance.work), (tensors, instance.tensor_cost)]
    if instance.can_overflow:
        whole.append((parameters, instance.parameter_cost))
    for exact, ticks in whole:
        error = exact * instance.ticks_per_unit - ticks
        capped = error >= 1
        assert int(capped.sum()) == (quantised.rounding.capped_tensors if exact is tensors else 0)
        assert bool(np.all(error >= -(2.0**-48) * ticks))
        lost += float(error[~capped].sum())
    assert lost <= quantised.rounding.stage_ticks * (1 + 1e-6) + 1e-3
