"""The core of an instance, its nets, and thresholds decided with fluid, against exhaustion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import OutOfTimeError
from framework.model.instance import UNLIMITED, Instance, instance_from_lists
from framework.model.problem import Problem, bottleneck, stage_costs
from framework.structure.fluid.chain_dp import FluidSearch
from framework.structure.fluid.core import FluidCore, build_core
from framework.structure.fluid.ideal_table import most_fluid
from framework.structure.fluid.memory_bound import crowded_nodes
from framework.structure.fluid.rounding import place_fluid
from framework.structure.fluid.selection import MOST_ATTEMPTS, PREFERENCES, FluidChoice
from framework.structure.fluid.variants import Counted, Variant, tied_variants, whole_node_variants
from framework.structure.ideals.chain_dp import ChainSearch
from framework.structure.ideals.lattice import enumerate_ideals
from framework.structure.poset.closure import BoolArray, closure
from framework.testing.brute_force import brute_force_optimum, stage_cost
from framework.testing.instances import random_cross_attention, random_instance, random_layered_instance, random_problem

PARAMETERS = Variant(counted=Counted.ALL_PARAMETERS)
SEEDS = st.integers(0, 2**32 - 1)
EXHAUSTIVE = settings(derandomize=True, deadline=None, max_examples=150)


def random_mask(instance: Instance, seed: int) -> BoolArray:
    rng = np.random.default_rng([seed, 2])
    mask: BoolArray = rng.random(instance.n) < rng.choice([0.2, 0.5, 0.8])
    mask[int(rng.integers(instance.n))] = False
    return mask


def search_of(core: FluidCore, crowded: BoolArray | None = None, further: Sequence[Variant] = ()) -> FluidSearch:
    return FluidSearch(core, enumerate_ideals(core.order, max_ideals=100_000), crowded, further)


def random_whole(core: FluidCore, seed: int) -> list[Variant]:
    """Return whole-node variants with grains that are weights of fluid nodes, parts of them, or anything."""
    rng, instance = np.random.default_rng([seed, 9]), core.instance
    variants = []
    for counted in Counted if instance.can_overflow else (Counted.WORK,):
        weights = (instance.work + bool(counted) * instance.parameter_cost)[core.fluid].tolist()
        grains = {*weights, *(weight // 2 for weight in weights), int(rng.integers(2, 30))}
        variants += [Variant(counted=counted, grain=grain) for grain in sorted(grains) if grain > 1]
    return variants


def never() -> bool:
    return False


@EXHAUSTIVE
@given(SEEDS)
def test_no_stage_pays_more_for_nets_than_for_tensors(seed: int) -> None:
    instance = random_instance(seed, max_nodes=7)
    free = Instance(
        **{
            **{name: getattr(instance, name) for name in ("name", "unit", "ticks_per_unit", "tensor_cost", "topology")},
            "work": np.zeros(instance.n, np.int64),
            "parameter_cost": np.zeros(instance.n, np.int64),
            "capacity": UNLIMITED,
            "node_of_input": instance.node_of_input,
        }
    )
    core = build_core(instance, random_mask(instance, seed))
    for stage in range(1 << instance.n):
        inside = (stage >> core.nodes) & 1
        paid = 0
        for i, cost in enumerate(core.net_cost.tolist()):
            pins = inside[core.net_pins[core.net_ptr[i] : core.net_ptr[i + 1]]]
            paid += cost * (0 < pins.sum() < len(pins))
        assert paid <= stage_cost(free, stage)


@EXHAUSTIVE
@given(SEEDS)
def test_the_core_keeps_the_order_through_fluid_nodes(seed: int) -> None:
    instance = random_instance(seed)
    mask = random_mask(instance, seed)
    core = build_core(instance, mask)
    whole, inner = closure(instance), closure(core.order)
    for i, u in enumerate(core.nodes.tolist()):
        for j, v in enumerate(core.nodes.tolist()):
            assert inner.is_ancestor(i, j) == whole.is_ancestor(u, v)
    for i, f in enumerate(core.fluid.tolist()):
        after = {j for j in range(core.order.n) if int(core.after[i, j >> 6]) >> (j & 63) & 1}
        before = {j for j in range(core.order.n) if int(core.before[i, j >> 6]) >> (j & 63) & 1}
        above = {j for j, v in enumerate(core.nodes.tolist()) if whole.is_ancestor(v, f)}
        below = {j for j, v in enumerate(core.nodes.tolist()) if whole.is_ancestor(f, v)}
        assert above == after | {x for j in after for x in inner.ancestors_of(j).tolist()}
        assert below == before | {x for j in before for x in inner.descendants_of(j).tolist()}


def test_a_path_through_a_fluid_node_keeps_the_cheaper_tensor() -> None:
    instance = instance_from_lists([1, 1, 1], [(0, 5, [1]), (1, 3, [2])])
    core = build_core(instance, np.array([False, True, False]))
    assert core.net_cost.tolist() == [3]
    assert core.net_pins.tolist() == [0, 1]
    assert core.headed.tolist() == [True]


def test_readers_of_a_fluid_node_still_share_its_tensor() -> None:
    instance = instance_from_lists([1, 1, 1], [(0, 5, [1, 2])])
    core = build_core(instance, np.array([True, False, False]))
    assert core.net_cost.tolist() == [5]
    assert core.headed.tolist() == [False]
    search = search_of(core)
    # Apart, both pay; in one stage with two units of work, the third unit is fluid.
    assert search.decide(2, 2, never) is not None
    assert search.decide(3, 1, never) is None


@EXHAUSTIVE
@given(SEEDS)
def test_nothing_possible_is_refuted(seed: int) -> None:
    problem = random_problem(seed)
    optimum = brute_force_optimum(problem)
    instance = problem.instance
    core = build_core(instance, random_mask(instance, seed))
    crowded = np.random.default_rng([seed, 3]).random(instance.n) < 0.5
    whole = [*random_whole(core, seed), *tied_variants(core)]
    search = search_of(core, crowded, whole)
    assert len(search.variants) == len(whole) + (3 if instance.can_overflow else 1)
    for variant in search.variants:
        counted = (0, 1, crowded)[variant.counted]
        for threshold in (optimum, optimum + 1, 3 * optimum + 5):
            plan = search.decide(problem.useful_stages, threshold, never, variant=variant)
            assert plan is not None
            weight = (instance.work + counted * instance.parameter_cost)[core.fluid]
            assert plan.fluid_done[-1] == (weight // variant.grain * variant.grain).sum()
            assert bottleneck(problem, place_fluid(problem, core, plan.stage_of_core)) >= optimum


def test_fluid_keeps_to_the_cost_as_well_as_to_the_capacity() -> None:
    # Apart, two nodes cost 3 + 2 each; the capacity has room for the third, but at T = 5 its work of 1 has none.
    instance = instance_from_lists([3, 3, 1], [(0, 2, [1])], parameter_cost=[0, 0, 9], capacity=8)
    search = search_of(build_core(instance, np.array([False, False, True])))
    assert search.decide(2, 5, never, variant=PARAMETERS) is None
    assert search.decide(2, 6, never, variant=PARAMETERS) is not None


def test_parameters_of_nodes_without_work_have_no_rate() -> None:
    instance = instance_from_lists([3, 3, 0], [(0, 2, [1])], parameter_cost=[0, 0, 9], capacity=8)
    search = search_of(build_core(instance, np.array([False, False, True])))
    assert search.decide(2, 5, never, variant=PARAMETERS) is not None


def alternating_sections(sections: int) -> Instance:
    """Return rows of parallel nodes, with much work in turn with many parameters, and a node between any two."""
    work, parameters = [1], [0]
    tensors: list[tuple[int, int, list[int]]] = []
    for section in range(sections):
        start = len(work) - 1
        row = list(range(start + 1, start + 13))
        tensors.append((start, 1, row))
        tensors += [(u, 1, [start + 13]) for u in row]
        work += [2 if section % 2 else 10] * 12 + [1]
        parameters += [10 if section % 2 else 0] * 12 + [0]
    return instance_from_lists(work, tensors, parameter_cost=parameters, capacity=40)


def test_crowded_sections_refute_what_no_other_variant_does() -> None:
    instance = alternating_sections(6)
    crowded = crowded_nodes(instance, closure(instance), 30)
    assert crowded is not None
    assert crowded.tolist() == (instance.parameter_cost > 0).tolist()
    search = search_of(build_core(instance, instance.work > 1), crowded)
    exact = ChainSearch(instance, enumerate_ideals(instance, max_ideals=100_000))
    only = 0
    for stages in range(6, 30):
        for threshold in range(10, 80):
            refuted = [search.decide(stages, threshold, never, variant=v) is None for v in search.variants]
            if refuted == [False, False, True]:
                only += 1
                assert exact.decide(stages, threshold, never) is None
    assert only > 0


def test_where_all_or_nothing_is_crowded_there_is_nothing_to_tell_apart() -> None:
    instance = alternating_sections(4)
    reach = closure(instance)
    assert crowded_nodes(instance, reach, 0) is None
    assert crowded_nodes(replace(instance, work=np.zeros_like(instance.work)), reach, 15) is None
    assert crowded_nodes(replace(instance, capacity=UNLIMITED), reach, 15) is None


@EXHAUSTIVE
@given(SEEDS)
def test_without_fluid_it_is_exact(seed: int) -> None:
    problem = random_problem(seed)
    optimum = brute_force_optimum(problem)
    core = build_core(problem.instance, np.zeros(problem.instance.n, np.bool_))
    search = search_of(core)
    plan = search.decide(problem.useful_stages, optimum, never)
    assert plan is not None
    assert bottleneck(problem, place_fluid(problem, core, plan.stage_of_core)) <= optimum
    if optimum:
        assert search.decide(problem.useful_stages, optimum - 1, never) is None


@pytest.mark.parametrize("share", [None, 0.1])
@pytest.mark.parametrize("stages", [2, 5, 16])
def test_without_fluid_it_decides_as_the_exact_program(stages: int, share: float | None) -> None:
    instance = random_layered_instance(4, 40, width=4, capacity_share=share)
    search = search_of(build_core(instance, np.zeros(instance.n, np.bool_)))
    chains = ChainSearch(instance, enumerate_ideals(instance, max_ideals=100_000))
    simple = instance.total_work // stages
    answers = []
    for threshold in range(simple, 2 * simple, max(1, simple // 40)):
        exact = chains.decide(stages, threshold, never) is None
        assert (search.decide(stages, threshold, never) is None) == exact
        answers.append(exact)
    assert True in answers
    assert False in answers


def as_sets(search: FluidSearch) -> list[frozenset[int]]:
    return [
        frozenset(v for v in range(search.core.order.n) if int(row[v >> 6]) >> (v & 63) & 1)
        for row in search.lattice.bits
    ]


def reference_decides(search: FluidSearch, stages: int, threshold: int, variant: Variant) -> bool:
    """Program (1) of the module straight from its definition, without any pruning; whether it is satisfied."""
    core, instance = search.core, search.core.instance
    whole = closure(instance)
    counted_parameters = int(variant.counted == Counted.ALL_PARAMETERS)
    weight = (instance.work + counted_parameters * instance.parameter_cost).tolist()
    fluid_weight = [a - a % variant.grain for a in weight]
    limit = threshold + counted_parameters * min(instance.capacity, instance.total_parameter_cost)
    ideals = as_sets(search)
    nodes = core.nodes.tolist()
    nets = [core.net_pins[core.net_ptr[i] : core.net_ptr[i + 1]].tolist() for i in range(len(core.net_cost))]
    most, least = [], []
    for ideal in ideals:
        inside, outside = {nodes[j] for j in ideal}, {nodes[j] for j in range(len(nodes)) if j not in ideal}
        fluid = core.fluid.tolist()
        most.append(sum(fluid_weight[f] for f in fluid if not any(whole.is_ancestor(v, f) for v in outside)))
        least.append(sum(fluid_weight[f] for f in fluid if any(whole.is_ancestor(f, v) for v in inside)))
    done = {0: 0}
    for _ in range(stages):
        following: dict[int, int] = {}
        for i, y in done.items():
            for j, larger in enumerate(ideals):
                if not ideals[i] <= larger:
                    continue
                stage = larger - ideals[i]
                paid = sum(
                    int(cost)
                    for cost, net in zip(core.net_cost, nets, strict=True)
                    if 0 < len(stage & set(net)) < len(net)
                )
                over = max(0, sum(int(core.order.parameter_cost[v]) for v in stage) - instance.capacity)
                if sum(int(core.order.work[v]) for v in stage) + paid + over > threshold:
                    continue
                counted = sum(weight[nodes[v]] for v in stage) + paid + (0 if counted_parameters else over)
                limits = search._limits(threshold, variant, exchangeable=False)._replace(rate=np.inf)
                fluid_fits = most_fluid(search._tables.of(variant), i, j, limit - counted, limit, limits)
                value = min(most[j], y + fluid_fits)
                if counted <= limit and fluid_fits >= 0 and value >= max(least[j], following.get(j, 0)):
                    following[j] = value
        done = following
    return bool(done.get(len(ideals) - 1, -1) >= sum(fluid_weight[f] for f in core.fluid.tolist()))


@settings(derandomize=True, deadline=None, max_examples=120)
@given(SEEDS)
def test_pruning_changes_no_answer(seed: int) -> None:
    problem, paths = random_cross_attention(seed) if seed % 2 else (random_problem(seed, max_nodes=7), [])
    mask = random_mask(problem.instance, seed)
    mask[paths] = True
    core = build_core(problem.instance, mask)
    whole = [variant for variant in random_whole(core, seed) if variant.counted != Counted.CROWDED]
    whole += tied_variants(core)
    search = search_of(core, further=whole)
    optimum = brute_force_optimum(problem)
    for variant in search.variants:
        for threshold in sorted({optimum * share // 8 for share in range(4, 9)}):
            plan = search.decide(problem.useful_stages, threshold, never, variant=variant)
            satisfied = reference_decides(search, problem.useful_stages, threshold, variant)
            if problem.instance.can_overflow or not variant.basic:
                # The program also counts what even all stages left cannot hold, divisible fluid included.
                assert satisfied or plan is None
            else:
                assert (plan is not None) == satisfied


def test_fluid_alone_in_a_stage_may_have_to_come_first() -> None:
    # Three fluid nodes feed the only core node: they need two stages of their own before it.
    instance = instance_from_lists([3, 3, 3, 5], [(v, 0, [3]) for v in range(3)])
    search = search_of(build_core(instance, np.array([True, True, True, False])))
    plan = search.decide(3, 5, never)
    assert plan is not None
    assert plan.stage_of_core.tolist() == [2]
    assert search.decide(3, 4, never) is None
    # A core node with two fluid sources between others, so that the ideal before it is left and met again.
    instance = instance_from_lists([4, 2, 2, 4, 4], [(0, 0, [3]), (1, 0, [3]), (2, 0, [3]), (3, 0, [4])])
    search = search_of(build_core(instance, np.array([False, True, True, False, False])))
    assert search.decide(4, 4, never) is not None
    assert search.decide(3, 5, never) is None


def highest_refuted(search: FluidSearch, stages: int, limit: int) -> int:
    low, high = -1, limit
    while high - low > 1:
        middle = (low + high) // 2
        plans = [search.decide(stages, middle, never, variant=variant) for variant in search.variants]
        low, high = (low, middle) if None not in plans else (middle, high)
    return low


def test_whole_nodes_prove_more_than_a_fluid() -> None:
    # Seven of 4 in three stages: 12 at least, where a fluid needs 28/3; the lighter ones count with the heavier ones.
    for light in (400, 392):
        instance = instance_from_lists([1] + [400] * 5 + [light] * 2, [])
        core = build_core(instance, np.arange(8) > 0)
        whole = whole_node_variants(core, 3, 1000)
        assert {variant.grain for variant in whole} == {400, light}
        search = search_of(core, further=whole)
        assert search.decide(3, 3 * light - 1, never, variant=whole[-1]) is None
        assert all(search.decide(3, 1200, never, variant=variant) is not None for variant in search.variants)
        assert search.decide(3, 940, never) is not None


def test_parameters_of_whole_nodes_count_as_well() -> None:
    # A stage within the capacity holds one, and pays for 8 more of each further one.
    instance = instance_from_lists([0] + [2] * 6, [], parameter_cost=[0] + [10] * 6, capacity=14)
    core = build_core(instance, np.arange(7) > 0)
    whole = whole_node_variants(core, 5, 10)
    assert Variant(counted=Counted.ALL_PARAMETERS, grain=12) in whole
    search = search_of(core, further=whole)
    refuted = [
        threshold
        for threshold in range(12)
        if any(search.decide(5, threshold, never, variant=variant) is None for variant in search.variants)
    ]
    assert refuted == list(range(10))
    assert brute_force_optimum(Problem(instance=instance, stages=5)) == 10


def test_grains_that_round_more_off_than_they_can_gain_are_left_out() -> None:
    core = build_core(instance_from_lists([1] + [10] * 2 + [9] * 40, []), np.arange(43) > 0)
    assert {variant.grain for variant in whole_node_variants(core, 2, 190)} == {9}
    assert not whole_node_variants(core, 2, 10_000)


def test_it_beats_counting_work_and_parameters() -> None:
    # One stage takes two links of the chain and pays for the tensor of the third.
    instance = instance_from_lists([6, 6, 6, 2], [(0, 5, [1]), (1, 5, [2]), (0, 1, [3])])
    core = build_core(instance, np.array([False, False, False, True]))
    assert highest_refuted(search_of(core), 2, 20) == 16
    assert brute_force_optimum(Problem(instance=instance, stages=2)) == 17
    heavy = instance_from_lists([1, 1, 1], [], parameter_cost=[10, 10, 10], capacity=5)
    all_but_one = np.array([False, True, True])
    assert highest_refuted(search_of(build_core(heavy, all_but_one)), 2, 50) == 11


def test_more_than_one_word_and_large_numbers() -> None:
    n = 90
    scale = 1 << 37
    instance = instance_from_lists(
        [scale] * n, [(v, scale, [v + 1]) for v in range(n - 1)], parameter_cost=[1] * n, capacity=20
    )
    mask = np.zeros(n, np.bool_)
    mask[70::3] = True
    core = build_core(instance, mask)
    search = search_of(core)
    assert core.order.n > 64
    plan = search.decide(n, 1 << 60, never, variant=PARAMETERS)
    assert plan is not None
    # Every stage of two or three nodes pays two tensors but at the ends.
    highest = highest_refuted(search, 45, 5 * scale)
    assert 2 * scale <= highest < 4 * scale


@pytest.mark.parametrize(("weight_bias", "spread"), PREFERENCES)
def test_the_choice_keeps_to_its_limit_and_gives_back(weight_bias: float, spread: float) -> None:
    instance = random_layered_instance(7, 80, width=12)
    choice = FluidChoice(instance, weight_bias=weight_bias / instance.total_work, spread=spread)
    sizes = []
    for limit in (2, 50, 400, 3000):
        mask, lattice = choice.choose(limit)
        assert lattice.complete
        assert len(lattice) <= limit
        assert len(lattice.work) == len(enumerate_ideals(build_core(instance, mask).order, max_ideals=limit))
        sizes.append(int(mask.sum()))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == instance.n - 1
    narrow = random_layered_instance(7, 30, width=1)
    assert not FluidChoice(narrow, weight_bias=weight_bias, spread=spread).choose(100)[0].any()


def test_heavy_nodes_stay_in_the_core() -> None:
    instance = random_layered_instance(7, 80, width=12)
    weight = instance.work + instance.parameter_cost
    heavy = np.argsort(weight)[-20:]
    kept = [
        int((~FluidChoice(instance, weight_bias=weight_bias / instance.total_work).choose(400)[0][heavy]).sum())
        for weight_bias in (0, 1e6)
    ]
    assert kept[0] < kept[1]


def test_giving_back_ends_where_every_node_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = 0
    attempt = FluidChoice._attempt

    def counted(*arguments: Any) -> Any:
        nonlocal attempts
        attempts += 1
        return attempt(*arguments)

    monkeypatch.setattr(FluidChoice, "_attempt", counted)
    instance = random_layered_instance(7, 1500, width=12)
    mask, _ = FluidChoice(instance).choose(30)
    assert mask.sum() > 1400
    assert attempts <= MOST_ATTEMPTS + 2 * instance.n.bit_length()


def test_stopping_claims_nothing() -> None:
    instance = random_layered_instance(7, 80, width=12)
    with pytest.raises(OutOfTimeError):
        FluidChoice(instance, should_stop=lambda: True)
    choice = FluidChoice(instance)
    with pytest.raises(OutOfTimeError):
        choice.choose(500, lambda: True)
    mask, lattice = choice.choose(500)
    search = FluidSearch(build_core(instance, mask), lattice)
    with pytest.raises(OutOfTimeError):
        search.decide(4, instance.total_work // 3, lambda: True)
    with pytest.raises(ValueError, match="only a complete lattice"):
        FluidSearch(build_core(instance, mask), enumerate_ideals(instance, max_ideals=50))


def test_placed_fluid_is_a_partition() -> None:
    for seed in range(40):
        problem = Problem(instance=random_layered_instance(seed, 50, width=10, capacity_share=0.2), stages=5)
        mask, lattice = FluidChoice(problem.instance).choose(100)
        core = build_core(problem.instance, mask)
        plan = FluidSearch(core, lattice).decide(5, problem.instance.total_work, never)
        assert plan is not None
        placed = place_fluid(problem, core, plan.stage_of_core)
        assert np.array_equal(placed.stage_of[core.nodes], plan.stage_of_core)
        assert stage_costs(problem, placed).bottleneck > 0
