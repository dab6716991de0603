"""Run the commands that the pages show, and put what they print in the place of what the pages show.

    python scripts/build_transcripts.py [--models FOLDER] [PAGE ...]
    python scripts/build_transcripts.py --check [PAGE ...]      run nothing; exit with 1 if a transcript is out of shape

A block of a page that begins with ``    $ pipebound ...`` and shows output is a transcript; one whose output begins
with ``...`` shows the last paragraph only. Its command runs at 110 columns in a scratch folder, after those above it
on the page; transcripts that need a model of `--models` (see scripts/testbed/export_examples.py) are left alone without
it. Figures that these commands draw go to docs/images. Run it on an idle machine: what is measured is shown as it is.

`--check` parses each command with the options of the command line as it is now, and looks for the figures.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "docs/deploy.md", "docs/layouts.md")
PROMPT = "    $ pipebound "
COLUMNS = 110
FIGURES = {
    "solve testbed:inception_v1 -k 8": ("--plot inception_v1.svg", "inception_v1.svg"),
    "split resnet18.onnx resnet18.result.json -o resnet18.stages --plot resnet18.svg": ("", "deploy_resnet18.svg"),
    "split bert_6.onnx bert_6.result.json -o bert_6.stages --plot bert_6.svg": ("", "deploy_bert_6.svg"),
}
"""By command: what is added to it to draw a figure, and the name of the figure under docs/images."""


def transcripts(lines: list[str]) -> list[tuple[int, int]]:
    """Return first and last line (exclusive) of each command with its output."""
    found = []
    for first, line in enumerate(lines):
        if not line.startswith(PROMPT):
            continue
        end = first + 1
        while end < len(lines) and not lines[end].startswith(PROMPT) and (not lines[end] or lines[end][:4] == "    "):
            end += 1
        while not lines[end - 1]:
            end -= 1
        if end > first + 1:
            found.append((first, end))
    return found


def run(command: str, folder: Path) -> list[str]:
    """Return what a command prints, errors included, in lines."""
    extra, _ = FIGURES.get(command, ("", ""))
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "framework", *shlex.split(f"{command} {extra}")]
    done = subprocess.run(
        words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    print(f"{command}: exit code {done.returncode}", file=sys.stderr)
    return done.stdout.strip("\n").splitlines()


def rebuild(page: Path, folder: Path) -> None:
    """Run the commands of a page in a folder and write the page again."""
    lines = page.read_text(encoding="utf-8").splitlines()
    names = ("resnet18", "bert_6")
    absent = [name for name in names if not (folder / f"{name}.onnx").exists()]
    shown: list[str] = []
    last = 0
    for first, end in transcripts(lines):
        command = lines[first].removeprefix(PROMPT)
        if any(name in command for name in absent):
            continue
        printed = [f"    {line}".rstrip() for line in run(command, folder)]
        if "    ..." in lines[first + 1 : first + 3]:
            blank = max((i for i, line in enumerate(printed) if not line), default=-1)
            printed = ["    ...", *printed[blank + 1 :]]
        shown += [*lines[last:first], lines[first], *([""] if len(printed) > 1 else []), *printed]
        last = end
    page.write_text("\n".join([*shown, *lines[last:]]) + "\n", encoding="utf-8")


def faults(page: Path) -> list[str]:
    """Return what is wrong with the transcripts of a page, without running them."""
    lines = page.read_text(encoding="utf-8").splitlines()
    found = []
    commands = []
    for first, end in transcripts(lines):
        command = lines[first].removeprefix(PROMPT)
        commands.append(command)
        where = f"{page.name}, line {first + 1}"
        if not any(lines[first + 1 : end]):
            found.append(f"{where}: no output")
        if complaint := unknown(shlex.split(command)):
            found.append(f"{where}: {complaint}")
        if command in FIGURES and not (ROOT / "docs" / "images" / FIGURES[command][1]).is_file():
            found.append(f"{where}: docs/images/{FIGURES[command][1]} is missing")
    return found if commands else [f"{page.name}: no transcripts"]


def unknown(words: list[str]) -> str:
    """Return what the command line does not understand of a command; nothing if it understands it."""
    from typer._click.exceptions import ClickException
    from typer.main import get_command

    from framework.cli import application

    command, context = get_command(application()), None
    try:
        while hasattr(command, "commands"):
            name, *words = words
            context = command.make_context(command.name or "pipebound", [name, "--"], parent=context)
            command = command.commands[name]
        command.make_context(command.name, words, parent=context)
    except KeyError as error:
        return f"there is no command {error}"
    except ClickException as error:
        return error.format_message()
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, help="folder with resnet18.onnx and bert_6.onnx")
    parser.add_argument("--check", action="store_true", help="run nothing; exit with 1 if a transcript is out of shape")
    parser.add_argument("pages", nargs="*", default=PAGES)
    arguments = parser.parse_args()
    if arguments.check:
        raise SystemExit("\n".join(fault for page in arguments.pages for fault in faults(ROOT / page)) or 0)
    with tempfile.TemporaryDirectory(prefix="pipebound-transcripts-") as name:
        folder = Path(name)
        for model in sorted(arguments.models.resolve().glob("*.[op][nt]*")) if arguments.models else []:
            (folder / model.name).symlink_to(model)
        for page in arguments.pages:
            rebuild(ROOT / page, folder)
        for command, (extra, figure) in FIGURES.items():
            drawn = folder / shlex.split(f"{command} {extra}")[-1]
            if drawn.exists():
                shutil.copyfile(drawn, ROOT / "docs" / "images" / figure)


if __name__ == "__main__":
    main()
