"""The services beside ECS, served by moto in this process: ECR, ELB, Logs, Secrets Manager and the rest.

Each is loaded and filled with what the world declares when it is first touched, so that start-up stays quick.
Until then nobody can have changed it, and the model's questions are answered from the declaration.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ecs_gpu_deploy.model import TargetGroup
from ecs_gpu_deploy.sandbox.neighbours import seeds
from ecs_gpu_deploy.sandbox.neighbours.container_registry import ContainerRegistry
from ecs_gpu_deploy.sandbox.neighbours.github_issuer import ISSUER_HOST
from ecs_gpu_deploy.sandbox.neighbours.images import Image, Images, Reference
from ecs_gpu_deploy.sandbox.neighbours.load_balancers import (
    CheckedGroup,
    Listener,
    checked_group_in,
    listeners_in,
)
from ecs_gpu_deploy.sandbox.neighbours.moto_corrections import correct, use
from ecs_gpu_deploy.sandbox.neighbours.policy_simulator import simulation_xml
from ecs_gpu_deploy.sandbox.neighbours.secret_values import parameter_names, parameter_value, secret_value
from ecs_gpu_deploy.sandbox.neighbours.triggers import Scaling, Triggers
from ecs_gpu_deploy.sandbox.neighbours.web_identity import Role
from ecs_gpu_deploy.sandbox.protocol.query_xml import query_answer

WsgiApplication = Callable[[dict[str, Any], Any], Iterable[bytes]]
MOTO_ACCOUNT_ID = "123456789012"
LogStreamKey = tuple[str, str, str]
"""Region, log group, log stream."""


class Neighbours:
    """What lies around ECS in one account: the declared things, and moto's backends once they are open."""

    def __init__(self, *, account_id: str, region: str, partition: str) -> None:
        self.account_id = account_id
        self.region = region
        self.partition = partition
        self.images = Images(f"{account_id}.dkr.ecr.{region}.{self._domain}")
        self.repositories: list[str] = []
        self.target_groups: dict[str, Mapping[str, Any]] = {}
        self.log_groups: list[str] = []
        self.secrets: dict[str, str] = {}
        self.parameters: list[str] = []
        self.roles: list[Mapping[str, Any]] = []
        self.has_github_provider = False
        self._open: set[str] = set()
        self._application: WsgiApplication | None = None
        self._unread_lines: dict[LogStreamKey, list[dict[str, Any]]] = {}
        self._triggers = Triggers(self._backend)
        use(partition)
        if "moto.backends" in sys.modules:
            seeds.reset_all()  # moto keeps its state per process, a sandbox keeps its own

    @property
    def _domain(self) -> str:
        return "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com"

    # What the world declares; a service that is open already takes it at once.

    def declare_image(self, image: Image) -> None:
        """Have an image, in ECR where it says so; its tags move to it."""
        self.images.add(image)
        if "ecr" in self._open:
            seeds.put_images(self._backend("ecr"), self.images, at=None)

    def declare_repository(self, name: str) -> None:
        """Have an ECR repository without images."""
        self.repositories.append(name)
        if "ecr" in self._open:
            seeds.put_repository(self._backend("ecr"), name)

    def declare_target_group(self, entry: Mapping[str, Any]) -> str:
        """Have a target group behind a load balancer of its own; return its ARN."""
        arn = seeds.target_group_arn(self.partition, self.region, self.account_id, entry["Name"])
        self.target_groups[arn] = entry
        if "elasticloadbalancing" in self._open:
            seeds.put_target_group(self._backend("elasticloadbalancing"), arn, entry)
        return arn

    def declare_log_group(self, name: str) -> None:
        """Have a CloudWatch log group."""
        self.log_groups.append(name)
        if "logs" in self._open:
            seeds.put_log_group(self._backend("logs"), name)

    def declare_secret(self, name_or_arn: str) -> str:
        """Have a secret; return its ARN (AWS's six random letters are AbCdEf for one given by name)."""
        prefix = f"arn:{self.partition}:secretsmanager:{self.region}:{self.account_id}:secret:"
        arn = name_or_arn if name_or_arn.startswith("arn:") else f"{prefix}{name_or_arn}-AbCdEf"
        name = arn.rpartition(":")[2].rpartition("-")[0]
        self.secrets[arn] = name
        if "secretsmanager" in self._open:
            seeds.put_secret(self._backend("secretsmanager"), name, arn)
        return arn

    def declare_parameter(self, name: str) -> None:
        """Have an SSM parameter."""
        self.parameters.append(name)
        if "ssm" in self._open:
            seeds.put_parameter(self._backend("ssm"), name)

    def declare_role(self, entry: str | Mapping[str, Any]) -> None:
        """Have an IAM role: one that ECS tasks may assume, or one with a trust policy of its own."""
        role = {"name": entry} if isinstance(entry, str) else entry
        self.roles.append(role)
        if "iam" in self._open:
            seeds.put_role(self._backend("iam"), role)

    def declare_github_provider(self) -> None:
        """Have an IAM identity provider for GitHub's OIDC issuer."""
        self.has_github_provider = True
        if "iam" in self._open:
            seeds.put_provider(self._backend("iam"))

    # What the model asks.

    def image_in_ecr(self, reference: Reference) -> tuple[str, tuple[tuple[str, int], ...]] | None:
        """Find (digest, layers) of an image in the account's ECR as it is now; None where it is gone."""
        if "ecr" not in self._open:
            image = self.images.pushed(reference)
            return (image.digest, image.layers) if image else None
        return seeds.image_in(self._backend("ecr"), reference)

    def repository_exists(self, name: str) -> bool:
        """Is there such a repository in the account's ECR?"""
        if "ecr" not in self._open:
            return name in self.repositories or any(
                image.repository == name for image, _ in self.images.in_ecr()
            )
        return name in self._backend("ecr").repositories

    def target_group(self, arn: str) -> TargetGroup | None:
        """Give a target group's settings as they are now; None where it does not exist."""
        if "elasticloadbalancing" not in self._open:
            entry = self.target_groups.get(arn)
            return seeds.declared_target_group(arn, entry) if entry is not None else None
        return seeds.target_group_in(self._backend("elasticloadbalancing"), arn)

    def target_group_has_balancer(self, arn: str) -> bool:
        """Does a load balancer stand in front of the target group? ECS asks at CreateService."""
        if "elasticloadbalancing" not in self._open:
            return arn in self.target_groups
        group = self._backend("elasticloadbalancing").target_groups.get(arn)
        return bool(group and group.load_balancer_arns)

    def deployment_group(self, application: str, name: str) -> Any:
        """Give moto's deployment group of CodeDeploy; None where it, or its application, does not exist."""
        self.open("codedeploy")
        groups = self._backend("codedeploy").deployment_groups
        return (groups.get(application) or {}).get(name)

    def log_group_exists(self, name: str, *, region: str) -> bool:
        """Is there such a log group?"""
        if "logs" not in self._open:
            return region == self.region and name in self.log_groups
        return name in self._backend("logs", region).groups

    def secret_exists(self, arn_or_name: str) -> bool:
        """Is there such a secret? An ARN may carry `:json-key:stage:version` behind the name."""
        parts = arn_or_name.split(":")
        arn = ":".join(parts[:7])
        if "secretsmanager" not in self._open:
            return arn in self.secrets or any(
                arn == known.rpartition("-")[0] or arn_or_name == name for known, name in self.secrets.items()
            )
        region = parts[3] if len(parts) > 6 else self.region
        return arn in self._backend("secretsmanager", region).secrets

    def parameter_exists(self, name_or_arn: str) -> bool:
        """Is there such an SSM parameter?"""
        names = parameter_names(name_or_arn)
        if "ssm" not in self._open:
            return not set(self.parameters).isdisjoint(names)
        backend = self._backend("ssm")
        return any(backend.get_parameter(candidate) for candidate in names)

    def environment_secret(self, value_from: str) -> str:
        """Give the value of a container's secret; raise `NoValue` where it has none."""
        service = "secretsmanager" if ":secretsmanager:" in value_from else "ssm"
        self.open(service)
        parts = value_from.split(":")
        backend = self._backend(service, parts[3] if len(parts) > 5 else None)
        if service == "ssm":
            return parameter_value(backend, value_from)
        return secret_value(backend, value_from)

    def listeners(self) -> tuple[Listener, ...]:
        """Give the listeners of all load balancers."""
        self.open("elasticloadbalancing")
        return tuple(listeners_in(self._backend("elasticloadbalancing")))

    def checked_group(self, arn: str) -> CheckedGroup | None:
        """Give how a target group checks its targets; None where it does not exist."""
        self.open("elasticloadbalancing")
        return checked_group_in(self._backend("elasticloadbalancing"), arn)

    def role(self, arn: str) -> Role | None:
        """Find an IAM role by its ARN."""
        self.open("iam")
        return seeds.role_in(self._backend("iam"), arn)

    def github_provider(self) -> tuple[str, tuple[str, ...] | None]:
        """Return the ARN of the provider for GitHub and its client ids, None where it does not exist."""
        self.open("iam")
        arn = f"arn:{self.partition}:iam::{self.account_id}:oidc-provider/{ISSUER_HOST}"
        return arn, seeds.provider_audiences(self._backend("iam"), arn)

    def put_log_line(self, key: LogStreamKey, *, at: float, text: str, create_group: bool) -> None:
        """Write one line to CloudWatch Logs; it waits here until somebody opens the service."""
        region, group, _ = key
        if create_group and "logs" in self._open:
            seeds.put_log_group(self._backend("logs", region), group)
        elif create_group and group not in self.log_groups:
            self.log_groups.append(group)
        self._unread_lines.setdefault(key, []).append({"timestamp": int(at * 1000), "message": text})

    def caller_arn(self, access_key_id: str) -> str:
        """Say who signed a request, as `sts:GetCallerIdentity` does."""
        if access_key_id.startswith("ASIA") and "sts" in self._open:
            role = self._backend("sts").get_assumed_role_from_access_key(access_key_id)
            if role is not None:
                return str(role.arn)
        return f"arn:{self.partition}:sts::{self.account_id}:user/moto"

    def simulation(self, parameters: Mapping[str, Any], *, is_denied: Callable[[str], bool]) -> str:
        """Write the answer to SimulatePrincipalPolicy; raise ApiError."""
        return simulation_xml(self._backend("iam"), parameters, is_denied=is_denied)

    @property
    def may_trigger(self) -> bool:
        """Is there a queue that something may be sent to or look at?"""
        return "sqs" in self._open

    def pass_minute(self, at: float) -> Iterator[Scaling]:
        """Let schedules and alarms happen that are due at this minute; yield what they scale."""
        return self._triggers.pass_minute(at, self._open)

    # moto itself.

    def open(self, service: str) -> None:
        """Load a service's backend, named as it signs, and fill it with what the world declares."""
        if service not in self._open:
            self._open.add(service)
            correct(service)
            match service:
                case "ecr":
                    backend = self._backend(service)
                    for name in self.repositories:
                        seeds.put_repository(backend, name)
                    seeds.put_images(backend, self.images, at=None)
                case "elasticloadbalancing":
                    for arn, entry in self.target_groups.items():
                        seeds.put_target_group(self._backend(service), arn, entry)
                case "logs":
                    for name in self.log_groups:
                        seeds.put_log_group(self._backend(service), name)
                case "secretsmanager":
                    for arn, name in self.secrets.items():
                        seeds.put_secret(self._backend(service), name, arn)
                case "ssm":
                    for name in self.parameters:
                        seeds.put_parameter(self._backend(service), name)
                case "iam":
                    for role in self.roles:
                        seeds.put_role(self._backend(service), role)
                    if self.has_github_provider:
                        seeds.put_provider(self._backend(service))
                case _:
                    pass
        if service == "logs" and self._unread_lines:
            unread, self._unread_lines = self._unread_lines, {}
            for (region, group, stream), lines in unread.items():
                seeds.put_log_lines(self._backend("logs", region), group, stream, lines)

    def has_auto_scaling_group(self, name: str) -> bool:
        """Tell whether somebody created the Auto Scaling group over the API."""
        return name in self._backend("autoscaling").autoscaling_groups

    def show_registry(self, registry: ContainerRegistry) -> None:
        """Have ECR show what was pushed to the registry behind it."""
        registry.show_in(self._backend("ecr"))

    def answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Let moto answer a request (WSGI)."""
        if self._application is None:
            from moto.moto_server.werkzeug_app import (  # noqa: PLC0415 - seconds to import, often not needed
                DomainDispatcherApplication,
                create_backend_app,
            )

            self._application = DomainDispatcherApplication(create_backend_app)
        if self.account_id != MOTO_ACCOUNT_ID:
            environ.setdefault("HTTP_X_MOTO_ACCOUNT_ID", self.account_id)
        return self._application(environ, start_response)

    def _backend(self, service: str, region: str | None = None) -> Any:
        return seeds.backend(service, self.account_id, region or self.region, self.partition)


def target_health_xml(descriptions: Iterable[Mapping[str, str]], request_id: str) -> str:
    """Write DescribeTargetHealth's answer; descriptions have Id, Port, AvailabilityZone, State, Reason."""

    def members(target: Mapping[str, str], *names: str) -> dict[str, str]:
        return {name: target.get(name, "") for name in names}

    shown = [
        {
            "HealthCheckPort": target["Port"],
            "TargetHealth": members(target, "State", "Reason", "Description"),
            "Target": members(target, "Id", "Port", "AvailabilityZone"),
        }
        for target in descriptions
    ]
    return query_answer(
        "DescribeTargetHealth",
        {"TargetHealthDescriptions": shown},
        namespace="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/",
        request_id=request_id,
    )


def auto_scaling_groups_xml(groups: Sequence[Mapping[str, Any]], request_id: str) -> str:
    """Write DescribeAutoScalingGroups' answer; groups have AWS's members, their values as text."""
    return query_answer(
        "DescribeAutoScalingGroups",
        {"AutoScalingGroups": groups},
        namespace="http://autoscaling.amazonaws.com/doc/2011-01-01/",
        request_id=request_id,
    )
