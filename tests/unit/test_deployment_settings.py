"""What a deployment sets in the deployment configuration: merged into what the service has, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from ecs_gpu_deploy.core.judge.deployment_settings import (
    DeploymentSettings,
    Threshold,
    settings_changed,
    with_settings,
)
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.model import Service

GROUP = {"targetGroupArn": "arn:tg", "containerName": "rag", "containerPort": 8000}
SHIFTED = {**GROUP, "advancedConfiguration": {"alternateTargetGroupArn": "arn:tg2"}}
HOOKS = [{"targetType": "PAUSE", "lifecycleStages": ["POST_SCALE_UP"]}]
ALARMS = {"alarmNames": ["p99"], "enable": True, "rollback": False}
ROLLING: Mapping[str, Any] = {
    "strategy": "ROLLING",
    "minimumHealthyPercent": 50,
    "maximumPercent": 150,
    "deploymentCircuitBreaker": {"enable": True, "rollback": True, "resetOnHealthyTask": False},
}
CANARY: Mapping[str, Any] = {
    "strategy": "CANARY",
    "bakeTimeInMinutes": 5,
    "lifecycleHooks": HOOKS,
    "canaryConfiguration": {"canaryPercent": 10.0, "canaryBakeTimeInMinutes": 7},
}


def service(configuration: Mapping[str, Any], **members: Any) -> Service:
    return Service.from_api(
        {
            "serviceArn": "arn:aws:ecs:eu-central-1:123456789012:service/c/rag",
            "serviceName": "rag",
            "clusterArn": "arn:aws:ecs:eu-central-1:123456789012:cluster/c",
            "loadBalancers": [SHIFTED],
            "deploymentConfiguration": configuration,
            **members,
        }
    )


def wish(**settings: Any) -> DeploymentSettings:
    return DeploymentSettings(**settings)


@pytest.mark.parametrize(
    ("before", "wanted", "changed"),
    [
        (ROLLING, wish(), {}),
        (CANARY, wish(early_success="disabled"), {}),
        (
            ROLLING,
            wish(circuit_breaker="enabled"),
            {
                "deploymentCircuitBreaker": {
                    "enable": True,
                    "rollback": False,
                    "resetOnHealthyTask": False,
                }
            },
        ),
        (
            ROLLING,
            wish(breaker_threshold=Threshold(type="COUNT", value=2)),
            {
                "deploymentCircuitBreaker": {
                    "enable": True,
                    "rollback": True,
                    "resetOnHealthyTask": False,
                    "thresholdConfiguration": {"type": "COUNT", "value": 2},
                }
            },
        ),
        (ROLLING, wish(alarms=("a",)), {"alarms": {"alarmNames": ["a"], "enable": True, "rollback": True}}),
        (
            {**ROLLING, "alarms": ALARMS},
            wish(alarms=("a", "b")),
            {"alarms": {"alarmNames": ["a", "b"], "enable": True, "rollback": False}},
        ),
        (
            {**ROLLING, "alarms": ALARMS},
            wish(alarm_action="disabled"),
            {"alarms": {"alarmNames": ["p99"], "enable": False, "rollback": False}},
        ),
        ({**ROLLING, "alarms": ALARMS}, wish(bake_time=3), {"bakeTimeInMinutes": 3}),
        (CANARY, wish(bake_time=0), {"bakeTimeInMinutes": 0}),
        (
            CANARY,
            wish(step_percent=2.5),
            {"canaryConfiguration": {"canaryPercent": 2.5, "canaryBakeTimeInMinutes": 7}},
        ),
        (
            CANARY,
            wish(strategy="LINEAR", step_percent=25.0, step_bake_time=2),
            {
                "strategy": "LINEAR",
                "canaryConfiguration": None,
                "linearConfiguration": {"stepPercent": 25.0, "stepBakeTimeInMinutes": 2},
            },
        ),
        (
            {**ROLLING, "earlySuccessCriteria": {"enable": False}},
            wish(strategy="BLUE_GREEN", bake_time=10),
            {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 10, "earlySuccessCriteria": None},
        ),
        (
            ROLLING,
            wish(early_success_percent=60),
            {
                "earlySuccessCriteria": {
                    "enable": True,
                    "healthyPercent": 60,
                    "sourceServiceRevisionCleanup": "BLOCKING",
                }
            },
        ),
        (
            {**ROLLING, "earlySuccessCriteria": {"enable": True, "healthyPercent": 60}},
            wish(early_success="disabled"),
            {"earlySuccessCriteria": {"enable": False, "healthyPercent": 60}},
        ),
    ],
)
def test_what_is_named_is_set_and_all_else_stays(
    before: Mapping[str, Any], wanted: DeploymentSettings, changed: Mapping[str, Any]
) -> None:
    was = service(before)
    after = with_settings(was, wanted)
    expected = {name: value for name, value in {**before, **changed}.items() if value is not None}
    assert after.deployment_configuration == expected
    assert after == service(expected), "what is derived of it follows"
    assert with_settings(after, wanted) == after, "set again it is the same"
    assert bool(settings_changed(was, after)) == bool(changed)


@pytest.mark.parametrize(
    ("before", "wanted", "sentence"),
    [
        (ROLLING, wish(bake_time=5), "bakes only where alarms watch it"),
        (ROLLING, wish(alarm_action="rollback"), "has no alarms"),
        (ROLLING, wish(step_percent=10.0), "step-percent is of the strategies LINEAR and CANARY"),
        (ROLLING, wish(strategy="BLUE_GREEN"), "needs a bake-time"),
        (ROLLING, wish(early_success="BLOCKING"), "how many tasks it takes is not said"),
        (ROLLING, wish(early_success_percent=40), "minimumHealthyPercent (50) to 100"),
        (
            {**ROLLING, "deploymentCircuitBreaker": {"enable": False, "rollback": False}},
            wish(breaker_threshold=Threshold(type="COUNT", value=2)),
            "the circuit breaker of 'rag' is off",
        ),
        (CANARY, wish(early_success_percent=60), "is of the strategy ROLLING, and this deployment is CANARY"),
        (CANARY, wish(strategy="LINEAR", step_percent=2.0), "LINEAR takes 3 to 100"),
        (CANARY, wish(step_percent=0.25), "in tenths"),
    ],
)
def test_what_does_not_go_with_the_service_is_refused_in_a_sentence(
    before: Mapping[str, Any], wanted: DeploymentSettings, sentence: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        with_settings(service(before), wanted)
    assert sentence in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({"deploymentController": {"type": "CODE_DEPLOY"}}, "is deployed by CODE_DEPLOY"),
        ({"resourceManagementType": "ECS"}, "is one of Express Mode"),
        ({"loadBalancers": [GROUP]}, "has no alternate target group"),
    ],
)
def test_a_service_that_cannot_have_it_is_refused(members: Mapping[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        with_settings(service(ROLLING, **members), wish(strategy="BLUE_GREEN", bake_time=5))


@pytest.mark.parametrize(("percent", "hint"), [(49, "Set it higher"), (101, "100 is all of it")])
def test_the_hint_of_a_share_leads_into_what_aws_takes(percent: int, hint: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        with_settings(service(ROLLING), wish(early_success_percent=percent))
    assert hint in refused.value.hint


def test_the_change_is_told_by_aws_names() -> None:
    after = with_settings(service(CANARY), wish(strategy="LINEAR", step_percent=25.0, bake_time=10))
    assert settings_changed(service(CANARY), after) == (
        "strategy CANARY → LINEAR",
        "bakeTimeInMinutes 5 → 10",
        "canaryConfiguration.canaryPercent 10.0 → not set",
        "canaryConfiguration.canaryBakeTimeInMinutes 7 → not set",
        "linearConfiguration.stepPercent not set → 25.0",
    )
