"""What the story is played on: Docker, a registry, the local AWS with real containers, GitHub, Terraform."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from action_tools import (
    NODE_PROJECT,
    Ended,
    action_process,
    ended,
    put_environment,
    runner_environment,
)
from docker_daemon import NO_INDEX, base_image, make_context
from github_job import job_environment, make_way_for_terraform
from terraform_run import Workspace

import docker_services
from docker_services import PATH, Services
from sandbox_process import RunningSandbox, clean_environment, sandbox_process
from story.versions import Repository

ROOT = Path(__file__).parents[2]
REPOSITORY = "octo-org/octo-repo"
NAME = "ki-rag-api"
CLUSTER = "ki-cluster"
REUSABLE = {
    command: ROOT / ".github" / "workflows" / f"{name}.yml"
    for command, name in {
        "deploy": "deploy",
        "rollback": "rollback",
        "run-task": "batch",
        "plan": "plan",
    }.items()
}
PATIENCE = 900.0
"""Seconds after which a run of the action is cancelled."""
VARIABLES = {
    "github_repository": REPOSITORY,
    "github_owner_id": "65",
    "github_repository_id": "74",
    "http_only": "true",
    "batch_schedule": "at(2099-01-01T02:00:00)",
    "ingress_cidrs": '["127.0.0.0/8"]',
    "service_auth": "off",
    "deletion_protection": "false",
    "image_gb": "1",
    "task_cpu": "1024",
    "task_memory": "1536",
    # Real ones, but short: every deployment waits for them.
    "desired_count": "1",
    "max_count": "2",
    "spare_gpus": "1",
    "request_timeout_seconds": "5",
    "health_check_interval_seconds": "5",
    "slow_start_seconds": "30",
    "breaker_failures": "1",
    "roll_back_on_alarm": "false",
}
LEAST_LOAD_SECONDS = 40
"""What the grace period is made of at least: beside requests and other tests the model may load several
times as long as in the measured start, and a good version must not fail for that."""
INSTANCES = {"type": "g5.xlarge", "count": 3, "cluster": CLUSTER, "capacity_provider": f"{CLUSTER}-gpu"}
ENVIRONMENT = (
    "AUTH=off",
    # Where Docker has no bridge tasks share the machine's ports.
    "METRICS_PORT=0",
    "ALLOW_CPU=1",
    "TORCH_THREADS=1",
    "INDEX_POLL_SECONDS=1",
    # Nobody listens there: the generator is down, and answers are quoted from the documents.
    "OPENAI_BASE_URL=http://127.0.0.1:9/v1",
)


def why_not() -> str | None:
    """Say why the story cannot be told here; None where it can."""
    if reason := docker_services.unmet():
        return reason
    needed = {
        "debootstrap": "debootstrap",
        "git": "git",
        "node": "nodejs",
        "terraform": "terraform",
        "jq": "jq",
    }
    missing = [package for command, package in needed.items() if shutil.which(command) is None]
    if missing:
        return f"missing: {', '.join(sorted(missing))}"
    if not (NODE_PROJECT / "node_modules" / "@actions").is_dir():
        return f"node packages are missing: npm ci --prefix {NODE_PROJECT.relative_to(ROOT)}"
    return None if browser() else "no Chromium (CHROMIUM names one)"


def browser() -> str | None:
    """Return the path of Chromium, None where there is none, or none where CHROMIUM says."""
    named = os.environ.get("CHROMIUM")
    return shutil.which(named) if named else shutil.which("chromium") or shutil.which("chromium-browser")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """All that the acts use. `image` ends when base image and wheels are there."""

    folder: Path
    services: Services
    sandbox: RunningSandbox
    workspace: Workspace
    image: Future[Repository]
    load_seconds: float
    """How long the model takes to load here, measured."""
    runner: Mapping[str, str]
    outputs: dict[str, Any] = field(default_factory=dict)

    @property
    def repository(self) -> Repository:
        """The example service's repository, once base image and wheels are there."""
        return self.image.result()

    def job(self, sha: str) -> dict[str, str]:
        """Return the environment of a job of GitHub's at a commit."""
        environment = {
            **job_environment(self.sandbox),
            **self.runner,
            **self.services.environment,
            "PATH": f"{Path(self.runner['PATH'].partition(':')[0])}:{PATH}",
            "HOME": str(self.folder),
            "DOCKER_BUILDKIT": "1",
            "GITHUB_SHA": sha,
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_REF": "refs/heads/main",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_RUN_ID": "1",
        }
        environment.pop("ECS_GPU_DEPLOY_CLOCK", None)  # the wall's clock, as everywhere else
        return environment

    def start_action(self, inputs: Mapping[str, str], *, sha: str) -> subprocess.Popen[str]:
        """Start the action as a runner does, in the repository, through its command's reusable workflow."""
        given = dict(inputs)
        workflow = REUSABLE.get(given["command"])
        if workflow:
            del given["command"]
        process = action_process(ROOT, given, self.job(sha), self.repository.folder, workflow=workflow)
        (self.folder / "action.pid").write_text(str(process.pid))
        return process

    def act(self, inputs: Mapping[str, str], *, sha: str) -> Ended:
        """Run the action to its end; a run that takes too long is cancelled, and says how far it came."""
        process = self.start_action(inputs, sha=sha)
        try:
            over = ended(process, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.terminate()
            over = ended(process)
        finally:
            process.terminate()
        number = len(list(self.folder.glob("run-*.log"))) + 1
        (self.folder / f"run-{number}-{inputs['command']}.log").write_text(over.stdout + over.stderr)
        return over

    def add_instances(self) -> None:
        """Bring the GPU instances of the Auto Scaling group, which moto does not launch."""
        self.sandbox.add({"instances": [INSTANCES]})

    @contextmanager
    def instances_end_with_their_group(self) -> Iterator[None]:
        """Meanwhile end the instances as soon as their Auto Scaling group is deleted, as EC2 would."""
        over = threading.Event()

        def follow() -> None:
            while not over.wait(0.5):
                if self.sandbox.calls("DeleteAutoScalingGroup"):
                    _, state = self.sandbox.ask("GET", "state")
                    ends = [
                        {"at": 0, "cluster": CLUSTER, "terminate_instance": name, "reason": "terminated"}
                        for name in state["clusters"][CLUSTER]["instances"]
                    ]
                    self.sandbox.add({"timeline": ends})
                    return

        thread = threading.Thread(target=follow, name="instances")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def balancer(self) -> str:
        """Return the address of the load balancer's stand-in."""
        _, state = self.sandbox.ask("GET", "state")
        [url] = state["load_balancers"].values()
        return str(url)

    def containers(self) -> list[dict[str, Any]]:
        """Return all containers of the daemon, running or not."""
        ids = self.services.docker("ps", "--all", "--quiet", "--no-trunc").split()
        return list(json.loads(self.services.docker("inspect", *ids))) if ids else []


@contextmanager
def stage(folder: Path, store: Path) -> Iterator[Stage]:
    """Start all of it; what a killed run left is ended first. *store* is kept for the next run."""
    _clear(folder)
    with ExitStack() as stack:
        environment = stack.enter_context(docker_services.daemon(store / "docker"))
        services = Services(
            socket=store / "docker" / "docker.sock", registry="", folder=folder, environment=environment
        )
        for container in services.docker("ps", "--all", "--quiet", "--no-trunc").split():
            services.docker("rm", "--force", container)
        _forget_images(services)
        _forget_tags(store / "registry")
        address = stack.enter_context(docker_services.registry(store / "registry"))
        services = Services(socket=services.socket, registry=address, folder=folder, environment=environment)
        pool = stack.enter_context(ThreadPoolExecutor())
        loading = pool.submit(measured_load, folder / "load.log")
        sandbox = stack.enter_context(_local_aws(folder, services))
        make_way_for_terraform(sandbox)
        runner = runner_environment(folder)
        put_environment(runner)
        (folder / "terraform").mkdir()
        workspace = Workspace.copied(folder / "terraform", endpoint=sandbox.endpoint, **VARIABLES)
        seconds = loading.result()
        image = pool.submit(_repository, folder / "repository", store, environment)
        # The breaker's threshold is set with the AWS CLI of this environment.
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        terraform = {
            **clean_environment(sandbox),
            **workspace.environment,
            "PATH": path,
            "TF_VAR_model_load_seconds": str(max(LEAST_LOAD_SECONDS, math.ceil(seconds))),
        }
        yield Stage(
            folder=folder,
            services=services,
            sandbox=sandbox,
            workspace=replace(workspace, environment=terraform),
            image=image,
            load_seconds=seconds,
            runner=runner,
        )


def measured_load(log: Path) -> float:
    """Start the service as a process; return the seconds until /health is 200."""
    service = ROOT / "example-service"
    port = docker_services.free_port()
    settings = dict(one.split("=", 1) for one in ENVIRONMENT)
    environment = {**os.environ, **settings, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(service / "src")}
    environment |= {"HOST": "127.0.0.1", "PORT": str(port), "INDEX_URI": str(log.with_suffix(".index"))}
    began = time.monotonic()
    command = [str(service / ".venv" / "bin" / "python"), "-m", "rag_service"]
    with docker_services.process(command, log, env=environment) as running:
        log.with_suffix(".pid").write_text(str(running.pid))
        while time.monotonic() < began + 120 and running.poll() is None:
            time.sleep(0.2)
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                    return time.monotonic() - began
            except OSError:
                pass
    raise AssertionError(f"the service does not become ready: {log.read_text()[-2000:]}")


def _clear(folder: Path) -> None:
    docker_services.end_leftover(folder / "action.pid", str(ROOT))
    docker_services.end_leftover(folder / "sandbox.pid", str(folder / "world.yml"))
    docker_services.end_leftover(folder / "load.pid", "rag_service")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _forget_images(services: Services) -> None:
    """Remove what earlier runs pushed to their registries; the base and what builds still use stays."""
    listed = services.docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split()
    pushed = [name for name in listed if name.startswith("127.0.0.1:") and not name.endswith("<none>")]
    if pushed:
        services.docker("image", "rm", "--force", *pushed)
    services.docker("image", "prune", "--force")
    services.docker("builder", "prune", "--force", "--filter", "until=168h")


def _forget_tags(registry: Path) -> None:
    """Forget what earlier runs pushed, but keep the layers: a layer that is there is not sent again."""
    for manifests in registry.glob("storage/docker/registry/v2/repositories/*/_manifests"):
        shutil.rmtree(manifests)


def _repository(folder: Path, store: Path, environment: Mapping[str, str]) -> Repository:
    with ThreadPoolExecutor() as beside:
        base = beside.submit(base_image, store / "base", environment)
        make_context(folder, store / "wheels")
        (folder / "pip.conf").write_text(NO_INDEX)
        base.result()
    return Repository.made(folder)


@contextmanager
def _local_aws(folder: Path, services: Services) -> Iterator[RunningSandbox]:
    world = {
        "github": {"repository": REPOSITORY},
        "registry": services.world_registry,
    }
    with sandbox_process(
        world,
        folder=folder,
        speed="1",
        start_time=datetime.now(UTC).isoformat(),
        flags=["--runtime", "docker"],
        environment={**os.environ, **services.environment, "PATH": f"{PATH}:{os.environ['PATH']}"},
        patience=60,
    ) as sandbox:
        yield sandbox
