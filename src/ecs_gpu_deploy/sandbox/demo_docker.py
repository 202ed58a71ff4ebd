"""`sandbox demo --docker`: the demo with real containers, a real registry and real requests.

A tiny service takes the model's place, so that nothing large has to be built or pulled. With `--context` and
the repository's folder example-service it is the RAG service with torch and a small model, and a batch task
fills its index.
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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.sandbox.demo import (
    BOLD,
    CLUSTER,
    OFF,
    REGISTRY,
    SERVICE,
    client,
    deploy,
    parsed,
    run,
    say,
    serving,
)
from ecs_gpu_deploy.sandbox.demo import main as modelled_demo
from ecs_gpu_deploy.sandbox.demo_services import (
    BUCKET,
    QUESTION,
    DemoService,
    ExampleService,
    TinyService,
    answer,
    page,
)
from ecs_gpu_deploy.sandbox.runtime.leftovers import OWNER_LABEL, SANDBOX_LABEL, owner_of_this_process

REGISTRY_IMAGE = "registry:2"
ASK_SECONDS = 0.2

_UNTIL_STDIN_ENDS = '"$@" & read -r _; kill $!; wait; rm -rf -- "$0"'
"""Run a command until the demo ends or is killed, which closes the pipe; then remove the folder $0."""


class NoRealContainers(Exception):
    """Something is missing here; the text says what, as the end of a sentence."""


def main(arguments: Sequence[str]) -> int:
    """Tell the story with real containers; where they cannot be had, say why and have them modelled."""
    chosen = parsed(arguments)
    try:
        return tell(_service(chosen.context, chosen.build_arg, chosen.build_network), chosen.output)
    except NoRealContainers as why:
        say(f"No real containers: {why}. This is the demo with modelled ones.")
        return modelled_demo(arguments)


def _service(context: Path | None, build_args: Sequence[str], network: str) -> DemoService:
    """Return what is deployed; InvalidInput where *context* is not the example service."""
    if context is None:
        return TinyService()
    service = ExampleService.of(context, build_args, network)
    if service is None:
        raise InvalidInput(
            f"context is {str(context)!r}, where the example service is not.",
            hint="Give the folder example-service of a checkout, or leave --context out for a tiny service.",
        )
    return service


def tell(service: DemoService, output: Path) -> int:
    """Tell the story; 0 when it went as told, 1 when not. Raise `NoRealContainers` where it cannot begin."""
    docker = _docker()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ecs-gpu-demo-")))
        registry = stack.enter_context(_registry(docker, folder))
        stack.callback(_remove_images, docker, registry)
        service.write_version(folder / "context", 1)
        first = f"{registry}/{SERVICE}:first"
        flags = [word for one in service.build_args for word in ("--build-arg", one)]
        flags += ["--network", service.build_network] if service.build_network else []
        if isinstance(service, ExampleService):
            say("The image of the example service is built; torch and the model make it large.")
        _run(docker, "build", "--quiet", *flags, "--tag", first, str(folder / "context"))
        _run(docker, "push", "--quiet", first)
        world = folder / "world.json"
        world.write_text(json.dumps(_world(registry, service)), encoding="utf-8")
        sandbox = stack.enter_context(serving("--speed", "1", "--world", str(world), "--runtime", "docker"))
        if "exit_code" in sandbox:
            return int(sandbox["exit_code"])
        if sandbox["runtime"] != "docker":
            raise NoRealContainers(sandbox["runtime_note"].rstrip("."))
        return _story(docker, sandbox, service, output, folder / "context")


def _story(docker: str, sandbox: Mapping[str, Any], service: DemoService, output: Path, context: Path) -> int:
    [url] = sandbox["load_balancers"].values()
    say(
        f"""
{BOLD}A local AWS{OFF} answers at {sandbox["endpoint"]}, and runs real containers.

  cluster  {CLUSTER}: four instances with one GPU each, booked as on AWS; the containers are this machine's
  service  {SERVICE}: two tasks behind a load balancer at {url}; {service.told}
  breaker  on, with rollback: three failed tasks end a deployment

To read its log: "load 10s of 6m" is a phase, how long it has taken, and how long it may take.
"""
    )
    if not _answers(f"{url}/health", within=90 + 2 * service.load_seconds):
        say("The service does not become ready.")
        return 1
    if isinstance(service, ExampleService) and not _ingest(sandbox, service, output, url):
        return 1
    flags = [word for one in service.build_args for word in ("--build-args", one)]
    flags += ["--build-network", service.build_network] if service.build_network else []
    with _asking(f"{url}/health") as asked:
        service.write_version(context, 2)
        good = deploy(
            sandbox,
            output,
            tag="good",
            title="A good version",
            text="It is built with Docker, pushed to a registry and started; requests come in all the while.",
            # The service answers a little before the deployment that began it has completed.
            image=("--context", str(context), "--image-tag", "good", "--ongoing", "wait", *flags),
        )
        say(f"{BOLD}What users saw{OFF}: {asked}. Now answers: {service.running(url)}.\n")
        service.write_version(context, 3)
        bad = deploy(
            sandbox,
            output,
            tag="bad",
            title="A broken version",
            text=service.bad_told,
            image=("--context", str(context), "--image-tag", "bad", *flags, *service.bad_flags),
        )
        say(f"{BOLD}What users saw{OFF}: {asked}. Still answers: {service.running(url)}.\n")
    shown = _run(docker, "ps", "--filter", f"label={SANDBOX_LABEL}", "--format", "  {{.Names}}  {{.Status}}")
    say(f"{BOLD}The containers that run{OFF}, and end with this program\n{shown}")
    files = "\n".join(f"  {path}" for path in sorted(output.glob("*-*.*")))
    say(f"{BOLD}What is left{OFF}: results as JSON, job summaries as GitHub shows them\n{files}\n")
    return 0 if (good, bad, asked.failed) == ("succeeded", "rolled_back", 0) else 1


def _ingest(sandbox: Mapping[str, Any], service: ExampleService, output: Path, url: str) -> bool:
    """Put the sample documents into a bucket, have a task ingest them, and ask; False where one fails."""
    s3 = client(sandbox["environment"], "s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    for name, content in service.documents().items():
        s3.put_object(Bucket=BUCKET, Key=f"documents/{name}", Body=content)
    source = f"s3://{BUCKET}/documents"
    ended = run(
        sandbox,
        output,
        [
            *("run-task", "--cluster", CLUSTER, "--task-definition", SERVICE),
            *("--command-override", json.dumps(["python", "-m", "rag_service.ingest", source])),
        ],
        tag="ingest",
        title="The documents are ingested",
        text=f"{len(service.documents())} documents lie in a bucket; a batch task makes the index of them.",
    )
    end = time.monotonic() + 60
    while not (told := answer(url, QUESTION)) and time.monotonic() < end:
        time.sleep(1)
    say(f"{BOLD}Asked{OFF}: {QUESTION}\n{BOLD}Answered{OFF}: {told[:300] or 'nothing'}\n")
    return ended == "succeeded" and bool(told)


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
        if page(url):
            return True
        time.sleep(0.3)
    return False


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
            asked.failed += not page(url)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield asked
    finally:
        asked.over.set()
        thread.join()


def _world(registry: str, service: DemoService) -> dict[str, Any]:
    container = {
        "name": SERVICE,
        "image": f"{REGISTRY}/{SERVICE}:first",
        "cpu": 128,
        "memory": service.memory,
        "environment": [{"name": name, "value": value} for name, value in service.environment.items()],
        "essential": True,
        "portMappings": [{"containerPort": 8000, "hostPort": 0, "protocol": "tcp"}],
        "resourceRequirements": [{"type": "GPU", "value": "1"}],
        "healthCheck": {
            "command": list(service.check),
            "interval": 5,
            "timeout": 5,
            "retries": 3,
            "startPeriod": 3 * service.load_seconds,
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
    running = {
        "serviceName": SERVICE,
        "taskDefinition": SERVICE,
        "desiredCount": 2,
        "healthCheckGracePeriodSeconds": 5 * service.load_seconds,
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
        "services": [running],
    }
