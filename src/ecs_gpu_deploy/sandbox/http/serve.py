"""`ecs-gpu-deploy sandbox serve`: the local AWS in the foreground, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.inputs.parser import Parser
from ecs_gpu_deploy.sandbox.http.server import SandboxServer
from ecs_gpu_deploy.sandbox.neighbours.images import DOCKER, MODEL
from ecs_gpu_deploy.sandbox.world.world import World, epoch_of_iso


def parser() -> Parser:
    """Return the parser of `sandbox serve`."""
    arguments = Parser(
        prog="ecs-gpu-deploy sandbox serve",
        description="Serve a local AWS on 127.0.0.1. Prints one JSON line when it answers.",
        allow_abbrev=False,
    )
    arguments.add_argument("--port", type=_port, default=0, help="port to listen on; 0 takes any free one")
    arguments.add_argument("--world", type=Path, help="world file (YAML), see docs/sandbox.md")
    arguments.add_argument(
        "--speed",
        type=speed_of,
        default=1.0,
        help="model seconds per wall second, or `stepped`: the clock moves only when told",
    )
    arguments.add_argument(
        "--runtime",
        choices=(MODEL, DOCKER),
        default=MODEL,
        help="what runs the containers of images that do not say it themselves; docker: real ones",
    )
    arguments.add_argument(
        "--until-stdin-ends",
        action="store_true",
        help="end also when standard input ends, as a pipe does when its other end was killed",
    )
    arguments.add_argument(
        "--export",
        action="store_true",
        help="print lines for a shell instead, with the process as SANDBOX_PID, and close standard output: "
        'eval "$(ecs-gpu-deploy sandbox serve --export &)"',
    )
    arguments.add_argument("--start-time", help="ISO 8601 time at which the clock starts; default: now")
    return arguments


def _port(text: str) -> int:
    if text.isdigit() and int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")


def speed_of(text: str) -> float | None:
    """Read --speed: model seconds a second, None for `stepped`."""
    if text == "stepped":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number above 0 nor `stepped`")
    return speed


def main(argv: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT and return 0; raise `InvalidInput` for a wrong world, time or port."""
    arguments = parser().parsed(argv)
    world = read_world(arguments.world)
    start = epoch_of_iso(arguments.start_time, name="--start-time") if arguments.start_time else None
    asked_to_end = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        asked_to_end.set()

    def stop_with_stdin() -> None:
        while os.read(0, 4096):
            pass
        asked_to_end.set()

    # Before anything is started: what a signal interrupts in the middle would be left behind.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if arguments.until_stdin_ends:
        threading.Thread(target=stop_with_stdin, daemon=True).start()
    server = SandboxServer(
        world, port=arguments.port, speed=arguments.speed, start_time=start, runtime=arguments.runtime
    )
    if server.runtime_note:
        sys.stderr.write(f"sandbox: {server.runtime_note}\n")

    def shut_down() -> None:
        asked_to_end.wait()
        server.shutdown()

    # In a thread of its own: shutdown() waits for the serving loop, which is this one.
    threading.Thread(target=shut_down, daemon=True).start()
    if arguments.export:
        _export({**server.environment, "SANDBOX_PID": str(os.getpid())})
    else:
        sys.stdout.write(json.dumps(server.announcement()) + "\n")
        sys.stdout.flush()
    try:
        server.serve()
    finally:
        server.close()
    return 0


def _export(environment: Mapping[str, str]) -> None:
    """Print what a shell can eval; then close standard output, for whose end the shell waits."""
    lines = (f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    sys.stdout.write("".join(lines))
    sys.stdout.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def read_world(path: Path | None) -> World:
    """Read a world file, or take the default world."""
    if path is None:
        return World.default()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InvalidInput(f"World file {path} cannot be read: {reason}.") from error
    return World.from_text(text, name=str(path))
