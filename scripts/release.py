"""Prepare a release, and try what it would publish: the wheel and the source distribution of the last commit.

    python scripts/release.py version 0.2.0 [--date 2026-12-01]     set the version, and date the changelog
    python scripts/release.py check [--folder DIR] [--address URL]  build, install in an empty environment, solve

`check` builds from a clone of HEAD with the packages `build` and `twine`, holds both files to `twine check --strict`,
looks for the licence files and for links into the repository, installs the wheel into an environment of its own, and
runs there what a newcomer would. It prints the table of docs/first-run.md: CPU seconds of all processes of a command.
"""

from __future__ import annotations

import argparse
import email
import os
import re
import resource
import subprocess
import sys
import tempfile
import venv
import zipfile
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UNRELEASED = "## Unreleased\n"
LICENCES = ("LICENSE", "NOTICE.txt")
FROM_PYTHON = """
import pipebound
result = pipebound.solve("testbed:squeezenet", 4)
print(result.status, pipebound.verify(result).verdict)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    version = commands.add_parser("version", help="set the version, and date the changelog")
    version.add_argument("version")
    version.add_argument("--date", default=datetime.now(UTC).date().isoformat())
    check = commands.add_parser("check", help="build, install, and solve")
    check.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "pipebound-release")
    check.add_argument("--address", default="https://example.org/pipebound/blob/HEAD", help="where links lead")
    given = parser.parse_args()
    if given.command == "version":
        set_version(ROOT, given.version, given.date)
    else:
        check_release(given.folder, given.address)


def set_version(root: Path, version: str, date: str) -> None:
    """Write the version into the package, and give the unreleased changes its name and a date."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise SystemExit(f"{version} is no version of the form X.Y.Z")
    package, changelog = root / "framework" / "__init__.py", root / "CHANGELOG.md"
    text = changelog.read_text(encoding="utf-8")
    if text.count(UNRELEASED) != 1 or f"\n## {version} " in text:
        raise SystemExit(f"{changelog.name} has no section of unreleased changes, or already one of {version}")
    changelog.write_text(text.replace(UNRELEASED, f"{UNRELEASED}\n## {version} ({date})\n"), encoding="utf-8")
    source = package.read_text(encoding="utf-8")
    package.write_text(re.sub(r'__version__ = ".*"', f'__version__ = "{version}"', source), encoding="utf-8")


def check_release(folder: Path, address: str) -> None:
    """Build both distributions of HEAD and try them; every step that fails ends the program."""
    folder.mkdir(parents=True)
    source, dist = folder / "source", folder / "dist"
    run(["git", "clone", "--quiet", str(ROOT), str(source)])
    tools, empty = environment(folder / "tools"), environment(folder / "empty")
    run([tools, "-m", "pip", "install", "--quiet", "build", "twine"])
    run([tools, "-m", "build", "--outdir", str(dist), str(source)], PIPEBOUND_ADDRESS=address)
    run([tools, "-m", "twine", "check", "--strict", *map(str, sorted(dist.iterdir()))])
    (wheel,) = dist.glob("*.whl")
    if faults := faults_of_wheel(wheel):
        raise SystemExit(f"{wheel.name}: {'; '.join(faults)}")
    program = str(Path(empty).with_name("pipebound"))
    steps = [
        [empty, "-m", "pip", "install", "--quiet", str(wheel)],
        [program, "--version"],
        [program, "solve", "testbed:resnet50", "-k", "4", "-o", "r.json"],
        [program, "solve", "testbed:resnet50", "-k", "4", "-o", "r.json", "--proof", "proof.json"],
        [program, "verify", "r.json", "--proof", "proof.json"],
        [empty, "-c", FROM_PYTHON],
    ]
    rows = []
    for step in steps:
        words = "python -c ..." if step[-1] == FROM_PYTHON else " ".join([Path(step[0]).name, *step[1:]])
        rows.append((words.replace(str(dist) + os.sep, ""), run(step, cwd=folder)))
    print(f"\n{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB\n\n| command | CPU seconds |\n|---|---|")
    for words, seconds in rows:
        print(f"| `{words}` | {seconds:.2f} |")


def environment(folder: Path) -> str:
    """Make an empty environment and return its Python."""
    venv.create(folder, with_pip=True)
    return str(folder / "bin" / "python")


def run(command: list[str], cwd: Path | None = None, **variables: str) -> float:
    """Run a command without the paths of a checkout, and return the CPU seconds that its processes took."""
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIPEBOUND"))}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code = subprocess.run(command, cwd=cwd, env=surroundings | variables, check=False).returncode
    if code:
        raise SystemExit(f"{' '.join(command[:4])} ... ended with {code}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def faults_of_wheel(wheel: Path) -> list[str]:
    """Return what a wheel lacks: licence files, or links that lead anywhere without the repository beside them."""
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        (described,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        description = str(email.message_from_bytes(file.read(described)).get_payload())
    licences = {Path(name).name for name in names if ".dist-info/licenses/" in name}
    faults = [f"there is no {name} in it" for name in LICENCES if name not in licences]
    links = re.findall(r"\]\((?!https?://|#)([^)\s]+)\)", description)
    return faults + [f"a link leads to {link}" for link in links]


if __name__ == "__main__":
    sys.exit(main())
