"""Small random instances for tests, with and without overflow, ties and limits; one integer seed gives each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from framework.model.arrays import prefix_sums
from framework.model.graph import ModelGraph, PricedCosts
from framework.model.instance import UNLIMITED, Instance, instance_from_lists
from framework.model.pricing import price
from framework.model.problem import Problem
from framework.model.shared import SharedParameters, rename_users, shared_by
from framework.model.topology import build_topology
from framework.model.unequal import make_unequal, with_relaxation
from framework.structure.reduction.contraction import contract
from framework.structure.reduction.hard_limits import Kept, limit_memory, pin


def random_instance(seed: int, max_nodes: int = 9) -> Instance:
    """Return a small instance drawn from `seed`: hyperedges, zero costs, overflow, ties, fractions.

    A third has no overflow, half has small integer costs (many ties), a quarter is quantised from
    fractional input, and disconnected graphs, single nodes and several tensors per node all occur.
    """
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, max_nodes + 1))
    density = rng.choice([0.1, 0.25, 0.5])
    highest = int(rng.choice([2, 6, 50, 1000]))
    zero_share = float(rng.choice([0.0, 0.2, 0.6]))

    def cost() -> int:
        return 0 if rng.random() < zero_share else int(rng.integers(0, highest + 1))

    tensors: list[tuple[int, int, list[int]]] = []
    for u in range(n):
        for _ in range(int(rng.integers(1, 3))):
            consumers = [v for v in range(u + 1, n) if rng.random() < density]
            if consumers:
                tensors.append((u, cost(), consumers))
    work = [cost() for _ in range(n)]
    parameters = [cost() for _ in range(n)]
    has_capacity = rng.random() < 2 / 3
    capacity = int(rng.integers(0, max(2, sum(parameters)))) if has_capacity else UNLIMITED
    if rng.random() < 0.25:
        return _fractional(rng, n, work, parameters, tensors, None if capacity == UNLIMITED else capacity)
    shuffled = rng.permutation(n)
    return instance_from_lists(
        [work[v] for v in np.argsort(shuffled)],
        [(int(shuffled[u]), c, [int(shuffled[v]) for v in consumers]) for u, c, consumers in tensors],
        parameter_cost=[parameters[v] for v in np.argsort(shuffled)],
        capacity=capacity,
        name=f"random-{seed}",
    )


def random_problem(seed: int, max_nodes: int = 9, max_stages: int = 4) -> Problem:
    """Return `random_instance(seed)` with a number of stages that may exceed its nodes."""
    stages = int(np.random.default_rng([seed, 1]).integers(1, max_stages + 1))
    return Problem(instance=random_instance(seed, max_nodes), stages=stages)


def random_limited_problem(seed: int, max_nodes: int = 7, max_stages: int = 3) -> Problem:
    """Return a random problem with a hard limit on memory, pinned nodes, or both; some have no partition that obeys."""
    rng = np.random.default_rng([seed, 2])
    instance = random_instance(seed, max_nodes)
    stages = int(rng.integers(1, max_stages + 1))
    kind = int(rng.integers(0, 3))
    if kind != 0:
        sizes = rng.integers(0, 9, instance.n).astype(np.int64)
        limit = int(rng.integers(int(sizes.max()), int(sizes.sum()) + 1))
        instance = limit_memory(instance, sizes, limit, stages)
    if kind != 1:
        # Stages that rise with the topological numbers belong to some partition.
        stage_of = np.sort(rng.integers(0, stages, instance.n))
        pinned = rng.permutation(instance.n)[: int(rng.integers(1, 4))]
        instance = pin(instance, {int(v): int(stage_of[v]) for v in pinned}, stages)
    return Problem(instance=instance, stages=stages)


def random_shared_problem(seed: int, max_nodes: int = 7, max_stages: int = 4) -> Problem:
    """Return a random problem with parameters that several nodes use; some have a memory limit, pins, or both."""
    rng = np.random.default_rng([seed, 21])
    instance = random_instance(seed, max_nodes)
    stages = int(rng.integers(1, max_stages + 1))
    n = instance.n
    highest = max(2, int(instance.parameter_cost.max()))
    rows = [rng.permutation(n)[: int(rng.integers(2, n + 1))].tolist() for _ in range(int(rng.integers(1, 5))) if n > 1]
    shared = shared_by(rows)
    instance = replace(instance, shared=shared, shared_cost=rng.integers(0, highest + 1, len(rows)).astype(np.int64))
    if rng.random() < 0.8:
        instance = replace(instance, capacity=int(rng.integers(0, instance.total_parameter_cost // 2 + 2)))
    instance = contract(instance, np.arange(n))
    kind = rng.random()
    if kind > 0.7:
        sizes = rng.integers(0, 9, instance.n).astype(np.int64)
        held_once = rng.integers(0, 9, len(instance.shared)).astype(np.int64)
        total = int(sizes.sum() + held_once.sum())
        instance = limit_memory(instance, sizes, int(rng.integers(total // 3, total + 1)), stages, held_once)
    if kind > 0.85 or kind < 0.1:
        stage_of = np.sort(rng.integers(0, stages, instance.n))
        pinned = rng.permutation(instance.n)[: int(rng.integers(1, 4))]
        instance = pin(instance, {int(v): int(stage_of[v]) for v in pinned}, stages)
    return Problem(instance=instance, stages=stages)


def random_memory_problem(seed: int, max_nodes: int = 7, max_stages: int = 4) -> Problem:
    """Return a random problem whose memory limit counts sizes, shared parameters and working sets; half have pins."""
    rng = np.random.default_rng([seed, 23])
    instance = random_instance(seed, max_nodes)
    stages, n = int(rng.integers(1, max_stages + 1)), instance.n
    shares = n > 1 and rng.random() < 0.5
    rows = [rng.permutation(n)[: int(rng.integers(2, n + 1))].tolist() for _ in range(2)] if shares else []
    instance = contract(
        replace(instance, shared=shared_by(rows), shared_cost=np.ones(len(rows), np.int64)), np.arange(n)
    )
    sizes = rng.integers(0, 9, n).astype(np.int64) * (rng.random(n) < rng.choice([0.3, 1.0]))
    held_once = rng.integers(0, 9, len(instance.shared)).astype(np.int64)
    worksets = rng.integers(rng.choice([0, 5]), rng.choice([6, 20]), n).astype(np.int64)
    total, least = int(sizes.sum() + held_once.sum()), int((sizes + worksets).max())
    # A few limits leave no partition.
    limit = int(rng.integers(least - (rng.random() < 0.1), max(least + 1, total + int(worksets.max()))))
    instance = limit_memory(instance, sizes, max(0, limit), stages, held_once, worksets)
    if rng.random() < 0.5:
        stage_of = np.sort(rng.integers(0, stages, instance.n))
        pinned = rng.permutation(instance.n)[: int(rng.integers(1, 4))]
        instance = pin(instance, {int(v): int(stage_of[v]) for v in pinned}, stages)
    return Problem(instance=instance, stages=stages)


def random_in_flight_problem(seed: int, max_nodes: int = 7, max_stages: int = 4) -> Problem:
    """Return a random problem whose stages keep activations for as many microbatches as they have in flight.

    Some have shared parameters, kinds of devices, limits of each stage, or pins besides.
    """
    rng = np.random.default_rng([seed, 41])
    base = random_unequal_problem(seed, max_nodes, max_stages)
    stages, instance = base.stages, base.instance
    if rng.random() < 0.7:
        instance = random_instance(seed, max_nodes)
    instance = contract(replace(instance, stage_limit=None), np.arange(instance.n))
    if instance.unequal is not None:
        # Limits and pins that are gone may have left their costs in the relaxation.
        instance = with_relaxation(instance)
    n, streams = instance.n, rng.random() < 0.3
    if rng.random() < 0.7 and n > 1:
        # Tensors that several nodes need backwards are kept once in each stage.
        rows = [rng.permutation(n)[: int(rng.integers(2, n + 1))].tolist() for _ in range(int(rng.integers(1, 4)))]
    else:
        rows = []
    sizes, own, worksets = (rng.integers(0, 9, n).astype(np.int64) * (rng.random(n) < 0.7) for _ in range(3))
    shared = rename_users(shared_by(rows), np.arange(n), n, np.array(rng.integers(0, 9, len(rows)), np.int64))
    # Parameters that several nodes use, and none of which has a price, are held as well.
    once = rng.integers(0, 4, len(shared.shared)).astype(np.int64)
    microbatches = int(rng.integers(1, stages + 2))
    in_flight = [min(microbatches, stages - b) for b in range(stages)]
    total = int(sizes.sum() + once.sum()) + max(in_flight) * int(own.sum() + shared.sizes[0].sum())
    limit = rng.integers(total // 4, total + 9, stages if rng.random() < 0.3 else 1)
    instance = limit_memory(
        replace(
            instance,
            shared=SharedParameters(),
            shared_cost=instance.shared_cost[:0],
            unequal=instance.unequal and replace(instance.unequal, shared_cost=instance.unequal.shared_cost[:, :0]),
        ),
        sizes,
        limit.tolist() if len(limit) > 1 else int(limit[0]),
        stages,
        once,
        worksets,
        shared.shared,
        kept=Kept(own, shared.sizes[0], in_flight),
        streams=streams,
    )
    if rng.random() < 0.3:
        stage_of = np.sort(rng.integers(0, stages, instance.n))
        pinned = rng.permutation(instance.n)[: int(rng.integers(1, 4))]
        instance = pin(instance, {int(v): int(stage_of[v]) for v in pinned}, stages)
    return Problem(instance=instance, stages=stages)


def random_workset_problem(seed: int, max_nodes: int = 7, max_stages: int = 4) -> Problem:
    """Return a random problem whose working sets count towards the capacity; some have limits or pins."""
    rng = np.random.default_rng([seed, 37])
    base = random_shared_problem(seed, max_nodes).instance if rng.random() < 0.3 else random_instance(seed, max_nodes)
    base = contract(replace(base, stage_limit=None), np.arange(base.n))
    stages, highest = int(rng.integers(1, max_stages + 1)), max(2, int(base.parameter_cost.max()), int(base.work.max()))
    least = int(rng.choice([0, highest // 2, 2 * highest]))
    working = rng.integers(least, least + int(rng.choice([2, highest, 3 * highest])), base.n).astype(np.int64)
    most = base.total_parameter_cost + int(working.max())
    capacity = int(rng.integers(0, 1 + (most if rng.random() < 0.5 else int(working.max()))))
    instance = replace(base, working_cost=working, capacity=capacity)
    if rng.random() < 0.2:
        # A limit beside streaming: its working sets are the same, in another unit.
        sizes, held_once = (rng.integers(0, 9, count).astype(np.int64) for count in (base.n, len(base.shared)))
        worksets = working // max(1, highest // 8)
        most = int(sizes.sum() + held_once.sum() + worksets.max())
        limit = int(rng.integers(most // 2, most + 1))
        instance = limit_memory(instance, sizes, limit, stages, held_once, worksets, streams=True)
    if rng.random() < 0.2:
        stage_of = np.sort(rng.integers(0, stages, instance.n))
        pinned = rng.permutation(instance.n)[: int(rng.integers(1, 4))]
        instance = pin(instance, {int(v): int(stage_of[v]) for v in pinned}, stages)
    return Problem(instance=instance, stages=stages)


def random_unequal_problem(seed: int, max_nodes: int = 7, max_stages: int = 4) -> Problem:
    """Return a random problem whose stages run on two or three kinds of devices.

    Kinds differ in what nodes cost (by a factor, or node by node), in their links and in their capacity. Some have
    shared parameters, some a memory limit of its own for each stage or pins.
    """
    rng = np.random.default_rng([seed, 29])
    base = random_shared_problem(seed, max_nodes).instance if rng.random() < 0.3 else random_instance(seed, max_nodes)
    base = contract(replace(base, stage_limit=None), np.arange(base.n))
    stages = int(rng.integers(1, max_stages + 1))
    instance = on_random_devices(base, stages, rng)
    choice = rng.random()
    if choice < 0.25:
        sizes, worksets = (rng.integers(0, 9, instance.n).astype(np.int64) for _ in range(2))
        held_once = rng.integers(0, 9, len(instance.shared)).astype(np.int64)
        total = int(sizes.sum() + held_once.sum())
        limits = rng.integers(total // 3, total + 9, stages)
        instance = limit_memory(instance, sizes, limits.tolist(), stages, held_once, worksets)
    if choice > 0.85 or choice < 0.1:
        stage_of = np.sort(rng.integers(0, stages, instance.n))
        pinned = rng.permutation(instance.n)[: int(rng.integers(1, 4))]
        instance = pin(instance, {int(v): int(stage_of[v]) for v in pinned}, stages)
    return Problem(instance=instance, stages=stages)


def on_random_devices(base: Instance, stages: int, rng: np.random.Generator) -> Instance:
    """Return an instance with equal stages as one whose stages run on up to three kinds of devices.

    Where working sets count, they do on all devices but, sometimes, the last one.
    """
    kinds = int(rng.integers(1, min(3, stages) + 1))
    rows = []
    for _ in range(kinds):
        speed, link = int(rng.integers(1, 5)), int(rng.integers(1, 4))
        work = base.work * speed if rng.random() < 0.5 else rng.permutation(base.work) * speed
        capacity = min(UNLIMITED, int(rng.integers(0, 2 * link + 1)) * base.bounded_capacity)
        rows.append(
            replace(
                base,
                work=work,
                parameter_cost=base.parameter_cost * link,
                shared_cost=base.shared_cost * link,
                working_cost=base.working_cost * link,
                tensor_cost=base.tensor_cost * link + (base.tensor_cost > 0) * int(rng.integers(0, 3)),
                capacity=UNLIMITED if rng.random() < 0.2 else capacity,
            )
        )
    if len(base.working_cost) and rng.random() < 0.3:
        rows[-1] = replace(rows[-1], working_cost=base.working_cost[:0])
    device = rng.permutation(np.concatenate((np.arange(kinds), rng.integers(0, kinds, stages - kinds))))
    return make_unequal(base, rows, device)


def with_equal_nodes(instance: Instance, seed: int) -> Instance:
    """Return the instance with a kind drawn for each node, out of two or three."""
    rng = np.random.default_rng([seed, 5])
    kind = rng.integers(min(instance.n, int(rng.integers(2, 4))), size=instance.n)
    return replace(instance, work=instance.work[kind], parameter_cost=instance.parameter_cost[kind])


def random_cross_attention(seed: int) -> tuple[Problem, list[int]]:
    """Return a problem whose last stages read one tensor through short paths, and the nodes of those paths.

    That is what decoders do that look at an encoder: the paths run at any time after the encoder, but what they make
    has to reach the reader.
    """
    rng = np.random.default_rng([seed, 3])
    encoders, readers = int(rng.integers(1, 3)), int(rng.integers(2, 5))
    n = encoders
    paths: list[tuple[list[int], int]] = []
    for reader in range(readers):
        for _ in range(2 if readers < 3 and rng.random() < 0.3 else 1):
            length = int(rng.integers(1, 3)) if readers < 4 else 1
            paths.append((list(range(n, n + length)), reader))
            n += length
    first_reader = n
    n += readers
    others = [first_reader + int(rng.integers(readers))] if rng.random() < 0.4 else []
    tensors = [(u, int(rng.integers(0, 6)), [u + 1]) for u in range(encoders - 1)]
    tensors.append((encoders - 1, int(rng.integers(1, 9)), [path[0] for path, _ in paths] + others))
    for path, reader in paths:
        cost = int(rng.integers(0, 8))
        for u, v in zip(path, [*path[1:], first_reader + reader], strict=True):
            tensors.append((u, max(0, cost + int(rng.integers(-1, 2))), [v]))
    tensors += [(v, int(rng.integers(0, 5)), [v + 1]) for v in range(first_reader, n - 1)]
    overflows = rng.random() < 0.6
    instance = instance_from_lists(
        rng.integers(0, 12, n).tolist(),
        tensors,
        parameter_cost=rng.integers(0, 12, n).tolist() if overflows else [0] * n,
        capacity=int(rng.integers(1, 25)) if overflows else UNLIMITED,
        name=f"cross-attention-{seed}",
    )
    return Problem(instance=instance, stages=int(rng.integers(2, 5))), [v for path, _ in paths for v in path]


def random_branches(seed: int) -> tuple[Instance, list[list[int]]]:
    """Return an instance with branches that can be exchanged, all between the same nodes, and their nodes by place."""
    rng = np.random.default_rng([seed, 11])
    ahead, behind = int(rng.integers(1, 3)), int(rng.integers(0, 3))
    size, count = ((1, 4), (1, 3), (2, 3), (2, 2), (3, 2))[int(rng.integers(5))]
    branches = [[ahead + place * count + branch for place in range(size)] for branch in range(count)]
    n = ahead + size * count + behind
    last = list(range(n - behind, n))
    tensors = [(0, int(rng.integers(0, 6)), [ahead - 1, *last])] if ahead > 1 or last else []
    shared, fed = rng.random() < 0.5, int(rng.integers(0, 6))
    firsts = [branch[0] for branch in branches]
    tensors += [(ahead - 1, fed, heads) for heads in ([firsts] if shared else [[v] for v in firsts])]
    for place in range(size):
        for cost, twice in [(int(rng.integers(0, 9)), rng.random() < 0.5)]:
            for branch in branches:
                inner = branch[place + 1 : place + (3 if twice else 2)]
                outer = last[: 1 + (place == 0)] if twice or place == size - 1 else []
                if inner or outer:
                    tensors.append((branch[place], cost, [*inner, *outer]))
    tensors = [(u, cost, [v for v in heads if v != u]) for u, cost, heads in tensors]
    work = rng.integers(0, 12, n)
    parameters = rng.integers(0, 12, n)
    for place in range(size):
        alike = [branch[place] for branch in branches]
        work[alike], parameters[alike] = work[alike[0]], parameters[alike[0]]
    overflows = rng.random() < 0.6
    instance = instance_from_lists(
        work.tolist(),
        [tensor for tensor in tensors if tensor[2]],
        parameter_cost=parameters.tolist() if overflows else [0] * n,
        capacity=int(rng.integers(1, 40)) if overflows else UNLIMITED,
        name=f"branches-{seed}",
    )
    return instance, branches


def random_layered_instance(seed: int, n: int, *, width: int = 4, capacity_share: float | None = None) -> Instance:
    """Return a larger chain-like instance: every node feeds on a few of the last `width` nodes.

    Parameters
    ----------
    n
        Number of nodes.
    width
        How far back an edge may reach; bounds the antichains roughly.
    capacity_share
        Capacity as a share of all parameter costs; None for no overflow.
    """
    rng = np.random.default_rng(seed)
    consumers: dict[int, set[int]] = {u: set() for u in range(n)}
    for v in range(1, n):
        for u in rng.integers(max(0, v - width), v, size=int(rng.integers(1, 3))).tolist():
            consumers[u].add(v)
    parameters = rng.integers(0, 100, n).tolist()
    capacity = UNLIMITED if capacity_share is None else int(capacity_share * sum(parameters))
    return instance_from_lists(
        rng.integers(1, 1000, n).tolist(),
        [(u, int(rng.integers(1, 300)), sorted(vs)) for u, vs in consumers.items() if vs],
        parameter_cost=parameters,
        capacity=capacity,
        name=f"layered-{n}-{seed}",
    )


def _fractional(
    rng: np.random.Generator,
    n: int,
    work: list[int],
    parameters: list[int],
    tensors: list[tuple[int, int, list[int]]],
    capacity: int | None,
) -> Instance:
    """The same shape with a random fraction added to every cost, priced as a reader would."""
    lengths = [len(consumers) for _, _, consumers in tensors]
    graph = ModelGraph(
        name="random-fractional",
        source="random",
        node_names=tuple(f"v{v}" for v in range(n)),
        ops=("",) * n,
        topology=build_topology(
            n,
            np.array([u for u, _, _ in tensors], np.int64),
            prefix_sums(lengths),
            np.array([v for _, _, consumers in tensors for v in consumers], np.int64),
        ),
        costs=PricedCosts(
            unit="ms",
            work=np.array(work) + rng.random(n),
            parameter_cost=np.array(parameters) + rng.random(n),
            tensor_cost=np.array([c for _, c, _ in tensors], float) + rng.random(len(tensors)),
            capacity=None if capacity is None else capacity + 0.5,
        ),
    )
    return price(graph)
