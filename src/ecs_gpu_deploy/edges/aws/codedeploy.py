"""AWS CodeDeploy: the deployments of services whose deployment controller is CODE_DEPLOY."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from ecs_gpu_deploy.core.definition.appspec import task_definition_in
from ecs_gpu_deploy.core.judge.codedeploy import (
    ACTIVE,
    BlueGreenWaits,
    CodeDeployment,
    CodeDeployState,
    EcsTarget,
    waits_from_api,
)
from ecs_gpu_deploy.core.past.revisions import Rollout
from ecs_gpu_deploy.edges.aws.answers import (
    AwsError,
    Closed,
    HalfAnswer,
    Missing,
    needed_to,
    reading,
)
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.model import text_in

_DEPLOYMENTS_A_CALL = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentGroup:
    """A deployment group: what it deploys to, how, and its waits; `services` are (cluster, service).

    `config` is the name of its deployment configuration, `alarms` are those that it watches.
    """

    application: str
    name: str
    platform: str
    style: tuple[str, str]
    services: tuple[tuple[str, str], ...]
    config: str = ""
    waits: BlueGreenWaits = field(default_factory=BlueGreenWaits)
    alarms: tuple[str, ...] = ()

    @classmethod
    def from_api(cls, api: Mapping[str, Any]) -> DeploymentGroup:
        """Read DeploymentGroupInfo."""
        style, alarms = api.get("deploymentStyle") or {}, api.get("alarmConfiguration") or {}
        return cls(
            application=text_in(api, "applicationName"),
            name=text_in(api, "deploymentGroupName"),
            platform=text_in(api, "computePlatform"),
            style=(text_in(style, "deploymentType"), text_in(style, "deploymentOption")),
            services=tuple(
                (text_in(each, "clusterName"), text_in(each, "serviceName"))
                for each in api.get("ecsServices") or ()
            ),
            config=text_in(api, "deploymentConfigName"),
            waits=waits_from_api(api.get("blueGreenDeploymentConfiguration") or {}),
            alarms=tuple(text_in(each, "name") for each in alarms.get("alarms") or ())
            if alarms.get("enabled")
            else (),
        )


class CodeDeploy:
    """AWS CodeDeploy in one Region."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws

    def fetch_group(self, application: str, group: str) -> DeploymentGroup:
        """Return the deployment group; InvalidInput where it, or its application, does not exist."""
        params = {"applicationName": application, "deploymentGroupName": group}
        with needed_to(f"describe the deployment group {group!r} of CodeDeploy"):
            try:
                return self._aws.read("codedeploy", "get_deployment_group", params, _group)
            except AwsError as error:
                if error.code not in _ABSENT:
                    raise
                what, name = _ABSENT[error.code]
                raise InvalidInput(
                    f"There is no CodeDeploy {what} {application if name else group!r} in {self._aws.region}"
                    + ("." if name else f" in the application {application!r}."),
                    hint="Set codedeploy-application and codedeploy-deployment-group; without them they are "
                    "AppECS-CLUSTER-SERVICE and DgpECS-CLUSTER-SERVICE, as the ECS console names them.",
                ) from error

    def shift_seconds(self, config: str) -> float:
        """Return how long a deployment configuration shifts traffic; 0 where we may not see it.

        Source: CodeDeploy API Reference, TrafficRoutingConfig (intervals are in minutes).
        """
        with suppress(Closed, Missing):
            params = {"deploymentConfigName": config}
            answer = self._aws.call("codedeploy", "get_deployment_config", params)
            with reading("codedeploy.GetDeploymentConfig"):
                routing = (answer.get("deploymentConfigInfo") or {}).get("trafficRoutingConfig") or {}
                if canary := routing.get("timeBasedCanary"):
                    return float(canary.get("canaryInterval") or 0) * 60.0
                if linear := routing.get("timeBasedLinear"):
                    steps = -(-100 // max(int(linear.get("linearPercentage") or 100), 1))
                    return (steps - 1) * float(linear.get("linearInterval") or 0) * 60.0
        return 0.0

    def observe(self, deployment_id: str) -> CodeDeployment:
        """Return the deployment as it is now; one call, raises AwsError, also Missing."""
        answer = self._aws.once("codedeploy", "get_deployment", {"deploymentId": deployment_id})
        with reading("codedeploy.GetDeployment"):
            return _deployment(answer)

    def fetch_deployment(self, deployment_id: str) -> CodeDeployment:
        """Return the deployment; InvalidInput where there is none."""
        with needed_to("describe the deployment of CodeDeploy"):
            try:
                params = {"deploymentId": deployment_id}
                return self._aws.read("codedeploy", "get_deployment", params, _deployment)
            except AwsError as error:
                if error.code not in {"DeploymentDoesNotExistException", "InvalidDeploymentIdException"}:
                    raise
                raise InvalidInput(
                    f"There is no deployment {deployment_id!r} of CodeDeploy in {self._aws.region}.",
                    hint="Its id is d- and nine letters and digits.",
                ) from error

    def observe_target(self, deployment_id: str, *, target_id: str = "") -> EcsTarget:
        """Return the target of a deployment as it is now; raises AwsError.

        *target_id* is its id where that is known. A deployment that has not started has none yet.
        """
        try:
            wanted = target_id or self._target_id(deployment_id)
            return self._target(deployment_id, wanted) if wanted else EcsTarget()
        except AwsError as error:
            if error.code != "DeploymentNotStartedException":
                raise
        return EcsTarget()

    def _target_id(self, deployment_id: str) -> str:
        answer = self._aws.once("codedeploy", "list_deployment_targets", {"deploymentId": deployment_id})
        with reading("codedeploy.ListDeploymentTargets"):
            return next((str(each) for each in answer.get("targetIds") or ()), "")

    def _target(self, deployment_id: str, target_id: str) -> EcsTarget:
        params = {"deploymentId": deployment_id, "targetIds": [target_id]}
        answer = self._aws.once("codedeploy", "batch_get_deployment_targets", params)
        with reading("codedeploy.BatchGetDeploymentTargets"):
            found = [each.get("ecsTarget") for each in answer.get("deploymentTargets") or ()]
            return next((EcsTarget.from_api(each) for each in found if each), EcsTarget())

    def active(self, application: str, group: str) -> tuple[CodeDeployment, ...]:
        """Return the deployments of the group that are under way, newest first; raises AwsError."""
        return tuple(self._listed(application, group, most=5, statuses=ACTIVE))

    def fetch_rollouts(self, application: str, group: str, *, most: int) -> tuple[Rollout, ...] | None:
        """Return the newest *most* deployments of the group as rollouts, newest first; None where denied.

        One without an AppSpec in the answer (its revision lies in S3) tells no task definition: left out.
        A rollback of CodeDeploy's own is told by the deployment that it takes back, as ECS lists it.
        """
        with needed_to("list the deployments of CodeDeploy"):
            try:
                found = list(self._listed(application, group, most=most))
            except Closed:
                return None
        return tuple(
            _rollout(each, found)
            for each in found
            if each.task_definition and each.creator != "codeDeployRollback" and not each.rolls_back
        )

    def _listed(
        self, application: str, group: str, *, most: int, statuses: Sequence[str] = ()
    ) -> Iterator[CodeDeployment]:
        params: dict[str, Any] = {"applicationName": application, "deploymentGroupName": group}
        if statuses:
            params["includeOnlyStatuses"] = list(statuses)
        ids = list(islice(self._aws.pages("codedeploy", "list_deployments", params, "deployments"), most))
        found: list[CodeDeployment] = []
        for begin in range(0, len(ids), _DEPLOYMENTS_A_CALL):
            wanted = {"deploymentIds": ids[begin : begin + _DEPLOYMENTS_A_CALL]}
            found += self._aws.read("codedeploy", "batch_get_deployments", wanted, _deployments)
        return iter(sorted(found, key=lambda each: each.created_at, reverse=True))

    def create(
        self, group: DeploymentGroup, content: str, sha256: str, *, config: str = "", description: str = ""
    ) -> str:
        """Create the deployment of an AppSpec and return its id; raises AwsError, Unclear where it may be."""
        params: dict[str, Any] = {
            "applicationName": group.application,
            "deploymentGroupName": group.name,
            "revision": {
                "revisionType": "AppSpecContent",
                "appSpecContent": {"content": content, "sha256": sha256},
            },
        }
        if config:
            params["deploymentConfigName"] = config
        if description:
            params["description"] = description
        answer = self._aws.change("codedeploy", "create_deployment", params, whole=_created)
        return _created(answer)

    def stop(self, deployment_id: str) -> None:
        """Stop the deployment and roll it back; raises AwsError. Asked twice it is stopped once."""
        params = {"deploymentId": deployment_id, "autoRollbackEnabled": True}
        self._aws.change("codedeploy", "stop_deployment", params, repeatable=True)


_ABSENT = {
    "ApplicationDoesNotExistException": ("application", True),
    "DeploymentGroupDoesNotExistException": ("deployment group", False),
}


def _group(answer: Mapping[str, Any]) -> DeploymentGroup:
    return DeploymentGroup.from_api(answer["deploymentGroupInfo"])


def _deployment(answer: Mapping[str, Any]) -> CodeDeployment:
    found = CodeDeployment.from_api(answer["deploymentInfo"])
    if not found.id or not found.status:
        raise HalfAnswer("the deployment is not shown whole", request="codedeploy.GetDeployment")
    return found


def _deployments(answer: Mapping[str, Any]) -> list[CodeDeployment]:
    return [CodeDeployment.from_api(each) for each in answer["deploymentsInfo"]]


def _created(answer: Mapping[str, Any]) -> str:
    made = text_in(answer, "deploymentId")
    if not made:
        raise HalfAnswer("the answer has no deploymentId", request="codedeploy.CreateDeployment")
    return made


def _rollout(deployment: CodeDeployment, others: Sequence[CodeDeployment]) -> Rollout:
    back = next((each for each in others if each.id == deployment.rollback_id), None)
    state = CodeDeployState(deployment=deployment, rollback=back)
    return Rollout(
        arn=deployment.id,
        task_definition=task_definition_in(deployment.appspec),
        status=state.as_service_deployment().status,
        number=deployment.id,
        status_reason=deployment.error_message,
        created_at=deployment.created_at,
        finished_at=deployment.completed_at,
    )
