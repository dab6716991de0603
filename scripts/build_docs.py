"""Write the pages that are made from code and data, and build the documentation site into build/site.

scripts/build_docs            writes the pages and builds the site: open build/site/index.html in a browser
scripts/build_docs --check    writes no page; exits with 1 if one is not current or the site has a warning
scripts/build_docs --pages    only writes the pages, in seconds

docs/methods.md is made from the registry and the docstrings; docs/measurements.md and the results in README.md from the
data in docs/measurements. The site also holds records.csv, all records of the testbed.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from framework.registry import load_plugins
from framework.report.methods_page import methods_page
from framework.report.records.rows import as_csv, record_rows

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGE = DOCS / "methods.md"
BUILD = ROOT / "build"
LOADED = re.compile(r"<(?:script|link|img)[^>]*(?:src|href)=\"(?:https?:)?//[^>]*>")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write no page; exit with 1 if something is not current")
    parser.add_argument("--pages", action="store_true", help="do not build the site")
    arguments = parser.parse_args()
    faults = load_plugins()
    if faults:
        raise SystemExit(f"plugins failed to load: {faults}")
    write_methods(check=arguments.check)
    write_measurements(check=arguments.check)
    if not arguments.pages:
        build_site()


def write_methods(*, check: bool) -> None:
    page = methods_page()
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page:
        return
    if check:
        raise SystemExit(f"{PAGE.name} is not current: run scripts/build_docs")
    PAGE.write_text(page, encoding="utf-8")


def write_measurements(*, check: bool) -> None:
    sys.path.insert(0, str(ROOT / "scripts" / "benchmarks"))
    from runner import write_page

    write_page(check=check)


def build_site() -> None:
    """Build what has changed; every warning is an error."""
    from sphinx.cmd.build import main as sphinx

    target, extra = BUILD / "site", BUILD / "extra"
    extra.mkdir(parents=True, exist_ok=True)
    (extra / "records.csv").write_text(as_csv(record_rows()), encoding="utf-8")
    options = ["-q", "--fail-on-warning", "--keep-going", "--builder", "html"]
    code = sphinx([*options, "--doctree-dir", str(BUILD / "doctrees"), str(DOCS), str(target)])
    if code:
        raise SystemExit("the site has warnings: see above")
    check_offline(target)
    print(f"{(target / 'index.html').relative_to(ROOT)} is current", file=sys.stderr)


def check_offline(site: Path) -> None:
    """Hold every page to what it needs: nothing from the network, so that a browser shows it from the disk."""
    found = [
        f"{page.relative_to(site)}: {tag}"
        for page in sorted(site.rglob("*.html"))
        for tag in LOADED.findall(page.read_text(encoding="utf-8"))
    ]
    if found:
        raise SystemExit("pages load from the network:\n" + "\n".join(found))


if __name__ == "__main__":
    main()
