"""Task definitions as a world writes them, and what was registered since."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from scripted_names import (
    ACCOUNT,
    ATTRIBUTES,
    FAMILY,
    REGION,
    REGISTRY,
    Refusal,
    arn,
    at_time,
    digest_of,
    merged,
    tags_of,
)


class Definitions:
    """Task definitions as a world writes them, and what was registered since."""

    def _definitions(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for number, item in self.world["revisions"].items():
            if item is None:
                continue
            name = self._name(number)
            family, _, revision = name.partition(":")
            body = self._definition(family, int(revision), item.get("tag", f"v{number}"), item)
            yield name, {"taskDefinition": body, "tags": tags_of(item.get("tags", {}))}

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
            "requiresAttributes": [{"name": name} for name in ATTRIBUTES],
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
        number = found["taskDefinition"]["revision"]
        written = (self.world["revisions"].get(number) or {}).get("definition", {})
        found["taskDefinition"]["registeredAt"] = written.get("registeredAt", -2_000_000 + number)
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
            "requiresAttributes": [{"name": name} for name in ATTRIBUTES],
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
            self.definitions[name]["tags"] = tags_of(kept)
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
