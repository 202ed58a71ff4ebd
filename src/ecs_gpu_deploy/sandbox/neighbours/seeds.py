"""Put declared things into moto's backends, and read them back for the model.

moto is imported inside the functions: it takes seconds, and most rehearsals need only a part of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ecs_gpu_deploy.model import DEREGISTRATION_DELAY, TargetGroup
from ecs_gpu_deploy.sandbox.neighbours.github_issuer import ISSUER_HOST
from ecs_gpu_deploy.sandbox.neighbours.images import MANIFEST_MEDIA_TYPE, Images, Reference, sha256
from ecs_gpu_deploy.sandbox.neighbours.web_identity import Role

BACKEND_NAMES: Mapping[str, str] = {
    "elasticloadbalancing": "elbv2",
    "monitoring": "cloudwatch",
    "application-autoscaling": "applicationautoscaling",
}
GLOBAL_SERVICES = frozenset({"iam", "sts"})
TASK_TRUST: Mapping[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}


def backend(service: str, account_id: str, region: str, partition: str) -> Any:
    """Return moto's backend of a service (named as it signs requests) in an account and region."""
    from moto.backends import get_backend  # noqa: PLC0415

    name: Any = BACKEND_NAMES.get(service, service)
    if name == "ecr":
        _correct_ecr()
    return get_backend(name)[account_id][partition if service in GLOBAL_SERVICES else region]


def reset_all() -> None:
    """Empty every backend that moto has loaded: a new sandbox begins with nothing."""
    from moto.core.base_backend import BackendDict  # noqa: PLC0415
    from moto.core.model_instances import reset_model_data  # noqa: PLC0415

    BackendDict.reset()
    reset_model_data()  # moto's list of all it ever made would keep 70 MB a sandbox


def _correct_ecr() -> None:
    """Let moto's images have a registry's digest and size: moto hashes layer digests and invents sizes."""
    from moto.ecr.models import Image as MotoImage  # noqa: PLC0415

    def create_digest(image: Any) -> None:
        image._image_digest = sha256(image.image_manifest)

    def size_in_bytes(image: Any) -> int:
        return sum(int(layer.get("size", 0)) for layer in json.loads(image.image_manifest).get("layers", ()))

    MotoImage._create_digest = create_digest
    MotoImage.get_image_size_in_bytes = size_in_bytes


def put_repository(ecr: Any, name: str) -> None:
    """Create an ECR repository unless it is there."""
    if name not in ecr.repositories:
        ecr.create_repository(
            repository_name=name,
            registry_id=None,
            encryption_config={"encryptionType": "AES256"},
            image_scan_config={"scanOnPush": False},
            image_tag_mutability="MUTABLE",
            tags=[],
        )


def put_images(ecr: Any, images: Images, *, at: float | None) -> None:
    """Push the declared images that are not there yet, each under the tags that are still its own."""
    for image, tags in images.in_ecr():
        put_repository(ecr, image.repository)
        repository = ecr.repositories[image.repository]
        present = {pushed.get_image_digest(): pushed for pushed in repository.images}
        for tag in tags:
            held = present.get(image.digest)
            if held is not None and tag in held.image_tags:
                continue
            held = ecr.put_image(image.repository, image.manifest, tag, MANIFEST_MEDIA_TYPE, image.digest)
            present[image.digest] = held
            if at is not None:
                held.image_pushed_at = int(at)


def image_in(ecr: Any, reference: Reference) -> tuple[str, tuple[tuple[str, int], ...]] | None:
    """Find (digest, layers) of an image in moto's ECR by digest or tag."""
    repository = ecr.repositories.get(reference.repository)
    for image in repository.images if repository else ():
        digest = str(image.get_image_digest())
        wanted = (
            digest == reference.digest
            if reference.digest
            else (reference.tag or "latest") in image.image_tags
        )
        if wanted:
            layers = json.loads(image.image_manifest).get("layers", ())
            return digest, tuple((str(layer["digest"]), int(layer["size"])) for layer in layers)
    return None


def target_group_arn(partition: str, region: str, account_id: str, name: str) -> str:
    """Return the ARN of a declared target group; the same name has the same ARN in every run."""
    suffix = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"arn:{partition}:elasticloadbalancing:{region}:{account_id}:targetgroup/{name}/{suffix}"


def declared_target_group(arn: str, entry: Mapping[str, Any]) -> TargetGroup:
    """Read the settings of a declared target group; defaults are AWS's."""
    return TargetGroup.from_api({**entry, "TargetGroupArn": arn}, entry.get("Attributes", {}))


def target_group_in(elbv2: Any, arn: str) -> TargetGroup | None:
    """Read a target group's settings from moto."""
    group = elbv2.target_groups.get(arn)
    if group is None:
        return None
    attributes = group.attributes
    return TargetGroup(
        arn=arn,
        interval=float(group.health_check_interval_seconds),
        timeout=float(group.health_check_timeout_seconds),
        healthy_threshold=int(group.healthy_threshold_count),
        unhealthy_threshold=int(group.unhealthy_threshold_count),
        deregistration_delay=float(
            attributes.get("deregistration_delay.timeout_seconds", DEREGISTRATION_DELAY)
        ),
        target_type=str(group.target_type),
    )


def put_target_group(elbv2: Any, arn: str, entry: Mapping[str, Any]) -> None:
    """Create a target group under its declared ARN, and a load balancer of the same name in front of it."""
    subnets = list(elbv2.ec2_backend.get_default_subnets().values())
    group = elbv2.create_target_group(
        entry["Name"],
        vpc_id=subnets[0].vpc_id,
        protocol=entry.get("Protocol", "HTTP"),
        port=str(entry.get("Port", 80)),
        healthcheck_protocol=entry.get("HealthCheckProtocol"),
        healthcheck_port=entry.get("HealthCheckPort"),
        healthcheck_path=entry.get("HealthCheckPath"),
        healthcheck_interval_seconds=entry.get("HealthCheckIntervalSeconds"),
        healthcheck_timeout_seconds=entry.get("HealthCheckTimeoutSeconds"),
        healthy_threshold_count=entry.get("HealthyThresholdCount"),
        unhealthy_threshold_count=entry.get("UnhealthyThresholdCount"),
        matcher=entry.get("Matcher"),
        target_type=entry.get("TargetType", "instance"),
    )
    elbv2.target_groups[arn] = elbv2.target_groups.pop(group.arn)
    group.arn = arn
    for name, value in entry.get("Attributes", {}).items():
        group.attributes[name] = str(value).lower() if isinstance(value, bool) else str(value)
    balancer = elbv2.create_load_balancer(
        name=entry["Name"], security_groups=[], subnet_ids=[subnet.id for subnet in subnets[:2]]
    )
    balancer.state = "active"
    elbv2.create_listener(
        load_balancer_arn=balancer.arn,
        protocol="HTTP",
        port="80",
        ssl_policy="",
        certificate=None,
        actions=[{"Type": "forward", "TargetGroupArn": arn}],
    )


def put_log_group(logs: Any, name: str) -> None:
    """Create a log group unless it is there."""
    if name not in logs.groups:
        logs.create_log_group(name, {})


def put_log_lines(logs: Any, group: str, stream: str, lines: Sequence[dict[str, Any]]) -> None:
    """Append lines to a stream, whatever their time: the model's clock need not be near the wall's."""
    log_group = logs.groups.get(group)
    if log_group is None:
        return
    if stream not in log_group.streams:
        log_group.create_log_stream(stream)
    log_group.streams[stream].put_log_events(list(lines))


def put_secret(secretsmanager: Any, name: str, arn: str) -> None:
    """Create a secret under its declared ARN unless it is there."""
    if arn in secretsmanager.secrets:
        return
    secretsmanager.create_secret(
        name=name,
        secret_string="sandbox",  # noqa: S106 - no secret: every secret here has this value
        secret_binary=None,
        description=None,
        tags=[],
        kms_key_id=None,
        client_request_token=None,
        replica_regions=[],
        force_overwrite=False,
    )
    secretsmanager.secrets[name].arn = arn


def put_parameter(ssm: Any, name: str) -> None:
    """Create an SSM parameter unless it is there."""
    if not ssm.get_parameter(name):
        ssm.put_parameter(name, "", "sandbox", "SecureString", "", "", False, [], "text", None, None)


def put_role(iam: Any, entry: Mapping[str, Any]) -> None:
    """Create a role unless it is there; ECS tasks may assume it where it has no trust policy of its own."""
    name = entry["name"]
    if any(role.name == name for role in iam.get_roles()):
        return
    trust = json.dumps(entry.get("trust", TASK_TRUST))
    iam.create_role(name, trust, "/", None, "", [], str(entry.get("max_session_duration", 3600)))


def role_in(iam: Any, arn: str) -> Role | None:
    """Find a role in moto by its ARN."""
    for role in iam.get_roles():
        if role.arn == arn:
            return Role(
                arn=arn,
                name=str(role.name),
                trust=json.loads(role.assume_role_policy_document or "{}"),
                max_session_duration=int(role.max_session_duration or 3600),
            )
    return None


def put_provider(iam: Any) -> None:
    """Create the identity provider for GitHub's issuer unless it is there."""
    url = f"https://{ISSUER_HOST}"
    if not any(ISSUER_HOST in arn for arn in iam.open_id_providers):
        iam.create_open_id_connect_provider(url, [], ["sts.amazonaws.com"], [])


def provider_audiences(iam: Any, arn: str) -> tuple[str, ...] | None:
    """Return the client ids of an identity provider; None where it does not exist."""
    provider = iam.open_id_providers.get(arn)
    return tuple(provider.client_id_list or ()) if provider else None
