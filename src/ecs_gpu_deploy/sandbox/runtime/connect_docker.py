"""The Docker that this machine has: found, asked whether it answers, and what it can do."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

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
    address = os.environ.get("DOCKER_HOST") or _address_of_context(os.environ.get("DOCKER_CONTEXT", ""))
    if not _is_here(address):
        raise NoDocker(f"Docker at {address} is on another machine, where its containers cannot be reached")
    try:
        impatient = docker.DockerClient(base_url=address, timeout=ANSWER_SECONDS, tls=_tls())
        impatient.ping()
        impatient.close()
        client = docker.DockerClient(base_url=address, timeout=LONGEST_CALL, tls=_tls())
        return Docker(client=client, bridge=_bridge_gateway(client), gpus=_gpus())
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        if isinstance(error.__cause__ or error, requests.Timeout):
            raise NoDocker(f"Docker at {address} does not answer within {ANSWER_SECONDS} s") from error
        raise NoDocker(f"no Docker answers at {address} ({_innermost(error)})") from error


def _is_here(address: str) -> bool:
    """Is that a daemon of this machine? Its containers' ports and the load balancers are on loopback."""
    place = urlsplit(address if "://" in address else f"tcp://{address}")
    return place.scheme in {"unix", "npipe"} or place.hostname in {None, "localhost", "127.0.0.1", "::1"}


def _tls() -> Any:
    named = docker.utils.kwargs_from_env()
    return named.get("tls", False)


def _address_of_context(name: str) -> str:
    """Return where the context of that name is, the current one for ""; raise `NoDocker` where it is gone."""
    try:
        context = docker.ContextAPI.get_context(name)
    except (docker.errors.DockerException, OSError, ValueError) as error:
        raise NoDocker(f"Docker's context cannot be read ({_innermost(error)})") from error
    if context is None:
        raise NoDocker(f"Docker's {f'context {name}' if name else 'current context'} does not exist")
    return str(context.Host)


def _innermost(error: BaseException) -> str:
    """Say what lies at the bottom: the system's own words, where libraries wrapped them several times."""
    inner = [each for each in (error.__cause__, *error.args) if isinstance(each, BaseException)]
    if inner:
        return _innermost(inner[0] if len(inner) == 1 else inner[-1])
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        return _innermost(reason)
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0][:200]


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
