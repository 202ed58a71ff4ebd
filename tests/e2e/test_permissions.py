"""The recorded permissions are those that the commands need, and no call escapes the table."""

import re
from pathlib import Path

import boto3
import pytest
from botocore import xform_name
from tools.permissions import GRANTS, NO_GRANT, iam_action, policy
from tools.record_permissions import RECORD, main

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("edges", "steps", "commands")
METHODS = re.compile(
    r"\.(?:call|once|pages|read|change)\(\s*\"(?P<service>[a-z0-9-]+)\",\s*\"(?P<method>[a-z_]+)\""
    r"|_(?:call|change)\(\s*aws,\s*(?:repository|asked),\s*\"(?P<ecr>[a-z_]+)\""
)


def test_the_record_is_fresh():
    assert main(["--check"]) == 0, f"{RECORD.name} is stale: run `make permissions`"


def _called():
    package = ROOT / "src" / "ecs_gpu_deploy"
    for source in (path for folder in FOLDERS for path in package.joinpath(folder).rglob("*.py")):
        for match in METHODS.finditer(source.read_text(encoding="utf-8")):
            yield match["service"] or "ecr", match["method"] or match["ecr"]


def test_every_call_in_the_source_has_its_grant():
    session, missing, called = boto3.Session(region_name="eu-central-1"), [], sorted(set(_called()))
    assert len(called) > 40
    assert {("ecs", "update_service"), ("ecs", "describe_task_definition")} < set(called), "change and read"
    for service, method in called:
        model = session._session.get_service_model(service)
        operation = next(name for name in model.operation_names if xform_name(name) == method)
        action = iam_action(f"{service}.{operation}")
        if action not in GRANTS and action not in NO_GRANT:
            missing.append(action)
    assert missing == []


def test_the_policy_allows_exactly_what_is_asked_for():
    document = policy(
        ["ecs:UpdateService", "ecs:ListTasks", "ecs:RegisterTaskDefinition", "sts:GetCallerIdentity"]
    )
    allowed = {
        action
        for statement in document["Statement"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    assert allowed == {"ecs:UpdateService", "ecs:ListTasks", "ecs:RegisterTaskDefinition", "iam:PassRole"}
    for statement in document["Statement"]:
        if "ecs:RegisterTaskDefinition" in statement["Action"]:
            assert "Condition" not in statement, "ecs:cluster would deny it"
        if statement["Action"] == "iam:PassRole":
            assert statement["Condition"]["StringEquals"]["iam:PassedToService"] == "ecs-tasks.amazonaws.com"


@pytest.mark.parametrize("action", sorted(GRANTS))
def test_a_grant_says_what_for(action):
    assert GRANTS[action].why
    assert GRANTS[action].resources
