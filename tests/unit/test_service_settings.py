"""What a deployment sets in its service beside the revision; what does not go with it is refused."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_gpu_deploy.core.definition.service_settings import ServiceSettings
from ecs_gpu_deploy.core.definition.task_request import CapacityShare, TaskVolume
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.model import Service

VOLUME = TaskVolume(name="scratch", role_arn="arn", settings={"sizeInGiB": 30})
LATE = {"volumes": [{"name": "scratch", "configuredAtLaunch": True}, {"name": "host"}]}
HAS = {"deployments": [{"status": "PRIMARY", "volumeConfigurations": [{"name": "scratch"}]}]}


def service(**members: Any) -> Service:
    return Service.from_api({"serviceName": "rag", "status": "ACTIVE", **members})


@pytest.mark.parametrize(
    ("settings", "members", "says"),
    [
        (ServiceSettings(propagate_tags="NONE"), {"resourceManagementType": "ECS"}, "Express Mode"),
        (
            ServiceSettings(managed_tags=False),
            {"deploymentController": {"type": "CODE_DEPLOY"}},
            "deployed by CodeDeploy, and its deployment cannot set enable-ecs-managed-tags",
        ),
        (ServiceSettings(volume=VOLUME), {}, "'scratch'"),
    ],
)
def test_what_does_not_go_with_the_service_is_refused(
    settings: ServiceSettings, members: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidInput) as told:
        settings.check({}, service(**members))
    assert says in told.value.message


@pytest.mark.parametrize(
    ("settings", "definition", "members", "sent"),
    [
        (ServiceSettings(), {}, {}, {}),
        (ServiceSettings(managed_tags=False), {}, {}, {"enableECSManagedTags": False}),
        (
            ServiceSettings(strategy=(CapacityShare(capacity_provider="a", weight=0, base=2),)),
            {},
            {},
            {"capacityProviderStrategy": [{"capacityProvider": "a", "weight": 0, "base": 2}]},
        ),
        (ServiceSettings(), LATE, HAS, {}),
        (ServiceSettings(), {"volumes": [{"name": "scratch"}]}, HAS, {"volumeConfigurations": []}),
        (
            ServiceSettings(volume=VOLUME),
            LATE,
            HAS,
            {
                "volumeConfigurations": [
                    {"name": "scratch", "managedEBSVolume": {"roleArn": "arn", "sizeInGiB": 30}}
                ]
            },
        ),
    ],
)
def test_only_what_was_given_is_sent(
    settings: ServiceSettings, definition: dict[str, Any], members: dict[str, Any], sent: dict[str, Any]
) -> None:
    settings.check(definition, service(**members))
    assert settings.to_api(definition, service(**members)) == sent
