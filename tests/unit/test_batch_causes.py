"""The causes of a batch's end: whose containers count, and what is said where no place was found."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_gpu_deploy.core.capacity.compute import Compute, ComputeKind
from ecs_gpu_deploy.core.capacity.shortage import Answer, Shortage
from ecs_gpu_deploy.core.diagnose.batch_causes import batch_diagnoses
from ecs_gpu_deploy.core.judge.batch import BatchHistory, BatchWatched
from ecs_gpu_deploy.core.judge.batch_request import Refusal
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.model import Container, LogTail, Task
from ecs_gpu_deploy.result import Diagnosis, Outcome

DEFINITION = {"containerDefinitions": [{"name": "server"}, {"name": "ingest", "essential": False}]}
SHORT = Shortage(
    answer=Answer.IMPOSSIBLE, code="gpu-capacity", note="", message="It wants 4 GPUs.", hint="Ask for 1."
)
NO_GPU = Refusal(reason="RESOURCE:GPU", detail="none is free")
SILENT = Refusal(reason="AGENT")


def ended(number: int, *containers: Container, **rest: Any) -> Task:
    given = {"stop_code": "EssentialContainerExited", "stopped_reason": "Essential container in task exited"}
    return Task(arn=f"arn:t/{number}", last_status="STOPPED", containers=containers, **{**given, **rest})


NEVER_PLACED = ended(8, stop_code="TaskFailedToStart", stopped_reason="TaskFailedToStart: RESOURCE:MEMORY")
CRASHED = ended(1, Container(name="server", exit_code=1))
BOTH_ENDED = ended(1, Container(name="server", exit_code=3), Container(name="ingest", exit_code=4))


def causes(
    outcome: Outcome,
    *tasks: Task,
    named: str = "",
    compute: Compute | None = None,
    lines: tuple[str, ...] = (),
    **seen: Any,
) -> tuple[Diagnosis, ...]:
    watched = BatchWatched(
        definition=DEFINITION,
        wanted=2,
        began=1000.0,
        timeout=3600.0,
        placement_timeout=300.0,
        named=named,
        compute=compute or Compute(),
    )
    history = BatchHistory(placed_at=1000.0, tasks={task.arn: task for task in tasks}, **seen)
    tail = LogTail(task_id="1", container="ingest", lines=lines)
    return batch_diagnoses(watched, history, Verdict(outcome=outcome, reason=""), [tail])


def told(found: tuple[Diagnosis, ...]) -> list[tuple[str, tuple[str, ...]]]:
    return [(each.code, each.tasks) for each in found]


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        pytest.param(Outcome.FAILED, [("container-exit", ("1",))], id="it failed"),
        pytest.param(
            Outcome.NO_CAPACITY,
            [
                ("gpu-capacity", ()),
                ("memory-capacity", ("8",)),
                ("agent-disconnected", ()),
                ("container-exit", ("1",)),
            ],
            id="no place was found",
        ),
    ],
)
def test_what_found_no_place_counts_where_that_ended_the_batch(
    outcome: Outcome, expected: list[tuple[str, tuple[str, ...]]]
) -> None:
    found = causes(outcome, CRASHED, unplaced=(NEVER_PLACED,), refusals=(NO_GPU, SILENT))
    assert told(found) == expected


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        pytest.param(Outcome.FAILED, [("container-exit", ("1",))], id="it failed"),
        pytest.param(
            Outcome.NO_CAPACITY,
            [("gpu-capacity", ()), ("agent-disconnected", ()), ("container-exit", ("1",))],
            id="no place was found",
        ),
    ],
)
def test_a_shortage_is_the_first_cause_where_no_place_was_found(
    outcome: Outcome, expected: list[tuple[str, tuple[str, ...]]]
) -> None:
    found = causes(outcome, CRASHED, refusals=(SILENT, NO_GPU, NO_GPU), shortage=SHORT)
    assert told(found) == expected
    if outcome is Outcome.NO_CAPACITY:
        assert (found[0].message, found[0].hint) == (SHORT.message, SHORT.hint)
        assert found[0].evidence == ("AGENT", "RESOURCE:GPU: none is free")


@pytest.mark.parametrize(
    ("task", "named", "exit_code"),
    [
        pytest.param(BOTH_ENDED, "", 3, id="the essential one"),
        pytest.param(BOTH_ENDED, "server", 3, id="named, and essential as well"),
        pytest.param(
            ended(1, Container(name="server", exit_code=137), Container(name="ingest", exit_code=4)),
            "ingest",
            4,
            id="the one that was named for the batch",
        ),
        pytest.param(
            ended(
                1,
                Container(name="server", exit_code=137),
                Container(name="ingest", exit_code=4),
                overridden=("ingest",),
            ),
            "",
            4,
            id="the one whose command was overridden",
        ),
    ],
)
def test_the_container_whose_end_is_told(task: Task, named: str, exit_code: int) -> None:
    (found,) = causes(Outcome.FAILED, task, named=named)
    assert f"exit code {exit_code}" in found.message


def test_the_log_of_a_container_counts_where_the_batch_was_for_it() -> None:
    lines = ("CUDA out of memory",)
    assert told(causes(Outcome.FAILED, BOTH_ENDED, lines=lines)) == [("container-exit", ("1",))]
    assert told(causes(Outcome.FAILED, BOTH_ENDED, lines=lines, named="ingest")) == [
        ("cuda-out-of-memory", ("1",))
    ]


def test_the_hint_is_for_the_compute_that_is_used() -> None:
    (found,) = causes(
        Outcome.NO_CAPACITY,
        refusals=(Refusal(reason="Capacity is unavailable at this time. Please try again later"),),
        compute=Compute(kind=ComputeKind.FARGATE),
    )
    assert found.message.startswith("Fargate has no capacity for a task of this size")
    assert found.hint.startswith("Give subnets in more Availability Zones")
