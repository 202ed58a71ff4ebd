"""The sandbox's protocol: AWS's errors, types, pages, unknown fields, over HTTP without an SDK's checks."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from ecs_gpu_deploy.sandbox.protocol.shapes import Fragment, Protocol, WrongResponse
from sandbox_process import RunningSandbox, sandbox_thread

SIGNED = (
    "AWS4-HMAC-SHA256 Credential=AKIATEST/20261123/{region}/ecs/aws4_request, SignedHeaders=host, Signature=0"
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with sandbox_thread() as running:
        yield running


def raw(
    sandbox: RunningSandbox,
    operation: str,
    body: object,
    *,
    region: str = "eu-central-1",
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Send a request as it is and return status, JSON and headers."""
    connection = http.client.HTTPConnection("127.0.0.1", int(sandbox.endpoint.rpartition(":")[2]), timeout=10)
    try:
        connection.request(
            "POST",
            "/",
            body if isinstance(body, (bytes, str)) else json.dumps(body),
            {
                "Content-Type": "application/x-amz-json-1.1",
                "X-Amz-Target": f"AmazonEC2ContainerServiceV20141113.{operation}",
                "Authorization": SIGNED.format(region=region),
            }
            if headers is None
            else headers,
        )
        response = connection.getresponse()
        return response.status, json.loads(response.read()), dict(response.getheaders())
    finally:
        connection.close()


SERVICE = {"cluster": "ki-cluster", "service": "ki-rag-api"}
CONTAINER = {"name": "app", "image": "app:1", "memory": 128}

refusals = [
    pytest.param(
        "FrobnicateService", {}, "UnknownOperationException", "", id="an operation that AWS does not have"
    ),
    pytest.param(
        "CreateTaskSet",
        {"service": "s", "cluster": "c", "taskDefinition": "t"},
        "UnsupportedFeatureException",
        "The local AWS does not model CreateTaskSet.",
        id="an operation that AWS has and the sandbox does not",
    ),
    pytest.param(
        "DescribeServices",
        {"cluster": "nowhere", "services": ["x"]},
        "ClusterNotFoundException",
        "Cluster not found.",
        id="a cluster that is not there",
    ),
    pytest.param(
        "DescribeServices",
        {"services": ["x"]},
        "ClusterNotFoundException",
        "Cluster not found.",
        id="no cluster named, and there is no default cluster",
    ),
    pytest.param(
        "UpdateService",
        {"cluster": "ki-cluster", "service": "nobody"},
        "ServiceNotFoundException",
        "Service not found.",
        id="a service that is not there",
    ),
    pytest.param(
        "DescribeServices",
        {"cluster": "ki-cluster", "services": []},
        "InvalidParameterException",
        "Services cannot be empty.",
        id="no services named",
    ),
    pytest.param(
        "DescribeServices",
        {"cluster": "ki-cluster", "services": [f"s{number}" for number in range(11)]},
        "InvalidParameterException",
        "Services cannot have more than 10 elements.",
        id="more than ten services",
    ),
    pytest.param(
        "UpdateService",
        {**SERVICE, "desiredCount": "2"},
        "SerializationException",
        "STRING_VALUE can not be converted to an Integer",
        id="text where a number belongs",
    ),
    pytest.param(
        "UpdateService",
        {**SERVICE, "forceNewDeployment": 1},
        "SerializationException",
        "NUMBER_VALUE can not be converted to a Boolean",
        id="a number where true or false belongs",
    ),
    pytest.param(
        "DescribeServices",
        {"cluster": ["ki-cluster"], "services": ["x"]},
        "SerializationException",
        "Start of list found where not expected",
        id="a list where text belongs",
    ),
    pytest.param(
        "DescribeServices",
        b"{not json",
        "SerializationException",
        "Unable to parse the request body as JSON.",
        id="a body that is not JSON",
    ),
    pytest.param(
        "UpdateService",
        {**SERVICE, "forceNewDeploymnt": True},
        "InvalidParameterException",
        'Unknown parameter in input: "forceNewDeploymnt"',
        id="a member that the operation does not have",
    ),
    pytest.param(
        "RunTask",
        {"cluster": "ki-cluster", "taskDefinition": "ki-rag-api", "launchType": "LAMBDA"},
        "InvalidParameterException",
        "Value 'LAMBDA' at 'launchType' failed to satisfy constraint",
        id="a value outside an enumeration",
    ),
    pytest.param(
        "UpdateService",
        {"cluster": "ki-cluster"},
        "InvalidParameterException",
        "at 'service'",
        id="no service",
    ),
    pytest.param(
        "UpdateService",
        {**SERVICE, "taskDefinition": "ki-rag-api:99"},
        "ClientException",
        "TaskDefinition not found.",
        id="a revision that was never registered",
    ),
    pytest.param(
        "DescribeTaskDefinition",
        {"taskDefinition": "nothing"},
        "ClientException",
        "Unable to describe task definition.",
        id="a family that was never registered",
    ),
    pytest.param(
        "UpdateService",
        {**SERVICE, "deploymentConfiguration": {"maximumPercent": 100, "minimumHealthyPercent": 100}},
        "InvalidParameterException",
        "cannot be 100 as this will block deployments",
        id="percentages that leave no room",
    ),
    pytest.param(
        "RegisterTaskDefinition",
        {"family": "x", "containerDefinitions": []},
        "ClientException",
        "Container list cannot be empty.",
        id="a task definition without containers",
    ),
    pytest.param(
        "RegisterTaskDefinition",
        {"family": "x", "containerDefinitions": [{"name": "a", "image": "b"}]},
        "ClientException",
        "At least one of 'memory' or 'memoryReservation' must be specified.",
        id="a container without memory",
    ),
    pytest.param(
        "RegisterTaskDefinition",
        {
            "family": "x",
            "containerDefinitions": [{**CONTAINER, "healthCheck": {"command": ["x"], "interval": 1}}],
        },
        "ClientException",
        "between 5 and 300",
        id="a health check outside AWS's range",
    ),
    pytest.param(
        "RegisterTaskDefinition",
        {
            "family": "x",
            "containerDefinitions": [{**CONTAINER, "mountPoints": [{"sourceVolume": "models"}]}],
            "volumes": [{"name": "model"}],
        },
        "ClientException",
        "Unknown volume 'models'.",
        id="a mount point without its volume",
    ),
    pytest.param(
        "RunTask",
        {"cluster": "ki-cluster", "taskDefinition": "ki-rag-api", "count": 11},
        "InvalidParameterException",
        "Count must be between 1 and 10.",
        id="more than ten tasks in a call",
    ),
    pytest.param(
        "RunTask",
        {
            "cluster": "ki-cluster",
            "taskDefinition": "ki-rag-api",
            "overrides": {"containerOverrides": [{"name": "other"}]},
        },
        "InvalidParameterException",
        "Override for container named other is not a container in the TaskDefinition.",
        id="an override for a container that is not there",
    ),
    pytest.param(
        "ListTasks",
        {"cluster": "ki-cluster", "startedBy": "x", "family": "ki-rag-api"},
        "InvalidParameterException",
        "must be the only filter",
        id="startedBy beside another filter",
    ),
    pytest.param(
        "ListTasks",
        {"cluster": "ki-cluster", "nextToken": "bm9uc2Vuc2U="},
        "InvalidParameterException",
        "Invalid token.",
        id="a token that AWS did not give",
    ),
    pytest.param(
        "StopServiceDeployment",
        {"serviceDeploymentArn": "arn:aws:ecs:eu-central-1:123456789012:service-deployment/ki-cluster/a/b"},
        "ServiceDeploymentNotFoundException",
        "",
        id="a service deployment that is not there",
    ),
    pytest.param(
        "StopTask",
        {"cluster": "ki-cluster", "task": "0" * 32},
        "InvalidParameterException",
        "The referenced task was not found.",
        id="a task that is not there",
    ),
    pytest.param(
        "CreateService",
        {"cluster": "ki-cluster", "serviceName": "ki-rag-api", "taskDefinition": "ki-rag-api"},
        "InvalidParameterException",
        "Creation of service was not idempotent.",
        id="a service that is there already",
    ),
    pytest.param(
        "DeleteService",
        SERVICE,
        "InvalidParameterException",
        "The service cannot be stopped while it is scaled above 0.",
        id="a service that still wants tasks",
    ),
    pytest.param(
        "DeleteCluster",
        {"cluster": "ki-cluster"},
        "ClusterContainsServicesException",
        "The Cluster cannot be deleted while Services are active.",
        id="a cluster with services",
    ),
]


@pytest.mark.parametrize(("operation", "body", "code", "message"), refusals)
def test_refuses_as_aws_does(
    sandbox: RunningSandbox, operation: str, body: object, code: str, message: str
) -> None:
    status, answer, headers = raw(sandbox, operation, body)
    assert (status, answer["__type"]) == (400, code)
    assert message in answer["message"]
    assert headers["x-amzn-ErrorType"] == code


def test_unsigned_requests_have_no_token(sandbox: RunningSandbox) -> None:
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": "AmazonEC2ContainerServiceV20141113.ListClusters",
    }
    status, answer, _ = raw(sandbox, "ListClusters", {}, headers=headers)
    assert (status, answer["__type"]) == (400, "MissingAuthenticationTokenException")


def test_another_region_has_nothing_in_it(sandbox: RunningSandbox) -> None:
    assert raw(sandbox, "ListClusters", {}, region="us-east-1")[1] == {"clusterArns": []}
    assert len(raw(sandbox, "ListClusters", {})[1]["clusterArns"]) == 1


def test_unknown_task_definition_fields_survive(sandbox: RunningSandbox) -> None:
    request = {
        "family": "future",
        "quantumMode": {"qubits": 8},
        "containerDefinitions": [
            {**CONTAINER, "teleport": ["a", ""], "healthCheck": {"command": ["x"], "mood": 0}}
        ],
        "revision": 99,
        "tags": [{"key": "k", "value": "v"}],
    }
    registered = raw(sandbox, "RegisterTaskDefinition", request)[1]["taskDefinition"]
    described = raw(sandbox, "DescribeTaskDefinition", {"taskDefinition": "future", "include": ["TAGS"]})[1]
    assert described["taskDefinition"] == registered
    assert registered["quantumMode"] == {"qubits": 8}
    assert registered["containerDefinitions"][0]["teleport"] == ["a", ""]
    assert registered["containerDefinitions"][0]["healthCheck"]["mood"] == 0
    assert registered["revision"] == 1, "a read-only member of the request is ignored"
    assert described["tags"] == request["tags"]


def test_what_aws_adds_to_a_registration(sandbox: RunningSandbox) -> None:
    request = {
        "family": "plain",
        "containerDefinitions": [{**CONTAINER, "portMappings": [{"containerPort": 80}]}],
    }
    described = raw(sandbox, "RegisterTaskDefinition", request)[1]["taskDefinition"]
    container = described["containerDefinitions"][0]
    assert container["portMappings"] == [{"containerPort": 80, "protocol": "tcp", "hostPort": 0}]
    assert {
        name: container[name] for name in ("environment", "mountPoints", "volumesFrom", "systemControls")
    } == {
        "environment": [],
        "mountPoints": [],
        "volumesFrom": [],
        "systemControls": [],
    }
    assert (described["status"], described["volumes"], described["placementConstraints"]) == (
        "ACTIVE",
        [],
        [],
    )
    assert set(described) >= {"registeredAt", "registeredBy", "compatibilities", "requiresAttributes"}


def test_pages_of_task_definitions(sandbox: RunningSandbox) -> None:
    for _ in range(5):
        raw(sandbox, "RegisterTaskDefinition", {"family": "many", "containerDefinitions": [CONTAINER]})
    arns: list[str] = []
    token: str | None = None
    pages = 0
    while pages == 0 or token:
        request = {"familyPrefix": "many", "maxResults": 2, "sort": "DESC"} | (
            {"nextToken": token} if token else {}
        )
        answer = raw(sandbox, "ListTaskDefinitions", request)[1]
        arns += answer["taskDefinitionArns"]
        token = answer.get("nextToken")
        pages += 1
    assert pages == 3
    assert [arn.rpartition(":")[2] for arn in arns] == ["5", "4", "3", "2", "1"]


def test_the_date_header_is_the_models_time(sandbox: RunningSandbox) -> None:
    assert raw(sandbox, "ListClusters", {})[2]["Date"] == "Mon, 23 Nov 2026 08:00:00 GMT"


class TestResponses:
    """A response that does not fit the service model is a bug, and must be seen."""

    protocol = Protocol("ecs")

    @pytest.mark.parametrize(
        ("response", "complaint"),
        [
            pytest.param({"clusterArn": []}, "has no member 'clusterArn'", id="an unknown member"),
            pytest.param({"clusterArns": "x"}, "is not a list", id="text for a list"),
            pytest.param({"clusterArns": [1]}, "is not a string", id="a number for text"),
        ],
    )
    def test_wrong_ones_are_refused(self, response: dict[str, Any], complaint: str) -> None:
        with pytest.raises(WrongResponse, match=complaint):
            self.protocol.written_response("ListClusters", response)

    def test_values_outside_an_enumeration_are_refused(self) -> None:
        with pytest.raises(WrongResponse, match="none of"):
            self.protocol.written_response("StopTask", {"task": {"healthStatus": "FINE"}})

    def test_right_ones_are_written(self) -> None:
        text = self.protocol.written_response(
            "StopTask", {"task": {"createdAt": 1.23456, "taskArn": 'a"\n', "version": 3, "stopCode": None}}
        )
        assert json.loads(text) == {"task": {"createdAt": 1.235, "taskArn": 'a"\n', "version": 3}}

    def test_a_part_written_before_is_taken_as_it_is(self) -> None:
        written = self.protocol.fragment("ServiceEvents", [{"id": "1", "createdAt": 2.0, "message": "é"}])
        assert isinstance(written, Fragment)
        text = self.protocol.written_response("UpdateService", {"service": {"events": written}})
        assert json.loads(text)["service"]["events"] == [{"id": "1", "createdAt": 2.0, "message": "é"}]
