"""What signals do to a command: end it at once, have it clear away, or have it keep what it has."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from framework import signals
from framework.signals import EXIT_CODE, SIGNALS, Interrupt

LINE = "pipebound: interrupted\n"


@pytest.fixture(autouse=True)
def noted() -> Iterator[list[int]]:
    """Handlers that note what reaches them, instead of those of the test runner."""
    told: list[int] = []
    before = {number: signal.signal(number, lambda number, frame: told.append(number)) for number in SIGNALS}
    yield told
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: int) -> None:
    signal.raise_signal(number)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_watch_notes_a_signal_and_puts_handlers_back(noted: list[int], number: signal.Signals) -> None:
    with Interrupt().watch() as interrupt:
        assert not interrupt.happened
        send(number)
        assert interrupt.happened
    assert not noted
    send(number)
    assert noted == [number]


def test_a_second_signal_does_what_it_did_before(noted: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    with Interrupt().watch() as interrupt:
        send(signal.SIGINT)
        send(signal.SIGTERM)
        assert not noted, "sent twice at once, as by `timeout`, it is one"
        monkeypatch.setattr(signals, "SAME_SECONDS", -1.0)
        send(signal.SIGINT)
        assert noted == [signal.SIGINT]
        assert interrupt.happened


def test_nested_watches_tell_the_outer_ones(noted: list[int]) -> None:
    with Interrupt().watch() as outer:
        with Interrupt().watch() as inner, inner.watch():
            send(signal.SIGHUP)
        assert inner.happened
        assert outer.happened
        with outer.watch():
            assert outer.happened
    assert not noted


def test_a_watch_from_the_begin_on(noted: list[int]) -> None:
    with Interrupt().watch(from_begin=True) as interrupt:
        send(signal.SIGTERM)
        assert noted == [signal.SIGTERM]
        assert not interrupt.happened
        with interrupt.watch():
            pass
        send(signal.SIGTERM)
        assert interrupt.happened
    assert noted == [signal.SIGTERM]


def test_who_ignores_hang_ups_goes_on() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Interrupt().watch() as interrupt:
        send(signal.SIGHUP)
        assert not interrupt.happened
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def run(code: str) -> subprocess.CompletedProcess[str]:
    text = "import os, signal, sys, time\nfrom framework.signals import *\nfrom framework import signals\n" + code
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False)


def test_what_is_held_arrives_afterwards() -> None:
    # In a process of its own: here, another thread of the test runner may take the signal.
    done = run(
        "noted = []\n"
        "signal.signal(signal.SIGINT, lambda *_: noted.append(1))\n"
        "with held():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    early = list(noted)\n"
        "print(early, noted)"
    )
    assert (done.returncode, done.stdout) == (0, "[] [1]\n")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_command_line_ends_at_once(number: signal.Signals) -> None:
    done = run(f"end_at_signals()\nos.kill(os.getpid(), {int(number)})\ntime.sleep(60)")
    assert (done.returncode, done.stderr) == (EXIT_CODE, LINE)


def test_a_command_line_clears_away_once() -> None:
    done = run(
        "end_at_signals()\n"
        "try:\n"
        "    with unwinding():\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        time.sleep(60)\n"
        "except Interrupted:\n"
        "    print('cleared away', flush=True)\n"
        "signals.SAME_SECONDS = -1\n"
        "with unwinding():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(60)\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (EXIT_CODE, "cleared away\n", LINE)


def test_a_second_signal_ends_a_run_that_is_ending() -> None:
    done = run(
        "end_at_signals()\n"
        "with Interrupt().watch():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    signals.SAME_SECONDS = -1\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(60)\n"
    )
    assert (done.returncode, done.stderr) == (EXIT_CODE, LINE)


def test_a_command_that_is_done_has_its_exit_code() -> None:
    done = run("end_at_signals()\ncommand_is_done(3)\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)")
    assert (done.returncode, done.stderr) == (3, "")


def test_ctrl_c_during_the_first_imports_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[object] = []
    monkeypatch.setattr(os, "write", lambda descriptor, text: ended.append((descriptor, text)))
    monkeypatch.setattr(os, "_exit", ended.append)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        importlib.reload(importlib.import_module("framework.__main__"))
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended == [(2, b"pipebound: interrupted\n"), 130]
