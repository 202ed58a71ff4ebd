"""What AWS's answers about roles, permissions, target groups and images mean for a rollout."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tools.permissions import GRANTS

from ecs_gpu_deploy.core.rules.checks import (
    COMMAND_NEEDS,
    Decision,
    SecretWanted,
    balancer_checks,
    command_needs,
    execution_needs,
    own_permission_check,
    permission_check,
    platform_check,
    statement,
    trusts_tasks,
)
from ecs_gpu_deploy.result import CheckStatus

ROOT = Path(__file__).parents[2]
OK, FAILED, NOT_CHECKED = CheckStatus.OK, CheckStatus.FAILED, CheckStatus.NOT_CHECKED
TASKS = {"Service": "ecs-tasks.amazonaws.com"}
WHERE: dict[str, Any] = {"partition": "aws", "region": "eu-central-1", "account": "123456789012"}


@pytest.mark.parametrize(
    ("statement", "trusts"),
    [
        ({"Effect": "Allow", "Principal": TASKS, "Action": "sts:AssumeRole"}, True),
        ({"Effect": "Allow", "Principal": TASKS, "Action": ["sts:AssumeRole", "sts:TagSession"]}, True),
        ({"Effect": "Allow", "Principal": {"Service": ["x", *TASKS.values()]}, "Action": "*"}, True),
        ({"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}, True),
        ({"Effect": "Deny", "Principal": TASKS, "Action": "sts:AssumeRole"}, False),
        ({"Effect": "Allow", "Principal": {"Service": "ecs.amazonaws"}, "Action": "sts:AssumeRole"}, False),
        ({"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "*"}, False),
        ({"Effect": "Allow", "Principal": TASKS, "Action": "sts:TagSession"}, False),
    ],
)
def test_whom_a_role_trusts(statement: dict[str, Any], trusts: bool) -> None:
    assert trusts_tasks({"Statement": [statement]}) is trusts
    assert trusts_tasks(json.dumps({"Statement": statement})) is trusts


def test_a_condition_that_the_simulation_lacked_denies_nothing() -> None:
    needs = [("ecs:UpdateService", "s"), ("iam:PassRole", "r")]
    allowed = Decision(action="ecs:updateservice", resource="s", decision="allowed")
    denied = Decision(action="iam:PassRole", resource="r", decision="implicitDeny", lacks=("aws:SourceIp",))
    check = permission_check("own permissions", "role", needs, [allowed, denied])
    assert check.status == NOT_CHECKED
    assert check.message == "Not checked: whether role may iam:PassRole hangs on conditions."
    assert permission_check("p", "role", needs[:1], [allowed]).status == OK
    assert permission_check("p", "role", needs[:1], []).status == NOT_CHECKED


def test_a_role_that_may_change_nothing_is_one_that_plans() -> None:
    needs = [("ecs:UpdateService", "s"), ("iam:PassRole", "r"), ("ecs:DescribeServices", "s")]
    denied = [Decision(action=action, resource=place, decision="implicitDeny") for action, place in needs]
    denied[2] = replace(denied[2], decision="allowed")
    check = own_permission_check("own permissions", "role", needs, denied)
    assert check.status == NOT_CHECKED
    assert "what the role that deploys may is not seen from it" in check.message
    may_pass = replace(denied[1], decision="allowed")
    assert (
        own_permission_check("own permissions", "role", needs, [denied[0], may_pass, denied[2]]).status
        == CheckStatus.FAILED
    )


def test_what_lacks_comes_as_statements_of_the_same_resources() -> None:
    assert json.loads(statement([("b:B", "x"), ("a:A", "x")])) == {
        "Effect": "Allow",
        "Action": ["a:A", "b:B"],
        "Resource": ["x"],
    }
    assert len(json.loads(statement([("b:B", "x"), ("a:A", "y")]))) == 2


SOMETIMES = {
    "ecs:DeregisterTaskDefinition": "keep-revisions",
    "ecs:DescribeServiceRevisions": "what it tells is told without it too",
    "ecs:RunTask": "before-task",
}
"""Actions of ECS without which a command ends only where that is asked for, so that a plan asks for none."""
PLACES = {"{service}": ":service/", "{family}": ":task-definition/", "{tasks}": ":task/", "*": "*"}


@pytest.mark.parametrize("command", COMMAND_NEEDS)
def test_what_a_command_needs_is_what_it_was_seen_to_call(command: str) -> None:
    recorded = json.loads((ROOT / "docs/permissions.json").read_text("utf-8"))[command]
    needs = dict(COMMAND_NEEDS[command])
    assert needs.keys() <= set(recorded)
    ends = {each for each in recorded if each.startswith("ecs:") and not GRANTS[each].without}
    assert ends - needs.keys() <= SOMETIMES.keys()
    for action, place in needs.items():
        assert any(PLACES[place] in resource for resource in GRANTS[action].resources), action


def test_the_resources_of_a_commands_needs() -> None:
    arn = "arn:aws-cn:ecs:cn-north-1:123456789012:service/ki/rag"
    needs = dict(
        command_needs("deploy", service_arn=arn, family="rag", roles=("a-name", "arn:aws-cn:iam::1:role/x"))
    )
    assert needs["ecs:UpdateService"] == arn
    assert (
        needs["ecs:RegisterTaskDefinition"] == "arn:aws-cn:ecs:cn-north-1:123456789012:task-definition/rag:*"
    )
    assert needs["ecs:DescribeTasks"] == "arn:aws-cn:ecs:cn-north-1:123456789012:task/ki/*"
    assert needs["iam:PassRole"] == "arn:aws-cn:iam::1:role/x"
    assert command_needs("deploy", service_arn="", family="rag", roles=()) == ()


def test_what_an_execution_role_needs_by_where_it_runs() -> None:
    secret = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:hub-AbCdEf"
    container = {
        "name": "app",
        "image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/rag:v1",
        "secrets": [
            {"name": "A", "valueFrom": f"{secret}:token:AWSCURRENT:"},
            {"name": "B", "valueFrom": "/p/q"},
        ],
        "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/g"}},
    }
    definition = {"containerDefinitions": [container]}
    on_ec2 = execution_needs(definition, launch_type="EC2", **WHERE)
    assert on_ec2 == (
        ("secretsmanager:GetSecretValue", secret),
        ("ssm:GetParameters", "arn:aws:ssm:eu-central-1:123456789012:parameter/p/q"),
    )
    outside = execution_needs(definition, launch_type="EXTERNAL", **WHERE)[len(on_ec2) :]
    repository = "arn:aws:ecr:eu-west-1:123456789012:repository/team/rag"
    assert ("ecr:BatchGetImage", repository) in outside
    assert ("logs:PutLogEvents", "arn:aws:logs:eu-central-1:123456789012:log-group:/g:*") in outside
    assert SecretWanted.from_value(f"{secret}:token:AWSCURRENT:") == SecretWanted(
        arn=secret, key="token", stage="AWSCURRENT"
    )


BALANCER = {"targetGroupArn": "arn:a:b:c:d:targetgroup/rag/1", "containerName": "app", "containerPort": 80}


@pytest.mark.parametrize(
    ("mode", "mapping", "group", "status"),
    [
        ("bridge", {"containerPort": 80}, {"TargetType": "instance", "Protocol": "HTTP"}, OK),
        ("awsvpc", {"containerPort": 80}, {"TargetType": "ip", "Protocol": "HTTPS"}, OK),
        ("awsvpc", {"containerPort": 80}, {"TargetType": "instance"}, FAILED),
        ("host", {"containerPort": 80}, {"TargetType": "ip"}, FAILED),
        ("bridge", {"containerPort": 81}, {"TargetType": "instance"}, FAILED),
        ("bridge", {"containerPort": 80, "protocol": "udp"}, {"Protocol": "TCP"}, FAILED),
        ("bridge", {"containerPort": 80, "protocol": "udp"}, {"Protocol": "TCP_UDP"}, OK),
        ("bridge", {"containerPort": 80}, {"Protocol": "TLS", "TargetType": "instance"}, OK),
        ("bridge", {"containerPort": 80}, None, FAILED),
    ],
)
def test_a_load_balancer_and_a_container(
    mode: str, mapping: dict[str, Any], group: dict[str, Any] | None, status: CheckStatus
) -> None:
    definition = {
        "networkMode": mode,
        "containerDefinitions": [{"name": "app", "portMappings": [mapping]}],
    }
    groups = [] if group is None else [{"TargetGroupArn": BALANCER["targetGroupArn"], **group}]
    checks = list(balancer_checks(definition, {"loadBalancers": [BALANCER]}, groups))
    assert [check.status for check in checks] == [status]


@pytest.mark.parametrize(
    ("platforms", "architectures", "status"),
    [
        (("linux/amd64", "unknown/unknown"), ("x86_64",), OK),
        (("linux/amd64", "linux/arm64"), ("arm64", "x86_64"), OK),
        (("linux/arm64/v8",), ("arm64",), OK),
        (("linux/arm64",), ("x86_64",), FAILED),
        (("linux/amd64",), ("arm64", "x86_64"), NOT_CHECKED),
        (("linux/amd64",), (), NOT_CHECKED),
        (None, ("x86_64",), NOT_CHECKED),
    ],
)
def test_an_image_and_the_instances(
    platforms: tuple[str, ...] | None, architectures: tuple[str, ...], status: CheckStatus
) -> None:
    assert platform_check("rag:v1", platforms, architectures).status == status
