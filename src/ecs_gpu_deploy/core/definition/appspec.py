"""The AppSpec of a CodeDeploy deployment to ECS: read, checked, and filled with what is to be deployed.

Source: CodeDeploy User Guide, "AppSpec File structure for Amazon ECS deployments" and "AppSpec 'resources'
section (Amazon ECS and AWS Lambda deployments only)". Names of members are found in any case, as the official
action finds them. What is not touched here (hooks, network configuration, platform version) stays as it is.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from ecs_gpu_deploy.core.document import document
from ecs_gpu_deploy.errors import InvalidInput

AppSpec = dict[str, Any]

_SERVICE: Final = "AWS::ECS::Service"
_OPTION: Final = "codedeploy-appspec"
_HINT: Final = (
    "It has Resources: - TargetService: {Type: AWS::ECS::Service, Properties: {TaskDefinition, "
    "LoadBalancerInfo: {ContainerName, ContainerPort}}}. Leave codedeploy-appspec out for one made from the "
    "service."
)


def read_appspec(text: str, *, name: str) -> AppSpec:
    """Return the AppSpec of a file (YAML or JSON), its one ECS target seen to be there; else InvalidInput."""
    read = document(text, name=name)
    if not isinstance(read, dict):
        raise InvalidInput(f"The AppSpec {name!r} is no mapping.", hint=_HINT)
    _target(read, name)
    return read


def appspec_of(balanced: Collection[tuple[str, int]]) -> AppSpec:
    """Return the AppSpec of a service whose load balancer sends to *balanced*, still without a revision."""
    properties: AppSpec = {"TaskDefinition": ""}
    if len(balanced) == 1:
        [(container, port)] = balanced
        properties["LoadBalancerInfo"] = {"ContainerName": container, "ContainerPort": port}
    return {
        "version": 0.0,
        "Resources": [{"TargetService": {"Type": _SERVICE, "Properties": properties}}],
    }


def filled(
    appspec: AppSpec,
    *,
    task_definition: str,
    balanced: Collection[tuple[str, int]],
    containers: Collection[str],
) -> AppSpec:
    """Return *appspec* that deploys *task_definition* (an ARN), with a container and a port that are there.

    Both are put in from the service's load balancer where the AppSpec has none, or a placeholder; what it
    names itself must be one of the *containers*, or a port.
    """
    made = copy.deepcopy(appspec)
    properties = _target(made, "")
    properties[_key(properties, "TaskDefinition") or "TaskDefinition"] = task_definition
    key = _key(properties, "LoadBalancerInfo") or "LoadBalancerInfo"
    behind = properties.get(key)
    behind = properties[key] = dict(behind) if isinstance(behind, Mapping) else {}
    one = next(iter(balanced)) if len(balanced) == 1 else None
    for member, value in (("ContainerName", one and one[0]), ("ContainerPort", one and one[1])):
        at = _key(behind, member) or member
        if _is_open(behind.get(at)):
            if not value:
                raise InvalidInput(
                    f"The AppSpec names no {member}, and the service's load balancers do not tell it.",
                    hint=f"Give {_OPTION} with LoadBalancerInfo: {{ContainerName, ContainerPort}}.",
                )
            behind[at] = value
    name, port = behind[_key(behind, "ContainerName") or ""], behind[_key(behind, "ContainerPort") or ""]
    if name not in containers:
        raise InvalidInput(
            f"The AppSpec's ContainerName {str(name)[:60]!r} is not in the task definition, which has "
            f"{', '.join(containers)}.",
            hint=f"Correct {_OPTION}.",
        )
    if not str(port).isdigit() or not 0 < int(port) < 65536:
        raise InvalidInput(
            f"The AppSpec's ContainerPort is {str(port)[:60]!r}, which is no port.",
            hint=f"Correct {_OPTION}.",
        )
    behind[_key(behind, "ContainerPort") or ""] = int(port)
    return made


def revision_content(appspec: AppSpec) -> tuple[str, str]:
    """Return the JSON text of an AppSpec as CreateDeployment takes it, and its SHA-256 in hexadecimal.

    Source: CodeDeploy API Reference, AppSpecContent.
    """
    text = json.dumps(appspec)
    return text, hashlib.sha256(text.encode()).hexdigest()


def task_definition_in(content: str) -> str:
    """Return the task definition that the text of an AppSpec deploys; "" where it cannot be read."""
    try:
        properties = _target(document(content, name="AppSpec"), "")
    except InvalidInput:
        return ""
    value = properties.get(_key(properties, "TaskDefinition") or "")
    return value if isinstance(value, str) else ""


def hook_in(content: str, event: str) -> str:
    """Return the Lambda function that the text of an AppSpec has run at a lifecycle event; "" for none."""
    try:
        appspec = document(content, name="AppSpec")
    except InvalidInput:
        return ""
    hooks = appspec.get(_key(appspec, "Hooks") or "") if isinstance(appspec, dict) else None
    named = [each.get(event) for each in hooks or () if isinstance(each, Mapping)]
    return next((each for each in named if isinstance(each, str)), "")


def _target(appspec: Any, name: str) -> dict[str, Any]:
    """Return the Properties of the one ECS service that an AppSpec deploys to."""
    what = f"The AppSpec {name!r}" if name else "The AppSpec"
    resources = appspec.get(_key(appspec, "Resources") or "") if isinstance(appspec, dict) else None
    if not isinstance(resources, list) or not resources:
        raise InvalidInput(f"{what} has no Resources.", hint=_HINT)
    named = [
        (str(key), value)
        for item in resources
        if isinstance(item, Mapping)
        for key, value in item.items()
        if isinstance(value, Mapping)
    ]
    targets = [(key, value) for key, value in named if value.get(_key(value, "Type") or "") == _SERVICE]
    if not targets:
        raise InvalidInput(f"{what} has no TargetService of the type {_SERVICE}.", hint=_HINT)
    if len(targets) > 1 or len(named) > 1:
        raise InvalidInput(
            f"{what} has {len(named)} resources ({', '.join(key for key, _ in named)}); a deployment to ECS "
            "has one.",
            hint="Leave the one TargetService of this service.",
        )
    target = targets[0][1]
    properties = target.get(_key(target, "Properties") or "")
    if not isinstance(properties, dict):
        raise InvalidInput(f"{what} has no Properties in its {targets[0][0]}.", hint=_HINT)
    return properties


def _key(members: Mapping[Any, Any], name: str) -> str | None:
    return next((key for key in members if str(key).lower() == name.lower()), None)


def _is_open(value: object) -> bool:
    """Say whether a member is still to be filled: missing, empty, or a placeholder such as <PORT>."""
    return value in (None, "") or (isinstance(value, str) and value.startswith("<") and value.endswith(">"))
