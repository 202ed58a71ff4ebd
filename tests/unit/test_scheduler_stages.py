"""Blue/green, linear and canary deployments."""

from __future__ import annotations

from typing import Any

import pytest
from scheduler_world import World, cluster, messages, newest, service_config, steady_service

from ecs_gpu_deploy.ecs_model import ContainerScript, Scheduler
from ecs_gpu_deploy.ecs_model.refusals import InvalidParameter
from ecs_gpu_deploy.ecs_model.state import Service
from ecs_gpu_deploy.model import ServiceDeploymentStatus

READY = ContainerScript(load_seconds=0.0)


def deployed(image: str = "next", instances: int = 4, **configuration: Any) -> tuple[Scheduler, Service]:
    """Start a staged deployment at 2000 s."""
    scheduler = cluster(World(good=READY, next=READY), instances=instances)
    settings = {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5, **configuration}
    hooks = settings.pop("lifecycleHooks", [])
    service = steady_service(scheduler, service_config(configuration=settings), 2000.0)
    settings = {**service.config["deploymentConfiguration"], "lifecycleHooks": hooks}
    scheduler.update_service("api", {"taskDefinition": image, "deploymentConfiguration": settings}, 2000.0)
    return scheduler, service


def stages(scheduler: Scheduler, service: Service, until: float) -> list[str]:
    seen: list[str] = []
    while scheduler.now < until and not newest(scheduler, service).status.is_terminal:
        scheduler.advance(scheduler.now + 1)
        stage = newest(scheduler, service).lifecycle_stage
        if stage and stage not in seen:
            seen.append(stage)
    return seen


def test_blue_green_goes_through_all_stages() -> None:
    scheduler, service = deployed()
    assert stages(scheduler, service, 4000.0) == [
        "RECONCILE_SERVICE",
        "PRE_SCALE_UP",
        "SCALE_UP",
        "POST_SCALE_UP",
        "TEST_TRAFFIC_SHIFT",
        "POST_TEST_TRAFFIC_SHIFT",
        "PRODUCTION_TRAFFIC_SHIFT",
        "POST_PRODUCTION_TRAFFIC_SHIFT",
        "BAKE_TIME",
        "CLEAN_UP",
    ]
    record = newest(scheduler, service)
    assert record.status is ServiceDeploymentStatus.SUCCESSFUL
    assert (record.finished_at or 0) > 2300.0, "the bake time counts"
    assert scheduler.service_revisions[record.target_revision_arn].production_traffic_weight == 100.0


@pytest.mark.parametrize(
    ("configuration", "seconds"),
    [
        pytest.param(
            {"strategy": "LINEAR", "linearConfiguration": {"stepPercent": 25, "stepBakeTimeInMinutes": 2}},
            3 * 120,
            id="four steps of 25 % with three bakes between",
        ),
        pytest.param(
            {
                "strategy": "CANARY",
                "canaryConfiguration": {"canaryPercent": 5, "canaryBakeTimeInMinutes": 10},
            },
            600,
            id="a canary bakes once",
        ),
    ],
)
def test_traffic_moves_in_steps(configuration: dict[str, Any], seconds: float) -> None:
    scheduler, service = deployed(bakeTimeInMinutes=0, **configuration)
    record = newest(scheduler, service)
    revision = scheduler.service_revisions[record.target_revision_arn]
    weights: list[float] = []
    while not record.status.is_terminal:
        scheduler.advance(scheduler.now + 1)
        if record.lifecycle_stage == "PRODUCTION_TRAFFIC_SHIFT":
            weights.append(revision.production_traffic_weight)
    assert seconds <= len(weights) <= seconds + 10
    assert weights == sorted(weights)


def test_a_pause_waits_to_be_continued() -> None:
    hook = {"targetType": "PAUSE", "lifecycleStages": ["POST_SCALE_UP"]}
    scheduler, service = deployed(lifecycleHooks=[hook])
    scheduler.advance(3000.0)
    record = newest(scheduler, service)
    [waiting] = record.hooks
    assert (record.lifecycle_stage, waiting.status) == ("POST_SCALE_UP", "AWAITING_ACTION")
    assert waiting.expires_at is not None
    assert waiting.expires_at > 2000.0 + 1440 * 60
    with pytest.raises(InvalidParameter):
        scheduler.continue_service_deployment(record.arn, "another", "CONTINUE", 3000.0)
    scheduler.continue_service_deployment(record.arn, waiting.hook_id, "CONTINUE", 3000.0)
    scheduler.advance(4000.0)
    assert record.status is ServiceDeploymentStatus.SUCCESSFUL


@pytest.mark.parametrize("how", ["answered", "expired"])
def test_a_pause_can_roll_back(how: str) -> None:
    hook = {
        "targetType": "PAUSE",
        "lifecycleStages": ["POST_SCALE_UP"],
        "timeoutConfiguration": {"timeoutInMinutes": 20},
    }
    scheduler, service = deployed(lifecycleHooks=[hook])
    scheduler.advance(2500.0)
    record = newest(scheduler, service)
    if how == "answered":
        scheduler.continue_service_deployment(record.arn, record.hooks[0].hook_id, "ROLLBACK", 2500.0)
    scheduler.advance(5000.0)
    assert record.status is ServiceDeploymentStatus.ROLLBACK_SUCCESSFUL
    assert service.task_definition_arn == "good"
    assert service.running_count == 2
    reason = "Service deployment rolled back because POST_SCALE_UP lifecycle hook(s) failed."
    assert record.status_reason == reason
    assert any(each.endswith(f"deployment failed: {reason}") for each in messages(service))


def test_the_breaker_works_for_blue_green_too() -> None:
    breaker = {"enable": True, "rollback": True}
    scheduler, service = deployed("never", deploymentCircuitBreaker=breaker)
    scheduler.advance(6000.0)
    assert newest(scheduler, service).status is ServiceDeploymentStatus.ROLLBACK_SUCCESSFUL
    assert service.running_count == 2
