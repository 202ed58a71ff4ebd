"""Whether what a revision and its service name outside themselves is there, and may be used.

Nothing is changed, and what could not be looked at is told as that with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.task_definition import images
from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.image.repository import Repository
from ecs_gpu_deploy.core.rules.checks import (
    SecretWanted,
    across_accounts,
    balancer_checks,
    command_needs,
    execution_needs,
    failed,
    log_groups,
    not_checked,
    ok,
    own_permission_check,
    permission_check,
    platform_check,
    secrets_wanted,
    statement,
    trusts_tasks,
)
from ecs_gpu_deploy.core.rules.document import Seen
from ecs_gpu_deploy.core.text import count
from ecs_gpu_deploy.edges.aws.answers import AwsError, Closed, Missing
from ecs_gpu_deploy.edges.aws.iam import fetch_caller, fetch_trust, simulate
from ecs_gpu_deploy.edges.aws.image_config import fetch_platforms
from ecs_gpu_deploy.edges.aws.prerequisites import fetch_prerequisites, roles_of
from ecs_gpu_deploy.edges.aws.references import (
    log_group_is_there,
    missing_security_groups,
    missing_subnets,
    secret_has_key,
    secret_key,
)
from ecs_gpu_deploy.errors import DeployError, InvalidInput
from ecs_gpu_deploy.result import Check

_ROLES: Final = {"execution role": "executionRoleArn", "task role": "taskRoleArn"}


def check_references(
    context: Context,
    seen: Seen,
    *,
    command: str = "deploy",
    proven: Mapping[str, Any] | None = None,
    reads_secrets: bool = False,
) -> tuple[Check, ...]:
    """Return one check for each thing that is needed, in the order in which a rollout needs them.

    *seen* is what `see_for_rules` returned. *proven* is a raw definition whose tasks run: what it names is
    there, and is not looked at. *reads_secrets*: a secret of which a container gets one JSON key is read for
    whether it has the key; its value leaves no function and is never shown.
    """
    definition, service, runs = seen.task_definition, seen.service or {}, proven or {}
    looks: list[tuple[str, Callable[[], Iterable[Check]]]] = [
        ("own permissions", lambda: _own_permissions(context, definition, service, command)),
        *(
            (name, partial(_role, context, name, definition.get(member)))
            for name, member in _ROLES.items()
            if definition.get(member) != runs.get(member)
        ),
        ("images", lambda: _images(context, seen)),
        ("secrets", lambda: _secrets(context, definition, runs, reads_secrets=reads_secrets)),
        ("execution role's permissions", lambda: _execution(context, definition, runs, service)),
        ("log groups", lambda: _logs(context, definition, runs)),
        ("target groups", lambda: _balancers(seen)),
        ("network", lambda: _network(context, service)),
    ]
    checks: list[Check] = []
    for name, look in looks:
        try:
            checks += look()
        except AwsError as error:
            checks.append(not_checked(name, error.text, _allow(error)))
        except DeployError as error:
            checks.append(not_checked(name, error.message))
    return tuple(checks)


def _allow(error: AwsError) -> str:
    return f"Allow {_action(error.request)}." if isinstance(error, Closed) and error.request else ""


def _action(request: str) -> str:
    prefix, _, operation = request.partition(".")
    return f"{'elasticloadbalancing' if prefix == 'elbv2' else prefix}:{operation}"


def _role(context: Context, name: str, role: str | None) -> Iterator[Check]:
    if not role:
        return
    try:
        trust = fetch_trust(context.aws, role)
    except Missing:
        yield failed(name, f"There is no role {role}.", "Create it, or name another.")
        return
    if trusts_tasks(trust):
        yield ok(name, f"{role} is there and trusts ECS tasks.")
    else:
        hint = "Let its trust policy allow sts:AssumeRole to the service ecs-tasks.amazonaws.com."
        yield failed(name, f"{role} does not trust ecs-tasks.amazonaws.com: no task can assume it.", hint)


def _own_permissions(
    context: Context, definition: Mapping[str, Any], service: Mapping[str, Any], command: str
) -> Iterator[Check]:
    needs = command_needs(
        command,
        service_arn=str(service.get("serviceArn") or ""),
        family=str(definition.get("family") or ""),
        roles=roles_of(definition),
    )
    if not needs:
        return
    name, who = "own permissions", fetch_caller(context.aws)
    if who.endswith(":root"):
        yield ok(name, "The credentials are the account's own, which may do everything.")
        return
    given = {"iam:PassedToService": "ecs-tasks.amazonaws.com", "ecs:cluster": _cluster(service)}
    yield own_permission_check(name, who, needs, simulate(context.aws, who, needs, context=given))


def _cluster(service: Mapping[str, Any]) -> str:
    return str(service.get("clusterArn") or "")


def _execution(
    context: Context, definition: Mapping[str, Any], runs: Mapping[str, Any], service: Mapping[str, Any]
) -> Iterator[Check]:
    role = str(definition.get("executionRoleArn") or "")
    parts = str(service.get("serviceArn") or role).split(":")
    if not role.startswith("arn:") or len(parts) < 5:
        return
    needs_of = partial(
        execution_needs,
        launch_type=_launch_type(service),
        partition=parts[1],
        region=context.aws.region,
        account=role.split(":")[4],
    )
    granted = needs_of(runs) if runs.get("executionRoleArn") == role else ()
    needs = [need for need in needs_of(definition) if need not in granted]
    if needs:
        decisions = simulate(context.aws, role, needs, context={})
        yield across_accounts(
            permission_check("execution role's permissions", role, needs, decisions), role, needs
        )
        yield from _keys(context, role, [resource for _, resource in needs])


def _keys(context: Context, role: str, resources: Sequence[str]) -> Iterator[Check]:
    """Yield what is not known of the customer's keys that secrets are encrypted with.

    Source: Developer Guide, "Amazon ECS task execution IAM role" (kms:Decrypt for a key of one's own).
    """
    keys: list[str] = []
    for arn in (each for each in resources if ":secretsmanager:" in each):
        with suppress(AwsError):  # the look at the secrets says that it is not shown
            keys.append(secret_key(context.aws, arn))
    needs = [("kms:Decrypt", key) for key in dict.fromkeys(keys) if key.startswith("arn:")]
    if needs and not all(each.is_allowed for each in simulate(context.aws, role, needs, context={})):
        why = f"the policies of {role} do not allow kms:Decrypt; whether the key's own does is not seen"
        yield not_checked("execution role's keys", why, f"Add to its policy: {statement(needs)}")


def _launch_type(service: Mapping[str, Any]) -> str:
    providers = [str(each.get("capacityProvider")) for each in service.get("capacityProviderStrategy") or ()]
    if any(name.startswith("FARGATE") for name in providers):
        return "FARGATE"
    return str(service.get("launchType") or "EC2")


def _images(context: Context, seen: Seen) -> Iterator[Check]:
    """Yield whether each image is there for the instances; ECR's manifests say it, of an index."""
    architectures = sorted(
        {
            str(each.get("value"))
            for instance in seen.instances or ()
            for each in instance.get("attributes") or ()
            if each.get("name") == "ecs.cpu-architecture"
        }
    )
    shown = seen.image or {}
    for text in dict.fromkeys(images(seen.task_definition).values()):
        known = shown.get("platforms") if text == shown.get("reference") else None
        yield _image(context, text, known, architectures)


def _image(context: Context, text: str, known: Sequence[str] | None, architectures: Sequence[str]) -> Check:
    """Return whether an image is there for *architectures*; *known* are its platforms where seen."""
    name = f"image {text}"
    try:
        reference = ImageReference.from_text(text)
    except InvalidInput as error:
        return failed(name, error.message)
    repository = Repository.of_image(reference)
    if repository is None:
        return not_checked(name, "it is not in Amazon ECR")
    try:
        platforms = known
        if platforms is None:
            wanted = reference.digest or reference.tag or "latest"
            platforms, _ = fetch_platforms(context.aws, repository, wanted, platform="")
    except AwsError as error:
        return not_checked(name, error.text, _allow(error) or "Allow ecr:BatchGetImage.")
    if not platforms:
        return not_checked(name, "it is there; its manifest does not say for which platform it is")
    return platform_check(text, platforms, architectures)


def _secrets(
    context: Context, definition: Mapping[str, Any], runs: Mapping[str, Any], *, reads_secrets: bool
) -> Iterator[Check]:
    known = {value for _, value in secrets_wanted(runs)}
    wanted = [pair for pair in secrets_wanted(definition) if pair[1] not in known]
    if not wanted:
        return
    seen = fetch_prerequisites(context.aws, definition, known=(*roles_of(definition), *known))
    for gone in seen.gone:
        yield failed("secrets", f"There is no {gone}.", "Create it, or name another in secrets.")
    for unseen in seen.unseen:
        hint = "Allow secretsmanager:DescribeSecret and ssm:DescribeParameters."
        yield not_checked("secrets", unseen, hint)
    if not seen.gone and not seen.unseen:
        yield ok("secrets", f"{count(len({value for _, value in wanted}), 'secret')} there.")
    for variable, value in wanted:
        secret = SecretWanted.from_value(value)
        if ":secretsmanager:" in value and secret.key and not any(secret.arn in each for each in seen.gone):
            yield _key(context, secret, variable, reads_secrets=reads_secrets)


def _key(context: Context, secret: SecretWanted, variable: str, *, reads_secrets: bool) -> Check:
    name = f"secret key of {variable}"
    if not reads_secrets:
        return not_checked(name, f"only the value of {secret.arn} tells whether it has the key {secret.key}")
    try:
        there = secret_has_key(context.aws, secret)
    except AwsError as error:
        return not_checked(name, error.text, _allow(error))
    if there:
        return ok(name, f"{secret.arn} has the key {secret.key}.")
    return failed(
        name,
        f"{secret.arn} is no JSON object with the key {secret.key}: no task starts.",
        "Add the key, or name one that it has.",
    )


def _logs(context: Context, definition: Mapping[str, Any], runs: Mapping[str, Any]) -> Iterator[Check]:
    known = log_groups(runs)
    for group in (each for each in log_groups(definition) if each not in known):
        name = f"log group {group.name}"
        try:
            there = log_group_is_there(context.aws, group.name, region=group.region)
        except AwsError as error:
            yield not_checked(name, error.text, _allow(error))
            continue
        if there:
            yield ok(name, "It is there.")
        elif group.is_made:
            yield not_checked(
                name,
                "it is not there, and whether the log driver may create it is its role's permission "
                "logs:CreateLogGroup",
            )
        else:
            where = f" in {group.region}" if group.region else ""
            hint = "Create it, or set awslogs-create-group to true with logs:CreateLogGroup in the role."
            yield failed(name, f"It is not there{where}: no task starts.", hint)


def _balancers(seen: Seen) -> Iterator[Check]:
    balanced = [
        each for each in (seen.service or {}).get("loadBalancers") or () if each.get("targetGroupArn")
    ]
    if balanced and seen.target_groups is None:
        yield not_checked("target groups", seen.unseen.get("targetGroups") or "they were not seen")
    elif balanced:
        yield from balancer_checks(seen.task_definition, seen.service or {}, seen.target_groups or ())


def _network(context: Context, service: Mapping[str, Any]) -> Iterator[Check]:
    configuration = (service.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}
    kinds: tuple[tuple[str, str, Callable[..., tuple[str, ...]]], ...] = (
        ("subnets", "subnets", missing_subnets),
        ("security groups", "securityGroups", missing_security_groups),
    )
    for name, member, look in kinds:
        wanted = list(configuration.get(member) or ())
        if not wanted:
            continue
        try:
            missing = look(context.aws, wanted)
        except AwsError as error:
            yield not_checked(name, error.text, _allow(error))
            continue
        if missing:
            hint = "Give the service others; ECS cannot place a task into what is gone."
            yield failed(name, f"There are no {name} {', '.join(missing)}.", hint)
        else:
            yield ok(name, f"{', '.join(wanted)} are there.")
