"""Service deployments and revisions: the past, ours by its written phases, and a newer one of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scripted_names import (
    BREAKER,
    CLUSTER,
    FINISHED,
    LONG_AGO,
    NEVER,
    OTHERS,
    OURS,
    PHASES,
    SERVICE,
    Refusal,
    arn,
    at_time,
    digest_of,
    hexed,
    merged,
)


class Deployments:
    """Service deployments and revisions: the past, ours by its written phases, and a newer one of others."""

    def _past(self, number: int, item: Mapping[str, Any]) -> dict[str, Any]:
        return {"number": f"80000000000000000{number:02d}", "status": "SUCCESSFUL", "at": -86_400 * 2, **item}

    def _revision_arn(self, number: str) -> str:
        return arn("service-revision", f"{CLUSTER}/{SERVICE}/{number}")

    def _deployment_arn(self, number: str) -> str:
        return arn("service-deployment", f"{CLUSTER}/{SERVICE}/{hexed('sd' + number, 21)}")

    def _phase(self, item: Any) -> dict[str, Any]:
        if isinstance(item, Mapping):
            return dict(item)
        return {"at": item[0], "phase": item[1], **(item[2] if len(item) > 2 else {})}

    def phase(self) -> Mapping[str, Any] | None:
        """Return what our deployment is shown as now; None before it began."""
        if not self.started:
            return None
        begun = [item for item in self.phases if item["at"] <= self.t]
        return begun[-1] if begun else None

    def _first_at(self, *names: str) -> float | None:
        return next((i["at"] for i in self.phases if i["phase"] in names and i["at"] <= self.t), None)

    def begun(self) -> float:
        """Return when our deployment was created."""
        return float(self.phases[0]["at"]) if self.phases else 0.0

    def _past_deployment(self, item: Mapping[str, Any]) -> dict[str, Any]:
        status = at_time(item["status"], self.t)
        revision = self._revision_arn(item["number"])
        found = {
            "serviceDeploymentArn": self._deployment_arn(item["number"]),
            "serviceArn": arn("service", f"{CLUSTER}/{SERVICE}"),
            "clusterArn": arn("cluster", CLUSTER),
            "createdAt": item["at"],
            "startedAt": item["at"] + 1,
            "updatedAt": item["at"] + 300,
            "status": status,
            "targetServiceRevision": {
                "arn": revision,
                "requestedTaskCount": self.desired(),
                "runningTaskCount": self.desired(),
                "pendingTaskCount": 0,
            },
            "deploymentConfiguration": self._configuration(),
        }
        if status in FINISHED:
            found["finishedAt"] = item["at"] + 300
        if item.get("reason"):
            found["statusReason"] = item["reason"]
        if status.startswith("ROLLBACK"):
            back = item.get("back", 1)
            target = next(i for i in self.history if i["rev"] == back)
            found["rollback"] = {
                "reason": item.get("reason", BREAKER),
                "startedAt": item["at"] + 200,
                "serviceRevisionArn": self._revision_arn(target["number"]),
            }
        return merged(found, item.get("raw", {}))

    def _our_deployment(self) -> dict[str, Any] | None:
        phase = self.phase()
        if phase is None:
            return None
        status, _, breaker = PHASES[phase["phase"]]
        config = self._configuration()
        enabled = config["deploymentCircuitBreaker"]["enable"]
        why = phase.get("why", "breaker")
        if breaker == "TRIGGERED" and (why != "breaker" or not enabled):
            breaker = "MONITORING_COMPLETE"
        desired = self.desired()
        found: dict[str, Any] = {
            "serviceDeploymentArn": self._deployment_arn(OURS),
            "serviceArn": arn("service", f"{CLUSTER}/{SERVICE}"),
            "clusterArn": arn("cluster", CLUSTER),
            "createdAt": self.begun(),
            "updatedAt": phase["at"],
            "status": status,
            "targetServiceRevision": {
                "arn": self._revision_arn(OURS),
                "requestedTaskCount": desired,
                "runningTaskCount": self._count(OURS, "RUNNING"),
                "pendingTaskCount": self._count(OURS, "PENDING", "PROVISIONING"),
            },
            "deploymentConfiguration": config,
            "deploymentCircuitBreaker": {
                "status": breaker if enabled else "DISABLED",
                "failureCount": self._failed(),
                "threshold": max(3, -(-desired // 2)),
            },
        }
        if not self.first:
            found["sourceServiceRevisions"] = [
                {
                    "arn": self._revision_arn(self.old["number"]),
                    "requestedTaskCount": self._count(self.old["number"], live=True),
                    "runningTaskCount": self._count(self.old["number"], "RUNNING"),
                    "pendingTaskCount": self._count(self.old["number"], "PENDING", "PROVISIONING"),
                }
            ]
        began = self._first_at("rolling", "done", "rolling_back", "failed")
        if began is not None:
            found["startedAt"] = began + 1
        if status in FINISHED:
            found["finishedAt"] = phase.get("finished", phase["at"])
        if status == "STOPPED":
            found["stoppedAt"] = phase["at"]
        text = phase.get("says")
        if text is None and phase["phase"] in {"rolling_back", "rolled_back"} and why == "breaker":
            text = BREAKER
        if text:
            found["statusReason"] = self._text(text)
        if status.startswith("ROLLBACK") and status != "ROLLBACK_REQUESTED" and not self.first:
            found["rollback"] = {
                "reason": self._text(text or BREAKER),
                "startedAt": self._first_at("rolling_back", "rolled_back") or phase["at"],
                "serviceRevisionArn": self._revision_arn(self.old["number"]),
            }
        if self.service.get("alarms"):
            on = why == "alarm" and PHASES[phase["phase"]][2] == "TRIGGERED"
            found["alarms"] = {
                "status": "TRIGGERED" if on else "MONITORING",
                "alarmNames": self.service["alarms"],
                **({"triggeredAlarmNames": self.service["alarms"][:1]} if on else {}),
            }
        if phase.get("stage"):
            found["lifecycleStage"] = phase["stage"]
        if phase.get("hooks"):
            found["lifecycleHookDetails"] = phase["hooks"]
        return merged(found, phase.get("sd", {}))

    def _others_deployment(self) -> dict[str, Any] | None:
        at = self._first_at("superseding", "superseded", "superseded_done")
        if at is None:
            return None
        status = "SUCCESSFUL" if self._first_at("superseded_done") is not None else "IN_PROGRESS"
        found = {
            "serviceDeploymentArn": self._deployment_arn(OTHERS),
            "serviceArn": arn("service", f"{CLUSTER}/{SERVICE}"),
            "clusterArn": arn("cluster", CLUSTER),
            "createdAt": at,
            "startedAt": at + 1,
            "updatedAt": at + 1,
            "status": status,
            "targetServiceRevision": {"arn": self._revision_arn(OTHERS)},
            "deploymentConfiguration": self._configuration(),
        }
        return found | self.world.get("other_deployment", {})

    def _all_deployments(self) -> list[dict[str, Any]]:
        found = [self._past_deployment(item) for item in self.history if item.get("recorded", True)]
        if self.first and not self.world.get("keep_history"):
            found = []
        for more in (self._our_deployment(), self._others_deployment()):
            if more:
                found.append(more)
        return sorted(found, key=lambda item: -item["createdAt"])

    def ecs_list_service_deployments(self, asked: Mapping[str, Any]) -> Any:
        """Answer with briefs, newest first."""
        found = self._all_deployments()
        if self.t < self.world.get("list_lag", LONG_AGO):
            found = [item for item in found if item["serviceDeploymentArn"] != self._deployment_arn(OURS)]
        if asked.get("status"):
            found = [item for item in found if item["status"] in asked["status"]]
        created = asked.get("createdAt") or {}
        shown_from = self.origin + self.skew
        if "after" in created:
            found = [item for item in found if item["createdAt"] + shown_from > float(created["after"])]
        if "before" in created:
            found = [item for item in found if item["createdAt"] + shown_from < float(created["before"])]
        names = (
            "serviceDeploymentArn",
            "serviceArn",
            "clusterArn",
            "createdAt",
            "startedAt",
            "finishedAt",
            "status",
            "statusReason",
        )
        briefs = [
            {name: item[name] for name in names if name in item}
            | {"targetServiceRevisionArn": item["targetServiceRevision"]["arn"]}
            for item in found[: asked.get("maxResults", 20)]
        ]
        return {"serviceDeployments": briefs}

    def ecs_describe_service_deployments(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the deployments named."""
        wanted = set(asked["serviceDeploymentArns"])
        found = [item for item in self._all_deployments() if item["serviceDeploymentArn"] in wanted]
        known = {item["serviceDeploymentArn"] for item in found}
        return {
            "serviceDeployments": found,
            "failures": [{"arn": name, "reason": "MISSING"} for name in sorted(wanted - known)],
        }

    def ecs_describe_service_revisions(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the revisions named."""
        found = []
        for revision in asked["serviceRevisionArns"]:
            number = revision.rpartition("/")[2]
            past = next((item for item in self.history if item["number"] == number), None)
            name = self._name(past["rev"]) if past else self.new_definition
            if number == OTHERS:
                name = self._name(self.world.get("other", 99))
            image = self._image(name, "rag")
            seen = (past or {}).get("digest") or self._digest(image, (past or {"at": self.t})["at"])
            item = {
                "serviceRevisionArn": revision,
                "serviceArn": arn("service", f"{CLUSTER}/{SERVICE}"),
                "clusterArn": arn("cluster", CLUSTER),
                "taskDefinition": self.definition_arn(name),
                **self._compute(),
                "containerImages": [{"containerName": "rag", "image": image}],
                "createdAt": (past or {"at": self.begun()})["at"],
            }
            if seen:
                item["containerImages"][0]["imageDigest"] = digest_of(seen)
            found.append(item)
        return {"serviceRevisions": found, "failures": []}

    def ecs_stop_service_deployment(self, asked: Mapping[str, Any]) -> Any:
        """Answer as written; what is shown from then on was written too."""
        stop = self.world.get("stop", {})
        if stop.get("error"):
            raise Refusal(stop["error"], stop.get("message", stop["error"]))
        says = stop.get("says", "Service deployment rolled back because a user requested it.")
        after = stop.get("phases", [[0, "rollback_requested"], [3, "rolling_back"], [60, "rolled_back"]])
        self._go_on_as(after, {"why": "user", "says": says, "event": "stopped by user"})
        self._go_back(stop)
        return {"serviceDeploymentArn": asked["serviceDeploymentArn"]}

    def _go_on_as(self, phases: Sequence[Any], common: Mapping[str, Any]) -> None:
        """Show from now on what was written for it, its times counted from now."""
        t = self.t
        self.phases = [item for item in self.phases if item["at"] <= t]
        self.phases += [{**common, **item, "at": item["at"] + t} for item in map(self._phase, phases)]

    def _go_back(self, stop: Mapping[str, Any]) -> None:
        """Let the new tasks leave and the old ones stay."""
        t = self.t
        for task in self.tasks:
            if task.deployment == f"ecs-svc/{OURS}" and task.leave > t:
                task.leave = t + stop.get("leave", 5)
                task.stopping, task.stopped, task.how = task.leave, task.leave + 10, "scaled_in"
                task.start, task.healthy = (
                    x if x <= task.leave else NEVER for x in (task.start, task.healthy)
                )
                task.gone = task.stopped + 3600
            elif task.deployment == f"ecs-svc/{self.old['number']}" and task.leave > t:
                task.leave = task.stopping = task.stopped = task.gone = NEVER
        for item in stop.get("tasks", ()):
            task = self._task(item)
            self._shift(task, t)
            self.tasks.append(task)
        self._place()

    def ecs_continue_service_deployment(self, asked: Mapping[str, Any]) -> Any:
        """Answer as written, and show what was written for the action from then on."""
        answer = self.world.get("answer", {})
        waiting = [
            hook["hookId"]
            for hook in (self.phase() or {}).get("hooks", ())
            if hook["status"] == "AWAITING_ACTION"
        ]
        if answer.get("error") or asked["hookId"] not in waiting:
            error = answer.get("error", "InvalidParameterException")
            raise Refusal(error, answer.get("message", "The hook is not awaiting an action."))
        self._go_on_as(answer.get(asked.get("action", "CONTINUE"), ()), answer.get("common", {}))
        if asked.get("action") == "ROLLBACK" and not answer.get("stays"):
            self._go_back(answer)
        return {"serviceDeploymentArn": asked["serviceDeploymentArn"]}
