"""Rules that only add up: the simple bound, stages that pay for tensors, and packing by a dual feasible function."""

from __future__ import annotations

from framework.proof.problem import PlainProblem, RefusedError

ROUNDING, COMPLEMENT, THRESHOLD = range(3)
"""The three families of functions."""


def simple(problem: PlainProblem) -> int:
    """Return the larger of the heaviest node and the average cost of the stages that can hold nodes."""
    return max(*problem.work, -(-_without_tensors(problem) // problem.filled))


def _without_tensors(problem: PlainProblem) -> int:
    """Return what all stages cost together at least, whatever they cut."""
    room = max(0, problem.capacity - min(problem.working))
    held = sum(problem.parameters) + sum(q.cost for q in problem.shared)
    return sum(problem.work) + max(0, held - problem.filled * room)


def tensor_count(problem: PlainProblem) -> int:
    """Return a bound from the tensors whose nodes do not fit into one stage: the highest found by bisection."""
    proven, high = simple(problem), problem.cost(range(problem.n))
    while proven < high:
        threshold = (proven + high) // 2
        if _count_refutes(problem, threshold):
            proven = threshold + 1
        else:
            high = threshold
    return proven


def _count_refutes(problem: PlainProblem, threshold: int) -> bool:
    """Whether so many stages pay for tensors that all of them cost more than a threshold allows."""
    total = _without_tensors(problem)
    for cost, producer, consumers in problem.tensors:
        nodes = {producer, *consumers}
        size, room = sum(problem.work[v] for v in nodes), threshold - cost
        if cost and size > threshold:
            if room <= 0 or -(-size // room) > min(problem.filled, len(nodes)):
                return True
            total += cost * -(-size // room)
    return total > problem.filled * threshold


def packing(problem: PlainProblem, threshold: int, *, with_parameters: bool, family: int, parameter: int) -> int:
    """Refute a threshold because the nodes are worth more than all stages can hold; return the bound.

    Raises
    ------
    RefusedError
        If they are not, or the function is none of its family.
    """
    room, sizes = threshold, list(problem.work)
    if with_parameters:
        room += problem.capacity
        sizes = [work + own for work, own in zip(sizes, problem.parameters, strict=True)]
    if room >= 0:
        worth, most = _worth(family, parameter, sizes, room)
        if worth <= problem.filled * most:
            raise RefusedError(f"the nodes are worth {worth}, and the stages hold {problem.filled * most}")
    return threshold + 1


def _worth(family: int, parameter: int, sizes: list[int], room: int) -> tuple[int, int]:
    """Return what all nodes are worth, and what one stage of a room can hold of that."""
    if family == THRESHOLD:
        if not 0 <= 2 * parameter <= room:
            raise RefusedError("the parameter of the threshold family is at least 0 and at most half of the room")
        return sum(room if a > room - parameter else 0 if a < parameter else a for a in sizes), room
    if parameter < 1:
        raise RefusedError("the divisor is at least 1")
    most = room // parameter
    if family == ROUNDING:
        return sum(a // parameter for a in sizes), most
    if family != COMPLEMENT:
        raise RefusedError(f"there is no family {family}")
    total = 0
    for a in sizes:
        if 2 * a > room:
            total += 2 * (most - (room - a) // parameter)
        else:
            total += most if 2 * a == room else 2 * (a // parameter)
    return total, 2 * most
