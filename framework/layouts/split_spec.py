"""A partition as the split spec of torch.distributed.pipelining: the modules at which a stage begins, or ends.

torch runs the modules in their order, and cuts before or behind the modules named. So the stages have to follow that
order, each with a module, and a module has to run in one piece.
"""

from __future__ import annotations

from itertools import pairwise

from framework.errors import UserError
from framework.layouts.modules import Module, Placement

BEGINNING, END = "BEGINNING", "END"
_INSTEAD = "write a device-map or fqn-per-stage instead"


def split_spec(placement: Placement) -> dict[str, str]:
    """Return the points to cut at, by the paths of modules.

    Raises
    ------
    UserError
        If a cut goes through a module, stages do not follow the order in which modules run, or one has no module.
    """
    modules = placement.modules()
    where = placement.graph.name
    for first, second in pairwise(modules):
        if second.stage < first.stage:
            raise UserError(
                f"{second.name!r} of stage {second.stage} runs after {first.name!r} of stage {first.stage}, and a "
                "split spec cuts the order in which modules run",
                where=where,
                hint=_INSTEAD,
            )
    empty = set(range(placement.stages)) - {module.stage for module in modules}
    if empty:
        raise UserError(
            f"stage {min(empty)} runs no module, and a split spec has no empty stages",
            where=where,
            hint="solve for fewer `stages`",
        )
    place = {v: i for i, v in enumerate(placement.order)}
    points: dict[str, str] = {}
    for first, second in pairwise(modules):
        if first.stage == second.stage:
            continue
        # What runs between the two modules, in none, decides on which side of it to cut.
        between = placement.order[place[first.nodes[-1]] + 1 : place[second.nodes[0]]]
        ends = any(placement.stage_of[v] == second.stage for v in between) and first.name not in points
        chosen, point = (first, END) if ends else (second, BEGINNING)
        points[chosen.name] = point
        _check_one_piece(placement, chosen, place)
        cut = place[first.nodes[-1]] + 1 if ends else place[second.nodes[0]]
        for module in modules:
            if place[module.nodes[0]] < cut <= place[module.nodes[-1]]:
                _check_one_piece(placement, module, place)
    return points


def _check_one_piece(placement: Placement, module: Module, place: dict[int, int]) -> None:
    run = [place[v] for v in module.nodes]
    if run[-1] - run[0] + 1 != len(run):
        names = placement.graph.node_names
        raise UserError(
            f"the module {module.name!r} does not run in one piece: other modules run between "
            f"{names[module.nodes[0]]!r} and {names[module.nodes[-1]]!r}",
            where=placement.graph.name,
            hint=_INSTEAD,
        )
