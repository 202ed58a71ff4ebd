"""The image, built and run for real where a Docker daemon answers.

Environment: BASE is the base image (python:3.11-slim), TORCH the lock of torch (cpu), PIP_CONF and CA_BUNDLE
are files that reach the build as secrets, DOCKER names a client with BuildKit. With DOCKER_TESTS=1 in CI a
missing daemon is a failure, not a skip.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from running import DOCUMENTS, ROOT, wait_until

BASE = os.environ.get("BASE", "python:3.11-slim")
TORCH = os.environ.get("TORCH", "cpu")
DOCKER = os.environ.get("DOCKER", "docker")
NAME = f"ki-rag-api-test-{uuid.uuid4().hex[:8]}"
MUST = os.environ.get("CI") == "true" and os.environ.get("DOCKER_TESTS") == "1"
pytestmark = pytest.mark.timeout(1500)


def docker(*arguments: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    done = subprocess.run([DOCKER, *arguments], capture_output=True, text=True, env=environment, **options)
    assert not check or done.returncode == 0, done.stderr[-4000:]
    return done


def why_not() -> str | None:
    if shutil.which(DOCKER) is None:
        return "there is no docker command on this machine"
    answer = docker("info", "--format", "{{.ServerVersion}}", check=False)
    return None if answer.returncode == 0 and answer.stdout.strip() else "no Docker daemon answers"


def build(context: Path, tag: str) -> None:
    secrets = [
        f"--secret=id={name},src={path}"
        for name, path in (("pip", os.environ.get("PIP_CONF")), ("ca", os.environ.get("CA_BUNDLE")))
        if path
    ]
    arguments = ["--build-arg", f"BASE={BASE}", "--build-arg", f"TORCH={TORCH}", "--network=host", *secrets]
    docker("build", "--quiet", *arguments, "-t", tag, str(context))


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    reason = why_not()
    if reason is not None:
        if MUST:
            pytest.fail(f"DOCKER_TESTS=1, but {reason}")
        pytest.skip(reason)
    build(ROOT, NAME)
    yield NAME
    docker("image", "rm", "-f", NAME)


def inspect(image: str) -> dict[str, Any]:
    [described] = json.loads(docker("image", "inspect", image).stdout)
    return dict(described)


def layers(image: str) -> list[str]:
    return list(inspect(image)["RootFS"]["Layers"])


def test_the_image_is_what_ecs_needs(image: str) -> None:
    config = inspect(image)["Config"]
    environment = dict(entry.split("=", 1) for entry in config["Env"])
    assert config["User"] == "10001:10001"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"][:2] == ["CMD", "python"]
    assert environment["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"
    assert "org.opencontainers.image.revision" in config["Labels"]
    history = docker("image", "history", "--no-trunc", image).stdout
    assert "sk-" not in history
    found = docker("run", "--rm", image, "python", "-c", "import shutil; print(shutil.which('gcc'))")
    assert found.stdout.strip() == "None", "a compiler in the final image"


def test_a_code_change_changes_only_layers_under_1_mb(image: str, tmp_path: Path) -> None:
    context = tmp_path / "context"
    shutil.copytree(ROOT, context, ignore=shutil.ignore_patterns(".venv", "data", ".*_cache", "__pycache__"))
    with (context / "src" / "rag_service" / "ask.py").open("a") as source:
        source.write("\nCHANGED = True\n")
    changed = f"{image}-changed"
    build(context, changed)
    try:
        same = [a for a, b in zip(layers(image), layers(changed), strict=True) if a == b]
        assert len(same) == len(layers(image)) - 1
        sizes = docker("history", "--human=false", "--format", "{{.Size}}\t{{.CreatedBy}}", changed).stdout
        [code] = [line for line in sizes.splitlines() if "/opt/code" in line and "COPY" in line]
        assert int(code.split("\t")[0]) < 1_000_000
    finally:
        docker("image", "rm", "-f", changed)


def test_batch_and_service_run_without_root_on_a_read_only_file_system(image: str, tmp_path: Path) -> None:
    index = tmp_path / "index"
    index.mkdir()
    index.chmod(0o777)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    safe = ["--read-only", "--tmpfs", "/tmp", "--cap-drop=ALL", "--network=host", "-e", "ALLOW_CPU=1"]
    volumes = ["-v", f"{index}:/data", "-v", f"{DOCUMENTS}:/documents:ro", "-e", f"PORT={port}"]
    batch = docker("run", "--rm", *safe, *volumes, image, "python", "-m", "rag_service.ingest", "/documents")
    assert json.loads(batch.stdout)["written"] == 4
    name = f"{image}-run"
    docker(
        "run", "-d", "--name", name, *safe, *volumes, "-e", "HOST=127.0.0.1", "-e", "DRAIN_SECONDS=0", image
    )
    try:
        wait_until(lambda: answers(port), seconds=60, every=0.2)
        wait_until(lambda: answers(port) == 200, seconds=120, every=0.5)
        found = httpx.post(
            f"http://127.0.0.1:{port}/search", json={"query": "Why was it rolled back?", "k": 1}
        )
        assert found.json()["passages"][0]["document"] == "circuit-breaker.md"
        docker("stop", "-t", "30", name)
        state = json.loads(docker("inspect", "--format", "{{json .State}}", name).stdout)
        assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
    finally:
        docker("rm", "-f", name)


def answers(port: int) -> int:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code
    except httpx.HTTPError:
        return 0
