"""The sandbox as a server on the loopback interface: in this process, or for `serve` in the foreground."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from typing import Any, Self

from werkzeug.serving import BaseWSGIServer, make_server

from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.sandbox.http.application import Application
from ecs_gpu_deploy.sandbox.http.connection import Connection
from ecs_gpu_deploy.sandbox.neighbours.github_issuer import RUNNER_TOKEN
from ecs_gpu_deploy.sandbox.neighbours.images import DOCKER, MODEL
from ecs_gpu_deploy.sandbox.world.clock import CLOCK_VARIABLE, ModelClock, ScaledClock, SteppedClock
from ecs_gpu_deploy.sandbox.world.state import Sandbox
from ecs_gpu_deploy.sandbox.world.world import World

HOST = "127.0.0.1"
BACKLOG = 128
ACCESS_KEY_ID = "AKIASANDBOX000000000"
SECRET_ACCESS_KEY = "sandbox"  # noqa: S105 - the sandbox accepts every key


class SandboxServer:
    """Serve a world until closed. `speed` None steps the clock; a number multiplies the wall's time.

    `runtime` DOCKER has real containers run for all images that say nothing else.

    As a context manager it serves from a thread: `with SandboxServer(world, speed=None) as server: ...`.
    moto keeps its state per process: one server at a time in a process.
    """

    def __init__(
        self,
        world: World | None = None,
        *,
        port: int = 0,
        speed: float | None = 1.0,
        start_time: float | None = None,
        runtime: str = MODEL,
    ) -> None:
        world = world or World.default()
        self.runtime, self.runtime_note = MODEL, ""
        found = self._docker(world, speed=speed, runtime=runtime)
        start = world.start(default=float(int(time.time()))) if start_time is None else start_time
        clock: ModelClock = SteppedClock(start) if speed is None else ScaledClock(start, speed)
        self.sandbox = Sandbox(world, clock=clock, runtime=runtime, has_docker=found is not None)
        self._connections: set[socket.socket] = set()
        self._thread: threading.Thread | None = None
        self._server = self._listening(port)
        self._containers = self._started(found) if found is not None else None

    def _docker(self, world: World, *, speed: float | None, runtime: str) -> Any:
        """Find Docker where containers are to be real; without one the model runs them, and that is said."""
        if runtime != DOCKER and not any(entry.get("runtime") == DOCKER for entry in world.images):
            return None
        if speed is None:
            raise InvalidInput(
                "Real containers take real time: the runtime docker does not go with --speed stepped.",
                hint="Give --speed a number, 1 for the wall's time.",
            )
        if world.registry is None:
            raise InvalidInput(
                "The runtime docker pulls ECR's images from a real registry, and the world names none.",
                hint="Add `registry: {endpoint: http://127.0.0.1:5000, password: …}` to the world file.",
            )
        try:
            from ecs_gpu_deploy.sandbox.runtime.connect_docker import (  # noqa: PLC0415 - seldom wanted
                NoDocker,
                connect_docker,
            )
        except ImportError as error:
            raise InvalidInput(
                f"The runtime docker needs the package {error.name}, which is not installed.",
                hint="Install the extra: pip install 'ecs-gpu-deploy[sandbox]'.",
            ) from error
        try:
            found = connect_docker()
        except NoDocker as why:
            self.runtime_note = f"The containers are modelled: {why}."
            return None
        self.runtime = DOCKER
        return found

    def _started(self, found: Any) -> Any:
        from ecs_gpu_deploy.sandbox.runtime.container_runtime import ContainerRuntime  # noqa: PLC0415

        containers = ContainerRuntime(self.sandbox, found, environment=self.environment)
        self.sandbox.load_balancers = containers.load_balancers
        containers.start()
        return containers

    def _listening(self, port: int) -> BaseWSGIServer:
        connections = self._connections

        class Handler(Connection):
            open_connections = connections

        try:
            listening = socket.create_server((HOST, port), backlog=BACKLOG)
        except OSError as error:
            raise InvalidInput(
                f"Port {port} of {HOST} cannot be opened: {os.strerror(error.errno or 0)}.",
                hint="Give another --port, or 0 for any.",
            ) from error
        with listening:  # werkzeug, which would write sentences of its own, takes a copy
            return make_server(
                HOST,
                port,
                Application(self.sandbox),
                threaded=True,
                request_handler=Handler,
                fd=listening.fileno(),
            )

    @property
    def endpoint(self) -> str:
        """The address of every service."""
        return f"http://{HOST}:{self._server.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment with which AWS's own tools and ours find the sandbox and its clock."""
        region = self.sandbox.world.region
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            CLOCK_VARIABLE: f"{self.endpoint}/_sandbox/clock",
        }

    @property
    def github_environment(self) -> dict[str, str]:
        """The environment of a job with `id-token: write`, without keys of AWS."""
        return {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.endpoint}/_sandbox/github/token?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": RUNNER_TOKEN,
        }

    def announcement(self) -> dict[str, Any]:
        """Describe the running sandbox: endpoint, clock, environment to set, first cluster, its services."""
        home = self.sandbox.home
        cluster = next(iter(home.clusters.values()), None)
        clock = self.sandbox.clock
        announced: dict[str, Any] = {
            "endpoint": self.endpoint,
            "clock": {
                "url": self.environment[CLOCK_VARIABLE],
                "now": clock.now(),
                "mode": clock.mode,
                "speed": clock.speed,
            },
            "environment": self.environment,
            "cluster": cluster.name if cluster else None,
            "services": sorted(cluster.scheduler.services) if cluster else [],
        }
        announced["runtime"] = self.runtime
        if self.runtime_note:
            announced["runtime_note"] = self.runtime_note
        if self._containers is not None:
            announced["load_balancers"] = self._containers.load_balancers()
        if self.sandbox.world.github is not None:
            announced["github_environment"] = self.github_environment
        return announced

    def serve(self) -> None:
        """Serve in this thread until `shutdown` is called from another."""
        self._server.serve_forever(poll_interval=0.05)

    def shutdown(self) -> None:
        """End `serve`; call it from another thread than the serving one."""
        self._server.shutdown()

    def close(self) -> None:
        """End the real containers; close the port and every connection."""
        if self._containers is not None:
            self._containers.close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()

    def __enter__(self) -> Self:
        """Serve from a thread."""
        self._thread = threading.Thread(target=self.serve, name="sandbox", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop serving."""
        self.shutdown()
        if self._thread is not None:
            self._thread.join()
        self.close()
