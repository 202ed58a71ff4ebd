"""Run a client in a process group of its own: its output as it comes, and it ends when we are ended."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from ecs_gpu_deploy.core.text import span
from ecs_gpu_deploy.edges.docker.output import Lines, Reading
from ecs_gpu_deploy.errors import InvalidInput

_CHUNK: Final = 65_536
_COLUMNS: Final = 200


def run_client(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    reading: Reading,
    show: Callable[[str], None],
    note_group: Callable[[int | None], None],
    heartbeat: float,
    stdin: str | None = None,
    is_terminal: bool = False,
) -> int:
    """Run *command*, hand each line of its output to *reading*, and return its exit code.

    After *heartbeat* seconds of silence one line says what goes on. With *is_terminal* its output is a
    terminal, where there are such: Docker tells the bytes of a push there only.
    """
    try:
        output, inner = _output(is_terminal=is_terminal)
        process = subprocess.Popen(  # noqa: S603  (a list, no shell)
            list(command),
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=inner,
            stderr=inner,
            env=dict(environment),
            start_new_session=True,
        )
    except OSError as error:
        raise InvalidInput(f"{command[0]} cannot be started: {error.strerror}.") from error
    os.close(inner)
    note_group(process.pid)
    lines = Lines()

    def take(texts: Iterator[str]) -> bool:
        shown = [line for text in texts for line in reading.line(text)]
        for line in shown:
            show(line)
        return bool(shown)

    try:
        _written(process, stdin)
        began = spoke = time.monotonic()
        for data in _chunks(output, seconds=heartbeat):
            if data and take(lines.fed(data)):
                spoke = time.monotonic()
            elif time.monotonic() - spoke >= heartbeat:
                spoke = time.monotonic()
                what = reading.now()
                what = f"{' '.join(command[:2])} goes on, {span(spoke - began)}{': ' if what else ''}{what}"
                show(what)
        take(lines.ended())
        return process.wait()
    except BaseException:
        end_group(process)
        raise
    finally:
        os.close(output)
        note_group(None)


def _output(*, is_terminal: bool) -> tuple[int, int]:
    """Return the descriptor that we read, and the one that the client writes."""
    if is_terminal:
        with contextlib.suppress(ImportError, OSError):
            import fcntl  # noqa: PLC0415  (not on Windows)
            import pty  # noqa: PLC0415
            import termios  # noqa: PLC0415

            outer, inner = pty.openpty()
            fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 50, _COLUMNS, 0, 0))
            return outer, inner
    return os.pipe()


def _written(process: subprocess.Popen[bytes], text: str | None) -> None:
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write((text or "").encode())
            process.stdin.close()


def _chunks(descriptor: int, *, seconds: float) -> Iterator[bytes]:
    """Yield what can be read until the end, and nothing after each *seconds* of silence."""
    if os.name == "nt":  # selectors know only sockets there
        yield from iter(lambda: os.read(descriptor, _CHUNK), b"")
        return
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            if not selector.select(timeout=max(seconds / 4, 0.01)):
                yield b""
                continue
            try:
                data = os.read(descriptor, _CHUNK)
            except OSError:  # a terminal whose other end is closed
                return
            if not data:
                return
            yield data


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started: politely, and after two seconds for good."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=2)
            return
