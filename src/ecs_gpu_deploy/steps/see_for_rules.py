"""Gather what the rules look at, in AWS's own members: each part is seen, or said why it was not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.task_definition import images
from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.image.lifecycle_policy import rules_of, taken_away
from ecs_gpu_deploy.core.image.repository import Repository
from ecs_gpu_deploy.core.rules.checks import platform_word
from ecs_gpu_deploy.core.rules.document import Seen
from ecs_gpu_deploy.edges.aws.answers import AwsError, Missing
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.edges.aws.ecr import fetch_all_images
from ecs_gpu_deploy.edges.aws.ecr_repository import fetch_lifecycle_policy, fetch_repository
from ecs_gpu_deploy.edges.aws.image_config import fetch_image_config, fetch_platforms
from ecs_gpu_deploy.edges.aws.raw_documents import (
    fetch_raw_amis,
    fetch_raw_cluster,
    fetch_raw_groups,
    fetch_raw_instances,
    fetch_raw_providers,
    fetch_raw_service,
)
from ecs_gpu_deploy.errors import DeployError

T = TypeVar("T")
_MOST_AMIS = 20


def see_for_rules(
    context: Context,
    definition: Mapping[str, Any],
    *,
    service: str,
    load_seconds: float | None = None,
    wait_seconds: float | None = None,
    session_seconds: float | None = None,
    changes: Mapping[str, Any] = {},
    instances: Sequence[Mapping[str, Any]] | None = None,
) -> Seen:
    """Return what is seen of *service* (its name, "" for none) that is to run the raw *definition*.

    *load_seconds* is how long its earlier tasks took from start to healthy, *wait_seconds* how long the run
    may wait, *session_seconds* how long its credentials last; None is what nobody knows. *changes* are
    members of the service that it gets with it. *instances* are DescribeContainerInstances' own objects
    where they are here already.
    """
    unseen: dict[str, str] = {}

    def seen(member: str, look: Callable[[], T]) -> T | None:
        try:
            return look()
        except AwsError as error:
            unseen[member] = f"{error.request or error.code}: {error.text}"
        except DeployError as error:
            unseen[member] = error.message
        return None

    aws, cluster = context.aws, context.ecs.of(service).cluster
    known = seen("service", lambda: fetch_raw_service(aws, cluster, service)) if service else None
    if known is not None:
        known = {**known, **changes}
    arns = [
        str(each["targetGroupArn"])
        for each in (known or {}).get("loadBalancers") or ()
        if each.get("targetGroupArn")
    ]
    shown = seen("cluster", lambda: fetch_raw_cluster(aws, cluster))
    providers = list((shown or {}).get("capacityProviders") or ())
    if instances is None:
        instances = seen("instances", lambda: fetch_raw_instances(aws, cluster))
    amis = _amis(instances or ())
    if not service:
        unseen["service"] = "no service is meant"
    for member in ("targetGroups", "tags"):
        if known is None:
            unseen.setdefault(member, unseen.get("service", "there is no such service"))
    if shown is None:
        unseen.setdefault("capacityProviders", unseen.get("cluster", "there is no such cluster"))
    unseen.setdefault("facts.idleTimeout", "no load balancer's idle timeout was seen")
    unseen.setdefault("facts.sessionSeconds", "how long the credentials last is not known")
    unseen.setdefault("facts.loadSeconds", "no earlier load of this service was measured")
    unseen.setdefault("image.lifecycle", "no lifecycle policy is there, or may be seen")
    image = seen("image", lambda: _image(context, definition, _platform(instances or ()), unseen))
    for member in ("image.config", "image.history", "image.isMutable"):
        unseen.setdefault(member, unseen.get("image", "the image's configuration was not seen"))
    return Seen(
        task_definition=definition,
        service=known,
        target_groups=seen("targetGroups", lambda: fetch_raw_groups(aws, arns)) if known else None,
        cluster=shown,
        capacity_providers=seen("capacityProviders", lambda: fetch_raw_providers(aws, providers))
        if shown
        else None,
        instances=instances,
        image=image,
        amis=None if instances is None else seen("facts.amis", lambda: _shown_amis(aws, amis)),
        tags=None if known is None else _tags(known, definition),
        load_seconds=load_seconds,
        wait_seconds=wait_seconds,
        session_seconds=session_seconds,
        now=context.clock.now(),
        unseen=unseen,
    )


def _tags(service: Mapping[str, Any], definition: Mapping[str, Any]) -> Mapping[str, str]:
    pairs = (*(definition.get("tags") or ()), *(service.get("tags") or ()))
    return {str(pair.get("key")): str(pair.get("value") or "") for pair in pairs}


def _shown_amis(aws: Aws, amis: Sequence[str]) -> Sequence[Mapping[str, Any]]:
    """Return EC2's objects of AMIs; Missing where it shows none of them, as of one that was taken away."""
    shown = fetch_raw_amis(aws, amis)
    if amis and not shown:
        raise Missing(f"EC2 does not show {', '.join(amis)}", request="ec2.DescribeImages")
    return shown


def _amis(instances: Sequence[Mapping[str, Any]]) -> list[str]:
    found = (
        str(each.get("value"))
        for instance in instances
        for each in instance.get("attributes") or ()
        if each.get("name") == "ecs.ami-id"
    )
    return list(dict.fromkeys(found))[:_MOST_AMIS]


def _platform(instances: Sequence[Mapping[str, Any]]) -> str:
    """Return what the first of the instances runs; what most run where there is none."""
    told = (
        str(each.get("value"))
        for instance in instances
        for each in instance.get("attributes") or ()
        if each.get("name") == "ecs.cpu-architecture"
    )
    return f"linux/{platform_word(next(told, 'x86_64'))}"


def _image(
    context: Context, definition: Mapping[str, Any], platform: str, unseen: dict[str, str]
) -> Mapping[str, Any] | None:
    """Return what ECR says of the image of the first container with a GPU, None for one elsewhere.

    What it does not say is named in *unseen*.
    """
    containers = list(definition.get("containerDefinitions") or ())
    chosen = next((each for each in containers if each.get("resourceRequirements")), containers[0])
    text = images(definition).get(str(chosen.get("name")), "")
    reference = ImageReference.from_text(text)
    repository = Repository.of_image(reference)
    if repository is None:
        unseen["image"] = f"{text} is not in Amazon ECR"
        return None
    found = fetch_repository(context.aws, repository.uri)
    if found is None:
        unseen["image"] = f"there is no repository {repository.name}"
        return None
    tag = reference.tag or "latest"
    told: dict[str, Any] = {
        "container": chosen.get("name"),
        "reference": text,
        "isMutable": found.mutability.may_move(tag),
    }
    policy = fetch_lifecycle_policy(context.aws, repository)
    rules = rules_of(policy)
    stored = fetch_all_images(context.aws, repository) if rules else ()
    taken = taken_away(rules, stored, now=context.clock.now())
    expired = next(
        (
            taken[image.digest].name
            for image in stored
            if image.digest in taken and (image.digest == reference.digest or tag in image.tags)
        ),
        None,
    )
    try:
        wanted = reference.digest or tag
        platforms, digest = fetch_platforms(context.aws, repository, wanted, platform=platform)
        told["platforms"] = list(platforms)
        config = fetch_image_config(context.aws, repository, digest)
        told |= {**config, "platforms": list(platforms) or [each for each in (config["platform"],) if each]}
    except AwsError as error:
        for member in ("image.config", "image.history"):
            unseen[member] = f"{error.request or error.code}: {error.text}"
    return {**told, "lifecycle": bool(policy and stored) or None, "expiredBy": expired}
