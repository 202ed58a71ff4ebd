"""What an answer may be, and what is odd: held against botocore's models."""

from __future__ import annotations

import botocore.session
import pytest

from ecs_gpu_deploy.edges.aws.answer_shape import check_answer, oddity, without_nulls
from ecs_gpu_deploy.edges.aws.answers import HalfAnswer, OddAnswer

ECS = botocore.session.get_session().get_service_model("ecs")
SERVICES = ECS.operation_model("DescribeServices")


@pytest.mark.parametrize(
    ("answer", "odd"),
    [
        pytest.param({"services": []}, "", id="an empty list"),
        pytest.param({"services": [{"serviceName": "a", "aNewMember": 3}]}, "", id="a member that is new"),
        pytest.param({"services": None}, "", id="a null is as if it were absent"),
        pytest.param({"services": [{"createdAt": 1.5}]}, "", id="a time in seconds"),
        pytest.param({"services": [{"createdAt": "2026-11-23T08:00:00Z"}]}, "", id="a time as text"),
        pytest.param({"services": [{"desiredCount": 2.0}]}, "", id="a number with a point"),
        pytest.param([], "the whole is list, not structure", id="a list"),
        pytest.param(None, "the whole is NoneType, not structure", id="null"),
        pytest.param({"services": "abc"}, "services is str, not list", id="a text for a list"),
        pytest.param({"services": {}}, "services is dict, not list", id="a mapping for a list"),
        pytest.param({"services": [None]}, "services[] is NoneType, not structure", id="a null in a list"),
        pytest.param(
            {"services": [{"serviceName": 7}]},
            "services[].serviceName is int, not string",
            id="a number for a text",
        ),
        pytest.param(
            {"services": [{"desiredCount": "2"}]},
            "services[].desiredCount is str, not integer",
            id="a text for a number",
        ),
        pytest.param(
            {"services": [{"desiredCount": True}]},
            "services[].desiredCount is bool, not integer",
            id="true for a number",
        ),
        pytest.param(
            {"services": [{"deploymentConfiguration": {"deploymentCircuitBreaker": {"enable": 1}}}]},
            "services[].deploymentConfiguration.deploymentCircuitBreaker.enable is int, not boolean",
            id="a number for true, deep inside",
        ),
    ],
)
def test_an_answer_is_odd(answer: object, odd: str) -> None:
    assert oddity(SERVICES.output_shape, answer) == odd


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        pytest.param(200, b'{"services": []}', None, id="well"),
        pytest.param(503, b"<html>", None, id="an error is translated elsewhere"),
        pytest.param(200, b"<html>", OddAnswer, id="a page"),
        pytest.param(200, b'{"services": [', OddAnswer, id="half"),
        pytest.param(200, b"\xff\xfe", OddAnswer, id="no UTF-8"),
        pytest.param(200, b'{"services":' + b"[" * 100_000, OddAnswer, id="too deep"),
        pytest.param(200, b"", HalfAnswer, id="nothing"),
        pytest.param(200, b"{}", HalfAnswer, id="an empty one"),
        pytest.param(200, b'{"message": "ok"}', HalfAnswer, id="of something else"),
    ],
)
def test_an_answer_is_checked_before_it_is_parsed(
    status: int, body: bytes, error: type[OddAnswer] | None
) -> None:
    answer = {"status_code": status, "body": body}
    if error is None:
        check_answer(SERVICES, answer)
        return
    with pytest.raises(error) as caught:
        check_answer(SERVICES, answer)
    assert type(caught.value) is error
    assert caught.value.request == "ecs.DescribeServices"


def test_an_operation_without_members_in_its_answer_may_answer_nothing() -> None:
    check_answer(ECS.operation_model("TagResource"), {"status_code": 200, "body": b"{}"})


def test_null_members_that_aws_documents_go_and_others_stay() -> None:
    given = {
        "family": "f",
        "taskRoleArn": None,
        "x0": None,
        "containerDefinitions": [
            {
                "name": "a",
                "secrets": None,
                "new": {"is": None},
                "dockerLabels": {"a": None, "b": ""},
                "portMappings": [{"containerPort": 80, "hostPort": None}],
            }
        ],
    }
    assert without_nulls(ECS.operation_model("RegisterTaskDefinition").input_shape, given) == {
        "family": "f",
        "x0": None,
        "containerDefinitions": [
            {
                "name": "a",
                "new": {"is": None},
                "dockerLabels": {"b": ""},
                "portMappings": [{"containerPort": 80}],
            }
        ],
    }
