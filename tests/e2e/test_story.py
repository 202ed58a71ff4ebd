"""`make e2e` and `sandbox demo --docker` where something is missing, and what a killed run left."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from docker_services import docker_services, end_leftover

ROOT = Path(__file__).parents[2]
IMPORTED = [ROOT / name for name in ("tests", "tests/contract", "tests/infra", "example-service/tests")]
WAITING = "import sys, time; print('ready', flush=True); time.sleep(60)"


def told(*flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Start the story on a machine that has no command."""
    variables = {"PATH": "/nowhere", "PYTHONPATH": os.pathsep.join(map(str, IMPORTED)), **environment}
    return subprocess.run(
        [sys.executable, "-m", "story", *flags],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("flags", "environment", "exit_code"),
    [
        pytest.param([], {}, 2, id="on a laptop"),
        pytest.param(["--or-skip"], {}, 0, id="as a part of make test"),
        pytest.param([], {"CI": "true"}, 1, id="in CI"),
        pytest.param(["--or-skip"], {"CI": "true"}, 1, id="as a part of make test in CI"),
    ],
)
def test_a_machine_without_the_parts_is_told_so_in_one_sentence(flags, environment, exit_code):
    ran = told(*flags, **environment)
    assert (ran.returncode, ran.stderr) == (exit_code, "")
    assert ran.stdout.startswith("make e2e needs real parts, and here they cannot be had: ")
    assert ran.stdout.count("\n") == 1


@pytest.fixture
def waiting():
    """Run a process that waits, with a mark among its arguments."""
    command = [sys.executable, "-c", WAITING, "/a/mark", "rag_service"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_what_a_killed_run_left_is_ended_by_its_id(waiting, tmp_path):
    (tmp_path / "pid").write_text(f"{waiting.pid}\n")
    reaper = threading.Thread(target=waiting.wait)  # what init does with a killed run's children
    reaper.start()
    end_leftover(tmp_path / "pid", "/a/mark")
    reaper.join(5)
    assert waiting.returncode == -signal.SIGTERM


@pytest.mark.parametrize("text", ["", "none", "{pid}", "999999999"])
def test_a_process_that_was_given_the_same_id_is_left_alone(waiting, tmp_path, text):
    (tmp_path / "pid").write_text(text.format(pid=waiting.pid))
    end_leftover(tmp_path / "pid", "/another/mark")
    assert waiting.poll() is None


def test_the_model_that_a_killed_run_was_measuring_is_ended_by_the_next(waiting, tmp_path):
    (tmp_path / "load.pid").write_text(f"{waiting.pid}\n")
    reaper = threading.Thread(target=waiting.wait)
    reaper.start()
    answered_by_stage(f"_clear(Path({str(tmp_path)!r}))")
    reaper.join(5)
    assert waiting.returncode == -signal.SIGTERM


@pytest.mark.parametrize(
    ("named", "found"), [("/nowhere/chromium", "None"), (sys.executable, sys.executable)]
)
def test_a_browser_that_is_named_has_to_be_there(named, found):
    assert answered_by_stage("print(browser())", CHROMIUM=named).strip() == found


def answered_by_stage(expression, **environment):
    """Evaluate an expression with what the story's stage has; return what it printed."""
    ran = subprocess.run(
        [sys.executable, "-c", f"from story.stage import *; from story.stage import _clear; {expression}"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, IMPORTED)), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def demo(folder, *flags, **environment):
    """Run the demo in *folder*."""
    return subprocess.run(
        [sys.executable, "-m", "ecs_gpu_deploy", "sandbox", "demo", "--docker", *flags],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=290,
        check=False,
    )


def test_the_demo_without_docker_says_so_and_is_modelled(tmp_path):
    ran = demo(tmp_path, "--speed", "stepped", DOCKER_HOST="unix:///nowhere/docker.sock")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    first = ran.stdout.splitlines()[0]
    assert first.startswith("No real containers: ")
    assert first.endswith("This is the demo with modelled ones.")
    assert "Verdict: rolled_back (exit code 5)" in ran.stdout


def test_the_demo_with_docker_loses_no_request_and_leaves_nothing_in_docker(tmp_path):
    with docker_services(tmp_path / "services") as services:
        ran = demo(tmp_path, **services.environment)
        left = services.docker("ps", "--all", "--quiet") + services.docker("images", "--quiet")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "cause: out-of-memory" in ran.stdout
    assert "Now answers: version 2." in ran.stdout
    assert "Still answers: version 2." in ran.stdout
    assert ran.stdout.count(" 0 failed.") == 2
    assert left == ""


def test_a_context_that_is_not_the_example_service_is_refused(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    ran = demo(tmp_path, "--context", str(tmp_path))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("error: context is ")
    assert "where the example service is not." in ran.stderr
