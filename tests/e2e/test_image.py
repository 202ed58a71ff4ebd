"""The top-level Dockerfile: built for real on a Debian of our own, small, not root, and it deploys."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docker_services import PATH, daemon, output, require_docker
from sandbox_process import sandbox_thread

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "ecs-gpu-deploy:test"
SUITE = "bookworm"
MOST_MEGABYTES = 120


@pytest.fixture(scope="module")
def docker(tmp_path_factory):
    """Build the image on a base that debootstrap makes, as none can be pulled; give Docker's environment."""
    require_docker()
    folder = tmp_path_factory.mktemp("image")
    output(
        *("debootstrap", "--variant=minbase", "--include=python3,python3-venv,ca-certificates"),
        *(SUITE, str(folder / "base")),
        env={**os.environ, "PATH": PATH},
    )
    with daemon(folder / "docker") as environment:
        with subprocess.Popen(["tar", "-C", folder / "base", "-c", "."], stdout=subprocess.PIPE) as tar:
            subprocess.run(["docker", "import", "-", "base:1"], stdin=tar.stdout, env=environment, check=True)
        secrets = _package_index(folder)
        output(
            *("docker", "build", "--progress", "plain", "--network", "host"),
            *("--build-arg", "BASE=base:1", "--tag", IMAGE, *secrets, str(ROOT)),
            env={**environment, "DOCKER_BUILDKIT": "1"},
        )
        yield environment
    shutil.rmtree(folder, ignore_errors=True)


def _package_index(folder):
    """Hand this machine's package index to the build, as the Dockerfile's head says."""
    listed = output(sys.executable, "-m", "pip", "config", "list")
    settings = dict(re.findall(r"^(?:global|:env:)\.([a-z-]+)='(.*)'$", listed, re.MULTILINE))
    flags = []
    if certificate := settings.pop("cert", ""):
        settings["cert"] = "/etc/pip-ca.pem"
        flags += ["--secret", f"id=ca,src={certificate}"]
    of_this_machine = {"find-links", "constraint", "build-constraint"}  # folders and files of its own
    lines = [f"{name} = {value}" for name, value in settings.items() if name not in of_this_machine]
    file = folder / "pip.conf"
    file.write_text("\n".join(["[global]", *lines, ""]))
    return [*flags, "--secret", f"id=pip,src={file}"]


def _run(docker, *arguments, entrypoint=None, variables=None):
    command = ["docker", "run", "--rm", "--network", "host"]
    command += ["--entrypoint", entrypoint] if entrypoint else []
    for name, value in (variables or {}).items():
        command += ["--env", f"{name}={value}"]
    return subprocess.run(
        [*command, IMAGE, *arguments], env=docker, capture_output=True, text=True, timeout=120, check=False
    )


def test_it_runs_as_nobody_in_particular(docker):
    assert _run(docker, "-u", entrypoint="id").stdout.strip() == "10001"
    assert _run(docker, "--version").stdout.startswith("ecs-gpu-deploy ")


def test_it_explains_without_aws(docker):
    ran = _run(docker, "explain", "CannotPullContainerError: write /x: no space left on device")
    assert ran.returncode == 0
    assert "disk-full" in ran.stdout


def test_it_is_small_and_holds_nothing_of_the_build(docker):
    megabytes = int(_run(docker, "-sm", "/opt/ecs-gpu-deploy", entrypoint="du").stdout.split()[0])
    assert megabytes < MOST_MEGABYTES
    left = _run(docker, "/build", "/etc/pip.conf", "/etc/pip-ca.pem", entrypoint="ls")
    assert left.stdout == ""
    history = output("docker", "history", "--no-trunc", IMAGE, env=docker)
    assert "index-url" not in history


def test_it_deploys(docker):
    with sandbox_thread() as sandbox:
        image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/ki-rag-api:good"
        flags = ["--cluster", "ki-cluster", "--service", "ki-rag-api", "--image", image]
        ran = _run(
            docker, "deploy", *flags, "--result-file", "/tmp/result.json", variables=sandbox.environment
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "succeeded" in ran.stdout
        assert json.dumps(sandbox.calls("UpdateService")[0]["parameters"])
