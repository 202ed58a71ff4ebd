"""A cancelled job, as GitHub cancels it: SIGINT, 7.5 s later SIGTERM, 2.5 s later SIGKILL.

The sandbox's clock runs with the wall here, as real time does for a real job; the rollback must be on its
way within 2 s of the first signal, and the result written before the last one.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import program
from github_stand_in import Answer, github_stand_in
from sandbox_process import clean_environment, sandbox_thread

SPEED = 20.0
ROLLBACK_SECONDS = 2.0
TERM_AFTER = 7.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A deploy that waits, and where it writes."""

    process: subprocess.Popen
    folder: Path
    sandbox: object

    def cancel(self, *signals):
        """Send the signals as GitHub does and return exit code, output, result and wall seconds."""
        began = time.monotonic()
        for number, name in enumerate(signals):
            if number:
                with_time = max(0.0, TERM_AFTER - (time.monotonic() - began))
                try:
                    self.process.wait(timeout=with_time)
                    break
                except subprocess.TimeoutExpired:
                    pass
            self.process.send_signal(name)
        output, _ = self.process.communicate(timeout=15)
        seconds = time.monotonic() - began
        file = self.folder / "result.json"
        result = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
        return self.process.returncode, output, result, seconds

    def seconds_to(self, operation, since):
        """Return the wall seconds from the model's time *since* to the first call of *operation* after it."""
        at = [call["at"] for call in self.sandbox.calls(operation) if call["at"] >= since]
        return (at[0] - since) / SPEED if at else None


@contextmanager
def waiting_job(folder, *flags, image="slow", until="new 2/2", **environment):
    """Give a deploy, of an image that never gets ready, once it has said *until*: that its tasks run."""
    with sandbox_thread(speed=SPEED) as sandbox:
        summary = folder / "summary.md"
        command = ["deploy", "--cluster=ki-cluster", "--service=ki-rag-api", "--result-file=result.json"]
        process = subprocess.Popen(
            [sys.executable, "-m", "ecs_gpu_deploy", *command, f"--image={program.image(image)}", *flags],
            cwd=folder,
            env=clean_environment(sandbox, GITHUB_STEP_SUMMARY=str(summary), **environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        seen = ""
        try:
            while until not in seen and (line := process.stdout.readline()):
                seen += line
            assert until in seen, seen
            yield Job(process=process, folder=folder, sandbox=sandbox)
        finally:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()


@pytest.mark.parametrize(
    "signals",
    [
        pytest.param([signal.SIGINT], id="SIGINT"),
        pytest.param([signal.SIGTERM], id="SIGTERM"),
        pytest.param([signal.SIGINT, signal.SIGTERM], id="SIGINT, then SIGTERM where it still runs"),
    ],
)
def test_on_cancel_rollback_is_sent_within_two_seconds(signals, tmp_path):
    with waiting_job(tmp_path, "--on-cancel=rollback") as job:
        since = job.sandbox.now()
        code, output, result, seconds = job.cancel(*signals)
        sent = job.seconds_to("StopServiceDeployment", since)
    assert code == result["exit_code"] == 10, output
    assert sent is not None
    assert sent <= ROLLBACK_SECONDS
    assert seconds < TERM_AFTER
    assert "rollback-requested" in [finding["code"] for finding in result["findings"]]
    assert (tmp_path / "summary.md").read_text(encoding="utf-8").startswith("## ")


def test_a_rollout_that_aws_has_ended_well_before_the_signal_goes_back_too(tmp_path):
    flags = ("--on-cancel=rollback", "--poll-interval=900")
    with waiting_job(tmp_path, *flags, image="good", until=" began") as job:
        with job.sandbox.client() as ecs:
            listed = ecs.list_service_deployments(cluster="ki-cluster", service="ki-rag-api")
            arn = max(listed["serviceDeployments"], key=lambda one: one["createdAt"])["serviceDeploymentArn"]
            ended = time.monotonic() + 40
            while time.monotonic() < ended:
                [one] = ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"]
                if one["status"] == "SUCCESSFUL":
                    break
                time.sleep(0.1)
        code, output, result, _ = job.cancel(signal.SIGINT)
        updated = job.sandbox.calls("UpdateService")[-1]["parameters"]["taskDefinition"]
    assert code == result["exit_code"] == 10, output
    assert "AWS had ended the deployment well before" in output
    assert updated.endswith(":1"), output
    assert "could not be started" not in output
    assert "The rollback to ki-rag-api:1 that on-cancel asks for" in result["reason"]


def test_on_cancel_leave_says_what_runs_and_how_to_go_on(tmp_path):
    with waiting_job(tmp_path) as job:
        code, output, result, seconds = job.cancel(signal.SIGINT)
        stops = job.sandbox.calls("StopServiceDeployment")
    assert code == result["exit_code"] == 10, output
    assert not stops
    assert seconds < TERM_AFTER
    assert result["service_deployment_arn"] in output
    for part in ("2 of 2 new tasks and 2 old tasks run", "ecs-gpu-deploy watch --cluster ki-cluster"):
        assert part in output, output
    assert "goes on in AWS" in (tmp_path / "summary.md").read_text(encoding="utf-8")


def test_a_second_signal_does_not_cut_off_the_rollback(tmp_path):
    with waiting_job(tmp_path, "--on-cancel=rollback") as job:
        since = job.sandbox.now()
        job.process.send_signal(signal.SIGINT)
        job.process.send_signal(signal.SIGINT)
        code, output, result, _ = job.cancel(signal.SIGTERM)
        sent = job.seconds_to("StopServiceDeployment", since)
    assert code == 10, output
    assert sent is not None
    assert result["outcome"] == "cancelled"
    assert "Traceback" not in output


def test_after_sigkill_the_deployment_is_still_there_to_be_watched(tmp_path):
    with waiting_job(tmp_path, "--on-cancel=rollback") as job:
        job.process.kill()
        job.process.wait(timeout=10)
        with job.sandbox.client() as ecs:
            answer = ecs.list_service_deployments(cluster="ki-cluster", service="ki-rag-api")
    assert answer["serviceDeployments"][0]["status"] == "IN_PROGRESS"


def test_the_result_is_written_before_github_is_told_of_a_cancelled_deployment(tmp_path):
    ended = []

    def answered(asked):
        if asked.path.endswith("/statuses") and asked.body["state"] != "in_progress":
            ended.append((asked.body["state"], (tmp_path / "result.json").exists()))
        return Answer(201, {"id": 42})

    with github_stand_in(answered) as (url, _):
        github = {"GITHUB_API_URL": url, "GITHUB_REPOSITORY": "acme/rag", "GITHUB_SHA": "a" * 40}
        with waiting_job(tmp_path, "--deployment-record", "staging", **github) as job:
            code, _, result, _ = job.cancel(signal.SIGINT, signal.SIGTERM)
    assert (code, result["outcome"]) == (10, "cancelled")
    assert ended == [("error", True)]
