"""Tasks and their containers, by the written times of their lives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scripted_names import (
    CLUSTER,
    LONG_AGO,
    NEVER,
    OTHERS,
    OURS,
    REGION,
    SERVICE,
    TARGET_GROUP,
    Refusal,
    Shown,
    arn,
    at_time,
    digest_of,
    hexed,
    merged,
    second_of,
)


class Tasks:
    """Tasks and their containers, by the written times of their lives."""

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
        placed = second_of(item, "placed", created)
        pull = item.get("pull", 20)
        if isinstance(pull, list):
            pull_from, pull_to = float(pull[0]), float(pull[1]) if len(pull) > 1 else NEVER
        elif pull is None:
            pull_from = pull_to = NEVER
        else:
            pull_from = placed + item.get("wait", 2)
            pull_to = pull_from + pull
        start = second_of(item, "start", pull_to + item.get("boot", 3))
        healthy = second_of(
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
                leave = second_of(item, "leave", start + item.get("lives", 10))
                drain, stop = 0.0, item.get("stop", 2)
            case "fails":
                leave = second_of(item, "leave", placed + item.get("fails_after", 30))
                drain, stop = 0.0, 0
                start = healthy = NEVER
                pull_to = min(pull_to, leave) if item.get("pulled") else NEVER
            case "no_room":
                leave = second_of(item, "leave", created + item.get("gives_up", 1800))
                drain, stop = 0.0, 0
                placed = pull_from = pull_to = start = healthy = NEVER
            case _:
                leave = second_of(item, "leave", start + item["lives"] if "lives" in item else NEVER)
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
            gone=second_of(item, "gone", stopping + stop + item.get("kept", 3600)),
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
            name: {
                key: value + by if key in {"stopped", "started"} and value is not None else value
                for key, value in item.items()
            }
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
        found, first_gpu = [], 0
        for number, body in enumerate([*bodies, *extra]):
            name, image = body["name"], body.get("image", "")
            written = task.written.get("containers", {}).get(name, {})
            started = second_of(written, "started", task.start)
            stopped = second_of(written, "stopped", task.stopped if task.how else NEVER)
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
                    asked = int(gpus) if str(gpus).isdigit() else 1
                    item["gpuIds"] = [f"GPU-{task.instance}-{first_gpu + k}" for k in range(asked)]
                    first_gpu += asked
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
        if second_of(task.written, "sick", NEVER) <= t or (task.how == "check" and task.leave <= t):
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
