"""IAM: who we are, whom a role trusts, and what a principal is allowed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from ecs_gpu_deploy.core.rules.checks import Decision
from ecs_gpu_deploy.edges.aws.answers import HalfAnswer, reading
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.model import text_in


def fetch_trust(aws: Aws, role: str) -> Mapping[str, Any]:
    """Return the trust policy of *role*, a name or an ARN; raises AwsError, Missing where there is none."""
    answer = aws.call("iam", "get_role", {"RoleName": role.rpartition("/")[2]})
    with reading("iam.GetRole"):
        trust = answer["Role"]["AssumeRolePolicyDocument"]
        document: Mapping[str, Any] = json.loads(unquote(trust)) if isinstance(trust, str) else trust
        return document


def fetch_caller(aws: Aws) -> str:
    """Return the ARN of the IAM user or role that our credentials are of; raises AwsError.

    Of a role that was assumed it is the role's, without the path that the session's ARN does not have.
    """
    answer = aws.call("sts", "get_caller_identity", {})
    with reading("sts.GetCallerIdentity"):
        arn = text_in(answer, "Arn")
        if not arn:
            raise HalfAnswer("the answer has no Arn", request="sts.GetCallerIdentity")
    head, _, rest = arn.partition(":assumed-role/")
    if rest:
        return f"{head.replace(':sts:', ':iam:')}:role/{rest.partition('/')[0]}"
    return arn.replace(":sts:", ":iam:")


def simulate(
    aws: Aws, principal: str, needs: Sequence[tuple[str, str]], *, context: Mapping[str, str]
) -> tuple[Decision, ...]:
    """Return what the policies of *principal* (an ARN) say to each (action, resource); raises AwsError.

    *context* has values of condition keys. Policies of resources and of the organisation are not asked.
    """
    params = {
        "PolicySourceArn": principal,
        "ActionNames": list(dict.fromkeys(action for action, _ in needs)),
        "ResourceArns": list(dict.fromkeys(resource for _, resource in needs)),
        "ContextEntries": [
            {"ContextKeyName": key, "ContextKeyType": "string", "ContextKeyValues": [value]}
            for key, value in context.items()
        ],
        "MaxItems": 1000,
    }
    listed = aws.pages("iam", "simulate_principal_policy", params, "EvaluationResults", following="Marker")
    with reading("iam.SimulatePrincipalPolicy"):
        return tuple(
            Decision(
                action=text_in(each, "EvalActionName"),
                resource=text_in(each, "EvalResourceName"),
                decision=text_in(each, "EvalDecision"),
                lacks=tuple(each.get("MissingContextValues") or ()),
            )
            for each in listed
        )
