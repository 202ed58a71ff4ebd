"""The AppSpec: what is put in, what stays, what is refused."""

import hashlib
import json

import pytest

from ecs_gpu_deploy.core.definition.appspec import (
    appspec_of,
    filled,
    read_appspec,
    revision_content,
    task_definition_in,
)
from ecs_gpu_deploy.errors import InvalidInput

ARN = "arn:aws:ecs:eu-central-1:123456789012:task-definition/rag:2"
BALANCED = (("rag", 8000),)
WHOLE = """
version: 0.0
Resources:
  - TargetService:
      Type: AWS::ECS::Service
      Properties:
        TaskDefinition: <TASK_DEFINITION>
        LoadBalancerInfo: {ContainerName: <CONTAINER_NAME>, ContainerPort: 9000}
        PlatformVersion: LATEST
Hooks:
  - AfterInstall: probe
"""


def _made(appspec, balanced=BALANCED):
    return filled(appspec, task_definition=ARN, balanced=balanced, containers=("rag", "side"))


def _properties(appspec):
    return appspec["Resources"][0]["TargetService"]["Properties"]


def test_revision_and_container_are_put_in_and_all_else_stays():
    given = read_appspec(WHOLE, name="appspec.yaml")
    made = _made(given)
    assert _properties(made) == {
        "TaskDefinition": ARN,
        "LoadBalancerInfo": {"ContainerName": "rag", "ContainerPort": 9000},
        "PlatformVersion": "LATEST",
    }
    assert made["Hooks"] == [{"AfterInstall": "probe"}]
    assert _properties(given)["TaskDefinition"] == "<TASK_DEFINITION>"


def test_names_of_members_are_found_in_any_case():
    lower = WHOLE.replace("Resources", "resources").replace("TaskDefinition", "taskDefinition")
    made = _made(read_appspec(lower, name="appspec.yaml"))
    assert made["resources"][0]["TargetService"]["Properties"]["taskDefinition"] == ARN


def test_one_is_made_from_the_service():
    made = _made(appspec_of(BALANCED))
    assert _properties(made)["LoadBalancerInfo"] == {"ContainerName": "rag", "ContainerPort": 8000}
    content, sha256 = revision_content(made)
    assert hashlib.sha256(content.encode()).hexdigest() == sha256
    assert json.loads(content) == made
    assert task_definition_in(content) == ARN
    assert task_definition_in("s3://bucket/key") == ""


TARGET = "TargetService: {Type: 'AWS::ECS::Service', Properties: {}}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- a", "no mapping"),
        ("version: 0.0", "has no Resources"),
        ("Resources: []", "has no Resources"),
        ("Resources: [{TargetService: {Type: 'AWS::Lambda::Function'}}]", "no TargetService"),
        (
            f"Resources: [{{{TARGET}}}, {{Other{TARGET}}}]",
            "has 2 resources (TargetService, OtherTargetService)",
        ),
        ("Resources: [{TargetService: {Type: 'AWS::ECS::Service'}}]", "has no Properties"),
    ],
)
def test_what_no_deployment_to_ecs_can_take_is_refused(text, says):
    with pytest.raises(InvalidInput) as refused:
        read_appspec(text, name="appspec.yaml")
    assert says in refused.value.message


@pytest.mark.parametrize(
    ("info", "balanced", "says"),
    [
        ("{ContainerName: other, ContainerPort: 8000}", BALANCED, "'other' is not in the task definition"),
        ("{ContainerName: rag, ContainerPort: http}", BALANCED, "'http', which is no port"),
        ("{}", (), "names no ContainerName"),
        ("{ContainerName: rag}", (("rag", 1), ("rag", 2)), "names no ContainerPort"),
    ],
)
def test_a_container_or_port_that_is_not_there_is_refused(info, balanced, says):
    text = f"Resources: [{{T: {{Type: 'AWS::ECS::Service', Properties: {{LoadBalancerInfo: {info}}}}}}}]"
    with pytest.raises(InvalidInput) as refused:
        _made(read_appspec(text, name="appspec.yaml"), balanced)
    assert says in refused.value.message
