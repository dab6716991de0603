"""Write docs/methods.md from the registry and the docstrings: scripts/build_docs [--check]."""

from __future__ import annotations

import argparse
from pathlib import Path

from framework.registry import load_plugins
from framework.report.methods_page import methods_page

PAGE = Path(__file__).resolve().parent.parent / "docs" / "methods.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the page is not current")
    arguments = parser.parse_args()
    faults = load_plugins()
    if faults:
        raise SystemExit(f"plugins failed to load: {faults}")
    page = methods_page()
    current = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page
    if arguments.check:
        raise SystemExit(0 if current else f"{PAGE.name} is not current: run scripts/build_docs")
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
