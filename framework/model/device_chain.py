"""Device chains: a pipeline whose stages run on different devices, in a fixed order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

from framework.errors import UserError
from framework.fields import Fields
from framework.model.device import Device, load_device, read_device, read_table
from framework.model.instance import MAX_STAGES

_COUNTED = re.compile(r"\s*(?:(\d+)\s*\*)?\s*(.+?)\s*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceChain:
    """The devices of a pipeline, one for each stage.

    Attributes
    ----------
    devices
        In the order of the stages.
    """

    devices: tuple[Device, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.devices) <= MAX_STAGES:
            raise UserError(f"there are {len(self.devices)} devices", hint=f"give 1 to {MAX_STAGES}")
        for other in self.kinds:
            if sum(device.name == other.name for device in self.kinds) > 1:
                raise UserError(f"two different devices are called {other.name}", hint="rename one")

    @property
    def kinds(self) -> tuple[Device, ...]:
        """The different devices, in the order in which they come."""
        return tuple(dict.fromkeys(self.devices))

    @property
    def kind_of_stage(self) -> tuple[int, ...]:
        """The kind of each stage, as a position in `kinds`."""
        place = {device: i for i, device in enumerate(self.kinds)}
        return tuple(place[device] for device in self.devices)

    @property
    def name(self) -> str:
        """What is written on the command line: ``2*edge-tpu,xeon-8380``."""
        runs = [(name, len(list(run))) for name, run in groupby(device.name for device in self.devices)]
        return ",".join(name if count == 1 else f"{count}*{name}" for name, count in runs)

    def override(
        self,
        *,
        link_bandwidth: float | None = None,
        link_latency: float | None = None,
        fast_memory: float | None = None,
        activations: bool | None = None,
    ) -> DeviceChain:
        """Return the chain with the given figures replaced on every device."""
        changed = {
            device: device.override(
                link_bandwidth=link_bandwidth,
                link_latency=link_latency,
                fast_memory=fast_memory,
                activations=activations,
            )
            for device in self.kinds
        }
        return DeviceChain(devices=tuple(changed[device] for device in self.devices))

    def as_dict(self) -> dict[str, Any]:
        """Return the figures of each kind, and the kind of each stage, for a result file."""
        return {"stages": list(self.kind_of_stage), "kinds": [device.as_dict() for device in self.kinds]}


Devices: TypeAlias = Device | DeviceChain
"""What prices a graph: the same device for every stage, or one for each."""


def figures_only(devices: Devices | None) -> Devices | None:
    """Return devices without the words on where their figures are published: what prices a graph, and their names."""
    if isinstance(devices, DeviceChain):
        return DeviceChain(devices=tuple(replace(device, source="") for device in devices.devices))
    return None if devices is None else replace(devices, source="")


def device_of_stage(devices: Devices, stage: int) -> Device:
    """Return the device that a stage runs on."""
    return devices.devices[stage] if isinstance(devices, DeviceChain) else devices


def chain_of(devices: Sequence[Device]) -> Devices:
    """Return the chain of these devices; the device itself where all are the same."""
    return devices[0] if len(set(devices)) == 1 else DeviceChain(devices=tuple(devices))


def load_devices(text: str) -> tuple[Devices, int | None]:
    """Return the devices that a text names, and their number; None where it names one for any number of stages.

    Parameters
    ----------
    text
        Presets and ``.toml`` files with commas between them, each with a count where there are several:
        ``2*edge-tpu,mine.toml``. A single ``.toml`` file may hold such names in a list, its field ``devices``; other
        files are looked for beside it.

    Raises
    ------
    UserError
        As `load_device`; for a count that is none; for too many devices.
    """
    parts, folder = text.split(","), Path()
    listed = len(parts) > 1 or "*" in text
    if not listed and Path(text).suffix == ".toml":
        table = read_table(Path(text))
        if table.has("devices"):
            parts, listed, folder = table.texts("devices"), True, Path(text).parent
            table.finish()
    if not listed:
        return load_device(text), None
    devices: list[Device] = []
    for part in parts:
        match = _COUNTED.fullmatch(part)
        count = int(match[1] or 1) if match and len(match[1] or "") < 7 else 0
        if match is None or not count:
            raise UserError(f"cannot read the devices {text!r}", hint="write 2*edge-tpu,xeon-8380")
        if len(devices) + count > MAX_STAGES:
            raise UserError(f"{text!r} names more than {MAX_STAGES} devices", hint="name fewer")
        name = match[2]
        devices += [load_device(str(folder / name) if name.endswith(".toml") else name)] * count
    return chain_of(devices), len(devices)


def read_devices(fields: Fields) -> Devices:
    """Return what `DeviceChain.as_dict` or `Device.as_dict` wrote.

    Raises
    ------
    UserError
        If it is something else.
    """
    if not fields.has("kinds"):
        return read_device(fields)
    kinds = [read_device(row) for row in fields.rows("kinds")]
    stages = fields.integer_list("stages", least=0, most=len(kinds) - 1)
    fields.finish()
    try:
        chain = DeviceChain(devices=tuple(kinds[kind] for kind in stages))
    except UserError as error:
        raise UserError(error.what, where=fields.where(), hint=error.hint) from None
    if list(chain.kinds) != kinds:
        raise fields.error("kinds", "they are not the devices of the stages, in their order")
    return chain


def kinds_of(devices: Devices) -> tuple[Device, ...]:
    """Return the different devices, in the order in which they come."""
    return devices.kinds if isinstance(devices, DeviceChain) else (devices,)
