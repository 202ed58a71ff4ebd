"""The policy in docs/terraform/role.tf, the role that a repository's jobs deploy with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Final

from tools.permissions import policy

COMMANDS: Final = ("deploy", "rollback", "watch", "continue", "reject", "history", "status", "run-task")
_NAMES: Final[Mapping[str, str]] = {
    "REGION": "var.region",
    "ACCOUNT": "data.aws_caller_identity.this.account_id",
    "CLUSTER": "var.cluster",
    "SERVICE": "var.service",
    "REPOSITORY": "coalesce(var.ecr_repository, var.service)",
    "FAMILY": "coalesce(var.family, var.service)",
    "TASK_ROLE": "var.task_role",
    "EXECUTION_ROLE": "var.execution_role",
    "LOG_GROUP": "var.log_group",
    "SECRET": "var.secret",
}
"""A name in capitals of docs/permissions.md → what Terraform puts there."""


def role_policy(recorded: Mapping[str, Iterable[str]]) -> str:
    """Return the policy as an expression of Terraform; *recorded* has the IAM actions of each command."""
    actions = {action for command in COMMANDS for action in recorded[command]}
    text = json.dumps(policy(actions), indent=2)
    named = re.sub(r"\b[A-Z][A-Z_]{2,}\b", lambda match: "${" + _NAMES[match[0]] + "}", text)
    return "\n".join(f"    {line}" for line in named.splitlines())
