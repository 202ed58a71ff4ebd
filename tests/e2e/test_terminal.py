"""On a terminal the wait is a frame that is drawn anew; everywhere else nothing of it is loaded."""

import os
import subprocess
import sys

import pytest

from program import image
from sandbox_process import clean_environment, sandbox_thread


@pytest.fixture(scope="module")
def sandbox():
    with sandbox_thread() as running:
        yield running


def _command(tag, *python):
    return [
        *(sys.executable, *python, "-m", "ecs_gpu_deploy", "deploy"),
        *("--cluster=ki-cluster", "--service=ki-rag-api", "--image", image(tag)),
    ]


def _on_a_terminal(command, environment, folder):
    """Run *command* on a pseudo-terminal; return its exit code and what it wrote there."""
    ours, theirs = os.openpty()
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        written = bytearray()
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:
                break
            if not chunk:
                break
            written += chunk
    os.close(ours)
    return process.returncode, written.decode("utf-8", "replace")


def test_a_terminal_gets_a_frame_and_its_cursor_back(sandbox, tmp_path):
    pytest.importorskip("rich")
    environment = clean_environment(sandbox, TERM="xterm-256color")
    environment.pop("CI", None)
    code, written = _on_a_terminal(_command("bad"), environment, tmp_path)
    assert code == 5
    assert "▸ load" in written
    assert "✓ pull" in written
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h") > 0
    after = written[written.rindex("\x1b[?25h") :]
    assert "\x1b[1;31mrolled_back\x1b[0m — " in after
    assert "torch.OutOfMemoryError" in after
    assert "▸" not in after


def test_a_pipe_gets_plain_lines_and_never_loads_rich(sandbox, tmp_path):
    ran = subprocess.run(
        _command("good", "-X", "importtime"),
        cwd=tmp_path,
        env=clean_environment(sandbox, TERM="xterm-256color"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0
    assert "\x1b" not in ran.stdout
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in ran.stderr.splitlines()}
    assert "botocore" in loaded
    assert "rich" not in loaded
