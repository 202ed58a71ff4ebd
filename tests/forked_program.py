"""The program as real processes, forked from one that has imported it: each begins within milliseconds."""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

_SERVER = """
import importlib, json, os, pkgutil, random, sys, traceback
import boto3
import ecs_gpu_deploy.run
from ecs_gpu_deploy import cli, commands
from ecs_gpu_deploy.core.diagnose import table

table.patterns()
for module in pkgutil.iter_modules(commands.__path__, "ecs_gpu_deploy.commands."):
    importlib.import_module(module.name)
boto3.session.Session("a", "b", region_name="eu-central-1").client("ecs")

for line in sys.stdin:
    asked = json.loads(line)
    if "wait" in asked:
        _, status, usage = os.wait4(asked["wait"], 0)
        print(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss, flush=True)
        continue
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        continue
    code = 97
    try:
        out = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for number in (1, 2):
            os.dup2(out, number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(asked["folder"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        random.seed()
        sys.argv = ["ecs-gpu-deploy", *asked["arguments"]]
        code = cli.main(asked["arguments"])
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process ended: its exit code (minus the signal's number), what it printed, its CPU seconds.

    `peak` is its most resident memory in MB (Linux: ru_maxrss is in KiB).
    """

    code: int
    shown: str
    cpu: float
    peak: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forked:
    """A process of the program: its pid, and the file that its output goes to, with a pipe by `reader`."""

    pid: int
    log: Path
    server: ForkingServer
    reader: threading.Thread | None = None

    def send_signal(self, number: int) -> None:
        """Send a signal; the process is there until `wait`."""
        os.kill(self.pid, number)

    def wait_until_said(self, text: str, timeout: float = 60.0) -> None:
        """Return once it has printed *text*; TimeoutError where it does not."""
        until = time.monotonic() + timeout
        while text not in (said := self.log.read_text(encoding="utf-8") if self.log.exists() else ""):
            if time.monotonic() > until:
                raise TimeoutError(f"it did not say {text!r} but:\n{said}")
            time.sleep(0.02)

    def wait(self, timeout: float = 120.0) -> Ended:
        """Return how it ended; after *timeout* seconds it is killed, and TimeoutError raised."""
        late: list[bool] = []

        def end() -> None:
            late.append(True)
            self.send_signal(signal.SIGKILL)

        watch = threading.Timer(timeout, end)
        watch.start()
        try:
            code, cpu, peak = self.server.ask({"wait": self.pid}).split()
        finally:
            watch.cancel()
        if self.reader is not None:
            self.reader.join(10)
        shown = self.log.read_text(encoding="utf-8", errors="replace")
        if late:
            raise TimeoutError(f"killed after {timeout:.0f} s; it had printed:\n{shown}")
        return Ended(code=int(code), shown=shown, cpu=float(cpu), peak=float(peak) * 1024 / 1e6)


class ForkingServer:
    """A process that has imported the program, and forks itself for each run."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, document: Mapping[str, Any]) -> str:
        """Send a request and return the line that answers it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(document), file=self._process.stdin, flush=True)
        return self._process.stdout.readline()

    def start(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], *, log: Path
    ) -> Forked:
        """Start a run."""
        asked = {
            "arguments": list(arguments),
            "folder": str(folder),
            "environment": dict(environment),
            "log": str(log),
        }
        return Forked(pid=int(self.ask(asked)), log=log, server=self)

    def close(self) -> None:
        """End the server."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


@contextmanager
def forking_server() -> Iterator[ForkingServer]:
    """Give a server that is ended at the end."""
    server = ForkingServer()
    try:
        yield server
    finally:
        server.close()


@contextmanager
def started(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Iterator[Forked]:
    """Give a process of the program in *folder*, forked from this thread's own server.

    It writes into a pipe, as under a runner: no secret is masked in a file.
    """
    with tempfile.TemporaryDirectory() as logs:
        pipe, log = Path(logs) / "pipe", Path(logs) / "log"
        os.mkfifo(pipe)
        log.touch()
        reader = threading.Thread(target=_copy, args=(pipe, log), daemon=True)
        reader.start()
        process = _server().start(arguments, folder, environment, log=pipe)
        yield replace(process, log=log, reader=reader)


def _copy(pipe: Path, log: Path) -> None:
    with pipe.open("rb", buffering=0) as source, log.open("ab", buffering=0) as target:
        while part := source.read(65536):
            target.write(part)


def run_forked(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Ended:
    """Run the program in *folder* to its end."""
    with started(arguments, folder, environment) as process:
        return process.wait()


_of_thread = threading.local()


def _server() -> ForkingServer:
    if not hasattr(_of_thread, "server"):
        _of_thread.server = ForkingServer()
        atexit.register(_of_thread.server.close)
    server: ForkingServer = _of_thread.server
    return server


def cpu_count() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))
