"""The benchmarks: what each measures, with which parameters, and what makes its tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A frozen benchmark.

    Attributes
    ----------
    name
        What `scripts/bench NAME` and the blocks of docs/measurements.md call it.
    about
        One line for `scripts/bench --list`.
    measure
        ``module:function`` of this folder, which returns tables.
    parameters
        Arguments of that function. A kept measurement has these and no others.
    short
        Whether `scripts/bench --readme` runs it: README.md shows its figures, and it takes a few minutes at most.
    """

    name: str
    about: str
    measure: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    short: bool = False


STAGES = (2, 4, 8, 16, 32, 64)
SPECS = (
    Spec(
        name="dnn",
        about="dnn-partitioning inference inputs, k = 2 .. 32: optimal, and in how many seconds",
        measure="claims:dnn",
        parameters={"budget": 30.0},
        short=True,
    ),
    Spec(
        name="pipedream",
        about="PipeDream profiles at 1e9 B/s, k = 2 .. 32",
        measure="claims:pipedream",
        parameters={"budget": 20.0},
        short=True,
    ),
    Spec(
        name="testbed",
        about="the nine graphs from the onnx package on the reference device, k = 2 .. 32",
        measure="claims:testbed",
        parameters={"budget": 20.0},
        short=True,
    ),
    Spec(
        name="regal",
        about="16 wide random graphs of 150 nodes, 60 s a pair: dual bound / incumbent of `default`",
        measure="claims:regal",
        parameters={"budget": 60.0, "stages": STAGES},
    ),
    Spec(
        name="regal-15",
        about="the same with 15 s a pair",
        measure="claims:regal",
        parameters={"budget": 15.0, "stages": STAGES},
    ),
    Spec(
        name="start",
        about="`pipebound --help`; reading, and a budget of 10 s, on 12,000 nodes",
        measure="claims:start",
        parameters={"budget": 10.0},
        short=True,
    ),
    Spec(
        name="answers",
        about="from start to answer on 20 small graphs; --set before=CHECKOUT compares versions",
        measure="start.answers:measure",
        parameters={"graphs": 20, "stages": (2,), "repeats": 3},
    ),
    Spec(
        name="memory",
        about="memory of all processes of one run; --set before=CHECKOUT compares versions",
        measure="start.memory:measure",
        parameters={"graphs": ("resnet50:4", "transformers-bert:8"), "budget": 10.0},
    ),
    Spec(
        name="large",
        about="chains, layers, grids and stars of up to a million nodes; --set before=CHECKOUT compares versions",
        measure="start.large:measure",
        parameters={"stages": 8, "budget": 20.0},
    ),
    Spec(
        name="slicing",
        about="a slicing pass and a full solve on 20,000 nodes",
        measure="methods.slicing:measure",
        parameters={"nodes": 20_000, "stages": 16, "repeats": 7},
        short=True,
    ),
    Spec(
        name="anchored",
        about="anchored-cut on 12,000 nodes: time, memory, maximum flows",
        measure="methods.anchored_cut:measure",
        parameters={"nodes": 12_000, "seconds": 60.0, "cuts": 200},
        short=True,
    ),
    Spec(
        name="solvers",
        about="`default`, the paper's method and plain solvers, 8 s a run on four wide random graphs",
        measure="against:contest",
        parameters={"field": "solvers", "budget": 8.0, "stages": STAGES},
    ),
    Spec(
        name="decompositions",
        about="decompositions, `simple` and `lp`, 10 s a run on the same graphs",
        measure="against:contest",
        parameters={"field": "decompositions", "budget": 10.0, "stages": (2, 4, 8, 16, 32)},
    ),
    Spec(
        name="decompositions-6",
        about="the same with 6 s a run",
        measure="against:contest",
        parameters={"field": "decompositions", "budget": 6.0, "stages": (2, 8, 32)},
    ),
    Spec(
        name="fixing",
        about="instances that `fixing` filters 1e-4 below the best partition, and CP-SAT's time on them",
        measure="methods.fixing:measure",
        parameters={"seconds": 8.0},
    ),
    Spec(
        name="left",
        about="effect of symmetry breaking and stage windows on instances that `fixing` filters",
        measure="methods.left:measure",
        parameters={"seconds": 8.0},
    ),
    Spec(
        name="tolls",
        about="effect of separation costs on the bounds of one core",
        measure="methods.tolls:measure",
        parameters={"ideals": 30_000},
    ),
    Spec(
        name="weave",
        about="partitions of `weave` and of the searches it replaced, 2 s each",
        measure="methods.weave:measure",
        parameters={"seconds": 2.0, "stages": (8, 32)},
    ),
    Spec(
        name="core",
        about="the study core: 60 graphs, 10 s and one core a pair",
        measure="study_tables:bounds",
        parameters={"study": "studies/core.toml"},
    ),
    Spec(
        name="core-edge",
        about="the study core-edge: the same graphs on an Edge TPU with links of 500 MB/s",
        measure="study_tables:bounds",
        parameters={"study": "studies/core-edge.toml"},
    ),
    Spec(
        name="ahead",
        about="where `default` is behind exact-mip, guess-bottleneck, cp-sat or paper, k = 2 and 4, 10 s and one core",
        measure="study_tables:behind",
        parameters={"study": "studies/ahead.toml"},
    ),
    Spec(
        name="tuning",
        about="the study tuning: four ways of improving partitions, on the training half of the families",
        measure="study_tables:partitions",
        parameters={"study": "studies/tuning.toml"},
    ),
    Spec(
        name="tuning-few",
        about="the study tuning-few: `cp-sat` early or late, for two and four stages",
        measure="study_tables:proofs",
        parameters={"study": "studies/tuning-few.toml"},
    ),
    Spec(
        name="tuning-many",
        about="the study tuning-many: how long `core-fluid` runs before `fixing`, from 16 stages on",
        measure="study_tables:proofs",
        parameters={"study": "studies/tuning-many.toml"},
    ),
)


def spec_of(name: str) -> Spec | None:
    """Return the benchmark of that name."""
    return next((spec for spec in SPECS if spec.name == name), None)
