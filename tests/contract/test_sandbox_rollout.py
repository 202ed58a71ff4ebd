"""Whole rollouts over HTTP with boto3 on the stepped clock, with all that lies around ECS."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from sandbox_process import RunningSandbox, sandbox_thread

TERMINAL = {"SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED"}
NAMES = {"cluster": "ki-cluster", "service": "ki-rag-api"}


def registered(ecs: Any, tag: str | None = None, **container: Any) -> str:
    """Register the service's task definition with another image tag, or other members of its container."""
    described = ecs.describe_task_definition(taskDefinition="ki-rag-api")["taskDefinition"]
    request = {
        key: copy.deepcopy(described[key])
        for key in ("family", "containerDefinitions", "executionRoleArn", "taskRoleArn", "networkMode")
    }
    first = request["containerDefinitions"][0]
    if tag:
        first["image"] = f"{first['image'].rpartition(':')[0]}:{tag}"
    first.update(container)
    return str(ecs.register_task_definition(**request)["taskDefinition"]["taskDefinitionArn"])


def deployed(
    sandbox: RunningSandbox, ecs: Any, task_definition: str, *, limit: float = 3600
) -> dict[str, Any]:
    """Deploy a revision and step until its service deployment has ended; return its description."""
    ecs.update_service(**NAMES, taskDefinition=task_definition)
    end = sandbox.now() + limit
    while True:
        brief = ecs.list_service_deployments(**NAMES)["serviceDeployments"][0]
        if brief["status"] in TERMINAL or sandbox.now() >= end:
            arns = [brief["serviceDeploymentArn"]]
            found = ecs.describe_service_deployments(serviceDeploymentArns=arns)["serviceDeployments"]
            return dict(found[0])
        sandbox.advance(5)


def stopped_tasks(ecs: Any) -> list[dict[str, Any]]:
    arns = ecs.list_tasks(cluster="ki-cluster", serviceName="ki-rag-api", desiredStatus="STOPPED")["taskArns"]
    return list(ecs.describe_tasks(cluster="ki-cluster", tasks=arns)["tasks"]) if arns else []


def test_a_good_image_is_rolled_out() -> None:
    with (
        sandbox_thread() as sandbox,
        sandbox.client() as ecs,
        sandbox.client("elbv2") as elb,
        sandbox.client("logs") as logs,
        sandbox.client("ecr") as ecr,
    ):
        began = sandbox.now()
        arn = registered(ecs, "good")
        deployment = deployed(sandbox, ecs, arn)
        assert deployment["status"] == "SUCCESSFUL"
        assert deployment["deploymentCircuitBreaker"]["threshold"] == 3
        assert 95 < sandbox.now() - began < 600

        revisions = ecs.describe_service_revisions(
            serviceRevisionArns=[deployment["targetServiceRevision"]["arn"]]
        )["serviceRevisions"]
        pushed = ecr.describe_images(repositoryName="ki-rag-api", imageIds=[{"imageTag": "good"}])
        digest = pushed["imageDetails"][0]["imageDigest"]
        assert revisions[0]["taskDefinition"] == arn
        assert [image["imageDigest"] for image in revisions[0]["containerImages"]] == [digest]

        service = ecs.describe_services(cluster="ki-cluster", services=["ki-rag-api"])["services"][0]
        (primary,) = service["deployments"]
        assert (primary["rolloutState"], primary["taskDefinition"]) == ("COMPLETED", arn)
        assert primary["id"].removeprefix("ecs-svc/") in deployment["targetServiceRevision"]["arn"]
        assert service["events"][0]["message"] == "(service ki-rag-api) has reached a steady state."

        running = ecs.list_tasks(cluster="ki-cluster", serviceName="ki-rag-api")["taskArns"]
        tasks = ecs.describe_tasks(cluster="ki-cluster", tasks=running)["tasks"]
        assert {task["healthStatus"] for task in tasks} == {"HEALTHY"}
        assert {container["imageDigest"] for task in tasks for container in task["containers"]} == {digest}
        assert (
            len({gpu for task in tasks for container in task["containers"] for gpu in container["gpuIds"]})
            == 2
        )

        group = elb.describe_target_groups(Names=["ki-rag-api"])["TargetGroups"][0]["TargetGroupArn"]
        health = elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        assert [target["TargetHealth"] for target in health].count({"State": "healthy"}) == 2

        task_id = running[0].rpartition("/")[2]
        events = logs.get_log_events(
            logGroupName="/ecs/ki-rag-api", logStreamName=f"ecs/ki-rag-api/{task_id}", startFromHead=True
        )["events"]
        assert events[-1]["message"] == "INFO: models loaded in 93.0 s, ready"
        started = tasks[0]["startedAt"].timestamp()
        assert began < events[0]["timestamp"] / 1000 <= started + 96


def test_a_bad_image_is_rolled_back_by_the_circuit_breaker() -> None:
    with sandbox_thread() as sandbox, sandbox.client() as ecs, sandbox.client("logs") as logs:
        before = ecs.describe_services(cluster="ki-cluster", services=["ki-rag-api"])["services"][0]
        deployment = deployed(sandbox, ecs, registered(ecs, "bad"))
        reason = "Service deployment rolled back because the circuit breaker threshold was exceeded."
        assert (deployment["status"], deployment["statusReason"]) == ("ROLLBACK_SUCCESSFUL", reason)
        assert deployment["deploymentCircuitBreaker"]["status"] == "TRIGGERED"
        after = ecs.describe_services(cluster="ki-cluster", services=["ki-rag-api"])["services"][0]
        assert after["taskDefinition"] == before["taskDefinition"]
        task = next(task for task in stopped_tasks(ecs) if task["stopCode"] == "EssentialContainerExited")
        assert task["containers"][0]["exitCode"] == 1
        stream = f"ecs/ki-rag-api/{task['taskArn'].rpartition('/')[2]}"
        lines = logs.get_log_events(logGroupName="/ecs/ki-rag-api", logStreamName=stream)["events"]
        assert "CUDA out of memory" in lines[-1]["message"]


missing_things = [
    pytest.param({"tag": "never-pushed"}, "CannotPullContainerError: .* manifest unknown", id="an image tag"),
    pytest.param(
        {"image": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/other:1"},
        "CannotPullContainerError: .*The repository with name 'other' does not exist",
        id="a repository",
    ),
    pytest.param(
        {"logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/none"}}},
        "ResourceInitializationError: .*The specified log group does not exist",
        id="a log group",
    ),
    pytest.param(
        {
            "secrets": [
                {
                    "name": "A",
                    "valueFrom": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:no-AbCdEf",
                }
            ]
        },
        "ResourceInitializationError: .*can't find the specified secret",
        id="a secret",
    ),
    pytest.param(
        {"secrets": [{"name": "A", "valueFrom": "/no/parameter"}]},
        "ResourceInitializationError: .*invalid ssm parameters: /no/parameter",
        id="an SSM parameter",
    ),
]


@pytest.mark.parametrize("moto_is_open", [False, True], ids=["before moto is open", "from moto"])
@pytest.mark.parametrize(("change", "reason"), missing_things)
def test_a_task_fails_for_what_is_not_there(change: dict[str, Any], reason: str, moto_is_open: bool) -> None:
    with sandbox_thread() as sandbox, sandbox.client() as ecs:
        if moto_is_open:
            open_neighbours(sandbox)
        ecs.update_service(**NAMES, taskDefinition=registered(ecs, **change))
        sandbox.advance(120)
        texts = [
            f"{task.get('stoppedReason', '')} {container.get('reason', '')}"
            for task in stopped_tasks(ecs)
            for container in task["containers"] or [{}]
        ]
        assert texts
        assert all(re.search(reason, text) for text in texts), texts


def open_neighbours(sandbox: RunningSandbox) -> None:
    """Touch the services beside ECS, so that moto answers for what is there."""
    with sandbox.client("ecr") as ecr:
        ecr.describe_repositories()
    with sandbox.client("logs") as logs:
        logs.describe_log_groups()
    with sandbox.client("secretsmanager") as secrets:
        secrets.list_secrets()
    with sandbox.client("ssm") as ssm:
        ssm.describe_parameters()


def test_things_made_through_their_own_apis_are_found() -> None:
    with (
        sandbox_thread() as sandbox,
        sandbox.client() as ecs,
        sandbox.client("logs") as logs,
        sandbox.client("ecr") as ecr,
        sandbox.client("secretsmanager") as secrets,
    ):
        logs.create_log_group(logGroupName="/mine")
        ecr.create_repository(repositoryName="mine")
        image = ecr.batch_get_image(repositoryName="ki-rag-api", imageIds=[{"imageTag": "good"}])["images"][0]
        ecr.put_image(repositoryName="mine", imageManifest=image["imageManifest"], imageTag="1")
        secret = secrets.create_secret(Name="mine", SecretString="x")["ARN"]
        arn = registered(
            ecs,
            image="123456789012.dkr.ecr.eu-central-1.amazonaws.com/mine:1",
            secrets=[{"name": "A", "valueFrom": f"{secret}:key::"}],
            logConfiguration={
                "logDriver": "awslogs",
                "options": {"awslogs-group": "/mine", "awslogs-stream-prefix": "p"},
            },
        )
        assert deployed(sandbox, ecs, arn)["status"] == "SUCCESSFUL"
        assert len(logs.describe_log_streams(logGroupName="/mine")["logStreams"]) == 2
        ecr.batch_delete_image(repositoryName="mine", imageIds=[{"imageTag": "1"}])
        again = ecs.update_service(**NAMES, taskDefinition=registered(ecs, cpu=1024))["service"]
        sandbox.advance(60)
        assert again["deployments"][0]["status"] == "PRIMARY"


def test_a_pinned_digest_behaves_as_its_tag() -> None:
    with sandbox_thread() as sandbox, sandbox.client() as ecs, sandbox.client("ecr") as ecr:
        found = ecr.describe_images(repositoryName="ki-rag-api", imageIds=[{"imageTag": "out-of-memory"}])
        digest = found["imageDetails"][0]["imageDigest"]
        image = f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/ki-rag-api@{digest}"
        assert deployed(sandbox, ecs, registered(ecs, image=image))["status"] == "ROLLBACK_SUCCESSFUL"
        reasons = {container.get("reason") for task in stopped_tasks(ecs) for container in task["containers"]}
        assert "OutOfMemoryError: Container killed due to memory usage" in reasons


def test_behaviour_may_differ_by_attempt() -> None:
    with sandbox_thread() as sandbox, sandbox.client() as ecs:
        flaky = {
            "image": "ki-rag-api:flaky",
            "load_seconds": 20,
            "attempts": [{"exit_code": 3, "exit_after": 5}] * 2,
        }
        sandbox.add({"images": [flaky]})
        deployment = deployed(sandbox, ecs, registered(ecs, "flaky"))
        assert deployment["status"] == "SUCCESSFUL"
        codes = [container.get("exitCode") for task in stopped_tasks(ecs) for container in task["containers"]]
        assert codes.count(3) == 2


def test_behaviour_may_differ_by_command() -> None:
    with sandbox_thread() as sandbox, sandbox.client() as ecs:
        commands = {"python migrate.py *": {"exit_code": 4, "exit_after": 5}}
        sandbox.add({"images": [{"image": "ki-rag-api:both", "load_seconds": 20, "commands": commands}]})
        arn = registered(ecs, "both")
        for given, codes in ((["python", "migrate.py", "--all"], [4]), (["serve"], [None])):
            override = {"containerOverrides": [{"name": "ki-rag-api", "command": given}]}
            [task] = ecs.run_task(cluster="ki-cluster", taskDefinition=arn, overrides=override)["tasks"]
            sandbox.advance(600)
            [task] = ecs.describe_tasks(cluster="ki-cluster", tasks=[task["taskArn"]])["tasks"]
            assert [container.get("exitCode") for container in task["containers"]] == codes


def test_a_newer_deployment_supersedes_the_older() -> None:
    with sandbox_thread() as sandbox, sandbox.client() as ecs:
        ecs.update_service(**NAMES, taskDefinition=registered(ecs, "slow"))
        sandbox.advance(30)
        assert deployed(sandbox, ecs, registered(ecs, "good"))["status"] == "SUCCESSFUL"
        briefs = ecs.list_service_deployments(**NAMES)["serviceDeployments"]
        assert [brief["status"] for brief in briefs] == ["SUCCESSFUL", "STOPPED", "SUCCESSFUL"]
        ended = ecs.list_service_deployments(**NAMES, status=["STOPPED"])["serviceDeployments"]
        assert [brief["serviceDeploymentArn"] for brief in ended] == [briefs[1]["serviceDeploymentArn"]]
        newest = ecs.list_service_deployments(**NAMES, createdAt={"after": briefs[0]["createdAt"]})
        assert len(newest["serviceDeployments"]) == 1
        first = ecs.list_service_deployments(**NAMES, maxResults=2)
        rest = ecs.list_service_deployments(**NAMES, maxResults=2, nextToken=first["nextToken"])
        assert [*first["serviceDeployments"], *rest["serviceDeployments"]] == briefs


def test_stopping_a_deployment_rolls_back() -> None:
    with sandbox_thread() as sandbox, sandbox.client() as ecs:
        ecs.update_service(**NAMES, taskDefinition=registered(ecs, "slow"))
        sandbox.advance(30)
        brief = ecs.list_service_deployments(**NAMES)["serviceDeployments"][0]
        ecs.stop_service_deployment(serviceDeploymentArn=brief["serviceDeploymentArn"], stopType="ROLLBACK")
        sandbox.advance(600)
        after = ecs.list_service_deployments(**NAMES)["serviceDeployments"][0]
        assert after["status"] == "ROLLBACK_SUCCESSFUL"


def test_a_batch_task_runs_to_its_end() -> None:
    with sandbox_thread() as sandbox, sandbox.client() as ecs:
        sandbox.add({"images": [{"image": "ki-rag-api:ingest", "exit_code": 0, "exit_after": 60}]})
        arn = registered(ecs, "ingest")
        answer = ecs.run_task(
            cluster="ki-cluster",
            taskDefinition=arn,
            count=3,
            clientToken="t",
            startedBy="ci",
            tags=[{"key": "a", "value": "b"}],
        )
        assert len(answer["tasks"]) == 2
        assert {failure["reason"] for failure in answer["failures"]} == {"RESOURCE:GPU"}
        again = ecs.run_task(
            cluster="ki-cluster", taskDefinition=arn, count=3, clientToken="t", startedBy="ci"
        )
        arns = [task["taskArn"] for task in answer["tasks"]]
        assert [task["taskArn"] for task in again["tasks"]] == arns
        assert sorted(ecs.list_tasks(cluster="ki-cluster", startedBy="ci")["taskArns"]) == sorted(arns)
        sandbox.advance(200)
        tasks = ecs.describe_tasks(cluster="ki-cluster", tasks=arns, include=["TAGS"])["tasks"]
        assert [task["lastStatus"] for task in tasks] == ["STOPPED", "STOPPED"]
        assert [task["containers"][0]["exitCode"] for task in tasks] == [0, 0]
        assert tasks[0]["tags"] == [{"key": "a", "value": "b"}]


BLUE_GREEN = """
clusters: [c]
capacity_providers:
  - {name: gpu, default: true, launch_seconds: 120, max_size: 4, instances: {type: g5.xlarge}}
target_groups: [{Name: blue, TargetType: ip}]
task_definitions:
  - family: t
    networkMode: awsvpc
    containerDefinitions:
      - name: t
        image: registry.example/a:1
        memory: 128
        portMappings: [{containerPort: 80}]
        resourceRequirements: [{type: GPU, value: "1"}]
services:
  - serviceName: s
    taskDefinition: t
    desiredCount: 2
    networkConfiguration: {awsvpcConfiguration: {subnets: [subnet-1]}}
    loadBalancers: [{targetGroupArn: blue, containerName: t, containerPort: 80}]
"""


def test_blue_green_waits_at_a_pause_hook_and_for_new_instances() -> None:
    with sandbox_thread(BLUE_GREEN) as sandbox, sandbox.client() as ecs, sandbox.client("elbv2") as elb:
        group = elb.describe_target_groups()["TargetGroups"][0]["TargetGroupArn"]
        targets = elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        assert all(target["Target"]["Id"].startswith("10.") for target in targets)
        assert len(ecs.list_container_instances(cluster="c")["containerInstanceArns"]) == 2
        hooks = [{"targetType": "PAUSE", "lifecycleStages": ["POST_SCALE_UP"]}]
        ecs.update_service(
            cluster="c",
            service="s",
            forceNewDeployment=True,
            deploymentConfiguration={
                "strategy": "BLUE_GREEN",
                "bakeTimeInMinutes": 2,
                "lifecycleHooks": hooks,
            },
        )
        stages: list[str] = []
        continued = 0
        for _ in range(200):
            brief = ecs.list_service_deployments(cluster="c", service="s")["serviceDeployments"][0]
            arn = brief["serviceDeploymentArn"]
            (deployment,) = ecs.describe_service_deployments(serviceDeploymentArns=[arn])[
                "serviceDeployments"
            ]
            if deployment["status"] in TERMINAL:
                break
            stage = deployment.get("lifecycleStage")
            if stage and stages[-1:] != [stage]:
                stages.append(stage)
            for hook in deployment.get("lifecycleHookDetails", []):
                if hook["status"] == "AWAITING_ACTION":
                    ecs.continue_service_deployment(serviceDeploymentArn=arn, hookId=hook["hookId"])
                    continued += 1
            sandbox.advance(10)
        assert (deployment["status"], continued) == ("SUCCESSFUL", 1)
        assert stages.index("SCALE_UP") < stages.index("POST_SCALE_UP") < stages.index("BAKE_TIME")
        assert len(ecs.list_container_instances(cluster="c")["containerInstanceArns"]) == 4


def test_a_deleted_service_drains_and_becomes_inactive() -> None:
    with sandbox_thread() as sandbox, sandbox.client() as ecs:
        ecs.delete_service(**NAMES, force=True)
        with pytest.raises(ecs.exceptions.ServiceNotActiveException):
            ecs.update_service(**NAMES, desiredCount=1)
        sandbox.advance(600)
        gone = ecs.describe_services(cluster="ki-cluster", services=["ki-rag-api"])["services"][0]
        assert (gone["status"], gone["runningCount"]) == ("INACTIVE", 0)
        assert ecs.list_services(cluster="ki-cluster")["serviceArns"] == []


@pytest.mark.parametrize("logs_are_open", [False, True], ids=["before moto is open", "from moto"])
def test_the_log_driver_may_create_its_group(logs_are_open: bool) -> None:
    with sandbox_thread() as sandbox, sandbox.client() as ecs, sandbox.client("logs") as logs:
        if logs_are_open:
            logs.describe_log_groups()
        options = {"awslogs-group": "/new", "awslogs-create-group": "true", "awslogs-stream-prefix": "p"}
        arn = registered(ecs, "good", logConfiguration={"logDriver": "awslogs", "options": options})
        assert deployed(sandbox, ecs, arn)["status"] == "SUCCESSFUL"
        assert len(logs.describe_log_streams(logGroupName="/new")["logStreams"]) == 2


def test_gpus_can_be_shared_by_mps() -> None:
    with sandbox_thread() as sandbox, sandbox.client() as ecs:
        share = {"type": "GPU", "sharingStrategy": {"nvidiaMps": {"memory": 4000}}}
        container = {
            "name": "m",
            "image": "registry.example/m",
            "memory": 64,
            "resourceRequirements": [share],
        }
        ecs.register_task_definition(family="mps", containerDefinitions=[container])
        started = ecs.run_task(cluster="ki-cluster", taskDefinition="mps")["tasks"][0]
        assert started["containers"][0]["gpuSharingStrategy"] == share["sharingStrategy"]
        sandbox.advance(30)
        arns = ecs.list_container_instances(cluster="ki-cluster")["containerInstanceArns"]
        described = ecs.describe_container_instances(cluster="ki-cluster", containerInstances=arns)
        devices = [device for one in described["containerInstances"] for device in one["gpuDevices"]]
        modes = sorted(device["sharingMode"] for device in devices)
        assert modes == ["DEDICATED", "DEDICATED", "IDLE", "NVIDIA_MPS"]
        shared = next(device for device in devices if device["sharingMode"] == "NVIDIA_MPS")
        assert shared["totalMemoryInMiB"] - shared["remainingMemoryInMiB"] == 4000
