"""The top-level Dockerfile: built for real on a Debian of our own, small, not root, and it deploys."""

import json
import shutil
import subprocess
import time

import pytest

from docker_services import daemon, output, require_docker
from program_image import build_program_image
from sandbox_process import sandbox_thread

IMAGE = "ecs-gpu-deploy:test"
MOST_MEGABYTES = 120


@pytest.fixture(scope="module")
def docker(tmp_path_factory):
    """Build the image; give Docker's environment."""
    require_docker()
    folder = tmp_path_factory.mktemp("image")
    with daemon(folder / "docker") as environment:
        build_program_image(folder, IMAGE, environment)
        yield environment
    shutil.rmtree(folder, ignore_errors=True)


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


GOOD = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/ki-rag-api:good"


@pytest.fixture
def waiting(docker):
    """Start a deploy in a container, of which it is the first process; give the container and its result."""
    with sandbox_thread(speed=20.0) as sandbox:
        command = ["docker", "run", "--detach", "--network", "host", "--env", "JENKINS_COOKIE=x"]
        for name, value in sandbox.environment.items():
            command += ["--env", f"{name}={value}"]
        flags = [
            "--cluster",
            "ki-cluster",
            "--service",
            "ki-rag-api",
            "--image",
            GOOD,
            "--on-cancel",
            "rollback",
        ]
        container = output(
            *command, IMAGE, "deploy", *flags, "--result-file", "/tmp/result.json", env=docker
        ).strip()

        def until(operation):
            for _ in range(600):
                if sandbox.calls(operation):
                    return
                time.sleep(0.05)
            pytest.fail(output("docker", "logs", container, env=docker))

        def ended():
            code = int(output("docker", "wait", container, env=docker))
            text = output("docker", "logs", container, env=docker)
            output("docker", "rm", container, env=docker)
            return code, text, sandbox.calls("StopServiceDeployment")

        yield container, until, ended


def test_docker_stop_reaches_the_program(docker, waiting):
    container, until, ended = waiting
    until("DescribeServiceDeployments")
    output("docker", "stop", "-t", "10", container, env=docker)
    code, text, stops = ended()
    assert code == 10, text
    assert len(stops) == 1


def test_one_second_is_enough_to_tell_aws(docker, waiting):
    container, until, ended = waiting
    until("DescribeServiceDeployments")
    output("docker", "stop", "-t", "1", container, env=docker)
    code, text, stops = ended()
    assert code in {10, 137}, text
    assert len(stops) == 1


def test_a_signal_while_python_starts_is_not_lost(docker, waiting):
    container, _, ended = waiting
    for _ in range(400):  # until Python runs our file: boto3 takes a second more
        if "/bin/ecs-gpu-deploy" in output("docker", "top", container, "-o", "pid,args", env=docker):
            break
    output("docker", "kill", "--signal", "TERM", container, env=docker)
    code, text, _ = ended()
    assert code == 10, text


def test_an_abort_of_jenkins_reaches_the_program(docker, waiting):
    """The plugin docker-workflow looks for its processes with ps, and ends them with kill."""
    container, until, ended = waiting
    until("DescribeServiceDeployments")
    listed = output("docker", "exec", container, "ps", "-A", "-o", "pid,command", "e", env=docker)
    mine = [
        line.split()[0] for line in listed.splitlines() if "JENKINS_COOKIE=x" in line and " ps " not in line
    ]
    output("docker", "exec", container, "kill", mine[0], env=docker)
    code, text, stops = ended()
    assert code == 10, text
    assert len(stops) == 1
