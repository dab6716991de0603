"""Errors name arguments, as a program passes them; the command line names its own options in their place.

An error writes an argument in back quotes, alone or with a value: `budget`, `dims={'N': 1}`.
"""

from __future__ import annotations

import re
import shlex

OPTIONS = {
    "PIPEBOUND_MAX_INPUT": "pipebound --max-input",
    "activations": "--activations",
    "bandwidth": "--bandwidth",
    "budget": "--budget",
    "device": "--device",
    "dims": "--dim",
    "drop_unused": "--drop-unused",
    "force": "--force",
    "format": "--format",
    "graph": "--graph",
    "jobs": "--jobs",
    "kv_tokens": "--kv-tokens",
    "layers": "--layers",
    "link_latency": "--link-latency",
    "memory_limit": "--memory-limit",
    "model": "--model",
    "neighbours": "--neighbours",
    "output": "--output",
    "plugin_files": "--plugin",
    "proof": "--proof",
    "repetitions": "--repetitions",
    "retry_failed": "--retry-failed",
    "same_stage": "--same-stage",
    "stages": "--stages",
    "start": "--start",
    "subset": "--subset",
    "training": "--training",
    "microbatches": "--microbatches",
    "optimizer_states": "--optimizer-states",
    "warm_up": "--warm-up",
    "whole_modules": "--whole-modules",
}
"""The option that stands for each argument."""

_ARGUMENT = re.compile(r"`(\w+)(?:=([^`]*))?`")
_PAIR = re.compile(r"""(?:'((?:[^'\\]|\\.)*)'|"([^"]*)"): (-?\d+)""")


def with_options(text: str) -> str:
    """Return an error as the command line says it; what else stands in back quotes stays as it is."""
    return _ARGUMENT.sub(_option, text)


def _option(match: re.Match[str]) -> str:
    name, value = match.groups()
    option = OPTIONS.get(name)
    if option is None:
        return match[0]
    if value is None:
        return option
    if name == "dims":
        # Of a long error the middle is left out: what is left of the pairs is shown.
        pairs = [f"{single or double}={size}" for single, double, size in _PAIR.findall(value)]
        return " ".join(f"{option} {shlex.quote(pair)}" for pair in pairs) or f"{option} NAME=VALUE"
    return f"{option} {value}"
