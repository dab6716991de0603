"""What stages hold: worked examples, and the peak of live tensors against a simulation node by node."""

from __future__ import annotations

import numpy as np
import pytest

from framework.errors import UserError
from framework.model.graph import ModelGraph, PhysicalCosts
from framework.model.memory import LARGEST_SIZE, StageMemory, node_memory, stage_memory
from framework.model.shared import shared_by
from framework.model.topology import build_topology, stable_topological_order


def graph_of(
    n: int,
    tensors: list[tuple[int, float, list[int]]],
    *,
    parameters: list[float] | None = None,
    state: list[float] | None = None,
    workspace: list[float] | None = None,
    shared: list[tuple[float, list[int]]] | None = None,
) -> ModelGraph:
    pointers = np.cumsum([0, *(len(consumers) for _, _, consumers in tensors)])
    return ModelGraph(
        name="g",
        source="test",
        node_names=tuple(f"v{v}" for v in range(n)),
        ops=("",) * n,
        topology=build_topology(
            n,
            np.array([u for u, _, _ in tensors], np.int64),
            pointers.astype(np.int64),
            np.array([v for _, _, consumers in tensors for v in consumers], np.int64),
        ),
        costs=PhysicalCosts(
            flops=np.full(n, 1e6),
            parameter_bytes=np.array(parameters or [0.0] * n),
            accessed_bytes=np.ones(n),
            seconds=np.full(n, np.nan),
            tensor_bytes=np.array([size for _, size, _ in tensors], np.float64),
            shared_bytes=np.array([size for size, _ in shared or []], np.float64),
            state_bytes=np.array(state or [], np.float64),
            workspace_bytes=np.array(workspace or [], np.float64),
        ),
        shared=shared_by([users for _, users in shared or []]),
    )


def test_a_stage_holds_parameters_once_state_and_one_working_set() -> None:
    graph = graph_of(
        3,
        [(0, 10.0, [1, 2]), (1, 4.5, [2])],
        parameters=[1.0, 2.0, 4.0],
        state=[0.0, 100.0, 0.5],
        workspace=[7.0, 0.0, 0.0],
        shared=[(1000.0, [0, 1, 2])],
    )
    memory = node_memory(graph)
    assert memory.worksets.tolist() == [17, 15, 15]
    assert memory.state.tolist() == [0, 100, 1]
    together, nothing = stage_memory(graph, np.zeros(3, np.int64), 2)
    # All of them together: 10 bytes wait for the last node while the second one makes 5 more.
    assert together == StageMemory(parameters=1007, state=101, workset=17, peak_live=17)
    assert nothing == StageMemory(parameters=0, state=0, workset=0, peak_live=0)
    first, second = stage_memory(graph, np.array([0, 1, 1]), 2)
    assert (first.resident, second.resident) == (1001 + 17, 1006 + 101 + 15)


def test_a_tensor_for_a_later_stage_waits_for_the_end() -> None:
    graph = graph_of(4, [(0, 8.0, [3]), (0, 1.0, [1]), (1, 20.0, [2]), (2, 1.0, [3])])
    first, second = stage_memory(graph, np.array([0, 0, 0, 1]), 2)
    assert first == StageMemory(parameters=0, state=0, workset=21, peak_live=8 + 20 + 1)
    assert second.peak_live == second.workset == 9


@pytest.mark.parametrize("seed", range(40))
def test_the_peak_is_that_of_a_simulation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, stages = int(rng.integers(1, 12)), int(rng.integers(1, 4))
    name = rng.permutation(n)
    tensors = []
    for u in range(n):
        for _ in range(int(rng.integers(0, 3))):
            consumers = [int(name[v]) for v in range(u + 1, n) if rng.random() < 0.4]
            tensors.append((int(name[u]), float(rng.integers(0, 9)), consumers))
    graph = graph_of(n, tensors, workspace=rng.integers(0, 9, n).astype(float).tolist())
    stage_of = np.zeros(n, np.int64)
    stage_of[name] = np.sort(rng.integers(0, stages, n))
    found = stage_memory(graph, stage_of, stages)
    memory = node_memory(graph)
    order = stable_topological_order(graph.topology).tolist()
    for b, held in enumerate(found):
        mine = [v for v in order if stage_of[v] == b]
        peak = 0
        for i, v in enumerate(mine):
            live = int(memory.worksets[v]) - int(sum(size for u, size, vs in tensors if v == u or v in vs))
            for u, size, consumers in tensors:
                inside = [x for x in consumers if stage_of[x] == b]
                begun = u in mine[: i + 1] or (stage_of[u] != b and bool(inside))
                leaves = u in mine and len(inside) < len(consumers)
                ended = not (v == u or leaves or not consumers or set(inside) & set(mine[i:]))
                live += int(size) if begun and not ended else 0
            peak = max(peak, live)
        assert held.peak_live == peak
        assert held.peak_live >= held.workset == max((int(memory.worksets[v]) for v in mine), default=0)


def test_too_many_bytes_are_refused() -> None:
    graph = graph_of(1, [], state=[float(LARGEST_SIZE)])
    with pytest.raises(UserError, match="too much for a memory limit"):
        node_memory(graph)
    assert stage_memory(graph, np.zeros(1, np.int64), 1) == ()


def test_the_digest_of_a_graph_without_state_is_as_before() -> None:
    tensors = [(0, 3.0, [1])]
    plain, empty = graph_of(2, tensors), graph_of(2, tensors, state=[0.0, 0.0], workspace=[0.0, 0.0])
    assert plain.sha256() == empty.sha256()
    assert len({graph.sha256() for graph in (plain, graph_of(2, tensors, state=[1.0, 0.0]))}) == 2
    assert graph_of(2, tensors, state=[1.0, 0.0]).sha256() != graph_of(2, tensors, workspace=[1.0, 0.0]).sha256()
