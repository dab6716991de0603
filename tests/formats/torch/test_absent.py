"""The torch reader where torch is not installed: importing it costs nothing, using it says what to install."""

from __future__ import annotations

import subprocess
import sys

import pytest

from framework.errors import UserError
from framework.formats import torch as torch_package
from framework.formats.torch import reader as torch_format
from tests.conftest import REPOSITORY


def test_reading_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match=r"model: torch is not installed \(pip install 'pipebound\[torch\]'\)"):
        torch_format.read(lambda: None, (), name="model")


def test_the_package_has_what_the_pages_call() -> None:
    assert torch_package.read is torch_format.read


def test_importing_the_readers_imports_no_torch() -> None:
    code = "import sys, framework.formats.torch.reader, framework.formats; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)
