"""What the tasks share of this machine: its Docker, ports, GPUs, and the labels that say whose all is."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from ecs_gpu_deploy.sandbox.runtime.connect_docker import Docker
from ecs_gpu_deploy.sandbox.runtime.leftovers import (
    OWNER_LABEL,
    SANDBOX_LABEL,
    owner_of_this_process,
    remove,
)

LAST_PORT = 65535


class Machine:
    """Give ports and devices to containers, each to one at a time."""

    def __init__(self, found: Docker) -> None:
        self.client: Any = found.client
        self.bridge = found.bridge
        self.sandbox_id = uuid.uuid4().hex
        self.labels: Mapping[str, str] = {
            SANDBOX_LABEL: self.sandbox_id,
            OWNER_LABEL: owner_of_this_process(),
        }
        self._gpus = found.gpus
        self._devices: dict[str, str] = {}
        self._taken: set[int] = set()
        self._lock = threading.Lock()

    def shares_network(self, task_definition: Mapping[str, Any]) -> bool:
        """Does a task use the machine's own network: because it says so, or for want of a bridge?"""
        return not self.bridge or task_definition.get("networkMode") == "host"

    def gives_up_bridge(self, error: str) -> bool:
        """Go on without the bridge where Docker has one that does not work; say whether that is so.

        Also when another task has found that out meanwhile: this one was still made for the bridge.
        """
        if "bridge" in error and "endpoint" in error:
            self.bridge = ""
            return True
        return False

    def port(self, wanted: int) -> int:
        """Take the port that is wanted, else the next free one; 0 is for Docker to choose."""
        if not wanted:
            return 0
        with self._lock:
            while wanted < LAST_PORT and (wanted in self._taken or not _is_free(wanted)):
                wanted += 1
            self._taken.add(wanted)
        return wanted

    def free(self, ports: Iterable[int]) -> None:
        """Give ports back."""
        with self._lock:
            self._taken.difference_update(ports)

    def devices(self, gpu_ids: Iterable[str]) -> tuple[str, ...]:
        """Give the machine's devices for GPUs of the model, the same for the same; none without devices."""
        with self._lock:
            for gpu in gpu_ids if self._gpus else ():
                self._devices.setdefault(gpu, self._gpus[len(self._devices) % len(self._gpus)])
            return tuple(dict.fromkeys(self._devices[gpu] for gpu in gpu_ids if gpu in self._devices))

    def new_volume(self) -> str:
        """Make an empty volume of Docker's."""
        name = f"ecs-{uuid.uuid4().hex}"
        self.client.volumes.create(name, labels=dict(self.labels))
        return name

    def remove_volume(self, name: str) -> None:
        """Remove a volume that was made here; a folder of the machine stays."""
        if not name.startswith("/"):
            remove(self.client.volumes.get(name))

    def sweep(self) -> None:
        """Remove whatever of this sandbox is still there."""
        chosen = {"label": f"{SANDBOX_LABEL}={self.sandbox_id}"}
        for container in self.client.containers.list(all=True, filters=chosen, ignore_removed=True):
            remove(container)
        for volume in self.client.volumes.list(filters=chosen):
            remove(volume)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))  # a container binds every address
        except OSError:
            return False
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
