"""Which container ended a task, and what is said of it: in a rollout and in a batch."""

from __future__ import annotations

import pytest

from ecs_gpu_deploy.core.diagnose.diagnosis import diagnoses_of
from ecs_gpu_deploy.core.judge.culprit import culprit_of, side_containers, was_stopped
from ecs_gpu_deploy.model import Container, LogTail, Task

SIDE = frozenset({"metrics", "fetch"})


def container(name: str, exit_code: int | None, reason: str = "") -> Container:
    return Container(name=name, exit_code=exit_code, reason=reason)


@pytest.mark.parametrize(
    ("ended", "culprit"),
    [
        pytest.param({"rag": 1}, "rag", id="the only one"),
        pytest.param({"metrics": 1, "rag": 137}, "rag", id="a side container's code is not the cause"),
        pytest.param({"metrics": 1, "rag": 0}, "rag", id="nor where the essential one is done"),
        pytest.param({"metrics": 0, "rag": None}, None, id="an init that is done ended nothing"),
        pytest.param(
            {"fetch": 1, "rag": None}, "fetch", id="a failed init kept the essential one from starting"
        ),
        pytest.param({"init": 0, "rag": 143}, "init", id="SIGTERM came after the one that ended with 0"),
        pytest.param({"init": 0, "rag": 137}, "rag", id="killed is the better culprit than done"),
        pytest.param({"proxy": 143, "rag": 1}, "rag", id="an own code is the better culprit than SIGTERM"),
        pytest.param({"proxy": 137, "rag": 1}, "rag", id="and than SIGKILL"),
        pytest.param({"rag": 143}, "rag", id="SIGTERM alone"),
        pytest.param({"rag": None}, None, id="none that ran"),
    ],
)
def test_the_culprit(ended: dict[str, int | None], culprit: str | None) -> None:
    containers = [container(name, code) for name, code in ended.items()]
    found = culprit_of(containers, SIDE)
    if culprit is None:
        assert found is None or found.name in SIDE
    else:
        assert found is not None
        assert found.name == culprit


def test_out_of_memory_is_the_culprit_also_with_exit_code_0() -> None:
    containers = [container("proxy", 1), container("rag", 0, "OutOfMemoryError: Container killed")]
    found = culprit_of(containers)
    assert found is containers[1]


@pytest.mark.parametrize(
    ("other", "code", "stopped"),
    [(0, 143, True), (0, 137, False), (1, 137, True), (1, 143, True), (0, 1, False), (None, 143, False)],
)
def test_what_ecs_stopped_after_another_container(other: int | None, code: int, stopped: bool) -> None:
    containers = [container("proxy", other), container("rag", code)]
    assert was_stopped(containers[1], containers) is stopped


def test_what_is_named_for_the_work_is_no_side_container() -> None:
    definition = {"containerDefinitions": [{"name": "rag"}, {"name": "ingest", "essential": False}]}
    assert side_containers(definition) == {"ingest"}
    assert side_containers(definition, named=["ingest", ""]) == frozenset()


def ended(*containers: Container) -> Task:
    return Task(
        arn="arn:task/0123",
        last_status="STOPPED",
        stop_code="EssentialContainerExited",
        stopped_reason="Essential container in task exited",
        started_at=1.0,
        containers=containers,
    )


def test_a_side_container_is_no_cause_of_a_stop_that_another_one_made() -> None:
    task = ended(container("metrics", 1, "CannotPullContainerError: not found"), container("rag", 137))
    tails = [
        LogTail(task_id="0123", container="metrics", lines=("ModuleNotFoundError: No module named 'x'",))
    ]
    (cause,) = diagnoses_of(tasks=[task], log_tails=tails, side=SIDE)
    assert cause.code == "container-exit"
    assert cause.message == "1 task: the container rag ended with exit code 137 (SIGKILL)."


def test_an_essential_init_that_ended_with_0_is_why_the_task_stopped() -> None:
    (cause,) = diagnoses_of(tasks=[ended(container("init", 0), container("rag", 143))])
    assert cause.message == (
        "1 task: the container init is essential and ended with exit code 0, so ECS stopped the task."
    )
    (cause,) = diagnoses_of(tasks=[ended(container("init", 0), container("rag", 137))])
    assert cause.message == (
        "1 task: the container rag ended with exit code 137 (SIGKILL); init, essential too, ended with 0: "
        "the first of them to end stopped the task."
    )


def test_a_failed_init_that_is_not_essential_is_the_cause_where_the_main_one_never_ran() -> None:
    (cause,) = diagnoses_of(tasks=[ended(container("fetch", 2), container("rag", None))], side=SIDE)
    assert "fetch ended with exit code 2" in cause.message
