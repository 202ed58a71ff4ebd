"""RunTask's request: what is asked, as the API has it."""

from typing import Any

import pytest

from ecs_gpu_deploy.core.capacity.gpus import GpuRequest
from ecs_gpu_deploy.core.definition.task_definition import network_mode
from ecs_gpu_deploy.core.definition.task_request import (
    CapacityShare,
    TaskOverrides,
    TaskRequest,
    TaskVolume,
    awsvpc_of,
    overrides_of,
)
from ecs_gpu_deploy.errors import InvalidInput

DEFINITION = {"family": "rag", "containerDefinitions": [{"name": "rag"}, {"name": "side"}]}
NOTHING: dict[str, Any] = {
    "container": "",
    "command": None,
    "environment": {},
    "container_cpu": None,
    "container_memory": None,
    "container_memory_reservation": None,
    "gpu": None,
    "cpu": "",
    "memory": "",
    "task_role_arn": "",
    "execution_role_arn": "",
}


@pytest.mark.parametrize(
    ("request_", "parameters"),
    [
        pytest.param(TaskRequest(task_definition="rag:7"), {"taskDefinition": "rag:7"}, id="the least"),
        pytest.param(
            TaskRequest(
                task_definition="rag:7",
                strategy=[CapacityShare(capacity_provider="gpu", weight=1).to_api()],
                network={"awsvpcConfiguration": {"subnets": ["a"]}},
                overrides={"cpu": "256"},
                tags={"team": "ki"},
                volume=TaskVolume(name="data", role_arn="r", settings={"sizeInGiB": 9}),
                started_by="me",
            ),
            {
                "taskDefinition": "rag:7",
                "capacityProviderStrategy": [{"capacityProvider": "gpu", "weight": 1}],
                "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["a"]}},
                "overrides": {"cpu": "256"},
                "tags": [{"key": "team", "value": "ki"}],
                "volumeConfigurations": [
                    {"name": "data", "managedEBSVolume": {"roleArn": "r", "sizeInGiB": 9}}
                ],
                "startedBy": "me",
            },
            id="all but a launch type",
        ),
        pytest.param(
            TaskRequest(task_definition="rag:7", launch_type="EC2"),
            {"taskDefinition": "rag:7", "launchType": "EC2"},
            id="a launch type",
        ),
    ],
)
def test_a_request_is_written_as_the_api_has_it(request_, parameters):
    assert request_.to_api() == parameters


@pytest.mark.parametrize(
    ("specifications", "sent"),
    [
        ([{"resourceType": "volume", "propagateTags": "SERVICE"}], None),
        (
            [{"resourceType": "volume", "propagateTags": "SERVICE", "tags": [{"key": "a", "value": "b"}]}],
            [{"resourceType": "volume", "tags": [{"key": "a", "value": "b"}]}],
        ),
        (
            [{"resourceType": "volume", "propagateTags": "TASK_DEFINITION"}],
            [{"resourceType": "volume", "propagateTags": "TASK_DEFINITION"}],
        ),
    ],
    ids=["alone", "beside tags of its own", "those of the task definition"],
)
def test_a_task_s_volume_has_no_service_whose_tags_it_could_take(specifications, sent):
    volume = TaskVolume(name="data", role_arn="r", settings={"tagSpecifications": specifications})
    [written] = TaskRequest(task_definition="rag:7", volume=volume).to_api()["volumeConfigurations"]
    assert written["managedEBSVolume"].get("tagSpecifications") == sent
    assert volume.to_api()["managedEBSVolume"]["tagSpecifications"] == specifications


def test_the_providers_are_those_of_the_strategy():
    assert TaskRequest(task_definition="a", strategy=[{"capacityProvider": "gpu"}]).providers == ("gpu",)


@pytest.mark.parametrize(
    ("asked", "overrides"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param(
            {
                "container": "rag",
                "command": ("a", "b"),
                "environment": {"K": "v"},
                "container_cpu": 0,
                "container_memory": 512,
                "container_memory_reservation": 256,
                "gpu": GpuRequest.from_value("2"),
            },
            {
                "containerOverrides": [
                    {
                        "name": "rag",
                        "command": ["a", "b"],
                        "environment": [{"name": "K", "value": "v"}],
                        "cpu": 0,
                        "memory": 512,
                        "memoryReservation": 256,
                        "resourceRequirements": [{"type": "GPU", "value": "2"}],
                    }
                ]
            },
            id="a container",
        ),
        pytest.param(
            {"container": "rag", "gpu": GpuRequest.from_value("0")},
            {"containerOverrides": [{"name": "rag", "resourceRequirements": []}]},
            id="a container without its GPUs",
        ),
        pytest.param(
            {"cpu": "256", "memory": "512", "task_role_arn": "r", "execution_role_arn": "e"},
            {"cpu": "256", "memory": "512", "taskRoleArn": "r", "executionRoleArn": "e"},
            id="the task",
        ),
    ],
)
def test_overrides(asked, overrides):
    assert overrides_of(TaskOverrides(**{**NOTHING, **asked}), DEFINITION) == overrides


def test_overrides_of_a_container_that_is_not_there_are_refused():
    with pytest.raises(InvalidInput):
        overrides_of(TaskOverrides(**{**NOTHING, "container": "nobody", "container_cpu": 1}), DEFINITION)


@pytest.mark.parametrize(
    ("given", "own", "network"),
    [
        pytest.param(None, {}, {}, id="nobody says in which subnets"),
        pytest.param(None, {"security_groups": ["g"]}, {}, id="security groups alone"),
        pytest.param(
            {
                "awsvpcConfiguration": {
                    "subnets": ["a"],
                    "securityGroups": ["g"],
                    "assignPublicIp": "DISABLED",
                }
            },
            {"subnets": ["b"], "public_ip": True},
            {"awsvpcConfiguration": {"subnets": ["b"], "securityGroups": ["g"], "assignPublicIp": "ENABLED"}},
            id="the service's, with subnets of our own",
        ),
    ],
)
def test_the_network(given, own, network):
    own = {"subnets": [], "security_groups": [], "public_ip": False, **own}
    assert awsvpc_of(given, **own) == network


@pytest.mark.parametrize(("given", "mode"), [({}, "bridge"), ({"networkMode": "awsvpc"}, "awsvpc")])
def test_the_network_mode(given, mode):
    assert network_mode(given) == mode
