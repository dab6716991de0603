"""The part of numba's events that is used to see what is compiled."""

from contextlib import AbstractContextManager
from typing import Any

class Event:
    @property
    def data(self) -> dict[str, Any]: ...

class Listener:
    def on_start(self, event: Event) -> None: ...
    def on_end(self, event: Event) -> None: ...

class RecordingListener(Listener):
    buffer: list[tuple[float, Event]]

def register(kind: str, listener: Listener) -> None: ...
def install_recorder(kind: str) -> AbstractContextManager[RecordingListener]: ...
