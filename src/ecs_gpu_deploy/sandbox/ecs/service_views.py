"""Services, deployments and revisions of the model, as the API describes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ecs_gpu_deploy.ecs_model import alarms
from ecs_gpu_deploy.ecs_model.state import (
    Deployment,
    Service,
    ServiceDeployment,
    ServiceRevision,
)
from ecs_gpu_deploy.sandbox.ecs.codedeploy import is_codedeploy, with_task_sets
from ecs_gpu_deploy.sandbox.ecs.region import Cluster, EcsRegion
from ecs_gpu_deploy.sandbox.protocol.shapes import Fragment

CONFIG_MEMBERS = (
    "loadBalancers",
    "serviceRegistries",
    "launchType",
    "capacityProviderStrategy",
    "platformVersion",
    "placementConstraints",
    "placementStrategy",
    "networkConfiguration",
    "healthCheckGracePeriodSeconds",
    "schedulingStrategy",
    "deploymentController",
    "enableECSManagedTags",
    "propagateTags",
    "enableExecuteCommand",
    "availabilityZoneRebalancing",
)
REVISION_MEMBERS = (
    "launchType",
    "capacityProviderStrategy",
    "platformVersion",
    "platformFamily",
    "loadBalancers",
    "serviceRegistries",
    "networkConfiguration",
    "serviceConnectConfiguration",
    "volumeConfigurations",
    "vpcLatticeConfigurations",
)


def service_view(region: EcsRegion, service: Service, include: Sequence[str]) -> dict[str, Any]:
    """Describe a service as DescribeServices does."""
    config = service.config
    view: dict[str, Any] = {
        "serviceArn": service.arn,
        "serviceName": service.name,
        "clusterArn": service.cluster_arn,
        "status": service.status,
        "desiredCount": service.desired_count,
        "runningCount": service.running_count,
        "pendingCount": service.pending_count,
        "taskDefinition": config.get("taskDefinition"),
        "deploymentConfiguration": deployment_configuration(config),
        "deployments": [deployment_view(deployment) for deployment in service.deployments],
        "events": events_fragment(region, service),
        "createdAt": service.created_at,
        "createdBy": config.get("createdBy", region.caller),
        "tags": region.tags_of(service.arn, include),
    }
    view |= {
        "loadBalancers": [],
        "serviceRegistries": [],
        "placementConstraints": [],
        "placementStrategy": [],
    }
    view |= {name: config[name] for name in CONFIG_MEMBERS if config.get(name) is not None}
    if config.get("role"):
        view["roleArn"] = config["role"]
    elif view["loadBalancers"]:
        view["roleArn"] = (
            f"arn:{region.partition}:iam::{region.account_id}:role/aws-service-role/ecs.amazonaws.com/"
            "AWSServiceRoleForECS"
        )
    if service.current_service_deployment:
        view["currentServiceDeployment"] = service.current_service_deployment
        view["currentServiceRevisions"] = [
            {
                "arn": deployment.service_revision_arn,
                "requestedTaskCount": deployment.desired_count,
                "runningTaskCount": deployment.running_count,
                "pendingTaskCount": deployment.pending_count,
            }
            for deployment in service.deployments
        ]
    return with_task_sets(region, service, view) if is_codedeploy(service) else view


def deployment_configuration(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a service's deployment configuration with the defaults that AWS writes out."""
    given: Mapping[str, Any] = config.get("deploymentConfiguration") or {}
    breaker = {"enable": False, "rollback": False} | dict(given.get("deploymentCircuitBreaker") or {})
    defaults = {
        "maximumPercent": 200,
        "minimumHealthyPercent": 100,
        "strategy": "ROLLING",
        "bakeTimeInMinutes": 0,
    }
    return defaults | dict(given) | {"deploymentCircuitBreaker": breaker}


def deployment_view(deployment: Deployment) -> dict[str, Any]:
    """Describe one entry of `deployments`."""
    view: dict[str, Any] = {
        "id": deployment.id,
        "status": deployment.status,
        "taskDefinition": deployment.task_definition_arn,
        "desiredCount": deployment.desired_count,
        "pendingCount": deployment.pending_count,
        "runningCount": deployment.running_count,
        "failedTasks": deployment.failed_tasks,
        "createdAt": deployment.created_at,
        "updatedAt": deployment.updated_at,
        "rolloutState": str(deployment.rollout_state),
        "rolloutStateReason": deployment.rollout_state_reason,
    }
    if deployment.capacity_provider_strategy:
        view["capacityProviderStrategy"] = [dict(item) for item in deployment.capacity_provider_strategy]
    elif deployment.launch_type:
        view["launchType"] = deployment.launch_type
    if network := deployment.config.get("networkConfiguration"):
        view["networkConfiguration"] = network
    if volumes := deployment.config.get("volumeConfigurations"):
        view["volumeConfigurations"] = volumes
    return view


def events_fragment(region: EcsRegion, service: Service) -> Fragment:
    """Write a service's events, newest first; kept until there is a new one."""
    events = service.events
    if not events:
        return Fragment("[]")
    newest = events[0] if events[0].created_at >= events[-1].created_at else events[-1]
    key = (len(events), newest.id)
    kept = region.written_events.get(service.arn)
    if kept is not None and kept[0] == key:
        return kept[1]
    newest_first = list(events) if newest is events[0] else list(reversed(events))
    written = region.protocol.fragment(
        "ServiceEvents",
        [{"id": event.id, "createdAt": event.created_at, "message": event.message} for event in newest_first],
    )
    region.written_events[service.arn] = (key, written)
    return written


def service_deployment_brief(deployment: ServiceDeployment) -> dict[str, Any]:
    """Describe a service deployment as ListServiceDeployments does."""
    return {
        "serviceDeploymentArn": deployment.arn,
        "serviceArn": deployment.service_arn,
        "clusterArn": deployment.cluster_arn,
        "createdAt": deployment.created_at,
        "startedAt": deployment.started_at,
        "finishedAt": deployment.finished_at,
        "targetServiceRevisionArn": deployment.target_revision_arn,
        "status": str(deployment.status),
        "statusReason": deployment.status_reason,
    }


def service_deployment_view(cluster: Cluster, deployment: ServiceDeployment) -> dict[str, Any]:
    """Describe a service deployment as DescribeServiceDeployments does."""

    def revision_summary(arn: str) -> dict[str, Any]:
        requested, running, pending = cluster.scheduler.revision_counts(arn)
        revision = cluster.scheduler.service_revisions[arn]
        return {
            "arn": arn,
            "requestedTaskCount": requested,
            "runningTaskCount": running,
            "pendingTaskCount": pending,
            "requestedTestTrafficWeight": float(revision.test_traffic_weight),
            "requestedProductionTrafficWeight": float(revision.production_traffic_weight),
        }

    configuration = deployment_configuration({"deploymentConfiguration": deployment.deployment_configuration})
    view = service_deployment_brief(deployment)
    view |= {
        "stoppedAt": deployment.stopped_at,
        "updatedAt": deployment.updated_at,
        "sourceServiceRevisions": [revision_summary(arn) for arn in deployment.source_revision_arns],
        "targetServiceRevision": revision_summary(deployment.target_revision_arn),
        "deploymentConfiguration": configuration,
        "lifecycleStage": deployment.lifecycle_stage,
        "deploymentCircuitBreaker": {
            "status": str(deployment.breaker_status),
            "failureCount": deployment.failure_count,
            "threshold": deployment.threshold,
        },
        "alarms": _alarms_view(configuration, deployment),
    }
    del view["targetServiceRevisionArn"]
    if deployment.rollback:
        view["rollback"] = {
            "reason": deployment.rollback.reason,
            "startedAt": deployment.rollback.started_at,
            "serviceRevisionArn": deployment.rollback.service_revision_arn,
        }
    if deployment.hooks:
        view["lifecycleHookDetails"] = [
            {
                "hookId": hook.hook_id,
                "targetType": hook.target_type,
                "targetArn": hook.target_arn,
                "status": hook.status,
                "expiresAt": hook.expires_at,
                "timeoutAction": hook.timeout_action,
            }
            for hook in deployment.hooks
        ]
    return view


def _alarms_view(configuration: Mapping[str, Any], deployment: ServiceDeployment) -> dict[str, Any] | None:
    """Describe the alarms that watch a deployment; None where there are none."""
    names = (configuration.get("alarms") or {}).get("alarmNames")
    if not names:
        return None
    return {
        "status": str(alarms.status_of(deployment)),
        "alarmNames": list(names),
        "triggeredAlarmNames": list(deployment.triggered_alarms),
    }


def service_revision_view(revision: ServiceRevision) -> dict[str, Any]:
    """Describe a service revision as DescribeServiceRevisions does."""
    view: dict[str, Any] = {
        "serviceRevisionArn": revision.arn,
        "serviceArn": revision.service_arn,
        "clusterArn": revision.cluster_arn,
        "taskDefinition": revision.task_definition_arn,
        "containerImages": [
            {
                "containerName": image.container_name,
                "image": image.image,
                "imageDigest": image.image_digest,
            }
            for image in revision.container_images
        ],
        "guardDutyEnabled": False,
        "createdAt": revision.created_at,
    }
    view |= {name: revision.config[name] for name in REVISION_MEMBERS if revision.config.get(name)}
    if "capacityProviderStrategy" in view:
        view.pop("launchType", None)
    return view
