"""The stages of a deployment: which one a wait ends at, and which never come."""

from __future__ import annotations

import pytest

from ecs_gpu_deploy.core.judge.lifecycle import STAGES, at_stage, why_never
from ecs_gpu_deploy.core.judge.verdict import Waiting
from ecs_gpu_deploy.ecs_model import stages as model
from ecs_gpu_deploy.model import LifecycleHook, Service, ServiceDeployment, ServiceDeploymentStatus
from ecs_gpu_deploy.result import Outcome

DEPLOYMENT = ServiceDeployment(arn="arn:d", status=ServiceDeploymentStatus.IN_PROGRESS)
HOOK = LifecycleHook(id="h-1", status="AWAITING_ACTION")


def service(strategy: str, controller: str = "ECS") -> Service:
    return Service.from_api(
        {
            "serviceName": "rag",
            "deploymentController": {"type": controller},
            "deploymentConfiguration": {"strategy": strategy},
        }
    )


@pytest.mark.parametrize(
    ("waiting", "said"),
    [
        (Waiting(stage="SCALE_UP"), ""),
        (Waiting(stage=""), ""),
        (Waiting(stage="SHADOW_TRAFFIC"), ""),
        (Waiting(stage="BAKE_TIME", rolling_back=True), ""),
        (
            Waiting(stage="TEST_TRAFFIC_SHIFT"),
            "The deployment is at TEST_TRAFFIC_SHIFT, 5 min after it began;",
        ),
        (Waiting(stage="BAKE_TIME"), "is at BAKE_TIME, past TEST_TRAFFIC_SHIFT, 5 min after it began;"),
        (
            Waiting(stage="TEST_TRAFFIC_SHIFT", hook=HOOK),
            "5 min after it began, where the hook h-1 waits for an answer; nobody waited further",
        ),
    ],
)
def test_the_wait_ends_at_its_stage_reached_or_passed(waiting: Waiting, said: str) -> None:
    verdict = at_stage("TEST_TRAFFIC_SHIFT", DEPLOYMENT, waiting, 300.0)
    if not said:
        assert verdict is None
        return
    assert verdict is not None
    assert verdict.outcome == Outcome.STARTED
    assert said in verdict.reason


def test_without_a_stage_or_a_deployment_the_wait_goes_on() -> None:
    waiting = Waiting(stage="CLEAN_UP")
    assert at_stage(None, DEPLOYMENT, waiting, 1.0) is None
    assert at_stage("BAKE_TIME", None, waiting, 1.0) is None


@pytest.mark.parametrize(
    ("strategy", "controller", "never"),
    [
        ("ROLLING", "ECS", "with the strategy ROLLING, which has no stage BAKE_TIME."),
        ("", "ECS", "with the strategy ROLLING"),
        ("BLUE_GREEN", "CODE_DEPLOY", "by CODE_DEPLOY, which has no stage"),
        ("BLUE_GREEN", "ECS", ""),
        ("LINEAR", "ECS", ""),
        ("CANARY", "ECS", ""),
    ],
)
def test_a_stage_that_never_comes_is_known_before(strategy: str, controller: str, never: str) -> None:
    why = why_never(service(strategy, controller), "BAKE_TIME")
    assert bool(why) == bool(never)
    assert never in why


def test_the_model_goes_through_the_stages_in_their_order() -> None:
    assert [each for each in STAGES if each in model.STAGES] == list(model.STAGES)
