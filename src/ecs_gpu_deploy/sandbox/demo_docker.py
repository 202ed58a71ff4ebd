"""`sandbox demo --docker`: the demo with real containers, a real registry and real requests.

A tiny service takes the model's place: it loads for some seconds, answers, and ends when told to. Its image
is a shell and a script, so that nothing large has to be pulled.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecs_gpu_deploy.sandbox.demo import (
    BOLD,
    CLUSTER,
    OFF,
    REGISTRY,
    SERVICE,
    deploy,
    parsed,
    say,
    serving,
)
from ecs_gpu_deploy.sandbox.demo import main as modelled_demo
from ecs_gpu_deploy.sandbox.runtime.leftovers import OWNER_LABEL, SANDBOX_LABEL, owner_of_this_process

LOAD_SECONDS = 6
MEMORY = 64
REGISTRY_IMAGE = "registry:2"
ASK_SECONDS = 0.2

_SERVE = """#!/bin/sh
# Version VERSION
echo "loading the model"
HUNGRY
mkdir -p /tmp/www && echo "version VERSION" >/tmp/www/index.html
httpd -f -p "${PORT:-8000}" -h /tmp/www & server=$!
trap 'echo "SIGTERM: the last request is answered"; kill $server; exit 0' TERM
sleep LOAD & wait $!
echo ok >/tmp/www/health
echo "ready, version VERSION"
wait $server
"""
_HUNGRY = """echo "torch: allocating 256 MiB for the weights"
head -c 256m /dev/zero | tail -c 256m >/dev/null || { echo "the loader was killed"; exit 137; }
"""

_UNTIL_STDIN_ENDS = '"$@" & read -r _; kill $!; wait; rm -rf -- "$0"'
"""Run a command until the demo ends or is killed, which closes the pipe; then remove the folder $0."""


class NoRealContainers(Exception):
    """Something is missing here; the text says what, as the end of a sentence."""


def main(arguments: Sequence[str]) -> int:
    """Tell the story with real containers; where they cannot be had, say why and have them modelled."""
    try:
        return tell(parsed(arguments).output)
    except NoRealContainers as why:
        say(f"No real containers: {why}. This is the demo with modelled ones.")
        return modelled_demo(arguments)


def tell(output: Path) -> int:
    """Tell the story; 0 when it went as told, 1 when not. Raise `NoRealContainers` where it cannot begin."""
    docker = _docker()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ecs-gpu-demo-")))
        registry = stack.enter_context(_registry(docker, folder))
        stack.callback(_remove_images, docker, registry)
        _write_version(folder / "context", "1")
        first = f"{registry}/{SERVICE}:first"
        _run(docker, "build", "--quiet", "--tag", first, str(folder / "context"))
        _run(docker, "push", "--quiet", first)
        world = folder / "world.json"
        world.write_text(json.dumps(_world(registry)), encoding="utf-8")
        sandbox = stack.enter_context(serving("--speed", "1", "--world", str(world), "--runtime", "docker"))
        if "exit_code" in sandbox:
            return int(sandbox["exit_code"])
        if sandbox["runtime"] != "docker":
            raise NoRealContainers(sandbox["runtime_note"].rstrip("."))
        return _story(docker, sandbox, output, folder / "context")


def _story(docker: str, sandbox: Mapping[str, Any], output: Path, context: Path) -> int:
    [url] = sandbox["load_balancers"].values()
    say(
        f"""
{BOLD}A local AWS{OFF} answers at {sandbox["endpoint"]}, and runs real containers.

  cluster  {CLUSTER}: four instances with one GPU each, booked as on AWS; the containers are this machine's
  service  {SERVICE}: two tasks behind a load balancer at {url}; each loads for {LOAD_SECONDS} s
  breaker  on, with rollback: three failed tasks end a deployment
"""
    )
    if not _answers(url, within=90):
        say("The service does not become ready.")
        return 1
    with _asking(url) as asked:
        _write_version(context, "2")
        good = deploy(
            sandbox,
            output,
            tag="good",
            title="1. A good version",
            text="It is built with Docker, pushed to a registry and started; requests come in all the while.",
            image=("--context", str(context), "--image-tag", "good"),
        )
        say(f"{BOLD}What users saw{OFF}: {asked}. Now answers: {_page(url)}.\n")
        _write_version(context, "3", hungry=True)
        bad = deploy(
            sandbox,
            output,
            tag="bad",
            title="2. A broken version",
            text=f"It wants 256 MiB, and its container may have {MEMORY}: the kernel ends it.",
            image=("--context", str(context), "--image-tag", "bad"),
        )
        say(f"{BOLD}What users saw{OFF}: {asked}. Still answers: {_page(url)}.\n")
    shown = _run(docker, "ps", "--filter", f"label={SANDBOX_LABEL}", "--format", "  {{.Names}}  {{.Status}}")
    say(f"{BOLD}The containers that run{OFF}, and end with this program\n{shown}")
    files = "\n".join(f"  {path}" for path in sorted(output.glob("*-*.*")))
    say(f"{BOLD}What is left{OFF}: results as JSON, job summaries as GitHub shows them\n{files}\n")
    return 0 if (good, bad, asked.failed) == ("succeeded", "rolled_back", 0) else 1


def _docker() -> str:
    """Return the command of a Docker that answers."""
    docker = shutil.which("docker")
    if docker is None:
        raise NoRealContainers("there is no command docker")
    asked = subprocess.run(  # noqa: S603 - fixed words
        [docker, "version", "--format", "{{.Server.Version}}"], capture_output=True, text=True, check=False
    )
    if asked.returncode != 0:
        lines = asked.stderr.strip().splitlines() or ["it does not say why"]
        raise NoRealContainers(f"Docker does not answer ({lines[-1]})")
    return docker


def _remove_images(docker: str, registry: str) -> None:
    """Remove what was built for the demo's registry, which is gone."""
    images = _run(docker, "images", "--quiet", "--filter", f"reference={registry}/*").split()
    if images:
        _run(docker, "image", "rm", "--force", *dict.fromkeys(images))


def _run(docker: str, *arguments: str) -> str:
    """Run a command of Docker's that has to succeed."""
    ran = subprocess.run(  # noqa: S603 - our own words
        [docker, *arguments],
        env={**os.environ, "DOCKER_BUILDKIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        lines = (ran.stderr or ran.stdout).strip().splitlines() or ["it does not say why"]
        raise NoRealContainers(f"docker {arguments[0]} failed ({lines[-1]})")
    return ran.stdout


@contextmanager
def _registry(docker: str, folder: Path) -> Iterator[str]:
    """Run a registry on loopback: a program where it is installed, else a container; give its address."""
    program = shutil.which("docker-registry")
    if program is None:
        label = f"{OWNER_LABEL}={owner_of_this_process()}"  # after kill -9 the next sandbox ends it
        options = ("--detach", "--rm", "--label", label, "--publish", "127.0.0.1::5000")
        container = _run(docker, "run", *options, REGISTRY_IMAGE).strip()
        try:
            address = _run(docker, "port", container, "5000/tcp").split()[0]
            _await(address)
            yield address
        finally:
            _run(docker, "rm", "--force", "--volumes", container)
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    settings = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
        "http": {"addr": address},
    }
    (folder / "registry.yml").write_text(json.dumps(settings), encoding="utf-8")
    command = [program, "serve", str(folder / "registry.yml")]
    with subprocess.Popen(  # noqa: S603 - our own words
        ["/bin/sh", "-c", _UNTIL_STDIN_ENDS, str(folder), *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
        start_new_session=True,  # Ctrl-C is for the demo, which ends it when all else has ended
    ):
        _await(address)
        yield address


def _await(address: str) -> None:
    if not _answers(f"http://{address}/v2/", within=20):
        raise NoRealContainers(f"the registry at {address} does not answer")


def _answers(url: str, *, within: float) -> bool:
    end = time.monotonic() + within
    while time.monotonic() < end:
        if _page(url):
            return True
        time.sleep(0.3)
    return False


def _page(url: str) -> str:
    """Return the page at *url*, "" where there is none."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own address
            return str(answer.read().decode()).strip()
    except OSError:
        return ""


def _write_version(context: Path, version: str, *, hungry: bool = False) -> None:
    """Write a version of the tiny service, from a static shell of this machine or from the image busybox."""
    context.mkdir(exist_ok=True)
    script = _SERVE.replace("HUNGRY", _HUNGRY if hungry else "")
    script = script.replace("VERSION", version).replace("LOAD", str(LOAD_SECONDS))
    (context / "serve").write_text(script, encoding="utf-8")
    (context / "serve").chmod(0o755)
    shell = shutil.which("busybox")
    if shell is not None and os.uname().sysname == "Linux":
        shutil.copy(shell, context / "sh")
        base = "FROM scratch\nCOPY sh /bin/sh\n"  # it finds its own commands without their names in a folder
    else:
        base = "FROM busybox:stable\n"
    (context / "Dockerfile").write_text(
        f'{base}COPY serve /serve\nCMD ["/bin/sh", "/serve"]\n', encoding="utf-8"
    )


@dataclass(slots=True)
class _Asked:
    """What came of the requests so far."""

    sent: int = 0
    failed: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def __str__(self) -> str:
        return f"{self.sent} requests, {self.failed} failed"


@contextmanager
def _asking(url: str) -> Iterator[_Asked]:
    """Ask for the page all the while, and count."""
    asked = _Asked()

    def ask() -> None:
        while not asked.over.wait(ASK_SECONDS):
            asked.sent += 1
            asked.failed += not _page(url)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield asked
    finally:
        asked.over.set()
        thread.join()


def _world(registry: str) -> dict[str, Any]:
    check = "wget -q -O /dev/null http://127.0.0.1:8000/health"
    container = {
        "name": SERVICE,
        "image": f"{REGISTRY}/{SERVICE}:first",
        "cpu": 128,
        "memory": MEMORY,
        "essential": True,
        "portMappings": [{"containerPort": 8000, "hostPort": 0, "protocol": "tcp"}],
        "resourceRequirements": [{"type": "GPU", "value": "1"}],
        "healthCheck": {
            "command": ["CMD-SHELL", check],
            "interval": 5,
            "timeout": 3,
            "retries": 3,
            "startPeriod": 3 * LOAD_SECONDS,
        },
        "stopTimeout": 10,
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": f"/ecs/{SERVICE}",
                "awslogs-region": "eu-central-1",
                "awslogs-stream-prefix": "ecs",
            },
        },
    }
    target_group = {
        "Name": SERVICE,
        "Protocol": "HTTP",
        "Port": 8000,
        "TargetType": "instance",
        "HealthCheckPath": "/health",
        "HealthCheckIntervalSeconds": 5,
        "HealthCheckTimeoutSeconds": 3,
        "HealthyThresholdCount": 2,
        "UnhealthyThresholdCount": 3,
        "Attributes": {"deregistration_delay.timeout_seconds": 5},
    }
    service = {
        "serviceName": SERVICE,
        "taskDefinition": SERVICE,
        "desiredCount": 2,
        "healthCheckGracePeriodSeconds": 5 * LOAD_SECONDS,
        "loadBalancers": [{"targetGroupArn": SERVICE, "containerName": SERVICE, "containerPort": 8000}],
        "deploymentConfiguration": {
            "maximumPercent": 200,
            "minimumHealthyPercent": 100,
            "deploymentCircuitBreaker": {"enable": True, "rollback": True},
        },
    }
    return {
        "clusters": [CLUSTER],
        "instances": [{"type": "g5.xlarge", "count": 4}],
        "log_groups": [f"/ecs/{SERVICE}"],
        "repositories": [SERVICE],
        "registry": {"endpoint": f"http://{registry}", "password": "none-is-asked"},
        "target_groups": [target_group],
        "task_definitions": [
            {"family": SERVICE, "requiresCompatibilities": ["EC2"], "containerDefinitions": [container]}
        ],
        "services": [service],
    }
