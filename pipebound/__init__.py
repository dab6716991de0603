"""Split a neural network into pipeline stages, and prove how good the split is.

    import pipebound

    result = pipebound.solve("model.onnx", 4)
    print(result)

Every name here is loaded when it is first used; ``import pipebound`` itself imports nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from framework import __version__ as __version__

if TYPE_CHECKING:
    from framework.api.compare import compare as compare
    from framework.api.convert import convert as convert
    from framework.api.explain import explain as explain
    from framework.api.graphs import from_torch as from_torch
    from framework.api.judge import judge as judge
    from framework.api.progress import Progress as Progress
    from framework.api.recommend import recommend as recommend
    from framework.api.records import records as records
    from framework.api.solve import solve as solve
    from framework.api.solve import solve_many as solve_many
    from framework.api.study import Study as Study
    from framework.api.study import StudyProgress as StudyProgress
    from framework.api.verify import verify as verify
    from framework.bounds import Certificate as Certificate
    from framework.bounds import DualBound as DualBound
    from framework.bounds import Incumbent as Incumbent
    from framework.bounds import Interval as Interval
    from framework.bounds import Limit as Limit
    from framework.bounds import Outcome as Outcome
    from framework.bounds import Reason as Reason
    from framework.bounds import Soundness as Soundness
    from framework.bounds import Termination as Termination
    from framework.contracts import Context as Context
    from framework.contracts import Feature as Feature
    from framework.deploy.tuning.recommend import Recommendation as Recommendation
    from framework.errors import UserError as UserError
    from framework.formats import read_graph as read_graph
    from framework.formats.networkx import from_networkx as from_networkx
    from framework.formats.training import training_graph as training_graph
    from framework.layouts.explain import Explanation as Explanation
    from framework.layouts.judge import Judgement as Judgement
    from framework.layouts.write import Written as Written
    from framework.model.device import Device as Device
    from framework.model.device import load_device as load_device
    from framework.model.device_chain import DeviceChain as DeviceChain
    from framework.model.device_chain import load_devices as load_devices
    from framework.model.graph import ModelGraph as ModelGraph
    from framework.model.problem import Partition as Partition
    from framework.model.problem import Problem as Problem
    from framework.model.training import Training as Training
    from framework.portfolio.comparison import Comparison as Comparison
    from framework.portfolio.constraints import Constraints as Constraints
    from framework.portfolio.reading import read_result as read_result
    from framework.portfolio.records import Status as Status
    from framework.portfolio.result import Result as Result
    from framework.portfolio.settings import Settings as Settings
    from framework.portfolio.verification import Verification as Verification
    from framework.registry import register_formulation as register_formulation
    from framework.registry import register_portfolio as register_portfolio
    from framework.registry import register_strategy as register_strategy
    from framework.report.records.rows import RecordRow as RecordRow
    from framework.study.analysis.report import StudyReport as StudyReport

_HOMES = {
    "framework.api.compare": ("compare",),
    "framework.api.convert": ("convert",),
    "framework.api.explain": ("explain",),
    "framework.api.graphs": ("from_torch",),
    "framework.api.judge": ("judge",),
    "framework.api.progress": ("Progress",),
    "framework.api.recommend": ("recommend",),
    "framework.api.records": ("records",),
    "framework.api.solve": ("solve", "solve_many"),
    "framework.api.study": ("Study", "StudyProgress"),
    "framework.api.verify": ("verify",),
    "framework.bounds": (
        "Certificate",
        "DualBound",
        "Incumbent",
        "Interval",
        "Limit",
        "Outcome",
        "Reason",
        "Soundness",
        "Termination",
    ),
    "framework.contracts": ("Context", "Feature"),
    "framework.deploy.tuning.recommend": ("Recommendation",),
    "framework.errors": ("UserError",),
    "framework.formats": ("read_graph",),
    "framework.formats.networkx": ("from_networkx",),
    "framework.formats.training": ("training_graph",),
    "framework.layouts.explain": ("Explanation",),
    "framework.layouts.judge": ("Judgement",),
    "framework.layouts.write": ("Written",),
    "framework.model.device": ("Device", "load_device"),
    "framework.model.device_chain": ("DeviceChain", "load_devices"),
    "framework.model.graph": ("ModelGraph",),
    "framework.model.problem": ("Partition", "Problem"),
    "framework.model.training": ("Training",),
    "framework.portfolio.comparison": ("Comparison",),
    "framework.portfolio.constraints": ("Constraints",),
    "framework.portfolio.reading": ("read_result",),
    "framework.portfolio.records": ("Status",),
    "framework.portfolio.result": ("Result",),
    "framework.portfolio.settings": ("Settings",),
    "framework.portfolio.verification": ("Verification",),
    "framework.registry": ("register_formulation", "register_portfolio", "register_strategy"),
    "framework.report.records.rows": ("RecordRow",),
    "framework.study.analysis.report": ("StudyReport",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}
_SHOW_THEMSELVES = (
    "framework.api.",
    "framework.portfolio.",
    "framework.deploy.",
    "framework.layouts.",
    "framework.study.",
)
"""Where the values come from whose looks `framework.report.views` knows."""

__all__ = sorted(["__version__", *_HOME_OF])


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'pipebound' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    if home.startswith(_SHOW_THEMSELVES):
        import_module("framework.report.views").install()
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
