"""Specs: what they mean, and what is said about mistakes in them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from framework.errors import UserError
from framework.model.device import Device, load_device
from framework.model.device_chain import DeviceChain
from framework.study.code_version import code_version
from framework.study.graphs import choose_graphs
from framework.study.plan import device_figures, make_plan
from framework.study.spec import read_spec
from framework.testbed import catalogue
from tests.study.conftest import WriteSpec


def test_a_spec_says_which_runs_there_are(write_spec: WriteSpec) -> None:
    spec = read_spec(
        write_spec(
            seeds=[0, 1],
            entries=["slice-graph", {"entry": "ideal-dp:max_ideals=9", "label": "few", "budgets": ["1s", 2.5]}],
            run={"workers": 2, "memory": "1GiB", "presolve": False, "gap": 0.01},
        )
    )
    assert spec.run.workers == 2
    assert spec.run.memory_bytes == 1 << 30
    plan = make_plan(spec)
    assert len(plan.runs) == 3 * 2 * 2 * (1 + 2)
    assert len({run.key for run in plan.runs}) == len(plan.runs)
    assert {run.choice.label for run in plan.runs} == {"slice-graph", "few"}
    assert {run.budget for run in plan.runs if run.choice.label == "few"} == {1.0, 2.5}
    assert not any(run.choice.presolve for run in plan.runs)
    pairs = [(run.graph.name, run.stages) for run in plan.runs]
    assert [pair for i, pair in enumerate(pairs) if pair not in pairs[:i]] == [
        pair for i, pair in enumerate(pairs) if i == 0 or pair != pairs[i - 1]
    ]


def test_pairs_with_more_stages_than_nodes_are_left_out_unless_wanted(write_spec: WriteSpec) -> None:
    plan = make_plan(read_spec(write_spec(stages=[2, 11])))
    assert plan.left_out == 1
    assert {run.graph.name for run in plan.runs if run.stages == 11} == {"braid-1", "braid-2"}
    plan = make_plan(read_spec(write_spec(stages=[2, 11], run={"more_stages_than_nodes": True})))
    assert plan.left_out == 0


def test_keys_depend_on_everything_that_decides_a_run(write_spec: WriteSpec) -> None:
    def keys(**changes: Any) -> set[str]:
        return {run.key for run in make_plan(read_spec(write_spec(**changes))).runs}

    base = keys(entries=["ideal-dp"])
    assert keys(entries=["ideal-dp"]) == base
    assert keys(entries=[{"entry": "ideal-dp", "label": "another name"}]) == base
    assert keys(entries=["ideal-dp"], name="another study") == base
    for changes in (
        {"entries": ["ideal-dp:max_ideals=7"]},
        {"entries": ["ideal-dp"], "seeds": [1]},
        {"entries": ["ideal-dp"], "budgets": ["6s"]},
        {"entries": ["ideal-dp"], "run": {"presolve": False}},
        {"entries": ["ideal-dp"], "run": {"workers": 2}},
        {"entries": ["ideal-dp"], "stages": [4, 5]},
    ):
        assert not keys(**changes) & base, changes


def test_a_device_decides_a_run_by_its_figures_only(write_spec: WriteSpec, tmp_path: Path) -> None:
    figures = "peak_flops = 1e12\nmemory_bandwidth = 1e11\nlink_bandwidth = 1e9\n"
    keys = []
    for name, text in (("a", figures), ("b", figures + 'source = "elsewhere"'), ("c", figures + "fast_memory = 1e6")):
        (tmp_path / f"{name}.toml").write_text(text)
        spec = write_spec(graphs=["testbed:squeezenet"], devices=[f"{name}.toml"])
        keys.append({run.key for run in make_plan(read_spec(spec)).runs})
    assert keys[0] == keys[1]
    assert not keys[0] & keys[2]


def test_a_spec_replaces_figures_of_a_device(write_spec: WriteSpec, tmp_path: Path) -> None:
    (tmp_path / "far.toml").write_text("peak_flops = 1e12\nmemory_bandwidth = 1e11\nlink_bandwidth = 1e9\n")
    spec = write_spec(
        graphs=["testbed:squeezenet"],
        devices=[
            "reference",
            {"device": "reference", "label": "slow links", "link_latency": "5us", "link_bandwidth": "2GB/s"},
            {"device": "far.toml", "link_latency": 2e-6, "fast_memory": "1MiB"},
        ],
    )
    found = {run.device for run in make_plan(read_spec(spec)).runs}
    reference = load_device("reference")
    assert found == {
        reference,
        replace(reference, name="slow links", link_latency=5e-6, link_bandwidth=2e9),
        replace(load_device(str(tmp_path / "far.toml")), link_latency=2e-6, fast_memory=2**20),
    }


def test_runs_without_latency_keep_the_keys_that_they_had() -> None:
    reference = load_device("reference")
    figures = {"peak_flops": 4e12, "memory_bandwidth": 100e9, "link_bandwidth": 16e9, "fast_memory": 16777216.0}
    assert device_figures(reference) == figures
    assert device_figures(reference.override(link_latency=5e-6)) == {**figures, "link_latency": 5e-6}


def test_profiles_are_priced_with_the_bandwidth_that_they_state(write_spec: WriteSpec, tmp_path: Path) -> None:
    document = {
        "format": "pipebound-graph",
        "version": 1,
        "profile": {"copy_bandwidth": 6e9},
        "nodes": [{"seconds": s, "parameter_bytes": 0} for s in (0.1, 0.2, 0.3)],
        "tensors": [{"producer": 0, "bytes": 3e6, "consumers": [1, 2]}],
    }
    (tmp_path / "p.graph.json").write_text(json.dumps(document))
    found = {}
    for name, changes in (("own", {}), ("named", {"devices": ["reference"]})):
        spec = write_spec(graphs=["p.graph.json", "testbed:squeezenet"], **changes)
        for run in make_plan(read_spec(spec)).runs:
            assert isinstance(run.device, Device)
            found[name, run.graph.nodes] = (run.device.name, run.device.link_bandwidth)
    reference = load_device("reference")
    by_default = ("reference", reference.link_bandwidth)
    # Handing a tensor over takes three passes over it.
    assert found.pop(("own", 3)) == ("measured", 2e9)
    assert set(found.values()) == {by_default}
    assert len(found) == 3


def test_subsets_come_from_the_testbed(write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "subset_names", lambda name: {"two": ["vgg19", "zfnet512"]}[name])
    spec = read_spec(write_spec(subsets=["two"], graphs=["testbed:vgg19", "braid-0.graph.json"]))
    chosen = [(collection, choice.path.rpartition("/")[2]) for collection, choice in choose_graphs(spec)]
    assert chosen == [("two", "testbed:vgg19"), ("two", "testbed:zfnet512"), ("graphs", "braid-0.graph.json")]


def test_a_generated_graph_belongs_to_its_family(write_spec: WriteSpec) -> None:
    plan = make_plan(read_spec(write_spec(graphs=["braid-0.graph.json", "testbed:regal-er-50-100"])))
    assert {run.graph.family for run in plan.runs} == {"braid", "regal-er"}


@pytest.mark.parametrize(
    ("changes", "place", "words"),
    [
        ({"entries": ["ideal-dq"]}, "entries[0]", "did you mean ideal-dp"),
        ({"entries": ["ideal-dp", "ideal-dp:size=1"]}, "entries[1]", "has no parameter 'size'"),
        ({"entries": ["ideal-dp:max_ideals=x"]}, "entries[0]", "'x' is no int"),
        ({"entries": [{"entry": "ideal-dp", "name": "x"}]}, "entries[0].name", "there is no such key"),
        ({"entries": [{"label": "x"}]}, "entries[0].entry", "is missing"),
        ({"entries": ["ideal-dp", {"entry": "slice-graph", "label": "ideal-dp"}]}, "entries[1]", "is taken by"),
        ({"entries": []}, "entries", "the list is empty"),
        ({"entries": "ideal-dp"}, "entries", 'write entries = ["ideal-dp"]'),
        ({"entries": None}, "entries", "is missing"),
        ({"entries": ["ideal-dp", "ideal-dp"]}, "entries[1]", "is there twice"),
        ({"graphs": ["absent.onnx"]}, "graphs[0]", "there is no file absent.onnx"),
        ({"graphs": ["*.onnx"]}, "graphs[0]", "no file matches *.onnx"),
        ({"graphs": ["testbed:resnet51"]}, "graphs[0]", "did you mean resnet50"),
        ({"graphs": [7]}, "graphs[0]", "7 is no name"),
        ({"graphs": [{"path": "braid-0.graph.json", "dims": {"N": "x"}}]}, "graphs[0].dims.N", '"x" is no size'),
        ({"graphs": ["study.toml"]}, "graphs[0]", "study.toml"),
        ({"graphs": None}, "", "names no graph"),
        ({"entries": ["bisection:over=mien"]}, "entries[0]", "bisection:over: nothing is registered as 'mien'"),
        ({"stages": [2, 0]}, "stages[1]", "0 is no integer of at least 1"),
        ({"stages": [2, True]}, "stages[1]", "true is no integer"),
        ({"stages": [100000]}, "stages[0]", "too many"),
        ({"stages": [64]}, "", "every graph has fewer nodes"),
        ({"budgets": ["soon"]}, "budgets[0]", "cannot read 'soon'"),
        ({"budgets": [0]}, "budgets[0]", "no time to run in"),
        ({"budgets": [-1.5]}, "budgets[0]", "no time to run in"),
        ({"seeds": ["a"]}, "seeds[0]", '"a" is no integer'),
        ({"devices": ["pocket calculator"]}, "devices[0]", "choose one of reference"),
        ({"devices": ["absent.toml"]}, "devices[0]", "no such file"),
        ({"devices": [{"device": "a1000"}]}, "devices[0]", "choose one of reference"),
        ({"devices": [{"device": "reference", "link_latency": "5xs"}]}, "devices[0].link_latency", "cannot read"),
        ({"devices": [{"device": "reference", "latency": 1}]}, "devices[0].latency", "did you mean link_latency"),
        ({"devices": [{"device": "reference", "link_bandwidth": 0}]}, "devices[0]", "link_bandwidth is 0"),
        ({"stagse": [2]}, "stagse", "did you mean stages"),
        ({"run": {"workers": 0}}, "run.workers", "0 is no integer of at least 1"),
        ({"run": {"memory": "lots"}}, "run.memory", "cannot read 'lots'"),
        ({"run": {"gap": 1.5}}, "run.gap", "1.5 is no number"),
        ({"run": {"presolve": "yes"}}, "run.presolve", "neither true nor false"),
        ({"run": {"plugins": ["absent.py"]}}, "run.plugins[0]", "there is no file absent.py"),
        ({"run": {"speed": 3}}, "run.speed", "there is no such key"),
        ({"extra": "x = "}, "", "not a TOML file"),
        ({"subsets": ["cores"]}, "subsets[0]", "did you mean core?"),
    ],
)
def test_mistakes_are_named_with_their_place_and_a_mend(
    write_spec: WriteSpec, changes: dict[str, Any], place: str, words: str
) -> None:
    path = write_spec(**changes)
    with pytest.raises(UserError) as caught:
        make_plan(read_spec(path))
    assert str(caught.value).startswith(f"{path}: {place}")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_code_version_is_that_of_the_solving_code_and_the_plugins(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text("x = 1\n")
    first = code_version((str(plugin),))
    assert first == code_version((str(plugin),))
    assert first != code_version()
    plugin.write_text("x = 2\n")
    assert first != code_version((str(plugin),))


def test_a_missing_spec_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_spec(tmp_path / "absent.toml")


def test_chains_of_devices_run_at_their_number_of_stages(write_spec: WriteSpec, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("peak_flops = 1e12\nmemory_bandwidth = 1e10\nlink_bandwidth = 1e9\n")
    spec = write_spec(graphs=["testbed:squeezenet"], devices=["reference", "2*reference,own.toml"], stages=[2, 3])
    runs = make_plan(read_spec(spec)).runs
    assert {(run.device.name if run.device else "", run.stages) for run in runs} == {
        ("reference", 2),
        ("reference", 3),
        ("2*reference,own", 3),
    }
    figures = device_figures(next(run.device for run in runs if isinstance(run.device, DeviceChain)))
    assert figures is not None
    assert figures["stages"] == [0, 0, 1]
    assert figures["kinds"][0] == device_figures(load_device("reference"))


def test_an_entry_may_run_on_a_sample_of_the_graphs(write_spec: WriteSpec) -> None:
    few = {"entry": "ideal-dp", "most_graphs": 2}
    runs = make_plan(read_spec(write_spec(entries=["slice-graph", few]))).runs
    by_label = {
        label: {run.graph.sha256 for run in runs if run.choice.label == label} for label in ("slice-graph", "ideal-dp")
    }
    assert len(by_label["slice-graph"]) == 3
    assert by_label["ideal-dp"] == set(sorted(by_label["slice-graph"])[:2])
    whole = make_plan(read_spec(write_spec(entries=["slice-graph", "ideal-dp"]))).runs
    assert {run.key for run in runs} < {run.key for run in whole}
