"""What `kernels.py` measures: instances, and a function a kernel that returns what is to be timed.

A case is made from the sources of either checkout, so it calls only what both have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from framework.model.instance import Instance

Case: TypeAlias = Callable[[], tuple[Any, int]]
"""What is measured: it gives an answer and the steps that it took."""
INSTANCES = {"4 chains of 18": (4, 18, 3), "3 chains of 45": (3, 45, 3), "6 chains of 6": (6, 6, 2)}
"""Chains, their length, and how far the tensors of a chain reach."""
NODES_A_STAGE = 6
"""Where stages are priced: trees are then as large as they are in practice."""


def instance_of(chains: int, length: int, reach: int) -> Instance:
    import numpy as np

    from framework.model.instance import instance_from_lists

    rng = np.random.default_rng(5)
    nodes = chains * length
    tensors = [
        (v, int(rng.integers(1, 9)), list(range(v + 1, min(v + reach, v - v % length + length))))
        for v in range(nodes)
        if v % length < length - 1
    ]
    tensors += [(v, 2, [v + length + 2]) for v in range(nodes - length) if v % length == 1]
    return instance_from_lists(
        rng.integers(5, 30, nodes).tolist(), tensors, parameter_cost=rng.integers(0, 9, nodes).tolist(), capacity=60
    )


def _never() -> bool:
    return False


def _decide_on_lattice(kernel: str, instance: Instance) -> Case:
    import numpy as np

    from framework.structure.fluid.chain_dp import FluidSearch
    from framework.structure.fluid.core import build_core
    from framework.structure.ideals.chain_dp import ChainSearch
    from framework.structure.ideals.lattice import enumerate_ideals

    if kernel == "advance":
        search: Any = ChainSearch(instance, enumerate_ideals(instance, max_ideals=10**6))
    else:
        core = build_core(instance, np.random.default_rng(6).random(instance.n) < 0.15)
        search = FluidSearch(core, enumerate_ideals(core.order, max_ideals=10**6))
    stages = 6
    low, high = instance.total_work // stages - 1, instance.total_work
    while high - low > 1:
        middle = (low + high) // 2
        if search.decide(stages, middle, _never) is None:
            low = middle
        else:
            high = middle

    def decide() -> tuple[bool, int]:
        before = search.steps
        answer = search.decide(stages, low, _never)
        return answer is None, search.steps - before

    return decide


def _enumerate(kernel: str, instance: Instance) -> Case:
    from framework.structure.ideals.lattice import enumerate_ideals

    def enumerate_all() -> tuple[bool, int]:
        lattice = enumerate_ideals(instance, max_ideals=10**6)
        return lattice.complete, len(lattice)

    return enumerate_all


def _price(kernel: str, instance: Instance) -> Case:
    import numpy as np

    from framework.structure.poset.closure import closure
    from framework.structure.pricing.branch_and_bound import StagePricer
    from framework.structure.pricing.query import Question

    pricer = StagePricer(instance, closure(instance))
    forced = pricer.forced_costs()
    stages = instance.n // NODES_A_STAGE
    threshold = instance.total_work * 21 // (20 * stages)
    prices = instance.work << 20
    question = Question(
        prices=prices,
        threshold=threshold,
        theta=int(prices.sum()) * 11 // (10 * stages),
        order=np.arange(instance.n),
        apart=forced.pairs > threshold,
        uncovered=forced.nets > threshold,
    )

    def search() -> Any:
        return pricer.decide(question, effort=10**5, max_columns=1)

    if kernel == "price":

        def decide() -> tuple[Any, int]:
            answer = search()
            return answer.verdict.value, answer.vertices

        return decide
    log = search().log

    def verify() -> tuple[bool, int]:
        return log is not None and pricer.verify(question, log), 0 if log is None else len(log)

    return verify


def _cover(kernel: str, instance: Instance) -> Case:
    import numpy as np

    from framework.model.problem import Problem
    from framework.structure.covering.farley import StageCover
    from framework.structure.covering.share_bound import CountRefuter

    problem = Problem(instance=instance, stages=instance.n // NODES_A_STAGE)
    threshold = instance.total_work // problem.stages
    if kernel == "grow":
        grower = StageCover(problem)._grower

        def grow() -> tuple[int, int]:
            found = [len(grower.grow(instance.work, threshold, 0, np.arange(instance.n), seed)) for seed in range(10)]
            return sum(found), len(found)

        return grow

    def weigh() -> tuple[str, int]:
        refuter = CountRefuter(problem)
        return str(refuter.refute(threshold, effort=32)), refuter.vertices

    return weigh


def _survey(kernel: str, instance: Instance) -> Case:
    from types import SimpleNamespace

    import numpy as np

    from framework.model.problem import Problem
    from framework.structure.spreading.cutting_planes import Spreading

    spreading = Spreading(Problem(instance=instance, stages=instance.n // NODES_A_STAGE))
    lengths = np.random.default_rng(7).random(len(spreading.shape.net_cost)) / 3
    # Rows of so large a value are not violated, so that nothing but the survey takes time.
    program: Any = SimpleNamespace(lengths=lengths, value=1e9, base=1)
    apart = np.zeros((instance.n, instance.n), np.bool_)

    def survey() -> tuple[int, int]:
        return sum(len(spreading._violated(program, apart, _never)) for _ in range(20)), 20 * instance.n

    return survey


def _nest(kernel: str, instance: Instance) -> Case:
    import numpy as np

    from framework.structure.nested_cuts.branching import Brancher
    from framework.structure.nested_cuts.network import NestedNetwork

    network = NestedNetwork(instance, [1] * 6)
    rng = np.random.default_rng(8)
    multipliers = network.multipliers(rng.random(6) + 0.5, rng.random(6))
    windows, priority = network.free, network.even_priority()

    if kernel == "capacities":

        def prepare() -> tuple[int, int]:
            return sum(network.prepare(multipliers, *windows, priority) for _ in range(200)), 200

        return prepare
    network.prepare(multipliers, *windows, priority)
    network.network.augment()
    brancher = Brancher(network)
    choices = brancher.candidates(*windows, network.smallest(), network.largest(), 10**4)

    def probe() -> tuple[list[int], int]:
        before = network.network.steps
        found = brancher.probe(windows[0].copy(), windows[1].copy(), choices, 1 << 59, len(choices))
        return [*(found.choice or ()), *found.values], network.network.steps - before

    return probe


def _copies(instance: Instance, count: int) -> Instance:
    """Return several copies of an instance side by side."""
    from framework.model.instance import instance_from_lists

    top = instance.topology
    rows = [top.consumers[top.consumer_ptr[t] : top.consumer_ptr[t + 1]] for t in range(instance.m)]
    tensors = [
        (int(u) + copy * instance.n, int(cost), (row + copy * instance.n).tolist())
        for copy in range(count)
        for u, cost, row in zip(top.producer, instance.tensor_cost, rows, strict=True)
    ]
    return instance_from_lists(
        instance.work.tolist() * count,
        tensors,
        parameter_cost=instance.parameter_cost.tolist() * count,
        capacity=instance.capacity,
    )


def _flow(kernel: str, instance: Instance) -> Case:
    import numpy as np

    from framework.structure.flow.max_flow import FlowNetwork

    many = _copies(instance, 8)
    top, rng = many.topology, np.random.default_rng(9)
    edges = np.repeat(top.producer, np.diff(top.consumer_ptr)), top.consumers
    ends = rng.permutation(many.n)
    tails = np.concatenate((edges[0], np.full(100, many.n), ends[:100]))
    heads = np.concatenate((edges[1], ends[100:200], np.full(100, many.n + 1)))
    network = FlowNetwork(many.n + 2, tails, heads, many.n, many.n + 1)
    capacities = np.zeros(len(network.residual), np.int64)
    capacities[network.forward] = rng.integers(1, 100, len(tails))
    capacities[network.backward] = rng.integers(1, 100, len(tails))

    def augment() -> tuple[int, int]:
        before, sent = network.steps, 0
        for _ in range(20):
            network.reset(capacities)
            sent += network.augment()
        return sent, network.steps - before

    return augment


def _order(kernel: str, instance: Instance) -> Case:
    import numpy as np

    from framework.structure.poset.closure import closure, unpack_sets
    from framework.structure.poset.topological_orders import OrderKind, topological_order
    from framework.structure.poset.width_reduction import reduce_width

    many = _copies(instance, 8)
    if kernel == "order":

        def order() -> tuple[int, int]:
            kind, weight = OrderKind.GREEDY_MIN_CUT, np.arange(many.n)
            orders = [topological_order(many, kind, reverse=i % 2 == 1, noise=1.0, seed=i) for i in range(20)]
            return sum(int(one @ weight) for one in orders), 20 * many.n

        return order
    reach = closure(many)
    comparable = reach.ancestors | reach.descendants
    beside = ~unpack_sets(comparable, many.n) @ many.work - many.work

    def remove() -> tuple[int, int]:
        alive = np.ones(many.n, np.bool_)
        ranking = reduce_width(comparable, many.work, many.work + 1.0, beside.copy(), alive, should_stop=_never)
        return int(ranking @ np.arange(many.n)), many.n

    return remove


def _slice(kernel: str, instance: Instance) -> Case:
    from framework.structure.poset.topological_orders import OrderKind, topological_order
    from framework.structure.primal.slicing import Slicer

    many = _copies(instance, 8)
    orders = [topological_order(many, OrderKind.DFS, noise=1.0, seed=seed) for seed in range(20)]
    if kernel == "layout":

        def lay_out() -> tuple[int, int]:
            return sum(len(Slicer(many, order)._order) for order in orders * 5), 100 * many.n

        return lay_out
    slicers = [Slicer(many, order) for order in orders]

    def solve() -> tuple[int, int]:
        found = [slicer.solve(8) for slicer in slicers]
        return sum(one.value for one in found if one is not None), 20 * many.n

    return solve


def _place(kernel: str, instance: Instance) -> Case:
    import numpy as np

    from framework.model.problem import Problem
    from framework.structure.fluid.core import build_core
    from framework.structure.fluid.rounding import place_fluid

    many = _copies(instance, 8)
    core = build_core(many, np.random.default_rng(6).random(many.n) < 0.5)
    problem, weight = Problem(instance=many, stages=8), np.arange(many.n)
    stages = np.arange(len(core.nodes)) * 8 // len(core.nodes)

    def place() -> tuple[int, int]:
        return sum(int(place_fluid(problem, core, stages).stage_of @ weight) for _ in range(50)), 50 * many.n

    return place


def _anneal(kernel: str, instance: Instance) -> Case:
    import numpy as np

    from framework.model.problem import Problem
    from framework.structure.primal.annealing import Annealer, Cooling
    from framework.structure.primal.initial_interval import balanced_partition

    problem, moves = Problem(instance=_copies(instance, 8), stages=8), 200_000
    start, weight = balanced_partition(problem), np.arange(problem.instance.n)

    def anneal() -> tuple[int, int]:
        annealer = Annealer(problem, start, 3)
        annealer.cool(Cooling(moves=moves))
        return int(annealer.current_partition().stage_of @ weight), moves

    return anneal


def _reduce(kernel: str, instance: Instance) -> Case:
    import numpy as np

    from framework.structure.poset.closure import redundant_edges
    from framework.structure.reduction import coarsening, dominance, symmetry

    many = _copies(instance, 8)
    if kernel == "pair":
        together = np.zeros(many.n, np.int64)

        def pair() -> tuple[int, int]:
            rng, weight = np.random.default_rng(3), np.arange(many.n)
            found = [coarsening._pair(many, together, 50, many.n, rng) for _ in range(50)]
            return sum(int(one @ weight) for one in found), 50 * many.n

        return pair
    if kernel == "dominate":
        redundant = redundant_edges(many)

        def dominate() -> tuple[list[int], int]:
            found = [dominance._dominated(many, redundant, tolerance) for tolerance in range(0, 100, 2)]
            return [int(answer[1].sum()) for answer in found], 50 * many.n

        return dominate
    half = many.n // 2

    def exchange() -> tuple[bool, int]:
        found = [symmetry.exchangeable(many, np.arange(half), np.arange(half, many.n)) for _ in range(200)]
        return all(found), 200 * many.n

    return exchange


KERNELS: dict[str, Callable[[str, Instance], Case]] = {
    "expand": _enumerate,
    "advance": _decide_on_lattice,
    "walk": _decide_on_lattice,
    "price": _price,
    "verify": _price,
    "grow": _cover,
    "weigh": _cover,
    "survey": _survey,
    "capacities": _nest,
    "probe": _nest,
    "flow": _flow,
    "order": _order,
    "reduce_width": _order,
    "layout": _slice,
    "slice": _slice,
    "place": _place,
    "anneal": _anneal,
    "pair": _reduce,
    "dominate": _reduce,
    "exchange": _reduce,
}
