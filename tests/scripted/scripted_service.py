"""The service, its cluster and what stands around them, as shown at a second."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scripted_names import (
    ACCOUNT,
    CLUSTER,
    ENDED_BADLY,
    LONG_AGO,
    OTHERS,
    OURS,
    PHASES,
    SERVICE,
    TARGET_GROUP,
    Refusal,
    arn,
    at_time,
    merged,
)


class Service:
    """The service, its cluster and what stands around them, as shown at a second."""

    def desired(self) -> int:
        """Return the desired count."""
        return int(at_time(self.service["desired"], self.t if self.started else LONG_AGO))

    def _configuration(self) -> dict[str, Any]:
        sent = [each["deploymentConfiguration"] for each in self.updates if "deploymentConfiguration" in each]
        if sent:
            return dict(sent[-1])
        written = self.service
        breaker = written.get("breaker", "rollback")
        found = {
            "maximumPercent": written["max"],
            "minimumHealthyPercent": written["min"],
            "deploymentCircuitBreaker": {
                "enable": breaker in {"on", True, "rollback"},
                "rollback": breaker == "rollback",
            },
            "strategy": written.get("strategy", "ROLLING"),
        }
        if written.get("alarms"):
            rollback = written.get("alarms_rollback", True)
            found["alarms"] = {"alarmNames": written["alarms"], "enable": True, "rollback": rollback}
        return merged(found, written.get("configuration", {}))

    def _deployments(self) -> list[dict[str, Any]]:
        phase, t = self.phase(), self.t
        old = self._classic(
            self.old["number"], self._name(self.old["rev"]), "PRIMARY", "COMPLETED", self.old["at"]
        )
        if phase is None:
            ongoing = [i for i in self.history if at_time(i["status"], t) in {"IN_PROGRESS", "PENDING"}]
            if not ongoing:
                return [] if self.first else [old]
            newest = ongoing[-1]
            name = self._name(newest["rev"])
            return [
                self._classic(newest["number"], name, "PRIMARY", "IN_PROGRESS", newest["at"]),
                old | {"status": "ACTIVE"},
            ]
        layout = phase.get("layout") or PHASES[phase["phase"]][1]
        new = self._classic(OURS, self.new_definition, "PRIMARY", "IN_PROGRESS", self.begun())
        other = self._classic(
            OTHERS, self._name(self.world.get("other", 99)), "PRIMARY", "IN_PROGRESS", phase["at"]
        )
        back = old | {"createdAt": phase["at"], "updatedAt": phase["at"], "rolloutState": "IN_PROGRESS"}
        back["rolloutStateReason"] = f"ECS deployment ecs-svc/{self.old['number']} in progress."
        completed = {
            "rolloutState": "COMPLETED",
            "rolloutStateReason": f"ECS deployment ecs-svc/{OURS} completed.",
        }
        failed = {
            "rolloutState": "FAILED",
            "rolloutStateReason": phase.get(
                "reason", "ECS deployment circuit breaker: tasks failed to start."
            ),
        }
        replaced = new | {"status": "ACTIVE"}
        late = phase["at"] + phase.get("failed_after", 0) <= t
        losing = replaced | (failed if late else {})
        rows = {
            "rolling": [new, old | {"status": "ACTIVE"}],
            "done": [new | completed],
            "draining": [new | completed, old | {"status": "DRAINING"}],
            "failed": [new | failed, old | {"status": "ACTIVE"}],
            "rolling_back": [back, losing],
            "rolled_back": [old],
            "superseded": [other, replaced, old | {"status": "ACTIVE"}],
            "superseded_done": [other | {"rolloutState": "COMPLETED"}],
        }[layout]
        if self.first:
            rows = [row for row in rows if row["id"] != old["id"]]
        if layout == "rolling" and not self._count(self.old["number"], live=True) and not self.first:
            rows = rows[:1]
        return rows

    def _classic(self, number: str, name: str, status: str, rollout: str, at: float) -> dict[str, Any]:
        ours = number == OURS
        running = self._count(number, "RUNNING")
        pending = self._count(number, "PENDING", "PROVISIONING", "ACTIVATING")
        staying = self._count(number, live=True)
        found = {
            "id": f"ecs-svc/{number}",
            "status": status,
            "taskDefinition": self.definition_arn(name),
            "desiredCount": self.desired()
            if ours or (status == "PRIMARY" and number != self.old["number"])
            else staying,
            "pendingCount": pending,
            "runningCount": running,
            "failedTasks": self._failed() if ours else 0,
            "createdAt": at,
            "updatedAt": at,
            "rolloutState": rollout,
            "rolloutStateReason": f"ECS deployment ecs-svc/{number} "
            + ("completed." if rollout == "COMPLETED" else "in progress."),
            **self._compute(),
        }
        phase = self.phase()
        if number == self.old["number"] and (
            phase is None or ("roll" in phase["phase"] and "back" in phase["phase"])
        ):
            found["desiredCount"] = self.desired()
        return found

    def _compute(self) -> dict[str, Any]:
        if self.service.get("strategy_of_providers"):
            return {"capacityProviderStrategy": self.service["strategy_of_providers"]}
        return {"launchType": self.service.get("launch", "EC2")}

    def _count(self, number: str, *statuses: str, live: bool = False) -> int:
        t = self.t
        tasks = [
            task for task in self._all_tasks() if task.deployment == f"ecs-svc/{number}" and task.is_shown(t)
        ]
        if live:
            return sum(task.leave > t for task in tasks)
        return sum(task.status(t) in statuses for task in tasks)

    def _failed(self) -> int:
        """Return failedTasks: as written, otherwise failed tasks until one of ours was up."""
        t = self.t
        if "failed" in self.world:
            return int(at_time([[LONG_AGO, 0], *self.world["failed"]], t))
        ours = [task for task in self.tasks if task.deployment == f"ecs-svc/{OURS}"]
        if any(task.healthy <= t for task in ours):
            return 0
        return sum(task.how in ENDED_BADLY and task.stopped <= t for task in ours)

    def _service(self) -> dict[str, Any]:
        t, phase, written = self.t, self.phase(), self.service
        deployments = self._deployments()
        mine = [
            task
            for task in self._all_tasks()
            if self._group(task) == f"service:{SERVICE}" and task.is_shown(t)
        ]
        current = self._deployment_arn(OURS if phase else self.old["number"])
        found: dict[str, Any] = {
            "serviceArn": arn("service", f"{CLUSTER}/{SERVICE}"),
            "serviceName": SERVICE,
            "clusterArn": arn("cluster", CLUSTER),
            "loadBalancers": [],
            "serviceRegistries": [],
            "status": "ACTIVE",
            "desiredCount": self.desired(),
            "runningCount": sum(task.status(t) == "RUNNING" for task in mine),
            "pendingCount": sum(task.status(t) in {"PENDING", "PROVISIONING"} for task in mine),
            **self._compute(),
            "taskDefinition": deployments[0]["taskDefinition"]
            if deployments
            else self.definition_arn(self._name(self.old["rev"])),
            "deploymentConfiguration": self._configuration(),
            "deployments": deployments,
            "roleArn": f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS",
            "events": self._events(),
            "createdAt": LONG_AGO * 2,
            "currentServiceDeployment": current,
            "placementConstraints": [],
            "placementStrategy": [{"type": "spread", "field": "attribute:ecs.availability-zone"}],
            "networkConfiguration": {
                "awsvpcConfiguration": {
                    "subnets": ["subnet-1"],
                    "securityGroups": ["sg-1"],
                    "assignPublicIp": "DISABLED",
                }
            },
            "healthCheckGracePeriodSeconds": written.get("grace", 0),
            "schedulingStrategy": "REPLICA",
            "deploymentController": {"type": "ECS"},
            "enableECSManagedTags": False,
            "propagateTags": "NONE",
            "enableExecuteCommand": False,
            "availabilityZoneRebalancing": "DISABLED",
        }
        if written["lb"]:
            port = {"targetGroupArn": TARGET_GROUP, "containerName": "rag", "containerPort": 8000}
            found["loadBalancers"] = [port | written.get("balancer", {})]
        if self.world.get("definition", {}).get("networkMode", "awsvpc") != "awsvpc":
            # "Network Configuration is not valid for the given networkMode" (API Reference, CreateService)
            del found["networkConfiguration"]
        if self.is_codedeploy():
            # ECS Developer Guide, "Creating a service using a blue/green deployment": task sets alone.
            primary = next(each for each in self.task_sets() if each["status"] == "PRIMARY")
            for member in ("deployments", "currentServiceDeployment", "deploymentConfiguration"):
                found.pop(member, None)
            found |= {
                "deploymentController": {"type": "CODE_DEPLOY"},
                "taskSets": self.task_sets(),
                "taskDefinition": primary["taskDefinition"],
                "deploymentConfiguration": {"maximumPercent": 200, "minimumHealthyPercent": 100},
            }
        return merged(found, written.get("raw", {}))

    def ecs_describe_services(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the services named."""
        self._cluster(asked)
        others = {item["serviceName"]: item for item in self.world.get("services", ())}
        found, missing = [], []
        for name in asked["services"]:
            short = name.rpartition("/")[2]
            if short == SERVICE and not self.world.get("no_service"):
                found.append(self._service())
            elif short in others:
                base = {
                    "serviceArn": arn("service", f"{CLUSTER}/{short}"),
                    "clusterArn": arn("cluster", CLUSTER),
                }
                found.append(base | {"status": "ACTIVE", "deployments": [], "events": []} | others[short])
            else:
                missing.append({"arn": arn("service", f"{CLUSTER}/{short}"), "reason": "MISSING"})
        return {"services": found, "failures": missing}

    def ecs_list_services(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the services of the cluster."""
        self._cluster(asked)
        names = [SERVICE, *(item["serviceName"] for item in self.world.get("services", ()))]
        return {"serviceArns": [arn("service", f"{CLUSTER}/{name}") for name in names]}

    def ecs_list_clusters(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the one cluster."""
        return {"clusterArns": [arn("cluster", CLUSTER)]}

    def ecs_describe_clusters(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the one cluster."""
        providers = sorted(
            {item["capacityProvider"] for item in self.service.get("strategy_of_providers", ())}
        )
        return {
            "clusters": [
                {
                    "clusterArn": arn("cluster", CLUSTER),
                    "clusterName": CLUSTER,
                    "status": "ACTIVE",
                    "capacityProviders": providers,
                    "defaultCapacityProviderStrategy": [],
                    "registeredContainerInstancesCount": len(self._instances_now()),
                    **self.world.get("cluster", {}),
                }
            ],
            "failures": [],
        }

    def ecs_describe_capacity_providers(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the capacity providers of the world."""
        names = asked.get("capacityProviders") or [item["name"] for item in self.world.get("providers", ())]
        return {
            "capacityProviders": [i for i in self.world.get("providers", ()) if i["name"] in names],
            "failures": [],
        }

    def autoscaling_describe_auto_scaling_groups(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the groups of the world."""
        return {"AutoScalingGroups": list(self.world.get("groups", ()))}

    def autoscaling_describe_scaling_activities(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the activities that have begun."""
        return {"Activities": [i for i in self.world.get("activities", ()) if i["StartTime"] <= self.t]}

    def cloudwatch_describe_alarms(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the alarms of the world and their state."""
        found = [
            {**item, "StateValue": at_time(item.get("StateValue", "OK"), self.t)}
            for item in self.world.get("alarms", ())
        ]
        return {"MetricAlarms": found, "CompositeAlarms": []}

    def _cluster(self, asked: Mapping[str, Any]) -> None:
        if asked.get("cluster", "default").rpartition("/")[2] != CLUSTER:
            raise Refusal("ClusterNotFoundException", "Cluster not found.")

    def ecs_update_express_gateway_service(self, asked: Mapping[str, Any]) -> Any:
        """Do as UpdateService does, and answer with the service revision that it makes."""
        self.ecs_update_service(
            {
                "cluster": CLUSTER,
                "service": asked["serviceArn"],
                "taskDefinition": asked["taskDefinitionArn"],
            }
        )
        made = self._revision_arn(OURS)
        return {
            "service": {
                "serviceArn": asked["serviceArn"],
                "targetConfiguration": {"serviceRevisionArn": made},
            }
        }

    def ecs_update_service(self, asked: Mapping[str, Any]) -> Any:
        """Record the request and let zero be now."""
        self._cluster(asked)
        if asked["service"].rpartition("/")[2] != SERVICE:
            raise Refusal("ServiceNotFoundException", "Service not found.")
        self.updates.append(asked)
        if not self.started:
            self.started, self.origin = True, self.now
            self.new_definition = asked["taskDefinition"].rpartition("/")[2]
            for task in self.tasks:
                if task.written.get("rev", "new") == "new":
                    task.definition = self.new_definition
        return {"service": self._service()}
