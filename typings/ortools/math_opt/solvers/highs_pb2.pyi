from collections.abc import Mapping

class HighsOptionsProto:
    def __init__(self, *, int_options: Mapping[str, int] = ..., string_options: Mapping[str, str] = ...) -> None: ...
