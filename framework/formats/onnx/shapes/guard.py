"""Shape inference in a process of its own: the onnx library can crash, and cannot be interrupted.

A damaged attribute can end the process that infers (a failed assertion in native code), and some shapes take all memory
or all time. A forked child infers within limits and hands the result back; the parent stays alive, obeys its deadline
and Ctrl-C, and reports one line.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import select
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import NoReturn

import onnx
from onnx import shape_inference

from framework.errors import UserError
from framework.input_files import remaining_seconds

MORE_BYTES = 6 << 30
"""Memory that inference may take beyond what the process has."""

MOST_SECONDS = 900.0
"""Time that inference may take where there is no budget."""

_THREADED = frozenset({"onnxruntime", "ortools", "torch"})
"""Libraries whose threads live on, and may hold locks at any time."""

_CHUNK = 1 << 20


def guarded(infer: Callable[[], tuple[list[str], onnx.ModelProto]], where: str) -> tuple[list[str], onnx.ModelProto]:
    """Return what `infer` returns, computed in a forked child.

    Where other threads run, of Python or of a library that keeps its own, a fork might copy a lock that one of them
    holds, and the child would wait for ever: there it is computed here.

    Raises
    ------
    UserError
        If `infer` raises one, inference fails, or the child crashes or exceeds its limits.
    """
    if threading.active_count() > 1 or not _THREADED.isdisjoint(sys.modules):
        return _failing_clearly(infer, where)
    left = remaining_seconds()
    seconds = MOST_SECONDS if left is None else max(left, 0.05)
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Threads of numpy's algebra are no danger: the child calls none of it.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        os.close(reader)
        _answer(infer, where, writer)
    os.close(writer)
    answer = status = None
    try:
        answer = _received(reader, time.monotonic() + seconds)
    finally:
        os.close(reader)
        if answer is None:
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
    if answer is None:
        hint = "give a larger `budget`" if left is not None else "the model is too large, or damaged"
        raise UserError(f"shape inference takes more than {seconds:.3g} s", where=where, hint=hint)
    if status or not answer:
        raise UserError(
            f"shape inference crashed, or took more than {MORE_BYTES >> 30} GiB of memory",
            where=where,
            hint="the model is damaged: check it with onnx.checker",
        )
    return _unpacked(answer)


def _failing_clearly(
    infer: Callable[[], tuple[list[str], onnx.ModelProto]], where: str
) -> tuple[list[str], onnx.ModelProto]:
    try:
        return infer()
    except (shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError, ValueError, TypeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"shape inference fails: {reason}", where=where, hint="check the model with onnx.checker"
        ) from None
    except MemoryError:
        raise UserError("there is not enough memory for shape inference", where=where) from None


def _answer(infer: Callable[[], tuple[list[str], onnx.ModelProto]], where: str, writer: int) -> NoReturn:
    """Infer, write the answer and end: without anything that the parent would do at its end, whatever happens."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        # What native code says of a failed assertion, or where, helps nobody.
        faulthandler.disable()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        _limit_memory()
        try:
            symbols, model = _failing_clearly(infer, where)
            answer = b"M" + json.dumps(symbols).encode() + b"\n" + model.SerializeToString()
        except UserError as error:
            answer = b"E" + json.dumps([error.what, error.where, error.hint]).encode()
        view = memoryview(answer)
        while view:
            view = view[os.write(writer, view[:_CHUNK]) :]
        os._exit(0)
    finally:
        os._exit(1)


def _limit_memory() -> None:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            held = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        # Not everywhere does a process see what it holds: then only time is limited.
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limits = [limit for limit in (held + MORE_BYTES, soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(limits), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _received(reader: int, deadline: float) -> bytes | None:
    """Read until the child ends; None at the deadline."""
    chunks: list[bytes] = []
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reader], [], [], left)[0]:
            return None
        chunk = os.read(reader, _CHUNK)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)


def _unpacked(answer: bytes) -> tuple[list[str], onnx.ModelProto]:
    if answer[:1] == b"E":
        what, where, hint = json.loads(answer[1:])
        raise UserError(what, where=where, hint=hint)
    symbols, _, encoded = answer[1:].partition(b"\n")
    return json.loads(symbols), onnx.load_model_from_string(encoded)
