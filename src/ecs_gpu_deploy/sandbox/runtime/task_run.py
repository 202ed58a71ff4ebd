"""One task on Docker: its images pulled, its containers started, looked after and ended, each step reported.

A thread of its own for each task, since Docker takes its time. It does what the model's orders say, and
looks at its containers a few times a second: what their state says is all that is reported.
"""

from __future__ import annotations

import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import docker.errors
import requests

from ecs_gpu_deploy.core.defaults import stop_timeout
from ecs_gpu_deploy.ecs_model import reports
from ecs_gpu_deploy.ecs_model.reports import Orders
from ecs_gpu_deploy.ecs_model.state import NetworkBinding, Task
from ecs_gpu_deploy.ecs_model.statuses import HealthStatus
from ecs_gpu_deploy.sandbox.runtime.container_lines import ContainerLines
from ecs_gpu_deploy.sandbox.runtime.container_settings import (
    Surrounding,
    create_arguments,
    overridden,
    port_variables,
)
from ecs_gpu_deploy.sandbox.runtime.leftovers import OVER, remove
from ecs_gpu_deploy.sandbox.runtime.machine import Machine
from ecs_gpu_deploy.sandbox.runtime.pull_image import CannotPull, PulledImage

LOOK_SECONDS = 0.2
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"
HEALTH = {"healthy": HealthStatus.HEALTHY, "unhealthy": HealthStatus.UNHEALTHY}
DaemonTrouble = (docker.errors.DockerException, requests.RequestException, OSError)


class Account(Protocol):
    """What a task's run asks of the sandbox, and tells it; each call is short and takes the lock."""

    def report(self, what: Callable[..., None], *arguments: Any) -> None:
        """Report with a function of module `reports`."""

    def environment(self, definition: Mapping[str, Any], *, shares_network: bool) -> dict[str, str]:
        """Give a container's environment, secrets included; raise `LookupError` in the agent's words."""

    def pull(self, container_name: str, goes_on: Callable[[], bool]) -> PulledImage | None:
        """Pull a container's image, or None where `goes_on` said no; raise `CannotPull`."""

    def print(self, container_name: str, text: str) -> None:
        """Write a line that a container printed to where its log driver sends it."""


@dataclass(slots=True, kw_only=True)
class RunningContainer:
    """A container of Docker's, and what was reported of it."""

    container: Any
    definition: Mapping[str, Any]
    lines: ContainerLines | None = None
    health: str = ""
    over: bool = False
    kill_at: float | None = None


@dataclass(slots=True)
class TaskRun:
    """Run one task until it is gone; `orders` are set from outside, and `changed` says so."""

    task: Task
    account: Account
    machine: Machine
    orders: Orders = field(default_factory=Orders)
    changed: threading.Event = field(default_factory=threading.Event)
    _images: dict[str, PulledImage] = field(default_factory=dict)
    _containers: dict[str, RunningContainer] = field(default_factory=dict)
    _volumes: dict[str, str] = field(default_factory=dict)
    _ports: list[int] = field(default_factory=list)
    _failed: bool = False
    _told: bool = False

    def run(self) -> None:
        """Do what is ordered until the task is gone, then leave nothing behind."""
        try:
            while not self._step():
                self.changed.wait(LOOK_SECONDS)
                self.changed.clear()
        finally:
            self._clean_up()

    def _step(self) -> bool:
        orders = self.orders
        if orders.gone:
            return True
        try:
            if orders.pull and not self._images and not self._failed:
                self._pull()
            for name in orders.start:
                if name not in self._containers and not self._failed:
                    self._start(name)
            for running in self._containers.values():
                if orders.stop:
                    _stop(running)
                self._look_at(running)
        except Exception as trouble:  # noqa: BLE001 - the daemon is away, or a bug: said, and tried again
            self._complain(trouble)
            return False
        if orders.stop and all(running.over for running in self._containers.values()):
            self._clean_up()
            self.account.report(reports.ended, self.task)
            return True
        return False

    def _pull(self) -> None:
        """Pull the images, once the secrets are known to be there."""
        name, images = "", {}
        try:
            for definition in self._definitions():
                self.account.environment(definition, shares_network=True)
            for container in self.task.containers:
                name = container.name
                pulled = self.account.pull(name, lambda: not (self.orders.stop or self.orders.gone))
                if pulled is None:
                    return
                images[name] = pulled
        except (CannotPull, LookupError) as error:
            self._fail(str(error), name)
            return
        digests = {name: image.digest for name, image in images.items()}
        self.account.report(reports.pulled, self.task, digests)
        self._images = images

    def _start(self, name: str) -> None:
        definition = next(each for each in self._definitions() if each["name"] == name)
        container = None
        try:
            container = self._created(name, definition)
            try:
                container.start()
            except docker.errors.APIError as error:
                if not self.machine.gives_up_bridge(str(error.explanation)):
                    raise
                remove(container)
                container = self._created(name, definition)
                container.start()
        except (docker.errors.DockerException, ValueError, TypeError, LookupError) as error:
            what = "CannotCreateContainerError" if container is None else "CannotStartContainerError"
            if container is not None:
                remove(container)
            why = getattr(error, "explanation", None) or error
            self._fail(f"{what}: Error response from daemon: {why}", name)
            return
        self._containers[name] = RunningContainer(container=container, definition=definition)

    def _created(self, name: str, definition: Mapping[str, Any]) -> Any:
        shares = self.machine.shares_network(self.task.definition)
        wanted = [
            (int(each["containerPort"]), 0 if shares else int(each.get("hostPort") or 0))
            for each in definition.get("portMappings") or ()
        ]
        ports = {port: self.machine.port(host_port or (port if shares else 0)) for port, host_port in wanted}
        self._ports += ports.values()
        environment = self.account.environment(definition, shares_network=shares)
        if shares:
            environment |= port_variables(definition, ports)
        gpus = next(each.gpu_ids for each in self.task.containers if each.name == name)
        surrounding = Surrounding(
            shares_network=shares,
            ports=ports,
            gpus=self.machine.devices(gpus),
            volumes=self._task_volumes(),
            labels=self.machine.labels,
        )
        family = self.task.task_definition_arn.rpartition("/")[2].replace(":", "-")
        return self.machine.client.containers.create(
            self._images[name].id,
            name=f"ecs-{family}-{name}-{uuid.uuid4().hex[:12]}",
            **create_arguments(
                definition,
                environment=environment,
                surrounding=surrounding,
                task_memory=self.task.requirement.memory if self.task.definition.get("memory") else None,
            ),
        )

    def _bindings(self, definition: Mapping[str, Any], container: Any) -> list[NetworkBinding]:
        published = container.attrs["NetworkSettings"].get("Ports") or {}
        given = dict(
            item.split("=") for item in container.attrs["Config"].get("Env") or () if item[:5] == "PORT_"
        )
        bindings = []
        for mapping in definition.get("portMappings") or ():
            port, protocol = int(mapping["containerPort"]), str(mapping.get("protocol") or "tcp")
            at = published.get(f"{port}/{protocol}") or ({"HostPort": given.get(f"PORT_{port}", port)},)
            bindings.append(
                NetworkBinding(
                    bind_ip="0.0.0.0",  # noqa: S104  (what DescribeTasks shows)
                    container_port=port,
                    host_port=int(at[0]["HostPort"]),
                    protocol=protocol,
                )
            )
        return bindings

    def _task_volumes(self) -> Mapping[str, str]:
        """Give the task's volumes: folders of the machine as they are named, an empty one for any other."""
        for volume in self.task.definition.get("volumes") or ():
            name = volume["name"]
            if name not in self._volumes:
                folder = (volume.get("host") or {}).get("sourcePath")
                self._volumes[name] = folder or self.machine.new_volume()
        return self._volumes

    def _definitions(self) -> list[dict[str, Any]]:
        return [
            overridden(definition, self.task.overrides)
            for definition in self.task.definition.get("containerDefinitions", ())
        ]

    def _fail(self, reason: str, name: str) -> None:
        self._failed = True
        self.account.report(reports.failed_to_start, self.task, reason, name)

    def _look_at(self, running: RunningContainer) -> None:
        """Report what has changed with a container."""
        if running.over:
            return
        name, container = running.definition["name"], running.container
        try:
            container.reload()
            state = container.attrs["State"]
        except docker.errors.NotFound:  # somebody removed it
            state = {"Status": "dead", "ExitCode": 137}
        if running.lines is None:
            bindings = self._bindings(running.definition, container)
            self.account.report(reports.started, self.task, name, container.id, bindings)
            running.lines = ContainerLines(container, partial(self.account.print, name), self._complain)
        health = (state.get("Health") or {}).get("Status", "")
        if health != running.health and health in HEALTH:
            self.account.report(reports.checked, self.task, name, HEALTH[health])
        running.health = health
        if state["Status"] in {"exited", "dead"}:
            running.lines.finish()
            reason = OUT_OF_MEMORY if state.get("OOMKilled") else state.get("Error") or None
            self.account.report(reports.exited, self.task, name, int(state["ExitCode"]), reason)
            running.over = True

    def _clean_up(self) -> None:
        """Remove what was made for the task."""
        self.machine.free(self._ports)
        try:
            for running in self._containers.values():
                remove(running.container)
            for volume in self._volumes.values():
                self.machine.remove_volume(volume)
        except DaemonTrouble as trouble:
            self._complain(trouble)
        self._containers.clear()
        self._volumes.clear()

    def _complain(self, trouble: Exception) -> None:
        """Say once that Docker makes trouble; a container that nobody can look at stays as it is."""
        if not self._told and not self.orders.gone:
            self._told = True
            sys.stderr.write(f"sandbox: task {self.task.task_id}: Docker: {trouble}\n")


def _stop(running: RunningContainer) -> None:
    """Send the image's stop signal, and SIGKILL when stopTimeout is over."""
    if running.over:
        return
    try:
        if running.kill_at is None:
            running.kill_at = time.monotonic() + stop_timeout(running.definition)
            signal = (running.container.attrs["Config"] or {}).get("StopSignal") or "SIGTERM"
            running.container.kill(signal)
        elif time.monotonic() >= running.kill_at:
            running.container.kill()
    except docker.errors.APIError as error:
        if error.status_code not in OVER:
            raise
