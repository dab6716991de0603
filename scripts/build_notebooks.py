#!/usr/bin/env python
"""Execute the notebooks of docs/notebooks and write what they show back into them; needs no Jupyter.

.venv/bin/python scripts/build_notebooks.py            # all, or those that are named: model formulation study
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from framework.testing.notebooks import read_notebook, run_cells  # noqa: E402


def rebuild(path: Path) -> None:
    """Execute one notebook in an empty folder, and replace its outputs."""
    document = read_notebook(path)
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        outputs = list(run_cells(document["cells"], Path(folder)))
    cells = [cell for cell in document["cells"] if cell["cell_type"] == "code"]
    for count, (cell, shown) in enumerate(zip(cells, outputs, strict=True), 1):
        cell["execution_count"], cell["outputs"] = count, shown
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{path.relative_to(ROOT)}: {len(cells)} cells, {time.process_time() - began:.1f} s of CPU in this process")


if __name__ == "__main__":
    wanted = set(sys.argv[1:])
    for notebook in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        if not wanted or notebook.stem in wanted:
            rebuild(notebook)
