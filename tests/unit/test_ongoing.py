"""What is told of a deployment that is under way."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_gpu_deploy.core.past.ongoing import Ongoing, ongoing_classic, ongoing_of, stop_command
from ecs_gpu_deploy.model import Service, ServiceDeployment, ServiceDeploymentStatus

ARN = "arn:aws:ecs:eu-central-1:123456789012:service-deployment/gpu/rag/abc123"
STOP = f"aws ecs stop-service-deployment --stop-type ROLLBACK --service-deployment-arn {ARN}"


@pytest.mark.parametrize(
    ("status", "stop"),
    [("PENDING", STOP), ("IN_PROGRESS", STOP), ("ROLLBACK_REQUESTED", ""), ("ROLLBACK_IN_PROGRESS", "")],
)
def test_what_goes_back_already_is_not_to_be_stopped(status: str, stop: str) -> None:
    deployment = ServiceDeployment(arn=ARN, status=ServiceDeploymentStatus(status), created_at=1_000.0)
    ongoing = ongoing_of(deployment)
    assert ongoing.told(1_312.0) == f"abc123, {status}, began 5m12s ago"
    assert ongoing.stop == stop
    assert ongoing.hint == (stop and f"To stop it and go back to what ran before: {stop}")


def test_an_age_that_aws_does_not_say_is_left_out() -> None:
    assert Ongoing(name="abc123", status="IN_PROGRESS").told(1_312.0) == "abc123, IN_PROGRESS"


def test_a_command_is_safe_in_a_shell() -> None:
    command = stop_command("gpu; rm", "rag", arn="", before="arn:aws:ecs:r:1:task-definition/rag:2")
    assert command == "aws ecs update-service --cluster 'gpu; rm' --service rag --task-definition rag:2"


def _service(*deployments: dict[str, Any]) -> Service:
    return Service.from_api({"serviceName": "rag", "deployments": list(deployments)})


GOING = {"id": "ecs-svc/2", "status": "PRIMARY", "taskDefinition": "rag:3", "rolloutState": "IN_PROGRESS"}
DONE = {"id": "ecs-svc/1", "status": "ACTIVE", "taskDefinition": "rag:2", "rolloutState": "COMPLETED"}


def test_the_classic_deployments_tell_what_there_is_to_go_back_to() -> None:
    back = "aws ecs update-service --cluster gpu --service rag --task-definition rag:2"
    assert ongoing_classic("gpu", _service(GOING, DONE)) == Ongoing(
        name="ecs-svc/2", status="IN_PROGRESS", stop=back
    )
    alone = ongoing_classic("gpu", _service(GOING))
    assert alone is not None
    assert alone.hint == ""
    assert ongoing_classic("gpu", _service(DONE)) is None
