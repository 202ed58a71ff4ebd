"""The program in this process, where a process of its own would cost a hundred times what it does."""

from __future__ import annotations

import contextlib
import io
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from ecs_gpu_deploy.cli import main


def run_here(arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> tuple[int, str]:
    """Run the program in *folder* with that environment only; return the exit code and what it printed.

    Environment, folder and signals are then as before.
    """
    shown, before = io.StringIO(), dict(os.environ)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    os.environ.clear()
    os.environ.update(environment)
    try:
        with (
            contextlib.chdir(folder),
            contextlib.redirect_stdout(shown),
            contextlib.redirect_stderr(shown),
        ):
            code = main(arguments)
    finally:
        os.environ.clear()
        os.environ.update(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return code, shown.getvalue()
