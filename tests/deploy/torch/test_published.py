"""Exported modules of published architectures: operations, and stages; skipped where torch is not installed.

Both in one test, since most of the time goes into exporting.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'pipebound[torch]'")
pytest.importorskip("transformers", reason="transformers is not installed")

from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402
from torch.utils._pytree import tree_leaves  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode, flop_registry  # noqa: E402

from framework.deploy.torch.stages import cut_program  # noqa: E402
from framework.formats.torch.export.files import export  # noqa: E402
from framework.formats.torch.export.graph import costs_of_calls  # noqa: E402
from framework.formats.torch.export.program import Program, open_program  # noqa: E402
from tests.deploy.torch.cuts import even, run_in_turn  # noqa: E402
from tests.formats.torch.published import CASES, PER_TOKEN, SIDE, WIDTH, Case  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"),
]

COUNTED = {f"aten.{packet.__name__}" for packet in flop_registry}


@pytest.mark.parametrize("name", CASES)
def test_operations_are_those_of_the_flop_counter_and_stages_return_the_same(name: str) -> None:
    case = CASES[name]()
    program = open_program(export(case.module, case.args, case.kwargs, dynamic_shapes=case.shapes), name)
    ours = operations(program)
    assert products({name: flops for name, flops in ours.items() if name in COUNTED}) == products(counted(case))
    # The products of experts are an operator of transformers: two matrices up and one down for each chosen expert.
    experts = sum(flops for operator, flops in ours.items() if "grouped_mm" in operator)
    chosen = 2 * 5 * PER_TOKEN * (name == "mixtral")
    assert experts == 2 * chosen * 3 * WIDTH * SIDE * 2
    with torch.no_grad():
        expected = [leaf for leaf in tree_leaves(case.module(*case.args, **case.kwargs)) if hasattr(leaf, "shape")]
    for stages in (2, 3):
        cut = cut_program(program, even(program, stages))
        assert len(cut) == stages
        found = run_in_turn(program, cut)
        assert len(found) == len(expected)
        for mine, whole in zip(found, expected, strict=True):
            torch.testing.assert_close(mine, whole, rtol=1e-5, atol=1e-5)


def products(flops: Mapping[str, int]) -> dict[str, int]:
    """Return operations by operator; a product may be written with or without the bias that it is added to."""
    found = Counter[str]()
    for operator, count in flops.items():
        found["aten.mm" if operator == "aten.addmm" else operator] += count
    return dict(found)


def operations(program: Program) -> Counter[str]:
    costs, _ = costs_of_calls(program)
    return sum((Counter(dict(call.operations)) for call in costs.values()), Counter())


def counted(case: Case) -> dict[str, int]:
    """Return what torch counts, of products: it does not count fused attention and recurrent layers on CPUs."""
    unfused = torch.backends.mkldnn.flags(enabled=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), unfused, FlopCounterMode(display=False) as counter:
        case.module(*case.args, **case.kwargs)
    found = {str(operator): int(flops) for operator, flops in counter.get_flop_counts()["Global"].items()}
    assert found
    return found
