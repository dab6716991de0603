"""The files around the code agree with each other: version, extras, hooks, site, citation."""

from __future__ import annotations

import re
import shlex
import tomllib

from framework import __version__
from tests.conftest import REPOSITORY, module_of

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_version_stands_in_one_place() -> None:
    assert "version" in PROJECT["project"]["dynamic"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "framework.__version__"}
    for name in ("pyproject.toml", "CITATION.cff", "docs/conf.py"):
        assert __version__ not in (REPOSITORY / name).read_text(encoding="utf-8"), name


def test_packages_are_bounded_and_pinned_without_addresses() -> None:
    pins = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    pinned = {re.sub(r"[-_.]+", "-", pin.split("==")[0]).lower() for pin in pins}
    extras = PROJECT["project"]["optional-dependencies"]
    for requirement in [*PROJECT["project"]["dependencies"], *extras["test"], *extras["docs"]]:
        name, bounds = re.fullmatch(r"([\w.-]+?)([<>=].*)", requirement).groups()  # type: ignore[union-attr]
        assert name.lower() in pinned, name
        assert ">=" in bounds, requirement
        assert ",<" in bounds, requirement


def test_hooks_run_what_is_here_and_need_no_network() -> None:
    text = (REPOSITORY / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert re.findall(r"repo: (\S+)", text) == ["local"]
    entries = [shlex.split(entry) for entry in re.findall(r"entry: (.+)", text)]
    assert entries
    for program, *rest in entries:
        assert program.startswith(".venv/bin/")
        assert all((REPOSITORY / word).exists() for word in rest if word.endswith(".py"))


def test_the_site_shows_every_page() -> None:
    docs = REPOSITORY / "docs"
    for index in (docs / "index.md", docs / "api" / "index.md"):
        text = index.read_text(encoding="utf-8")
        blocks = re.findall(r"^```\{toctree\}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        shown = {line for block in blocks for line in block.splitlines() if line and not line.startswith(":")}
        pages = {path.stem for path in index.parent.glob("*.md")} - {"index"}
        assert {name for name in shown if "/" not in name} == pages


def test_modules_of_the_reference_exist() -> None:
    named = [
        module
        for page in sorted((REPOSITORY / "docs" / "api").glob("*.md"))
        for module in re.findall(r"automodule:: (\S+)", page.read_text(encoding="utf-8"))
    ]
    assert {"pipebound", "framework.contracts"} <= set(named)
    for module in named:
        path = REPOSITORY.joinpath(*module.split("."))
        assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file(), module


def test_the_description_on_an_index_has_no_link_into_the_repository() -> None:
    setup = module_of(REPOSITORY / "setup.py")
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    relative = re.compile(r"\]\((?!https?://|#)")
    assert relative.search(readme)
    assert not relative.search(setup.description(readme, ""))
    assert not relative.search(setup.description(readme, "https://example.org/blob/v1/"))
    text = "![A picture](a.svg) and [a page](docs/a.md#b), [outside](https://example.org)"
    assert setup.description(text, "") == " and a page, [outside](https://example.org)"
    assert setup.description(text, "https://x.org/y/") == (
        "![A picture](https://x.org/y/a.svg) and [a page](https://x.org/y/docs/a.md#b), [outside](https://example.org)"
    )
