"""Whose a container is, and the end of those whose sandbox was killed.

A label names the owner: machine, process id and when that process started, so that another process which was
given the same id later is not taken for it.
"""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import docker.errors

SANDBOX_LABEL = "ecs-gpu-deploy.sandbox"
OWNER_LABEL = "ecs-gpu-deploy.owner"
OVER = frozenset({404, 409})
"""What Docker answers about a container that is gone, or ends just now."""


def owner_of_this_process() -> str:
    """Return `host/pid/start` of this process."""
    return f"{socket.gethostname()}/{os.getpid()}/{_started(os.getpid())}"


def end_leftovers(client: Any) -> list[str]:
    """Remove the containers and volumes of dead sandboxes of this machine; return the containers' names."""
    ended = []
    everyones = {"label": OWNER_LABEL}
    for container in client.containers.list(all=True, filters=everyones, ignore_removed=True):
        if not is_alive(container.labels.get(OWNER_LABEL, "")):
            name = container.name
            remove(container)
            ended.append(f"{name} ({container.short_id})")
    for volume in client.volumes.list(filters={"label": OWNER_LABEL}):
        if not is_alive((volume.attrs.get("Labels") or {}).get(OWNER_LABEL, "")):
            remove(volume)
    return ended


def remove(thing: Any) -> None:
    """Remove a container or volume for good, by its id, unless somebody else did so."""
    try:
        thing.remove(force=True)
    except docker.errors.APIError as error:
        if error.status_code not in OVER:
            raise


def is_alive(owner: str) -> bool:
    """Is the owner alive, or of another machine, where we cannot know?"""
    host, _, rest = owner.partition("/")
    pid, _, started = rest.partition("/")
    if host != socket.gethostname() or not pid.isdigit():
        return True
    return _started(int(pid)) == started


def _started(pid: int) -> str:
    """Return when a process started, "" where there is none: in ticks since boot, or as ps says it."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            return stat.read_text().rpartition(")")[2].split()[19]
        except OSError:
            return ""
    found = subprocess.run(  # noqa: S603 - fixed words and a number
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return found.stdout.strip().replace(" ", "-")
