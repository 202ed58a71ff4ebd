"""SimulatePrincipalPolicy, which moto lacks: what the policies of a role say to actions on resources.

A role of the world, which has no policies, may do everything, as everywhere in the sandbox; so may the user
whose keys the sandbox announces. What the world denies is denied to all. Conditions are not judged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

from ecs_gpu_deploy.sandbox.protocol.api_errors import ApiError
from ecs_gpu_deploy.sandbox.protocol.query_xml import query_answer

ACTION = "iam:SimulatePrincipalPolicy"


def simulation_xml(iam: Any, parameters: Mapping[str, Any], *, is_denied: Callable[[str], bool]) -> str:
    """Write the answer for a request's *parameters*; raise ApiError for a role that is not there."""
    policies = list(_policies(iam, str(parameters.get("PolicySourceArn", ""))))
    results = [
        {
            "EvalActionName": action,
            "EvalResourceName": resource,
            "EvalDecision": "explicitDeny" if is_denied(action) else _decision(policies, action, resource),
        }
        for action in _members(parameters, "ActionNames")
        for resource in _members(parameters, "ResourceArns") or ["*"]
    ]
    return query_answer(
        "SimulatePrincipalPolicy",
        {"EvaluationResults": results, "IsTruncated": "false"},
        namespace="https://iam.amazonaws.com/doc/2010-05-08/",
        request_id=str(uuid4()),
    )


def _members(parameters: Mapping[str, Any], name: str) -> list[str]:
    form = re.compile(rf"{name}\.member\.(\d+)")
    found = {int(match[1]): str(value) for key, value in parameters.items() if (match := form.fullmatch(key))}
    return [found[number] for number in sorted(found)]


def _policies(iam: Any, arn: str) -> Iterator[Any]:
    """Yield the policies of a principal, as moto evaluates them."""
    from moto.iam.access_control import IAMPolicy  # noqa: PLC0415 - moto is slow to import

    role = next((each for each in iam.get_roles() if each.arn == arn), None)
    if role is None:
        if ":role/" in arn:
            raise ApiError("NoSuchEntity", f"The entity {arn} cannot be found.", status=404)
        return
    for document in role.policies.values():
        yield IAMPolicy(document)
    for policy in role.managed_policies.values():
        yield IAMPolicy(policy)


def _decision(policies: Sequence[Any], action: str, resource: str) -> str:
    from moto.iam.access_control import PermissionResult  # noqa: PLC0415 - moto is slow to import

    said = {policy.is_action_permitted(action, resource) for policy in policies}
    if PermissionResult.DENIED in said:
        return "explicitDeny"
    return "allowed" if not policies or PermissionResult.PERMITTED in said else "implicitDeny"
