"""The Docker that this machine has: found, asked whether it answers, and what it can do."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

import docker
import docker.errors
import requests

ANSWER_SECONDS = 5
LONGEST_CALL = 600
"""Seconds without a byte, after which a call is given up: a pull may be silent for long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Docker:
    """A daemon that answers. `bridge` is its bridge's gateway, "" where it has none; `gpus` are UUIDs."""

    client: Any
    bridge: str
    gpus: tuple[str, ...]


class NoDocker(Exception):
    """There is no Docker to use; the text says why."""


def connect_docker() -> Docker:
    """Find the daemon that DOCKER_HOST or the current context names; raise `NoDocker` with one sentence."""
    try:
        address = os.environ.get("DOCKER_HOST") or docker.ContextAPI.get_current_context().Host
        impatient = docker.DockerClient(base_url=address, timeout=ANSWER_SECONDS, tls=_tls())
        impatient.ping()
        impatient.close()
        client = docker.DockerClient(base_url=address, timeout=LONGEST_CALL, tls=_tls())
        return Docker(client=client, bridge=_bridge_gateway(client), gpus=_gpus())
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        if isinstance(error.__cause__ or error, requests.Timeout):
            raise NoDocker(f"Docker at {address} does not answer within {ANSWER_SECONDS} s") from error
        raise NoDocker(f"no Docker answers ({_first_line(error)})") from error


def _tls() -> Any:
    named = docker.utils.kwargs_from_env()
    return named.get("tls", False)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _bridge_gateway(client: Any) -> str:
    for network in client.networks.list(names=["bridge"]):
        network.reload()
        for config in (network.attrs.get("IPAM") or {}).get("Config") or ():
            if network.name == "bridge":
                return str(config.get("Gateway") or "host")
    return ""


def _gpus() -> tuple[str, ...]:
    """Ask NVIDIA's driver for the UUIDs of the machine's GPUs; none where it has no driver."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return ()
    asked = subprocess.run(  # noqa: S603 - fixed words
        [command, "--query-gpu=uuid", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return tuple(asked.stdout.split()) if asked.returncode == 0 else ()
