"""What AWS shows of a world at a second: written times become members of AWS's answers.

Every time of a world is in seconds since its zero (UpdateService, the first RunTask, or the start of a
watch). A member shown here is a written one, or follows from written ones by counting and comparing times;
nothing is scheduled, counted against a threshold or judged.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

ACCOUNT, REGION, CLUSTER, SERVICE, FAMILY = "123456789012", "eu-central-1", "gpu", "rag", "rag"
REGISTRY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
LONG_AGO = -1_000_000.0
NEVER = float("inf")
OURS, OTHERS = "9000000000000000009", "9500000000000000005"
TARGET_GROUP = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/rag/6d0ecf831eec9f09"
_ATTRIBUTES = (
    "com.amazonaws.ecs.capability.logging-driver.awslogs",
    "ecs.capability.execution-role-awslogs",
    "com.amazonaws.ecs.capability.ecr-auth",
    "com.amazonaws.ecs.capability.docker-remote-api.1.19",
    "ecs.capability.task-eni",
)

BREAKER = "Service deployment rolled back because the circuit breaker threshold was exceeded."
NO_CANDIDATE = "No rollback candidate was found to run the rollback."
_PHASES = {
    # name: (status of the service deployment, layout of deployments[], circuit breaker)
    "pending": ("PENDING", "rolling", "MONITORING"),
    "rolling": ("IN_PROGRESS", "rolling", "MONITORING"),
    "done": ("SUCCESSFUL", "done", "MONITORING_COMPLETE"),
    "early": ("SUCCESSFUL", "rolling", "MONITORING_COMPLETE"),
    "rollback_requested": ("ROLLBACK_REQUESTED", "rolling", "MONITORING"),
    "rolling_back": ("ROLLBACK_IN_PROGRESS", "rolling_back", "TRIGGERED"),
    "rolled_back": ("ROLLBACK_SUCCESSFUL", "rolled_back", "TRIGGERED"),
    "rollback_failed": ("ROLLBACK_FAILED", "failed", "TRIGGERED"),
    "stop_requested": ("STOP_REQUESTED", "rolling", "MONITORING"),
    "failed": ("STOPPED", "failed", "TRIGGERED"),
    "superseding": ("STOP_REQUESTED", "superseded", "MONITORING"),
    "superseded": ("STOPPED", "superseded", "MONITORING"),
    "superseded_done": ("STOPPED", "superseded_done", "MONITORING"),
}
_FINISHED = {"SUCCESSFUL", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED", "STOPPED"}
_ENDED_BADLY = ("exit", "oom", "fails", "no_room", "elb", "check", "stopped")


class Refusal(Exception):
    """An error that AWS answers with."""

    def __init__(self, code: str, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.code, self.text, self.status = code, text, status


def hexed(name: str, length: int = 32) -> str:
    """Return the id that AWS would have made, always the same for a name."""
    return hashlib.sha256(name.encode()).hexdigest()[:length]


def digest_of(name: str) -> str:
    """Return the digest of the image that a world calls *name*."""
    return name if name.startswith("sha256:") else f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"


def arn(kind: str, rest: str) -> str:
    """Return an ARN of ECS."""
    return f"arn:aws:ecs:{REGION}:{ACCOUNT}:{kind}/{rest}"


def merged(base: Any, more: Any) -> Any:
    """Return *base* with the members of *more* laid over it."""
    if isinstance(base, Mapping) and isinstance(more, Mapping):
        return {**base, **{key: merged(base.get(key), value) for key, value in more.items()}}
    return more


def at_time(written: Any, t: float) -> Any:
    """Return what holds at *t* of a value, or of a list of [second, value]."""
    if not isinstance(written, list) or not all(
        isinstance(item, list) and len(item) == 2 for item in written
    ):
        return written
    holding = [value for second, value in written if second <= t]
    return holding[-1] if holding else written[0][1]


@dataclass(slots=True)
class Shown:
    """A task with every time of its life as seconds since zero."""

    id: str
    written: Mapping[str, Any]
    definition: str
    deployment: str
    created: float
    placed: float
    pull_from: float
    pull_to: float
    start: float
    healthy: float
    leave: float
    stopping: float
    stopped: float
    gone: float
    how: str
    instance: str
    started_by: str = ""
    overrides: Any = None

    def status(self, t: float) -> str:
        """Return lastStatus."""
        for second, name in (
            (self.stopped, "STOPPED"),
            (self.stopping, "STOPPING"),
            (self.leave, "DEACTIVATING"),
            (self.start, "RUNNING"),
            (self.placed, "PENDING"),
        ):
            if second <= t:
                return name
        return "PROVISIONING"

    def is_shown(self, t: float) -> bool:
        """Is the task there at all?"""
        return self.written.get("seen_from", self.created) <= t < self.gone


class State:
    """A world: data in, members of AWS's answers out."""

    def __init__(self, world: Mapping[str, Any]) -> None:
        self.world = world
        self.now = self.origin = 0.0
        self.before = float(world.get("before", 0))
        self.command = str(world["run"]).split()[0]
        self.started = self.command == "watch" or bool(world.get("under_way"))
        self.lenient = bool(world.get("lenient"))
        self.faults: Sequence[Mapping[str, Any]] = world.get("faults", ())
        self.service = world["service"]
        self.phases = [self._phase(item) for item in world.get("phases", ())]
        self.updates: list[Mapping[str, Any]] = []
        self.registered: list[Mapping[str, Any]] = []
        self.definitions = dict(self._definitions())
        self.new_definition = self._name(world.get("new", "")) if world.get("new") else ""
        self.history = [self._past(n, item) for n, item in enumerate(world["history"], 1)]
        good = [
            item
            for item in self.history
            if "SUCCESSFUL" in json.dumps(item["status"]).replace("ROLLBACK_", "-")
        ]
        self.old = next(
            (i for i in self.history if i["rev"] == world.get("runs")), (good or self.history)[-1]
        )
        self.first = bool(world.get("first"))
        self.run_tasks: dict[str, tuple[Mapping[str, Any], float]] = {}
        self.tokens: dict[str, Any] = {}
        self.batches = list(world.get("run_task", ()))
        self.instances = [self._instance(item) for item in world["instances"]]
        named = {name for batch in self.batches for name in batch.get("tasks", ())}
        self.batch_tasks = {item["id"]: item for item in self._written_tasks() if item["id"] in named}
        self.tasks: list[Shown] = []
        if not self.first:
            self.tasks += self._old_tasks()
        for item in self._written_tasks():
            if item["id"] not in named:
                self.tasks.append(self._task(item))
        self._place()

    # Times

    @property
    def t(self) -> float:
        """Return the seconds since zero."""
        return self.now - self.origin

    def is_in(self, item: Mapping[str, Any]) -> bool:
        """Does a fault or patch hold now? One with a time holds only after zero."""
        begin, end = item.get("from", LONG_AGO), item.get("until", NEVER)
        if begin >= 0 and not self.started:
            return False
        return begin <= self.t < end

    # Task definitions

    def _definitions(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for number, told in self.world["revisions"].items():
            item = told or {}
            name = self._name(number)
            family, _, revision = name.partition(":")
            body = self._definition(family, int(revision), item.get("tag", f"v{number}"), item)
            yield name, {"taskDefinition": body, "tags": _tags(item.get("tags", {}))}

    def _name(self, revision: Any) -> str:
        text = str(revision)
        return text if ":" in text else f"{FAMILY}:{text}"

    def _definition(self, family: str, number: int, tag: str, item: Mapping[str, Any]) -> dict[str, Any]:
        containers = []
        for one in self.world["containers"]:
            container = copy.deepcopy(one)
            image = container.pop("image", None)
            here = image or (
                tag if "/" in tag else f"{REGISTRY}/rag{'' if tag.startswith('@') else ':'}{tag}"
            )
            log = container.pop("log", True)
            gpus, check = container.pop("gpus", None), container.pop("check", None)
            container = {
                "name": "rag",
                "image": here,
                "cpu": 2048,
                "memory": 8192,
                "essential": True,
            } | container
            if gpus is not None:
                container["resourceRequirements"] = [{"type": "GPU", "value": str(gpus)}]
            if check:
                written = check if isinstance(check, Mapping) else {}
                defaults = {"interval": 30, "timeout": 5, "retries": 3, "startPeriod": 300}
                container["healthCheck"] = {"command": ["CMD", "python", "health.py"], **defaults, **written}
            if log:
                options = {
                    "awslogs-group": "/ecs/rag",
                    "awslogs-region": REGION,
                    "awslogs-stream-prefix": "ecs",
                }
                container["logConfiguration"] = {"logDriver": "awslogs", "options": options}
            containers.append(container)
        body = {
            "taskDefinitionArn": arn("task-definition", f"{family}:{number}"),
            "family": family,
            "revision": number,
            "containerDefinitions": containers,
            "networkMode": "awsvpc",
            "status": item.get("status", "ACTIVE"),
            "requiresAttributes": [{"name": name} for name in _ATTRIBUTES],
            "placementConstraints": [],
            "volumes": [],
            "compatibilities": ["EC2"],
            "requiresCompatibilities": ["EC2"],
            "executionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/rag-execution",
            "registeredAt": self.origin - 2_000_000 + number,
            "registeredBy": f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/ci",
        }
        return merged(merged(body, self.world.get("definition", {})), item.get("definition", {}))

    def _image(self, name: str, container: str) -> str:
        definition = self.definitions.get(name)
        body = definition["taskDefinition"] if definition else {}
        found = [c for c in body.get("containerDefinitions", ()) if c.get("name") == container]
        return str(found[0].get("image", "")) if found else ""

    def _digest(self, image: str, t: float) -> str | None:
        """Return the digest that the image's tag has at *t*."""
        if "@" in image:
            return image.partition("@")[2]
        name = image.rpartition("/")[2].partition(":")
        written = self.world["images"].get(name[2], name[2]) if name[0] == "rag" else name[0]
        digest = at_time(written, t)
        return digest_of(digest) if digest else None

    def definition_arn(self, name: str) -> str:
        """Return the ARN of a revision."""
        return arn("task-definition", name)

    def ecs_describe_task_definition(self, asked: Mapping[str, Any]) -> Any:
        """Answer with a revision, or a family's newest active one."""
        name = asked["taskDefinition"].rpartition("/")[2]
        if ":" not in name:
            active = [
                key
                for key, item in self.definitions.items()
                if key.partition(":")[0] == name and item["taskDefinition"]["status"] == "ACTIVE"
            ]
            name = max(active, key=lambda key: int(key.rpartition(":")[2]), default="")
        if name not in self.definitions:
            raise Refusal("ClientException", "Unable to describe task definition.")
        found = copy.deepcopy(self.definitions[name])
        found["taskDefinition"]["registeredAt"] = -2_000_000 + found["taskDefinition"]["revision"]
        return found if "TAGS" in asked.get("include", ()) else {"taskDefinition": found["taskDefinition"]}

    def ecs_register_task_definition(self, asked: Mapping[str, Any]) -> Any:
        """Store what was sent under the family's next revision."""
        family = asked["family"]
        used = [int(key.rpartition(":")[2]) for key in self.definitions if key.partition(":")[0] == family]
        number = max(used, default=0) + 1
        sent = {key: value for key, value in asked.items() if key != "tags"}
        body = {
            **sent,
            "taskDefinitionArn": self.definition_arn(f"{family}:{number}"),
            "revision": number,
            "status": "ACTIVE",
            "requiresAttributes": [{"name": name} for name in _ATTRIBUTES],
            "compatibilities": ["EC2"],
        }
        self.registered.append(asked)
        self.definitions[f"{family}:{number}"] = {"taskDefinition": body, "tags": asked.get("tags", [])}
        return {"taskDefinition": {**body, "registeredAt": self.t}, "tags": asked.get("tags", [])}

    def ecs_deregister_task_definition(self, asked: Mapping[str, Any]) -> Any:
        """Show the revision as inactive."""
        name = asked["taskDefinition"].rpartition("/")[2]
        self.definitions[name]["taskDefinition"]["status"] = "INACTIVE"
        return {"taskDefinition": self.definitions[name]["taskDefinition"]}

    def ecs_list_task_definitions(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the revisions whose family begins so."""
        status, prefix = asked.get("status", "ACTIVE"), asked.get("familyPrefix", "")
        names = [
            name
            for name, item in self.definitions.items()
            if name.startswith(prefix) and item["taskDefinition"]["status"] == status
        ]
        names.sort(key=lambda name: (name.partition(":")[0], int(name.rpartition(":")[2])))
        if asked.get("sort") == "DESC":
            names.reverse()
        return {"taskDefinitionArns": [self.definition_arn(name) for name in names]}

    def ecs_tag_resource(self, asked: Mapping[str, Any]) -> Any:
        """Keep the tags of a revision."""
        name = asked["resourceArn"].rpartition("/")[2]
        if name in self.definitions:
            kept = {tag["key"]: tag["value"] for tag in self.definitions[name].get("tags", [])}
            kept |= {tag["key"]: tag["value"] for tag in asked["tags"]}
            self.definitions[name]["tags"] = _tags(kept)
        return {}

    def resourcegroupstaggingapi_get_resources(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the tagged revisions."""
        found = [
            {
                "ResourceARN": self.definition_arn(name),
                "Tags": [{"Key": tag["key"], "Value": tag["value"]} for tag in item["tags"]],
            }
            for name, item in self.definitions.items()
            if item.get("tags")
        ]
        return {"ResourceTagMappingList": found, "PaginationToken": ""}

    # The past

    def _past(self, number: int, item: Mapping[str, Any]) -> dict[str, Any]:
        return {"number": f"80000000000000000{number:02d}", "status": "SUCCESSFUL", "at": -86_400 * 2, **item}

    def _revision_arn(self, number: str) -> str:
        return arn("service-revision", f"{CLUSTER}/{SERVICE}/{number}")

    def _deployment_arn(self, number: str) -> str:
        return arn("service-deployment", f"{CLUSTER}/{SERVICE}/{hexed('sd' + number, 21)}")

    # Phases of our deployment

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

    # The service

    def desired(self) -> int:
        """Return the desired count."""
        return int(at_time(self.service["desired"], self.t if self.started else LONG_AGO))

    def _configuration(self) -> dict[str, Any]:
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
        layout = phase.get("layout") or _PHASES[phase["phase"]][1]
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
        return sum(task.how in _ENDED_BADLY and task.stopped <= t for task in ours)

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
        return merged(found, written.get("raw", {}))

    def _events(self) -> list[dict[str, Any]]:
        t = self.t
        lines: list[tuple[float, str]] = [
            (self.old["at"] + 300, f"(service {SERVICE}) has reached a steady state.")
        ]
        if self.world.get("auto_events", True):
            lines += self._events_of_tasks()
            lines += self._events_of_phases()
        lines += [(float(at), self._text(text)) for at, text in self.world.get("events", ())]
        lines = [line for line in lines if line[0] <= t and (self.started or line[0] < 0)]
        lines.sort(key=lambda line: -line[0])
        return [{"id": hexed(f"{at}{text}"), "createdAt": at, "message": text} for at, text in lines[:100]]

    def _text(self, text: str) -> str:
        names = {
            "{S}": SERVICE,
            "{N}": f"ecs-svc/{OURS}",
            "{O}": f"ecs-svc/{self.old['number']}",
            "{X}": f"ecs-svc/{OTHERS}",
            "{TG}": TARGET_GROUP,
        }
        for name, value in names.items():
            text = text.replace(name, value)
        for task in self.tasks:
            text = text.replace(f"{{{task.written['id']}}}", task.id)
        for instance in self.instances:
            text = text.replace(f"{{{instance['id']}}}", hexed(instance["id"]))
        return text

    def _events_of_tasks(self) -> Iterator[tuple[float, str]]:
        started: dict[float, list[str]] = {}
        left: dict[float, list[str]] = {}
        for task in self.tasks:
            if self._group(task) != f"service:{SERVICE}":
                continue
            if task.created > LONG_AGO and task.how != "no_room":
                started.setdefault(task.created, []).append(task.id)
            if task.how in {"scaled_in", "elb", "check"} and task.leave < NEVER:
                left.setdefault(task.leave, []).append(task.id)
            if task.how == "elb" and task.leave < NEVER:
                why = task.written.get("elb")
                text = why if isinstance(why, str) else "Health checks failed with these codes: [503]"
                yield (
                    task.leave - 1,
                    (
                        f"(service {SERVICE}) (task {task.id}) (port 8000) is unhealthy in "
                        f"(target-group {TARGET_GROUP}) due to (reason {text})."
                    ),
                )
            if task.how == "check" and task.leave < NEVER:
                yield task.leave - 1, f"(service {SERVICE}) (task {task.id}) failed container health checks."
            if self.service["lb"] and LONG_AGO < task.start < task.leave and task.start < NEVER:
                yield (
                    task.start + 2,
                    f"(service {SERVICE}) registered 1 targets in (target-group {TARGET_GROUP})",
                )
            if self.service["lb"] and task.start < task.leave < NEVER:
                yield (
                    task.leave,
                    f"(service {SERVICE}) deregistered 1 targets in (target-group {TARGET_GROUP})",
                )
                yield task.leave, f"(service {SERVICE}) has begun draining connections on 1 tasks."
        for at, ids in started.items():
            yield (
                at,
                f"(service {SERVICE}) has started {len(ids)} tasks: {' '.join(f'(task {i})' for i in ids)}.",
            )
        for at, ids in left.items():
            yield (
                at,
                f"(service {SERVICE}) has stopped {len(ids)} running tasks: "
                f"{' '.join(f'(task {i})' for i in ids)}.",
            )

    def _events_of_phases(self) -> Iterator[tuple[float, str]]:
        for phase in self.phases:
            at, extra = phase["at"], phase.get("event")
            match phase["phase"]:
                case "done":
                    late = at + phase.get("event_after", 0)
                    yield late, f"(service {SERVICE}) (deployment ecs-svc/{OURS}) deployment completed."
                    yield late, f"(service {SERVICE}) has reached a steady state."
                case "rolling_back":
                    why = extra or "tasks failed to start"
                    yield at, f"(service {SERVICE}) (deployment ecs-svc/{OURS}) deployment failed: {why}."
                    yield (
                        at + 0.001,
                        f"(service {SERVICE}) rolling back to deployment ecs-svc/{self.old['number']}.",
                    )
                case "rolled_back":
                    number = self.old["number"]
                    yield at, f"(service {SERVICE}) (deployment ecs-svc/{number}) deployment completed."
                    yield at + 0.001, f"(service {SERVICE}) has reached a steady state."
                case "failed" | "rollback_failed":
                    why = extra or "tasks failed to start"
                    yield at, f"(service {SERVICE}) (deployment ecs-svc/{OURS}) deployment failed: {why}."
                case "superseded_done":
                    yield at, f"(service {SERVICE}) (deployment ecs-svc/{OTHERS}) deployment completed."

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

    # Service deployments

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
        if status in _FINISHED:
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
        status, _layout, breaker = _PHASES[phase["phase"]]
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
        if status in _FINISHED:
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
            on = why == "alarm" and _PHASES[phase["phase"]][2] == "TRIGGERED"
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
        if "after" in created:
            found = [item for item in found if item["createdAt"] + self.origin > float(created["after"])]
        if "before" in created:
            found = [item for item in found if item["createdAt"] + self.origin < float(created["before"])]
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
        briefs = []
        for item in found[: asked.get("maxResults", 20)]:
            brief = {name: item[name] for name in names if name in item}
            brief["targetServiceRevisionArn"] = item["targetServiceRevision"]["arn"]
            briefs.append(brief)
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
        t = self.t
        self.phases = [item for item in self.phases if item["at"] <= t]
        says = stop.get("says", "Service deployment rolled back because a user requested it.")
        after = stop.get("phases", [[0, "rollback_requested"], [3, "rolling_back"], [60, "rolled_back"]])
        for item in map(self._phase, after):
            self.phases.append(
                {"why": "user", "says": says, "event": "stopped by user", **item, "at": item["at"] + t}
            )
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
        return {"serviceDeploymentArn": asked["serviceDeploymentArn"]}

    def ecs_continue_service_deployment(self, asked: Mapping[str, Any]) -> Any:
        """Answer; nobody but a person asks this."""
        return {"serviceDeploymentArn": asked["serviceDeploymentArn"]}

    # Tasks

    def _written_tasks(self) -> Iterator[dict[str, Any]]:
        for item in self.world.get("tasks", ()):
            if "each" not in item:
                yield dict(item)
                continue
            one = {key: value for key, value in item.items() if key != "each"}
            for number, second in enumerate(item["each"], 1):
                yield {**one, "id": f"{item['id']}{number}", "at": second}

    def _old_tasks(self) -> Iterator[Shown]:
        for number, item in enumerate(self.world.get("old", ()), 1):
            written = dict(item) if isinstance(item, Mapping) else {"leave": item}
            if written.get("leave") is None:
                written.pop("leave", None)
            yield self._task({"id": f"o{number}", "rev": "old", "at": self.old["at"], **written})

    def _task(self, item: Mapping[str, Any], *, batch: bool = False) -> Shown:
        revision = item.get("rev", "new")
        number = {"new": OURS, "old": self.old["number"], "other": OTHERS}.get(revision, "")
        name = {
            "new": self.new_definition,
            "old": self._name(self.old["rev"]),
            "other": self._name(self.world.get("other", 99)),
        }.get(revision) or (self._name(revision) if revision not in {"new"} else "")
        created = float(item["at"])
        placed = _or(item, "placed", created)
        pull = item.get("pull", 20)
        if isinstance(pull, list):
            pull_from, pull_to = float(pull[0]), float(pull[1]) if len(pull) > 1 else NEVER
        elif pull is None:
            pull_from = pull_to = NEVER
        else:
            pull_from = placed + item.get("wait", 2)
            pull_to = pull_from + pull
        start = _or(item, "start", pull_to + item.get("boot", 3))
        healthy = _or(
            item, "healthy", NEVER if item.get("load", 60) is None else start + item.get("load", 60)
        )
        how = next(
            (
                key
                for key in (
                    "exit",
                    "oom",
                    "fails",
                    "no_room",
                    "elb",
                    "check",
                    "spot",
                    "host",
                    "user",
                    "stopped",
                )
                if key in item
            ),
            "scaled_in",
        )
        match how:
            case "exit" | "oom":
                leave = _or(item, "leave", start + item.get("lives", 10))
                drain, stop = 0.0, item.get("stop", 2)
            case "fails":
                leave = _or(item, "leave", placed + item.get("fails_after", 30))
                drain, stop = 0.0, 0
                start = healthy = NEVER
                pull_to = min(pull_to, leave) if item.get("pulled") else NEVER
            case "no_room":
                leave = _or(item, "leave", created + item.get("gives_up", 1800))
                drain, stop = 0.0, 0
                placed = pull_from = pull_to = start = healthy = NEVER
            case _:
                leave = _or(item, "leave", start + item["lives"] if "lives" in item else NEVER)
                lb = self.service["lb"] and not batch
                drain = item.get(
                    "drain", self.service.get("dereg", 300) if lb and how in {"scaled_in", "elb"} else 0
                )
                stop = item.get("stop", 5)
        if leave < NEVER and start > leave:
            start = NEVER
        if leave < NEVER and healthy > leave:
            healthy = NEVER
        stopping = leave + drain
        return Shown(
            id=hexed(item["id"]),
            written=item,
            definition=name,
            deployment=f"ecs-svc/{number}" if number else "",
            created=created,
            placed=placed,
            pull_from=pull_from,
            pull_to=pull_to,
            start=start,
            healthy=healthy,
            leave=leave,
            stopping=stopping,
            stopped=stopping + stop,
            gone=_or(item, "gone", stopping + stop + item.get("kept", 3600)),
            how=how if leave < NEVER else "",
            instance=str(item.get("on") or ""),
            started_by=str(item.get("started_by", "")),
        )

    @staticmethod
    def _shift(task: Shown, by: float) -> None:
        for name in (
            "created",
            "placed",
            "pull_from",
            "pull_to",
            "start",
            "healthy",
            "leave",
            "stopping",
            "stopped",
            "gone",
        ):
            setattr(task, name, getattr(task, name) + by)
        lists = {
            key: [[item[0] + by, *item[1:]] for item in task.written[key]]
            for key in ("target", "health")
            if key in task.written
        }
        inner = {
            name: {key: value + by if key in {"stopped", "started"} else value for key, value in item.items()}
            for name, item in task.written.get("containers", {}).items()
        }
        moved = {"seen_from": task.written["seen_from"] + by} if "seen_from" in task.written else {}
        task.written = {**task.written, **lists, **moved, **({"containers": inner} if inner else {})}

    def _all_tasks(self) -> list[Shown]:
        if not self.started:
            return [task for task in self.tasks if task.created < 0]
        return self.tasks

    def _group(self, task: Shown) -> str:
        if task.id in self.run_tasks or task.written.get("batch"):
            return f"family:{task.definition.partition(':')[0]}"
        return f"service:{task.written.get('service', SERVICE)}"

    def _place(self) -> None:
        """Name an instance for tasks that were written without one: the first with a GPU to spare then."""
        for task in sorted(self.tasks, key=lambda one: one.placed):
            if task.instance or task.placed == NEVER or not self.instances:
                continue
            for instance in self.instances:
                there = [one for one in self.tasks if one.instance == instance["id"] and one is not task]
                used = sum(one.placed < task.stopping and task.placed < one.stopping for one in there)
                if used < max(instance["gpus"], 1) and instance.get("from", LONG_AGO) <= task.placed:
                    task.instance = instance["id"]
                    break
            else:
                task.instance = self.instances[-1]["id"]

    def _containers(self, task: Shown, t: float) -> list[dict[str, Any]]:
        if task.how == "no_room" and t >= task.stopped:
            return []
        definition = self.definitions.get(task.definition)
        bodies = (
            definition["taskDefinition"]["containerDefinitions"]
            if definition
            else [{"name": "rag", "image": ""}]
        )
        extra = [{"name": name, "image": "", "extra": True} for name in task.written.get("injected", ())]
        found = []
        for number, body in enumerate([*bodies, *extra]):
            name, image = body["name"], body.get("image", "")
            written = task.written.get("containers", {}).get(name, {})
            started = _or(written, "started", task.start)
            stopped = _or(written, "stopped", task.stopped if task.how else NEVER)
            status = "STOPPED" if stopped <= t else "RUNNING" if started <= t else "PENDING"
            item: dict[str, Any] = {
                "containerArn": arn("container", f"{CLUSTER}/{task.id}/{hexed(name)}"),
                "taskArn": arn("task", f"{CLUSTER}/{task.id}"),
                "name": name,
                "image": image,
                "lastStatus": status,
                "networkBindings": [],
                "networkInterfaces": [],
                "healthStatus": self._container_health(task, body, t),
                "cpu": str(body.get("cpu", 0)),
                "memory": str(body.get("memory", 0)),
            }
            if task.placed <= t:
                item["networkInterfaces"] = [
                    {"attachmentId": hexed(task.id + "eni", 36), "privateIpv4Address": self._ip(task)}
                ]
                if body.get("resourceRequirements"):
                    gpus = body["resourceRequirements"][0].get("value", "1")
                    item["gpuIds"] = [
                        f"GPU-{task.instance}-{k}" for k in range(int(gpus) if str(gpus).isdigit() else 1)
                    ]
            digest = (
                task.written.get("digest", self._digest(image, task.created))
                if number == 0
                else digest_of(name)
            )
            if digest and task.pull_to <= t:
                item["imageDigest"] = digest_of(digest)
            if started <= t:
                item["runtimeId"] = hexed(task.id + name, 32) + "-" + hexed(name, 10)
            if status == "STOPPED":
                item |= self._end_of(task, body, number, written)
            found.append(merged(item, written.get("show", {})))
        return found

    def _end_of(
        self, task: Shown, body: Mapping[str, Any], number: int, written: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return exitCode and reason of a container that has ended."""
        end: dict[str, Any] = {}
        culprit = number == 0 and not any(
            "exit" in item for item in task.written.get("containers", {}).values()
        )
        culprit = culprit or (number == 0 and "exit" not in written and task.how in {"oom"})
        match task.how:
            case "exit":
                end["exitCode"] = task.written["exit"] if culprit else 143
            case "oom" if culprit:
                end = {
                    "exitCode": task.written["oom"],
                    "reason": "OutOfMemoryError: Container killed due to memory usage",
                }
            case "fails":
                end = {"reason": task.written["fails"]} if number == 0 else {}
            case "no_room":
                end = {}
            case "host" | "spot" if task.written.get("abrupt"):
                end = {}
            case _:
                end["exitCode"] = 137 if task.how in {"elb", "check"} else 143
        if task.how == "exit" and task.written.get("reason") and culprit:
            end["reason"] = task.written["reason"]
        if written.get("exit", 0) is None:
            end.pop("exitCode", None)
        elif "exit" in written:
            end["exitCode"] = written["exit"]
        if "reason" in written:
            end["reason"] = written["reason"]
        return end

    def _ip(self, task: Shown) -> str:
        number = int(task.id[:4], 16)
        return f"10.0.{number // 256}.{number % 256}"

    def _container_health(self, task: Shown, body: Mapping[str, Any], t: float) -> str:
        written = task.written.get("containers", {}).get(body["name"], {})
        if "health" in written:
            return str(at_time(written["health"], t))
        if not body.get("healthCheck"):
            return "UNKNOWN"
        if "health" in task.written:
            return str(at_time([[LONG_AGO, "UNKNOWN"], *task.written["health"]], t))
        if _or(task.written, "sick", NEVER) <= t or (task.how == "check" and task.leave <= t):
            return "UNHEALTHY"
        return "HEALTHY" if task.healthy <= t else "UNKNOWN"

    def _health(self, task: Shown, containers: Sequence[Mapping[str, Any]]) -> str:
        """Return a task's healthStatus by AWS's table over its essential containers ("HealthCheck")."""
        definition = self.definitions.get(task.definition)
        bodies = definition["taskDefinition"]["containerDefinitions"] if definition else []
        names = {body["name"] for body in bodies if body.get("essential", True)}
        states = [item["healthStatus"] for item in containers if item["name"] in names]
        if "UNHEALTHY" in states:
            return "UNHEALTHY"
        return "HEALTHY" if states and set(states) == {"HEALTHY"} else "UNKNOWN"

    def _reason(self, task: Shown) -> tuple[str, str]:
        """Return stopCode and stoppedReason."""
        written = task.written
        match task.how:
            case "exit" | "oom":
                return "EssentialContainerExited", "Essential container in task exited"
            case "fails":
                return "TaskFailedToStart", written["fails"]
            case "no_room":
                return "TaskFailedToStart", written["no_room"]
            case "elb":
                return (
                    "ServiceSchedulerInitiated",
                    f"Task failed ELB health checks in (target-group {TARGET_GROUP})",
                )
            case "check":
                return "ServiceSchedulerInitiated", "Task failed container health checks"
            case "spot":
                return "SpotInterruption", "Your Spot Task was interrupted."
            case "host":
                text = written["host"]
                lost = isinstance(text, str)
                return (
                    "TerminationNotice" if not lost else "",
                    text if lost else f"Host EC2 (instance i-{hexed(task.instance, 17)}) terminated.",
                )
            case "user":
                text = written["user"]
                return "UserInitiated", text if isinstance(text, str) else "Task stopped by user"
            case "stopped":
                return written["stopped"].get("code", ""), written["stopped"].get("reason", "")
        return "ServiceSchedulerInitiated", f"Scaling activity initiated by (deployment {self._mover(task)})"

    def _mover(self, task: Shown) -> str:
        return f"ecs-svc/{self.old['number']}" if task.deployment == f"ecs-svc/{OURS}" else f"ecs-svc/{OURS}"

    def _task_json(self, task: Shown) -> dict[str, Any]:
        t = self.t
        containers = self._containers(task, t)
        status = task.status(t)
        found: dict[str, Any] = {
            "taskArn": arn("task", f"{CLUSTER}/{task.id}"),
            "clusterArn": arn("cluster", CLUSTER),
            "taskDefinitionArn": self.definition_arn(task.definition),
            "group": self._group(task),
            "startedBy": task.started_by or task.deployment,
            "lastStatus": status,
            "desiredStatus": "STOPPED" if task.leave <= t else "RUNNING",
            "healthStatus": self._health(task, containers),
            "containers": containers,
            "createdAt": task.created,
            "connectivity": "CONNECTED",
            "attachments": [],
            "attributes": [{"name": "ecs.cpu-architecture", "value": "x86_64"}],
            "availabilityZone": f"{REGION}a",
            "cpu": "2048",
            "memory": "8192",
            "overrides": task.overrides or {"containerOverrides": [], "inferenceAcceleratorOverrides": []},
            "tags": [],
            "version": 1
            + sum(x <= t for x in (task.placed, task.pull_to, task.start, task.leave, task.stopped)),
            "launchType": self.service.get("launch", "EC2"),
        }
        if self.service.get("strategy_of_providers"):
            found["capacityProviderName"] = self.service["strategy_of_providers"][0]["capacityProvider"]
        if task.placed <= t and task.instance:
            found["containerInstanceArn"] = arn("container-instance", f"{CLUSTER}/{hexed(task.instance)}")
        if task.placed <= t:
            found["attachments"] = [
                {
                    "id": hexed(task.id + "eni", 36),
                    "type": "ElasticNetworkInterface",
                    "status": "DELETED" if task.stopped <= t else "ATTACHED",
                    "details": [{"name": "privateIPv4Address", "value": self._ip(task)}],
                }
            ]
        times = {
            "pullStartedAt": task.pull_from,
            "pullStoppedAt": task.pull_to,
            "connectivityAt": task.placed + 2,
            "startedAt": task.start,
            "stoppingAt": task.leave,
            "executionStoppedAt": task.stopped - 1 if task.start < NEVER else NEVER,
            "stoppedAt": task.stopped,
        }
        found |= {name: second for name, second in times.items() if second <= t}
        if task.leave <= t:
            code, reason = self._reason(task)
            found |= {"stopCode": code} if code else {}
            found |= {"stoppedReason": reason} if reason else {}
        return merged(found, task.written.get("show", {}))

    def ecs_list_tasks(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the tasks that fit the filters."""
        self._cluster(asked)
        t, wanted = self.t, asked.get("desiredStatus", "RUNNING")
        found = []
        for task in self._all_tasks():
            if not task.is_shown(t) or ("STOPPED" if task.leave <= t else "RUNNING") != wanted:
                continue
            if (
                "serviceName" in asked
                and self._group(task) != f"service:{asked['serviceName'].rpartition('/')[2]}"
            ):
                continue
            if "family" in asked and task.definition.partition(":")[0] != asked["family"]:
                continue
            if "startedBy" in asked and (task.started_by or task.deployment) != asked["startedBy"]:
                continue
            instance = asked.get("containerInstance", "")
            if instance and (task.placed > t or hexed(task.instance) != instance.rpartition("/")[2]):
                continue
            found.append(arn("task", f"{CLUSTER}/{task.id}"))
        size = int(asked.get("maxResults", 100))
        begin = int(asked.get("nextToken") or 0)
        answer: dict[str, Any] = {"taskArns": found[begin : begin + size]}
        if begin + size < len(found):
            answer["nextToken"] = str(begin + size)
        return answer

    def ecs_describe_tasks(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the tasks named; what is not there is MISSING."""
        self._cluster(asked)
        t = self.t
        there = {task.id: task for task in self._all_tasks() if task.is_shown(t)}
        ids = [name.rpartition("/")[2] for name in asked["tasks"]]
        return {
            "tasks": [self._task_json(there[name]) for name in ids if name in there],
            "failures": [
                {"arn": arn("task", f"{CLUSTER}/{name}"), "reason": "MISSING"}
                for name in ids
                if name not in there
            ],
        }

    def ecs_run_task(self, asked: Mapping[str, Any]) -> Any:
        """Answer as the world's next answer says; the same client token gets the same tasks."""
        self._cluster(asked)
        if not self.started:
            self.started, self.origin = True, self.now
        token = asked.get("clientToken", "")
        if token and token in self.tokens:
            tasks, failures = self.tokens[token]
        else:
            if not self.batches:
                raise Refusal("ClientException", "the world has no further answer for RunTask")
            batch = self.batches[0] if len(self.batches) == 1 else self.batches.pop(0)
            if batch.get("error"):
                raise Refusal(batch["error"], batch.get("message", batch["error"]))
            tasks = [self._run(self.batch_tasks[name], asked) for name in batch.get("tasks", ())]
            failures = [
                dict(item) if isinstance(item, Mapping) else {"reason": item}
                for item in batch.get("failures", ())
            ]
            if tasks:
                self.tokens[token] = tasks, failures
        return {"tasks": [self._task_json(task) for task in tasks], "failures": failures}

    def _run(self, item: Mapping[str, Any], asked: Mapping[str, Any]) -> Shown:
        task = self._task({"at": 0, **item}, batch=True)
        name = asked["taskDefinition"].rpartition("/")[2]
        if ":" not in name:
            found = self.ecs_describe_task_definition({"taskDefinition": name})
            name = found["taskDefinition"]["taskDefinitionArn"].rpartition("/")[2]
        task.definition, task.deployment = name, ""
        task.started_by, task.overrides = asked.get("startedBy", ""), asked.get("overrides")
        self._shift(task, self.t)
        self.run_tasks[task.id] = (item, self.t)
        self.tasks.append(task)
        self._place()
        return task

    def ecs_stop_task(self, asked: Mapping[str, Any]) -> Any:
        """Show the task as stopped by a person a few seconds later."""
        task = next((one for one in self.tasks if one.id == asked["task"].rpartition("/")[2]), None)
        if task is None:
            raise Refusal("InvalidParameterException", "The referenced task was not found.")
        if task.leave > self.t:
            task.leave = task.stopping = self.t
            task.stopped, task.how = self.t + 3, "user"
            task.written = {**task.written, "user": asked.get("reason", "Task stopped by user")}
        return {"task": self._task_json(task)}

    # Container instances

    def _instance(self, item: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "type": "g5.xlarge",
            "gpus": 1,
            "cpu": 4096,
            "memory": 15_400,
            "status": "ACTIVE",
            "agent": True,
            **item,
        }

    def _instances_now(self) -> list[Mapping[str, Any]]:
        t = self.t if self.started else min(self.t, -0.001)
        return [i for i in self.instances if i.get("from", LONG_AGO) <= t < i.get("until", NEVER)]

    def ecs_list_container_instances(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the instances registered now."""
        self._cluster(asked)
        found = self._instances_now()
        if asked.get("status"):
            found = [item for item in found if at_time(item["status"], self.t) == asked["status"]]
        return {
            "containerInstanceArns": [arn("container-instance", f"{CLUSTER}/{hexed(i['id'])}") for i in found]
        }

    def ecs_describe_container_instances(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the instances named."""
        there = {hexed(item["id"]): item for item in self._instances_now()}
        ids = [name.rpartition("/")[2] for name in asked["containerInstances"]]
        missing = [
            {"arn": arn("container-instance", f"{CLUSTER}/{i}"), "reason": "MISSING"}
            for i in ids
            if i not in there
        ]
        return {
            "containerInstances": [self._instance_json(there[i]) for i in ids if i in there],
            "failures": missing,
        }

    def _instance_json(self, item: Mapping[str, Any]) -> dict[str, Any]:
        t = self.t
        there = [
            task
            for task in self._all_tasks()
            if task.instance == item["id"] and task.placed <= t < task.stopped
        ]
        holding = [task for task in there if t < task.stopping]
        gpus = [f"GPU-{item['id']}-{number}" for number in range(item["gpus"])]
        taken = int(at_time(item.get("foreign", 0), t))
        for task in holding:
            bodies = self.definitions.get(task.definition, {"taskDefinition": {"containerDefinitions": []}})
            for body in bodies["taskDefinition"]["containerDefinitions"]:
                for need in body.get("resourceRequirements", ()):
                    taken += int(need["value"]) if str(need.get("value", "")).isdigit() else 1
            if task.written.get("gpus"):
                taken += task.written["gpus"]
        free = gpus[min(taken, len(gpus)) :]

        def resources(cpu: int, memory: int, ids: list[str]) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = [
                {"name": "CPU", "type": "INTEGER", "doubleValue": 0.0, "longValue": 0, "integerValue": cpu},
                {
                    "name": "MEMORY",
                    "type": "INTEGER",
                    "doubleValue": 0.0,
                    "longValue": 0,
                    "integerValue": memory,
                },
                {
                    "name": "PORTS",
                    "type": "STRINGSET",
                    "doubleValue": 0.0,
                    "longValue": 0,
                    "integerValue": 0,
                    "stringSetValue": ["22", "2376", "2375", "51678", "51679"],
                },
            ]
            if item["gpus"]:
                found.append(
                    {
                        "name": "GPU",
                        "type": "STRINGSET",
                        "doubleValue": 0.0,
                        "longValue": 0,
                        "integerValue": 0,
                        "stringSetValue": ids,
                    }
                )
            return found

        named = {
            "ecs.instance-type": item["type"],
            "ecs.availability-zone": f"{REGION}{item.get('az', 'a')}",
            "ecs.os-type": "linux",
            "ecs.cpu-architecture": "x86_64",
            "ecs.ami-id": "ami-0abc",
            "ecs.vpc-id": "vpc-1",
            "ecs.subnet-id": "subnet-1",
            **item.get("attributes", {}),
        }
        lacking = set(item.get("lacks", ()))
        attributes = [{"name": name} for name in _ATTRIBUTES if name not in lacking]
        attributes += [{"name": name, "value": value} for name, value in named.items()]
        used = len(holding) + int(at_time(item.get("foreign", 0), t))
        found = {
            "containerInstanceArn": arn("container-instance", f"{CLUSTER}/{hexed(item['id'])}"),
            "ec2InstanceId": f"i-{hexed(item['id'], 17)}",
            "version": 10,
            "versionInfo": {
                "agentVersion": "1.98.0",
                "agentHash": "1a2b3c4d",
                "dockerVersion": "DockerVersion: 25.0.8",
            },
            "registeredResources": resources(item["cpu"], item["memory"], gpus),
            "remainingResources": resources(
                max(item["cpu"] - 2048 * used, 0), max(item["memory"] - 8192 * used, 0), free
            ),
            "status": at_time(item["status"], t),
            "agentConnected": at_time(item["agent"], t),
            "runningTasksCount": sum(task.status(t) == "RUNNING" for task in there),
            "pendingTasksCount": sum(task.status(t) == "PENDING" for task in there),
            "attributes": attributes,
            "registeredAt": item.get("from", LONG_AGO),
            "attachments": [],
            "tags": [],
        }
        if self.service.get("strategy_of_providers"):
            found["capacityProviderName"] = self.service["strategy_of_providers"][0]["capacityProvider"]
        return merged(found, item.get("raw", {}))

    # Load balancer

    def _target(self, task: Shown) -> tuple[str, str, str] | None:
        """Return state, reason and description of a task's target; None while it is not registered."""
        t = self.t
        if "target" in task.written:
            begun = [item for item in task.written["target"] if item[0] <= t]
            if not begun or begun[-1][1] == "gone":
                return None
            last = [*begun[-1][1:], "", ""]
            return last[0], last[1], last[2]
        if task.start + 2 > t or task.stopping <= t:
            return None
        if task.leave <= t:
            return "draining", "Target.DeregistrationInProgress", "Target deregistration is in progress"
        if _or(task.written, "sick", NEVER) <= t:
            return self._unwell(task.written)
        if task.healthy <= t:
            return "healthy", "", ""
        if task.start + 62 <= t:
            return self._unwell(task.written)
        return "initial", "Elb.InitialHealthChecking", "Initial health checks in progress"

    def _unwell(self, written: Mapping[str, Any]) -> tuple[str, str, str]:
        code = written.get("answers", 503)
        if isinstance(code, int):
            return (
                "unhealthy",
                "Target.ResponseCodeMismatch",
                f"Health checks failed with these codes: [{code}]",
            )
        if code == "timeout":
            return "unhealthy", "Target.Timeout", "Request timed out"
        return "unhealthy", "Target.FailedHealthChecks", "Health checks failed"

    def elbv2_describe_target_health(self, asked: Mapping[str, Any]) -> Any:
        """Answer with every target of the group."""
        self._group_there(asked.get("TargetGroupArn", ""))
        found = []
        for task in self._all_tasks():
            seen = self._target(task) if self._group(task) == f"service:{SERVICE}" else None
            if seen is None:
                continue
            state, reason, description = seen
            health = {"State": state}
            health |= {"Reason": reason} if reason else {}
            health |= {"Description": description} if description else {}
            target = {"Id": self._ip(task), "Port": 8000, "AvailabilityZone": f"{REGION}a"}
            found.append({"Target": target, "HealthCheckPort": "8000", "TargetHealth": health})
        return {"TargetHealthDescriptions": found}

    def elbv2_describe_target_groups(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the one target group."""
        self._group_there(asked.get("TargetGroupArns.member.1", TARGET_GROUP))
        written = self.service.get("group", {})
        found = {
            "TargetGroupArn": TARGET_GROUP,
            "TargetGroupName": "rag",
            "Protocol": "HTTP",
            "Port": 8000,
            "VpcId": "vpc-1",
            "HealthCheckProtocol": "HTTP",
            "HealthCheckPort": "traffic-port",
            "HealthCheckEnabled": True,
            "HealthCheckIntervalSeconds": 30,
            "HealthCheckTimeoutSeconds": 5,
            "HealthyThresholdCount": 5,
            "UnhealthyThresholdCount": 2,
            "HealthCheckPath": "/health",
            "Matcher": {"HttpCode": "200"},
            "TargetType": "ip",
        }
        return {"TargetGroups": [found | written]}

    def elbv2_describe_target_group_attributes(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the attributes that matter."""
        self._group_there(asked.get("TargetGroupArn", ""))
        pairs = {
            "deregistration_delay.timeout_seconds": str(self.service.get("dereg", 300)),
            "slow_start.duration_seconds": "0",
        }
        return {"Attributes": [{"Key": key, "Value": value} for key, value in pairs.items()]}

    def elbv2_describe_load_balancers(self, asked: Mapping[str, Any]) -> Any:
        """Answer with none."""
        return {"LoadBalancers": []}

    def _group_there(self, name: str) -> None:
        if name != TARGET_GROUP:
            raise Refusal("TargetGroupNotFound", "One or more target groups not found")

    # Images

    def ecr_describe_images(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the images named, or all of the repository."""
        if asked["repositoryName"] != "rag":
            name = asked["repositoryName"]
            text = f"The repository with name '{name}' does not exist in the registry with id '{ACCOUNT}'"
            raise Refusal("RepositoryNotFoundException", text)
        known: dict[str, list[str]] = {}
        for tag, written in self.world["images"].items():
            name = at_time(written, self.t)
            if name:
                known.setdefault(digest_of(name), []).append(tag)
        for name in self.world.get("untagged", ()):
            known.setdefault(digest_of(name), [])
        archived = {digest_of(name) for name in self.world.get("archived", ())}
        wanted = []
        for item in asked.get("imageIds") or [{"imageDigest": digest} for digest in known]:
            digest = item.get("imageDigest") or next(
                (d for d, tags in known.items() if item.get("imageTag") in tags), ""
            )
            if digest not in known:
                what = (
                    f"imageTag:'{item.get('imageTag', 'null')}', "
                    f"imageDigest:'{item.get('imageDigest', 'null')}'"
                )
                raise Refusal(
                    "ImageNotFoundException",
                    f"The image with imageId {{{what}}} does not exist within the repository with name 'rag' "
                    f"in the registry with id '{ACCOUNT}'",
                )
            wanted.append(digest)
        details = []
        for digest in wanted:
            detail = {
                "registryId": ACCOUNT,
                "repositoryName": "rag",
                "imageDigest": digest,
                "imageSizeInBytes": 4_000_000_000,
                "imagePushedAt": -10_000,
                "imageManifestMediaType": "application/vnd.docker.distribution.manifest.v2+json",
                "imageStatus": "ARCHIVED" if digest in archived else "ACTIVE",
            }
            if known[digest]:
                detail["imageTags"] = known[digest]
            details.append(detail)
        return {"imageDetails": details}

    def ecr_batch_get_image(self, asked: Mapping[str, Any]) -> Any:
        """Answer with a manifest of one large and one small layer for each image named."""
        details = self.ecr_describe_images(asked)["imageDetails"]
        kind = details[0]["imageManifestMediaType"]
        images = []
        for detail in details:
            own = digest_of("layer of " + detail["imageDigest"])
            layers = [
                {"digest": digest_of("base"), "size": 3_900_000_000},
                {"digest": own, "size": 100_000_000},
            ]
            manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "layers": layers})
            images.append(
                {
                    "registryId": ACCOUNT,
                    "repositoryName": "rag",
                    "imageId": {"imageDigest": detail["imageDigest"]},
                    "imageManifest": manifest,
                    "imageManifestMediaType": kind,
                }
            )
        return {"images": images, "failures": []}

    # Logs

    def _lines(self) -> Iterator[tuple[str, float, float, str]]:
        """Yield (stream, written at, arrives at, text)."""
        by_name = {task.written["id"]: task for task in self.tasks}
        for name, lines in self.world.get("logs", {}).items():
            owner, _, container = name.partition("/")
            ids = [
                one
                for key, one in by_name.items()
                if key == owner or (owner.endswith("*") and key.startswith(owner[:-1]))
            ]
            for task in ids:
                shift = task.created - float(task.written.get("at", 0)) if task.id in self.run_tasks else 0.0
                for line in lines:
                    at = task.start + line[0][1] if isinstance(line[0], list) else line[0] + shift
                    if at == NEVER:
                        continue
                    arrives = line[2] + shift if len(line) > 2 and line[2] is not None else at + 1
                    if len(line) > 3:
                        arrives = at + line[3]
                    main = self._first_container(task)
                    yield f"ecs/{container or main}/{task.id}", at, arrives, line[1]

    def _first_container(self, task: Shown) -> str:
        definition = self.definitions.get(task.definition)
        return str(definition["taskDefinition"]["containerDefinitions"][0]["name"]) if definition else "rag"

    def _log_events(self, streams: Iterable[str] | None, begin: float | None) -> list[dict[str, Any]]:
        found = []
        for number, (stream, at, arrives, text) in enumerate(self._lines()):
            if arrives > self.t or not self.started:
                continue
            if streams is not None and stream not in streams:
                continue
            milliseconds = int((self.origin + at) * 1000)
            if begin is not None and milliseconds < begin:
                continue
            found.append(
                {
                    "logStreamName": stream,
                    "timestamp": milliseconds,
                    "message": text,
                    "ingestionTime": int((self.origin + arrives) * 1000),
                    "eventId": str(number),
                }
            )
        return sorted(found, key=lambda item: item["timestamp"])

    def logs_get_log_events(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the last lines of a stream that has any."""
        self._log_group(asked)
        events = self._log_events({asked["logStreamName"]}, asked.get("startTime"))
        if not events:
            raise Refusal("ResourceNotFoundException", "The specified log stream does not exist.")
        kept = events[-asked.get("limit", 10_000) :]
        lines = [{key: item[key] for key in ("timestamp", "message", "ingestionTime")} for item in kept]
        return {"events": lines, "nextForwardToken": "f/1", "nextBackwardToken": "b/1"}

    def logs_filter_log_events(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the lines of the streams named; AWS refuses names that do not exist yet."""
        self._log_group(asked)
        there = {stream for stream, _, arrives, _ in self._lines() if arrives <= self.t}
        names = asked.get("logStreamNames")
        if names and not there & set(names):
            raise Refusal("ResourceNotFoundException", "The specified log stream does not exist.")
        prefix = asked.get("logStreamNamePrefix", "")
        streams = set(names) if names else {stream for stream in there if stream.startswith(prefix)}
        return {"events": self._log_events(streams, asked.get("startTime")), "searchedLogStreams": []}

    def logs_describe_log_groups(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the one log group."""
        return {"logGroups": [] if self.world.get("no_log_group") else [{"logGroupName": "/ecs/rag"}]}

    def logs_describe_log_streams(self, asked: Mapping[str, Any]) -> Any:
        """Answer with the streams that have lines."""
        self._log_group(asked)
        prefix = asked.get("logStreamNamePrefix", "")
        there = {s for s, _, arrives, _ in self._lines() if arrives <= self.t and s.startswith(prefix)}
        return {"logStreams": [{"logStreamName": name} for name in sorted(there)]}

    def _log_group(self, asked: Mapping[str, Any]) -> None:
        if asked.get("logGroupName") != "/ecs/rag" or self.world.get("no_log_group"):
            raise Refusal("ResourceNotFoundException", "The specified log group does not exist.")

    # Identity

    def sts_get_caller_identity(self, asked: Mapping[str, Any]) -> Any:
        """Answer who asks."""
        who = f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/ci"
        return {"UserId": "AROA:ci", "Account": ACCOUNT, "Arn": who}

    def iam_get_role(self, asked: Mapping[str, Any]) -> Any:
        """Answer that the role is there."""
        name = asked["RoleName"]
        if name in self.world.get("no_roles", ()):
            raise Refusal("NoSuchEntity", f"The role with name {name} cannot be found.", 404)
        role = {
            "Path": "/",
            "RoleName": name,
            "RoleId": "AROA",
            "Arn": f"arn:aws:iam::{ACCOUNT}:role/{name}",
            "CreateDate": LONG_AGO,
        }
        return {"Role": role}

    # Oddities

    @contextmanager
    def seen_as(self, operation: str) -> Iterator[None]:
        """Show what was true at an earlier second, where the world says that this operation lags."""
        lag = next((i for i in self.world.get("lags", ()) if operation in _named(i) and self.is_in(i)), None)
        if lag is None:
            yield
            return
        now, started = self.now, self.started
        self.now, self.started = self.origin + lag["shows"], started and lag["shows"] >= 0
        try:
            yield
        finally:
            self.now, self.started = now, started

    def patched(self, operation: str, answer: Any) -> Any:
        """Return the answer with the world's own words laid over it."""
        for patch in self.world.get("patch", ()):
            if operation not in _named(patch) or not self.is_in(patch):
                continue
            answer = copy.deepcopy(answer)
            for path, value in patch.get("set", {}).items():
                _put(answer, path.split("."), value if not isinstance(value, str) else self._text(value))
            for path in patch.get("drop", ()):
                _put(answer, path.split("."), ...)
        return answer


def _put(body: Any, path: Sequence[str], value: Any) -> None:
    """Set, or with `...` drop, what a path names; `*` is every item of a list."""
    head, rest = path[0], path[1:]
    if isinstance(body, list):
        keys: list[Any] = list(range(len(body))) if head == "*" else [int(head)]
        keys = [key for key in keys if key < len(body)]
    else:
        keys = [head]
    for key in reversed(keys):
        if rest:
            if body is not None and (isinstance(body, list) or key in body):
                _put(body[key], rest, value)
        elif value is ...:
            if isinstance(body, list):
                del body[key]
            else:
                body.pop(key, None)
        else:
            body[key] = value


def _or(item: Mapping[str, Any], key: str, otherwise: float) -> float:
    """Return a written second; null means never."""
    if key not in item:
        return otherwise
    return NEVER if item[key] is None else float(item[key])


def _named(item: Mapping[str, Any]) -> list[str]:
    """Return the operations that a patch or a lag is for."""
    return item["of"] if isinstance(item["of"], list) else [item["of"]]


def _tags(pairs: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": str(value)} for key, value in pairs.items()]
