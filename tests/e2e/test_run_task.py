"""run-task: many tasks with few calls, and a job that is cancelled in the middle."""

import json
import signal
import subprocess
import sys
import time

from program import run_program
from sandbox_process import clean_environment, sandbox_thread

IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/batch:latest"
WORLD = f"""
clusters: [ki]
instances: [{{type: m5.24xlarge, count: 4, cpu: 98304, memory: 390000}}]
log_groups: [/ecs/batch]
task_definitions:
  - family: ingest
    containerDefinitions:
      - name: ingest
        image: {IMAGE}
        memory: 512
        logConfiguration:
          logDriver: awslogs
          options:
            awslogs-group: /ecs/batch
            awslogs-region: eu-central-1
            awslogs-stream-prefix: batch
images:
  - image: batch:latest
    exit_code: 0
    exit_after: 120
    logs: [{{after: 1, text: begin}}, {{after: 119, text: done}}]
"""


def test_two_hundred_tasks_take_at_most_three_calls_a_look(tmp_path):
    with sandbox_thread(WORLD) as sandbox:
        before = len(sandbox.calls())
        run = run_program(
            sandbox,
            tmp_path,
            ["run-task", "--cluster", "ki", "--task-definition", "ingest", "--count", "200"],
        )
        calls = sandbox.calls()[before:]
    assert run.exit_code == 0, run.shown
    assert run.operations.count("RunTask") == 20
    assert len(run.result["tasks"]) == 200
    assert {c["exit_code"] for task in run.result["tasks"] for c in task["containers"]} == {0}
    looks: dict[float, int] = {}
    for call in calls:
        if call["operation"] in {"DescribeTasks", "FilterLogEvents"}:
            looks[call["at"]] = looks.get(call["at"], 0) + 1
    last = max(looks)
    assert max(number for at, number in looks.items() if at != last) <= 3
    assert run.shown.count("] begin") == 200
    assert run.shown.count("] done") == 200


def test_a_cancelled_job_stops_its_tasks_and_writes_its_result(tmp_path):
    result_file = tmp_path / "result.json"
    with sandbox_thread(WORLD, speed=1.0) as sandbox:
        command = ["run-task", "--cluster", "ki", "--task-definition", "ingest", "--count", "3"]
        with subprocess.Popen(
            [
                *(sys.executable, "-m", "ecs_gpu_deploy", *command),
                *("--on-cancel", "stop", "--poll-interval", "1", "--result-file", str(result_file)),
            ],
            env=clean_environment(sandbox),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            seen = ""
            while "3 tasks started" not in seen and (line := process.stdout.readline()):
                seen += line
            cancelled = time.monotonic()
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=30)
            took = time.monotonic() - cancelled
        stopped = [call for call in sandbox.calls() if call["operation"] == "StopTask"]
    assert process.returncode == 10, seen + rest
    assert len(stopped) == 3
    assert took < 7.5
    result = json.loads(result_file.read_text(encoding="utf-8"))
    assert result["outcome"] == "cancelled"
    assert [finding["code"] for finding in result["findings"] if finding["severity"] != "info"] == [
        "tasks-stopped"
    ]
