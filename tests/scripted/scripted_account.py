"""What stands beside ECS: targets, images, logs, roles."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from scripted_names import (
    ACCOUNT,
    LONG_AGO,
    NEVER,
    REGION,
    SERVICE,
    TARGET_GROUP,
    Refusal,
    Shown,
    at_time,
    digest_of,
    second_of,
)


class Account:
    """What stands beside ECS: targets, images, logs, roles."""

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
        if second_of(task.written, "sick", NEVER) <= t:
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
            if seen is None or not self.is_behind(asked["TargetGroupArn"], task):
                continue
            state, reason, description = seen
            health = {"State": state}
            health |= {"Reason": reason} if reason else {}
            health |= {"Description": description} if description else {}
            target = {"Id": self._ip(task), "Port": 8000, "AvailabilityZone": f"{REGION}a"}
            found.append({"Target": target, "HealthCheckPort": "8000", "TargetHealth": health})
        return {"TargetHealthDescriptions": found}

    def ec2_describe_subnets(self, asked: Mapping[str, Any]) -> str:
        """Answer with the subnets of the world, each with the letter of its zone; denied without any."""
        if "subnets" not in self.world:
            text = "You are not authorized to perform this operation."
            raise Refusal("UnauthorizedOperation", text, 403)
        written = {
            name: item if isinstance(item, Mapping) else {"zone": item}
            for name, item in self.world["subnets"].items()
        }
        items = "".join(
            f"<item><subnetId>{name}</subnetId>"
            f"<availabilityZone>{REGION}{item['zone']}</availabilityZone>"
            f"<availableIpAddressCount>{item.get('free', 200)}</availableIpAddressCount>"
            f"<ipv6Native>{str(item.get('ipv6', False)).lower()}</ipv6Native></item>"
            for name, item in written.items()
        )
        return f"<DescribeSubnetsResponse><subnetSet>{items}</subnetSet></DescribeSubnetsResponse>"

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
        if name != TARGET_GROUP and not (self.is_codedeploy() and name == self.green_group):
            raise Refusal("TargetGroupNotFound", "One or more target groups not found")

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
                tag, wanted_digest = item.get("imageTag", "null"), item.get("imageDigest", "null")
                what = f"imageTag:'{tag}', imageDigest:'{wanted_digest}'"
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

    def ecr_describe_pull_through_cache_rules(self, _: Mapping[str, Any]) -> Any:
        """Answer with the rules that the world has, each by its prefix."""
        rules = [{"ecrRepositoryPrefix": prefix} for prefix in self.world.get("cache_rules", ())]
        return {"pullThroughCacheRules": rules}

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
            milliseconds = int((self.origin + self.skew + at) * 1000)
            if begin is not None and milliseconds < begin:
                continue
            found.append(
                {
                    "logStreamName": stream,
                    "timestamp": milliseconds,
                    "message": text,
                    "ingestionTime": int((self.origin + self.skew + arrives) * 1000),
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
