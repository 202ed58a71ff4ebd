"""A job of GitHub's against the applied stack: its token is its only credential."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml
from iam_requests import ACCOUNT

from sandbox_process import RunningSandbox, clean_environment

OIDC_PROVIDER = f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"


def make_way_for_terraform(sandbox: RunningSandbox) -> None:
    """Delete the world's identity provider for GitHub: Terraform makes its own, and an account has one."""
    with sandbox.client("iam") as iam:
        iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=OIDC_PROVIDER)


def deployed(inputs: Mapping[str, str]) -> dict[str, str]:
    """Return the inputs of a deployment of an image that is there already: nothing is built."""
    return {key: value for key, value in inputs.items() if key not in ("repository", "cache-image")}


def job_environment(sandbox: RunningSandbox, **more: str) -> dict[str, str]:
    """Return the environment of a GitHub job: its token is the only credential."""
    environment = clean_environment(sandbox, **sandbox.announcement["github_environment"], **more)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del environment[name]
    return environment


def batch_step(sandbox: RunningSandbox, folder: Path, workflow: str, *, image: str) -> str:
    """Run the printed workflow's own step that gives the ingest task an image, with the AWS CLI and jq."""
    steps = yaml.safe_load(workflow)["jobs"]["deploy"]["steps"]
    [step] = [step for step in steps if "run" in step and "FAMILY" in step.get("env", {})]
    set_by_github = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(folder / "aws-token"), "IMAGE": image}
    assert {name for name, value in step["env"].items() if "${{" in value} == set(set_by_github)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = job_environment(
        sandbox, **{**step["env"], **set_by_github}, RUNNER_TEMP=str(folder), PATH=path
    )
    ran = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", step["run"]],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()
