"""Lets the torch of PyPI be imported where its CUDA packages, some 3 GB, are not installed.

    python scripts/torch_stubs.py SITE_PACKAGES

torch's own libraries are linked with CUDA's. For each of those that is missing, this writes a library of the same name
beside them, whose functions all return an error: torch then says that it finds no GPU. It takes gcc, nm and readelf,
and some seconds. nvidia-cuda-runtime and nvidia-cuda-cupti, which torch calls when it is imported, must be installed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

# What libraries of the system itself are called; they are not CUDA's.
SYSTEM = re.compile(r"(lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s|gomp[\w.-]*)|ld-linux.*)\.so[.\d]*")
CUDA_NAME = re.compile(r"_*(cu|nccl|nv)")


@dataclass
class Linked:
    """What libraries need of others: names of libraries, and of symbols with the version that they are asked for in."""

    needed: set[str] = field(default_factory=set)
    defined: set[str] = field(default_factory=set)
    asked: dict[str, str] = field(default_factory=dict)
    home: dict[str, str] = field(default_factory=dict)


def lines_of(*command: str | Path) -> list[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout.splitlines()


def inspect(libraries: list[Path]) -> Linked:
    """Return what libraries define and ask for."""
    found = Linked()
    for path in libraries:
        found.defined |= {line.split()[-1].split("@")[0] for line in lines_of("nm", "-D", "--defined-only", path)}
        for line in lines_of("nm", "-D", "--undefined-only", path):
            kind, name = line.split()[-2:]
            if kind == "U":
                plain, _, version = name.partition("@")
                found.asked[plain] = version.lstrip("@")
        found.needed |= set(re.findall(r"\(NEEDED\).*\[(.*)\]", "\n".join(lines_of("readelf", "-d", path))))
        current = ""
        for line in lines_of("readelf", "-V", path):
            if file := re.search(r"File: (\S+)", line):
                current = file.group(1)
            elif (name_of := re.search(r"Name: (\S+)", line)) and current:
                found.home[name_of.group(1)] = current
    return found


def symbols_of(missing: list[str], linked: Linked) -> dict[str, dict[str, list[str]]]:
    """Return the symbols that each missing library should have, by their versions."""
    symbols: dict[str, dict[str, list[str]]] = {name: defaultdict(list) for name in missing}
    for symbol, version in linked.asked.items():
        home = linked.home.get(version)
        if symbol in linked.defined:
            continue
        if home in symbols:
            symbols[home][version].append(symbol)
        elif not version and missing and CUDA_NAME.match(symbol):
            symbols[missing[0]][""].append(symbol)
    return symbols


def write_stub(path: Path, symbols: dict[str, list[str]]) -> None:
    """Compile a library whose functions return an error."""
    with tempfile.TemporaryDirectory() as name:
        source, versions = Path(name) / "stub.c", Path(name) / "stub.map"
        functions = [f"long {symbol}(void) {{ return 100; }}" for group in symbols.values() for symbol in group]
        source.write_text("\n".join(functions) + "\nint nothing;\n")
        named = {version: group for version, group in symbols.items() if version}
        rules = [f"{version} {{ global: {'; '.join(group)}; }};\n" for version, group in named.items()]
        versions.write_text("".join(rules))
        script = [f"-Wl,--version-script={versions}"] if named else []
        options = ["-shared", "-fPIC", "-w", "-fno-builtin", f"-Wl,-soname,{path.name}", *script]
        subprocess.run(["gcc", *options, "-o", str(path), str(source)], check=True)


def main() -> None:
    site = Path(sys.argv[1])
    folder = site / "torch" / "lib"
    own = sorted(folder.glob("*.so*"))
    present = {path.name for path in own} | {path.name for path in (site / "nvidia").rglob("*.so*")}
    linked = inspect(own)
    missing = sorted(name for name in linked.needed - present if not SYSTEM.fullmatch(name))
    for name, symbols in symbols_of(missing, linked).items():
        write_stub(folder / name, symbols)
    print(f"{len(missing)} stubs in {folder}")


if __name__ == "__main__":
    main()
