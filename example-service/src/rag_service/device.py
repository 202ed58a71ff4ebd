"""Own the device: one thread that computes, and the meaning of what it raises.

One GPU has room for one copy of the models, so there is one worker process with one computing thread; the
event loop beside it stays free to answer /health.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import queue
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, TypeVar

T = TypeVar("T")
Kind = Literal["cuda", "cpu"]
_KEEP_FREED_MEMORY = {
    -1: 1 << 30,  # M_TRIM_THRESHOLD: what may lie unused at the top of a heap
    -2: 1 << 26,  # M_TOP_PAD: the size of a thread's heap, so that an empty one is not unmapped
    -3: 1 << 30,  # M_MMAP_THRESHOLD: larger blocks have a mapping of their own, which ends with them
}
_NICE = 5
_MADV_PAGEOUT = 21


class Fault(StrEnum):
    """Tell apart what can be retried smaller, what never heals, and what is this input's own fault."""

    OUT_OF_MEMORY = "out of memory"
    STICKY = "sticky"
    INPUT = "input"


_OUT_OF_MEMORY = (
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "can't allocate memory",
)
_STICKY = (
    "CUDA error",
    "device-side assert",
    "CUBLAS_STATUS_EXECUTION_FAILED",
    "CUDNN_STATUS_EXECUTION_FAILED",
)


def fault_of(error: BaseException) -> Fault:
    """Classify what a computation raised, by type name and text, so that torch need not be imported.

    After an asynchronous CUDA error (illegal memory access, device-side assert) the process's context is
    corrupt and every later call fails too: "CUDA error: …", torch.AcceleratorError (CUDA C++ Programming
    Guide, "Error Checking"). Running out of memory is not one of them.
    """
    text = str(error)
    name = type(error).__name__
    if isinstance(error, MemoryError) or name == "OutOfMemoryError" or any(w in text for w in _OUT_OF_MEMORY):
        return Fault.OUT_OF_MEMORY
    if name == "AcceleratorError" or any(words in text for words in _STICKY):
        return Fault.STICKY
    return Fault.INPUT


class DeviceThread:
    """Run jobs one after the other on one daemon thread.

    Not a ThreadPoolExecutor: its threads are joined at exit, and SIGTERM during a two-minute load must not
    wait for the load.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="device", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], T]) -> Future[T]:
        """Queue a job; what it raises is the future's."""
        future: Future[T] = Future()
        self._jobs.put((future, job))
        return future

    def close(self, *, timeout: float) -> bool:
        """Ask the thread to end after the jobs it has; tell whether it did within `timeout` seconds."""
        self._jobs.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (entry := self._jobs.get()) is not None:
            future, job = entry
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = job()
            except BaseException as error:  # noqa: BLE001 - handed to whoever awaits the future
                future.set_exception(error)
            else:
                future.set_result(result)
            # A traceback kept here would keep the batch's tensors on the GPU until the next job.
            del entry, future, job


async def touch(
    device: DeviceThread, compute: Callable[[], object], *, patience: float
) -> BaseException | None:
    """Compute once; give what shows that the device is lost to this process, None where it answers.

    A GPU that fell off the bus raises, one that hangs says nothing: then the thread that owns it gives no
    answer within `patience` seconds. Memory that is full for the moment is no loss.
    """
    computing = asyncio.wrap_future(device.submit(compute))
    done, _ = await asyncio.wait({computing}, timeout=patience)
    if not done:
        computing.cancel()
        return TimeoutError(f"It has computed nothing for {patience:g} s.")
    error = computing.exception()
    return error if error is not None and fault_of(error) is Fault.STICKY else None


def choose_device(wanted: Literal["auto", "cuda", "cpu"], *, allow_cpu: bool) -> Kind | None:
    """Pick the device, None when there is no GPU and the CPU was not allowed. Imports torch."""
    import torch

    if wanted != "cpu" and torch.cuda.is_available():
        return "cuda"
    return "cpu" if allow_cpu and wanted != "cuda" else None


def prepare_cpu(threads: int) -> None:
    """Set torch's CPU threads, 0 for every core of the process, and keep freed memory for the next batch.

    glibc gives the memory of large tensors back to the system at once: a batch of 32 questions then begins
    with thousands of page faults, up to a tenth of its time (mallopt(3)).
    """
    import torch

    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, size in _KEEP_FREED_MEMORY.items():
            mallopt(parameter, size)


def page_out_weights() -> None:
    """Tell Linux that the mapped files of weights are not read again; what is, comes back (madvise(2)).

    A layer that was converted has left them, and half of them would stay in memory for nothing.
    """
    if sys.platform != "linux":
        return
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(".safetensors"):
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            madvise(start, end - start, _MADV_PAGEOUT)


def multiplies_bf16() -> bool:
    """Tell whether the CPU has matrix units for bfloat16 (Intel AMX); elsewhere bfloat16 is slower."""
    import torch

    return bool(torch.cpu.get_capabilities().get("amx_bf16"))


def step_behind_the_event_loop() -> None:
    """Give the calling thread, and those that torch starts from it, a lower priority than the event loop.

    All cores compute, and whoever asks /health is still served at once. On Linux a thread has a priority of
    its own (setpriority(2), "C library/kernel differences").
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


def free_cached_memory() -> None:
    """Give PyTorch's cached blocks back before a smaller batch is tried."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def gpu_memory() -> dict[str, int]:
    """Read the GPU's memory in bytes: allocated, reserved, total; empty where there is no GPU or no torch.

    Called from the event loop while the loader may still be importing torch, so it must not import it.
    """
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is None or not getattr(cuda, "is_initialized", bool)():
        return {}
    return {
        "allocated": int(cuda.memory_allocated()),
        "reserved": int(cuda.memory_reserved()),
        "total": int(cuda.get_device_properties(0).total_memory),
    }
