"""The one document that rules look at: AWS's own objects beside each other, and our facts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ecs_gpu_deploy.core.rules.facts import container_facts

Api = Mapping[str, Any]

MEMBERS: Final[Mapping[str, str]] = {
    "taskDefinition": "the task definition that is to run, as RegisterTaskDefinition takes it",
    "service": "the service as DescribeServices shows it",
    "targetGroups": "its target groups as DescribeTargetGroups shows them, each with its `attributes` as "
    "`{name: value}` and `idleTimeout`, the seconds of its load balancer",
    "cluster": "the cluster as DescribeClusters shows it",
    "capacityProviders": "the cluster's capacity providers as DescribeCapacityProviders shows them",
    "instances": "the container instances as DescribeContainerInstances shows them, each with its "
    "`attribute` as `{name: value}` and `freeGpus`, `gpus`, the numbers of its GPUs",
    "image": "the image of `container`: `reference`, `platforms`, `isMutable` (its tag can be moved), "
    "`lifecycle` (its repository has a policy), `expiredBy` (the rule of that which removes it), `history` "
    "(the lines that made it) and `config` with `environment`, `user`, `entryPoint`, `command`, `labels`",
    "facts": "what we work out, below",
}
"""The members of the document; one that was not seen is null."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen, in AWS's own members; None is what was not, and `unseen` says why by the member's name.

    `load_seconds` is how long this service's tasks took from their start to healthy, `wait_seconds` how long
    a run may wait, `session_seconds` how long its credentials last (infinite: they renew themselves). `amis`
    are EC2's Image objects of the instances. `now` is in epoch seconds.
    """

    task_definition: Api
    service: Api | None = None
    target_groups: Sequence[Api] | None = None
    cluster: Api | None = None
    capacity_providers: Sequence[Api] | None = None
    instances: Sequence[Api] | None = None
    image: Api | None = None
    amis: Sequence[Api] | None = None
    tags: Mapping[str, str] | None = None
    load_seconds: float | None = None
    wait_seconds: float | None = None
    session_seconds: float | None = None
    now: float = 0.0
    unseen: Mapping[str, str] = field(default_factory=dict)


def document_of(seen: Seen) -> dict[str, Any]:
    """Return the document; its members are `MEMBERS`, null where nothing was seen."""
    instances = None if seen.instances is None else [_instance(each) for each in seen.instances]
    return {
        "taskDefinition": dict(seen.task_definition),
        "service": seen.service,
        "targetGroups": None if seen.target_groups is None else list(seen.target_groups),
        "cluster": seen.cluster,
        "capacityProviders": None if seen.capacity_providers is None else list(seen.capacity_providers),
        "instances": instances,
        "image": seen.image,
        "facts": _facts(seen, instances),
    }


def _facts(seen: Seen, instances: list[dict[str, Any]] | None) -> dict[str, Any]:
    containers = [
        container_facts(
            each,
            seen.task_definition,
            service=seen.service,
            image=seen.image if seen.image and seen.image.get("container") == each.get("name") else None,
            load_seconds=seen.load_seconds,
        )
        for each in seen.task_definition.get("containerDefinitions") or ()
    ]
    gpus = sum(each["gpus"] or 0 for each in containers)
    return {
        "containers": containers,
        "usesGpu": any(each["gpuKind"] for each in containers),
        "gpus": gpus,
        "mostFreeGpus": max((each["freeGpus"] for each in instances), default=0) if instances else None,
        "gpuInstances": None if instances is None else [each for each in instances if each["isGpuType"]],
        "idleTimeout": _idle_timeout(seen.target_groups),
        "loadSeconds": seen.load_seconds,
        "waitSeconds": seen.wait_seconds,
        "sessionSeconds": seen.session_seconds,
        "amis": None if seen.amis is None else list(seen.amis),
        "tags": None if seen.tags is None else dict(seen.tags),
        "now": seen.now,
        **_limits(seen.service),
    }


def _idle_timeout(groups: Sequence[Api] | None) -> float | None:
    """Return the longest idle timeout before the service in seconds, 0 without a group, None if not seen."""
    known = [each["idleTimeout"] for each in groups or () if each.get("idleTimeout")]
    return max(known) if known else None if groups is None or groups else 0


def _limits(service: Api | None) -> dict[str, Any]:
    """Return how many tasks a rolling update keeps and allows (docs/aws-facts.md#rounding)."""
    if service is None:
        return {"desired": None, "atLeast": None, "atMost": None, "isRolling": None}
    configuration = service.get("deploymentConfiguration") or {}
    desired = int(service.get("desiredCount") or 0)
    least, most = configuration.get("minimumHealthyPercent"), configuration.get("maximumPercent")
    replica = service.get("schedulingStrategy") in {None, "REPLICA"}
    controller = (service.get("deploymentController") or {}).get("type", "ECS")
    return {
        "desired": desired,
        "atLeast": math.ceil(desired * (100 if least is None else least) / 100),
        "atMost": math.floor(desired * (200 if most is None else most) / 100),
        "isRolling": replica
        and controller == "ECS"
        and configuration.get("strategy") in {None, "", "ROLLING"},
    }


def _instance(instance: Api) -> dict[str, Any]:
    attributes = {str(each.get("name")): each.get("value") or "" for each in instance.get("attributes") or ()}
    kind = attributes.get("ecs.instance-type", "")
    return {
        **instance,
        "attribute": attributes,
        "gpus": _gpus(instance.get("registeredResources")),
        "freeGpus": _gpus(instance.get("remainingResources")),
        "isGpuType": kind[:1] in {"g", "p"} and "." in kind,
        "id": instance.get("ec2InstanceId") or str(instance.get("containerInstanceArn")).rpartition("/")[2],
    }


def _gpus(resources: Any) -> int:
    return sum(len(each.get("stringSetValue") or ()) for each in resources or () if each.get("name") == "GPU")
