"""The order in which a task's containers start."""

from __future__ import annotations

from typing import Any

import pytest
from scheduler_world import World, cluster

from ecs_gpu_deploy.ecs_model import ContainerScript
from ecs_gpu_deploy.ecs_model.state import Task
from ecs_gpu_deploy.ecs_model.statuses import StopCode, TaskStatus


def run(condition: str, other: ContainerScript, **definition: Any) -> Task:
    """Run a task whose container `rag` depends on `other`; it would be RUNNING at 4 s by itself."""
    world = World(rag=ContainerScript(), other=other)
    world.container = {"dependsOn": [{"containerName": "other", "condition": condition}]}
    world.more_containers = [{"name": "other", "image": "other", "essential": False, **definition}]
    scheduler = cluster(world, instances=1)
    [task], _ = scheduler.run_task({"taskDefinition": "rag"}, 0.0)
    scheduler.advance(1000.0)
    return task


CHECK = {"command": ["CMD", "true"], "interval": 10}


@pytest.mark.parametrize(
    ("condition", "other", "definition", "running_at"),
    [
        pytest.param("START", ContainerScript(), {}, 4.0, id="START waits for nothing more"),
        pytest.param("COMPLETE", ContainerScript(exit_code=1, exit_after=30.0), {}, 34.0, id="COMPLETE"),
        pytest.param("SUCCESS", ContainerScript(exit_code=0, exit_after=30.0), {}, 34.0, id="SUCCESS"),
        pytest.param(
            "HEALTHY",
            ContainerScript(load_seconds=15.0),
            {"healthCheck": CHECK},
            24.0,
            id="HEALTHY",
        ),
        pytest.param("HEALTHY", ContainerScript(), {}, None, id="HEALTHY without a check never comes"),
        pytest.param("COMPLETE", ContainerScript(), {}, None, id="COMPLETE of a server never comes"),
    ],
)
def test_when_a_task_with_a_dependency_runs(
    condition: str, other: ContainerScript, definition: dict[str, Any], running_at: float | None
) -> None:
    task = run(condition, other, **definition)
    assert task.started_at == running_at
    assert task.last_status is (TaskStatus.ACTIVATING if running_at is None else TaskStatus.RUNNING)


@pytest.mark.parametrize(
    ("other", "definition", "why", "at"),
    [
        pytest.param(
            ContainerScript(exit_code=3, exit_after=20.0),
            {},
            "dependency graph: failed to resolve container ordering dependency [other] for target [rag] as "
            "dependency did not exit successfully.",
            24.0,
            id="a dependency that fails",
        ),
        pytest.param(
            ContainerScript(exit_code=0, exit_after=200.0),
            {"startTimeout": 60},
            "dependency graph: container ordering dependency [other] for target [rag] has timed out.",
            64.0,
            id="a dependency that takes longer than its startTimeout",
        ),
    ],
)
def test_a_dependency_can_end_the_task(
    other: ContainerScript, definition: dict[str, Any], why: str, at: float
) -> None:
    task = run("SUCCESS", other, **definition)
    assert task.stop_code is StopCode.TASK_FAILED_TO_START
    assert task.containers[0].reason == why
    assert task.started_at is None
    assert task.stopping_at == at
