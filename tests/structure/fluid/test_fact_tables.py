"""What is known of the ideals of a core, for all variants, against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import OutOfTimeError
from framework.structure.fluid import ideal_table as rows
from framework.structure.fluid.core import build_core
from framework.structure.fluid.fact_tables import FactTables
from framework.structure.fluid.variants import Counted, Variant
from framework.structure.ideals.lattice import enumerate_ideals
from framework.structure.poset.closure import closure, unpack_sets
from framework.testing.instances import random_instance


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_what_may_and_must_be_done_is_that_of_the_weights_of_the_variant(seed: int) -> None:
    instance, rng = random_instance(seed), np.random.default_rng([seed, 11])
    mask = rng.random(instance.n) < 0.5
    mask[rng.integers(instance.n)] = False
    core = build_core(instance, mask)
    lattice = enumerate_ideals(core.order, max_ideals=10_000)
    whole = [
        Variant(counted=counted, grain=grain)
        for counted in (Counted.WORK, Counted.ALL_PARAMETERS)[: 1 + bool(instance.can_overflow)]
        for grain in (2, 7)
    ]
    tables = FactTables(core, lattice, None, whole, lambda: False)
    reach, fluid = closure(instance), core.fluid.tolist()
    inside = unpack_sets(lattice.bits, core.order.n)
    # In any order, and again: the table of whole nodes is one, which is written over.
    for variant in (*tables.variants, *reversed(tables.variants)):
        weight = instance.work + (variant.counted > 0) * instance.parameter_cost
        rounded = weight // variant.grain * variant.grain
        assert tables.weights(variant).tolist() == rounded[fluid].tolist()
        table = tables.of(variant)
        assert table[rows.WEIGHT].tolist() == [int(weight[core.nodes[row]].sum()) for row in inside]
        for i, row in enumerate(inside):
            outside, held = core.nodes[~row].tolist(), core.nodes[row].tolist()
            may = [f for f in fluid if not any(reach.is_ancestor(v, f) for v in outside)]
            must = [f for f in fluid if any(reach.is_ancestor(f, v) for v in held)]
            assert table[rows.MOST, i] == rounded[may].sum()
            assert table[rows.LEAST, i] == rounded[must].sum()


def test_it_stops_when_told_to() -> None:
    instance = random_instance(1)
    core = build_core(instance, np.arange(instance.n) % 2 > 0)
    lattice = enumerate_ideals(core.order, max_ideals=10_000)
    with pytest.raises(OutOfTimeError):
        FactTables(core, lattice, None, (), lambda: True)
