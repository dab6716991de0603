"""Reports over a pipe: whole or not yet, never broken; the shared state reads back."""

from __future__ import annotations

import os
import threading

import numpy as np

from framework.bounds import Certificate, Reason, Soundness, Termination
from framework.portfolio.processes import wire
from framework.portfolio.processes.shared_state import SharedState


def test_reports_arrive_whole_and_in_order() -> None:
    reader, writer = os.pipe()
    inbox = wire.Inbox(reader)
    stages = np.arange(300_000)
    sent: list[wire.Report] = [
        wire.DualReport(7, Soundness.EXACT, Certificate(kind="simple", data={"a": [1, 2]})),
        wire.PartitionReport(stages),
        wire.EndReport(Termination(reason=Reason.FINISHED), {"n": 3}, 1 << 20),
    ]

    def write() -> None:
        for report in sent:
            wire.send(writer, report)
        os.close(writer)

    thread = threading.Thread(target=write)
    thread.start()
    got: list[wire.Report] = []
    while not inbox.closed:
        got += inbox.receive()
    thread.join()
    assert [type(report) for report in got] == [type(report) for report in sent]
    assert got[0] == sent[0]
    assert isinstance(got[1], wire.PartitionReport)
    assert np.array_equal(got[1].stage_of, stages)
    os.close(reader)


def test_half_a_report_blocks_nobody_and_is_dropped_with_its_sender() -> None:
    reader, writer = os.pipe()
    inbox = wire.Inbox(reader)
    wire.send(writer, wire.ProgressReport("whole"))
    os.write(writer, b"\0\0\0\0\0\0\0\xffhalf")
    assert inbox.receive() == [wire.ProgressReport("whole")]
    assert inbox.receive() == []
    assert not inbox.closed
    os.close(writer)
    assert inbox.receive() == []
    assert inbox.closed
    os.close(reader)


def test_the_shared_state_reads_back() -> None:
    state = SharedState(4)
    assert (state.dual, state.incumbent, state.partition(), state.cancelled) == (None, None, None, False)
    state.publish(5, None)
    assert (state.dual, state.incumbent) == (5, None)
    state.publish(0, 9)
    assert (state.dual, state.incumbent) == (0, 9)
    state.publish_partition(np.array([0, 1, 1, 3]))
    stages = state.partition()
    assert stages is not None
    assert stages.tolist() == [0, 1, 1, 3]
    state.cancel()
    assert state.cancelled
