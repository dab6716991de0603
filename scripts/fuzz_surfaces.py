"""What is fuzzed: sound inputs of each kind, and the commands that read them."""

from __future__ import annotations

import gzip
import lzma
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from fuzz_mutations import (
    ODD_VALUES,
    mutate_bytes,
    mutate_encoding,
    mutate_json,
    mutate_sqlite,
    mutate_text,
    mutate_toml,
)
from fuzz_onnx import mutate_onnx

Mutation = Callable[[Random, bytes], bytes]


@dataclass(frozen=True, kw_only=True)
class Surface:
    """One kind of input.

    Attributes
    ----------
    bases
        Sound inputs, by name in the folder of inputs.
    share
        Of all mutations, in hundredths.
    commands
        Argument lists of which one runs on each mutated input; ``{in}`` is the input, ``{dir}`` a fresh folder.
    then
        Commands of which some run as well where the first one accepted the input.
    often
        How often `then` runs.
    structured
        Mutation that knows the format.
    textual
        Whether it is text.
    """

    bases: tuple[str, ...]
    share: int
    commands: tuple[tuple[str, ...], ...]
    then: tuple[tuple[tuple[str, ...], ...], ...] = ()
    often: float = 0.0
    structured: Mutation = mutate_text
    textual: bool = True


INSPECT = ("inspect", "{in}", "--budget", "5s", "--max-ideals", "200")
SOLVE = ("solve", "{in}", "-k", "2", "--no-presolve", "--budget", "3s", "-o", "{dir}/out.json", "--with")
AFTERWARDS = tuple(
    ((*SOLVE, entry), ("verify", "{dir}/out.json", "--json")) for entry in ("simple", "slice-graph", "ideal-dp")
)
READ = (INSPECT, (*INSPECT, "--json"))
TRAINING = (*READ, (*INSPECT, "--training"))
RESULTS = ("result-native.json", "result-plain.json", "result-priced.json", "result-counting.json")

SURFACES: dict[str, Surface] = {
    "native": Surface(
        bases=("native.graph.json", "priced.graph.json", "native.graph.json.gz", "priced.graph.json.xz"),
        share=12,
        commands=READ,
        then=AFTERWARDS,
        often=0.04,
        structured=mutate_json,
    ),
    "onnx": Surface(
        bases=("plain.onnx", "model.onnx"),
        share=16,
        commands=(*READ, (*INSPECT, "--dim", "N=2")),
        then=(*AFTERWARDS, ((*SOLVE, "slice-graph"), ("split", "{in}", "{dir}/out.json", "-o", "{dir}/stages"))),
        often=0.04,
        structured=mutate_onnx,
        textual=False,
    ),
    "dnn-partitioning": Surface(
        bases=("partitioning.json",), share=9, commands=READ, then=AFTERWARDS, often=0.04, structured=mutate_json
    ),
    "pipedream": Surface(bases=("pipedream.graph.txt",), share=8, commands=TRAINING, then=AFTERWARDS, often=0.04),
    "tensorflow-cost-graph": Surface(bases=("cost.pbtxt",), share=8, commands=READ, then=AFTERWARDS, often=0.04),
    "networkx": Surface(bases=("network.json",), share=4, commands=(("@networkx", "{in}"),), structured=mutate_json),
    "result": Surface(
        bases=RESULTS,
        share=18,
        commands=(
            ("verify", "{in}"),
            ("verify", "{in}", "--json"),
            ("verify", "{in}", "--graph", "native.graph.json"),
            ("convert", "{in}", "--to", "html", "-o", "{dir}/page.html"),
            ("convert", "{in}", "--to", "dot"),
            ("convert", "{in}", "--to", "device-map"),
            ("convert", "{in}", "--to", "onnx", "--model", "plain.onnx", "-o", "{dir}/staged.onnx"),
            ("split", "plain.onnx", "{in}", "-o", "{dir}/stages"),
            (
                "solve",
                "plain.onnx",
                "-k",
                "2",
                "--no-presolve",
                "--budget",
                "3s",
                "--with",
                "simple",
                "--start",
                "{in}",
            ),
            ("solve", "priced.graph.json", "-k", "2", "--budget", "3s", "--with", "simple", "--start", "{in}"),
        ),
        structured=mutate_json,
    ),
    "split": Surface(
        bases=("layers.csv", "layers.device-map.json", "layers.parts.json", "layers.vllm.txt", "layers.megatron.txt"),
        share=5,
        commands=(("judge", "layers.graph.json", "--split", "{in}", "--with", "simple", "--budget", "3s"),),
    ),
    "manifest": Surface(
        bases=("stages/manifest.json",),
        share=7,
        commands=(
            ("@manifest", "{in}"),
            ("@manifest", "{in}"),
            ("pipeline", "{dir}", "--items", "1", "--rounds", "1", "--no-naive"),
            ("split", "plain.onnx", "result-plain.json", "-o", "{dir}"),
        ),
        structured=mutate_json,
    ),
    "study": Surface(
        bases=("study.toml",), share=5, commands=(("study", "run", "{in}", "--dry-run"),), structured=mutate_toml
    ),
    "store": Surface(
        bases=("store.sqlite",),
        share=5,
        commands=(
            ("study", "report", "{in}"),
            ("study", "report", "{in}", "--all", "--json"),
            ("study", "status", "{in}"),
            ("study", "export", "{in}", "{dir}/runs.csv"),
            ("study", "export", "{in}", "--results", "{dir}/results"),
            ("study", "report", "{in}", "--html", "{dir}/page.html", "--latex", "{dir}/table.tex"),
        ),
        textual=False,
    ),
    "device": Surface(
        bases=("device.toml",),
        share=3,
        commands=(("inspect", "plain.onnx", "--budget", "5s", "--max-ideals", "100", "--device", "{in}"),),
        structured=mutate_toml,
    ),
    "texts": Surface(bases=(), share=5, commands=()),
}

_PATHS = (
    "plain.onnx",
    "native.graph.json",
    "priced.graph.json",
    "pipedream.graph.txt",
    "testbed:none",
    "",
    ".",
    "fifo",
)
_PATHS += ("/dev/zero", "/dev/null", "missing", "a\nb", "[red]", "x" * 300, "result-plain.json", "testbed:bvlc_alexnet")
_TEXTS: dict[str, tuple[str, ...]] = {
    "--bandwidth": ("16GB", "1e9", "16 GiB", "8Gbit", "0", "-1", "nan", "1e400", "inf", "16", "16XB", "1_0MB", "٣GB"),
    "--link-latency": ("5us", "0", "1e-6", "2 \u00b5s", "-1us", "nan", "1e400", "5xs", "1h", ""),
    "--kv-tokens": ("4096", "8*4096", "0", "-1", "*", "1e3", "9*9*9", "99999999999999999999"),
    "--fast-memory": ("8MB", "0", "1e30GB", "-5MB", "MB"),
    "--device": ("reference", "[red]", "x.toml", "", "a\nb"),
    "--format": ("onnx", "native", "ONNX", "", "[/]"),
    "--dim": ("N=2", "N", "=", "N=-1", "N=1e3", "N=99999999999999999999", "N=²", "[red]=1", "N=0", "=3"),
}
_SOLVE_TEXTS: dict[str, tuple[str, ...]] = _TEXTS | {
    "-k": ("1", "2", "0", "-1", "99999999999", "2.5", "x", "1e3", "300"),
    "--gap": ("0", "-1", "nan", "inf", "1e-400", "x"),
    "--memory": ("1GB", "0", "-1", "1e40", "x"),
    "--seed": ("0", "-1", "99999999999999999999", "x"),
    "--workers": ("1", "0", "-1", "2"),
    "--same-stage": ("a,b", "a", ",", "a,a", "[red],b", "a,zz"),
    "--no-cut": ("a", "zz", "", "[red]"),
    "--pin": ("a=0", "a=9", "a", "=", "=0", "a=-1", "a=²", "[red]=0", "a=99999999999999999999"),
    "--memory-limit": ("1", "0", "1GB", "-1", "nan", "1e30"),
    "--start": ("result-plain.json", "missing", ".", "plain.onnx", "/dev/zero", "fifo"),
    "--plot": ("x.svg", "x.bmp", "/nowhere/x.svg", "."),
    "-o": ("out.json", ".", "/nowhere/out.json", "plain.onnx/x"),
    "--plugin": ("missing.py", "plain.onnx", ".", "device.toml"),
    "--with": (
        "simple",
        "simple:",
        "simple:x=1",
        "nope",
        "",
        "default:",
        "ideal-dp:max_ideals=-1",
        "ideal-dp:max_ideals=1e9",
        "slice-graph:random_orders=99999999999999999999",
        "bisection:over=nope",
        "bisection:over=simple",
        "bisection:over=",
        "[red]",
        "a\nb",
        "sdp:max_nodes=nan",
        "core-fluid:tolerance=inf",
    ),
}


def mutated_text(rng: Random) -> list[str]:
    """Return the arguments of a command with one or several odd texts."""
    name = rng.choice(("inspect", "inspect", "solve", "recommend", "compare", "verify", "split", "study", "list"))
    path = rng.choice(_PATHS) if rng.random() < 0.4 else rng.choice(_PATHS[:4])
    if name == "verify":
        return [name, rng.choice((*RESULTS, path)), *(("--graph", path) if rng.random() < 0.5 else ())]
    if name == "split":
        return [
            name,
            path,
            rng.choice(RESULTS),
            "-o",
            rng.choice(("{dir}/s", "plain.onnx", "")),
            "--dim",
            _text(rng, "--dim"),
        ]
    if name == "study":
        return [
            name,
            rng.choice(("report", "status", "run", "export")),
            path,
            *(("x.csv",) if rng.random() < 0.5 else ()),
        ]
    if name == "list":
        return [name, _odd_text(rng)]
    texts = _TEXTS if name == "inspect" else _SOLVE_TEXTS
    arguments = [name, path, "--budget", rng.choice(("1s", "1s", "500ms", "0", "-1s", "1e-9s", "nan", "s"))]
    if name != "inspect":
        k = {"solve": "2", "recommend": rng.choice(("1..2", "2..1", "0", "x", "1..99999999")), "compare": "2"}[name]
        arguments += ["-k", k, "--with", "simple"]
        if name == "recommend":
            texts = {key: texts[key] for key in (*_TEXTS, "--pin", "--memory-limit", "--memory", "--with", "--seed")}
        if name == "compare":
            texts = {key: texts[key] for key in (*_TEXTS, "--memory", "--with", "--seed", "-o")}
    for option in rng.sample(sorted(texts), rng.randint(1, 3)):
        arguments += [option, _text(rng, option)]
    return arguments


def _text(rng: Random, option: str) -> str:
    text = rng.choice(_SOLVE_TEXTS[option])
    if rng.random() < 0.2:
        text = mutate_bytes(rng, text.encode()).decode("utf-8", "replace").replace("\x00", "0")
    return text if rng.random() < 0.9 else _odd_text(rng)


def _odd_text(rng: Random) -> str:
    return str(rng.choice(ODD_VALUES)).replace("\x00", "0").encode("utf-8", "replace").decode()


def mutate(rng: Random, surface: Surface, data: bytes, scratch: Path) -> bytes:
    """Return a mutated copy of a sound input."""
    kind = rng.random()
    for magic, module in ((b"\x1f\x8b", gzip), (b"\xfd7zXZ", lzma)):
        if data.startswith(magic):
            inner = surface.structured(rng, module.decompress(data))
            return module.compress(inner) if kind < 0.6 else mutate_bytes(rng, data)
    if data.startswith(b"SQLite"):
        return mutate_sqlite(rng, data, scratch) if kind < 0.8 else mutate_bytes(rng, data)
    if kind < 0.6:
        return surface.structured(rng, data)
    if kind < 0.75 or not surface.textual:
        return mutate_bytes(rng, data)
    return mutate_text(rng, data) if kind < 0.93 else mutate_encoding(rng, data)


def place(surface: str, base: str, data: bytes, inputs: Path, folder: Path) -> Path:
    """Write a mutated input where its commands look for it, and return its path."""
    if surface == "manifest":
        for stage in (inputs / "stages").iterdir():
            shutil.copy(stage, folder / stage.name)
    if surface == "study":
        for graph in inputs.glob("*.graph.json"):
            shutil.copy(graph, folder / graph.name)
    path = folder / Path(base).name
    path.write_bytes(data)
    return path
