"""The action's step, run as the runner runs it: real bash, real bootstrap.py, GitHub's own expressions."""

from __future__ import annotations

import ast
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from action_tools import (
    ROOT,
    Ended,
    action_process,
    ended,
    lay_out,
    put_environment,
    runner_environment,
    stand_in_wheel,
)

BOOTSTRAP = (ROOT / "bootstrap.py").read_text(encoding="utf-8")

# A program in the place of ours, to see how it is started.
PROGRAM = """
import json, os, runpy, signal, sys, time
import stand_in

def tell(**outputs):
    with open(os.environ["GITHUB_OUTPUT"], "a") as file:
        for name, value in outputs.items():
            file.write(f"{name}={value}\\n")

inputs = json.loads(os.environ["INPUTS"])
if inputs["cluster"] == "start":
    with open(os.environ["READY"], "w") as file:
        file.write("ready")
    while not signal.sigpending():
        time.sleep(0.01)
    signals = runpy.run_path(os.environ["SIGNALS"])
    try:
        signals["heed_signals"]()
    except signals["Cancelled"]:
        tell(outcome="cancelled")
        sys.exit(10)
if inputs["cluster"] == "wait":
    def cancelled(number, frame):
        tell(outcome="cancelled", reason=signal.Signals(number).name)
        sys.exit(10)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, cancelled)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
    with open(os.environ["READY"], "w") as file:
        file.write("ready")
    while True:
        signal.pause()
tell(
    outcome="succeeded",
    reason=json.dumps({
        "argv": sys.argv[1:],
        "parent": os.getppid(),
        "isolated": sys.flags.isolated,
        "utf8": sys.flags.utf8_mode,
        "prefix": sys.prefix,
        "cwd": os.getcwd(),
        "stand_in": stand_in.__file__,
    }),
)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Lay out an action that differs from ours in its lock file and its program only."""
    place = tmp_path / "the action's folder"
    lay_out(place, PROGRAM, stand_in_wheel(tmp_path / "wheels"), files=["action.yml", "bootstrap.py"])
    return place


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Give a checkout that tries to get between: none of its modules may be imported."""
    place = tmp_path / "workspace"
    place.mkdir()
    for name in ("json", "stand_in", "ecs_gpu_deploy", "sitecustomize", "hashlib"):
        (place / f"{name}.py").write_text("raise SystemExit('the workspace was imported')", encoding="utf-8")
    return place


@pytest.fixture
def environment(tmp_path: Path, workspace: Path) -> dict[str, str]:
    return {**runner_environment(tmp_path), "PYTHONPATH": str(workspace), "PYTHONSTARTUP": "x"}


def bootstrapped(folder: Path, environment: dict[str, str], workspace: Path) -> subprocess.Popen[str]:
    """Start bootstrap.py without node, as the step does."""
    return subprocess.Popen(
        ["python3", "-I", str(folder / "bootstrap.py")],
        env={"INPUTS": '{"cluster": ""}', "GITHUB_OUTPUT": str(workspace / "output"), **environment},
        cwd=workspace,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_program_takes_the_place_of_the_shell_isolated_and_without_arguments(
    folder: Path, environment: dict[str, str], workspace: Path
) -> None:
    process = action_process(folder, {}, environment, workspace)
    result = ended(process)
    assert (result.code, result.outputs["outcome"]) == (0, "succeeded"), result.stderr
    seen = json.loads(result.outputs["reason"])
    assert seen["argv"] == []
    assert (seen["isolated"], seen["utf8"]) == (1, 1)
    assert seen["parent"] == process.pid, "a shell is still between the runner and the program"
    assert seen["cwd"] == str(workspace)
    assert seen["prefix"].startswith(environment["RUNNER_TOOL_CACHE"])
    assert seen["stand_in"].startswith(seen["prefix"])


def test_a_second_use_finds_the_environment_ready_and_needs_no_package(
    folder: Path, environment: dict[str, str], workspace: Path, tmp_path: Path
) -> None:
    first = bootstrapped(folder, environment, workspace)
    assert first.wait(timeout=120) == 0, first.communicate()
    first.communicate()
    for file in (tmp_path / "wheels").iterdir():
        file.unlink()
    second = bootstrapped(folder, environment, workspace)
    assert (second.communicate()[1], second.returncode) == ("", 0)
    kept = os.listdir(Path(environment["RUNNER_TOOL_CACHE"], "ecs-gpu-deploy"))
    assert len(kept) == 1, "nothing half-made is left"


def test_a_package_that_is_not_the_locked_one_is_refused_in_one_sentence(
    folder: Path, environment: dict[str, str], workspace: Path, tmp_path: Path
) -> None:
    lock = folder / "locks" / "runtime.txt"
    lock.write_text(f"stand-in==1.0 --hash=sha256:{'0' * 64}\n", encoding="utf-8")
    result = ended(action_process(folder, {}, environment, workspace))
    assert result.code == 1
    assert result.outputs["outcome"] == "failed"
    assert result.outputs["exit-code"] == "1"
    assert "pip could not install what the action needs" in result.outputs["reason"]
    assert "\n" not in result.stderr.strip()
    assert result.stdout.startswith("::error title=ecs-gpu-deploy::pip could not install")
    assert "Traceback" not in result.stderr
    home = Path(environment["RUNNER_TOOL_CACHE"], "ecs-gpu-deploy")
    assert list(home.iterdir()) == [], "nothing half-made is left"


def test_a_tool_cache_that_cannot_be_written_gives_way_to_the_temporary_folder(
    folder: Path, environment: dict[str, str], workspace: Path, tmp_path: Path
) -> None:
    in_the_way = tmp_path / "a-file"
    in_the_way.write_text("", encoding="utf-8")
    environment["RUNNER_TOOL_CACHE"] = str(in_the_way)
    process = bootstrapped(folder, environment, workspace)
    assert (process.communicate()[1], process.returncode) == ("", 0)
    assert (tmp_path / "ecs-gpu-deploy").is_dir()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_of_the_runner_reaches_the_program(
    number: signal.Signals, folder: Path, environment: dict[str, str], workspace: Path, tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    waiting = os.open(ready, os.O_RDONLY | os.O_NONBLOCK)
    process = action_process(folder, {"cluster": "wait"}, {**environment, "READY": str(ready)}, workspace)
    assert select.select([waiting], [], [], 60)[0], "the program did not start"
    os.close(waiting)
    process.send_signal(number)
    result = ended(process)
    assert result.code == 10
    assert (result.outputs["outcome"], result.outputs["reason"]) == ("cancelled", number.name)


def test_a_signal_while_the_program_starts_is_heeded_by_it(
    folder: Path, environment: dict[str, str], workspace: Path, tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    waiting = os.open(ready, os.O_RDONLY | os.O_NONBLOCK)
    more = {"READY": str(ready), "SIGNALS": str(ROOT / "src/ecs_gpu_deploy/edges/machine/signals.py")}
    process = action_process(folder, {"cluster": "start"}, {**environment, **more}, workspace)
    assert select.select([waiting], [], [], 60)[0], "the program did not start"
    os.close(waiting)
    process.send_signal(signal.SIGTERM)
    result = ended(process)
    assert (result.code, result.outputs["outcome"]) == (10, "cancelled"), result.stderr


def test_bootstrap_can_be_read_by_a_python_that_is_too_old() -> None:
    ast.parse(BOOTSTRAP, feature_version=(3, 7))
    imported = {
        alias.name.split(".")[0]
        for node in ast.parse(BOOTSTRAP).body
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert imported <= set(sys.stdlib_module_names)


def test_a_python_that_is_too_old_says_what_to_do(
    folder: Path, environment: dict[str, str], workspace: Path, tmp_path: Path
) -> None:
    too_old = BOOTSTRAP.replace("OLDEST = (3, 11)", "OLDEST = (3, 20)")
    assert too_old != BOOTSTRAP
    (folder / "bootstrap.py").write_text(too_old, encoding="utf-8")
    result = ended(action_process(folder, {}, environment, workspace))
    assert result.code == 2
    assert result.outputs["outcome"] == "invalid"
    assert "too old" in result.stderr
    assert "uses: actions/setup-python@" in result.stderr


def test_a_newer_python_in_the_tool_cache_is_found(
    folder: Path, environment: dict[str, str], workspace: Path
) -> None:
    kept = Path(environment["RUNNER_TOOL_CACHE"], "Python", "3.20.1", "x64", "bin", "python3")
    kept.parent.mkdir(parents=True)
    kept.write_text('#!/bin/sh\n[ "$2" = -c ] && echo 3 20 || echo "found: $*"\n', encoding="utf-8")
    kept.chmod(0o755)
    (folder / "bootstrap.py").write_text(
        BOOTSTRAP.replace("OLDEST = (3, 11)", "OLDEST = (3, 20)"), encoding="utf-8"
    )
    process = bootstrapped(folder, environment, workspace)
    assert process.communicate() == (f"found: -I {folder / 'bootstrap.py'}\n", "")


def test_the_lock_file_names_what_the_program_needs_with_its_hashes() -> None:
    lock = (ROOT / "locks" / "runtime.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in lock.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert all("==" in line and "--hash=sha256:" in line for line in lines)
    names = {line.split("==")[0].strip() for line in lines}
    assert {"boto3", "botocore", "jmespath", "pyyaml", "tenacity"} <= names


@pytest.fixture
def ours(environment: dict[str, str]) -> dict[str, str]:
    put_environment(environment)
    return environment


def run_ours(given: dict[str, str], environment: dict[str, str], workspace: Path) -> Ended:
    return ended(action_process(ROOT, given, environment, workspace))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param({}, "service", id="nothing given"),
        pytest.param({"cluster": "c", "clustr": "x"}, "'clustr'", id="an input nobody knows"),
        pytest.param({"cluster": "c", "service": "s", "timeout": "soon"}, "'soon'", id="no duration"),
        pytest.param(
            {"cluster": "c", "service": "s", "image": 'a"; $(exit 7) `exit 8` ${{ x }}\n::error::b'},
            "image",
            id="an input that would be a program in a shell",
        ),
    ],
)
def test_our_program_refuses_bad_inputs_and_says_so_everywhere(
    given: dict[str, str], words: str, ours: dict[str, str], workspace: Path
) -> None:
    result = run_ours(given, ours, workspace)
    assert result.code == 2, result.stderr
    assert result.outputs["outcome"] == "invalid"
    assert result.outputs["exit-code"] == "2"
    assert words in result.outputs["reason"]
    assert json.loads(result.outputs["api-calls"]) == {}
    assert set(result.set) == set(result.outputs), "each output of action.yml is set, and no other"
    assert result.stdout.count("::error") == 1
    assert words in result.summary
