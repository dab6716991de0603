"""`scripts/benchmarks/torch_models/run.py` with a module of the tests; skipped where torch is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'pipebound[torch]'")
pytest.importorskip("accelerate", reason="accelerate is not installed")

from tests.conftest import REPOSITORY, module_of  # noqa: E402
from tests.formats.torch.programs import Tied, tokens  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"),
]
FOLDER = REPOSITORY / "scripts" / "benchmarks" / "torch_models"


def test_a_module_gets_a_line_in_both_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    script = module_of(FOLDER / "run.py")

    def build() -> object:
        return script.Built(Tied(4, 512), (tokens(8, 64),), {}, "Linear")

    path = tmp_path / "tied.pt2"
    built = script.export_to(path, build)
    row = script.measure(path, built, stages=2, neighbours=1, budget=5.0, rounds=1, repetitions=3)
    assert row["trial"]["equal"]
    assert row["trial"]["difference"] == 0
    assert len(row["predicted"]) == 2
    # With equal shares of the weights, accelerate puts the head to its table, in the first stage: no pipeline.
    assert set(row["others"]) == set(script.BY_NAME)
    assert all(cost >= row["bound_over_best"] * (1 - 1e-9) for cost in row["others"].values())
    for lines in (script.first_table([row]), script.second_table([row])):
        assert len(lines) == 3
        assert len({line.count("|") for line in lines}) == 1
        assert lines[2].startswith("| tied | ")
        assert "nan" not in lines[2]
