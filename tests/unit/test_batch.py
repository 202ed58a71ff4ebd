"""Batch tasks: tokens, refusals, and the judgement over every container."""

import pytest

from ecs_gpu_deploy.core.judge.batch import (
    Refusal,
    Stage,
    batch_mark,
    client_token,
    exited_non_zero,
    is_lack,
    lacks,
    never_placed,
    progress_text,
    retry_wait,
    stage_of,
    task_end,
    verdict_of,
)
from ecs_gpu_deploy.model import Container, Task
from ecs_gpu_deploy.result import Outcome

ONE = {"containerDefinitions": [{"name": "ingest"}]}
TWO = {"containerDefinitions": [{"name": "ingest"}, {"name": "router"}]}
SIDE = {"containerDefinitions": [{"name": "ingest"}, {"name": "router", "essential": False}]}


def _task(*containers, status="STOPPED", code="EssentialContainerExited", reason="", **rest):
    return Task(
        arn="arn:aws:ecs:eu-central-1:123456789012:task/ki/0123456789abcdef",
        last_status=status,
        stop_code=code,
        stopped_reason=reason,
        containers=tuple(containers),
        **rest,
    )


def _c(exit_code, reason="", name="ingest"):
    return Container(name=name, exit_code=exit_code, reason=reason)


@pytest.mark.parametrize(
    ("task", "definition", "judgement", "containers", "non_zero"),
    [
        (_task(_c(0)), ONE, "succeeded", ["succeeded"], False),
        (_task(_c(1)), ONE, "failed", ["failed"], True),
        (_task(_c(0), _c(143, name="router")), TWO, "succeeded", ["succeeded", "stopped"], False),
        (_task(_c(0), _c(137, name="router")), TWO, "succeeded", ["succeeded", "stopped"], False),
        (
            _task(_c(0), _c(137, "OutOfMemoryError: Container killed", name="router")),
            TWO,
            "failed",
            ["succeeded", "failed"],
            True,
        ),
        (_task(_c(1), _c(143, name="router")), TWO, "failed", ["failed", "failed"], True),
        (_task(_c(0), _c(2, name="router")), SIDE, "succeeded", ["succeeded", "failed"], False),
        (_task(_c(None, "CannotPull"), code="TaskFailedToStart"), ONE, "failed", ["unknown"], False),
        (_task(_c(143), code="SpotInterruption"), ONE, "failed", ["stopped"], False),
        (_task(_c(0), code="UserInitiated"), ONE, "failed", ["stopped"], False),
        (_task(code="TaskFailedToStart"), ONE, "failed", [], False),
        (_task(_c(None), status="RUNNING", code=""), ONE, "running", [], False),
    ],
    ids=[
        "0 is well",
        "1 is not",
        "a container that ECS stopped after the main one is no failure",
        "nor one that did not heed SIGTERM",
        "but out of memory is, although it is 137",
        "when the main one failed, so did the task",
        "what is not essential does not fail the task",
        "a container that never ran failed without a code",
        "a Spot interruption is no exit code of the program",
        "what somebody stopped is not done, although it ended with 0",
        "no containers at all",
        "a running task is not judged",
    ],
)
def test_every_container_is_judged(task, definition, judgement, containers, non_zero):
    end = task_end(task, definition)
    assert end.judgement == judgement
    assert [container.judgement for container in end.containers] == containers
    assert exited_non_zero([end]) is non_zero


def test_the_verdict_names_the_commonest_causes():
    ends = [task_end(_task(_c(code)), ONE) for code in (0, 3, 3, 1)]
    verdict = verdict_of(ends)
    assert verdict.outcome == Outcome.FAILED
    assert verdict.reason == (
        "3 of 4 tasks failed: container ingest exited with 3 (2 tasks); container ingest exited with 1."
    )
    assert verdict_of(ends[:1]).reason == "The task ended well (exit code 0)."


@pytest.mark.parametrize(
    ("reason", "lack"),
    [
        ("RESOURCE:GPU", True),
        ("RESOURCE:MEMORY", True),
        ("AGENT", True),
        (
            "Capacity is unavailable at this time. Please try again later or in another zone",
            True,
        ),
        ("No Container Instances were found in your cluster.", True),
        ("You've reached the limit on the number of tasks you can run concurrently", True),
        ("The tasks provisioning capacity limit was exceeded.", True),
        ("ATTRIBUTE", False),
        ("MISSING", False),
        ("INACTIVE", False),
        ("LOCATION", False),
        ("MemberOf placement constraint unsatisfied", False),
    ],
)
def test_a_lack_of_capacity_is_told_from_what_waiting_does_not_cure(reason, lack):
    assert is_lack(reason) is lack


def test_one_full_instance_among_unfit_ones_is_a_lack():
    assert lacks([Refusal(reason="ATTRIBUTE"), Refusal(reason="RESOURCE:GPU")])
    assert not lacks([Refusal(reason="ATTRIBUTE"), Refusal(reason="MISSING")])


def test_waits_grow_to_a_minute():
    assert [retry_wait(tries) for tries in range(1, 8)] == [5, 10, 20, 40, 60, 60, 60]


def test_tokens_are_the_same_for_the_same_run_and_request_alone():
    request = {"taskDefinition": "a:1", "overrides": {"b": 1}}
    mark = batch_mark(("acme/rag", "77", "1"), request)
    assert mark == batch_mark(("acme/rag", "77", "1"), dict(reversed(request.items())))
    assert mark != batch_mark(("acme/rag", "77", "2"), request)
    assert mark != batch_mark(("acme/rag", "77", "1"), {**request, "taskDefinition": "a:2"})
    tokens = {client_token(mark, r, c) for r in range(100) for c in range(100)}
    assert len(tokens) == 10_000
    assert max(map(len, tokens)) <= 64


@pytest.mark.parametrize(
    ("task", "stage"),
    [
        (_task(status="PROVISIONING"), Stage.PLACEMENT),
        (_task(status="PENDING"), Stage.PLACEMENT),
        (_task(status="PENDING", pull_started_at=1.0), Stage.PULL),
        (_task(status="PENDING", pull_started_at=1.0, pull_stopped_at=2.0), Stage.START),
        (_task(status="RUNNING"), Stage.RUN),
        (_task(status="DEPROVISIONING", started_at=3.0), Stage.RUN),
        (_task(status="STOPPED"), Stage.ENDED),
    ],
)
def test_where_a_task_is(task, stage):
    assert stage_of(task) == stage


def test_a_task_that_a_capacity_provider_never_placed_may_be_started_again():
    assert never_placed(_task(code="TaskFailedToStart", reason="TaskFailedToStart: RESOURCE:GPU"))
    assert not never_placed(_task(code="TaskFailedToStart", reason="CannotPullContainerError: x"))
    assert not never_placed(_task(_c(1), reason="Essential container in task exited"))


def test_progress_counts_what_is_missing_and_where_the_rest_is():
    tasks = [_task(status="RUNNING"), _task(), _task(status="PENDING")]
    assert progress_text(tasks, 5) == "2 tasks not started · placement 1 · run 1 · ended 1 of 5"
