"""Imports may only point down the layers of the house."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

# Each layer may import itself and the layers after it.
LAYERS = [
    "framework.cli",
    "framework.api",
    "framework.report",
    "framework.deploy",
    "framework.layouts",
    "framework.testing",
    "framework.study",
    "framework.records",
    "framework.portfolio",
    "framework.registry",
    "framework.entry_spec",
    "framework.contracts",
    "framework.bounds",
    "framework.structure",
    "framework.proof",
    "framework.formats",
    "framework.testbed",
    "framework.environment",
    "framework.model",
    "framework.fields",
    "framework.input_files",
    "framework.output_files",
    "framework.units",
    "framework.signals",
    "framework.shown",
    "framework.errors",
    "framework.wording",
]
# Sub-packages ("rooms"): each may import itself, the modules named here (those of a package included), and, outside its
# own package, what its layer may. What is named must not lead back.
KERNEL = "framework.structure.kernel"
BIT_SETS = "framework.structure.bit_sets"
ONNX_TYPES = ["framework.formats.onnx.tensor_types", "framework.formats.onnx.wiring", "framework.formats.onnx.dims"]
ROOMS: dict[str, list[str]] = {
    "framework.structure.poset": [KERNEL, BIT_SETS],
    "framework.structure.ideals": [KERNEL, BIT_SETS],
    "framework.structure.primal": [KERNEL, "framework.structure.scrambling"],
    "framework.structure.solvers": [],
    "framework.structure.flow": [KERNEL, BIT_SETS, "framework.structure.poset"],
    "framework.structure.reduction": [
        KERNEL,
        BIT_SETS,
        "framework.structure.scrambling",
        "framework.structure.union_find",
        "framework.structure.poset",
        "framework.structure.flow",
    ],
    "framework.structure.pricing": [KERNEL, BIT_SETS, "framework.structure.poset", "framework.structure.flow"],
    "framework.structure.nested_cuts": [
        KERNEL,
        BIT_SETS,
        "framework.structure.poset",
        "framework.structure.flow",
        "framework.structure.primal",
    ],
    "framework.structure.models": [
        "framework.structure.solvers",
        "framework.structure.poset",
        "framework.structure.flow",
        "framework.structure.primal",
    ],
    "framework.structure.covering": [
        KERNEL,
        BIT_SETS,
        "framework.structure.pricing",
        "framework.structure.poset",
        "framework.structure.flow",
    ],
    "framework.structure.spreading": [
        KERNEL,
        BIT_SETS,
        "framework.structure.pricing",
        "framework.structure.poset",
        "framework.structure.flow",
    ],
    "framework.structure.unequal": [
        KERNEL,
        BIT_SETS,
        "framework.structure.ideals",
        "framework.structure.primal",
    ],
    "framework.structure.fluid": [
        KERNEL,
        BIT_SETS,
        "framework.structure.poset",
        "framework.structure.ideals",
        "framework.structure.primal",
        "framework.structure.reduction",
        "framework.structure.unequal",
    ],
    "framework.structure.fluid.nets": [KERNEL, "framework.structure.poset"],
    "framework.structure.fluid.tolls": [KERNEL, "framework.structure.poset"],
    "framework.structure.filtering": [
        KERNEL,
        BIT_SETS,
        "framework.structure.fluid",
        "framework.structure.ideals",
        "framework.structure.reduction",
        "framework.structure.poset",
        "framework.structure.primal",
    ],
    "framework.proof.cores": [
        "framework.proof.cuts",
        "framework.proof.ideals",
        "framework.proof.problem",
        "framework.proof.reductions",
        "framework.proof.walk",
    ],
    "framework.portfolio.context": [],
    "framework.portfolio.processes": [],
    "framework.portfolio.logs": [
        "framework.portfolio.constraints",
        "framework.portfolio.members",
        "framework.portfolio.proofs",
        "framework.portfolio.records",
        "framework.portfolio.result",
        "framework.portfolio.runner",
    ],
    "framework.deploy.split": [
        "framework.deploy.onnx_model",
        "framework.deploy.runtime",
        "framework.deploy.weights",
    ],
    "framework.deploy.pipeline": [
        "framework.deploy.onnx_model",
        "framework.deploy.randomness",
        "framework.deploy.runnable",
        "framework.deploy.runtime",
        "framework.deploy.split",
    ],
    "framework.deploy.torch": [
        "framework.deploy.measurement",
        "framework.deploy.neighbours",
        "framework.deploy.pipeline",
        "framework.deploy.split",
    ],
    "framework.deploy.tuning": ["framework.deploy"],
    "framework.report.plots": ["framework.report.escape", "framework.report.numbers", "framework.report.tables"],
    "framework.report.splits": [
        "framework.report.console",
        "framework.report.escape",
        "framework.report.layout",
        "framework.report.numbers",
        "framework.report.plots",
        "framework.report.tables",
    ],
    "framework.report.study": ["framework.report"],
    "framework.report.records": [
        "framework.report.console",
        "framework.report.escape",
        "framework.report.layout",
        "framework.report.numbers",
    ],
    "framework.formats.onnx": [
        "framework.formats.builder",
        "framework.formats.format",
        "framework.formats.parameters",
        "framework.formats.source",
    ],
    "framework.formats.onnx.operators": ONNX_TYPES,
    "framework.formats.onnx.shapes": [*ONNX_TYPES, "framework.formats.onnx.operators"],
    "framework.formats.torch.export": [
        "framework.formats.builder",
        "framework.formats.parameters",
        "framework.formats.source",
        "framework.formats.torch",
        "framework.formats.training",
    ],
    "framework.formats.torch": [
        "framework.formats.builder",
        "framework.formats.format",
        "framework.formats.parameters",
    ],
    "framework.study.analysis": ["framework.study"],
}
MOST_MODULES = 16
MOST_LINES_OF_A_FUNCTION = 100
ONE_FILE_IS_ONE_ENTRY = (
    "formulations",
    "strategies",
    "framework/cli",
    "tests/formulations",
    "tests/strategies",
    "tests/cli",
)
HEAVY = {"numba", "ortools", "cvxpy", "matplotlib", "highspy", "onnx", "onnxruntime", "networkx", "scipy", "torch"}
PACKAGES = ("pipebound", "framework", "formulations", "strategies")
FILES = sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path, *, top_level_only: bool = False) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    names: list[str] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def layer_of(module: str) -> int | None:
    for rank, layer in enumerate(LAYERS):
        if module == layer or module.startswith(layer + "."):
            return rank
    return None


def room_of(module: str) -> str | None:
    """Return the innermost sub-package that a module lies in."""
    inside = [room for room in ROOMS if module == room or module.startswith(room + ".")]
    return max(inside, key=len, default=None)


def within(name: str, places: list[str]) -> bool:
    return any(name == place or name.startswith(place + ".") for place in places)


PROOF_USES = ["framework.proof", "framework.formats", "framework.model", "framework.errors", "framework.fields"]
PROOF_USES += ["framework.input_files", "framework.output_files"]


@pytest.mark.parametrize(
    "path", [path for path in FILES if within(module_of(path), ["framework.proof"])], ids=module_of
)
def test_the_checker_of_proofs_shares_no_code_with_what_it_checks(path: Path) -> None:
    for name in imports_of(path):
        if name.split(".")[0] in PACKAGES:
            assert within(name, PROOF_USES), f"{module_of(path)} imports {name}"
    numba = [name for name in imports_of(path) if name.split(".")[0] == "numba"]
    assert not numba or module_of(path) in ("framework.proof.walk", "framework.proof.cores.walk")


def test_there_are_files_to_check() -> None:
    assert len(FILES) > 40


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_point_down(path: Path) -> None:
    module = module_of(path)
    for name in imports_of(path):
        top = name.split(".")[0]
        if module.startswith("framework"):
            assert top not in ("formulations", "strategies", "pipebound"), f"{module} imports {name}"
            if module in ("framework", "framework.__main__") or top != "framework":
                continue
            here, there = layer_of(module), layer_of(name)
            assert here is not None, f"{module} belongs to no layer"
            assert there is None or there >= here, f"{module} imports {name}, which is above it"
        elif module.startswith("formulations"):
            assert top not in ("strategies", "pipebound"), f"{module} imports {name}"
        elif module.startswith("strategies"):
            assert top not in ("formulations", "pipebound"), f"{module} imports {name}: name it through the registry"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_between_rooms_follow_their_arrows(path: Path) -> None:
    module = module_of(path)
    room = room_of(module)
    if room is None:
        return
    package = ".".join(room.split(".")[:2])
    for name in imports_of(path):
        if within(name, [package]):
            assert within(name, [room, *ROOMS[room]]), f"{module} imports {name}, which {room} has no arrow to"


def test_every_sub_package_is_a_room_and_no_arrows_lead_back() -> None:
    folders = {module_of(path) for path in FILES if path.name == "__init__.py"}
    assert {folder for folder in folders if folder.count(".") > 1} == set(ROOMS)
    reached: dict[str, set[str]] = {}
    for room in reversed(list(ROOMS)):
        for place in ROOMS[room]:
            assert room not in reached.get(place, set()), f"{room} and {place} use each other"
        reached[room] = {*ROOMS[room], *(far for place in ROOMS[room] for far in reached.get(place, set()))}


def test_no_folder_outgrows_a_reader() -> None:
    folders: dict[str, int] = {}
    for top in ("pipebound", "framework", "formulations", "strategies", "scripts", "tests", "typings"):
        for path in (REPOSITORY / top).rglob("*.py"):
            if path.name != "__init__.py":
                folder = path.parent.relative_to(REPOSITORY).as_posix()
                folders[folder] = folders.get(folder, 0) + 1
    large = {
        folder: count
        for folder, count in folders.items()
        if count > MOST_MODULES and folder not in ONE_FILE_IS_ONE_ENTRY
    }
    assert not large


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_heavy_packages_are_imported_where_they_are_used(path: Path) -> None:
    module = module_of(path)
    if module.startswith("framework.structure") or module == "framework.portfolio.processes.preload":
        return
    heavy = {name.split(".")[0] for name in imports_of(path, top_level_only=True)} & HEAVY
    if module.startswith("framework.formats.onnx.") or module == "framework.formats.networkx":
        heavy -= {"onnx", "networkx"}
    if module.startswith(("framework.formats.torch.", "framework.deploy.torch.")):
        heavy -= {"torch"}
    if module.startswith("framework.deploy"):
        heavy -= {"onnx"}
    assert not heavy, f"{module} imports {heavy} when it is loaded"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_no_file_outgrows_a_reader(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 420


def test_no_function_outgrows_a_reader() -> None:
    paths = [path for folder in (*PACKAGES, "scripts") for path in (REPOSITORY / folder).rglob("*.py")]
    long = {
        f"{path.relative_to(REPOSITORY).as_posix()}:{node.name}"
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= MOST_LINES_OF_A_FUNCTION
    }
    assert not long


def test_a_test_imports_each_module_of_structure() -> None:
    imported = {name for path in (REPOSITORY / "tests").rglob("test_*.py") for name in imports_of(path)}
    modules = [module_of(path) for path in FILES if path.name != "__init__.py"]
    untested = [
        module
        for module in modules
        if module.startswith("framework.structure.") and not any(within(name, [module]) for name in imported)
    ]
    assert not untested, f"no test imports {untested}: add tests/structure/<room>/test_<module>.py"
