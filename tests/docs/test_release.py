"""`scripts/release.py`: the version stands in one place and the changelog is dated, and a wheel is looked through."""

from __future__ import annotations

import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import REPOSITORY, module_of


@pytest.fixture(scope="module")
def release() -> ModuleType:
    return module_of(REPOSITORY / "scripts" / "release.py")


def test_a_version_is_set_and_its_changes_are_dated(release: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "framework").mkdir()
    for name in ("CHANGELOG.md", "framework/__init__.py"):
        (tmp_path / name).write_text((REPOSITORY / name).read_text(encoding="utf-8"), encoding="utf-8")
    release.set_version(tmp_path, "9.8.7", "2026-12-01")
    assert '__version__ = "9.8.7"' in (tmp_path / "framework" / "__init__.py").read_text(encoding="utf-8")
    changelog = (tmp_path / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "\n## Unreleased\n\n## 9.8.7 (2026-12-01)\n\n" in changelog
    unreleased = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert changelog.replace("\n## 9.8.7 (2026-12-01)\n", "") == unreleased
    with pytest.raises(SystemExit, match=r"already one of 9\.8\.7"):
        release.set_version(tmp_path, "9.8.7", "2026-12-02")
    with pytest.raises(SystemExit, match="no version"):
        release.set_version(tmp_path, "next", "2026-12-02")


@pytest.mark.parametrize(
    ("left_out", "link", "faults"),
    [
        ("", "https://example.org/a.md", []),
        ("", "docs/a.md", ["a link leads to docs/a.md"]),
        ("LICENSE", "#here", ["there is no LICENSE in it"]),
    ],
)
def test_a_wheel_has_its_licences_and_no_dead_links(
    release: ModuleType, tmp_path: Path, left_out: str, link: str, faults: list[str]
) -> None:
    wheel = tmp_path / "p-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("p-1.dist-info/METADATA", f"Metadata-Version: 2.4\nName: p\nVersion: 1\n\nSee [a]({link}).\n")
        for name in ("LICENSE", "framework/testbed/data/NOTICE.txt"):
            if name != left_out:
                file.writestr(f"p-1.dist-info/licenses/{name}", "")
    assert release.faults_of_wheel(wheel) == faults
