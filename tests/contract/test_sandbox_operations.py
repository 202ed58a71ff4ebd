"""Every ECS operation of the sandbox once, through boto3: each response fits the service model."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from ecs_gpu_deploy.sandbox.ecs.operations import OPERATIONS
from sandbox_process import RunningSandbox, sandbox_thread

CONTAINERS = [{"name": "app", "image": "registry.example/app:1", "memory": 256, "cpu": 64}]
GROUP = "arn:aws:autoscaling:eu-central-1:123456789012:autoScalingGroup:0:autoScalingGroupName/g"


def test_every_operation_answers() -> None:
    with sandbox_thread("clusters: [one]\ninstances: [{type: g5.12xlarge, count: 2}]") as sandbox:
        with sandbox.client() as ecs:
            clusters(ecs)
            capacity_providers(ecs)
            definition = task_definitions(ecs)
            services(sandbox, ecs, definition)
            tasks(sandbox, ecs, definition)
            instances(ecs)
            tags_and_settings(ecs, definition)
        answered = {call["operation"] for call in sandbox.calls() if call["status"] == 200}
        assert set(OPERATIONS) - answered == {"ContinueServiceDeployment"}, "it needs a PAUSE hook"


def clusters(ecs: Any) -> None:
    settings = [{"name": "containerInsights", "value": "enabled"}]
    created = ecs.create_cluster(clusterName="two", settings=settings, tags=[{"key": "a", "value": "b"}])
    assert created["cluster"]["status"] == "ACTIVE"
    described = ecs.describe_clusters(clusters=["two", "none"], include=["SETTINGS", "TAGS"])
    assert described["clusters"][0]["settings"] == settings
    assert described["failures"] == [
        {"arn": "arn:aws:ecs:eu-central-1:123456789012:cluster/none", "reason": "MISSING"}
    ]
    off = [{"name": "containerInsights", "value": "disabled"}]
    ecs.update_cluster_settings(cluster="two", settings=off)
    assert ecs.update_cluster(cluster="two", settings=off)["cluster"]["settings"] == off
    assert len(ecs.list_clusters()["clusterArns"]) == 2
    assert ecs.delete_cluster(cluster="two")["cluster"]["status"] == "INACTIVE"
    with pytest.raises(ClientError, match="Cluster not found"):
        ecs.list_services(cluster="two")


def capacity_providers(ecs: Any) -> None:
    scaling = {"status": "ENABLED", "targetCapacity": 90}
    ecs.create_capacity_provider(
        name="gpu", autoScalingGroupProvider={"autoScalingGroupArn": GROUP, "managedScaling": scaling}
    )
    ecs.create_cluster(clusterName="three")
    strategy = [{"capacityProvider": "gpu", "weight": 1}]
    with pytest.raises(ClientError, match="'other' was not found"):
        ecs.put_cluster_capacity_providers(
            cluster="three", capacityProviders=["other"], defaultCapacityProviderStrategy=[]
        )
    put = ecs.put_cluster_capacity_providers(
        cluster="three", capacityProviders=["gpu"], defaultCapacityProviderStrategy=strategy
    )
    assert put["cluster"]["defaultCapacityProviderStrategy"][0]["capacityProvider"] == "gpu"
    described = ecs.describe_capacity_providers(capacityProviders=["gpu", "FARGATE", "none"])
    assert [one["name"] for one in described["capacityProviders"]] == ["gpu", "FARGATE"]
    assert len(described["failures"]) == 1
    changed = ecs.update_capacity_provider(
        name="gpu", autoScalingGroupProvider={"managedScaling": {"targetCapacity": 100}}
    )
    provider = changed["capacityProvider"]["autoScalingGroupProvider"]
    assert provider["managedScaling"]["targetCapacity"] == 100
    with pytest.raises(ClientError, match="is in use"):
        ecs.delete_capacity_provider(capacityProvider="gpu")
    ecs.put_cluster_capacity_providers(
        cluster="three", capacityProviders=[], defaultCapacityProviderStrategy=[]
    )
    assert ecs.delete_capacity_provider(capacityProvider="gpu")["capacityProvider"]["status"] == "INACTIVE"


def task_definitions(ecs: Any) -> str:
    for _ in range(3):
        registered = ecs.register_task_definition(family="app", containerDefinitions=CONTAINERS)
    arn = str(registered["taskDefinition"]["taskDefinitionArn"])
    gone = ecs.deregister_task_definition(taskDefinition="app:1")["taskDefinition"]
    assert gone["status"] == "INACTIVE"
    assert "deregisteredAt" in gone
    assert ecs.describe_task_definition(taskDefinition="app:1")["taskDefinition"]["status"] == "INACTIVE"
    assert ecs.describe_task_definition(taskDefinition="app")["taskDefinition"]["revision"] == 3
    deleted = ecs.delete_task_definitions(taskDefinitions=["app:1", "app:2"])
    assert [one["status"] for one in deleted["taskDefinitions"]] == ["DELETE_IN_PROGRESS"]
    assert len(deleted["failures"]) == 1
    assert len(ecs.list_task_definitions(familyPrefix="app")["taskDefinitionArns"]) == 2
    assert ecs.list_task_definition_families(status="ACTIVE")["families"] == ["app"]
    with pytest.raises(ClientError, match="TaskDefinition is inactive"):
        ecs.run_task(cluster="one", taskDefinition="app:1")
    return arn


def services(sandbox: RunningSandbox, ecs: Any, definition: str) -> None:
    created = ecs.create_service(
        cluster="one",
        serviceName="web",
        taskDefinition="app",
        desiredCount=2,
        propagateTags="SERVICE",
        tags=[{"key": "team", "value": "ai"}],
    )["service"]
    assert created["taskDefinition"] == definition
    assert created["tags"] == [{"key": "team", "value": "ai"}]
    sandbox.advance(200)
    assert ecs.list_services(cluster="one", launchType="EC2")["serviceArns"] == [created["serviceArn"]]
    assert ecs.list_services_by_namespace(namespace="none")["serviceArns"] == []
    described = ecs.describe_services(cluster="one", services=["web"], include=["TAGS"])["services"][0]
    assert described["runningCount"] == 2
    listed = ecs.list_service_deployments(cluster="one", service="web")["serviceDeployments"]
    assert [one["status"] for one in listed] == ["SUCCESSFUL"]
    for odd in (
        {"canaryConfiguration": {"canaryPercent": 5.0}},
        {"strategy": "BLUE_GREEN", "earlySuccessCriteria": {"enable": True, "healthyPercent": 100}},
        {"earlySuccessCriteria": {"enable": True, "healthyPercent": 50}},
    ):
        with pytest.raises(ClientError, match="InvalidParameterException"):
            ecs.update_service(cluster="one", service="web", deploymentConfiguration=odd)
    ecs.update_service(cluster="one", service="web", forceNewDeployment=True)
    ongoing = ecs.list_service_deployments(cluster="one", service="web")["serviceDeployments"][0]
    arn = ongoing["serviceDeploymentArn"]
    found = ecs.describe_service_deployments(serviceDeploymentArns=[arn, f"{arn}x"])
    assert (len(found["serviceDeployments"]), len(found["failures"])) == (1, 1)
    revisions = ecs.describe_service_revisions(serviceRevisionArns=[ongoing["targetServiceRevisionArn"]])
    assert revisions["serviceRevisions"][0]["taskDefinition"] == definition
    assert ecs.stop_service_deployment(serviceDeploymentArn=arn)["serviceDeploymentArn"] == arn
    with pytest.raises(ClientError) as caught:
        ecs.continue_service_deployment(serviceDeploymentArn=arn, hookId="none")
    assert caught.value.response["Error"]["Code"] in ("InvalidParameterException", "ClientException")
    sandbox.advance(600)


def tasks(sandbox: RunningSandbox, ecs: Any, definition: str) -> None:
    arns = ecs.list_tasks(cluster="one", serviceName="web")["taskArns"]
    described = ecs.describe_tasks(cluster="one", tasks=[*arns, "0" * 32], include=["TAGS"])
    assert {task["tags"][0]["value"] for task in described["tasks"]} == {"ai"}
    assert [failure["reason"] for failure in described["failures"]] == ["MISSING"]
    protected = ecs.update_task_protection(
        cluster="one", tasks=arns[:1], protectionEnabled=True, expiresInMinutes=5
    )["protectedTasks"][0]
    assert protected["protectionEnabled"]
    assert ecs.get_task_protection(cluster="one", tasks=arns[:1])["protectedTasks"] == [protected]
    sandbox.advance(301)
    assert not ecs.get_task_protection(cluster="one", tasks=arns)["protectedTasks"][0]["protectionEnabled"]

    with pytest.raises(ClientError, match="does not support launch_type FARGATE"):
        ecs.run_task(cluster="one", taskDefinition=definition, launchType="FARGATE")
    run = ecs.run_task(cluster="one", taskDefinition=definition, count=2, startedBy="me")
    assert (len(run["tasks"]), run["failures"]) == (2, [])
    (instance, *_) = ecs.list_container_instances(cluster="one")["containerInstanceArns"]
    begun = ecs.start_task(cluster="one", taskDefinition=definition, containerInstances=[instance])["tasks"]
    assert begun[0]["containerInstanceArn"] == instance
    stopped = ecs.stop_task(cluster="one", task=run["tasks"][0]["taskArn"], reason="enough")["task"]
    assert (stopped["stopCode"], stopped["stoppedReason"]) == ("UserInitiated", "enough")
    sandbox.advance(60)
    assert len(ecs.list_tasks(cluster="one", family="app", desiredStatus="STOPPED")["taskArns"]) >= 1
    assert begun[0]["taskArn"] in ecs.list_tasks(cluster="one", containerInstance=instance)["taskArns"]


def instances(ecs: Any) -> None:
    arns = ecs.list_container_instances(cluster="one", status="ACTIVE")["containerInstanceArns"]
    query = "attribute:ecs.instance-type == g5.12xlarge and attribute:ecs.availability-zone == eu-central-1a"
    assert len(ecs.list_container_instances(cluster="one", filter=query)["containerInstanceArns"]) == 1
    described = ecs.describe_container_instances(
        cluster="one", containerInstances=arns, include=["CONTAINER_INSTANCE_HEALTH"]
    )["containerInstances"]
    assert {one["healthStatus"]["overallStatus"] for one in described} == {"OK"}
    registered = {one["name"]: one for one in described[0]["registeredResources"]}
    assert len(registered["GPU"]["stringSetValue"]) == 4
    assert registered["CPU"]["integerValue"] == 48 * 1024
    target = {"name": "pool", "value": "gpu", "targetId": arns[0]}
    ecs.put_attributes(cluster="one", attributes=[target])
    listed = ecs.list_attributes(cluster="one", targetType="container-instance", attributeName="pool")
    assert listed["attributes"] == [target]
    ecs.delete_attributes(cluster="one", attributes=[{"name": "pool", "targetId": arns[0]}])
    drained = ecs.update_container_instances_state(
        cluster="one", containerInstances=[arns[1], "none"], status="DRAINING"
    )
    assert [one["status"] for one in drained["containerInstances"]] == ["DRAINING"]
    assert len(drained["failures"]) == 1
    added = ecs.register_container_instance(
        cluster="one", totalResources=[{"name": "CPU", "type": "INTEGER", "integerValue": 512}]
    )["containerInstance"]
    gone = ecs.deregister_container_instance(cluster="one", containerInstance=added["containerInstanceArn"])
    assert gone["containerInstance"]["status"] == "INACTIVE"
    with pytest.raises(ClientError, match="Found running tasks on the instance"):
        ecs.deregister_container_instance(cluster="one", containerInstance=arns[0])


def tags_and_settings(ecs: Any, definition: str) -> None:
    ecs.tag_resource(resourceArn=definition, tags=[{"key": "commit", "value": "abc"}])
    described = ecs.describe_task_definition(taskDefinition=definition, include=["TAGS"])
    assert described["tags"] == [{"key": "commit", "value": "abc"}]
    assert ecs.list_tags_for_resource(resourceArn=definition)["tags"] == described["tags"]
    ecs.untag_resource(resourceArn=definition, tagKeys=["commit"])
    assert ecs.list_tags_for_resource(resourceArn=definition)["tags"] == []
    with pytest.raises(ClientError, match="The specified service was not found"):
        ecs.tag_resource(
            resourceArn="arn:aws:ecs:eu-central-1:123456789012:service/one/none",
            tags=[{"key": "a", "value": "b"}],
        )
    ecs.put_account_setting(name="containerInsights", value="enabled")
    ecs.put_account_setting_default(name="awsvpcTrunking", value="enabled")
    assert len(ecs.list_account_settings()["settings"]) == 2
    ecs.delete_account_setting(name="awsvpcTrunking")
    effective = ecs.list_account_settings(effectiveSettings=True, maxResults=100)["settings"]
    assert {"containerInsights": "enabled", "awsvpcTrunking": "disabled"}.items() <= {
        one["name"]: one["value"] for one in effective
    }.items()
    assert ecs.delete_service(cluster="one", service="web", force=True)["service"]["status"] == "DRAINING"
