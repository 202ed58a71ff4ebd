"""Failed tasks are told together where they failed alike."""

from ecs_gpu_deploy.core.show.failures_view import failure_lines
from ecs_gpu_deploy.model import Container, Task


def task(identity, stopped="Essential container in task exited", code=1, ran=41.0, **container):
    return Task(
        arn=f"arn:aws:ecs:eu-central-1:123456789012:task/ki/{identity}ffffffff",
        stopped_reason=stopped,
        started_at=1000.0 if ran else None,
        stopped_at=1000.0 + ran if ran else 1000.0,
        containers=(Container(name="rag", exit_code=code, **container),),
    )


def test_tasks_that_failed_alike_share_a_line():
    assert failure_lines([task("aaaaaaaa"), task("bbbbbbbb", "x", 137), task("cccccccc", ran=55)]) == (
        "tasks aaaaaaaa, cccccccc failed after 41s to 55s: Essential container in task exited — rag exit 1",
        "task bbbbbbbb failed after 41s: x — rag exit 137",
    )


def test_of_many_tasks_some_are_named():
    (line,) = failure_lines([task(f"{number:08d}") for number in range(7)])
    assert line.startswith("tasks 00000000, 00000001, 00000002, 00000003 and 3 more failed after 41s: ")


def test_a_task_that_never_started_says_the_container_s_reason_as_text():
    never = task(
        "aaaaaaaa", "Task failed to start", code=None, ran=0, reason="CannotPull \x1b[31m\n::error::x"
    )
    assert failure_lines([never]) == (
        "task aaaaaaaa failed: Task failed to start — rag (CannotPull  ⏎ ::error::x)",
    )


def test_without_failures_there_are_no_lines():
    assert failure_lines([]) == ()
