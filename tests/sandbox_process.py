"""Sandboxes for tests: served from a thread of this process, or as the process that a user starts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import yaml

from ecs_gpu_deploy.sandbox.http.server import SandboxServer
from ecs_gpu_deploy.sandbox.world.world import World

# moto would make 1,285 images of machines for each sandbox, and keep them; no test asks for one.
os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")

START = 1_795_420_800.0
"""2026-11-23T08:00:00Z, where the clocks of these sandboxes begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSandbox:
    """A sandbox that answers: its endpoint, the environment to set, and its own endpoints as methods."""

    endpoint: str
    environment: Mapping[str, str]
    announcement: Mapping[str, Any]
    server: SandboxServer | None = None
    process: subprocess.Popen[str] | None = None

    def ask(self, method: str, path: str, document: object = None) -> tuple[int, Any]:
        """Send a request to one of the sandbox's own endpoints; return status and JSON."""
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(f"{self.endpoint}/_sandbox/{path}", data=body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def now(self) -> float:
        """Return the model's time."""
        return float(self.ask("GET", "clock")[1]["now"])

    def advance(self, seconds: float) -> float:
        """Move a stepped clock."""
        return float(self.ask("POST", "clock", {"advance": seconds})[1]["now"])

    def add(self, world: Mapping[str, Any]) -> None:
        """Add a piece of world."""
        status, answer = self.ask("POST", "world", world)
        assert status == 200, answer

    def calls(self, operation: str | None = None) -> list[dict[str, Any]]:
        """Return the calls so far, of one operation or all."""
        query = f"calls?operation={operation}" if operation else "calls"
        return list(self.ask("GET", query)[1]["calls"])

    @contextmanager
    def client(self, service: str = "ecs", *, retries: int = 0, **options: Any) -> Iterator[Any]:
        """Give a boto3 client of a service, closed at the end."""
        from botocore.config import Config

        client: Any = boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.endpoint,
            region_name=options.pop("region_name", self.environment["AWS_REGION"]),
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"total_max_attempts": retries + 1, "mode": "standard"}, **options),
        )
        try:
            yield client
        finally:
            client.close()


def world_of(text: str) -> World:
    """Read a world from YAML in a test."""
    return World.from_text(text, name="test")


@contextmanager
def sandbox_thread(
    world: World | str | None = None, *, speed: float | None = None, start_time: float = START
) -> Iterator[RunningSandbox]:
    """Serve a sandbox from a thread; stepped unless a speed is given."""
    settled = world_of(world) if isinstance(world, str) else world
    with SandboxServer(settled, speed=speed, start_time=start_time) as server:
        announcement = server.announcement()
        yield RunningSandbox(
            endpoint=server.endpoint,
            environment=server.environment,
            announcement=announcement,
            server=server,
        )


def announced(process: subprocess.Popen[str]) -> RunningSandbox:
    """Return the sandbox that a process of `sandbox serve` has begun, from the line that it prints."""
    assert process.stdout is not None
    announcement = json.loads(process.stdout.readline())
    return RunningSandbox(
        endpoint=announcement["endpoint"],
        environment=announcement["environment"],
        announcement=announcement,
        process=process,
    )


@contextmanager
def sandbox_process(
    world: str | Path | Mapping[str, Any] | None = None,
    *,
    speed: str = "stepped",
    folder: Path | None = None,
    start_time: str = "2026-11-23T08:00:00Z",
    flags: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    patience: float = 10,
) -> Iterator[RunningSandbox]:
    """Start `ecs-gpu-deploy sandbox serve` and stop it with SIGTERM; it must end with exit code 0 in time.

    A world given as a mapping or as text is written to a file in `folder`, the process id to another.
    """
    arguments = ["sandbox", "serve", "--speed", speed, "--start-time", start_time, *flags]
    if isinstance(world, Path):
        arguments += ["--world", str(world)]
    elif world is not None:
        assert folder is not None, "a folder for the world file"
        file = folder / "world.yml"
        file.write_text(world if isinstance(world, str) else yaml.safe_dump(dict(world)), encoding="utf-8")
        arguments += ["--world", str(file)]
    with subprocess.Popen(
        [sys.executable, "-m", "ecs_gpu_deploy", *arguments],
        stdout=subprocess.PIPE,
        env=None if environment is None else dict(environment),
        text=True,
    ) as process:
        if folder is not None:
            (folder / "sandbox.pid").write_text(str(process.pid))
        try:
            yield announced(process)
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(timeout=patience)
    assert code == 0, f"the sandbox ended with exit code {code}"


def clean_environment(sandbox: RunningSandbox, **more: str) -> dict[str, str]:
    """Return an environment for a foreign client: nothing of AWS but the sandbox."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_PAGER": ""}
    return kept | nowhere | dict(sandbox.environment) | more
