"""docs/terraform/role.tf, applied to the sandbox: the role with which a job of the repository may deploy."""

from __future__ import annotations

import json
import os
import re
import shutil
import urllib.parse
from pathlib import Path

import pytest
from terraform_run import ROOT, SANDBOX_PROVIDER, Workspace, plugin_folder
from tools.permissions import policy
from tools.role_file import COMMANDS

from sandbox_process import sandbox_thread

GIVEN = {
    "repository": "acme/rag",
    "region": "eu-central-1",
    "cluster": "ki-cluster",
    "service": "ki-rag-api",
    "task_role": "ki-rag-api-task",
    "execution_role": "ki-rag-api-execution",
}


@pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is missing")
def test_the_role_is_taken_by_the_repository_s_jobs_and_allowed_what_the_commands_call(
    tmp_path: Path,
) -> None:
    (tmp_path / "role.tf").write_text(
        re.sub(r'^provider "aws" \{.*?^\}\n', "", _file(), flags=re.MULTILINE | re.DOTALL), encoding="utf-8"
    )
    (tmp_path / "provider.tf").write_text(
        SANDBOX_PROVIDER.replace("{\n", '{\n  region = "eu-central-1"\n', 1)
    )
    with sandbox_thread() as sandbox:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_VAR_"))},
            "TF_CLI_CONFIG_FILE": os.devnull,
            "AWS_ENDPOINT_URL": sandbox.endpoint,
            **{f"TF_VAR_{name}": value for name, value in GIVEN.items()},
        }
        workspace = Workspace(folder=tmp_path, environment=environment)
        plugins = plugin_folder()
        for command in (
            ["init", *([f"-plugin-dir={plugins}"] if plugins else [])],
            ["apply", "-auto-approve"],
        ):
            ran = workspace.run(*command, "-input=false")
            assert ran.exit_code == 0, ran.shown
        with sandbox.client("iam") as iam:
            role = iam.get_role(RoleName="ki-rag-api-deploy")["Role"]
            allowed = iam.get_role_policy(RoleName="ki-rag-api-deploy", PolicyName="deploy")["PolicyDocument"]
    [trust] = role["AssumeRolePolicyDocument"]["Statement"]
    subjects = trust["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"]
    assert subjects == ["repo:acme/rag:environment:production"]
    recorded = json.loads((ROOT / "docs" / "permissions.json").read_text(encoding="utf-8"))
    wanted = policy({action for command in COMMANDS for action in recorded[command]})
    text = json.dumps(allowed) if isinstance(allowed, dict) else urllib.parse.unquote(allowed)
    assert "${" not in text
    assert not re.search(r"\b[A-Z][A-Z_]{2,}\b", text)
    assert [one["Action"] for one in json.loads(text)["Statement"]] == [
        one["Action"] for one in wanted["Statement"]
    ]


def _file() -> str:
    return (ROOT / "docs" / "terraform" / "role.tf").read_text(encoding="utf-8")
