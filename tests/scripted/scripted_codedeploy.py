"""CodeDeploy as a world writes it: a deployment by its written states, its target, and the group around it.

A world's `codedeploy` holds `states`, a list of [second, status, {stage, traffic, error, rollback, …}], the
`rollback` deployment's own states, the `group` laid over its defaults, and the deployments of the `past`.
Seconds count from CreateDeployment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from scripted_names import (
    ACCOUNT,
    CLUSTER,
    OURS,
    REGION,
    SERVICE,
    TARGET_GROUP,
    Refusal,
    Shown,
    arn,
    at_time,
    merged,
)

OUR_ID, BACK_ID = "d-A7YW3F91L", "d-0U9J0T91L"
GREEN_GROUP = TARGET_GROUP.replace("/rag/", "/rag-green/")
EVENTS = (
    "BeforeInstall",
    "Install",
    "AfterInstall",
    "AllowTestTraffic",
    "AfterAllowTestTraffic",
    "BeforeAllowTraffic",
    "AllowTraffic",
    "AfterAllowTraffic",
)
"""In this order (transcript of get-deployment-target, docs/aws-facts.md#codedeploy)."""
OVER = {"Succeeded", "Failed", "Stopped"}
GROUP: Mapping[str, Any] = {
    "applicationName": f"AppECS-{CLUSTER}-{SERVICE}",
    "deploymentGroupName": f"DgpECS-{CLUSTER}-{SERVICE}",
    "deploymentConfigName": "CodeDeployDefault.ECSAllAtOnce",
    "serviceRoleArn": f"arn:aws:iam::{ACCOUNT}:role/codedeploy",
    "autoRollbackConfiguration": {
        "enabled": True,
        "events": ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"],
    },
    "deploymentStyle": {"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"},
    "blueGreenDeploymentConfiguration": {
        "terminateBlueInstancesOnDeploymentSuccess": {
            "action": "TERMINATE",
            "terminationWaitTimeInMinutes": 5,
        },
        "deploymentReadyOption": {"actionOnTimeout": "CONTINUE_DEPLOYMENT", "waitTimeInMinutes": 0},
    },
    "computePlatform": "ECS",
    "ecsServices": [{"serviceName": SERVICE, "clusterName": CLUSTER}],
}
_ROUTING = {
    "CodeDeployDefault.ECSLinear10PercentEvery1Minutes": {
        "type": "TimeBasedLinear",
        "timeBasedLinear": {"linearPercentage": 10, "linearInterval": 1},
    }
}


class CodeDeploy:
    """CodeDeploy as a world writes it."""

    green_group = GREEN_GROUP

    def _codedeploy(self) -> Mapping[str, Any]:
        return self.world.get("codedeploy") or {}

    def is_codedeploy(self) -> bool:
        """Say whether CodeDeploy deploys the service of this world."""
        return bool(self._codedeploy())

    def is_behind(self, group: str, task: Shown) -> bool:
        """Say whether the targets of *group* are those of the task's task set; without CodeDeploy always."""
        return not self.is_codedeploy() or (group == GREEN_GROUP) == (task.deployment == f"ecs-svc/{OURS}")

    def _deployment_group(self) -> dict[str, Any]:
        return dict(merged(GROUP, self._codedeploy().get("group", {})))

    @property
    def _states(self) -> list[Any]:
        return self.stopped_states or list(self._codedeploy().get("states", ()))

    def _state_of(self, states: Any) -> tuple[float, str, Mapping[str, Any]] | None:
        begun = [item for item in states if item[0] <= self.t]
        if not begun or not self.started:
            return None
        at, status, *more = begun[-1]
        return at, status, more[0] if more else {}

    def _since(self, states: Any, name: str) -> float | None:
        return next((i[0] for i in states if len(i) > 2 and i[2].get(name) and i[0] <= self.t), None)

    def _appspec_content(self, name: str) -> dict[str, Any]:
        target = {
            "Type": "AWS::ECS::Service",
            "Properties": {
                "TaskDefinition": self.definition_arn(name),
                "LoadBalancerInfo": {"ContainerName": "rag", "ContainerPort": 8000},
            },
        }
        return {"content": json.dumps({"version": 0.0, "Resources": [{"TargetService": target}]})}

    def _info(self, deployment_id: str, status: str, name: str, created: float) -> dict[str, Any]:
        group = self._deployment_group()
        shared = ("autoRollbackConfiguration", "deploymentStyle", "blueGreenDeploymentConfiguration")
        return {
            **{key: group[key] for key in ("applicationName", "deploymentGroupName", *shared)},
            "deploymentConfigName": group["deploymentConfigName"],
            "deploymentId": deployment_id,
            "status": status,
            "createTime": created,
            "creator": "user",
            "computePlatform": "ECS",
            "revision": {"revisionType": "AppSpecContent", "appSpecContent": self._appspec_content(name)},
        }

    def _deployments_of_codedeploy(self) -> dict[str, dict[str, Any]]:
        """Return every deployment that is there now, by its id."""
        found: dict[str, dict[str, Any]] = {}
        for number, item in enumerate(self._codedeploy().get("past", ())):
            made = self._info(
                f"d-PAST{number}",
                at_time(item.get("status", "Succeeded"), self.t),
                self._name(item["rev"]),
                item["at"],
            )
            if made["status"] in OVER:
                made["completeTime"] = item["at"] + 300
            found[made["deploymentId"]] = merged(made, item.get("raw", {}))
        state = self._state_of(self._states)
        if state is None:
            return found
        at, status, told = state
        ours = self._info(OUR_ID, status, self.new_definition, 0.0)
        if self.created:
            ours["revision"]["appSpecContent"] = self.created[0]["revision"]["appSpecContent"]
        if told.get("error"):
            ours["errorInformation"] = {"code": told["error"], "message": told.get("message", "")}
        if status in OVER:
            ours["completeTime"] = at
        back = self._state_of(told.get("rollback", ()))
        if back is not None:
            begun = f"Automatic rollback is triggered with a DeploymentId {BACK_ID}."
            message = f"Deployment {OUR_ID} terminated. {begun}"
            ours["rollbackInfo"] = {"rollbackDeploymentId": BACK_ID, "rollbackMessage": message}
            old = self._name(self.old["rev"])
            made = self._info(BACK_ID, back[1], old, told["rollback"][0][0]) | {
                "creator": "codeDeployRollback"
            }
            made["rollbackInfo"] = {"rollbackTriggeringDeploymentId": OUR_ID}
            if back[2].get("error"):
                made["errorInformation"] = {"code": back[2]["error"], "message": back[2].get("message", "")}
            found[BACK_ID] = made
        found[OUR_ID] = merged(ours, told.get("info", {}))
        return found

    def task_sets(self) -> list[dict[str, Any]]:
        """Return the service's task sets: the original one, and ours from its Install on."""
        state, written = self._state_of(self._states), self._codedeploy()
        _, status, told = state or (0.0, "", {})
        switched = bool(state) and self._since(self._states, "primary") is not None and not told.get("back")
        begun = written.get("install", 2)
        ended = status in {"Failed", "Stopped"} or (status == "Succeeded" and switched)
        sets = []
        rows = [(self.old["number"], self._name(self.old["rev"]), "", TARGET_GROUP, not switched)]
        if state is not None and self.t >= begun:
            rows.append((OURS, self.new_definition, OUR_ID, GREEN_GROUP, switched))
        for number, name, external, group, primary in rows:
            set_id = f"ecs-svc/{number}"
            item = {
                "id": set_id,
                "taskSetArn": arn("task-set", f"{CLUSTER}/{SERVICE}/{set_id}"),
                "status": "PRIMARY" if primary else "DRAINING" if ended else "ACTIVE",
                "taskDefinition": self.definition_arn(name),
                "computedDesiredCount": self.desired(),
                "pendingCount": self._count(number, "PENDING", "PROVISIONING", "ACTIVATING"),
                "runningCount": self._count(number, "RUNNING"),
                "createdAt": begun if external else self.old["at"],
                "launchType": "EC2",
                "loadBalancers": [{"targetGroupArn": group, "containerName": "rag", "containerPort": 8000}],
                "stabilityStatus": "STABILIZING",
            }
            if external:
                item |= {"externalId": external, "startedBy": "CODE_DEPLOY"}
            sets.append(item)
        return sets

    def _target_of(self, deployment_id: str) -> dict[str, Any]:
        state = self._state_of(self._states)
        if deployment_id != OUR_ID or state is None or state[1] == "Created":
            raise Refusal("DeploymentNotStartedException", "The specified deployment has not started.")
        _, status, told = state
        stage = told.get("stage", "")
        at = EVENTS.index(stage) if stage in EVENTS else len(EVENTS)
        lost = status in {"Failed", "Stopped"}
        states = ["Succeeded"] * at + (["Failed" if lost else "InProgress"] if at < len(EVENTS) else [])
        states += ["Skipped" if lost else "Pending"] * (len(EVENTS) - len(states))
        events = [{"lifecycleEventName": n, "status": s} for n, s in zip(EVENTS, states, strict=True)]
        if told.get("diagnostics"):
            events[at]["diagnostics"] = told["diagnostics"]
        rows = []
        traffic = float(told.get("traffic", 0.0))
        for each in self.task_sets():
            green = bool(each.get("externalId"))
            rows.append(
                {
                    "identifer": each["id"],
                    "desiredCount": each["computedDesiredCount"],
                    "pendingCount": each["pendingCount"],
                    "runningCount": each["runningCount"],
                    "status": each["status"],
                    "trafficWeight": traffic if green else 100.0 - traffic,
                    "targetGroup": {"name": "rag-green" if green else "rag"},
                    "taskSetLabel": "Green" if green else "Blue",
                }
            )
        return {
            "deploymentId": deployment_id,
            "targetId": f"{CLUSTER}:{SERVICE}",
            "targetArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/{CLUSTER}/{SERVICE}",
            "status": "InProgress",
            "lifecycleEvents": events,
            "taskSetsInfo": rows,
        }

    def codedeploy_get_deployment_group(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the one group."""
        group = self._deployment_group()
        if asked["applicationName"] != group["applicationName"]:
            raise Refusal(
                "ApplicationDoesNotExistException",
                f"No application found for name: {asked['applicationName']}",
            )
        if asked["deploymentGroupName"] != group["deploymentGroupName"]:
            raise Refusal(
                "DeploymentGroupDoesNotExistException",
                f"No Deployment Group found for name: {asked['deploymentGroupName']}",
            )
        return {"deploymentGroupInfo": group}

    def codedeploy_get_deployment_config(self, asked: Mapping[str, Any]) -> Any:
        """Answer with a predefined configuration."""
        name = asked["deploymentConfigName"]
        routing = _ROUTING.get(name, {"type": "AllAtOnce"})
        return {"deploymentConfigInfo": {"deploymentConfigName": name, "trafficRoutingConfig": routing}}

    def codedeploy_list_deployments(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the ids of the group's deployments, of the statuses asked for."""
        wanted = asked.get("includeOnlyStatuses")
        found = self._deployments_of_codedeploy().values()
        return {"deployments": [i["deploymentId"] for i in found if not wanted or i["status"] in wanted]}

    def codedeploy_batch_get_deployments(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the deployments named."""
        found = self._deployments_of_codedeploy()
        return {"deploymentsInfo": [found[each] for each in asked["deploymentIds"]]}

    def codedeploy_get_deployment(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the deployment named."""
        found = self._deployments_of_codedeploy().get(asked["deploymentId"])
        if found is None:
            raise Refusal("DeploymentDoesNotExistException", "The deployment could not be found.")
        return {"deploymentInfo": found}

    def codedeploy_list_deployment_targets(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the one target of ours."""
        return {"targetIds": [self._target_of(asked["deploymentId"])["targetId"]]}

    def codedeploy_batch_get_deployment_targets(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the one target of ours."""
        target = self._target_of(asked["deploymentId"])
        return {"deploymentTargets": [{"deploymentTargetType": "ECSTarget", "ecsTarget": target}]}

    def codedeploy_create_deployment(self, asked: Mapping[str, Any]) -> Any:
        """Record the request and let zero be now; what it deploys is what its AppSpec names."""
        self.created.append(asked)
        if not self.started:
            self.started, self.origin = True, self.now
            content = json.loads(asked["revision"]["appSpecContent"]["content"])
            properties = content["Resources"][0]["TargetService"]["Properties"]
            self.new_definition = properties["TaskDefinition"].rpartition("/")[2]
            for task in self.tasks:
                if task.written.get("rev", "new") == "new":
                    task.definition = self.new_definition
        return {"deploymentId": OUR_ID}

    def codedeploy_stop_deployment(self, asked: Mapping[str, Any]) -> Any:
        """Answer as written; what is shown from then on was written too."""
        stop = self._codedeploy().get("stop", {})
        if stop.get("error"):
            raise Refusal(stop["error"], stop.get("message", stop["error"]))
        t = self.t
        until = [item for item in self._states if item[0] <= t]
        ends = stop.get("ends", 40)
        told = {
            "stage": "Install",
            "error": "MANUAL_STOP",
            "message": stop.get("message", ""),
            "rollback": [[t + 2, "InProgress"], [t + ends, "Succeeded"]],
            "back": True,
        }
        self.stopped_states = [*until, [t + 1, "Stopped", told]]
        return {"status": "Pending", "statusMessage": "Stopping the deployment."}
