"""Names in a task definition that AWS can never take, and those that it can."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_gpu_deploy.core.definition.overrides import Overrides, removes_nothing
from ecs_gpu_deploy.core.definition.references import impossible_reference, impossible_text
from ecs_gpu_deploy.core.image.image_reference import with_registry_of

SECRET = "hf_" + "a1" * 17


def definition(*, container: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    return {
        "family": "f",
        "containerDefinitions": [{"name": "rag", "image": "x:1", **(container or {})}],
        **members,
    }


def log(options: dict[str, str]) -> dict[str, Any]:
    return definition(container={"logConfiguration": {"logDriver": "awslogs", "options": options}})


def secret(value: str) -> dict[str, Any]:
    return definition(container={"secrets": [{"name": "TOKEN", "valueFrom": value}]})


@pytest.mark.parametrize(
    "good",
    [
        pytest.param(definition(), id="nothing is named"),
        pytest.param(definition(taskRoleArn="ecsTaskRole"), id="a role's name"),
        pytest.param(
            definition(executionRoleArn="arn:aws-cn:iam::123456789012:role/a/b"), id="a role with a path"
        ),
        pytest.param(
            secret("arn:aws:ssm:eu-central-1:123456789012:parameter/rag/token"), id="a parameter's ARN"
        ),
        pytest.param(
            secret("arn:aws:secretsmanager:eu-central-1:123456789012:secret:rag-AbCdEf:token::"),
            id="a secret's key",
        ),
        pytest.param(secret("/rag/token"), id="a parameter's name"),
        pytest.param(secret("prodDatabasePassword2024"), id="a parameter's name without a path"),
        pytest.param(
            definition(container={"environment": [{"name": "A", "value": "${B}"}]}), id="a variable's text"
        ),
        pytest.param(log({"tag": "{{.Name}}", "awslogs-group": "/ecs/rag"}), id="a log driver's template"),
        pytest.param(log({"awslogs-multiline-pattern": "^(?<day>..)|${"}), id="a pattern of a log"),
    ],
)
def test_aws_can_take(good: dict[str, Any]) -> None:
    assert impossible_reference(good) == ""


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        pytest.param(
            definition(taskRoleArn="arn:aws:iam::${ACCOUNT}:role/x"),
            "taskRoleArn has '${ACCOUNT}', which nobody replaced.",
            id="a variable in a role",
        ),
        pytest.param(
            definition(executionRoleArn="<EXECUTION_ROLE>"),
            "executionRoleArn has '<EXECUTION_ROLE>'",
            id="a placeholder",
        ),
        pytest.param(
            definition(taskRoleArn="arn:aws:iam::123456789012:user/x"),
            "neither the name nor the ARN",
            id="a user",
        ),
        pytest.param(
            definition(container={"image": "${ECR}/rag:1"}), "The image of the container 'rag'", id="an image"
        ),
        pytest.param(
            definition(container={"logConfiguration": {"options": {"awslogs-group": "/ecs/<name>"}}}),
            "The log option awslogs-group of the container 'rag' has '<name>'",
            id="a log group",
        ),
        pytest.param(
            log({"Host": "${LOG_HOST}"}),
            "The log option Host of the container 'rag' has '${LOG_HOST}', which nobody replaced.",
            id="a variable in a log option",
        ),
        pytest.param(secret("p@ss word!"), "The secret 'TOKEN' of the container 'rag'", id="a password"),
        pytest.param(secret(SECRET), "is it the secret itself?", id="a token by its shape"),
        pytest.param(secret("0a" * 16), "is it the secret itself?", id="a key in hex"),
        pytest.param(secret("aB3" * 11), "is it the secret itself?", id="a key of letters and digits"),
        pytest.param(
            secret("01234567-89ab-cdef-0123-456789abcdef"), "is it the secret itself?", id="a key like a UUID"
        ),
    ],
)
def test_aws_can_never_take(bad: dict[str, Any], said: str) -> None:
    assert said in impossible_reference(bad)


@pytest.mark.parametrize("value", ["p@ss word!", SECRET])
def test_a_secret_is_never_shown(value: str) -> None:
    assert value not in impossible_reference(secret(value))


@pytest.mark.parametrize(
    "left",
    [log({"Host": "${LOG_HOST}"}), definition(taskRoleArn="${ROLE}"), secret("${SECRET_ARN}")],
)
def test_what_something_else_replaces_may_be_allowed(left: dict[str, Any]) -> None:
    assert impossible_reference(left)
    assert impossible_reference(left, allow_placeholders=True) == ""


@pytest.mark.parametrize(
    "bad",
    [
        definition(container={"image": "${ECR}/rag:1"}),
        definition(taskRoleArn="arn:aws:iam::123456789012:user/x"),
        secret(SECRET),
    ],
)
def test_what_aws_never_takes_is_never_allowed(bad: dict[str, Any]) -> None:
    assert impossible_reference(bad, allow_placeholders=True)


@pytest.mark.parametrize(
    ("overrides", "unseen"),
    [
        (Overrides(environment={"A": None, "B": "1"}), ()),
        (Overrides(environment={"B": None}), ("environment: B",)),
        (Overrides(secrets={"A": None, "S": None}), ("secrets: A",)),
        (
            Overrides(docker_labels={"a": None}, log_options={"b": None}),
            ("docker-labels: a", "log-options: b"),
        ),
        (Overrides(tags={"team": None, "other": None}), ("tags: other",)),
        (Overrides(), ()),
    ],
)
def test_a_name_alone_that_removes_nothing_is_seen(overrides: Overrides, unseen: tuple[str, ...]) -> None:
    there = definition(
        container={
            "environment": [{"name": "A", "value": "1"}],
            "secrets": [{"name": "S", "valueFrom": "/s"}],
        },
        tags=[{"key": "team", "value": "ml"}],
    )
    assert removes_nothing(there, overrides) == unseen


ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"


@pytest.mark.parametrize(
    ("image", "running", "full"),
    [
        ("rag:2", f"{ECR}/rag:1", f"{ECR}/rag:2"),
        ("team/rag:2", f"{ECR}/team/rag:1", f"{ECR}/team/rag:2"),
        ("other:2", f"{ECR}/rag:1", ""),
        ("rag:2", "ghcr.io/rag:1", ""),
        ("rag:2", "rag:1", ""),
        (f"{ECR}/rag:2", f"{ECR}/rag:1", ""),
        ("rag:2", "", ""),
        ("No Image", f"{ECR}/rag:1", ""),
    ],
)
def test_an_image_that_lost_its_registry_is_seen(image: str, running: str, full: str) -> None:
    assert with_registry_of(image, running) == full


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (definition(), ""),
        (definition(container={"command": ["a", "b\0"]}), "command has a NUL character."),
        (definition(container={"dockerLabels": {"a\0": "b"}}), "a\0 has a NUL character."),
        ({"family": "\ud800"}, "family is not UTF-8 text."),
        ({"a": {"b": [1, None, 2.5, True]}}, ""),
    ],
)
def test_text_that_no_request_can_hold_is_seen(value: dict[str, Any], said: str) -> None:
    assert impossible_text(value) == said
