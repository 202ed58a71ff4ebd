"""Places that cannot be written: each costs a warning, none the verdict."""

import json
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

import program
from sandbox_process import clean_environment, sandbox_thread

FULL = "/dev/full"


@pytest.fixture(scope="module")
def sandbox():
    """One sandbox for all: after the first deployment the service runs the image, and is deployed anew."""
    with sandbox_thread() as running:
        yield running


def deploy(sandbox, folder, *, redirect="", result_file="result.json", before=None, **environment):
    """Deploy from a shell that redirects our output as *redirect* says; return exit code, output, errors."""
    command = [
        *(sys.executable, "-m", "ecs_gpu_deploy", "deploy", "--cluster=ki-cluster", "--service=ki-rag-api"),
        *(f"--image={program.image('good')}", f"--result-file={result_file}"),
    ]
    ran = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirect}', "sh", *command],
        cwd=folder,
        env=clean_environment(sandbox, **environment),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=before,
    )
    return ran.returncode, ran.stdout, ran.stderr


def result_in(folder):
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


def warnings_in(text):
    return [line for line in text.splitlines() if line.startswith("warning:")]


def outputs_in(file):
    """Read the outputs as the runner does: NAME<<END, lines, END."""
    values, lines = {}, iter(file.read_text(encoding="utf-8").splitlines())
    for line in lines:
        name, end = line.split("<<")
        value = []
        while (text := next(lines)) != end:
            value.append(text)
        values[name] = "\n".join(value)
    return values


@pytest.mark.parametrize("variable", ["GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"])
@pytest.mark.parametrize(
    "place",
    [
        pytest.param(FULL, id="a full disk"),
        pytest.param("no/such/file", id="a folder that is not there"),
        pytest.param(".", id="a folder"),
        pytest.param("pipe", id="a pipe that nobody reads"),
    ],
)
def test_a_sink_of_the_runner_that_fails_costs_one_warning(place, variable, sandbox, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    code, _, errors = deploy(sandbox, tmp_path, **{variable: place})
    assert code == 0, errors
    assert result_in(tmp_path)["outcome"] == "succeeded"
    what = "job summary" if variable == "GITHUB_STEP_SUMMARY" else "step's outputs"
    assert [line.partition(":")[2].split(" could ")[0] for line in warnings_in(errors)] == [f" the {what}"]


@pytest.mark.parametrize("place", ["no/such/result.json", ".", FULL, "pipe"])
def test_a_result_file_that_cannot_be_written_costs_one_warning(place, sandbox, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    outputs = tmp_path / "outputs"
    code, log, errors = deploy(sandbox, tmp_path, result_file=place, GITHUB_OUTPUT=str(outputs))
    assert code == 0, errors
    assert "succeeded — " in log
    assert outputs_in(outputs)["outcome"] == "succeeded"
    assert outputs_in(outputs)["result-file"] == ""
    [warning] = warnings_in(errors)
    assert warning.startswith(f"warning: the result file {place!r} could not be written: ")


@pytest.mark.parametrize(
    ("redirect", "warns"),
    [
        pytest.param(f">{FULL}", "the log cannot be written", id="a log on a full disk"),
        pytest.param(">&-", "standard output is closed", id="a closed output"),
        pytest.param(f"2>{FULL}", "", id="errors on a full disk"),
        pytest.param("2>&-", "", id="closed errors"),
        pytest.param(">&- 2>&- <&-", "", id="nothing open"),
        pytest.param(f">{FULL} 2>&1", "", id="everything on a full disk"),
    ],
)
def test_a_log_that_cannot_be_written_ends_neither_wait_nor_result(redirect, warns, sandbox, tmp_path):
    summary, outputs = tmp_path / "summary.md", tmp_path / "outputs"
    more = {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_OUTPUT": str(outputs)}
    code, _, errors = deploy(sandbox, tmp_path, redirect=redirect, **more)
    assert code == 0, errors
    assert result_in(tmp_path)["outcome"] == "succeeded"
    assert outputs_in(outputs)["outcome"] == "succeeded"
    assert summary.read_text(encoding="utf-8").startswith("## ")
    assert len(warnings_in(errors)) == bool(warns)
    assert warns in errors


def _small_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))


def test_files_that_may_not_grow_leave_the_verdict_and_no_half_outputs(sandbox, tmp_path):
    outputs = tmp_path / "outputs"
    outputs.write_text("before<<x\n1\nx\n", encoding="utf-8")
    more = {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"), "GITHUB_OUTPUT": str(outputs)}
    code, log, errors = deploy(sandbox, tmp_path, before=_small_files, **more)
    assert code == 0, errors
    assert "succeeded — " in log
    assert outputs_in(outputs) == {"before": "1"}
    assert not (tmp_path / "result.json").exists()
    assert len(warnings_in(errors)) == 3
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@contextmanager
def small_disk(folder):
    """Give a folder on a disk of 16 KiB, where this machine lets us mount one."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("free", [0, 4096])
def test_a_disk_that_is_full_or_fills_in_the_middle(free, sandbox, tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        outputs = disk / "outputs"
        outputs.write_text("before<<x\n1\nx\n", encoding="utf-8")
        (disk / "ballast").write_bytes(b"x" * (12288 - free))
        more = {"GITHUB_STEP_SUMMARY": str(disk / "summary.md"), "GITHUB_OUTPUT": str(outputs)}
        code, log, errors = deploy(sandbox, tmp_path, result_file="disk/result.json", **more)
        values = outputs_in(outputs)
        written = (disk / "result.json").exists()
    assert code == 0, errors
    assert "succeeded — " in log
    assert values["before"] == "1"
    assert values.get("result-file", "") == ("disk/result.json" if written and len(values) > 1 else "")
    assert warnings_in(errors)


def test_the_outputs_name_only_a_result_file_that_was_written(sandbox, tmp_path):
    folder, outputs = tmp_path / "gone", tmp_path / "outputs"
    folder.mkdir()
    with program_waiting(sandbox, tmp_path, result_file="gone/result.json", outputs=outputs) as process:
        folder.rmdir()
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert outputs_in(outputs)["result-file"] == ""
    assert outputs_in(outputs)["outcome"] == "succeeded"
    assert len(warnings_in(errors)) == 1


@contextmanager
def program_waiting(sandbox, folder, *, result_file, outputs):
    """Give a deploy that has begun to say something."""
    command = ["deploy", "--cluster=ki-cluster", "--service=ki-rag-api", f"--image={program.image('good')}"]
    with subprocess.Popen(
        [sys.executable, "-m", "ecs_gpu_deploy", *command, f"--result-file={result_file}"],
        cwd=folder,
        env=clean_environment(sandbox, GITHUB_OUTPUT=str(outputs)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="no /dev/fd here")
def test_a_result_file_that_is_no_file_is_written_to_and_not_replaced(sandbox, tmp_path):
    code, log, errors = deploy(sandbox, tmp_path, result_file="/dev/null")
    assert code == 0, errors
    assert not Path("/dev/null").is_file()
    code, log, errors = deploy(sandbox, tmp_path, result_file="/dev/fd/1")
    assert code == 0, errors
    assert '"outcome": "succeeded"' in log
