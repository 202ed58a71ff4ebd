"""A CodeDeploy deployment to ECS as AWS shows it, and as the service deployment that the rest of us knows.

Sources: CodeDeploy API Reference, DeploymentInfo, ECSTarget, RollbackInfo; docs/aws-facts.md#codedeploy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from ecs_gpu_deploy.core.definition.appspec import task_definition_in
from ecs_gpu_deploy.model import (
    LifecycleHook,
    OpenEnum,
    ServiceDeployment,
    ServiceDeploymentStatus,
    epoch,
    number_in,
    text_in,
)

Api = Mapping[str, Any]

TERMINATION_WAIT: Final = "TERMINATION_WAIT"
"""The stage after the last lifecycle event: the original task set is kept for a while."""
READY_WAIT: Final = "READY_WAIT"
"""The stage in which somebody is to send the traffic on."""
_ALARMS: Final = re.compile(r"<([^<>]+)>")


class CodeDeployStatus(OpenEnum):
    """Status of a CodeDeploy deployment (DeploymentInfo.status)."""

    CREATED = "Created"
    QUEUED = "Queued"
    IN_PROGRESS = "InProgress"
    BAKING = "Baking"
    READY = "Ready"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    STOPPED = "Stopped"

    @property
    def is_over(self) -> bool:
        """Say whether CodeDeploy will not change this status any more."""
        return self in {CodeDeployStatus.SUCCEEDED, CodeDeployStatus.FAILED, CodeDeployStatus.STOPPED}


ACTIVE: Final = ("Created", "Queued", "InProgress", "Baking", "Ready")
"""The statuses of a deployment that is under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleEvent:
    """One lifecycle event of the target: a step of CodeDeploy, or a hook; what it says where it failed."""

    name: str
    status: str
    script: str = ""
    message: str = ""
    log_tail: str = ""

    @classmethod
    def from_api(cls, api: Api) -> Self:
        """Read LifecycleEvent."""
        told = api.get("diagnostics") or {}
        return cls(
            name=text_in(api, "lifecycleEventName"),
            status=text_in(api, "status"),
            script=text_in(told, "scriptName"),
            message=text_in(told, "message"),
            log_tail=text_in(told, "logTail"),
        )

    @property
    def is_explained(self) -> bool:
        """Say whether more is known of its failure than that it failed, which any other end brings too."""
        return bool(self.script or self.message or self.log_tail)

    @property
    def told(self) -> str:
        """Return what is known of why it failed: `AfterInstall failed: probe: it timed out`."""
        why = [part for part in (self.script, self.message, self.log_tail) if part]
        return ": ".join([f"{self.name} failed", *why])


@dataclass(frozen=True, slots=True, kw_only=True)
class EcsTarget:
    """The one target of a deployment to ECS: its lifecycle events, and its replacement task set.

    `task_set` is the id of the replacement ("Green") one, "" before CodeDeploy has made it; `traffic` is its
    share of the production traffic in percent (API Reference, ECSTarget and ECSTaskSet).
    """

    id: str = ""
    events: tuple[LifecycleEvent, ...] = ()
    task_set: str = ""
    traffic: float | None = None

    @classmethod
    def from_api(cls, api: Api) -> Self:
        """Read ECSTarget."""
        sets = api.get("taskSetsInfo") or ()
        green: Api = next((each for each in sets if each.get("taskSetLabel") == "Green"), {})
        return cls(
            id=text_in(api, "targetId"),
            events=tuple(LifecycleEvent.from_api(each) for each in api.get("lifecycleEvents") or ()),
            task_set=text_in(green, "identifer"),
            traffic=green.get("trafficWeight"),
        )

    @property
    def failed(self) -> LifecycleEvent | None:
        """Return the lifecycle event that failed."""
        return next((each for each in self.events if each.status == "Failed"), None)

    @property
    def running(self) -> LifecycleEvent | None:
        """Return the lifecycle event that goes on."""
        return next((each for each in self.events if each.status == "InProgress"), None)

    @property
    def is_through(self) -> bool:
        """Say whether all lifecycle events are over and none failed: only the original tasks are left."""
        return bool(self.events) and all(each.status in {"Succeeded", "Skipped"} for each in self.events)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeDeployment:
    """A CodeDeploy deployment to ECS.

    `rollback_id` is the deployment with which CodeDeploy goes back, `rollback_events` are those on which it
    does so by itself. `ready_wait` and `termination_wait` are seconds; `waits_for_person`: after the first,
    it stops unless somebody continues it. `appspec` is the text of its AppSpec.

    Source: API Reference, DeploymentInfo, ErrorInformation and AutoRollbackConfiguration.
    """

    id: str
    application: str = ""
    group: str = ""
    status: CodeDeployStatus = CodeDeployStatus.CREATED
    error_code: str = ""
    error_message: str = ""
    created_at: float = 0.0
    completed_at: float | None = None
    creator: str = ""
    description: str = ""
    rollback_id: str = ""
    rolls_back: str = ""
    rollback_events: frozenset[str] = frozenset()
    ready_wait: float = 0.0
    waits_for_person: bool = False
    termination_wait: float = 0.0
    config: str = ""
    appspec: str = field(default="", repr=False)

    @classmethod
    def from_api(cls, api: Api) -> Self:
        """Read DeploymentInfo."""
        error, rollback = api.get("errorInformation") or {}, api.get("rollbackInfo") or {}
        automatic = api.get("autoRollbackConfiguration") or {}
        waits = waits_from_api(api.get("blueGreenDeploymentConfiguration") or {})
        revision = api.get("revision") or {}
        content = revision.get("appSpecContent") or revision.get("string") or {}
        return cls(
            id=text_in(api, "deploymentId"),
            application=text_in(api, "applicationName"),
            group=text_in(api, "deploymentGroupName"),
            status=CodeDeployStatus(text_in(api, "status")),
            error_code=text_in(error, "code"),
            error_message=text_in(error, "message"),
            created_at=epoch(api.get("createTime")) or 0.0,
            completed_at=epoch(api.get("completeTime")),
            creator=text_in(api, "creator"),
            description=text_in(api, "description"),
            rollback_id=text_in(rollback, "rollbackDeploymentId"),
            rolls_back=text_in(rollback, "rollbackTriggeringDeploymentId"),
            rollback_events=frozenset(automatic.get("events") or ())
            if automatic.get("enabled")
            else frozenset(),
            ready_wait=waits.ready,
            waits_for_person=waits.for_person,
            termination_wait=waits.termination,
            config=text_in(api, "deploymentConfigName"),
            appspec=text_in(content, "content"),
        )

    @property
    def task_definition(self) -> str:
        """Return the task definition that its AppSpec names; "" where that does not lie in the answer."""
        return task_definition_in(self.appspec) if self.appspec else ""

    @property
    def is_stopped_by_person(self) -> bool:
        """Say whether somebody stopped it: no alarm, and no failure."""
        return self.status == CodeDeployStatus.STOPPED and self.error_code in {"", "MANUAL_STOP"}

    @property
    def goes_back_by_itself(self) -> bool:
        """Say whether its end is one on which CodeDeploy begins a rollback (AutoRollbackConfiguration)."""
        if self.error_code == "ALARM_ACTIVE":
            return "DEPLOYMENT_STOP_ON_ALARM" in self.rollback_events
        if self.status == CodeDeployStatus.STOPPED:
            return "DEPLOYMENT_STOP_ON_REQUEST" in self.rollback_events
        return "DEPLOYMENT_FAILURE" in self.rollback_events


@dataclass(frozen=True, slots=True, kw_only=True)
class BlueGreenWaits:
    """The waits of a deployment group, in seconds; `for_person`: the first ends in a stop unless answered."""

    ready: float = 0.0
    for_person: bool = False
    termination: float = 0.0


def waits_from_api(api: Api) -> BlueGreenWaits:
    """Read BlueGreenDeploymentConfiguration (API Reference)."""
    ready = api.get("deploymentReadyOption") or {}
    ends = api.get("terminateBlueInstancesOnDeploymentSuccess") or {}
    keeps = ends.get("action") == "KEEP_ALIVE"
    return BlueGreenWaits(
        ready=number_in(ready, "waitTimeInMinutes") * 60.0,
        for_person=ready.get("actionOnTimeout") == "STOP_DEPLOYMENT",
        termination=0.0 if keeps else number_in(ends, "terminationWaitTimeInMinutes") * 60.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeDeployState:
    """What one look showed: ours, its target, and the deployment that rolls it back where there is one.

    Source: docs/aws-facts.md#codedeploy.
    """

    deployment: CodeDeployment
    target: EcsTarget = field(default_factory=EcsTarget)
    rollback: CodeDeployment | None = None

    @property
    def key(self) -> tuple[object, ...]:
        """Return what makes two looks different enough to look at the rest."""
        events = tuple((each.name, each.status) for each in self.target.events)
        back = self.rollback.status if self.rollback is not None else ""
        return (self.deployment.status, events, self.target.task_set, self.target.traffic, back)

    @property
    def stage(self) -> str:
        """Return where it stands: a lifecycle event, or a wait of CodeDeploy's own."""
        if self.deployment.status == CodeDeployStatus.READY:
            return READY_WAIT
        if self.target.running is not None:
            return self.target.running.name
        if self.target.is_through and not self.deployment.status.is_over:
            return TERMINATION_WAIT
        return ""

    @property
    def reason(self) -> str:
        """Return why it ended: CodeDeploy's message, and what the failed lifecycle event says."""
        failed, message = self.target.failed, self.deployment.error_message.rstrip(".")
        parts = [message, failed.told if failed and failed.told not in message else ""]
        return "; ".join(part.rstrip(".") for part in parts if part)

    def as_service_deployment(self) -> ServiceDeployment:
        """Return it as ECS would show a service deployment: for pace, views and causes, not for a verdict."""
        ours, failed = self.deployment, self.target.failed
        waits = self.stage == READY_WAIT
        hook = LifecycleHook(id=READY_WAIT, status="AWAITING_ACTION")
        alarms = tuple(_ALARMS.findall(ours.error_message)) if ours.error_code == "ALARM_ACTIVE" else ()
        return ServiceDeployment(
            arn=ours.id,
            status=self._status(),
            status_reason=self.reason if failed is None or failed.is_explained else ours.error_message,
            created_at=ours.created_at,
            finished_at=ours.completed_at,
            # What a bake is to a service deployment: AWS only waits, traffic goes to the new tasks.
            lifecycle_stage="BAKE_TIME" if self.stage == TERMINATION_WAIT else self.stage,
            triggered_alarms=alarms,
            hooks=(hook,) if waits else (),
            production_traffic=self.target.traffic,
        )

    def _status(self) -> ServiceDeploymentStatus:
        status, back = self.deployment.status, self.rollback
        if status == CodeDeployStatus.SUCCEEDED:
            return ServiceDeploymentStatus.SUCCESSFUL
        if status in {CodeDeployStatus.CREATED, CodeDeployStatus.QUEUED}:
            return ServiceDeploymentStatus.PENDING
        if not status.is_over:
            return ServiceDeploymentStatus.IN_PROGRESS
        if not self.deployment.rollback_id:
            return ServiceDeploymentStatus.STOPPED
        if back is None or not back.status.is_over:
            return ServiceDeploymentStatus.ROLLBACK_IN_PROGRESS
        if back.status == CodeDeployStatus.SUCCEEDED:
            return ServiceDeploymentStatus.ROLLBACK_SUCCESSFUL
        return ServiceDeploymentStatus.ROLLBACK_FAILED


def continue_command(deployment_id: str) -> str:
    """Return the command that sends the traffic on where a deployment waits for somebody (Ready)."""
    return f"aws deploy continue-deployment --deployment-id {deployment_id} --deployment-wait-type READY_WAIT"


def stop_command_of(deployment_id: str) -> str:
    """Return the command that rolls a CodeDeploy deployment back (StopDeployment)."""
    return f"aws deploy stop-deployment --deployment-id {deployment_id} --auto-rollback-enabled"
