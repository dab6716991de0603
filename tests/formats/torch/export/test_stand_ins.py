"""Programs that return values in types which nobody here has defined; skipped where torch is not installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'pipebound[torch]'")

from torch.utils import _pytree as pytree  # noqa: E402

from framework.deploy.torch.model import open_torch_model  # noqa: E402
from framework.deploy.torch.stages import cut_program  # noqa: E402
from framework.formats.torch.export.files import load  # noqa: E402
from framework.formats.torch.export.stand_ins import register_unknown  # noqa: E402
from tests.conftest import REPOSITORY  # noqa: E402
from tests.deploy.torch.cuts import even, run_in_turn  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")

NAME = "pipebound_tests.Answer"
EXPORT = f"""
import torch
from torch.utils import _pytree as pytree
from framework.formats.torch.export.files import export

class Answer:
    def __init__(self, first, second):
        self.first, self.second = first, second

pytree.register_pytree_node(
    Answer,
    lambda answer: ([answer.first, answer.second], ["first", "second"]),
    lambda values, names: Answer(*values),
    serialized_type_name="{NAME}",
)

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 4)

    def forward(self, x):
        y = self.linear(x)
        return Answer(y.relu(), {{"twice": 2 * y}})

torch.manual_seed(0)
module, x = Model(), torch.ones(2, 4)
torch.export.save(export(module, (x,)), "model.pt2")
answer = module(x)
torch.save([answer.first, answer.second["twice"]], "expected.pt")
"""


@pytest.mark.slow
def test_types_that_nobody_has_defined_stand_for_what_they_hold(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, "-c", EXPORT], check=True, cwd=tmp_path, env=environment)
    try:
        model = open_torch_model(tmp_path / "model.pt2")
        assert model.node_names == ("linear.linear", "relu", "mul")
        found = run_in_turn(model.program, cut_program(model.program, even(model.program, 2)))
        expected = torch.load(tmp_path / "expected.pt")
        assert len(found) == 2
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))
        held = load(tmp_path / "model.pt2").module()(torch.ones(2, 4))
        assert type(held).__name__ == "Answer"
        assert held.context == ["first", "second"]
        assert torch.equal(held.values[1]["twice"], expected[1])
    finally:
        pytree._deregister_pytree_node(pytree.SERIALIZED_TYPE_TO_PYTHON_TYPE[NAME])


def test_other_errors_register_nothing() -> None:
    before = set(pytree.SERIALIZED_TYPE_TO_PYTHON_TYPE)
    assert not register_unknown("We ran into an error when deserializing the saved file.")
    assert not register_unknown("Deserializing builtins.list in pytree is not registered")
    assert set(pytree.SERIALIZED_TYPE_TO_PYTHON_TYPE) == before
