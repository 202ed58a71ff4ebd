"""Faults on purpose: what a client meets, when, and how often."""

from __future__ import annotations

import time
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from sandbox_process import sandbox_thread


def refusal(call: Any, **parameters: Any) -> tuple[str, str, int]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    response: Any = caught.value.response
    return (
        response["Error"]["Code"],
        response["Error"]["Message"],
        response["ResponseMetadata"]["HTTPStatusCode"],
    )


def test_faults_of_every_protocol() -> None:
    world = {
        "faults": [
            {"operation": "DescribeServices", "error": "ExpiredTokenException", "after_seconds": 300},
            {"operation": "ListClusters", "error": "ThrottlingException", "count": 1, "skip": 1},
            {"operation": "ecs:ListTasks", "error": "ServerException"},
            {
                "operation": "elasticloadbalancing:*",
                "error": "Throttling",
                "message": "Slow down",
                "status": 400,
            },
            {"operation": "ecr:DescribeImages", "error": "ImageNotFoundException", "message": "gone"},
            {"operation": "cloudwatch:ListMetrics", "error": "InternalServiceFault", "status": 500},
            {"operation": "s3:*", "error": "SlowDown", "status": 503},
        ]
    }
    with sandbox_thread() as sandbox, sandbox.client() as ecs:
        sandbox.add(world)
        asked = {"cluster": "ki-cluster", "services": ["ki-rag-api"]}
        ecs.describe_services(**asked)
        ecs.list_clusters()
        assert refusal(ecs.list_clusters) == ("ThrottlingException", "Rate exceeded", 400)
        ecs.list_clusters()
        assert refusal(ecs.list_tasks, cluster="ki-cluster")[2] == 500
        sandbox.advance(300)
        expired = "The security token included in the request is expired"
        assert refusal(ecs.describe_services, **asked) == ("ExpiredTokenException", expired, 400)
        with sandbox.client("elbv2") as elb:
            assert refusal(elb.describe_target_groups) == ("Throttling", "Slow down", 400)
        with sandbox.client("ecr") as ecr:
            gone = ("ImageNotFoundException", "gone", 400)
            assert refusal(ecr.describe_images, repositoryName="ki-rag-api") == gone
        with sandbox.client("cloudwatch") as cloudwatch:
            assert refusal(cloudwatch.list_metrics)[::2] == ("InternalServiceFault", 500)
        with sandbox.client("s3") as s3:
            assert refusal(s3.list_buckets)[::2] == ("SlowDown", 503)
        assert sandbox.ask("DELETE", "faults") == (200, {})
        ecs.describe_services(**asked)


def test_denied_operations_are_refused_in_the_words_of_iam() -> None:
    with sandbox_thread() as sandbox, sandbox.client() as ecs:
        sandbox.add({"deny": ["ecs:ListServiceDeployments", "ecs:*ServiceRevisions"]})
        names = {"cluster": "ki-cluster", "service": "ki-rag-api"}
        code, message, _ = refusal(ecs.list_service_deployments, **names)
        assert code == "AccessDeniedException"
        service = "arn:aws:ecs:eu-central-1:123456789012:service/ki-cluster/ki-rag-api"
        assert message.startswith(
            "User: arn:aws:sts::123456789012:user/moto is not authorized to perform:"
            f" ecs:ListServiceDeployments on resource: {service}"
        )
        assert refusal(ecs.describe_service_revisions, serviceRevisionArns=["arn:aws:ecs:a"])[0] == code
        ecs.list_services(cluster="ki-cluster")


def test_a_reset_connection_has_no_answer() -> None:
    with sandbox_thread() as sandbox:
        sandbox.add({"faults": [{"operation": "ListClusters", "reset": True, "count": 2}]})
        with sandbox.client() as ecs, pytest.raises(ConnectionClosedError):
            ecs.list_clusters()
        with sandbox.client(retries=2) as ecs:
            assert len(ecs.list_clusters()["clusterArns"]) == 1
        assert [call["error"] for call in sandbox.calls("ListClusters")] == [
            "ConnectionReset",
            "ConnectionReset",
            None,
        ]


def test_a_delay_is_wall_time_and_a_body_is_taken_as_it_is() -> None:
    with sandbox_thread() as sandbox, sandbox.client() as ecs:
        status, _ = sandbox.ask(
            "POST",
            "faults",
            [
                {"operation": "ListClusters", "delay_seconds": 0.2, "count": 1},
                {"operation": "ListServices", "body": '{"serviceArns": null}'},
            ],
        )
        assert status == 200
        began = time.monotonic()
        ecs.list_clusters()
        assert time.monotonic() - began >= 0.2
        assert "serviceArns" not in ecs.list_services(cluster="ki-cluster")


def test_chance_is_the_same_in_every_run() -> None:
    outcomes = []
    for _ in range(2):
        with sandbox_thread() as sandbox, sandbox.client() as ecs:
            sandbox.add(
                {"faults": [{"operation": "ListClusters", "error": "ServerException", "probability": 0.5}]}
            )
            for _ in range(12):
                try:
                    ecs.list_clusters()
                except ClientError:
                    continue
            outcomes.append([call["status"] for call in sandbox.calls("ListClusters")])
    assert outcomes[0] == outcomes[1]
    assert set(outcomes[0]) == {200, 500}


def test_calls_are_recorded_with_who_asked_what() -> None:
    with sandbox_thread() as sandbox, sandbox.client() as ecs:
        sandbox.ask("DELETE", "calls")
        ecs.describe_services(cluster="ki-cluster", services=["ki-rag-api"])
        (call,) = sandbox.calls()
        assert (call["service"], call["operation"], call["status"]) == ("ecs", "DescribeServices", 200)
        assert call["parameters"] == {"cluster": "ki-cluster", "services": ["ki-rag-api"]}
        assert call["accessKeyId"] == sandbox.environment["AWS_ACCESS_KEY_ID"]
        assert call["at"] == sandbox.now()


def test_a_signature_of_another_time_is_refused_with_the_time_here() -> None:
    with sandbox_thread() as sandbox, sandbox.client() as ecs, sandbox.client("elbv2") as balancers:
        sandbox.add({"faults": [{"operation": "*", "signature_time": True}]})
        with pytest.raises(ClientError) as caught:
            ecs.list_clusters()
        response: Any = caught.value.response
        assert response["Error"]["Code"] == "InvalidSignatureException"
        assert response["Error"]["Message"].startswith("Signature ")
        assert response["ResponseMetadata"]["HTTPHeaders"]["date"] == "Mon, 23 Nov 2026 08:00:00 GMT"
        code, message, status = refusal(balancers.describe_load_balancers)
        assert (code, status) == ("SignatureDoesNotMatch", 403)
        assert message.endswith(" min.)")
