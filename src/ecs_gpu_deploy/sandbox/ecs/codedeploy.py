"""CodeDeploy's deployments to ECS, over the model: a blue/green deployment of ECS's, in CodeDeploy's words.

Applications and deployment groups are moto's. The model moves one service deployment through its stages; here
those are lifecycle events, its rollback is a deployment of its own, and what the service has are task sets.
Simple on purpose: both task sets share the target group, and a hook's Lambda says yes after seconds.
Source of what is answered: CodeDeploy API Reference, docs/aws-facts.md#codedeploy.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from ecs_gpu_deploy.core.definition.appspec import task_definition_in
from ecs_gpu_deploy.core.document import document
from ecs_gpu_deploy.ecs_model.refusals import SchedulerError
from ecs_gpu_deploy.ecs_model.state import Deployment, LifecycleHook, Service, ServiceDeployment
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.model import ServiceDeploymentStatus
from ecs_gpu_deploy.sandbox.ecs.region import Cluster, EcsRegion, Request, Response
from ecs_gpu_deploy.sandbox.protocol.api_errors import ApiError
from ecs_gpu_deploy.sandbox.protocol.shapes import Protocol

EVENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "BeforeInstall": ("RECONCILE_SERVICE", "PRE_SCALE_UP"),
    "Install": ("SCALE_UP",),
    "AfterInstall": ("POST_SCALE_UP",),
    "AllowTestTraffic": ("TEST_TRAFFIC_SHIFT",),
    "AfterAllowTestTraffic": ("POST_TEST_TRAFFIC_SHIFT",),
    "BeforeAllowTraffic": (),
    "AllowTraffic": ("PRODUCTION_TRAFFIC_SHIFT",),
    "AfterAllowTraffic": ("POST_PRODUCTION_TRAFFIC_SHIFT",),
}
"""The lifecycle events in their order, and the stages of the model that each stands for."""
INSTALL_SECONDS: Final = 3600.0
"""How long CodeDeploy waits for the replacement tasks ("Troubleshoot Amazon ECS deployment issues")."""
_HOOK_STAGES: Final = {
    "BeforeInstall": "PRE_SCALE_UP",
    "AfterInstall": "POST_SCALE_UP",
    "AfterAllowTestTraffic": "POST_TEST_TRAFFIC_SHIFT",
    "BeforeAllowTraffic": "POST_TEST_TRAFFIC_SHIFT",
    "AfterAllowTraffic": "POST_PRODUCTION_TRAFFIC_SHIFT",
}
_SWITCHED: Final = frozenset({"POST_PRODUCTION_TRAFFIC_SHIFT", "BAKE_TIME", "CLEAN_UP"})
_ROUTES: Final[Mapping[str, tuple[str, int, int]]] = {
    "CodeDeployDefault.ECSLinear10PercentEvery1Minutes": ("LINEAR", 10, 1),
    "CodeDeployDefault.ECSLinear10PercentEvery3Minutes": ("LINEAR", 10, 3),
    "CodeDeployDefault.ECSCanary10Percent5Minutes": ("CANARY", 10, 5),
    "CodeDeployDefault.ECSCanary10Percent15Minutes": ("CANARY", 10, 15),
    "CodeDeployDefault.ECSAllAtOnce": ("BLUE_GREEN", 100, 0),
}
"""Predefined deployment configurations: strategy, percent, minutes."""
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


@dataclass(slots=True, kw_only=True)
class Made:
    """A deployment that CreateDeployment made. `error` is (code, message) of an end that we brought about."""

    id: str
    application: str
    name: str
    group: Any
    config: str
    description: str
    content: Mapping[str, Any]
    cluster: Cluster
    record: ServiceDeployment
    created_at: float
    error: tuple[str, str] | None = None

    @property
    def rollback_id(self) -> str:
        """Return the id of the deployment that takes this one back."""
        return f"{self.id[:-1]}R"


def refuses(service: Service, changes: Mapping[str, Any]) -> bool:
    """Say whether UpdateService may not make these changes to a service that CodeDeploy deploys."""
    return is_codedeploy(service) and bool(
        {"taskDefinition", "forceNewDeployment", "loadBalancers", "networkConfiguration"} & set(changes)
    )


def is_codedeploy(service: Service) -> bool:
    """Say whether CodeDeploy deploys the service (API Reference, DeploymentController, CODE_DEPLOY)."""
    return (service.config.get("deploymentController") or {}).get("type") == "CODE_DEPLOY"


def with_task_sets(region: EcsRegion, service: Service, view: dict[str, Any]) -> dict[str, Any]:
    """Return a service's view with task sets in the place of deployments (API Reference, TaskSet)."""
    primary = _primary(region, service)
    for member in ("currentServiceDeployment", "currentServiceRevisions", "deployments"):
        view.pop(member, None)
    view["deploymentConfiguration"] = {"maximumPercent": 200, "minimumHealthyPercent": 100}
    view["taskDefinition"] = primary.task_definition_arn if primary else view["taskDefinition"]
    view["taskSets"] = [_task_set(region, service, each, primary) for each in service.deployments]
    return view


def _cluster(region: EcsRegion, service: Service) -> Cluster:
    return next(each for each in region.clusters.values() if each.arn == service.cluster_arn)


def _primary(region: EcsRegion, service: Service) -> Deployment | None:
    """Return the deployment that production traffic goes to."""
    if not service.deployments:
        return None
    newest, *others = service.deployments
    record = _cluster(region, service).scheduler.service_deployments.get(newest.service_deployment_arn)
    waits = record is not None and record.status in {
        ServiceDeploymentStatus.PENDING,
        ServiceDeploymentStatus.IN_PROGRESS,
    }
    if others and waits and record is not None and record.lifecycle_stage not in _SWITCHED:
        return others[0]
    return newest


def _task_set(
    region: EcsRegion, service: Service, deployment: Deployment, primary: Deployment | None
) -> dict[str, Any]:
    made = _made_of(region, deployment)
    leaves = deployment is not primary and not deployment.desired_count
    cluster = service.cluster_arn.rpartition("/")[2]
    found: dict[str, Any] = {
        "id": deployment.id,
        "taskSetArn": region.arn(f"task-set/{cluster}/{service.name}/{deployment.id}"),
        "serviceArn": service.arn,
        "clusterArn": service.cluster_arn,
        "status": "PRIMARY" if deployment is primary else "DRAINING" if leaves else "ACTIVE",
        "taskDefinition": deployment.task_definition_arn,
        "computedDesiredCount": deployment.desired_count,
        "pendingCount": deployment.pending_count,
        "runningCount": deployment.running_count,
        "createdAt": deployment.created_at,
        "updatedAt": deployment.updated_at,
        "loadBalancers": service.config.get("loadBalancers") or [],
        "networkConfiguration": service.config.get("networkConfiguration"),
    }
    if deployment.launch_type:
        found["launchType"] = deployment.launch_type
    if made is not None:
        found |= {"externalId": made.id, "startedBy": "CODE_DEPLOY"}
    return {name: value for name, value in found.items() if value is not None}


def _made_of(region: EcsRegion, deployment: Deployment) -> Made | None:
    arn = deployment.service_deployment_arn
    return next((each for each in region.codedeploy.values() if each.record.arn == arn), None)


# The operations


@cache
def _protocol() -> Protocol:
    return Protocol("codedeploy")


def codedeploy_response(region: EcsRegion, operation: str, request: Request) -> str:
    """Answer one operation of CodeDeploy's deployments with JSON text; ApiError as AWS answers."""
    protocol = _protocol()
    protocol.check_request(operation, request)
    for made in list(region.codedeploy.values()):
        _end_late_install(region, made)
    try:
        answer = OPERATIONS[operation](region, request)
    except SchedulerError as refusal:
        raise ApiError("InvalidDeploymentStatusException", refusal.message) from refusal
    return protocol.written_response(operation, answer)


def _create(region: EcsRegion, request: Request) -> Response:
    application, name = request["applicationName"], request.get("deploymentGroupName", "")
    group = region.neighbours.deployment_group(application, name)
    if group is None:
        raise ApiError("DeploymentGroupDoesNotExistException", f"No Deployment Group found for name: {name}")
    active = next((m for m in region.codedeploy.values() if m.name == name and not _is_over(m)), None)
    if active is not None:
        raise ApiError(
            "DeploymentLimitExceededException",
            f"The Deployment Group '{name}' already has an active Deployment '{active.id}'",
        )
    content = (request.get("revision") or {}).get("appSpecContent") or {}
    revision = region.task_definitions.usable(task_definition_in(str(content.get("content", ""))))
    place: Mapping[str, str] = next(iter(group.ecs_services or ()), {})
    cluster = region.clusters.get(place.get("clusterName", ""))
    service = cluster.scheduler.services.get(place.get("serviceName", "")) if cluster else None
    if cluster is None or service is None or not is_codedeploy(service):
        raise ApiError("InvalidECSServiceException", "The ECS service is not one that CodeDeploy deploys.")
    if revision is None:
        raise ApiError("InvalidRevisionException", "The AppSpec names no active task definition.")
    config = request.get("deploymentConfigName") or group.deployment_config_name or ""
    changes = {
        "taskDefinition": revision.arn,
        "forceNewDeployment": True,
        "deploymentConfiguration": _configuration(group, config, str(content["content"])),
    }
    service = cluster.scheduler.update_service(service.name, changes, region.now)
    number = len(region.codedeploy)
    made = Made(
        id=f"d-{_letters(number)}",
        application=application,
        name=name,
        group=group,
        config=config,
        description=request.get("description", ""),
        content=content,
        cluster=cluster,
        record=cluster.scheduler.service_deployments[service.service_deployment_arns[0]],
        created_at=region.now,
    )
    region.codedeploy[made.id] = made
    return {"deploymentId": made.id}


def _letters(number: int) -> str:
    """Return nine letters and digits that no other number gets."""
    found = ""
    for _ in range(6):
        number, rest = divmod(number, len(_ALPHABET))
        found = _ALPHABET[rest] + found
    return f"{found}91L"


def _waits(made_or_group: Any) -> tuple[float, float, bool]:
    """Return the minutes until traffic moves, until the original tasks go, and whether a person moves it."""
    config = made_or_group.blue_green_deployment_configuration or {}
    ready = config.get("deploymentReadyOption") or {}
    ends = config.get("terminateBlueInstancesOnDeploymentSuccess") or {}
    return (
        float(ready.get("waitTimeInMinutes") or 0),
        float(ends.get("terminationWaitTimeInMinutes") or 0),
        ready.get("actionOnTimeout") == "STOP_DEPLOYMENT",
    )


def _events_of(group: Any) -> frozenset[str]:
    config = group.auto_rollback_configuration or {}
    return frozenset(config.get("events") or ()) if config.get("enabled") else frozenset()


def _alarms_of(group: Any) -> list[str]:
    alarms = group.alarm_configuration
    given = alarms if isinstance(alarms, Mapping) else vars(alarms) if alarms is not None else {}
    return [each["name"] for each in given.get("alarms") or ()] if given.get("enabled") else []


def _configuration(group: Any, config: str, appspec: str) -> dict[str, Any]:
    """Return the deployment configuration of ECS's that does what the group, the config and the hooks say."""
    strategy, percent, minutes = _ROUTES.get(config, ("BLUE_GREEN", 100, 0))
    ready, termination, person = _waits(group)
    found: dict[str, Any] = {
        "strategy": strategy,
        "bakeTimeInMinutes": int(termination),
        "deploymentCircuitBreaker": {"enable": False, "rollback": False},
        "lifecycleHooks": [
            {"hookTargetArn": region_function, "lifecycleStages": [stage]}
            for region_function, stage in _hooks_in(appspec)
        ],
    }
    if strategy == "LINEAR":
        found["linearConfiguration"] = {"stepPercent": float(percent), "stepBakeTimeInMinutes": minutes}
    if strategy == "CANARY":
        found["canaryConfiguration"] = {"canaryPercent": float(percent), "canaryBakeTimeInMinutes": minutes}
    if ready:
        pause = {"timeoutInMinutes": int(ready), "action": "ROLLBACK" if person else "CONTINUE"}
        found["lifecycleHooks"].append(
            {
                "targetType": "PAUSE",
                "lifecycleStages": ["POST_TEST_TRAFFIC_SHIFT"],
                "timeoutConfiguration": pause,
            }
        )
    if names := _alarms_of(group):
        rollback = "DEPLOYMENT_STOP_ON_ALARM" in _events_of(group)
        found["alarms"] = {"alarmNames": names, "enable": True, "rollback": rollback}
    return found


def _hooks_in(appspec: str) -> Iterable[tuple[str, str]]:
    try:
        read = document(appspec, name="AppSpec")
    except InvalidInput:
        return
    hooks = next((value for key, value in read.items() if str(key).lower() == "hooks"), ()) or ()
    for each in hooks:
        for event, function in each.items():
            if event in _HOOK_STAGES:
                yield str(function), _HOOK_STAGES[event]


def _end_late_install(region: EcsRegion, made: Made) -> None:
    """Give a replacement task set up that is not healthy after an hour."""
    record = made.record
    if record.status is not ServiceDeploymentStatus.IN_PROGRESS or record.lifecycle_stage != "SCALE_UP":
        return
    if region.now - made.created_at < INSTALL_SECONDS:
        return
    text = "The deployment timed out while waiting for the replacement task set to become healthy."
    made.error = ("TIMEOUT", f"{text} This time out period is 60 minutes.")
    kind = "ROLLBACK" if "DEPLOYMENT_FAILURE" in _events_of(made.group) else "ABORT"
    made.cluster.scheduler.stop_service_deployment(record.arn, kind, region.now)


def _stop(region: EcsRegion, request: Request) -> Response:
    made = _named(region, request["deploymentId"])
    if _is_over(made):
        raise ApiError("DeploymentAlreadyCompletedException", "The deployment is already complete.")
    made.error = ("MANUAL_STOP", "The deployment was stopped by a user.")
    back = request.get("autoRollbackEnabled", "DEPLOYMENT_STOP_ON_REQUEST" in _events_of(made.group))
    made.cluster.scheduler.stop_service_deployment(
        made.record.arn, "ROLLBACK" if back else "ABORT", region.now
    )
    return {"status": "Pending", "statusMessage": "Stopping the deployment."}


def _continue(region: EcsRegion, request: Request) -> Response:
    made = _named(region, request["deploymentId"])
    hook = _awaited(made)
    if hook is None:
        raise ApiError("DeploymentIsNotInReadyStateException", "The deployment is not in the Ready state.")
    made.cluster.scheduler.continue_service_deployment(made.record.arn, hook.hook_id, "CONTINUE", region.now)
    return {}


def _named(region: EcsRegion, deployment_id: str) -> Made:
    made: Made | None = region.codedeploy.get(deployment_id)
    if made is None:
        raise ApiError(
            "DeploymentDoesNotExistException", f"The deployment {deployment_id} could not be found"
        )
    return made


def _awaited(made: Made) -> LifecycleHook | None:
    return next((each for each in made.record.hooks if each.status == "AWAITING_ACTION"), None)


def _is_over(made: Made) -> bool:
    return made.record.status.is_terminal


def _error(made: Made) -> tuple[str, str] | None:
    """Return the code and message of what ended the deployment badly."""
    record = made.record
    if made.error is not None:
        return made.error
    if record.triggered_alarms:
        text = (
            "One or more alarms have been activated according to the Amazon CloudWatch metrics you selected, "
            "and the affected deployments have been stopped. Activated alarms:"
        )
        return "ALARM_ACTIVE", " ".join([text, *(f"<{name}>" for name in record.triggered_alarms)])
    bad = next((each for each in record.hooks if each.status in {"FAILED", "TIMED_OUT"}), None)
    if bad is not None and bad.target_type == "PAUSE":
        minutes = int(_waits(made.group)[0])
        text = "The deployment timed out while waiting for a notification to continue."
        return "TIMEOUT", f"{text} This time out period is {minutes} minutes."
    if bad is not None:
        text = "The deployment failed because one or more of the lifecycle event validation functions failed."
        return "HOOK_EXECUTION_FAILURE", text
    return None


def _status(made: Made) -> str:
    status = ServiceDeploymentStatus
    match made.record.status:
        case status.PENDING:
            return "Created"
        case status.SUCCESSFUL:
            return "Succeeded"
        case status.IN_PROGRESS:
            return "Ready" if _awaited(made) is not None else "InProgress"
    code = (_error(made) or ("", ""))[0]
    return "Stopped" if code in {"MANUAL_STOP", "ALARM_ACTIVE"} else "Failed"


def _info(made: Made) -> dict[str, Any]:
    record, group = made.record, made.group
    found: dict[str, Any] = {
        "applicationName": made.application,
        "deploymentGroupName": made.name,
        "deploymentConfigName": made.config,
        "deploymentId": made.id,
        "revision": {"revisionType": "AppSpecContent", "appSpecContent": dict(made.content)},
        "status": _status(made),
        "createTime": made.created_at,
        "creator": "user",
        "computePlatform": "ECS",
        "description": made.description,
        "autoRollbackConfiguration": group.auto_rollback_configuration or {"enabled": False},
        "deploymentStyle": group.deployment_style or {},
        "blueGreenDeploymentConfiguration": group.blue_green_deployment_configuration or {},
    }
    if found["status"] in {"Failed", "Stopped"}:
        code, text = _error(made) or ("", "")
        found["errorInformation"] = {"code": code, "message": text}
    if found["status"] in {"Failed", "Stopped", "Succeeded"}:
        found["completeTime"] = record.updated_at
    if record.rollback is not None:
        text = f"Deployment {made.id} terminated. Automatic rollback is triggered with a DeploymentId"
        found["rollbackInfo"] = {
            "rollbackDeploymentId": made.rollback_id,
            "rollbackMessage": f"{text} {made.rollback_id}.",
        }
    return found


_BACK: Final = {
    ServiceDeploymentStatus.ROLLBACK_SUCCESSFUL: "Succeeded",
    ServiceDeploymentStatus.ROLLBACK_FAILED: "Failed",
}


def _infos(region: EcsRegion) -> dict[str, dict[str, Any]]:
    """Return every deployment, newest first, with those that take one back."""
    found: dict[str, dict[str, Any]] = {}
    for made in reversed(list(region.codedeploy.values())):
        record = made.record
        if record.rollback is not None:
            old = made.cluster.scheduler.service_revisions[record.rollback.service_revision_arn]
            content = json.dumps(_appspec_of(made, old.task_definition_arn))
            found[made.rollback_id] = _info(replace(made, error=None)) | {
                "deploymentId": made.rollback_id,
                "revision": {"revisionType": "AppSpecContent", "appSpecContent": {"content": content}},
                "status": _BACK.get(record.status, "InProgress"),
                "createTime": record.rollback.started_at,
                "creator": "codeDeployRollback",
                "rollbackInfo": {"rollbackTriggeringDeploymentId": made.id},
            }
            found[made.rollback_id].pop("errorInformation", None)
        found[made.id] = _info(made)
    return found


def _appspec_of(made: Made, task_definition: str) -> Any:
    """Return the AppSpec of a deployment with another revision in it."""
    read = json.loads(json.dumps(document(str(made.content["content"]), name="AppSpec")))
    for resources in (value for key, value in read.items() if str(key).lower() == "resources"):
        for target in (value for each in resources for value in each.values()):
            target["Properties"]["TaskDefinition"] = task_definition
    return read


def _get(region: EcsRegion, request: Request) -> Response:
    found = _infos(region).get(request["deploymentId"])
    if found is None:
        _named(region, request["deploymentId"])
    return {"deploymentInfo": found}


def _batch_get(region: EcsRegion, request: Request) -> Response:
    infos = _infos(region)
    return {"deploymentsInfo": [infos[each] for each in request["deploymentIds"] if each in infos]}


def _list(region: EcsRegion, request: Request) -> Response:
    wanted = request.get("includeOnlyStatuses")
    return {
        "deployments": [
            deployment_id
            for deployment_id, info in _infos(region).items()
            if request.get("applicationName", info["applicationName"]) == info["applicationName"]
            and request.get("deploymentGroupName", info["deploymentGroupName"]) == info["deploymentGroupName"]
            and (not wanted or info["status"] in wanted)
        ]
    }


def _target(region: EcsRegion, deployment_id: str) -> dict[str, Any]:
    made = _named(region, deployment_id)
    record = made.record
    if record.status is ServiceDeploymentStatus.PENDING:
        raise ApiError("DeploymentNotStartedException", "The specified deployment has not started.")
    service = made.cluster.scheduler.services[record.service_name]
    sets = []
    weight = made.cluster.scheduler.service_revisions[record.target_revision_arn].production_traffic_weight
    traffic = weight if record.lifecycle_stage in {*_SWITCHED, "PRODUCTION_TRAFFIC_SHIFT", None} else 0.0
    for each in with_task_sets(region, service, {"taskDefinition": ""})["taskSets"]:
        green = each.get("externalId") == made.id
        sets.append(
            {
                "identifer": each["id"],
                "desiredCount": each["computedDesiredCount"],
                "pendingCount": each["pendingCount"],
                "runningCount": each["runningCount"],
                "status": each["status"],
                "trafficWeight": traffic if green else 100.0 - traffic,
                "taskSetLabel": "Green" if green else "Blue",
            }
        )
    return {
        "deploymentId": made.id,
        "targetId": f"{made.cluster.name}:{service.name}",
        "targetArn": service.arn,
        "status": "Succeeded" if _status(made) == "Succeeded" else "InProgress",
        "lifecycleEvents": _lifecycle(made),
        "taskSetsInfo": sets,
    }


def _lifecycle(made: Made) -> list[dict[str, Any]]:
    """Return the lifecycle events: before the stage of now Succeeded, after it Pending or Skipped."""
    status, names = _status(made), list(EVENTS)
    lost = status in {"Failed", "Stopped"}
    stage = made.record.lifecycle_stage or ("" if status == "Succeeded" else _last_stage(made))
    at = next((n for n, name in enumerate(names) if stage in EVENTS[name]), len(names))
    running, after = ("Failed", "Skipped") if lost else ("InProgress", "Pending")
    return [
        {
            "lifecycleEventName": name,
            "status": "Succeeded" if n < at else running if n == at else after,
        }
        for n, name in enumerate(names)
    ]


def _last_stage(made: Made) -> str:
    """Return where a deployment was that has no stage any more: that of its last hook, else the install."""
    return made.record.hooks[-1].stage if made.record.hooks else "SCALE_UP"


def _list_targets(region: EcsRegion, request: Request) -> Response:
    return {"targetIds": [_target(region, request["deploymentId"])["targetId"]]}


def _batch_get_targets(region: EcsRegion, request: Request) -> Response:
    target = _target(region, request["deploymentId"])
    return {"deploymentTargets": [{"deploymentTargetType": "ECSTarget", "ecsTarget": target}]}


def _get_target(region: EcsRegion, request: Request) -> Response:
    return {"deploymentTarget": _batch_get_targets(region, request)["deploymentTargets"][0]}


def _get_config(_region: EcsRegion, request: Request) -> Response:
    name = request["deploymentConfigName"]
    if name not in _ROUTES:
        raise ApiError(
            "DeploymentConfigDoesNotExistException", f"No Deployment Config found for name: {name}"
        )
    strategy, percent, minutes = _ROUTES[name]
    routing: dict[str, Any] = {"type": "AllAtOnce"}
    if strategy == "LINEAR":
        step = {"linearPercentage": percent, "linearInterval": minutes}
        routing = {"type": "TimeBasedLinear", "timeBasedLinear": step}
    if strategy == "CANARY":
        step = {"canaryPercentage": percent, "canaryInterval": minutes}
        routing = {"type": "TimeBasedCanary", "timeBasedCanary": step}
    info = {"deploymentConfigName": name, "computePlatform": "ECS", "trafficRoutingConfig": routing}
    return {"deploymentConfigInfo": info}


OPERATIONS: Final[Mapping[str, Callable[[EcsRegion, Request], Response]]] = {
    "CreateDeployment": _create,
    "GetDeployment": _get,
    "BatchGetDeployments": _batch_get,
    "ListDeployments": _list,
    "StopDeployment": _stop,
    "ContinueDeployment": _continue,
    "ListDeploymentTargets": _list_targets,
    "BatchGetDeploymentTargets": _batch_get_targets,
    "GetDeploymentTarget": _get_target,
    "GetDeploymentConfig": _get_config,
}
