"""Container instances, and what written tasks leave free on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scripted_names import ATTRIBUTES, CLUSTER, LONG_AGO, NEVER, REGION, arn, at_time, hexed, merged


class Instances:
    """Container instances, and what written tasks leave free on them."""

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
        ports = [
            str(port["hostPort"])
            for task in holding
            for body in self.definitions.get(task.definition, {"taskDefinition": {}})["taskDefinition"].get(
                "containerDefinitions", ()
            )
            for port in body.get("portMappings", ())
            if port.get("hostPort")
        ]

        def resources(cpu: int, memory: int, ids: list[str], used_ports: list[str]) -> list[dict[str, Any]]:
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
                    "stringSetValue": ["22", "2376", "2375", "51678", "51679", *used_ports],
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
        attributes = [{"name": name} for name in ATTRIBUTES if name not in lacking]
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
            "registeredResources": resources(item["cpu"], item["memory"], gpus, []),
            "remainingResources": resources(
                max(item["cpu"] - 2048 * used, 0), max(item["memory"] - 8192 * used, 0), free, ports
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
            first = self.service["strategy_of_providers"][0]["capacityProvider"]
            found["capacityProviderName"] = item.get("provider", first)
        return merged(found, item.get("raw", {}))
