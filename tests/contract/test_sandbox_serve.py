"""`sandbox serve` as a process: one JSON line, signals, exit codes."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox_process import sandbox_process


@contextmanager
def serve(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start a sandbox; one that is still there at the end, after a test that failed, is ended."""
    with subprocess.Popen(
        [sys.executable, "-m", "ecs_gpu_deploy", "sandbox", "serve", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_one_line_when_it_answers_and_exit_0_at_the_end(number: signal.Signals) -> None:
    with serve("--speed", "2.5") as process:
        assert process.stdout is not None
        announced = json.loads(process.stdout.readline())
        assert set(announced) == {"endpoint", "clock", "environment", "cluster", "services", "runtime"}
        assert announced["runtime"] == "model"
        assert announced["clock"]["mode"] == "scaled"
        assert announced["clock"]["speed"] == 2.5
        environment = announced["environment"]
        assert environment["AWS_ENDPOINT_URL"] == announced["endpoint"]
        assert environment["ECS_GPU_DEPLOY_CLOCK"] == f"{announced['endpoint']}/_sandbox/clock"
        assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"} < set(
            environment
        )
        process.send_signal(number)
        rest, errors = process.communicate(timeout=10)
    assert (process.returncode, rest, errors) == (0, "", "")


def test_a_world_file_and_a_start_time(tmp_path: Path) -> None:
    with sandbox_process(
        {"clusters": ["mine"]}, folder=tmp_path, start_time="2026-01-02T03:04:05Z"
    ) as sandbox:
        assert sandbox.announcement["cluster"] == "mine"
        assert sandbox.now() == 1_767_323_045.0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(["--speed", "fast"], "neither a number above 0 nor", id="a speed that is none"),
        pytest.param(["--speed", "0"], "neither a number above 0 nor", id="a clock that stands still"),
        pytest.param(["--port", "70000"], "is not a port", id="a port that is none"),
        pytest.param(
            ["--start-time", "noon"], "--start-time 'noon' is not a time.", id="a time that is none"
        ),
        pytest.param(["--world", "/none/world.yml"], "cannot be read", id="a world file that is not there"),
    ],
)
def test_bad_input_ends_with_exit_2(arguments: list[str], sentence: str) -> None:
    with serve(*arguments) as process:
        output, errors = process.communicate(timeout=20)
    assert (process.returncode, output) == (2, "")
    assert sentence in errors
    assert "Traceback" not in errors


def test_a_port_in_use_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with serve("--port", str(taken.getsockname()[1])) as process:
            _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert errors.startswith("error: Port ")
    assert "cannot be opened: Address already in use." in errors.splitlines()[0]


def test_a_shell_can_eval_what_it_prints() -> None:
    program = f"{sys.executable} -m ecs_gpu_deploy"
    script = (
        f'eval "$({program} sandbox serve --speed 60 --export &)" || exit 9; '
        f"{program} status --cluster ki-cluster --service ki-rag-api; code=$?; "
        'kill "$SANDBOX_PID" && exit $code'
    )
    ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    assert "ki-rag-api:1" in ran.stdout
