"""Logs: what is read back, and what is refused in one line."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from framework.errors import UserError
from framework.model.device import load_device
from framework.proof.log import CHANGED, VERSION, OtherVersionError, ProofLog, Step, parse_log, read_log, write_log

LOG = ProofLog(
    graph="ab" * 32,
    read_as={"training": True},
    device=load_device("reference"),
    stages=3,
    bound=12,
    steps=(
        Step(rule="contract", data={"moves": [0, 1]}),
        Step(rule="packing", data={"threshold": 11, "with_parameters": False, "family": 0, "parameter": 2}),
    ),
    stage_of=(0, 1, 2),
)


@pytest.mark.parametrize("name", ["log.json", "log.json.xz"])
def test_a_log_is_read_as_it_was_written(name: str, tmp_path: Path) -> None:
    write_log(LOG, tmp_path / name)
    assert read_log(tmp_path / name) == LOG


def _without_steps(document: dict[str, Any]) -> None:
    document["steps"] = []


def _without_a_bound(document: dict[str, Any]) -> None:
    document["steps"].pop()


def _with_two_bounds(document: dict[str, Any]) -> None:
    document["steps"].append({"rule": "simple"})


def _of_another_version(document: dict[str, Any]) -> None:
    document["version"] = VERSION + 1


def _with_an_unknown_rule(document: dict[str, Any]) -> None:
    document["steps"][1]["rule"] = "pack"


def _with_a_word_for_a_number(document: dict[str, Any]) -> None:
    document["steps"][1]["threshold"] = "11"


def _with_truth_for_a_number(document: dict[str, Any]) -> None:
    document["steps"][0]["moves"][0] = True


def _with_a_fraction(document: dict[str, Any]) -> None:
    document["steps"][0]["moves"][0] = 0.5


def _with_a_field_too_many(document: dict[str, Any]) -> None:
    document["steps"][0]["more"] = 1


def _without_stages(document: dict[str, Any]) -> None:
    del document["stages"]


def _with_too_many_stages(document: dict[str, Any]) -> None:
    document["stages"] = 10**9


def _with_a_negative_bound(document: dict[str, Any]) -> None:
    document["bound_ticks"] = -1


def _in_a_negative_stage(document: dict[str, Any]) -> None:
    document["stage_of"][0] = -1


def _on_no_device(document: dict[str, Any]) -> None:
    document["device"] = 5


DAMAGES = [
    _without_steps,
    _without_a_bound,
    _with_two_bounds,
    _of_another_version,
    _with_an_unknown_rule,
    _with_a_word_for_a_number,
    _with_truth_for_a_number,
    _with_a_fraction,
    _with_a_field_too_many,
    _without_stages,
    _with_too_many_stages,
    _with_a_negative_bound,
    _in_a_negative_stage,
    _on_no_device,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__[1:])
def test_a_damaged_log_is_refused_in_one_line(damage: Callable[[dict[str, Any]], None]) -> None:
    document = copy.deepcopy(json.loads(json.dumps(LOG.as_dict())))
    damage(document)
    with pytest.raises(UserError) as refused:
        parse_log(document, "log.json")
    assert "\n" not in str(refused.value)
    assert "log.json" in str(refused.value)


def test_a_log_states_the_first_version_with_the_rules_that_it_uses() -> None:
    rounds = Step(rule="fixing", data={"threshold": 11, "rounds": []})
    assert LOG.as_dict()["version"] == 1
    document = replace(LOG, steps=(rounds,)).as_dict()
    assert document["version"] == CHANGED["fixing"] == 2
    assert parse_log(document, "log.json").steps == (rounds,)


@pytest.mark.parametrize("step", [{"rule": "fixing", "threshold": 11, "rounds": []}, {"rule": "core-program"}])
def test_a_log_by_earlier_rules_is_of_another_version_whatever_it_says(step: dict[str, Any]) -> None:
    document = LOG.as_dict()
    document["steps"][-1] = step
    with pytest.raises(OtherVersionError, match=f"log.json: {step['rule']} was written by version 1 of proofs"):
        parse_log(document, "log.json")
    document["version"] = VERSION + 1
    with pytest.raises(OtherVersionError, match=f"version {VERSION + 1} of proofs is not known"):
        parse_log(document, "log.json")


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '{"format": "pipebound-result"}'])
def test_a_file_that_is_no_log_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"log\.json"):
        read_log(path)
