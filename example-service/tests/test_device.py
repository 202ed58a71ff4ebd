"""What the CPU is told: who computes, and who goes first."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
import torch

from rag_service.device import prepare_cpu
from running import Running, process_environment

linux = pytest.mark.skipif(sys.platform != "linux", reason="priorities of threads are Linux's")


@linux
def test_the_computing_thread_stands_behind_the_event_loop(service: Running) -> None:
    [device] = {t.native_id for t in threading.enumerate() if t is service.runtime._device._thread}
    [loop] = {t.native_id for t in threading.enumerate() if t.ident == service.server._loop._thread_id}  # type: ignore[union-attr]
    nice = {name: os.getpriority(os.PRIO_PROCESS, tid) for name, tid in (("device", device), ("loop", loop))}
    assert nice["device"] > nice["loop"]


@pytest.mark.parametrize(("wanted", "threads"), [(0, len(os.sched_getaffinity(0))), (1, 1)])
def test_zero_takes_every_core(wanted: int, threads: int) -> None:
    before = torch.get_num_threads()
    try:
        prepare_cpu(wanted)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_waiting_threads_do_not_spin() -> None:
    script = (
        "from rag_service.models import import_libraries; import_libraries('tiny'); "
        "import os; print(os.environ['OMP_WAIT_POLICY'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=process_environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "passive"
