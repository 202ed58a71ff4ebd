"""Foreign clients against the sandbox, over AWS_ENDPOINT_URL: the AWS CLI and the JavaScript SDK."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox_process import RunningSandbox, clean_environment, sandbox_process

NODE_PROJECT = Path(__file__).parent / "foreign"
ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"


def absent(reason: str) -> None:
    """Skip, or fail on CI, where every foreign client must be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    """The default world at a hundred times the wall's speed: a rollout takes two seconds."""
    with sandbox_process(speed="100") as running:
        yield running


def aws(sandbox: RunningSandbox, *arguments: str) -> Any:
    """Run the AWS CLI of this environment and return its JSON."""
    program = Path(sys.executable).with_name("aws")
    if not program.exists():
        absent("the AWS CLI is not installed")
    ended = subprocess.run(
        [sys.executable, str(program), *arguments, "--output", "json"],
        env=clean_environment(sandbox),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout) if ended.stdout.strip() else None


def javascript(sandbox: RunningSandbox, command: str, parameters: dict[str, Any]) -> Any:
    """Send a command with @aws-sdk/client-ecs and return its JSON."""
    if not shutil.which("node"):
        absent("node is not installed")
    if not (NODE_PROJECT / "node_modules" / "@aws-sdk").is_dir():
        absent("the JavaScript SDK is missing: npm ci --prefix tests/contract/foreign")
    ended = subprocess.run(
        ["node", "client.mjs", command],
        cwd=NODE_PROJECT,
        input=json.dumps(parameters),
        env=clean_environment(sandbox),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


NAMES = ("--cluster", "ki-cluster", "--service", "ki-rag-api")
LISTED = ("--cluster", "ki-cluster", "--services", "ki-rag-api")


def test_the_article_s_pipeline_with_the_aws_cli(sandbox: RunningSandbox, tmp_path: Path) -> None:
    described = aws(sandbox, "ecs", "describe-services", *LISTED)["services"][0]
    assert (described["runningCount"], described["deployments"][0]["rolloutState"]) == (2, "COMPLETED")

    definition = aws(sandbox, "ecs", "describe-task-definition", "--task-definition", "ki-rag-api")
    request = {
        key: value
        for key, value in definition["taskDefinition"].items()
        if key
        in ("family", "containerDefinitions", "executionRoleArn", "taskRoleArn", "networkMode", "volumes")
    }
    request["containerDefinitions"][0]["image"] = f"{ECR}/ki-rag-api:good"
    file = tmp_path / "task-definition.json"
    file.write_text(json.dumps(request), encoding="utf-8")
    registered = aws(sandbox, "ecs", "register-task-definition", "--cli-input-json", f"file://{file}")
    arn = registered["taskDefinition"]["taskDefinitionArn"]

    updated = aws(
        sandbox, "ecs", "update-service", *NAMES, "--task-definition", arn, "--force-new-deployment"
    )
    assert [one["status"] for one in updated["service"]["deployments"]] == ["PRIMARY", "ACTIVE"]
    aws(sandbox, "ecs", "wait", "services-stable", *LISTED)
    listed = aws(sandbox, "ecs", "list-service-deployments", *NAMES)["serviceDeployments"]
    assert listed[0]["status"] == "SUCCESSFUL"
    after = aws(sandbox, "ecs", "describe-services", *LISTED)["services"][0]
    assert after["taskDefinition"] == arn


def test_the_javascript_sdk_registers_and_describes(sandbox: RunningSandbox) -> None:
    answer = javascript(
        sandbox,
        "RegisterTaskDefinition",
        {
            "family": "from-javascript",
            "tags": [{"key": "by", "value": "js"}],
            "containerDefinitions": [
                {
                    "name": "app",
                    "image": f"{ECR}/ki-rag-api:good",
                    "memory": 512,
                    "command": ["--suffix", ""],
                    "resourceRequirements": [{"type": "GPU", "value": "1"}],
                }
            ],
        },
    )
    definition = answer["taskDefinition"]
    assert (definition["family"], definition["revision"], definition["status"]) == (
        "from-javascript",
        1,
        "ACTIVE",
    )
    assert definition["containerDefinitions"][0]["command"] == ["--suffix", ""]
    assert isinstance(definition["registeredAt"], str), "a Date of the SDK"

    described = javascript(
        sandbox, "DescribeServices", {"cluster": "ki-cluster", "services": ["ki-rag-api", "no"]}
    )
    assert described["services"][0]["serviceName"] == "ki-rag-api"
    assert [failure["reason"] for failure in described["failures"]] == ["MISSING"]


def test_the_javascript_sdk_knows_our_errors(sandbox: RunningSandbox) -> None:
    answer = javascript(sandbox, "DescribeServices", {"cluster": "nowhere", "services": ["x"]})
    assert answer == {
        "error": {"name": "ClusterNotFoundException", "message": "Cluster not found.", "status": 400}
    }
