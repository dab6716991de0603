"""Reading a user's files within bounds: regular files only, up to a size, unpacked up to the same size, in time.

A pipe that nobody writes to, a device without an end, or a few kilobytes that unpack to gigabytes would otherwise hang
the program or eat the machine's memory. Every reader of a user's file takes its bytes from here.
"""

from __future__ import annotations

import gc
import io
import lzma
import os
import stat
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from framework.errors import UserError
from framework.units import parse_bytes

LIMIT_VARIABLE = "PIPEBOUND_MAX_INPUT"
"""Environment variable that holds the size limit; ``pipebound --max-input`` sets it, child processes inherit it."""

DEFAULT_LIMIT = 4 * 10**9
"""Bytes; a protobuf file ends at 2 GB, and a graph of a million nodes is about 0.2 GB of JSON."""

SUSPECT_BYTES, SUSPECT_RATIO = 10**8, 400
"""Packed data that grows beyond both is refused while no limit is given: graphs are packed 10 to 100 times."""

_CHUNK = 1 << 20
READING_SHARE = 0.7
"""Part of a budget that reading may take: what follows even if nothing is searched (pricing, checking, writing the
result) takes 0.45 times as long on a graph of a million nodes."""
_LEAST_SECONDS = 2.0
_XZ_MEMORY = 1 << 30
_KINDS: tuple[tuple[Callable[[int], bool], str, str], ...] = (
    (stat.S_ISDIR, "this is a directory", "give the file itself"),
    (stat.S_ISFIFO, "this is a pipe", "write its content to a file first"),
    (stat.S_ISSOCK, "this is a socket", "give a file"),
    (stat.S_ISCHR, "this is a device", "give a file"),
    (stat.S_ISBLK, "this is a device", "give a file"),
)

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def reading_deadline(started: float, budget: float) -> float:
    """Return until when a run of a budget that began at `started` may read: a small file is read in any case.

    What passed before (imports on a busy machine) would otherwise end the run before its input was opened.
    """
    return max(
        started + READING_SHARE * budget, time.monotonic() + max(_LEAST_SECONDS, min(budget, 2 * _LEAST_SECONDS))
    )


@contextmanager
def reading_until(deadline: float | None) -> Iterator[None]:
    """Let `check_deadline` fail from `deadline` on, a time of `time.monotonic`; None sets no deadline."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the cyclic garbage collector: a reader makes millions of objects, all in use, and no cycles of them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def remaining_seconds() -> float | None:
    """Return the time that is left to read in; None without a deadline."""
    deadline = _deadline.get()
    return None if deadline is None else deadline - time.monotonic()


def check_deadline(where: str) -> None:
    """Refuse to read on once the deadline has passed; readers ask it in their long loops.

    Raises
    ------
    UserError
        If it has.
    """
    left = remaining_seconds()
    if left is not None and left <= 0:
        raise UserError("the budget ended while this was read", where=where, hint="give a larger `budget`")


def size_limit() -> int:
    """Return the most bytes that a file may have, packed or unpacked."""
    text = os.environ.get(LIMIT_VARIABLE)
    if text is None:
        return DEFAULT_LIMIT
    limit = parse_bytes(text)
    if not 1 <= limit < 1 << 62:
        raise UserError(f"{text!r} is no size limit", where=LIMIT_VARIABLE, hint="give a size such as 16GB")
    return int(limit)


def head_of_large(path: str | os.PathLike[str], size: int, count: int) -> bytes:
    """Return the first bytes of a file of more than `size`; nothing of any other, or of what is no regular file."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode) or os.stat(path).st_size <= size:
            return b""
        with open(path, "rb") as file:
            return file.read(count)
    except (OSError, ValueError):
        return b""


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Return the content of a regular file.

    Raises
    ------
    UserError
        If it is missing, is no regular file, is larger than `size_limit`, or cannot be read in time.
    """
    where = os.fspath(path)
    try:
        # A look first: opening some devices already does something.
        _check_regular(os.stat(path).st_mode, where)
        # Without O_NONBLOCK, a pipe that was put there meanwhile would wait for its writer.
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            found = os.fstat(file.fileno())
            _check_regular(found.st_mode, where)
            if found.st_size > size_limit():
                raise _too_large(f"{found.st_size} bytes are", where, found.st_size)
            return _collect(lambda: file.read(_CHUNK), where, size_limit(), "the file is")
    except FileNotFoundError:
        raise UserError("there is no such file", where=where) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"cannot be read: {reason}", where=where) from None


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return the content of a file, unpacked if it is gzipped or an xz file, whatever it is called.

    Raises
    ------
    UserError
        As `read_file`, or if the packed data is damaged or unpacks to more than `size_limit`.
    """
    data, where = read_file(path), os.fspath(path)
    for kind, (magic, unpacked) in _PACKED.items():
        if data.startswith(magic):
            chunks = unpacked(data)
            limit = size_limit()
            said = f"the {kind} data unpacks to"
            if LIMIT_VARIABLE not in os.environ:
                limit = min(limit, max(SUSPECT_BYTES, SUSPECT_RATIO * len(data)))
            try:
                return _collect(lambda chunks=chunks: next(chunks, b""), where, limit, said)  # type: ignore[misc]
            except (EOFError, OSError, zlib.error, lzma.LZMAError, MemoryError) as error:
                raise UserError(
                    f"the {kind} data is damaged: {error}",
                    where=where,
                    hint="fetch or write the file again; it may be cut off",
                ) from None
    return data


def read_text(path: str | os.PathLike[str]) -> str:
    """Return the content of a UTF-8 text file, with or without a byte order mark, unpacked.

    Raises
    ------
    UserError
        As `read_bytes`, or if it is no such text.
    """
    return decode_text(read_bytes(path), os.fspath(path))


def decode_text(data: bytes, where: str) -> str:
    """Decode UTF-8, with or without a byte order mark."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"not UTF-8 text (byte {error.start})", where=where, hint="give a text file, encoded as UTF-8"
        ) from None


def check_is_regular(path: str | os.PathLike[str]) -> None:
    """Refuse what is no regular file, for readers that open a file themselves; a missing one is left to them."""
    if Path(path).exists():
        _check_regular(os.stat(path).st_mode, os.fspath(path))


def _check_regular(mode: int, where: str) -> None:
    for is_kind, what, hint in _KINDS:
        if is_kind(mode):
            raise UserError(what, where=where, hint=hint)


def _collect(more: Callable[[], bytes], where: str, limit: int, said: str) -> bytes:
    # Its value is handed over without a copy.
    collected = io.BytesIO()
    while chunk := more():
        if collected.tell() + len(chunk) > limit:
            raise _too_large(f"{said} more than {limit} bytes", where, limit)
        collected.write(chunk)
        check_deadline(where)
    return collected.getvalue()


def _too_large(what: str, where: str, size: int) -> UserError:
    more = "more than the limit" if what.endswith("are") else ""
    gigabytes = -(-2 * size // 10**9)
    return UserError(f"{what} {more}".strip(), where=where, hint=f"if it is meant: `{LIMIT_VARIABLE}={gigabytes}GB`")


def _gunzipped(data: bytes) -> Iterator[bytes]:
    import gzip

    with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def _unxzed(data: bytes) -> Iterator[bytes]:
    rest = data
    while rest:
        # A few bytes may demand a dictionary of gigabytes.
        decompressor = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
        chunk = decompressor.decompress(rest, _CHUNK)
        while True:
            if chunk:
                yield chunk
            if decompressor.eof:
                break
            if decompressor.needs_input:
                raise EOFError("it ends too early")
            chunk = decompressor.decompress(b"", _CHUNK)
        # Zero bytes may follow a stream, and so may another stream.
        rest = decompressor.unused_data.lstrip(b"\0")


_PACKED: dict[str, tuple[bytes, Callable[[bytes], Iterator[bytes]]]] = {
    "gzip": (b"\x1f\x8b", _gunzipped),
    "xz": (b"\xfd7zXZ\x00", _unxzed),
}
