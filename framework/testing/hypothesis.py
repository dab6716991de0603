"""Instances and problems as strategies for Hypothesis, which shrinks what fails to the smallest graph that still does.

    from hypothesis import given
    from framework.testing.hypothesis import problems

    @given(problems())
    def test_my_bound_is_below_the_optimum(problem): ...

`framework.testing.instances` draws from one integer instead: faster, the same everywhere, but not to be shrunk.
Hypothesis is imported by the functions only, so that this package does not need it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from framework.model.instance import UNLIMITED, Instance, instance_from_lists
from framework.model.problem import Problem

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy


def instances(*, max_nodes: int = 8, max_cost: int = 60, overflow: bool | None = None) -> SearchStrategy[Instance]:
    """Return a strategy for small instances: hyperedges, ties, zero costs, several tensors a node, separate parts.

    Parameters
    ----------
    max_nodes
        Largest number of nodes; brute force takes up to 14.
    max_cost
        Largest work, parameter cost and tensor cost, in ticks.
    overflow
        Whether there is a capacity; None for either.
    """
    from hypothesis import strategies as st

    if max_nodes < 1 or max_cost < 0:
        raise ValueError("max_nodes must be at least 1 and max_cost at least 0")
    costs = st.integers(0, max_cost)

    capacities = st.integers(0, max(1, max_nodes * max_cost // 2))
    limits = {None: st.none() | capacities, True: capacities, False: st.none()}[overflow]

    @st.composite
    def draw_instance(draw: DrawFn) -> Instance:
        # Nodes come first and as one list: dropping one of them is the first thing to try when a failure shrinks.
        nodes = draw(st.lists(st.tuples(costs, costs), min_size=1, max_size=max_nodes))
        capacity = draw(limits)
        tensors = []
        for u in range(len(nodes) - 1):
            later = st.sets(st.integers(u + 1, len(nodes) - 1))
            for consumers in draw(st.lists(later, max_size=2)):
                if consumers:
                    tensors.append((u, draw(costs), sorted(consumers)))
        return instance_from_lists(
            [work for work, _ in nodes],
            tensors,
            parameter_cost=[parameters for _, parameters in nodes],
            capacity=UNLIMITED if capacity is None else capacity,
            name="drawn",
        )

    return draw_instance()


def problems(
    *, max_nodes: int = 8, max_cost: int = 60, max_stages: int = 4, overflow: bool | None = None
) -> SearchStrategy[Problem]:
    """Return a strategy for small problems, whose stages may outnumber their nodes; see `instances`."""
    from hypothesis import strategies as st

    if max_stages < 1:
        raise ValueError("max_stages must be at least 1")
    return st.builds(
        lambda instance, stages: Problem(instance=instance, stages=stages),
        instances(max_nodes=max_nodes, max_cost=max_cost, overflow=overflow),
        st.integers(1, max_stages),
    )
