"""The operations on tasks."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from ecs_gpu_deploy.ecs_model.state import Failure, Task
from ecs_gpu_deploy.sandbox.ecs.clusters import check_strategy, provider_name
from ecs_gpu_deploy.sandbox.ecs.pages import page_of
from ecs_gpu_deploy.sandbox.ecs.region import Cluster, EcsRegion, Request, Response, at_most, missing
from ecs_gpu_deploy.sandbox.ecs.task_definitions import Revision, check_launch_type
from ecs_gpu_deploy.sandbox.ecs.task_views import task_view
from ecs_gpu_deploy.sandbox.ecs.volumes import check_volumes
from ecs_gpu_deploy.sandbox.protocol.api_errors import ApiError, invalid_parameter

OTHER_FILTERS = ("containerInstance", "family", "serviceName", "desiredStatus", "launchType")


def run_task(region: EcsRegion, request: Request) -> Response:
    """Start up to 10 tasks; a lack of resources is HTTP 200 with failures."""
    cluster = region.cluster(request)
    count = request.get("count")
    count = 1 if count is None else count
    if not 1 <= count <= 10:
        raise invalid_parameter("Count must be between 1 and 10.")
    checked, revision = _checked_request(region, cluster, request)
    token = request.get("clientToken")
    if token:
        if len(token) > 64:
            raise invalid_parameter("clientToken must not be longer than 64 characters.")
        kept = region.client_tokens.get(("RunTask", token))
        if kept is not None:
            return _same_tasks(region, cluster, kept, checked)
    if not checked.get("capacityProviderStrategy") and not checked.get("launchType"):
        if cluster.default_strategy:
            checked["capacityProviderStrategy"] = copy.deepcopy(cluster.default_strategy)
        else:
            checked["launchType"] = "EC2"
    checked["count"] = count
    tasks, failures = cluster.scheduler.run_task(checked, region.now)
    if token:
        original = {key: value for key, value in request.items() if value is not None}
        region.client_tokens["RunTask", token] = {
            "request": original,
            "taskArns": [task.arn for task in tasks],
        }
    return _started(region, cluster, request, revision, (tasks, failures))


def _same_tasks(region: EcsRegion, cluster: Cluster, kept: Response, checked: Request) -> Response:
    """Answer a repeated client token with the tasks that it started (RunTask, "Ensuring idempotency")."""
    before = kept["request"]
    if any(before.get(key) != checked.get(key) for key in ("overrides", "startedBy", "group")):
        raise ApiError("ConflictException", "The client token was used before with other parameters.")
    tasks = [cluster.scheduler.tasks[arn] for arn in kept["taskArns"] if arn in cluster.scheduler.tasks]
    return {"tasks": [task_view(region, cluster, task, ("TAGS",)) for task in tasks], "failures": []}


def start_task(region: EcsRegion, request: Request) -> Response:
    """Start one task on each of up to 10 container instances."""
    cluster = region.cluster(request)
    instances = at_most(request, "containerInstances", 10, "ContainerInstances")
    checked, revision = _checked_request(region, cluster, request)
    checked["containerInstances"] = [
        instance
        if instance.startswith("arn:")
        else region.arn(f"container-instance/{cluster.name}/{instance}")
        for instance in instances
    ]
    started = cluster.scheduler.start_task(checked, region.now)
    return _started(region, cluster, request, revision, started)


def _checked_request(
    region: EcsRegion, cluster: Cluster, request: Request
) -> tuple[dict[str, Any], Revision]:
    checked: dict[str, Any] = {
        key: copy.deepcopy(value)
        for key, value in request.items()
        if value is not None and key not in ("cluster", "clientToken")
    }
    if not checked.get("taskDefinition"):
        raise invalid_parameter("TaskDefinition can not be blank.")
    revision = region.task_definitions.usable(checked["taskDefinition"])
    checked["taskDefinition"] = revision.arn
    if len(checked.get("startedBy") or "") > 128:
        raise invalid_parameter("startedBy must not be longer than 128 characters.")
    names = {one["name"] for one in revision.description["containerDefinitions"]}
    for override in (checked.get("overrides") or {}).get("containerOverrides") or ():
        if override.get("name") not in names:
            raise invalid_parameter(
                f"Override for container named {override.get('name')} is not a container in the"
                " TaskDefinition."
            )
    check_launch_type(revision.description, checked.get("launchType") or "")
    awsvpc = revision.description.get("networkMode") == "awsvpc"
    if awsvpc and not (checked.get("networkConfiguration") or {}).get("awsvpcConfiguration"):
        raise invalid_parameter(
            "Network Configuration must be provided when networkMode 'awsvpc' is specified."
        )
    if checked.get("networkConfiguration") and not awsvpc:
        raise invalid_parameter(
            "Network Configuration is not valid for the given networkMode of this task definition."
        )
    check_volumes(checked, revision.description)
    if checked.get("propagateTags") == "SERVICE":
        raise invalid_parameter("The SERVICE option of propagateTags is for services, not for tasks.")
    strategy = checked.get("capacityProviderStrategy")
    if strategy:
        if checked.get("launchType"):
            raise invalid_parameter(
                "Specifying both a launch type and capacity provider strategy is not supported."
                " Remove one and try again."
            )
        for item in strategy:
            item["capacityProvider"] = provider_name(item["capacityProvider"])
        check_strategy(cluster, strategy)
    return checked, revision


def _started(
    region: EcsRegion,
    cluster: Cluster,
    request: Request,
    revision: Revision,
    started: tuple[Sequence[Task], Sequence[Failure]],
) -> Response:
    tasks, failures = started
    for task in tasks:
        if request.get("propagateTags") == "TASK_DEFINITION":
            region.set_tags(task.arn, revision.tags)
        if request.get("enableECSManagedTags"):
            region.set_tags(task.arn, [{"key": "aws:ecs:clusterName", "value": cluster.name}])
        region.set_tags(task.arn, request.get("tags"))
    return {
        "tasks": [task_view(region, cluster, task, ("TAGS",)) for task in tasks],
        "failures": [failure_view(failure) for failure in failures],
    }


def failure_view(failure: Failure) -> dict[str, str | None]:
    """Describe a failure of RunTask or StartTask."""
    return {"arn": failure.arn or None, "reason": failure.reason, "detail": failure.detail or None}


def stop_task(region: EcsRegion, request: Request) -> Response:
    """Stop a task for a user."""
    cluster = region.cluster(request)
    task = region.find_task(cluster, request["task"])
    if task is None:
        raise invalid_parameter("The referenced task was not found.")
    reason = request.get("reason") or "Task stopped by user"
    task = cluster.scheduler.stop_task(task.arn, reason, region.now)
    return {"task": task_view(region, cluster, task, ("TAGS",))}


def list_tasks(region: EcsRegion, request: Request) -> Response:
    """List task ARNs; desired status RUNNING where none is given; startedBy must be the only filter."""
    cluster = region.cluster(request)
    started_by = request.get("startedBy")
    if started_by and any(request.get(name) for name in OTHER_FILTERS):
        raise invalid_parameter("When startedBy is specified as the filter, it must be the only filter.")
    service = request.get("serviceName")
    service_name = region.service(cluster, service).name if service else None
    instance = request.get("containerInstance")
    instance_arn = region.instance(cluster, instance).arn if instance else None
    desired = request.get("desiredStatus") or "RUNNING"

    def wanted(task: Task) -> bool:
        return (
            # A PENDING desired status is accepted and matches nothing: ECS never sets it (ListTasks).
            str(task.desired_status) == desired
            and (not started_by or task.started_by == started_by)
            and (service_name is None or task.service_name == service_name)
            and (instance_arn is None or task.instance_arn == instance_arn)
            and (not request.get("family") or _family(task) == request["family"])
            and (not request.get("launchType") or task.launch_type == request["launchType"])
        )

    arns = [task.arn for task in cluster.scheduler.tasks.values() if wanted(task)]
    page, token = page_of(arns, request)
    return {"taskArns": list(page), **token}


def _family(task: Task) -> str:
    return task.task_definition_arn.rpartition("/")[2].partition(":")[0]


def describe_tasks(region: EcsRegion, request: Request) -> Response:
    """Describe up to 100 tasks; stopped ones for at least an hour."""
    cluster = region.cluster(request)
    found, failures = [], []
    for name in at_most(request, "tasks", 100, "Tasks"):
        task = region.find_task(cluster, name)
        if task is None:
            failures.append(missing(_task_arn(region, cluster, name)))
            continue
        _propagate_service_tags(region, cluster, task)
        found.append(task_view(region, cluster, task, request.get("include") or ()))
    return {"tasks": found, "failures": failures}


def _task_arn(region: EcsRegion, cluster: Cluster, name: str) -> str:
    return name if name.startswith("arn:") else region.arn(f"task/{cluster.name}/{name}")


def _propagate_service_tags(region: EcsRegion, cluster: Cluster, task: Task) -> None:
    service = cluster.scheduler.services.get(task.service_name or "")
    if service is None or task.arn in region.tags:
        return
    source: list[Mapping[str, str]] = []
    match service.config.get("propagateTags"):
        case "SERVICE":
            source += region.tags.get(service.arn, ())
        case "TASK_DEFINITION":
            revision = region.task_definitions.find(task.task_definition_arn)
            source += revision.tags if revision else ()
        case _:
            pass
    if service.config.get("enableECSManagedTags"):
        source += [
            {"key": "aws:ecs:clusterName", "value": cluster.name},
            {"key": "aws:ecs:serviceName", "value": service.name},
        ]
    if source:
        region.set_tags(task.arn, source)


def get_task_protection(region: EcsRegion, request: Request) -> Response:
    """Tell which of up to 10 tasks are protected from scale-in, and until when."""
    cluster = region.cluster(request)
    found, failures = [], []
    for name in at_most(request, "tasks", 10, "Tasks"):
        task = region.find_task(cluster, name)
        if task is None:
            failures.append(missing(_task_arn(region, cluster, name)))
        else:
            found.append(_protection(task, region.now))
    return {"protectedTasks": found, "failures": failures}


def update_task_protection(region: EcsRegion, request: Request) -> Response:
    """Protect up to 10 tasks of services from scale-in, for two hours where no time is given."""
    cluster = region.cluster(request)
    minutes = request.get("expiresInMinutes") or 120
    if not 1 <= minutes <= 2880:
        raise invalid_parameter("expiresInMinutes must be between 1 and 2880.")
    found: list[dict[str, Any]] = []
    failures: list[dict[str, str]] = []
    for name in at_most(request, "tasks", 10, "Tasks"):
        task = region.find_task(cluster, name)
        if task is None:
            failures.append(missing(_task_arn(region, cluster, name)))
        elif task.service_name is None:
            failures.append({"arn": task.arn, "reason": "TASK_NOT_VALID"})
        else:
            until = region.now + minutes * 60 if request["protectionEnabled"] else None
            found.append(_protection(cluster.scheduler.protect_task(task.arn, until, region.now), region.now))
    return {"protectedTasks": found, "failures": failures}


def _protection(task: Task, now: float) -> dict[str, Any]:
    protected = task.protected_until is not None and task.protected_until > now
    view: dict[str, Any] = {"taskArn": task.arn, "protectionEnabled": protected}
    return view | {"expirationDate": task.protected_until} if protected else view
