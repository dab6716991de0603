"""Installed packages, against what `importlib.metadata` says of them."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib import metadata
from json.decoder import JSONDecoder
from pathlib import Path

import pytest

from framework.environment import PACKAGES, InstalledEntryPoint, entry_points, installed_version, versions


def test_versions_are_those_of_the_metadata() -> None:
    found = versions()
    for name in PACKAGES:
        try:
            assert found[name] == metadata.version(name)
        except metadata.PackageNotFoundError:
            assert found[name] == "not installed"
    assert installed_version("no-such-package") is None
    assert installed_version("PyTest") == metadata.version("pytest")


@pytest.mark.parametrize("group", ["pipebound.plugins", "console_scripts", "pytest11"])
def test_entry_points_are_those_of_the_metadata(group: str) -> None:
    found = entry_points(group)
    assert len(found) == len({(point.name, point.value) for point in found})
    expected = {(point.name, point.value) for point in metadata.entry_points(group=group)}
    assert {(point.name, point.value) for point in found} == expected != set()


def test_the_first_package_on_the_path_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i, folder in enumerate(("later", "Some_Bounds-1.5+cpu.dist-info", "some.bounds-1.4.dist-info")):
        info = tmp_path / str(i) / folder
        info.mkdir(parents=True)
        (info / "entry_points.txt").write_text(
            "# none = here\n[other]\nx = y\n[a.group]\n; none = here\nfirst = json:decoder.JSONDecoder [extra]\n"
            f"number = {i}\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path / str(i)))
    assert installed_version("some-bounds") == "1.4"
    assert entry_points("a.group") == (
        InstalledEntryPoint(name="first", value="json:decoder.JSONDecoder [extra]", package="some-bounds"),
        InstalledEntryPoint(name="number", value="2", package="some-bounds"),
    )
    assert entry_points("a.group")[0].load() is JSONDecoder
    (tmp_path / "2" / "some.bounds-1.4.dist-info").rename(tmp_path / "2" / "other")
    monkeypatch.syspath_prepend(str(tmp_path / "3"))
    assert installed_version("some-bounds") == "1.5+cpu"


def test_packages_in_archives_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "packed.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = "packed_bounds-2.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: packed-bounds\nVersion: 2.0\n")
        archive.writestr(f"{info}/entry_points.txt", "[a.group]\nmine = packed\n")
    monkeypatch.syspath_prepend(str(path))
    assert installed_version("packed-bounds") == "2.0"
    assert [(point.name, point.value, point.package) for point in entry_points("a.group")] == [
        ("mine", "packed", "packed-bounds")
    ]


def test_registering_loads_no_metadata() -> None:
    code = (
        "import sys\nfrom framework.environment import environment\nfrom framework.registry import load_plugins\n"
        "assert load_plugins() == ()\nassert environment()['numpy']\n"
        "assert 'importlib.metadata' not in sys.modules\nassert 'numpy.ma' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
