"""Service deployments and revisions: how one begins, is rolled back, superseded, and ends.

The status machine and the words are AWS's (docs/aws-facts.md#service-deployment-states). A rollback goes back
to the most recent COMPLETED deployment, which returns under its own deployment id; with none, nothing more is
launched (docs/aws-facts.md#rollback-candidate).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecs_gpu_deploy.ecs_model import alarms, breaker, events
from ecs_gpu_deploy.ecs_model.model import Model
from ecs_gpu_deploy.ecs_model.state import (
    ContainerImage,
    Deployment,
    Rollback,
    Service,
    ServiceDeployment,
    ServiceRevision,
)
from ecs_gpu_deploy.ecs_model.statuses import BreakerStatus, EndedBy
from ecs_gpu_deploy.model import RolloutState, ServiceDeploymentStatus

# The settings that belong to a service revision: changing one starts a deployment, and a rollback brings them
# back (docs/aws-facts.md#deployment-identity).
REVISION_SETTINGS = (
    "taskDefinition",
    "networkConfiguration",
    "platformVersion",
    "loadBalancers",
    "serviceRegistries",
    "serviceConnectConfiguration",
    "volumeConfigurations",
    "vpcLatticeConfigurations",
)
BREAKER_REASON = "Service deployment rolled back because the circuit breaker threshold was exceeded."
NO_CANDIDATE = "No rollback candidate was found to run the rollback."
TASKS_FAILED = "ECS deployment circuit breaker: tasks failed to start."
FAILED_START = "tasks failed to start."
ALARM_DETECTED = "alarm detected."
# Our own words: AWS's are not known for these.
BREAKER_STOPPED = "Service deployment stopped because the circuit breaker threshold was exceeded."
USER_ROLLBACK = "Service deployment rolled back because a user requested it."
ALARM_ROLLBACK = "Service deployment rolled back because a deployment alarm went off: {}."
ALARM_STOPPED = "Service deployment stopped because a deployment alarm went off: {}."


def begin(model: Model, service: Service) -> Deployment:
    """Start a deployment of the service as it is configured now, superseding the one that is ongoing."""
    identifiers = model.identifiers
    deployment_id = identifiers.deployment_id()
    revision = ServiceRevision(
        arn=identifiers.service_revision_arn(service.name, deployment_id),
        service_arn=service.arn,
        cluster_arn=service.cluster_arn,
        task_definition_arn=service.task_definition_arn,
        config=dict(service.config),
        created_at=model.now,
        deployment_id=deployment_id,
        container_images=_images(model.surroundings.task_definition(service.task_definition_arn)),
    )
    model.service_revisions[revision.arn] = revision
    former = service.deployments[0] if service.deployments else None
    for arn in service.service_deployment_arns:
        _supersede(model, model.service_deployments[arn])
    record = ServiceDeployment(
        arn=identifiers.service_deployment_arn(service.name),
        service_arn=service.arn,
        service_name=service.name,
        cluster_arn=service.cluster_arn,
        deployment_id=deployment_id,
        target_revision_arn=revision.arn,
        source_revision_arns=tuple(
            each.service_revision_arn for each in service.deployments if each.tasks or each is former
        ),
        deployment_configuration=dict(service.config.get("deploymentConfiguration") or {}),
        created_at=model.now,
        updated_at=model.now,
        breaker_status=breaker.status_at_start(service),
        threshold=breaker.threshold_of(service),
        alarms=alarms.watching(model, service),
    )
    model.service_deployments[record.arn] = record
    service.service_deployment_arns.insert(0, record.arn)
    service.current_service_deployment = record.arn
    deployment = Deployment(
        id=deployment_id,
        status="PRIMARY",
        task_definition_arn=service.task_definition_arn,
        created_at=model.now,
        updated_at=model.now,
        launch_type=None if service.config.get("capacityProviderStrategy") else _launch_type(model, service),
        capacity_provider_strategy=tuple(service.config.get("capacityProviderStrategy") or ()),
        service_revision_arn=revision.arn,
        service_deployment_arn=record.arn,
        config=revision.config,
        desired_count=service.desired_count,
        rollout_state_reason=f"ECS deployment {deployment_id} in progress.",
    )
    if former is not None:
        former.status = "ACTIVE"
        former.updated_at = model.now
        if former.task_definition_arn == deployment.task_definition_arn:
            # Only a new task definition resets the launch back-off.
            deployment.failed_batches = former.failed_batches
            deployment.launch_after = former.launch_after
    model.deployments[deployment.id] = deployment
    service.deployments.insert(0, deployment)
    service.steady = False
    return deployment


def ongoing(model: Model, service: Service) -> ServiceDeployment | None:
    """Give the service deployment that has not ended, if any."""
    if not service.service_deployment_arns:
        return None
    newest = model.service_deployments[service.service_deployment_arns[0]]
    return None if newest.status.is_terminal else newest


def settle(model: Model, service: Service) -> None:
    """Move each service deployment on from the states that only wait for the scheduler to see them."""
    for arn in service.service_deployment_arns:
        record = model.service_deployments[arn]
        match record.status:
            case ServiceDeploymentStatus.PENDING:
                _set(model, record, ServiceDeploymentStatus.IN_PROGRESS)
                record.started_at = model.now
            case ServiceDeploymentStatus.STOP_REQUESTED:
                _set(model, record, ServiceDeploymentStatus.STOPPED)
                record.stopped_at = record.finished_at = model.now
            case ServiceDeploymentStatus.ROLLBACK_REQUESTED:
                roll_back(model, service, record, EndedBy.USER, USER_ROLLBACK)
            case _ if record.status.is_terminal:
                # Newest first: behind an ended one there is nothing open but what was superseded.
                if arn != service.current_service_deployment:
                    break


def watch_breaker(model: Model, service: Service, record: ServiceDeployment | None) -> None:
    """Bring the breaker's figures up to date and trip it at its threshold."""
    if record is None:
        return
    deployment = model.deployments[record.deployment_id]
    if record.status is not ServiceDeploymentStatus.IN_PROGRESS:
        return
    settings = breaker.settings_of(service)
    record.failure_count = deployment.failed_tasks
    record.threshold = breaker.threshold_of(service)
    if settings.enable and record.breaker_status is BreakerStatus.DISABLED:
        record.breaker_status = BreakerStatus.MONITORING
    if deployment.stalled or not breaker.tripped(service, deployment):
        return
    record.breaker_status = BreakerStatus.TRIGGERED
    if settings.rollback:
        roll_back(model, service, record, EndedBy.BREAKER, BREAKER_REASON, cause=FAILED_START)
    else:
        _fail(model, service, deployment, TASKS_FAILED, cause=FAILED_START)
        _stop(model, service, record, BREAKER_STOPPED)


def watch_alarms(model: Model, service: Service, record: ServiceDeployment | None) -> None:
    """End the deployment when one of its alarms goes off: by a rollback, or where it stands.

    Its `statusReason` is unconfirmed (docs/aws-facts.md#service-deployment-states).
    """
    names = alarms.triggered(model, record) if record is not None else ()
    if record is None or not names:
        return
    record.triggered_alarms = names
    listed = ", ".join(names)
    if alarms.settings_of(service).get("rollback"):
        reason = ALARM_ROLLBACK.format(listed)
        roll_back(model, service, record, EndedBy.ALARM, reason, cause=ALARM_DETECTED)
    else:
        deployment = model.deployments[record.deployment_id]
        _fail(model, service, deployment, f"ECS deployment failed: {ALARM_DETECTED}", cause=ALARM_DETECTED)
        _stop(model, service, record, ALARM_STOPPED.format(listed))


def roll_back(
    model: Model,
    service: Service,
    record: ServiceDeployment,
    ended_by: EndedBy,
    reason: str,
    *,
    cause: str = "",
) -> None:
    """Return to the most recent COMPLETED deployment, or stall where there is none.

    The service's event gives *cause*, where it is not the *reason*.
    """
    failed = model.deployments[record.deployment_id]
    candidate = service.last_completed
    by_breaker = ended_by is EndedBy.BREAKER
    _fail(model, service, failed, TASKS_FAILED if by_breaker else reason, cause=cause or reason)
    if candidate is None or candidate is failed:
        record.rollback = None
        _set(model, record, ServiceDeploymentStatus.ROLLBACK_FAILED, NO_CANDIDATE)
        record.finished_at = model.now
        return
    events.say(model, service, f"rolling back to deployment {candidate.id}.")
    if candidate in service.deployments:
        service.deployments.remove(candidate)
    failed.status = "ACTIVE"
    candidate.status = "PRIMARY"
    candidate.rollout_state = RolloutState.IN_PROGRESS
    candidate.rollout_state_reason = (
        f"ECS deployment circuit breaker: rolling back to deploymentId {candidate.id}."
        if by_breaker
        else f"ECS deployment {candidate.id} in progress."
    )
    candidate.updated_at = model.now
    candidate.stalled = False
    candidate.failed_tasks = 0
    service.deployments.insert(0, candidate)
    service.last_completed = None
    service.steady = False
    for key in REVISION_SETTINGS:
        if key in candidate.config:
            service.config[key] = candidate.config[key]
        else:
            service.config.pop(key, None)
    record.rollback = Rollback(
        reason=reason, started_at=model.now, service_revision_arn=candidate.service_revision_arn
    )
    record.lifecycle_stage = None
    record.stage_ends_at = None
    _set(model, record, ServiceDeploymentStatus.ROLLBACK_IN_PROGRESS, reason)
    model.touch(service)


def complete(model: Model, service: Service, record: ServiceDeployment | None) -> None:
    """End the PRIMARY deployment well."""
    deployment = service.primary
    deployment.rollout_state = RolloutState.COMPLETED
    deployment.rollout_state_reason = f"ECS deployment {deployment.id} completed."
    deployment.updated_at = deployment.completed_at = model.now
    service.last_completed = deployment
    events.say(model, service, f"(deployment {deployment.id}) deployment completed.")
    if record is not None:
        succeed(model, service, record)


def succeed(model: Model, service: Service, record: ServiceDeployment) -> None:
    """Give a service deployment its good end: SUCCESSFUL, or ROLLBACK_SUCCESSFUL after a rollback."""
    rolled_back = record.status is ServiceDeploymentStatus.ROLLBACK_IN_PROGRESS
    status = (
        ServiceDeploymentStatus.ROLLBACK_SUCCESSFUL if rolled_back else ServiceDeploymentStatus.SUCCESSFUL
    )
    _set(model, record, status)
    record.finished_at = model.now
    record.lifecycle_stage = None
    record.stage_ends_at = None
    if record.breaker_status is BreakerStatus.MONITORING:
        record.breaker_status = BreakerStatus.MONITORING_COMPLETE
    record.failure_count = model.deployments[record.deployment_id].failed_tasks
    service.current_service_deployment = record.arn


def snapshot(model: Model, deployment: Deployment) -> None:
    """Keep a deployment's counts in its revision, for when it leaves the list."""
    revision = model.service_revisions.get(deployment.service_revision_arn)
    if revision is not None:
        revision.requested_task_count = 0
        revision.running_task_count = deployment.running_count
        revision.pending_task_count = deployment.pending_count


def _fail(model: Model, service: Service, deployment: Deployment, reason: str, *, cause: str) -> None:
    events.say(model, service, f"(deployment {deployment.id}) deployment failed: {cause}")
    deployment.rollout_state = RolloutState.FAILED
    deployment.rollout_state_reason = reason
    deployment.updated_at = model.now
    deployment.stalled = True


def _stop(model: Model, service: Service, record: ServiceDeployment, reason: str) -> None:
    _set(model, record, ServiceDeploymentStatus.STOP_REQUESTED, reason)
    model.touch(service)


def _supersede(model: Model, record: ServiceDeployment) -> None:
    """Ask an ongoing service deployment to stop, because a newer one begins."""
    if record.status is ServiceDeploymentStatus.ROLLBACK_IN_PROGRESS:
        _set(model, record, ServiceDeploymentStatus.ROLLBACK_FAILED)
        record.finished_at = model.now
    elif not record.status.is_terminal and record.status is not ServiceDeploymentStatus.STOP_REQUESTED:
        _set(model, record, ServiceDeploymentStatus.STOP_REQUESTED)


def _set(
    model: Model, record: ServiceDeployment, status: ServiceDeploymentStatus, reason: str | None = None
) -> None:
    record.status = status
    record.updated_at = model.now
    if reason is not None:
        record.status_reason = reason


def _launch_type(model: Model, service: Service) -> str | None:
    if model.default_strategy and "launchType" not in service.config:
        return None
    return str(service.config.get("launchType") or "EC2")


def _images(definition: Mapping[str, Any]) -> tuple[ContainerImage, ...]:
    return tuple(
        ContainerImage(
            container_name=str(each.get("name")),
            image=str(each.get("image")),
            image_digest=_pinned(str(each.get("image"))),
        )
        for each in definition.get("containerDefinitions", ())
    )


def _pinned(image: str) -> str | None:
    _, _, digest = image.partition("@")
    return digest or None
