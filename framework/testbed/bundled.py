"""Names and paths of the graph files that come with the package; `framework.testbed.catalogue` says what they are."""

from __future__ import annotations

import difflib
from pathlib import Path

from framework.errors import UserError

DATA = Path(__file__).parent / "data"
SUFFIX = ".graph.json.xz"


def bundled_names() -> list[str]:
    """Return the names of all bundled graphs, sorted."""
    return sorted(path.name.removesuffix(SUFFIX) for path in DATA.glob(f"*{SUFFIX}"))


def bundled_path(name: str) -> Path:
    """Return the file of a bundled graph.

    Raises
    ------
    UserError
        If there is none of that name; near names are offered.
    """
    names = bundled_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, 3) or [other for other in names if name and name in other][:3]
        raise UserError(
            f"no bundled graph is called {name!r}",
            hint=f"did you mean {', '.join(near)}?" if near else "'pipebound testbed list' names them",
        )
    return DATA / f"{name}{SUFFIX}"
