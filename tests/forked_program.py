"""The program as real processes, forked from one that has imported it: each begins within milliseconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SERVER = """
import json, os, random, sys, traceback
from ecs_gpu_deploy import cli
import ecs_gpu_deploy.run

for line in sys.stdin:
    asked = json.loads(line)
    if "wait" in asked:
        print(os.waitstatus_to_exitcode(os.waitpid(asked["wait"], 0)[1]), flush=True)
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
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forked:
    """A process of the program: its pid, and the file that its output goes to."""

    pid: int
    log: Path
    server: ForkingServer

    def wait(self) -> int:
        """Return the exit code, minus the signal's number where one ended it."""
        return int(self.server.ask({"wait": self.pid}))


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


def cpu_count() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))
