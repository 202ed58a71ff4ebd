"""watch: the command that a job left behind ends with the verdict that the job would have given."""

import shlex

from program import REGISTRY, run_program
from sandbox_process import sandbox_thread

SERVICE = ("--cluster", "ki-cluster", "--service", "ki-rag-api")


def _command_in(shown):
    """Return the words of the watch command that the program printed."""
    line = next(line for line in shown.splitlines() if "ecs-gpu-deploy watch" in line)
    return shlex.split(line.partition("ecs-gpu-deploy ")[2])


def test_the_printed_command_goes_on_where_a_deployment_was_left(tmp_path):
    with sandbox_thread() as sandbox:
        left = run_program(
            sandbox, tmp_path, ["deploy", *SERVICE, "--image", f"{REGISTRY}:good", "--timeout", "60s"]
        )
        assert left.exit_code == 6
        run = run_program(sandbox, tmp_path, _command_in(left.shown))
    assert run.exit_code == 0, run.shown
    assert run.result["task_definition_arn"] == left.result["task_definition_arn"]
    assert run.result["previous_task_definition_arn"].endswith("/ki-rag-api:1")
    assert run.result["service_deployment_arn"] == left.result["service_deployment_arn"]
    assert run.changes == []


def test_the_printed_command_goes_on_where_a_batch_was_left(tmp_path):
    with sandbox_thread() as sandbox:
        with sandbox.client() as ecs:
            container = {"name": "ingest", "image": f"{REGISTRY}:bad", "memory": 512}
            ecs.register_task_definition(family="ingest", containerDefinitions=[container])
        started = run_program(
            sandbox,
            tmp_path,
            ["run-task", "--cluster", "ki-cluster", "--task-definition", "ingest", "--wait", "false"],
        )
        assert started.exit_code == 0
        run = run_program(sandbox, tmp_path, _command_in(started.shown))
    assert run.exit_code == 7, run.shown
    assert [c["exit_code"] for task in run.result["tasks"] for c in task["containers"]] == [1]
    assert run.changes == []
