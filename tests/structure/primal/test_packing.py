"""Dual feasible functions keep what they promise: sets that fit are not worth more than a stage holds."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from framework.structure.primal.packing import Family, _value_in_all


@given(
    st.sampled_from(list(Family)),
    st.integers(1, 60),
    st.integers(0, 60),
    st.lists(st.integers(0, 60), max_size=6),
)
@settings(max_examples=1000, derandomize=True, deadline=None)
def test_what_fits_is_worth_no_more_than_a_stage_holds(
    family: Family, parameter: int, room: int, sizes: list[int]
) -> None:
    assume(sum(sizes) <= room)
    if family is Family.THRESHOLD:
        assume(2 * parameter <= room)
    value, most = _value_in_all(family, parameter, sizes, room)
    assert value <= most
